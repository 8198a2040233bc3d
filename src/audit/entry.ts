/**
 * What the audit log says of one request: who asked which model, over which peers, and how it ended; never a prompt or an answer,
 * of which there is a digest alone. Types, and how a line of the log is made of them. Pure.
 */
import { z } from 'zod'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import { auditChangesMax, auditHopsMax, auditLineBytesMax } from './limits.ts'

/** Layers of a route, and who computed them. */
export interface AuditHop extends Range {
  readonly peer: PeerId
  /** Its numeric class for this model; null where its record did not say any more. */
  readonly class: string | null
}

/** A request that this peer has driven, once it is over. */
export interface AuditRequest {
  /** What it is called: as the one who asked said, else a number of this peer. */
  readonly request: string
  readonly operation: 'chat' | 'text_completion' | 'infer' | 'embeddings'
  /** Who asked: the name of a key of the HTTP API, an address, or `local`. */
  readonly client: string
  /** Null where it ended before it was known which one. */
  readonly model: ModelId | null
  readonly modelName: string | null
  /** Types of the model's weights. */
  readonly precision: string | null
  /** The first one. */
  readonly route: readonly AuditHop[]
  /** Routes after the first one, each from so many ms after the request on. */
  readonly changes: readonly { readonly atMs: number; readonly route: readonly AuditHop[] }[]
  /** Null where it ended before that was known. */
  readonly promptTokens: number | null
  /** Of the answer, that came in this request. */
  readonly tokens: number
  /** `stop`, `length`, `done`, `cancelled`, or the name of what it failed with. */
  readonly outcome: string
  /** From the request to its end. */
  readonly ms: number
  /** SHA-256, in hex digits, of the ids of these tokens, each of them 4 bytes, the lowest first; null where there is none. */
  readonly answer: string | null
  /** Peers that were found to compute something else, whose tokens were computed anew. @default none */
  readonly refuted?: readonly PeerId[]
}

/** What a line has before all else. `n`: its number, from 1. `prev`: SHA-256 of the line before it, in hex digits. */
export interface AuditHeader {
  readonly ts: string
  readonly level: 'info' | 'warn'
  readonly msg: string
  readonly n: number
  readonly prev: string
  readonly member: PeerId
}

/** What lines say that tell of the log itself. Each has a signature. */
export const notes = {
  started: 'audit started',
  signed: 'audit signed',
  dropped: 'audit dropped a file',
  stopped: 'audit stopped'
} as const
export const requestMsg = 'request'
/** The log itself has lost something: the disk would not take it. */
export const lostMsg = 'audit lost requests'

const digest = z.string().regex(/^[0-9a-f]{64}$/)
const header = z.looseObject({
  ts: z.iso.datetime(),
  level: z.enum(['info', 'warn']),
  msg: z.string(),
  n: z.int().positive(),
  prev: digest,
  member: z.string()
})
const request = z.looseObject({
  request: z.string(),
  client: z.string(),
  model: z.string().nullable(),
  modelName: z.string().nullable(),
  promptTokens: z.int().nonnegative().nullable(),
  tokens: z.int().nonnegative(),
  outcome: z.string()
})
const cut = z.looseObject({ bytes: z.int().positive(), sha256: digest })
const missing = z.looseObject({ from: z.int().positive(), to: z.int().positive() })
const dropped = z.looseObject({ file: z.string(), last: z.int().positive(), sha256: digest })

/** A line of the log as it was read: its header, and all that it says. Undefined for what is no such line. */
export function readLine(text: string): (AuditHeader & Readonly<Record<string, unknown>>) | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { success, data } = header.safeParse(value)
  return success ? (data as AuditHeader & Record<string, unknown>) : undefined
}

/** What reports count of a request. */
export type CountedRequest = Pick<
  AuditRequest,
  'request' | 'client' | 'modelName' | 'promptTokens' | 'tokens' | 'outcome'
> & { readonly model: string | null }

/** What a line says of a request that reports count; undefined where it tells of none. */
export function readRequest(line: Readonly<Record<string, unknown>>): CountedRequest | undefined {
  return line.msg === requestMsg ? request.safeParse(line).data : undefined
}

/** What a line says of one that a crash cut before it. */
export function readCut(line: Readonly<Record<string, unknown>>): { bytes: number; sha256: string } | undefined {
  return line.msg === notes.started ? cut.safeParse(line.cut).data : undefined
}

/** What a line says of lines that had been there before this peer stopped, and were not when it started again. */
export function readMissing(line: Readonly<Record<string, unknown>>): { from: number; to: number } | undefined {
  return line.msg === notes.started ? missing.safeParse(line.missing).data : undefined
}

/** What a line says of a file that was dropped. `last`: the number of its last line. */
export function readDropped(
  line: Readonly<Record<string, unknown>>
): { file: string; last: number; sha256: string } | undefined {
  return line.msg === notes.dropped ? dropped.safeParse(line).data : undefined
}

/** A request within the bounds of a line: what is too long of its routes is left out, and counted. */
export function bounded(request: AuditRequest): Readonly<Record<string, unknown>> {
  const hops = (route: readonly AuditHop[]): readonly AuditHop[] => route.slice(0, auditHopsMax)
  const changes = request.changes.slice(0, auditChangesMax).map(({ atMs, route }) => ({ atMs, route: hops(route) }))
  const whole = { ...request, route: hops(request.route), changes }
  const left = request.changes.length - changes.length
  const told = left > 0 ? { ...whole, changesLeftOut: left } : whole
  // Names have a bound of their own, so that nothing but routes makes a line long.
  return JSON.stringify(told).length <= auditLineBytesMax / 2
    ? told
    : { ...told, changes: [], changesLeftOut: request.changes.length }
}
