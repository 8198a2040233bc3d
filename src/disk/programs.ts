/** Programs of others that hold keys: run with a deadline, and with what they read and write in a folder of their own. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keyToolBytesMax, keyToolMs } from './limits.ts'

/** The program is not on this machine. */
export class ProgramMissing extends Error {}

/** What to look at where a TPM does nothing. */
export const tpmHelp = 'look at /dev/tpmrm0 and at who may use it, or name the TPM in TPM2TOOLS_TCTI'

export interface ProgramOptions {
  readonly input?: Uint8Array | undefined
  /** Beside this process's own. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

/** Runs a program; what it prints. @throws {ProgramMissing} @throws an Error with what it said of its failure; the signal's reason */
export function runProgram(
  command: string,
  args: readonly string[],
  { input, env, signal }: ProgramOptions = {}
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const options = {
      encoding: 'buffer' as const,
      timeout: keyToolMs,
      killSignal: 'SIGKILL' as const,
      maxBuffer: keyToolBytesMax,
      ...(env === undefined ? {} : { env: { ...process.env, ...env } }),
      ...(signal === undefined ? {} : { signal })
    }
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(new Uint8Array(stdout))
      else if (signal?.aborted === true) reject(signal.reason as Error)
      else if (error.code === 'ENOENT') reject(new ProgramMissing(`${command} is not here`))
      else
        reject(new Error(stderr.toString() || (error.killed === true ? `no answer in ${keyToolMs} ms` : error.message)))
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

/** Has work done in a new folder that nobody else can read, which is gone afterwards. */
export async function inFolder<T>(prefix: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), prefix))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What a program has written into such a folder. @throws an Error where it is longer than a key */
export async function readWritten(file: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(await readFile(file))
  if (bytes.byteLength > keyToolBytesMax) throw new Error(`it has written ${bytes.byteLength} bytes`)
  return bytes
}

/** The first of the lines that a program has said, and not too much of it. */
export function wordsOf(error: unknown): string {
  const [line = ''] = (error as Error).message.split('\n').filter(each => each.trim() !== '')
  return line.trim().slice(0, 200)
}
