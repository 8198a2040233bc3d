/**
 * What the stages of this peer commit to (rule S41): it digests the rows of every session beside the steps, after what they gave is on its
 * way, and signs when a session ends. What a stage sent it keeps for a moment after that, for whoever checks the next one.
 */
import { hash } from 'node:crypto'
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId, Range, SessionId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import type { Sampling, Step, StepOutput } from '../engine/engine.ts'
import { needsText } from '../engine/penalties.ts'
import { drawnRows, RowChain, rowsOfIds, signCommitment, type SignedCommitment, withIds } from './commitment.ts'
import type { SeatId, StageFacts } from './event.ts'
import { rowsKeptBytesMax, rowsKeptMs } from './limits.ts'
import type { RetainedStates } from './retain.ts'
import type { CommitAsk, Commits } from './seat-host.ts'

export const sha256 = (data: Uint8Array): Uint8Array => hash('sha256', data, 'buffer')

/** Hidden states that a stage sent in a session that has ended. */
export interface KeptRows {
  /** So many tokens of them are committed to. */
  readonly tokens: number
  readonly states: RetainedStates
  /** The ids of the same tokens, where the session's steps carried them. */
  readonly ids: RetainedStates | undefined
}

/** [tokens] rows as the next hop has committed to them. @param position of the first one; they lie in one block */
export function rowsOf({ states, ids }: KeptRows, position: number, end: number): Uint8Array {
  const rows = states.read(position, end)
  return ids === undefined ? rows.slice() : withIds(rows, ids.read(position, end))
}

/** The first rows, all of them. */
export function allRowsOf({ states, ids }: KeptRows, tokens: number): Uint8Array {
  const rows = states.copy(tokens)
  return ids === undefined ? rows : withIds(rows, ids.copy(tokens))
}

interface Chains {
  readonly numericClass: string
  /** Rows have the ids of their tokens behind them. */
  readonly hasIds: boolean
  readonly input: RowChain
  readonly output: RowChain
  /** Steps that are computed, and not digested yet. */
  readonly due: (() => void)[]
}

export class Committing implements Commits {
  readonly #sign: Sign
  readonly #clock: Clock
  readonly #chains = new Map<SeatId, Chains>()
  /** The oldest first. */
  readonly #kept = new Map<SeatId, KeptRows & { readonly untilMs: number; readonly bytes: number }>()
  #keptBytes = 0
  #sweep: Timer | undefined

  constructor({ sign, clock = systemClock }: { readonly sign: Sign; readonly clock?: Clock }) {
    this.#sign = sign
    this.#clock = clock
  }

  /** A session gets a cache. @param sampling by which its tail draws: steps carry ids where that needs them */
  opened(seat: SeatId, { numericClass = '' }: StageFacts, sampling: Sampling): void {
    const hasIds = needsText(sampling)
    this.#chains.set(seat, { numericClass, hasIds, input: new RowChain(sha256), output: new RowChain(sha256), due: [] })
  }

  /** Its cache is gone. */
  freed(seat: SeatId): void {
    this.#chains.delete(seat)
  }

  /** A step is computed, but may not be on its way yet: see {@link settle}. @param text ids of its tokens, where it carries them */
  computed(seat: SeatId, step: Step, output: StepOutput, text: Int32Array | undefined = step.ids): void {
    const chains = this.#chains.get(seat)
    const { input, position, tokens, drafts = [] } = step
    chains?.due.push(() => {
      const ids = !chains.hasIds ? undefined : input.kind === 'ids' ? input.ids : text
      const behind = ids && rowsOfIds(ids)
      const join = (rows: Uint8Array): Uint8Array => (behind === undefined ? rows : withIds(rows, behind))
      chains.input.push(position, input.kind === 'ids' ? rowsOfIds(input.ids) : join(input.bytes), tokens)
      const drawn = output.kind === 'tokens' ? output.ids : undefined
      const given = output.kind === 'hidden' ? join(output.bytes) : drawnRows(tokens, drafts.length, drawn)
      chains.output.push(position, given, tokens)
    })
  }

  /** Digests what is due. */
  settle(seat: SeatId): void {
    for (const each of this.#chains.get(seat)?.due.splice(0) ?? []) each()
  }

  commit({ seat, terms, hop, tokens, states, ids }: CommitAsk): SignedCommitment | undefined {
    this.settle(seat)
    const chains = this.#chains.get(seat)
    const input = chains?.input.at(tokens)
    const output = chains?.output.at(tokens)
    if (chains === undefined || input === undefined || output === undefined) return undefined
    if (states !== undefined) this.#keep(seat, { tokens, states, ids })
    const { numericClass } = chains
    return signCommitment({ terms: sha256(terms.payload), hop, tokens, input, output, numericClass }, this.#sign)
  }

  /** What a stage of this peer sent in a session of that driver's that has just ended; undefined where it is not here any more. */
  keptRows(driver: PeerId, session: SessionId, { start, end }: Range): KeptRows | undefined {
    this.#forget()
    return this.#kept.get(`${driver}/${session}/${start}-${end}`)
  }

  stop(): void {
    this.#sweep?.stop()
    this.#kept.clear()
  }

  #keep(seat: SeatId, rows: KeptRows): void {
    const bytes = rows.states.bytes + (rows.ids?.bytes ?? 0)
    if (bytes > rowsKeptBytesMax) return
    this.#drop(seat)
    this.#kept.set(seat, { ...rows, bytes, untilMs: this.#clock.nowMs() + rowsKeptMs })
    this.#keptBytes += bytes
    for (const oldest of this.#kept.keys()) if (this.#keptBytes > rowsKeptBytesMax) this.#drop(oldest)
    this.#sweep ??= this.#clock.every(rowsKeptMs, () => this.#forget()).unref()
  }

  #forget(): void {
    const nowMs = this.#clock.nowMs()
    for (const [seat, { untilMs }] of this.#kept) if (untilMs <= nowMs) this.#drop(seat)
    if (this.#kept.size > 0) return
    this.#sweep?.stop()
    this.#sweep = undefined
  }

  #drop(seat: SeatId): void {
    this.#keptBytes -= this.#kept.get(seat)?.bytes ?? 0
    this.#kept.delete(seat)
  }
}
