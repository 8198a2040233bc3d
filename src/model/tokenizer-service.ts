/**
 * The tokenizers of a peer, each in a thread of its own: one that never ends on some text costs the asks about its own
 * model a deadline, and no other model anything; a model's tables go with its thread when nobody asks about it.
 */
import type { ModelId } from '../base/ids.ts'
import { stat } from '../disk/files.ts'
import { EngineError, NoRoomError } from '../errors.ts'
import {
  longTextCharsMin,
  longTextIdleMs,
  longTextsMax,
  tokenizerHeapFactor,
  tokenizerIdleMs,
  tokenizerMs,
  tokenizerStartMs,
  tokenizersMax
} from './limits.ts'
import type { Manifest } from './manifest.ts'
import { checkConversation, type Conversation, type ConversationPrompt, type ConversationRoom } from './chat.ts'
import { Thread } from './thread.ts'
import type { TokenizerFacts, TokenizerInit, TokenizerRequest, TokenizerText, TextState } from './tokenizer-messages.ts'

export interface TokenizersInit {
  /** Tokenizers that are held at a time. @default tokenizersMax */
  readonly max?: number
  /** Time for one text or some tokens. @default tokenizerMs */
  readonly deadlineMs?: number
  /** A tokenizer that is not asked for so long is let go of. @default tokenizerIdleMs */
  readonly idleMs?: number
}

/** A model's tokenizer, and where its verified file is; the file is asked for whenever its thread starts. */
export interface TokenizerSource {
  readonly id: ModelId
  readonly manifest: Pick<Manifest, 'name' | 'bosId' | 'eosIds' | 'chatTemplate'>
  readonly file: (signal: AbortSignal) => Promise<string>
}

/** Text as it comes for ids that follow a prompt. */
export interface TextStream {
  /** Adds ids: the text that is now certain. `last`: no more ids come, what is held back is due as well. */
  push(ids: readonly number[], options?: { last?: boolean; signal?: AbortSignal | undefined }): Promise<string>
}

interface Held {
  readonly thread: Thread
  /** For long texts alone, so that nobody else waits for them: it is there for as long as somebody asks about one. */
  readonly long: Thread
  /** Asks that are under way. */
  users: number
}

export class Tokenizers {
  readonly #max: number
  readonly #deadlineMs: number
  readonly #idleMs: number
  /** By model, the last asked for at the end. */
  readonly #held = new Map<ModelId, Held>()
  #closed = false

  constructor({ max = tokenizersMax, deadlineMs = tokenizerMs, idleMs = tokenizerIdleMs }: TokenizersInit = {}) {
    this.#max = max
    this.#deadlineMs = deadlineMs
    this.#idleMs = idleMs
  }

  /** Models whose tokenizers are held. */
  get size(): number {
    return this.#held.size
  }

  /**
   * The tokenizer of a model, until `close`. Its thread starts when it is first asked something. The one that was not
   * asked for longest makes room.
   *
   * @throws {NoRoomError} when as many models are being asked about as are held
   */
  open(source: TokenizerSource): Tokenizing {
    if (this.#closed) throw new EngineError('the tokenizers of this peer are closed')
    let held = this.#held.get(source.id)
    if (held === undefined) {
      this.#makeRoom()
      held = {
        thread: this.#thread(source, { idleMs: this.#idleMs }),
        long: this.#thread(source, { idleMs: Math.min(longTextIdleMs, this.#idleMs), queueMax: longTextsMax }),
        users: 0
      }
    }
    this.#held.delete(source.id)
    this.#held.set(source.id, held)
    held.users++
    return new Tokenizing(held, this.#deadlineMs, () => {
      held.users--
      if (this.#closed && held.users === 0) void ended(held)
    })
  }

  /**
   * Ends all threads that no ask has: the text of an answer that is read on after its end has still to be made. Those
   * end with their asks, or when nothing is asked of them for a while, and keep no process.
   */
  async close(): Promise<void> {
    this.#closed = true
    const held = [...this.#held.values()].filter(({ users }) => users === 0)
    await Promise.all(held.map(ended))
  }

  #makeRoom(): void {
    if (this.#held.size < this.#max) return
    const oldest = [...this.#held].find(([, { users }]) => users === 0)
    if (oldest === undefined) {
      throw new NoRoomError(`${this.#max} models are being asked about here, and no more can be at a time`)
    }
    this.#held.delete(oldest[0])
    void ended(oldest[1])
  }

  #thread({ manifest, file }: TokenizerSource, init: { readonly idleMs: number; readonly queueMax?: number }): Thread {
    const { name, bosId, eosIds, chatTemplate } = manifest
    return new Thread({
      file: workerFile(),
      name: `the tokenizer of ${name}`,
      startMs: tokenizerStartMs,
      ...init,
      data: async signal => {
        const path = await file(signal)
        const { size } = await stat(path)
        const workerData: TokenizerInit = { from: { file: path }, name, bosId, eosIds, chatTemplate }
        return { workerData, heapBytes: tokenizerHeapFactor * size }
      }
    })
  }
}

async function ended({ thread, long }: Held): Promise<void> {
  await Promise.all([thread.close(), long.close()])
}

/** A model's tokenizer in its thread, for one ask. */
export class Tokenizing {
  readonly #held: Held
  readonly #deadlineMs: number
  readonly #onClose: () => void
  #open = true

  constructor(held: Held, deadlineMs: number, onClose: () => void) {
    this.#held = held
    this.#deadlineMs = deadlineMs
    this.#onClose = onClose
  }

  /**
   * Length of its longest token: no text of n tokens has more than n times as many characters.
   *
   * @throws what its file says, {DeadlineError} when that cannot be read in time; the signal's reason
   */
  async longest({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<number> {
    const facts = await this.#held.thread.ask(undefined, { what: 'start', deadlineMs: this.#deadlineMs, signal })
    return (facts as TokenizerFacts).longest
  }

  /**
   * As `ModelTokenizer.encode`.
   *
   * @throws as that, {DeadlineError} that names the model; the signal's reason
   */
  async encode(
    text: string,
    {
      special = false,
      bare = false,
      signal
    }: { special?: boolean; bare?: boolean; signal?: AbortSignal | undefined } = {}
  ): Promise<number[]> {
    const request: TokenizerRequest = { kind: 'encode', text, special, bare }
    return [...((await this.#ask(request, `encode a text of ${text.length} characters`, signal)) as Int32Array)]
  }

  /** As `ModelTokenizer.encodeWhole`. @throws as {@link encode} */
  async encodeWhole(
    text: string,
    { signal }: { signal?: AbortSignal | undefined } = {}
  ): Promise<{ readonly ids: readonly number[]; readonly tokens: number }> {
    const what = `encode a text of ${text.length} characters`
    return (await this.#ask({ kind: 'whole', text }, what, signal)) as { ids: number[]; tokens: number }
  }

  /**
   * As `promptOf` of `conversation.ts`.
   *
   * @throws {InvalidOptionError} when it is no conversation; as that, {DeadlineError} that names the model; the signal's reason
   */
  async chat(
    conversation: Conversation,
    room: ConversationRoom,
    { signal }: { signal?: AbortSignal | undefined } = {}
  ): Promise<ConversationPrompt> {
    // What is no plain data cannot be given to a thread.
    checkConversation(conversation)
    const request: TokenizerRequest = { kind: 'chat', conversation, room }
    const what = `write the prompt of a conversation of ${conversation.messages.length} messages`
    return (await this.#ask(request, what, signal)) as ConversationPrompt
  }

  /** As `ModelTokenizer.vocabulary`. @throws what its file says, {DeadlineError}; the signal's reason */
  async vocabulary({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<string> {
    return (await this.#ask({ kind: 'vocabulary' }, 'list its tokens', signal)) as string
  }

  /** As `ModelTokenizer.bytes`, of each of some ids. @throws what its file says, {DeadlineError}; the signal's reason */
  async bytes(
    ids: readonly number[],
    { signal }: { signal?: AbortSignal | undefined } = {}
  ): Promise<readonly Uint8Array[]> {
    return (await this.#ask({ kind: 'bytes', ids }, `spell ${ids.length} tokens`, signal)) as Uint8Array[]
  }

  /** As `ModelTokenizer.stream`. Where it stands is kept here, so it outlives the thread. */
  stream(prompt: readonly number[]): TextStream {
    let from: TextState | { readonly prompt: Int32Array } = { prompt: Int32Array.from(prompt) }
    return {
      push: async (ids, { last = false, signal } = {}) => {
        const request: TokenizerRequest = { kind: 'text', from, ids, last }
        const answer = (await this.#ask(request, `decode ${ids.length} tokens`, signal)) as TokenizerText
        from = answer.state
        return answer.text
      }
    }
  }

  /** Lets go of it. Safe to call twice. */
  close(): void {
    if (this.#open) this.#onClose()
    this.#open = false
  }

  #ask(request: TokenizerRequest, what: string, signal: AbortSignal | undefined): Promise<unknown> {
    const thread = isLong(request) ? this.#held.long : this.#held.thread
    return thread.ask(request, { what, deadlineMs: this.#deadlineMs, signal })
  }
}

/** Whether it may take longer than others should wait. Conversations are bounded by themselves, and so is what an answer adds. */
function isLong(request: TokenizerRequest): boolean {
  if (request.kind === 'encode' || request.kind === 'whole') return request.text.length > longTextCharsMin
  return (request.kind === 'bytes' || request.kind === 'text') && request.ids.length > longTextCharsMin
}

/** Compiled or not, it lies beside this file. */
function workerFile(): URL {
  const own = import.meta.url.endsWith('.ts') ? './tokenizer-worker.ts' : './tokenizer-worker.js'
  return new URL(own, import.meta.url)
}

/** What an import asks of a tokenizer that no model has yet. */
export class ImportedTokenizer {
  readonly #thread: Thread
  readonly #deadlineMs: number
  readonly #signal: AbortSignal

  /**
   * @param bytes of a `tokenizer.json` that nobody has checked
   * @param deadlineMs time for each question. @default tokenizerMs
   */
  constructor(
    bytes: Uint8Array,
    { name, signal, deadlineMs = tokenizerMs }: { name: string; signal: AbortSignal; deadlineMs?: number | undefined }
  ) {
    const workerData: TokenizerInit = { from: { bytes }, name, bosId: null, eosIds: [], chatTemplate: null }
    this.#deadlineMs = deadlineMs
    this.#signal = signal
    this.#thread = new Thread({
      file: workerFile(),
      name: `the tokenizer of ${name}`,
      startMs: tokenizerStartMs,
      idleMs: tokenizerIdleMs,
      data: async () => ({ workerData, heapBytes: tokenizerHeapFactor * bytes.length })
    })
  }

  /** One more than its largest id. @throws what its file says, {DeadlineError}, {EngineError}; the signal's reason */
  async size(): Promise<number> {
    return ((await this.#ask(undefined, 'start')) as TokenizerFacts).size
  }

  /** The id of a token that is spelt so; undefined when there is none. @throws as {@link size} */
  async id(token: string | undefined): Promise<number | undefined> {
    if (token === undefined) return undefined
    return (await this.#ask({ kind: 'id', token }, 'look up a token')) as number | undefined
  }

  /** Whether it would put this id in front of a text by itself. @throws as {@link size} */
  async putsInFront(id: number): Promise<boolean> {
    return (await this.#ask({ kind: 'front', id }, 'encode a text')) as boolean
  }

  /** Ids of a text, without what it would put in front. @throws as {@link size} */
  async encode(text: string): Promise<number[]> {
    return [...((await this.#ask({ kind: 'encode', text, special: false }, 'encode a text')) as Int32Array)]
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }

  #ask(request: TokenizerRequest | undefined, what: string): Promise<unknown> {
    return this.#thread.ask(request, { what, deadlineMs: this.#deadlineMs, signal: this.#signal })
  }
}
