/**
 * The engine's thread: what computes is synchronous or takes long, so it must not share a thread with the network
 * (promise P7). This file knows sessions, edges and the sampler; the layers themselves are a runtime's.
 */
import { hash } from 'node:crypto'
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { type EngineError, InvalidStepError } from '../errors.ts'
import type { CacheType } from '../base/cache-type.ts'
import { Drawing, firstDrawn } from './drawing.ts'
import { decodeEdge, encodeEdge } from './edge.ts'
import { edgeSize, type Sampling } from './engine.ts'
import { checkMasks } from './mask.ts'
import { type CacheBlocks, type Known, type Link, Prefixes } from './prefixes.ts'
import { needsText } from './penalties.ts'
import { failed, given } from './part-replies.ts'
import { PromptScoring } from './prompt-scoring.ts'
import { threadNowMs } from './thread-clock.ts'
import { putReply, SessionNumbers, takePass, waysOf } from './thread-share.ts'
import type {
  CheckedKernels,
  PartReply,
  SpanInit,
  ThreadPart,
  ThreadReply,
  ThreadRequest,
  ThreadStep
} from './thread-messages.ts'

/** A session's keys and values, however a runtime keeps them. */
export interface LayersCache {
  /** Tokens in it. */
  readonly length: number
  /** The most that it has had since it was empty; undefined where it gives nothing back by that. */
  readonly reached?: number
  /** Drops every token from `length` on; all of them where it has given back what it would need at that length. */
  truncate(length: number): void
  /** Gives its memory back. */
  free(): void
}

/** Tokens of one session that follow its cache's last one. */
export interface Part<Cache extends LayersCache = LayersCache> {
  readonly cache: Cache
  /** ids [tokens] where the span begins with layer 0, otherwise hidden [tokens, hidden], finite */
  readonly input: Int32Array | Float32Array
  readonly tokens: number
  /** After the last layer: how many of its last tokens' hidden states are wanted. @default 1 */
  readonly wanted?: number
}

/** Layers [start, end) of a model, as a runtime computes them. */
export interface Layers<Cache extends LayersCache = LayersCache> {
  /** What other threads of this process need not compile. */
  readonly kernels?: CheckedKernels | undefined
  /** Blocks of caches that sessions can share; without them all is computed. */
  readonly blocks?: CacheBlocks<Cache, unknown>
  /** @throws {EngineError} when there is no memory for it. */
  open(tokensMax: number, type: CacheType): Cache
  /**
   * Runs tokens of several sessions, each once, and adds them to their caches.
   *
   * @returns by part: hidden [tokens, hidden], rounded to the edge type; after the last layer those of its last `wanted`
   *   tokens alone, [wanted, hidden], not rounded; valid until the next pass. Or what is wrong with it, as values that are not finite: what its cache then holds
   *   beyond its length before is void.
   * @param onNearEnd called a moment before all is computed, by a runtime that knows when that is
   * @throws {EngineError} when nothing can be computed; the caches then are as for parts that fail.
   */
  pass(
    parts: readonly Part<Cache>[],
    onNearEnd?: () => void
  ): readonly (Float32Array | EngineError)[] | Promise<readonly (Float32Array | EngineError)[]>
  /** Logits [vocab] of tokens from their hidden states [hidden] after the last layer; `use` may keep nothing of them. */
  eachLogits(rows: readonly Float32Array[], use: (logits: Float32Array, index: number) => void): void | Promise<void>
  release(): void | Promise<void>
}

/** A step that is being computed. */
interface UnderWay {
  readonly step: ThreadStep
  /** Checked and decoded, of the tokens that are computed. */
  readonly input: Int32Array | Float32Array
  readonly known: Known<unknown> | undefined
  /** What the parts so far gave to the next stage. */
  readonly out: Uint8Array | undefined
  /** Hidden states [hidden] after the last layer, of the tokens after which one is drawn. */
  readonly rows: Float32Array[]
  done: number
}

interface Session<Cache> {
  readonly cache: Cache
  readonly sampling: Sampling
  /** [tokensMax] the ids of the text, as far as the cache goes, where tokens are drawn by them. */
  readonly ids: Int32Array | undefined
  /** After the last layer, where what the model makes of the prompt is told. */
  readonly scoring: PromptScoring | undefined
  under: UnderWay | undefined
  /** A step that has not begun: what another one gives at this moment it need not compute. */
  waiting?: ThreadStep | undefined
}

/** A part that was computed, of which logits are looked at; `index`: in the pass. `isDrawn`: its step ends, and tokens are drawn. */
interface Computed<Cache> {
  readonly index: number
  readonly session: Session<Cache>
  readonly isDrawn: boolean
}

/** Loads, says so or why not, and answers requests one at a time until it is told to close. */
export async function serveThread<Cache extends LayersCache>(
  port: MessagePort,
  span: SpanInit,
  load: () => Layers<Cache> | Promise<Layers<Cache>>
): Promise<void> {
  try {
    const layers = await load()
    const served = new Served(span, layers)
    port.postMessage({ kind: 'done', kernels: layers.kernels } satisfies ThreadReply)
    if (span.share === undefined) serveMessages(port, served)
    else await serveShared(port, span.share, served)
  } catch (error) {
    port.postMessage(failed(error))
  }
}

/** Serves requests that come by message. */
function serveMessages(port: MessagePort, served: Served<LayersCache>): void {
  port.on('message', async (request: ThreadRequest) => {
    await served.serve(request, reply => post(port, reply))
    // Nothing else keeps the thread: it ends when its last message is out.
    if (request.kind === 'close') port.close()
  })
}

/** Serves passes as they come to lie in shared memory, and what comes by message as is said there, until it is told to close. */
async function serveShared(port: MessagePort, share: SharedArrayBuffer, served: Served<LayersCache>): Promise<void> {
  const { there, back } = waysOf(share)
  const sessions = new SessionNumbers()
  let isClosed = false
  for (let said = 0; !isClosed; said = (said + 1) | 0) {
    there.wait(said)
    const request = takePass(there, sessions) ?? (receiveMessageOnPort(port)?.message as ThreadRequest | undefined)
    if (request === undefined) continue
    sessions.asked(request)
    const tell = (reply: ThreadReply): void => {
      sessions.answered(reply)
      if (reply.kind === 'pass' && putReply(back, reply)) back.ring()
      else post(port, reply)
    }
    await served.serve(request, tell, () => back.announce())
    isClosed = request.kind === 'close'
  }
  port.close()
}

function post(port: MessagePort, reply: ThreadReply): void {
  const buffers =
    reply.kind === 'pass'
      ? reply.parts.flatMap(part => (part.kind === 'hidden' ? [part.bytes.buffer as ArrayBuffer] : []))
      : []
  port.postMessage(reply, buffers)
}

class Served<Cache extends LayersCache> {
  readonly #span: SpanInit
  readonly #layers: Layers<Cache>
  readonly #sessions = new Map<string, Session<Cache>>()
  readonly #prefixes: Prefixes<Cache, unknown> | undefined

  constructor(span: SpanInit, layers: Layers<Cache>) {
    this.#span = span
    this.#layers = layers
    const { blocks } = layers
    const { config, edge, end } = span
    const rowBytes = end === config.layers ? 0 : config.hidden * edgeSize(edge)
    this.#prefixes = blocks === undefined ? undefined : new Prefixes({ blocks, rowBytes, link: sha256Link() })
  }

  /** @param announce called a moment before `tell` where that is known */
  async serve(request: ThreadRequest, tell: (reply: ThreadReply) => void, announce = (): void => {}): Promise<void> {
    let reply: ThreadReply
    try {
      reply = await this.#answer(request, announce)
    } catch (error) {
      reply = failed(error)
    }
    tell(reply)
    this.#prefixes?.catchUp()
  }

  async #answer(request: ThreadRequest, announce: () => void): Promise<ThreadReply> {
    switch (request.kind) {
      case 'open': {
        const { session, tokensMax, cache, sampling, owner } = request
        const isTail = this.#span.end === this.#span.config.layers
        const ids = isTail && needsText(sampling) ? new Int32Array(tokensMax) : undefined
        const scoring = isTail && sampling.promptLogprobs !== undefined ? new PromptScoring(sampling) : undefined
        const layersCache = this.#layers.open(tokensMax, cache)
        this.#sessions.set(session, { cache: layersCache, sampling, ids, scoring, under: undefined })
        // What a block of a cache holds depends on its type. What is known is not computed, and all rows of a prompt that is scored are.
        if (owner !== undefined && scoring === undefined) this.#prefixes?.open(session, `${cache} ${owner}`)
        return { kind: 'done', prefixBytes: this.#prefixes?.bytes }
      }
      case 'limit':
        this.#prefixes?.limit(request.cacheBytesMax)
        return { kind: 'done', prefixBytes: this.#prefixes?.bytes }
      case 'pass':
        return { ...(await this.#pass(request.parts, announce)), prefixBytes: this.#prefixes?.bytes ?? 0 }
      case 'free':
        this.#prefixes?.free(request.session)
        this.#sessions.get(request.session)?.cache.free()
        this.#sessions.delete(request.session)
        return { kind: 'done', prefixBytes: this.#prefixes?.bytes }
      case 'close':
        this.#sessions.clear()
        await this.#layers.release()
        return { kind: 'done' }
    }
  }

  async #pass(
    parts: readonly ThreadPart[],
    announce: () => void
  ): Promise<Omit<Extract<ThreadReply, { kind: 'pass' }>, 'prefixBytes'>> {
    const beganMs = threadNowMs()
    const replies: PartReply[] = []
    const computed: { readonly index: number; readonly session: Session<Cache>; readonly part: Part<Cache> }[] = []
    for (const [index, part] of parts.entries()) {
      const session = this.#sessions.get(part.session)
      assert(session !== undefined, () => `session ${part.session} is not open`)
      try {
        const begun = this.#begin(session, part)
        if ('reused' in begun) replies[index] = begun
        else computed.push({ index, session, part: begun })
      } catch (error) {
        replies[index] = failedPart(session, error)
      }
    }
    this.#prefixes?.makeRoom(this.#prefixes.needs(computed.map(({ part }) => part)))
    const read: Computed<Cache>[] = []
    let sampledMs: number | undefined
    try {
      const all = computed.map(({ part }) => part)
      // At the tail the head of the model and drawing tokens come after it.
      const onNearEnd = this.#span.end < this.#span.config.layers ? announce : undefined
      const outs = computed.length === 0 ? [] : await this.#layers.pass(all, onNearEnd)
      for (const [i, { index, session, part }] of computed.entries()) {
        const out = outs[i]!
        if (out instanceof Error) {
          replies[index] = voided(session, out)
          continue
        }
        const reply = this.#handOn(session, part, out)
        if (reply !== undefined) replies[index] = reply
        if (reply === undefined || session.scoring !== undefined)
          read.push({ index, session, isDrawn: reply === undefined })
      }
      if (read.length > 0) sampledMs = threadNowMs()
      await this.#readLogits(read, replies, announce)
    } catch (error) {
      for (const { index, session } of computed) replies[index] = voided(session, error)
    }
    for (const [index, { session }] of parts.entries()) {
      const { kind } = replies[index]!
      if (kind !== 'going') this.#end(session, kind === 'failed')
    }
    const endedMs = threadNowMs()
    return {
      kind: 'pass',
      parts: replies,
      beganMs,
      computeMs: endedMs - beganMs,
      sampleMs: endedMs - (sampledMs ?? endedMs)
    }
  }

  /**
   * Checks a step with its first part, and cuts the cache to where it starts. Where some of it is known that is all that is done
   * with this part. @throws {InvalidStepError} for bad values.
   */
  #begin(session: Session<Cache>, part: ThreadPart): Part<Cache> | (PartReply & { readonly reused: number }) {
    const { cache } = session
    const { step = session.waiting, tokens } = part
    if (step !== undefined) {
      session.waiting = undefined
      const under = this.#beginStep(part.session, session, step)
      if ('waitsFor' in under) {
        session.waiting = step
        return { kind: 'going', reused: 0, ...under }
      }
      session.under = under
      const { known, out } = under
      if (known !== undefined && known.tokens > 0) {
        const reused = known.tokens
        return reused < step.tokens ? { kind: 'going', reused } : { ...given(out), reused }
      }
    }
    assert(session.under !== undefined, 'a step begins with its first part')
    const { input, done, known, step: all } = session.under
    const reused = known?.tokens ?? 0
    const width = input.length / (all.tokens - reused)
    const first = Math.min(firstDrawn(all), session.scoring?.first ?? all.tokens)
    const wanted = Math.max(0, done + tokens - Math.max(first, done))
    const from = done - reused
    return { cache, input: input.subarray(from * width, (from + tokens) * width), tokens, wanted }
  }

  #beginStep(
    session: string,
    { cache, ids, scoring }: Session<Cache>,
    step: ThreadStep
  ): UnderWay | { readonly waitsFor: string } {
    const { config, start, end, edge } = this.#span
    const { position, tokens, input: given, sample, drafts } = step
    if (step.masks !== undefined) checkMasks(step.masks, { rows: 1 + drafts.length, vocab: config.vocab })
    const bytes = new Uint8Array(given.buffer, given.byteOffset, given.byteLength)
    const came = { position, tokens, bytes, least: sample ? 1 + drafts.length : 0 }
    const known = this.#prefixes?.find(session, came)
    const waitsFor = known === undefined ? undefined : this.#prefixes?.awaited(session, came, known)
    if (waitsFor !== undefined) return { waitsFor }
    const reused = known?.tokens ?? 0
    const rest = (values: number): number => (reused * values) / tokens
    const input =
      start === 0
        ? this.#checkedIds((given as Int32Array).subarray(reused))
        : decodeEdge((given as Uint8Array).subarray(rest(given.length)), edge, (tokens - reused) * config.hidden)
    const out = end === config.layers ? undefined : new Uint8Array(tokens * config.hidden * edgeSize(edge))
    const text = ids === undefined ? undefined : this.#checkedIds(start === 0 ? (given as Int32Array) : step.ids!)
    // From here on the step may change the cache.
    cache.truncate(position)
    assert(cache.length === position, `a cache that has ${cache.length} tokens does not go on from ${position}`)
    if (text !== undefined) ids!.set(text, position)
    scoring?.begins(step)
    this.#prefixes?.begin(session, cache, known, out)
    if (known !== undefined) this.#prefixes?.expect(session, came, known)
    return { step, input, known, out, rows: [], done: reused }
  }

  /** A step is over. */
  #end(name: string, hasFailed: boolean): void {
    const session = this.#sessions.get(name)!
    const { under, cache } = session
    session.under = undefined
    this.#prefixes?.over(name)
    if (under === undefined || hasFailed) return
    this.#prefixes?.end(name, cache, under.step.position, under.known, under.out)
  }

  /** What becomes of a part that was computed; undefined where its step ends and tokens are drawn. */
  #handOn(
    { under, scoring }: Session<Cache>,
    { tokens, wanted }: Part<Cache>,
    hidden: Float32Array
  ): PartReply | undefined {
    const { out, rows, step, done } = under!
    under!.done += tokens
    const goesOn = under!.done < step.tokens
    if (out !== undefined) out.set(encodeEdge(hidden, this.#span.edge), (done * out.length) / step.tokens)
    else {
      const { hidden: width } = this.#span.config
      for (let row = 0; row < wanted!; row++) {
        const index = done + tokens - wanted! + row
        const state = hidden.subarray(row * width, (row + 1) * width)
        scoring?.computed(step.position + index, state)
        // The next pass takes the place of what this one gave.
        if (index >= firstDrawn(step)) rows.push(goesOn ? state.slice() : state)
      }
    }
    if (goesOn) return { kind: 'going' }
    return step.sample ? undefined : given(out)
  }

  /**
   * Draws the tokens of steps that have ended: after each row in turn, as long as what was drawn is the draft that follows; and says what
   * the model makes of prompts. Logits that are not finite fail their own step alone.
   */
  async #readLogits(all: readonly Computed<Cache>[], replies: PartReply[], announce: () => void): Promise<void> {
    const drawn = all.map(({ session: { under, sampling, ids } }) => new Drawing(under!.step, sampling, ids))
    const failures = new Map<number, unknown>()
    const rows = all.flatMap(({ session, isDrawn }, of) => {
      const scored = (session.scoring?.takeRows() ?? []).map(row => ({ ...row, of, row: -1 }))
      if (!isDrawn) return scored
      const { step, rows } = session.under!
      const first = step.position + firstDrawn(step)
      return [...scored, ...rows.map((hidden, row) => ({ of, row, hidden, at: first + row }))]
    })
    if (rows.length > 0) {
      await this.#layers.eachLogits(
        rows.map(({ hidden }) => hidden),
        (logits, i) => {
          if (i === rows.length - 1) announce()
          const { of, row, at } = rows[i]!
          if (failures.has(of)) return
          const { session } = all[of]!
          try {
            if (row < 0) session.scoring!.score(at, logits, session.ids![at + 1]!)
            else drawn[of]!.draw(row, logits, at + 1)
          } catch (error) {
            failures.set(of, error)
          }
        }
      )
    }
    for (const [of, { index, session, isDrawn }] of all.entries()) {
      if (failures.has(of)) {
        replies[index] = voided(session, failures.get(of))
        continue
      }
      if (isDrawn) replies[index] = drawn[of]!.reply
      if (replies[index]!.kind === 'going') continue
      const prompt = session.scoring?.takeScores()
      if (prompt !== undefined) replies[index] = { ...replies[index]!, prompt }
    }
  }

  #checkedIds(ids: Int32Array): Int32Array {
    const { vocab } = this.#span.config
    const bad = ids.findIndex(id => id < 0 || id >= vocab)
    if (bad >= 0) throw new InvalidStepError(`token ids must lie in [0, ${vocab}), but there is ${ids[bad]}`)
    return ids
  }
}

/** Links of SHA-256: 32 bytes of what the one before stands for, and the row. */
function sha256Link(): Link {
  let joined = Buffer.alloc(0)
  return (before, row) => {
    if (joined.length !== before.length + row.length) joined = Buffer.alloc(before.length + row.length)
    joined.write(before, 0, 'latin1')
    joined.set(row, before.length)
    return hash('sha256', joined, 'binary')
  }
}

/** A step failed: whatever it has computed is void, what lies before its position stays. */
function voided({ cache, under }: Session<LayersCache>, error: unknown): PartReply {
  cache.truncate(under!.step.position)
  return failedPart({ cache }, error)
}

function failedPart({ cache }: Pick<Session<LayersCache>, 'cache'>, error: unknown): PartReply {
  return { ...failed(error), length: cache.length, reached: cache.reached ?? cache.length }
}
