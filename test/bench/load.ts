/** How long a stage takes to load, and how much memory it keeps for each byte of its weights. */
import { stageShards } from '../../src/model/manifest.ts'
import { BenchChild } from './child.ts'
import type { LoadProcessInit } from './load-process.ts'
import type { BenchModel } from './models.ts'
import { figure, type Row } from './report.ts'

export interface LoadInit {
  readonly model: BenchModel
  /** The bench's store folder. */
  readonly store: string
  readonly rounds: number
  readonly signal: AbortSignal
}

/** Each load has a fresh process; engines, and whole model and middle third, by turns. */
export async function benchLoad({ model, store, rounds, signal }: LoadInit): Promise<Row[]> {
  const { manifest, id } = model.stored
  const { layers } = manifest.config
  const third = Math.floor(layers / 3)
  const pairs = (['wasm', 'onnx'] as const).map(engine => [
    { engine, name: `${engine}, whole model`, start: 0, end: layers },
    { engine, name: `${engine}, layers ${third}–${2 * third}`, start: third, end: 2 * third }
  ])
  const spans = pairs.flat().map(span => ({
    ...span,
    weightBytes: stageShards(manifest, span.start, span.end).reduce((sum, { bytes }) => sum + bytes, 0),
    loadMs: [] as number[],
    bytes: [] as number[],
    memory: ''
  }))
  for (let round = 0; round < rounds; round++) {
    for (const span of spans) {
      signal.throwIfAborted()
      const init: LoadProcessInit = { store, model: id, engine: span.engine, start: span.start, end: span.end }
      const child = new BenchChild('load-process.ts', init)
      try {
        const { loadMs, bytes, memory } = await child.next('loaded', { signal })
        span.loadMs.push(loadMs as number)
        span.bytes.push(bytes as number)
        span.memory = memory as string
      } finally {
        await child.stop()
      }
    }
  }
  // What a process keeps whatever it loads (a thread, ONNX Runtime) falls out of the difference.
  const marginal = (['wasm', 'onnx'] as const).map((engine, i): Row => {
    const [whole, part] = [spans[2 * i]!, spans[2 * i + 1]!]
    return {
      part: 'load',
      what: `${model.label}, ${engine}: memory per weight byte beyond what every stage keeps`,
      unit: '',
      figure: figure(whole.bytes.map((bytes, i) => (bytes - part.bytes[i]!) / (whole.weightBytes - part.weightBytes))),
      how: 'whole model minus a third of its layers'
    }
  })
  return [
    ...spans.flatMap(({ name, weightBytes, loadMs, bytes, memory }): Row[] => {
      const label = `${model.label}, ${name}`
      const size = `${(weightBytes / 1e6).toFixed(1)} MB of weights`
      return [
        {
          part: 'load',
          what: `${label}: load`,
          unit: 'ms',
          figure: figure(loadMs),
          how: `${size}; thread, kernels or graph, reading`
        },
        {
          part: 'load',
          what: `${label}: memory`,
          unit: 'MB',
          figure: figure(bytes.map(value => value / 1e6)),
          how: `${memory} after 16 steps minus before loading`
        },
        {
          part: 'load',
          what: `${label}: memory / weights`,
          unit: '',
          figure: figure(bytes.map(value => value / weightBytes)),
          how: 'thread and runtime included'
        }
      ]
    }),
    ...marginal
  ]
}
