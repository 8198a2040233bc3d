/** `skein audit`: the log of requests of a peer, shown and checked. */
import { type AuditLine, type PeerId, tailAudit, type VerifiedAudit, verifyAudit } from '../index.ts'
import type { CommandContext } from './context.ts'
import { formatMs, paint, say, sayJson, shortPeer } from './output.ts'

export interface AuditTailFlags {
  readonly data: string
  readonly lines: number
  readonly follow?: boolean
  readonly json?: boolean
}

/** Prints the last lines, and those that come. @throws {AuditError} when there is no log */
export async function tail({ data, lines, follow, json }: AuditTailFlags, { signal }: CommandContext): Promise<void> {
  for await (const { text, line } of tailAudit(data, { lines, follow: follow === true, signal })) {
    say(json ? text : describeLine(line))
  }
}

export interface AuditVerifyFlags {
  readonly data: string
  readonly peer?: PeerId
  readonly json?: boolean
}

/** Prints what is known of a log. Returns the exit code: 3 where something is wrong with it. @throws {AuditError} when there is none */
export async function verify({ data, peer, json }: AuditVerifyFlags, { signal }: CommandContext): Promise<number> {
  const found = await verifyAudit(data, { ...(peer === undefined ? {} : { peer }), signal })
  if (json) sayJson({ event: 'audit', ok: found.problem === null, ...found })
  else for (const line of describeAudit(found)) say(line)
  return found.problem === null ? 0 : 3
}

/** A line for a person. */
export function describeLine({ ts, msg, ...line }: AuditLine): string {
  if (msg !== 'request') return `${ts}  ${msg}${typeof line.requests === 'number' ? ` (${line.requests})` : ''}`
  const { request, client, modelName, route, changes, tokens, outcome, ms } = line as unknown as {
    readonly request: string
    readonly client: string
    readonly modelName: string | null
    readonly route: readonly { peer: PeerId; start: number; end: number }[]
    readonly changes: readonly unknown[]
    readonly tokens: number
    readonly outcome: string
    readonly ms: number
  }
  const path = route.map(({ peer, start, end }) => `${shortPeer(peer)} ${start}-${end}`).join(' → ')
  const changed = changes.length === 0 ? '' : `, ${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`
  return `${ts}  ${client}  ${request}  ${modelName ?? 'no model'}  ${tokens} tokens, ${outcome}, ${formatMs(ms)}  ${path}${changed}`
}

/** The lines that a person reads. */
export function describeAudit(found: VerifiedAudit): string[] {
  const { problem, signed, unsignedLines, droppedLines, cutLines, peer, knownBy, end, isRunning, lastTs } = found
  const counts = `${count(found.lines, 'line')} in ${count(found.files, 'file')}, ${count(found.requests, 'request')}`
  const whose = peer === null ? '' : ` of ${peer}`
  const lines = [
    problem === null
      ? `${paint('green', 'whole')}: ${counts}${whose}`
      : `${paint('red', problem.kind)}: ${problem.file}:${problem.line}: ${problem.message}`
  ]
  if (problem !== null) lines.push(`before it: ${counts}${whose}`)
  lines.push(
    signed === null
      ? 'no signature vouches for any of it'
      : `signatures vouch for all up to ${signed.file}:${signed.line} (number ${signed.n}, ${signed.ts})` +
          `${unsignedLines === 0 ? '' : `; ${count(unsignedLines, 'line')} after that ${unsignedLines === 1 ? 'has' : 'have'} none yet`}`
  )
  if (knownBy === 'lines') lines.push('whose key that is, its lines alone say: --peer says whose it must be')
  if (droppedLines > 0)
    lines.push(`${count(droppedLines, 'line')} before these were dropped for want of room, as the log says`)
  if (cutLines > 0) lines.push(`${count(cutLines, 'line')} cut short by a crash`)
  if (problem === null && end === 'open' && !isRunning) {
    lines.push(`it ends without a last word, at ${lastTs}: its peer crashed there, or what followed was removed`)
  }
  return lines
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
