/**
 * Which edge type a model takes: float16 where its hidden states stay well within it, else bfloat16. Measured by computing a few
 * texts, a layer at a time, so that no more than one layer is ever in memory.
 */
import type { SessionId } from '../base/ids.ts'
import type { EdgeType, Manifest } from '../model/manifest.ts'
import { decodeEdge } from './edge.ts'
import type { Engine, StepInput } from './engine.ts'
import type { EngineFactory } from './factory.ts'

/** Texts that were not measured may reach twice as far: half of float16's largest number. */
const float16Reach = 65_504 / 2

/** To what hidden states of a model are rounded between its layers, and how large they become. */
export interface EdgeChoice {
  readonly edge: EdgeType
  /** The largest magnitude of a hidden state between two layers; 0 where there is but one layer. */
  readonly reach: number
}

export interface EdgeChoiceInit {
  readonly factory: EngineFactory
  /** Its edge does not matter. */
  readonly manifest: Manifest
  /** A folder that holds all shards, each under its digest. */
  readonly shardDirectory: string
  /** Ids [tokens] of each text, at most `stepTokensMax`. */
  readonly texts: readonly (readonly number[])[]
  readonly signal: AbortSignal
}

/** @throws {EngineError} when a layer cannot be computed; the signal's reason. */
export async function chooseEdge(init: EdgeChoiceInit): Promise<EdgeChoice> {
  const { factory, shardDirectory, texts, signal } = init
  const manifest: Manifest = { ...init.manifest, edge: 'f32' }
  const { layers, hidden } = manifest.config
  const tokens = texts.reduce((sum, ids) => sum + ids.length, 0)
  const cacheBytesMax = factory.footprint(manifest).cacheBytesPerLayer(tokens) * Math.max(1, texts.length)
  let inputs: StepInput[] = texts.map(ids => ({ kind: 'ids', ids: Int32Array.from(ids) }))
  let reach = 0
  // What the last layer gives is no edge: it is not rounded.
  for (let start = 0; start + 1 < layers; start++) {
    const engine = await factory.create({
      ...{ manifest, shardDirectory, start, end: start + 1, cacheBytesMax, threads: 1, signal }
    })
    try {
      const outputs: StepInput[] = []
      for (const [i, input] of inputs.entries()) {
        const bytes = await hiddenOf(engine, input, texts[i]!.length, i, signal)
        for (const value of decodeEdge(bytes, 'f32', texts[i]!.length * hidden))
          reach = Math.max(reach, Math.abs(value))
        outputs.push({ kind: 'hidden', bytes })
      }
      inputs = outputs
    } finally {
      await engine.close()
    }
  }
  return { edge: reach < float16Reach ? 'f16' : 'bf16', reach }
}

/** What leaves a layer for a text: [tokens, hidden]. */
async function hiddenOf(
  engine: Engine,
  input: StepInput,
  tokens: number,
  index: number,
  signal: AbortSignal
): Promise<Uint8Array> {
  const session = index.toString(16).padStart(32, '0') as SessionId
  const sampling = { temperature: 0, topP: 1, topK: 0, seed: 0 }
  await engine.open(session, { tokensMax: tokens, sampling })
  const out = await engine.run({ session, position: 0, tokens, input, sample: false }, { signal })
  return out.kind === 'hidden' ? out.bytes : new Uint8Array()
}
