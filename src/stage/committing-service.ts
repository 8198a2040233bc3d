/**
 * What the stages of this peer commit to (rule S41): it digests the rows of every session beside the steps, after what they gave is on its
 * way, and signs when a session ends. What a stage sent it keeps for a moment after that, for whoever checks the next one.
 */
import { hash } from 'node:crypto'
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId, Range, SessionId } from '../base/ids.ts'
import type { Sign } from '../base/signature.ts'
import type { Step, StepOutput } from '../engine/engine.ts'
import { drawnRows, RowChain, rowsOfIds, signCommitment, type SignedCommitment } from './commitment.ts'
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
}

interface Chains {
  readonly numericClass: string
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

  /** A session gets a cache. */
  opened(seat: SeatId, { numericClass = '' }: StageFacts): void {
    this.#chains.set(seat, { numericClass, input: new RowChain(sha256), output: new RowChain(sha256), due: [] })
  }

  /** Its cache is gone. */
  freed(seat: SeatId): void {
    this.#chains.delete(seat)
  }

  /** A step is computed, but may not be on its way yet: see {@link settle}. */
  computed(seat: SeatId, step: Step, output: StepOutput): void {
    const chains = this.#chains.get(seat)
    const { input, position, tokens, drafts = [] } = step
    chains?.due.push(() => {
      chains.input.push(position, input.kind === 'ids' ? rowsOfIds(input.ids) : input.bytes, tokens)
      const ids = output.kind === 'tokens' ? output.ids : undefined
      const given = output.kind === 'hidden' ? output.bytes : drawnRows(tokens, drafts.length, ids)
      chains.output.push(position, given, tokens)
    })
  }

  /** Digests what is due. */
  settle(seat: SeatId): void {
    for (const each of this.#chains.get(seat)?.due.splice(0) ?? []) each()
  }

  commit({ seat, terms, hop, tokens, states }: CommitAsk): SignedCommitment | undefined {
    this.settle(seat)
    const chains = this.#chains.get(seat)
    const input = chains?.input.at(tokens)
    const output = chains?.output.at(tokens)
    if (chains === undefined || input === undefined || output === undefined) return undefined
    if (states !== undefined) this.#keep(seat, { tokens, states })
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
    const { bytes } = rows.states
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
