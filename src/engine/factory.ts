/**
 * What makes engines: everything that the rest of the house knows of a runtime. `createPeer` is given some, in order of
 * preference, and serves a model with the first that supports it.
 */
import type { Keeper } from '../disk/keeping.ts'
import type { Manifest } from '../model/manifest.ts'
import type { Weights } from '../model/weight-types.ts'
import type { Divergence } from './divergence.ts'
import type { Engine, EngineTimings } from './engine.ts'
import type { Footprint } from './footprint.ts'
import type { GraphRuntime } from './graph-runtime.ts'

/** What a machine shows of itself with one engine and one model, as its record announces it. */
export interface Measured extends EngineTimings {
  /** Machines that announce the same text compute the same bits. */
  readonly numericClass: string
}

/** What an engine computes on this machine, whatever the model. */
export interface SelfTest {
  /** As in {@link Measured}. */
  readonly numericClass: string
  /** It is the class of every machine whose engine works as it should. */
  readonly isExpected: boolean
  /** It uses the faster instructions that not every machine has. */
  readonly isRelaxed: boolean
}

/** With what dimensions this machine is measured. */
export interface MeasureInit {
  /** The model whose dimensions count; its weights are not read. */
  readonly manifest: Manifest
  /** Folder in which results may be kept, so that a peer that comes back need not measure again. */
  readonly dataDir: string
  /** What writes them. */
  readonly keeping: Keeper
  /** Processor threads of one step. */
  readonly threads: number
  /** Ends the measuring. */
  readonly signal: AbortSignal
}

/** Which layers of which model an engine is to load, and within which bounds. */
export interface EngineInit {
  /** The model, of which the engine loads a part. */
  readonly manifest: Manifest
  /** A folder that holds the stage's shards, each under its digest; already verified (promise P9). */
  readonly shardDirectory: string
  /** Layers [start, end), at least one. */
  readonly start: number
  /** Half-open: the first layer that it does not load. */
  readonly end: number
  /** Bound on all sessions' caches together, in bytes. */
  readonly cacheBytesMax: number
  /** Processor threads of one step. */
  readonly threads: number
  /** Ends the loading. */
  readonly signal: AbortSignal
}

export interface CompareInit {
  /** The model as it is stored; its edge does not matter: none is rounded. */
  readonly manifest: Manifest
  /** How its weights are stored in what it is compared with. */
  readonly reference: Weights
  /** A folder that holds all shards of the model, each under its digest. */
  readonly shardDirectory: string
  /** Ids [tokens] of each text, at least two and at most `stepTokensMax`. */
  readonly texts: readonly (readonly number[])[]
  readonly signal: AbortSignal
}

/** What both ways to store the weights predict, of all tokens but the first of each text. */
export interface Compared {
  readonly stored: Divergence
  /** Its divergence from itself: its loss. */
  readonly reference: Divergence
}

/** Two ways to store the weights of one model, compared a layer at a time. Ends with `close`. */
export interface Comparison {
  /**
   * Computes a layer both ways; they come in their order.
   *
   * @param files the reference's shards in the folder, by their names, where they are others than the model's own
   * @returns what was found, after the last layer
   * @throws {EngineError} when it cannot be computed, {DeadlineError} when that takes too long; the signal's reason
   */
  layer(index: number, files: ReadonlyMap<string, string>): Promise<Compared | undefined>
  close(): Promise<void>
}

/** A kind of engine: what it can compute, how fast it is here, and how one is made. */
export interface EngineFactory {
  /** For messages and records: `onnx`. Lower-case letters, digits and dashes. */
  readonly name: string
  /**
   * Who computes the same bits as this machine: `class`, every machine of the measured numeric class; `none`, nobody is
   * known to, so that a stand-in's answer is never called exact. An engine whose bits are the same on every machine
   * measures the same class everywhere.
   */
  readonly exactness: 'class' | 'none'
  /** Why it cannot compute a model, in one sentence; undefined when it can. */
  supports(manifest: Manifest): string | undefined
  footprint(manifest: Manifest): Footprint
  /**
   * Measures this machine with a model's dimensions.
   * @throws {EngineError} when the engine cannot run here at all. @throws the signal's reason.
   */
  measure(init: MeasureInit): Promise<Measured>
  /**
   * Loads the layers [start, end) of a model.
   * @throws {EngineError} when they are none of the model's, or cannot be loaded. @throws the signal's reason.
   */
  create(init: EngineInit): Promise<Engine>
  /**
   * Computes something small and compares it with what it should be.
   * @throws {EngineError} when the engine cannot run here at all. @throws the signal's reason.
   */
  selfTest?(options: { signal: AbortSignal }): Promise<SelfTest>
  /** Runs graphs that are no decoders. @default it runs none */
  readonly graphs?: GraphRuntime
  /** Begins to compare what a model predicts with what it does with its weights stored in another way. @default it cannot */
  compare?(init: CompareInit): Comparison
}

/**
 * The first engine that supports a model, or why none does.
 *
 * @param factories at least one, the preferred first.
 */
export function engineFor(
  factories: readonly EngineFactory[],
  manifest: Manifest
): { readonly factory: EngineFactory } | { readonly refusal: string } {
  const reasons: string[] = []
  for (const factory of factories) {
    const reason = factory.supports(manifest)
    if (reason === undefined) return { factory }
    reasons.push(`${factory.name}: ${reason}`)
  }
  return { refusal: `no engine of this peer computes ${manifest.name} (${reasons.join('; ')})` }
}
