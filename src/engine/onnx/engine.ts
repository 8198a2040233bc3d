/** The engine over ONNX Runtime: graphs that are written for the layers of a stage, in a thread of their own. */
import { EngineError } from '../../errors.ts'
import { attentionBlock } from '../../model/limits.ts'
import type { Manifest } from '../../model/manifest.ts'
import type { Engine } from '../engine.ts'
import { spanOf } from '../span-of.ts'
import { threadFile } from '../thread-file.ts'
import { startThreaded } from '../threaded.ts'
import { cacheBytes } from './cache.ts'
import type { OnnxThreadInit } from './layers.ts'

export interface OnnxEngineInit {
  readonly manifest: Manifest
  /** A folder that holds the stage's shards, each under its digest; already verified (promise P9). */
  readonly shardDirectory: string
  /** Layers [start, end), at least one. */
  readonly start: number
  readonly end: number
  /** Bound on all sessions' caches together, in bytes. */
  readonly cacheBytesMax: number
  /**
   * Processor threads of one step.
   * @default 1: two spinning pools on the same cores halve each other's speed.
   */
  readonly threads?: number
  /** Ends the loading. */
  readonly signal?: AbortSignal
  /**
   * Runs a lone token as two equal rows, for 4-bit weights on some processors.
   * @default decided by a self-test
   */
  readonly twinRows?: boolean
}

/**
 * Maps the shards of layers [start, end) and starts the thread that computes them.
 * @throws {EngineError} when the range is none of the model's, its heads are wider than {@link attentionBlock}, or
 *   the files cannot be loaded.
 * @throws the signal's reason when it aborts.
 */
export async function createOnnxEngine(init: OnnxEngineInit): Promise<Engine> {
  const span = spanOf(init)
  const { headDim } = span.config
  if (headDim > attentionBlock) {
    // Longer products are cut where the number of keys says, and then the bits would depend on it.
    throw new EngineError(`heads of ${headDim} cannot be computed exactly: at most ${attentionBlock} can`)
  }
  const { twinRows } = init
  return startEngine({ ...span, ...(twinRows === undefined ? {} : { twinRows }) }, init.cacheBytesMax, init.signal)
}

/** {@link createOnnxEngine} for weights from anywhere: timings use it with weights in memory. */
export async function startEngine(span: OnnxThreadInit, cacheBytesMax: number, signal?: AbortSignal): Promise<Engine> {
  // ONNX Runtime reports to its maker by default. It reads this when the first session is made.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  const { kvHeads, headDim } = span.config
  const shape = { layers: span.end - span.start, kvHeads, headDim }
  return startThreaded({
    file: threadFile(import.meta.url, 'worker'),
    span,
    cacheBytes: tokensMax => cacheBytes(shape, tokensMax),
    cacheBytesMax,
    batches: { rowsMax: attentionBlock, shares: false },
    signal
  })
}
