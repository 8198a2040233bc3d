/** Layers in ONNX Runtime as the engine's thread runs them: passes that end at block borders. */
import { EngineError } from '../../errors.ts'
import { attentionBlock } from '../../model/limits.ts'
import { typesIn } from '../../model/weight-types.ts'
import { checkNoOverflow } from '../edge.ts'
import type { Layers, Part } from '../serve-thread.ts'
import { syntheticLayers } from '../synthetic.ts'
import type { SpanInit } from '../thread-messages.ts'
import { BlockCopies, type CacheShape, type SessionCache } from './cache.ts'
import { needsTwinRows } from './self-test.ts'
import { OnnxSpan } from './span.ts'
import { bitsOf } from './tensors.ts'

/** What its thread is told. */
export interface OnnxThreadInit extends SpanInit {
  /** Decided by a self-test when left out. */
  readonly twinRows?: boolean
}

export class OnnxLayers implements Layers<SessionCache> {
  readonly blocks: BlockCopies
  readonly #init: SpanInit
  readonly #span: OnnxSpan
  readonly #shape: CacheShape

  private constructor(init: SpanInit, span: OnnxSpan) {
    this.#init = init
    this.#span = span
    const { config, start, end } = init
    this.#shape = { layers: end - start, kvHeads: config.kvHeads, headDim: config.headDim }
    this.blocks = new BlockCopies(this.#shape)
  }

  /** @throws {EngineError} when ONNX Runtime refuses the graph or the files. */
  static async load(init: OnnxThreadInit): Promise<OnnxLayers> {
    const has4Bits = [...typesIn(init.weights)].some(type => bitsOf({ type }) === 4)
    const twinRows = init.twinRows ?? (has4Bits && (await needsTwinRows()))
    // Where 4-bit rows differ, two threads also split three rows into two and one.
    const threads = twinRows ? 1 : init.threads
    const source =
      init.source.kind === 'synthetic' ? ({ kind: 'memory', files: syntheticLayers(init) } as const) : init.source
    return new OnnxLayers(init, await OnnxSpan.create({ ...init, source, twinRows, threads }))
  }

  open(tokensMax: number): SessionCache {
    this.#span.grow(tokensMax)
    return this.blocks.open(this.#shape, tokensMax)
  }

  /** One part after the other: a graph reads one cache. */
  async pass(parts: readonly Part<SessionCache>[]): Promise<(Float32Array | EngineError)[]> {
    const outs: (Float32Array | EngineError)[] = []
    for (const part of parts) {
      try {
        outs.push(await this.#run(part))
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        outs.push(error)
      }
    }
    return outs
  }

  async eachLogits(rows: readonly Float32Array[], use: (logits: Float32Array, index: number) => void): Promise<void> {
    for (const [i, row] of rows.entries()) use(await this.#span.logits(row), i)
  }

  async #run({ cache, input, tokens, wanted = 1 }: Part<SessionCache>): Promise<Float32Array> {
    const { config, start, end } = this.#init
    const width = start === 0 ? 1 : config.hidden
    const many = tokens > attentionBlock - (cache.length % attentionBlock)
    const from = end === config.layers ? tokens - wanted : 0
    let out: Float32Array = new Float32Array(0)
    for (let done = 0; done < tokens; ) {
      const n = Math.min(tokens - done, attentionBlock - (cache.length % attentionBlock))
      const hidden = await this.#span.pass(cache, input.subarray(done * width, (done + n) * width), n)
      if (many) {
        if (done === 0) out = new Float32Array((tokens - from) * config.hidden)
        const first = Math.max(done, from)
        out.set(hidden.subarray((first - done) * config.hidden), (first - from) * config.hidden)
      } else {
        out = hidden.subarray(from * config.hidden)
      }
      done += n
    }
    if (end < config.layers) checkNoOverflow(out, config.hidden, start, end)
    return out
  }

  release(): Promise<void> {
    return this.#span.release()
  }
}
