/**
 * What a seat sends to the next hop: first what that has lost or never had, from what was retained, then what is computed,
 * as far as the next hop has credit. What the next hop has already is not sent (rules S12, S13, promise P4).
 */
import { edgeSize } from '../engine/engine.ts'
import type { PromptScores } from '../engine/scores.ts'
import { attentionBlock } from '../model/limits.ts'
import { outboxStepsMax, retainBlockTokens, stepBytesMax } from './limits.ts'
import { idBytes } from './commitment.ts'
import { SendCredit } from './credit.ts'
import type { StageFacts } from './event.ts'
import { type AckFrame, idsOf, type ScoresFrame, type StepFrame, type TokenFrame } from './frame.ts'
import type { MaskForm } from './masks.ts'
import { RetainedStates } from './retain.ts'
import type { HopSpans } from './trace.ts'

/** A computed step that waits for the next hop. */
type Output =
  | {
      readonly kind: 'hidden'
      readonly position: number
      readonly tokens: number
      readonly sample: boolean
      readonly bytes: Uint8Array
      /** [tokens], where the session's steps carry them. */
      readonly ids: Int32Array | undefined
      /** The ids of its last tokens, where those are only proposed. */
      readonly drafts: readonly number[]
      /** What may be drawn after each row that is sampled; undefined where the session's steps do not say. */
      readonly masks: readonly MaskForm[] | undefined
      readonly spans: readonly HopSpans[] | undefined
    }
  | Omit<TokenFrame, 'epoch'>
  | Omit<ScoresFrame, 'epoch'>

export class Outlet {
  readonly isTail: boolean
  /** What one step to the next hop may hold. */
  readonly stepTokens: number
  /** undefined at the tail, which sends tokens, and once the seat ends. */
  #retained: RetainedStates | undefined
  /** The ids of the same tokens, 4 bytes each, where the session's steps carry them. */
  #retainedIds: RetainedStates | undefined
  #outbox: Output[] = []
  #sent = new SendCredit()
  #isOpen = false
  /** Length of the next hop's cache when the epoch began; undefined until it has said so. */
  #nextLength: number | undefined
  /** True when both lengths are known and the next three fields are set. */
  #aligned = false
  /** The next hop already has the states below this position: they are not sent. */
  #skipBelow = 0
  /** Retained states [replayAt, replayEnd) are sent before the outbox. */
  #replayAt = 0
  #replayEnd = 0
  /** End of the epoch's last computed step: a step that starts before it is a rollback, not a replay. */
  #computedEnd = 0

  /** @param carriesIds steps go on with the ids of their tokens (rule S36) */
  constructor(stage: StageFacts, tokensMax: number, carriesIds = false) {
    this.isTail = stage.end === stage.layers
    this.stepTokens = Math.min(attentionBlock, Math.floor(stepBytesMax / rowBytes(stage)))
    this.#retained = this.isTail ? undefined : new RetainedStates(rowBytes(stage), tokensMax)
    this.#retainedIds = this.isTail || !carriesIds ? undefined : new RetainedStates(idBytes, tokensMax)
  }

  /** Bytes that a session of so many tokens reserves for replay at a stage. */
  static retainedBytes(stage: StageFacts, tokensMax: number, carriesIds = false): number {
    if (stage.end === stage.layers) return 0
    return RetainedStates.bytes(rowBytes(stage) + (carriesIds ? idBytes : 0), tokensMax)
  }

  /** Nothing waits for the next hop. */
  get isEmpty(): boolean {
    return this.#outbox.length === 0
  }

  /** The next hop does not keep up: nothing more is computed for it. */
  get isFull(): boolean {
    return this.#outbox.length >= outboxStepsMax
  }

  // ── Epochs ──────────────────────────────────────────────────────────────────────────────────────

  /** A new epoch begins on a new stream. `keep`: what is valid of older ones. */
  begin(keep: number): void {
    this.clear()
    this.#sent = new SendCredit()
    // After the tail there is no cache; with keep 0 whatever the next hop holds is void.
    this.#nextLength = this.isTail || keep === 0 ? 0 : undefined
    this.#aligned = false
  }

  /** The cache is there, with so many valid tokens: steps may be computed, and sent. */
  open(length: number): void {
    this.#isOpen = true
    this.truncate(length)
    this.#replayEnd = this.isTail ? 0 : length
    this.#skipBelow = Number.POSITIVE_INFINITY
    this.#computedEnd = 0
    this.#align()
  }

  /** Drops what waits; nothing is sent until it is opened again. */
  clear(): void {
    this.#isOpen = false
    this.#outbox = []
  }

  /** What is retained is gone, for good. */
  free(): void {
    this.clear()
    this.#retained = undefined
    this.#retainedIds = undefined
  }

  /**
   * Compares what this stage has sent with what the next hop has, once both are known. What the next hop lacks is
   * replayed from what was retained; what it has is not sent again, though it may have to be computed again here.
   */
  #align(): void {
    if (this.#aligned || !this.#isOpen || this.#nextLength === undefined) return
    this.#aligned = true
    this.#skipBelow = Math.min(this.#skipBelow, this.#nextLength)
    this.#replayAt = this.#nextLength
  }

  // ── What is computed ────────────────────────────────────────────────────────────────────────────

  /** @param ids [tokens] of the same tokens; needed where the session's steps carry them */
  retain(position: number, hidden: Uint8Array, ids: Int32Array | undefined): void {
    this.#retained?.write(position, hidden)
    if (ids === undefined) return
    this.#retainedIds?.write(position, new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength))
  }

  /** Retained states from here on are void. */
  truncate(length: number): void {
    this.#retained?.truncate(length)
    this.#retainedIds?.truncate(length)
  }

  /** Retained states [position, end), which lie in one block: a view that is valid until the next write. */
  retained(position: number, end: number): Uint8Array {
    return this.#retained!.read(position, end)
  }

  /** All of them; undefined at the tail. */
  get states(): RetainedStates | undefined {
    return this.#retained
  }

  /** Their ids, all of them; undefined where the session's steps carry none. */
  get ids(): RetainedStates | undefined {
    return this.#retainedIds
  }

  /** The same as ids, as {@link RetainedStates.read}. */
  retainedIds(position: number, end: number): Int32Array | undefined {
    const bytes = this.#retainedIds?.read(position, end)
    return bytes === undefined ? undefined : new Int32Array(bytes.buffer, bytes.byteOffset, end - position)
  }

  /** A step [position, end) of this epoch was computed. Returns whether it begins before an earlier one ended. */
  computed(position: number, end: number): boolean {
    // What was computed again need not be replayed; after a rollback the next hop's older states are void, too.
    this.#replayEnd = Math.min(this.#replayEnd, position)
    const isRollback = position < this.#computedEnd
    if (isRollback) this.#skipBelow = Math.min(this.#skipBelow, position)
    this.#computedEnd = end
    return isRollback
  }

  /** What was computed in one step goes on in as many as its frames take, without drafts then; the last of them samples. */
  pushHidden(step: StepFrame, bytes: Uint8Array): void {
    const { position, tokens: all, sample, drafts = [], masks, spans } = step
    const ids = this.#retainedIds === undefined ? undefined : idsOf(step)
    const row = bytes.length / all
    const proposed = all <= this.stepTokens ? drafts : []
    const tokens = all - drafts.length + proposed.length
    for (let at = 0; at < tokens; at += this.stepTokens) {
      const end = Math.min(tokens, at + this.stepTokens)
      this.#outbox.push({
        kind: 'hidden',
        position: position + at,
        tokens: end - at,
        sample: sample && end === tokens,
        bytes: bytes.subarray(at * row, end * row),
        ids: ids?.subarray(at, end),
        drafts: proposed,
        masks: end === tokens ? masks?.slice(0, 1 + proposed.length) : undefined,
        spans: end === tokens ? spans : undefined
      })
    }
  }

  pushTokens(tokens: Omit<TokenFrame, 'epoch' | 'kind'>): void {
    this.#outbox.push({ kind: 'token', ...tokens })
  }

  pushScores(scores: PromptScores): void {
    this.#outbox.push({ kind: 'scores', ...scores })
  }

  // ── Sending ─────────────────────────────────────────────────────────────────────────────────────

  /** The next frame that may be sent, and whether it is one of a replay; undefined when there is none, or no credit. */
  next(
    epoch: number
  ): { readonly frame: StepFrame | TokenFrame | ScoresFrame; readonly isReplay: boolean } | undefined {
    if (!this.#isOpen || !this.#aligned) return undefined
    if (this.#replayAt < this.#replayEnd) {
      const position = this.#replayAt
      const border = (Math.floor(position / retainBlockTokens) + 1) * retainBlockTokens
      const tokens = Math.min(border, this.#replayEnd, position + this.stepTokens) - position
      if (!this.#sent.allows(tokens)) return undefined
      this.#replayAt += tokens
      const end = position + tokens
      const states = this.retained(position, end)
      return {
        frame: this.#step({ epoch, position, tokens, sample: false, ids: this.retainedIds(position, end) }, states),
        isReplay: true
      }
    }
    for (let output = this.#outbox[0]; output !== undefined; output = this.#outbox[0]) {
      if (output.kind !== 'hidden') {
        this.#outbox.shift()
        return { frame: { ...output, epoch }, isReplay: false }
      }
      const { position, tokens, sample, bytes, ids, drafts, masks, spans } = output
      // A step with drafts begins with the row before them at the latest: where the driver says that the next hop has more, it
      // computes that again.
      const last = drafts.length === 0 ? tokens : tokens - 1 - drafts.length
      const skip = Math.min(Math.max(0, this.#skipBelow - position), last)
      if (skip < tokens) {
        if (!this.#sent.allows(tokens - skip)) return undefined
        this.#outbox.shift()
        const rest = skip === 0 ? bytes : bytes.subarray((bytes.length / tokens) * skip)
        const step = {
          epoch,
          position: position + skip,
          tokens: tokens - skip,
          sample,
          ids: ids?.subarray(skip),
          masks,
          spans
        }
        return { frame: this.#step(drafts.length === 0 ? step : { ...step, drafts }, rest), isReplay: false }
      }
      this.#outbox.shift()
    }
    return undefined
  }

  #step(step: Omit<StepFrame, 'kind' | 'input'>, bytes: Uint8Array): StepFrame {
    this.#sent.sent(step.tokens)
    return { kind: 'step', ...step, input: { kind: 'hidden', bytes } }
  }

  /** The next hop gives credit, or says for the first time how long its cache is. Returns what is wrong with it. */
  acked({ length, steps, tokens }: AckFrame, keep: number): string | undefined {
    if (this.isTail || !this.#sent.acked(steps, tokens)) {
      return `an ack of ${steps} steps and ${tokens} tokens that were not sent`
    }
    if (this.#nextLength !== undefined) return undefined
    if (length > keep) return `a length of ${length} where ${keep} is all that is valid`
    this.#nextLength = length
    this.#align()
    return undefined
  }
}

function rowBytes(stage: StageFacts): number {
  return stage.hidden * edgeSize(stage.edge)
}
