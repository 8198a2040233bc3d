/** Graphs that are no decoders, in ONNX Runtime: each in a process of its own. */
import type { GraphRuntime } from '../graph-runtime.ts'
import { graphWorkBytes } from '../limits.ts'
import { GraphProcess } from './graph-process.ts'
import { whyNotInstalled } from './installed.ts'

export const onnxGraphs: GraphRuntime = {
  name: 'onnx',
  whyNot: whyNotInstalled,
  // The runtime reads the file, and then has its weights as its kernels want them.
  footprint: ({ shards }) => 2 * shards.reduce((sum, { bytes }) => sum + bytes, 0) + graphWorkBytes,
  load: ({ signal, ...init }) => GraphProcess.load({ ...init, bytesMax: onnxGraphs.footprint(init.manifest) }, signal)
}
