/** `skein doctor`: what is wrong with this machine, its network and its peer, and what to do. */
import { examine, type Finding, PeerNotRunningError, type Status } from '../index.ts'
import type { CommandContext } from './context.ts'
import { askStatus } from './control-client.ts'
import { doctorAskMs } from './limits.ts'
import { note, paint, say, sayJson } from './output.ts'

export interface DoctorFlags {
  readonly data: string
  readonly swarm?: string
  readonly listen?: string[]
  readonly json?: boolean
}

const marks = { ok: ['green', 'ok  '], warn: ['yellow', 'warn'], fail: ['red', 'FAIL'] } as const
/** Columns of the names. */
const nameColumns = 11

/** Prints what was found, a line each, with what to do below it. Returns the exit code: 1 where something fails. */
export async function doctor(flags: DoctorFlags, { signal }: CommandContext): Promise<number> {
  const { data, swarm, listen } = flags
  const asked = await askPeer(data, signal)
  if (!flags.json && swarm !== undefined && process.stderr.isTTY) {
    note(paint('dim', 'listening for peers, up to 12 s', process.stderr))
  }
  const findings = await examine({
    dataDir: data,
    ...(swarm === undefined ? {} : { swarm }),
    ...(listen === undefined ? {} : { listen }),
    ...asked,
    signal
  })
  const failed = findings.filter(({ verdict }) => verdict === 'fail').length
  if (flags.json) sayJson({ ok: failed === 0, findings })
  else for (const line of describeFindings(findings)) say(line)
  return failed === 0 ? 0 : 1
}

/** The lines that a person reads. */
export function describeFindings(findings: readonly Finding[]): string[] {
  const lines = findings.flatMap(({ name, verdict, found, todo }) => {
    const [colour, mark] = marks[verdict]
    const line = `${paint(colour, mark)}  ${name.padEnd(nameColumns)}  ${found}`
    return todo === undefined ? [line] : [line, `${' '.repeat(nameColumns + 8)}→ ${todo}`]
  })
  const count = (verdict: Finding['verdict']): number => findings.filter(each => each.verdict === verdict).length
  const [fails, warns] = [count('fail'), count('warn')]
  const verdict =
    fails + warns === 0
      ? 'all is well'
      : [fails > 0 ? `${fails} to mend` : '', warns > 0 ? `${warns} to look at` : ''].filter(Boolean).join(', ')
  return [...lines, '', verdict]
}

async function askPeer(dataDir: string, signal: AbortSignal): Promise<{ running?: Status; silent?: string }> {
  const late = AbortSignal.timeout(doctorAskMs)
  try {
    return { running: await askStatus(dataDir, { signal: AbortSignal.any([signal, late]) }) }
  } catch (err) {
    signal.throwIfAborted()
    if (late.aborted) return { silent: `it has said nothing for ${doctorAskMs / 1000} s` }
    // Nobody is there, or whoever is does not speak as a peer does.
    return err instanceof PeerNotRunningError && err.message.startsWith('no peer is running')
      ? {}
      : { silent: (err as Error).message }
  }
}
