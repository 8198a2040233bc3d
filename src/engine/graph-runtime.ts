/** What runs graphs that are no decoders: everything that the rest of the house knows of the runtime behind it. */
import type { GraphManifest } from '../model/manifest.ts'
import type { Tensors } from '../model/tensors.ts'

export interface GraphInit {
  readonly manifest: GraphManifest
  /** Its ONNX file, verified (promise P9). */
  readonly file: string
  /** Processor threads of one run. */
  readonly threads: number
  /** Ends the loading. */
  readonly signal: AbortSignal
}

export interface GraphRun {
  readonly outputs: Tensors
  /** What the runtime took for it, without the way there. */
  readonly computeMs: number
}

/** A graph that is loaded, apart from this process: whatever it does, this one goes on. */
export interface LoadedGraph {
  /**
   * Runs it once; those who ask at the same time wait for one another.
   *
   * @param inputs that were checked against its ports
   * @param options `deadlineMs` counts from now, with the time until its turn comes
   * @throws {GraphRunError} when the runtime refuses these inputs, or its outputs are too large: again it would do the same
   * @throws {EngineError} when what runs it ended: it is loaded anew for the next one
   * @throws {DeadlineError} when the run takes longer. It has a moment more before what runs it is ended
   * @throws {NoRoomError} when too many wait, or its turn did not come by then; the signal's reason
   */
  run(inputs: Tensors, options: { readonly deadlineMs: number; readonly signal: AbortSignal }): Promise<GraphRun>
  /** Runs that are under way or wait. */
  readonly busy: number
  /** It could not be loaded anew. */
  readonly isLost: boolean
  close(): Promise<void>
}

export interface GraphRuntime {
  /** For messages. */
  readonly name: string
  /** Why it cannot run graphs here, in one sentence; undefined when it can. */
  whyNot(): string | undefined
  /** Bytes of memory that it may take for a graph, in all; more ends it. */
  footprint(manifest: Pick<GraphManifest, 'shards'>): number
  /** @throws {EngineError} {DeadlineError} when it cannot be loaded; the signal's reason */
  load(init: GraphInit): Promise<LoadedGraph>
}

/** The first of some engines that runs graphs, or why none does. */
export function graphRuntimeOf(
  factories: readonly { readonly name: string; readonly graphs?: GraphRuntime | undefined }[],
  name: string
): { readonly runtime: GraphRuntime } | { readonly refusal: string } {
  const runtime = factories.find(({ graphs }) => graphs !== undefined)?.graphs
  const why = runtime === undefined ? 'none of its engines runs graphs, onnx does' : runtime.whyNot()
  if (runtime !== undefined && why === undefined) return { runtime }
  return { refusal: `this peer cannot run the graph ${name}: ${why}` }
}
