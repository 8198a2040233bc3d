/** TPMs in software, each of which is another machine's to those who ask it. */
import { execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

export const hasCommand = (command: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** Why there is no TPM to test with; undefined where there is. */
export const whyNoTpm = ['swtpm', 'swtpm_setup', 'tpm2_unseal'].every(hasCommand)
  ? undefined
  : 'there is no swtpm: see .ci/run'

export interface SoftTpm {
  /** As `TPM2TOOLS_TCTI` names it. */
  readonly tcti: string
  /** Runs one of tpm2-tools on it. */
  run(command: string, ...args: string[]): void
  stop(): void
}

/** @param state an empty folder for it */
export async function startTpm(state: string): Promise<SoftTpm> {
  await chmod(state, 0o700)
  execFileSync('swtpm_setup', ['--tpm2', '--tpmstate', state, '--pcr-banks', 'sha256', '--overwrite'], {
    stdio: 'ignore'
  })
  // Other files of tests start theirs at the same moment: a port that one has taken meanwhile is another one's.
  for (let tries = 0; tries < 5; tries++) {
    const tpm = await tryPort(state, randomInt(10_000, 30_000))
    if (tpm !== undefined) return tpm
  }
  throw new Error('swtpm does not answer')
}

/** One at this port, and with its control channel, which the tools look for there, at the next one; undefined where one of them is taken. */
async function tryPort(state: string, at: number): Promise<SoftTpm | undefined> {
  const options = [
    '--server',
    `type=tcp,port=${at},bindaddr=127.0.0.1`,
    '--ctrl',
    `type=tcp,port=${at + 1},bindaddr=127.0.0.1`
  ]
  const child = spawn(
    'swtpm',
    ['socket', '--tpm2', '--tpmstate', `dir=${state}`, ...options, '--flags', 'not-need-init,startup-clear'],
    { stdio: 'ignore' }
  )
  const tcti = `swtpm:host=127.0.0.1,port=${at}`
  const env = { ...process.env, TPM2TOOLS_TCTI: tcti }
  const run = (command: string, ...args: string[]): void => void execFileSync(command, args, { stdio: 'ignore', env })
  const tpm = { tcti, run, stop: () => void child.kill('SIGKILL') }
  for (let tries = 0; tries < 100 && child.exitCode === null; tries++) {
    try {
      run('tpm2_pcrread', 'sha256:16')
      // Whoever answers at a port that was taken is another file's, and this one has ended.
      await sleep(50)
      if (child.exitCode === null) return tpm
    } catch {
      await sleep(100)
    }
  }
  tpm.stop()
  return undefined
}
