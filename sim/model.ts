/** The model of a world, as peers know it: its manifest, and what it takes of them. */
import type { ShardId } from '../src/base/ids.ts'
import type { Footprint } from '../src/engine/footprint.ts'
import { wasmFootprint } from '../src/engine/wasm/footprint.ts'
import type { ModelConfig } from '../src/model/decoder.ts'
import { type Manifest, modelId, type ShardEntry, type ShardRole } from '../src/model/manifest.ts'
import type { StoredModel } from '../src/model/store.ts'
import type { Scenario } from './scenario-fields.ts'
import type { ToyModel } from './toy-engine.ts'
import { type Parts, Weights } from './weights.ts'

export interface SimModel {
  readonly stored: StoredModel
  readonly footprint: Footprint
  /** Its files, where peers lack some; undefined where everybody has all of them. */
  readonly weights: Weights | undefined
}

/** What a model takes of whoever computes it with the toy's engine, which has the pages of the one in WebAssembly. */
function footprintOf(toy: ToyModel, stepBytes: number): Footprint {
  // A toy's hidden state is small; on the air it weighs what the scenario says.
  const { layers, hidden, kvWidth = hidden } = toy
  return { ...wasmFootprint({ config: { layers, hidden, kvHeads: 1, headDim: kvWidth } }), stepBytes }
}

/** Layers by how far back they see. */
function kindsOf({ windows }: ToyModel): Pick<ModelConfig, 'kinds'> {
  if (windows === undefined) return {}
  const all = [...new Set(windows)]
  return {
    kinds: {
      of: all.map(window => (window === undefined ? {} : { window })),
      layers: windows.map(window => all.indexOf(window))
    }
  }
}

/** @param hasAll everybody has all files, so that nobody asks what is in them */
export function modelOf({ model }: Scenario, toy: ToyModel, hasAll: boolean): SimModel {
  const parts: Parts = {
    layers: model.layers,
    layerBytes: new Array<number>(model.layers).fill(Math.round(model.layerMB * 1e6)),
    embeddingBytes: Math.round(model.embeddingMB * 1e6),
    headBytes: Math.round(model.headMB * 1e6),
    tiedEmbeddings: model.tied
  }
  const weights = hasAll ? undefined : new Weights(parts)
  const shard = (role: ShardRole, layer: number | null, bytes: number): ShardEntry => {
    const file = weights?.files.find(each => each.role === role && (layer === null || each.layer === layer))
    const unread = (role === 'layer' ? layer! : role === 'head' ? 0xfffe : 0xffff).toString(16).padStart(64, '0')
    return { role, layer, bytes, sha256: (file?.file ?? unread) as ShardId, chunks: file?.chunks ?? unread }
  }
  const manifest: Manifest = {
    format: 2,
    name: 'the-model',
    architecture: 'llama',
    config: {
      layers: toy.layers,
      hidden: toy.hidden,
      intermediate: toy.hidden,
      heads: 1,
      kvHeads: 1,
      headDim: 2,
      vocab: toy.vocab,
      contextMax: toy.contextMax,
      ropeTheta: 10_000,
      normEpsilon: 1e-5,
      tiedEmbeddings: model.tied,
      ...kindsOf(toy)
    },
    weights: 'f32',
    edge: toy.edge,
    bosId: null,
    eosIds: [],
    tokenizer: { bytes: 1, sha256: 'f'.repeat(64), chunks: 'f'.repeat(64) },
    chatTemplate: null,
    licence: '',
    source: 'a scenario',
    shards: [
      shard('embedding', null, parts.embeddingBytes),
      ...parts.layerBytes.map((bytes, layer) => shard('layer', layer, bytes)),
      shard('head', null, parts.headBytes)
    ]
  }
  const stored: StoredModel = { id: modelId(manifest), manifest, folder: 'memory', shipped: false }
  return { stored, footprint: footprintOf(toy, model.stepBytes), weights }
}
