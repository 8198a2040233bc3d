/**
 * What holds answers to a grammar, for each model in a thread of its own. A schema that takes longer than it may costs whoever asks with it
 * the deadline; the thread is ended, and other answers go on in a new one, which reads them again.
 */
import type { ModelId } from '../base/ids.ts'
import { stat } from '../disk/files.ts'
import { EngineError, NoRoomError } from '../errors.ts'
import { checkGrammar } from './grammar-check-service.ts'
import type { GrammarSpec } from './grammar-spec.ts'
import { type GrammarInit, type GrammarRequest, unknownText } from './grammar-messages.ts'
import {
  grammarIdleMs,
  grammarMasksMs,
  grammarModelsMax,
  grammarReadyMs,
  grammarStartMs,
  tokenizerHeapFactor
} from './limits.ts'
import type { Manifest } from './manifest.ts'
import { Thread } from './thread.ts'

/** A model for whose answers grammars are wanted, and where the verified file of its tokenizer is. */
export interface GrammarSource {
  readonly id: ModelId
  readonly manifest: Pick<Manifest, 'name' | 'bosId' | 'eosIds'>
  /** Ids that it draws from. */
  readonly vocab: number
  /** Asked whenever a thread starts. */
  readonly file: (signal: AbortSignal) => Promise<string>
}

export interface GrammarsInit {
  /** Models at a time. @default grammarModelsMax */
  readonly max?: number
  /** Time for a grammar to be made ready. @default grammarReadyMs */
  readonly readyMs?: number
  /** Time for the masks of one step. @default grammarMasksMs */
  readonly masksMs?: number
  /** A thread that is not asked for so long ends. @default grammarIdleMs */
  readonly idleMs?: number
}

type Masks = readonly Uint8Array[]

interface MasksOptions {
  readonly signal: AbortSignal
  /** The grammar begins after this id, before which any text may stand. @default it begins with the answer */
  readonly after?: number | undefined
}

interface Held {
  readonly thread: Thread
  /** Answers that are under way. */
  users: number
}

export class Grammars {
  readonly #init: Required<GrammarsInit>
  /** By model, the last opened at the end. */
  readonly #held = new Map<ModelId, Held>()
  #sessions = 0
  #isClosed = false

  constructor({
    max = grammarModelsMax,
    readyMs = grammarReadyMs,
    masksMs = grammarMasksMs,
    idleMs = grammarIdleMs
  }: GrammarsInit = {}) {
    this.#init = { max, readyMs, masksMs, idleMs }
  }

  /**
   * Holds one answer of a model to a grammar.
   *
   * @throws {InvalidOptionError} when no answer of this model can be held to it: says why
   * @throws {NoRoomError} when as many models are held as may be, {DeadlineError} when it cannot be made ready in time, what the
   *   tokenizer's file says; the signal's reason
   */
  async open(
    source: GrammarSource,
    spec: GrammarSpec,
    { signal }: { readonly signal: AbortSignal }
  ): Promise<AnswerGrammar> {
    await checkGrammar(spec, { signal })
    if (this.#isClosed) throw new EngineError('the grammars of this peer are closed')
    const held = this.#hold(source)
    held.users++
    const onClose = (): void => {
      held.users--
      if (this.#isClosed && held.users === 0) void held.thread.close()
    }
    const grammar = { key: JSON.stringify(spec), spec }
    try {
      const request: GrammarRequest = { kind: 'ready', ...grammar }
      await held.thread.ask(request, { what: 'make a grammar ready', deadlineMs: this.#init.readyMs, signal })
    } catch (error) {
      onClose()
      throw error
    }
    return new AnswerGrammar(held.thread, { session: this.#sessions++, grammar, masksMs: this.#init.masksMs, onClose })
  }

  /** Ends all threads that no answer has; the others end with theirs. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#held.values()].filter(({ users }) => users === 0).map(({ thread }) => thread.close()))
  }

  #hold(source: GrammarSource): Held {
    const held = this.#held.get(source.id) ?? { thread: this.#thread(source), users: 0 }
    if (!this.#held.has(source.id)) this.#makeRoom()
    this.#held.delete(source.id)
    this.#held.set(source.id, held)
    return held
  }

  #makeRoom(): void {
    if (this.#held.size < this.#init.max) return
    const oldest = [...this.#held].find(([, { users }]) => users === 0)
    if (oldest === undefined) {
      throw new NoRoomError(
        `answers of ${this.#init.max} models are held to a grammar here, and no more can be at a time`
      )
    }
    this.#held.delete(oldest[0])
    void oldest[1].thread.close()
  }

  #thread({ manifest, vocab, file }: GrammarSource): Thread {
    const { name, bosId, eosIds } = manifest
    return new Thread({
      file: new URL(import.meta.url.endsWith('.ts') ? './grammar-worker.ts' : './grammar-worker.js', import.meta.url),
      name: `the thread for grammars of ${name}`,
      startMs: grammarStartMs,
      idleMs: this.#init.idleMs,
      data: async signal => {
        const path = await file(signal)
        const { size } = await stat(path)
        const workerData: GrammarInit = { file: path, name, bosId, eosIds, vocab }
        return { workerData, heapBytes: tokenizerHeapFactor * size }
      }
    })
  }
}

interface AnswerInit {
  readonly session: number
  readonly grammar: { readonly key: string; readonly spec: GrammarSpec }
  readonly masksMs: number
  readonly onClose: () => void
}

/** What holds one answer to its grammar: the `Grammar` of a session. */
export class AnswerGrammar {
  readonly #thread: Thread
  readonly #init: AnswerInit
  /** Ids that the thread has read. */
  #read: number[] = []
  #isOpen = true

  constructor(thread: Thread, init: AnswerInit) {
    this.#thread = thread
    this.#init = init
  }

  /**
   * Which tokens may follow an answer.
   *
   * @param text ids of the answer so far, without the prompt's
   * @param drafts ids that may come next, one after the other
   * @returns [1 + drafts, or fewer] what may follow the text, the text with one draft, and so on up to the first draft that may not: of
   *   each ceil(vocab / 8) bytes with a bit for each token, the lowest bit of the first byte for id 0
   * @throws {EngineError} when the answer so far does not fit, {DeadlineError} when it cannot be told in time; the signal's reason
   */
  async masks(text: readonly number[], drafts: readonly number[], options: MasksOptions): Promise<Masks> {
    const isMore = this.#read.length <= text.length && this.#read.every((id, i) => id === text[i])
    const from = isMore ? this.#read.length : 0
    let masks = from === 0 ? unknownText : await this.#ask(text, from, drafts, options)
    // It was ended since, or has forgotten this answer for others.
    if (masks === unknownText) masks = await this.#ask(text, 0, drafts, options)
    if (masks === unknownText) throw new EngineError('the thread for grammars does not know an answer that it was told')
    this.#read = [...text]
    return masks
  }

  /** Lets go of it. Safe to call twice. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#init.onClose()
  }

  async #ask(
    text: readonly number[],
    from: number,
    drafts: readonly number[],
    { signal, after }: MasksOptions
  ): Promise<Masks | typeof unknownText> {
    const { session, grammar, masksMs } = this.#init
    const request: GrammarRequest = {
      kind: 'masks',
      session,
      grammar: from === 0 ? { ...grammar, after } : undefined,
      from,
      ids: text.slice(from),
      drafts
    }
    const what = 'say which tokens may follow an answer'
    return (await this.#thread.ask(request, { what, deadlineMs: masksMs, signal })) as Masks | typeof unknownText
  }
}
