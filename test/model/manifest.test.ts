/** The manifest's format: what it describes, what it refuses, and in which words. */
import { describe, expect, it } from 'vitest'
import type { ShardId } from '../../src/base/ids.ts'
import { whyNotComputable, whyNotStacked } from '../../src/engine/computable.ts'
import { computed } from '../../src/engine/wasm/layer-kinds.ts'
import { isTaken } from '../../src/engine/onnx/tensors.ts'
import { beyondLlama, configFor, type ModelConfig } from '../../src/model/decoder.ts'
import { shardLayout } from '../../src/model/layout.ts'
import { manifestBytesMax } from '../../src/model/limits.ts'
import { encodeManifest, layerCount, type Manifest, modelId, shardOrder } from '../../src/model/manifest.ts'
import { decodeManifest } from '../../src/model/read-manifest.ts'
import { type MixedWeights, quantisedTypes, type WeightType, type Weights } from '../../src/model/weight-types.ts'

const config: ModelConfig = {
  layers: 2,
  hidden: 64,
  intermediate: 96,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  vocab: 61,
  contextMax: 200,
  ropeTheta: 10_000,
  normEpsilon: 1e-5,
  tiedEmbeddings: true
}
const digest = '0'.repeat(64) as ShardId

function manifestOf(config: ModelConfig, weights: Weights): Manifest {
  const shards = shardOrder(config).map(place => ({
    ...place,
    bytes: shardLayout({ config, weights }, place).bytes,
    sha256: digest,
    chunks: digest
  }))
  return {
    ...{ format: 2, name: 'm', architecture: 'llama', config, weights, edge: 'f16', bosId: null, eosIds: [] },
    ...{ tokenizer: { bytes: 1, sha256: digest, chunks: digest }, chatTemplate: null, licence: '', source: '', shards }
  }
}

const read = (manifest: object): Manifest => decodeManifest(encodeManifest(manifest as Manifest), 'it') as Manifest
const uniform = (type: WeightType) => ({ q: type, k: type, v: type, o: type, gate: type, up: type, down: type })

/** Every field that a decoder may have, each with a value that means something. */
const extras: readonly (readonly [string, Partial<ModelConfig>])[] = [
  ['norm.kind', { norm: { kind: 'mean' } }],
  ['norm.offset', { norm: { offset: 1 } }],
  ['norm.place', { norm: { place: 'both' } }],
  ['rotation.dims', { rotation: { dims: 8 } }],
  ['rotation.pairs', { rotation: { pairs: 'neighbours' } }],
  ['rotation.divisors', { rotation: { divisors: [1, 1, 2, 4, 8, 8, 8, 8] } }],
  ['rotation.gain', { rotation: { gain: 1.1 } }],
  ['attention.qkvBias', { attention: { qkvBias: true } }],
  ['attention.outputBias', { attention: { outputBias: true } }],
  ['attention.headNorm', { attention: { headNorm: 'head' } }],
  ['attention.scale', { attention: { scale: 0.1 } }],
  ['attention.scoreCap', { attention: { scoreCap: 50 } }],
  ['feedForward.activation', { feedForward: { activation: 'gelu-tanh' } }],
  ['feedForward.ungated', { feedForward: { ungated: true } }],
  ['feedForward.bias', { feedForward: { bias: true } }],
  ['kinds', { kinds: { of: [{ window: 8, ropeTheta: 1e4 }, { rotation: 'none' }], layers: [0, 1] } }],
  ['kinds.convolution', { kinds: { of: [{ convolution: { length: 3 } }, {}], layers: [1, 0] } }],
  ['embeddingScale', { embeddingScale: 8 }],
  ['residualScale', { residualScale: 0.22 }],
  ['logitScale', { logitScale: 0.125 }],
  ['logitCap', { logitCap: 30 }]
]

describe('a decoder', () => {
  it('of the plainest kind has no field beyond its dimensions, and is computed', () => {
    const { config: back } = read(manifestOf(config, 'q8'))
    expect(Object.keys(back)).toHaveLength(11)
    expect(beyondLlama(back)).toEqual([])
    expect(whyNotComputable(manifestOf(config, 'q8-f16'))).toBeUndefined()
  })

  it.each(extras)(
    'with %s comes back as it was, and is computed by the engine that names it and by no other one',
    (name, extra) => {
      const manifest = manifestOf({ ...config, ...extra }, 'q8-f16')
      const back = read(manifest)
      expect(back).toEqual(manifest)
      expect(modelId(back)).not.toBe(modelId(manifestOf(config, 'q8-f16')))
      expect(beyondLlama(back.config)).toEqual([name])
      expect(whyNotComputable(back)).toBe(`what config.${name} describes is not computed yet`)
      expect(whyNotComputable(back, computed)).toBeUndefined()
    }
  )

  it('of another number of layers has its kinds by turns', () => {
    const kinds = { of: [{}, { window: 8 }], layers: [0, 0, 1] }
    expect(configFor({ ...config, layers: 3, kinds }, 7)).toEqual({
      ...config,
      layers: 7,
      kinds: { of: kinds.of, layers: [0, 0, 1, 0, 0, 1, 0] }
    })
    expect(configFor(config, 3)).toEqual({ ...config, layers: 3 })
  })

  it('with all of them has a place for each vector that they ask for', () => {
    const all = Object.assign({}, config, {
      norm: { place: 'both' },
      attention: { qkvBias: true, outputBias: true, headNorm: 'all' },
      feedForward: { ungated: true, bias: true }
    }) as ModelConfig
    const { vectors, matrices } = shardLayout({ config: all, weights: 'f32' }, { role: 'layer', layer: 0 })
    expect(vectors.map(({ name, length }) => [name, length])).toEqual([
      ['norm1', 64],
      ['norm1After', 64],
      ['norm2', 64],
      ['norm2After', 64],
      ['qNorm', 64],
      ['kNorm', 32],
      ['qkvBias', 128],
      ['oBias', 64],
      ['upBias', 96],
      ['downBias', 64]
    ])
    expect(matrices.map(({ name }) => name)).toEqual(['qkv', 'o', 'up', 'down'])
  })

  it.each<[string, object, string]>([
    [
      'a field of a later time',
      { later: 1 },
      'it says config.later, which this Skein does not know: it takes a newer one'
    ],
    ['one deeper down', { rotation: { later: 1 } }, 'it says config.rotation.later, which this Skein does not know'],
    ['heads that do not divide', { kvHeads: 3 }, 'config heads must be a multiple of kvHeads'],
    ['an odd head', { headDim: 15 }, 'config headDim must be even'],
    ['an odd rotation', { rotation: { dims: 7 } }, 'config rotation must be of an even number of dimensions'],
    ['divisors of another number', { rotation: { divisors: [1] } }, 'have a divisor for each pair of them'],
    ['a layer of no kind', { kinds: { of: [{}], layers: [0, 1] } }, 'config kinds.layers must name one of the kinds'],
    [
      'a kind for too few layers',
      { kinds: { of: [{}], layers: [0] } },
      'config kinds.layers must name one of the kinds'
    ],
    [
      'a convolution that is rotated',
      { kinds: { of: [{ convolution: { length: 3 }, rotation: 'none' }], layers: [0, 0] } },
      'config kinds: one with a convolution has neither window nor rotation'
    ],
    [
      'a convolution over too many positions',
      { kinds: { of: [{ convolution: { length: 17 } }], layers: [0, 0] } },
      'config.kinds.of.0.convolution.length'
    ],
    ['what is the same as llama', { norm: { offset: 0 } }, 'config.norm.offset'],
    ['a bias that is not there', { attention: { qkvBias: false } }, 'config.attention.qkvBias']
  ])('is refused with %s', (_, extra, sentence) => {
    expect(() => read({ ...manifestOf(config, 'q8'), config: { ...config, ...extra } })).toThrow(sentence)
  })
})

describe('weights', () => {
  it.each(['f32', ...(Object.keys(quantisedTypes) as WeightType[])] as const)('of the type %s are described', type => {
    const manifest = manifestOf(config, { embedding: type, layers: [uniform(type), uniform('f32')] })
    expect(read(manifest)).toEqual(manifest)
    expect(whyNotComputable(manifest)).toBeUndefined()
    const isLater = /min|i8/.test(type)
    expect(whyNotComputable(manifest, { takes: isTaken })).toBe(
      isLater ? `weights of the type ${type} are not computed yet` : undefined
    )
  })

  it('are of the matrices that a layer has', () => {
    const kinds = { of: [{ convolution: { length: 3 } }, {}], layers: [0, 1] }
    const convolution = { convIn: 'q8', convOut: 'q4', gate: 'q8', up: 'q8', down: 'f32' } as const
    const of = (layers: MixedWeights['layers']): Manifest =>
      manifestOf({ ...config, kinds }, { embedding: 'q8', layers })
    const manifest = of([convolution, uniform('q4')])
    expect(read(manifest)).toEqual(manifest)
    expect(
      [0, 1].map(layer => shardLayout(manifest, { role: 'layer', layer }).matrices.map(({ name }) => name))
    ).toEqual([
      ['convIn', 'convOut', 'gateup', 'down'],
      ['qkv', 'o', 'gateup', 'down']
    ])
    // Neither those of attention, nor those of both.
    const swapped = { ...manifest, weights: { embedding: 'q8', layers: [uniform('q4'), uniform('q4')] } }
    expect(() => read(swapped)).toThrow('it is no valid manifest: weights.layers.0.q must be left out')
    const { convOut: _, ...fewer } = convolution
    const missing = { ...manifest, weights: { embedding: 'q8', layers: [fewer, uniform('q4')] } }
    expect(() => read(missing)).toThrow('weights.layers.0.convOut is missing')
  })

  it('of different types within a stack are matrices of their own, which not every engine computes', () => {
    const weights: MixedWeights = {
      embedding: 'q8',
      layers: [uniform('q4'), { ...uniform('q4'), v: 'q8', up: 'q8-f16' }]
    }
    const { matrices } = shardLayout({ config, weights }, { role: 'layer', layer: 1 })
    expect(matrices.map(({ name, type, rows }) => [name, type, rows])).toEqual([
      ['qk', 'q4', 96],
      ['v', 'q8', 32],
      ['o', 'q4', 64],
      ['gate', 'q4', 96],
      ['up', 'q8-f16', 96],
      ['down', 'q4', 64]
    ])
    expect(read(manifestOf(config, weights)).weights).toEqual(weights)
    expect(whyNotComputable({ config, weights })).toBeUndefined()
    expect(whyNotStacked({ config, weights })).toBe(
      'layer 1 has q, k, v or gate, up of different types, which it does not compute together'
    )
    expect(whyNotStacked({ config, weights: { ...weights, layers: [uniform('q4'), uniform('q8')] } })).toBeUndefined()
  })

  it.each<[string, object | string, Partial<ModelConfig>, string]>([
    ['an unknown type', 'q5', {}, 'it is no valid manifest: weights'],
    [
      'layers that are missing',
      { embedding: 'q8', layers: [uniform('q8')] },
      {},
      'weights.layers has 1 layers, config has 2'
    ],
    [
      'an output matrix of a tied model',
      { embedding: 'q8', output: 'q8', layers: [uniform('q8'), uniform('q8')] },
      {},
      'weights.output must be left out: the output matrix is the embedding'
    ],
    [
      'no type of an output matrix',
      { embedding: 'q8', layers: [uniform('q8'), uniform('q8')] },
      { tiedEmbeddings: false },
      'weights.output is missing'
    ]
  ])('are refused with %s', (_, weights, extra, sentence) => {
    const manifest = manifestOf({ ...config, ...extra }, 'q8')
    expect(() => read({ ...manifest, weights })).toThrow(sentence)
  })
})

it('the first format is refused with what to do', () => {
  expect(() => read({ ...manifestOf(config, 'q8'), format: 1 })).toThrow(
    'it has manifest format 1, made by an older Skein; this one reads formats 2 and 3: remove the model with skein model rm, and import it again'
  )
})

it('a shard that does not have the bytes of its dimensions is named', () => {
  const manifest = manifestOf(config, 'q8')
  const shards = manifest.shards.map((shard, i) => (i === 1 ? { ...shard, bytes: shard.bytes + 1 } : shard))
  const bytes = manifest.shards[1]!.bytes
  expect(() => read({ ...manifest, shards })).toThrow(
    `it: the layer 0 says ${bytes + 1} bytes, its dimensions need ${bytes}`
  )
})

it('the largest manifest that the format allows can be read', () => {
  const layers = 1024
  const longest = uniform('q8-f16i8-min')
  const large = {
    ...config,
    layers,
    kinds: { of: [{ window: 16_777_216 }], layers: new Array<number>(layers).fill(0) }
  }
  const weights: Weights = { embedding: 'q8-f16i8-min', layers: new Array(layers).fill(longest) }
  const template = '\u0001'.repeat(1 << 16)
  const bytes = encodeManifest({ ...manifestOf(large, weights), chatTemplate: template, source: 'x'.repeat(1024) })
  expect(bytes.length).toBeLessThan(manifestBytesMax)
  expect(layerCount(decodeManifest(bytes, 'it'))).toBe(layers)
})
