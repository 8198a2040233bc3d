/**
 * The engine's thread: what computes is synchronous or takes long, so it must not share a thread with the network
 * (promise P7). This file knows sessions, edges and the sampler; the layers themselves are a runtime's.
 */
import type { MessagePort } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { InvalidStepError } from '../errors.ts'
import { decodeEdge, encodeEdge } from './edge.ts'
import type { Sampling } from './engine.ts'
import { sample } from './sampler.ts'
import type { SpanInit, ThreadReply, ThreadRequest } from './thread-messages.ts'

/** A session's keys and values, however a runtime keeps them. */
export interface LayersCache {
  /** Tokens in it. */
  readonly length: number
  /** Drops every token from `length` on. */
  truncate(length: number): void
  /** Gives its memory back. */
  free(): void
}

/** Layers [start, end) of a model, as a runtime computes them. */
export interface Layers<Cache extends LayersCache = LayersCache> {
  /** @throws {EngineError} when there is no memory for it. */
  open(tokensMax: number): Cache
  /**
   * Runs tokens that follow the cache's last one, and adds them to it.
   *
   * @param input ids [n] where the span begins with layer 0, otherwise hidden [n, hidden], finite
   * @returns hidden [n, hidden], rounded to the edge type, of which the caller may keep nothing; after the last layer
   *   that of the last token alone, [1, hidden], not rounded
   * @throws {EngineError} when what leaves the layers is not finite, or cannot be computed; what the cache holds then is cut
   *   by the caller.
   */
  run(cache: Cache, input: Int32Array | Float32Array, n: number): Float32Array | Promise<Float32Array>
  /** Logits [vocab] of a token from its hidden state [hidden] after the last layer. */
  logits(hidden: Float32Array): Float32Array | Promise<Float32Array>
  release(): void | Promise<void>
}

interface Session<Cache> {
  readonly cache: Cache
  readonly sampling: Sampling
}

/** Loads, says so or why not, and answers requests one at a time until it is told to close. */
export async function serveThread<Cache extends LayersCache>(
  port: MessagePort,
  span: SpanInit,
  load: () => Layers<Cache> | Promise<Layers<Cache>>
): Promise<void> {
  try {
    const served = new Served(span, await load())
    port.on('message', (request: ThreadRequest) => void served.serve(port, request))
    port.postMessage({ kind: 'done' } satisfies ThreadReply)
  } catch (error) {
    port.postMessage(failed(error, undefined))
  }
}

class Served<Cache extends LayersCache> {
  readonly #span: SpanInit
  readonly #layers: Layers<Cache>
  readonly #sessions = new Map<string, Session<Cache>>()

  constructor(span: SpanInit, layers: Layers<Cache>) {
    this.#span = span
    this.#layers = layers
  }

  async serve(port: MessagePort, request: ThreadRequest): Promise<void> {
    let reply: ThreadReply
    try {
      reply = await this.#answer(request)
    } catch (error) {
      const session = 'session' in request ? this.#sessions.get(request.session) : undefined
      reply = failed(error, session?.cache.length)
    }
    port.postMessage(reply, reply.kind === 'hidden' ? [reply.bytes.buffer as ArrayBuffer] : [])
    // Nothing else keeps the thread: it ends when its last message is out.
    if (request.kind === 'close') port.close()
  }

  async #answer(request: ThreadRequest): Promise<ThreadReply> {
    switch (request.kind) {
      case 'open': {
        const { session, tokensMax, sampling } = request
        this.#sessions.set(session, { cache: this.#layers.open(tokensMax), sampling })
        return { kind: 'done' }
      }
      case 'run':
        return this.#run(request)
      case 'free':
        this.#sessions.get(request.session)?.cache.free()
        this.#sessions.delete(request.session)
        return { kind: 'done' }
      case 'close':
        this.#sessions.clear()
        await this.#layers.release()
        return { kind: 'done' }
    }
  }

  async #run(request: Extract<ThreadRequest, { kind: 'run' }>): Promise<ThreadReply> {
    const { session, position, tokens } = request
    const state = this.#sessions.get(session)
    assert(state !== undefined, `session ${session} is not open`)
    const { cache, sampling } = state
    const { config, start, end, edge } = this.#span
    const input =
      start === 0
        ? this.#checkedIds(request.input as Int32Array)
        : decodeEdge(request.input as Uint8Array, edge, tokens * config.hidden)
    const began = performance.now()
    const isLast = end === config.layers
    // From here on the step may change the cache; if it fails, what lies before its position stays.
    cache.truncate(position)
    try {
      const hidden = await this.#layers.run(cache, input, tokens)
      if (!isLast) {
        const bytes = encodeEdge(hidden, edge)
        return { kind: 'hidden', bytes, computeMs: performance.now() - began }
      }
      if (!request.sample) return { kind: 'none', computeMs: performance.now() - began }
      const id = sample(await this.#layers.logits(hidden), sampling, position + tokens)
      return { kind: 'token', id, computeMs: performance.now() - began }
    } catch (error) {
      cache.truncate(position)
      throw error
    }
  }

  #checkedIds(ids: Int32Array): Int32Array {
    const { vocab } = this.#span.config
    const bad = ids.findIndex(id => id < 0 || id >= vocab)
    if (bad >= 0) throw new InvalidStepError(`token ids must lie in [0, ${vocab}), but id ${bad} is ${ids[bad]}`)
    return ids
  }
}

function failed(error: unknown, length: number | undefined): ThreadReply {
  const name = error instanceof InvalidStepError ? 'InvalidStepError' : 'EngineError'
  return { kind: 'failed', name, message: error instanceof Error ? error.message : String(error), length }
}
