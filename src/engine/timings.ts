/** How fast this machine computes layers of a model's dimensions, whatever engine computes them. */
import type { SessionId } from '../base/ids.ts'
import { type ModelShape, shardBytes } from '../model/layout.ts'
import { configFor, expertsOf, type ModelConfig } from '../model/decoder.ts'
import { type EdgeType, shardName } from '../model/manifest.ts'
import { type Weights, weightsFor } from '../model/weight-types.ts'
import { type Engine, edgeSize, type EngineTimings } from './engine.ts'
import type { SpanInit } from './thread-messages.ts'

/** Starts an engine for layers that it makes itself. */
export type StartSpan = (span: SpanInit, cacheBytesMax: number, signal?: AbortSignal) => Promise<Engine>

export interface TimingsInit {
  readonly config: ModelConfig
  readonly weights: Weights
  readonly edge: EdgeType
  /** @default 1, as the engine's */
  readonly threads?: number
  readonly signal?: AbortSignal
}

/**
 * Two spans are compared: one layer, and as many as the model has, up to this many bytes. Layers that stay in the
 * processor's cache (32 MB is common) look twice as fast as a model does (SmolLM2-135M's shape in q8).
 */
const streamedBytes = 64e6
const few = 1
/** Tokens in the cache when the clock starts, and steps that are timed. */
const warmTokens = 64
const steps = 24
/** Of the one session: some MB for each of a few layers. */
const cacheBytesMax = 1 << 30

/**
 * Times lone tokens through spans of random layers of the model's dimensions, the way to the thread and back
 * included. The lower quartile of interleaved steps: what else runs here slows some of them, and both spans alike.
 * @throws {EngineError} when the layers cannot be made here.
 * @throws the signal's reason when it aborts.
 */
export async function measureTimings(
  start: StartSpan,
  { config: whole, weights, edge, threads = 1, signal }: TimingsInit
): Promise<EngineTimings> {
  const config = withFewExperts({ config: whole, weights })
  const layerBytes = shardBytes({ config, weights }, { role: 'layer', layer: 0 })
  const several = Math.max(few + 1, Math.min(config.layers, Math.ceil(streamedBytes / layerBytes)))
  // Neither the embedding nor the head: a visit is priced by its layers, wherever they lie.
  const layers = several + 2
  const shardLocations = new Map<string, string>()
  for (let layer = 1; layer <= several; layer++) shardLocations.set(shardName({ role: 'layer', layer }), String(layer))
  const session = '0'.repeat(32) as SessionId
  const sampling = { temperature: 0, topP: 1, topK: 0, seed: 0 }
  const tokensMax = Math.min(config.contextMax, warmTokens + steps)
  const warm = Math.max(1, tokensMax - steps)
  const row = config.hidden * edgeSize(edge)
  const input = (tokens: number): { kind: 'hidden'; bytes: Uint8Array } => ({
    kind: 'hidden',
    // Neither zero nor large: 0x3c3c is about 1.06 as float16 and 0.0115 as bfloat16 and float32.
    bytes: new Uint8Array(tokens * row).fill(0x3c)
  })
  const spans: { readonly engine: Engine; readonly walls: number[]; readonly computes: number[] }[] = []
  try {
    // One after the other: the second one's thread need not compile what the first one's has.
    for (const count of [few, several]) {
      // Its thread makes them: for layers of 8B's shape that takes 3 s.
      const source = { kind: 'synthetic' } as const
      const init = {
        config: configFor(config, layers),
        weights: weightsFor(weights, layers),
        edge,
        start: 1,
        end: 1 + count,
        shardLocations,
        source,
        threads
      }
      spans.push({ engine: await start(init, cacheBytesMax, signal), walls: [], computes: [] })
    }
    const options = { signal: signal ?? new AbortController().signal }
    for (const { engine } of spans) {
      await engine.open(session, { tokensMax, sampling })
      await engine.run({ session, position: 0, tokens: warm, input: input(warm), sample: false }, options)
    }
    for (let i = 0; i < steps; i++) {
      for (const { engine, walls, computes } of spans) {
        const position = Math.min(warm + i, tokensMax - 1)
        const began = performance.now()
        const { computeMs } = await engine.run(
          { session, position, tokens: 1, input: input(1), sample: false },
          options
        )
        walls.push(performance.now() - began)
        computes.push(computeMs)
      }
    }
    // A layer's price is the thread's own time: on a busy machine, waking it takes longer than the layer itself.
    const [one, many] = spans.map(({ computes }) => lowerQuartile(computes)) as [number, number]
    // Noise may make the longer span look as fast as the shorter; a layer is never free.
    const layerMs = Math.max((many - one) / (several - few), many / several / 100)
    return { visitMs: Math.max(lowerQuartile(spans[0]!.walls) - few * layerMs, 0), layerMs }
  } finally {
    await Promise.all(spans.map(({ engine }) => engine.close()))
  }
}

/**
 * The same with no more experts than fill what is streamed: a token takes as many of them, and all of a large model's would be GBs
 * that nothing but these timings needs.
 */
export function withFewExperts({ config, weights }: ModelShape): ModelConfig {
  const { experts } = config
  if (experts === undefined) return config
  const layer = Array.from({ length: config.layers }, (_, i) => i).find(each => expertsOf(config, each) !== undefined)
  if (layer === undefined) return config
  const bytes = (count: number): number =>
    shardBytes({ config: { ...config, experts: { ...experts, count } }, weights }, { role: 'layer', layer })
  const enough = Math.ceil(streamedBytes / (bytes(2) - bytes(1)))
  return { ...config, experts: { ...experts, count: Math.min(experts.count, Math.max(experts.used, enough)) } }
}

function lowerQuartile(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 2]!
}
