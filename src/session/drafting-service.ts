/**
 * Has a draft model go on with the text of one session. It computes in its engine's thread, one token after the other, as long as
 * more are asked for; its cache follows the text, cut to where the two part (promise P2).
 */
import type { SessionId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import type { CacheType } from '../base/cache-type.ts'
import { stepTokensMax } from '../engine/limits.ts'
import type { Sampling } from '../engine/engine.ts'
import { NoRoomError } from '../errors.ts'
import type { DraftAsk, Drafted } from './event.ts'
import type { DraftModel } from './parts.ts'

export interface DraftingInit {
  readonly model: DraftModel
  readonly session: SessionId
  /** Tokens of the whole session. */
  readonly tokensMax: number
  /** With the session's own it draws, where both models are as sure of a token, what the tail draws. */
  readonly sampling: Sampling
  /** Whose texts may begin alike: what was computed for one is for the next. */
  readonly owner: string
  readonly onDrafted: (drafted: Drafted) => void
  /** It drafts no more. `message`: what went wrong, where it did: not that there is no room for one more text, or an id that it has not. */
  readonly onGone: (message: string | undefined) => void
}

/** In what a draft model's keys and values are held: whatever the session has, float32 is as fast. */
const cache: CacheType = 'f32'

export class Drafting {
  readonly #init: DraftingInit
  /** What was asked last; undefined once it is answered. */
  #asked: DraftAsk | undefined
  /** Ids whose keys and values its cache holds. */
  readonly #held: number[] = []
  /** So many of them are the text's, whatever follows. */
  #agreed = 0
  /** What it says follows the first `#length` tokens of the text. */
  #drafts: number[] = []
  #length = 0
  #isOpen = false
  #isWorking = false
  readonly #stopping = new AbortController()

  constructor(init: DraftingInit) {
    this.#init = init
  }

  ask(ask: DraftAsk): void {
    if (this.#stopping.signal.aborted) return
    this.#asked = ask
    if (!this.#isWorking) void this.#work()
  }

  /** Frees its cache once what it computes is done; nothing is told any more. */
  stop(): void {
    if (this.#stopping.signal.aborted) return
    this.#stopping.abort(new Error('the session has ended'))
    if (!this.#isWorking) void this.#free()
  }

  async #work(): Promise<void> {
    const { model, onDrafted } = this.#init
    const { signal } = this.#stopping
    this.#isWorking = true
    try {
      for (let asked = this.#asked; asked !== undefined && !signal.aborted; asked = this.#asked) {
        this.#follow(asked)
        if (this.#drafts.length >= asked.count) this.#asked = undefined
        else if (this.#lacks(asked)) this.#end(undefined)
        else if (await this.#step(asked)) onDrafted({ length: this.#length, ids: [...this.#drafts] })
      }
    } catch (error) {
      if (!signal.aborted) {
        // Other sessions draft on: this one does without.
        const isFull = error instanceof NoRoomError
        if (!isFull) model.onFailed(error as Error)
        this.#end(isFull ? undefined : `the draft model ${model.name} drafts no more: ${reasonOf(error)}`)
      }
    } finally {
      this.#isWorking = false
      if (signal.aborted) void this.#free()
    }
  }

  #end(message: string | undefined): void {
    this.#stopping.abort(new Error('it drafts no more'))
    this.#init.onGone(message)
  }

  /** Whether the text has ids that the model has not, beyond those that both share. */
  #lacks({ text, length }: DraftAsk): boolean {
    for (let at = this.#agreed; at < length; at++) if (text[at]! >= this.#init.model.vocab) return true
    return false
  }

  /** The text has so many tokens now: what was drafted stands as far as it has come true. */
  #follow({ text, length }: DraftAsk): void {
    const known = length - this.#length
    const isTrue = known >= 0 && this.#drafts.every((id, i) => i >= known || id === text[this.#length + i])
    this.#drafts = isTrue ? this.#drafts.slice(known) : []
    this.#length = length
    const end = Math.min(this.#held.length, length)
    while (this.#agreed < end && this.#held[this.#agreed] === text[this.#agreed]) this.#agreed++
    // Beyond the text it may hold what it has drafted itself.
    if (this.#agreed < length || this.#drafts.length === 0) this.#held.length = this.#agreed
  }

  /** Reads what it has not read, or the first part of that. True when that has made one more draft. */
  async #step({ text }: DraftAsk): Promise<boolean> {
    const { model, session, sampling, tokensMax, owner } = this.#init
    const { signal } = this.#stopping
    if (!this.#isOpen) {
      await model.engine.open(session, { tokensMax: Math.min(tokensMax, model.contextMax), sampling, cache, owner })
      this.#isOpen = true
    }
    const [length, drafts] = [this.#length, this.#drafts]
    const end = length + drafts.length
    // The last one is read again where it is known already: what follows it was not drawn, or is forgotten.
    const position = Math.min(this.#held.length, end - 1)
    const tokens = Math.min(end - position, stepTokensMax)
    const ids = Int32Array.from({ length: tokens }, (_, i) => {
      const at = position + i
      return at < length ? text[at]! : drafts[at - length]!
    })
    const sample = position + tokens === end
    const input = { kind: 'ids', ids } as const
    const out = await model.engine.run({ session, position, tokens, input, sample }, { signal })
    this.#held.length = position
    this.#agreed = Math.min(this.#agreed, position)
    for (const id of ids) this.#held.push(id)
    if (out.kind !== 'tokens') return false
    drafts.push(out.ids[0]!)
    return true
  }

  async #free(): Promise<void> {
    // An engine that has ended has nothing to free.
    if (this.#isOpen) await this.#init.model.engine.free(this.#init.session).catch(() => {})
  }
}
