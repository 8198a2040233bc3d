/** Files of JSON that lie: a `config.json`, the header of a safetensors file, a manifest that a peer sends. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ShardId } from '../../../src/base/ids.ts'
import { wasmEngine } from '../../../src/engine/wasm/factory.ts'
import { ImportError, InvalidManifestError } from '../../../src/errors.ts'
import { architectures, describeModel } from '../../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../../src/model/architectures/tensors.ts'
import type { ModelConfig } from '../../../src/model/decoder.ts'
import { shardBytes } from '../../../src/model/layout.ts'
import { manifestBytesMax } from '../../../src/model/limits.ts'
import { encodeManifest, type Manifest, shardOrder } from '../../../src/model/manifest.ts'
import { decodeManifest } from '../../../src/model/read-manifest.ts'
import { headerBytes, parseHeader, parseIndex } from '../../../src/model/safetensors.ts'
import type { Weights } from '../../../src/model/weight-types.ts'
import { modelContents, modelNeeds } from '../../../src/peer/model-needs.ts'
import { footprintOf, shapeOf } from '../../../src/serving/shape.ts'
import { cpuMs, faultOf, nested, oddJson, oddNumbers, oddTexts, put, seldom } from './odd.ts'

const seed = 20261130
const digest = '0'.repeat(64) as ShardId
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

function manifestOf(config: ModelConfig, weights: Weights): Manifest {
  const shards = shardOrder(config).map(place => ({
    ...place,
    bytes: shardBytes({ config, weights }, place),
    sha256: digest,
    chunks: digest
  }))
  const tokenizer = { bytes: 1, sha256: digest, chunks: digest }
  return {
    ...{ format: 2, name: 'm', architecture: 'llama', config, weights, edge: 'f16', bosId: null, eosIds: [] },
    ...{ tokenizer, chatTemplate: null, licence: '', source: '', shards }
  }
}

/** All that a peer counts up of a model before it takes memory for it. */
function count(manifest: Manifest): void {
  modelContents(manifest)
  const needs = modelNeeds(manifest, [wasmEngine])
  if ('refusal' in needs) return
  const { wholeBytes, layerBytes, cacheBytesPerToken } = needs
  const said = Object.values(footprintOf(shapeOf(manifest, wasmEngine.footprint(manifest)))).flat()
  const numbers = said.filter(each => typeof each === 'number')
  for (const bytes of [wholeBytes, layerBytes, ...numbers]) expect(bytes).toSatisfy(Number.isSafeInteger)
  expect(cacheBytesPerToken).toBeGreaterThan(0)
}

// ── config.json ────────────────────────────────────────────────────────────────────────────────────

const usual = {
  ...{ hidden_size: 64, intermediate_size: 128, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2 },
  ...{ head_dim: 16, vocab_size: 300, max_position_embeddings: 128, rms_norm_eps: 1e-5, rope_theta: 10_000 },
  ...{ tie_word_embeddings: false, bos_token_id: 1, eos_token_id: [2] }
}
const fields = [
  ...Object.keys(usual),
  ...['architectures', 'model_type', 'rope_scaling', 'rope_parameters', 'partial_rotary_factor', 'hidden_act'],
  ...['original_max_position_embeddings', 'hidden_activation', 'quantization_config', 'layer_types'],
  ...['sliding_window', 'sliding_window_pattern', 'query_pre_attn_scalar', 'attn_logit_softcapping'],
  ...['final_logit_softcapping', 'no_rope_layers', 'no_rope_layer_interval', 'use_sliding_window', 'mlp_bias'],
  ...['attention_bias', 'embedding_multiplier', 'attention_multiplier', 'residual_multiplier', 'logits_scaling'],
  ...['rope_local_base_freq', 'num_experts', '__proto__', 'constructor', 'conv_\u001b[31m_bias']
]
const number = fc.constantFrom<unknown>(...oddNumbers, undefined, 'x')
const eight = fc.constantFrom<unknown>(undefined, [1, 1, 1, 1, 1, 1, 1, 1], [2, 1, 1, 1, 1, 1, 1, 1e-300], [])
const rope = fc.record({
  rope_type: fc.constantFrom(...oddTexts, 7, null),
  ...{ factor: number, original_max_position_embeddings: number, rope_theta: number, partial_rotary_factor: number },
  ...{ low_freq_factor: number, high_freq_factor: number, attention_factor: number, beta_fast: number },
  ...{ beta_slow: number, mscale: number, mscale_all_dim: number, short_factor: eight, long_factor: eight }
})
/** With few of its fields, so that some are whole. */
const ropeOfSome = fc
  .tuple(rope, fc.array(fc.constantFrom('factor', 'rope_theta', 'short_factor', 'long_factor')))
  .map(([{ rope_type, ...all }, names]) => ({
    rope_type,
    ...Object.fromEntries(Object.entries(all).filter(([name]) => names.some(each => each === name)))
  }))
const ropes = fc.oneof(
  rope,
  ropeOfSome,
  fc.record({ full_attention: fc.oneof(ropeOfSome, oddJson), sliding_attention: fc.oneof(ropeOfSome, oddJson) })
)
const changes = fc.array(fc.tuple(fc.constantFrom(...fields), fc.oneof(oddJson, ropes)), { maxLength: 4 })

test('a config that lies describes a model that can be counted up, or is refused in a sentence', () => {
  let described = 0
  const property = fc.property(fc.constantFrom(...architectures), changes, ({ className, modelType }, changes) => {
    const json = { ...usual, architectures: [className], model_type: modelType }
    for (const [name, value] of changes) put(json, name, value)
    const before = cpuMs()
    try {
      const { config, names } = describeModel(json, 'FILE')
      checkpointTensors(config, names)
      count(decodeManifest(encodeManifest(manifestOf(config, 'q8-f16')), 'FILE') as Manifest)
      described++
    } catch (error) {
      expect(faultOf(error, [ImportError, InvalidManifestError])).toBeUndefined()
    }
    expect(cpuMs() - before).toBeLessThan(2_000)
  })
  fc.assert(property, { numRuns: 4_000, seed })
  expect(described).toBeGreaterThan(400)
}, 300_000)

test.each(['architectures', 'quantization_config', 'num_experts'])(
  'a %s nested deeper than the stack is refused',
  field => {
    const deep = nested(100_000)
    const value = field === 'quantization_config' ? { quant_method: deep } : [deep]
    const json = { ...usual, architectures: ['LlamaForCausalLM'], model_type: 'llama', [field]: value }
    expect(() => describeModel(json, 'FILE')).toThrow(ImportError)
  }
)

// ── safetensors ────────────────────────────────────────────────────────────────────────────────────

const tensorEntry = fc.record({
  dtype: fc.oneof(fc.constantFrom('F32', 'F16', 'BF16', 'I64'), fc.constantFrom(...oddTexts)),
  shape: fc.oneof(fc.array(fc.constantFrom(0, 1, 2, 4, 2 ** 31, 2 ** 53 - 1), { maxLength: 9 }), oddJson),
  data_offsets: fc.oneof(
    fc.tuple(fc.constantFrom(0, 8, 16, 2 ** 53 - 1), fc.constantFrom(0, 8, 16, 24, 1e300)),
    oddJson
  )
})
const good = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }
const names = fc.oneof(fc.constantFrom('a', 'b', '__metadata__', ...oddTexts), fc.string())

test('a safetensors header that lies is read, or refused in a sentence', () => {
  let read = 0
  const entries = fc.array(fc.tuple(names, fc.oneof(tensorEntry, fc.constant(good), oddJson)), { maxLength: 4 })
  const property = fc.property(
    entries,
    seldom(3, fc.uint8Array({ maxLength: 16 })),
    fc.nat(40),
    (entries, bytes, size) => {
      const header = {}
      for (const [name, entry] of entries) put(header, name, entry)
      // The innermost of what is nested deep is no JSON of this stack.
      let json = utf8('{}')
      try {
        json = utf8(JSON.stringify(header))
      } catch {}
      if (bytes !== undefined) json.set(bytes.subarray(0, json.length))
      try {
        parseHeader(json, 8 + json.length + size, 'FILE')
        read++
      } catch (error) {
        expect(faultOf(error, [ImportError])).toBeUndefined()
      }
      try {
        headerBytes(json.subarray(0, 8), size, 'FILE')
        parseIndex({ weight_map: header }, 'FILE')
      } catch (error) {
        expect(faultOf(error, [ImportError])).toBeUndefined()
      }
    }
  )
  fc.assert(property, { numRuns: 4_000, seed })
  expect(read).toBeGreaterThan(10)
}, 300_000)

test('a safetensors header of nothing but brackets is refused', () => {
  const brackets = utf8('['.repeat(8 << 20))
  expect(() => parseHeader(brackets, 8 + brackets.length, 'FILE')).toThrow('its header is not JSON')
  const deep = utf8(`{"a":${'['.repeat(1 << 20)}${']'.repeat(1 << 20)}}`)
  expect(() => parseHeader(deep, 8 + deep.length, 'FILE')).toThrow(ImportError)
})

// ── Manifests ──────────────────────────────────────────────────────────────────────────────────────

const config: ModelConfig = {
  ...{ layers: 3, hidden: 64, intermediate: 96, heads: 4, kvHeads: 2, headDim: 16, vocab: 61, contextMax: 200 },
  ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: false }
}
const layer = { q: 'q8', k: 'q8', v: 'q8', o: 'f32', gate: 'q4', up: 'q4', down: 'q8-f16' } as const
const whole: Record<string, unknown> = {
  norm: { kind: 'mean', offset: 1, place: 'both' },
  rotation: { dims: 8, divisors: [1, 2, 4, 8], gain: 1.5 },
  attention: { qkvBias: true, headNorm: 'head', scale: 0.25, scoreCap: 50 },
  feedForward: { activation: 'gelu', bias: true },
  kinds: { of: [{}, { window: 8, ropeTheta: 500, rotation: 'none' }], layers: [0, 1, 0] },
  ...{ embeddingScale: 8, residualScale: 0.5, logitScale: 2, logitCap: 30 }
}

/** Paths of all values in a value. */
function pathsIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([key, each]) => pathsIn(each, [...path, key]))]
}

function setAt(value: object, path: readonly string[], to: unknown): void {
  const holder = path
    .slice(0, -1)
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | null | undefined)?.[key], value)
  // What was there may have been changed already.
  if (typeof holder === 'object' && holder !== null) put(holder, path.at(-1)!, to)
}

/** The most that each dimension may be, and a little more. */
const dimension = fc.constantFrom<unknown>(
  1,
  2,
  3,
  31,
  32,
  33,
  1024,
  1025,
  65_536,
  65_537,
  1 << 20,
  1 << 24,
  (1 << 24) + 1
)
const numeric = fc.oneof(dimension, fc.constantFrom<unknown>(...oddNumbers), fc.double({ noNaN: true }))

test('a manifest that lies is refused in a sentence, or what it needs of memory is a number', () => {
  const withAll = manifestOf({ ...config, ...whole }, { embedding: 'q8', output: 'f32', layers: [layer, layer, layer] })
  const all = JSON.parse(new TextDecoder().decode(encodeManifest(withAll))) as object
  const paths = pathsIn(all).filter(path => path.length > 0)
  const inConfig = paths.filter(([first]) => first === 'config')
  const changes = fc.oneof(
    { weight: 3, arbitrary: fc.array(fc.tuple(fc.constantFrom(...inConfig), numeric), { minLength: 1, maxLength: 4 }) },
    { weight: 1, arbitrary: fc.array(fc.tuple(fc.constantFrom(...paths), oddJson), { minLength: 1, maxLength: 2 }) }
  )
  let taken = 0
  const property = fc.property(changes, fc.boolean(), (changes, fits) => {
    const manifest = structuredClone(all) as Manifest & Record<string, unknown>
    for (const [path, value] of changes) setAt(manifest, path, value)
    const before = cpuMs()
    let bytes: Uint8Array
    try {
      // One whose shards are as large as it says is what gets furthest.
      const { config, weights } = manifest
      bytes = encodeManifest(
        fits && config.layers <= 1024 ? { ...manifest, shards: manifestOf(config, weights).shards } : manifest
      )
    } catch {
      return
    }
    if (bytes.length > manifestBytesMax) return
    try {
      const read = decodeManifest(bytes, 'it') as Manifest
      taken++
      count(read)
    } catch (error) {
      expect(faultOf(error, [InvalidManifestError])).toBeUndefined()
    }
    expect(cpuMs() - before).toBeLessThan(5_000)
  })
  fc.assert(property, { numRuns: 3_000, seed })
  expect(taken).toBeGreaterThan(100)
}, 300_000)

test.each([
  ['bosId', 61, 'bosId 61 is beyond the vocabulary of 61'],
  ['ropeTheta', 0.5, 'config.ropeTheta'],
  ['ropeTheta', 1e300, 'config.ropeTheta'],
  ['normEpsilon', 1e-300, 'config.normEpsilon'],
  ['embeddingScale', 1e300, 'config.embeddingScale'],
  ['logitCap', 1e-300, 'config.logitCap'],
  ['rotation', { divisors: Array.from({ length: 8 }, () => 1e-9) }, 'config.rotation.divisors.0']
])('a manifest whose %s is %j is refused by name', (name, value, sentence) => {
  const { shards, ...rest } = manifestOf(config, 'q8')
  const manifest = name === 'bosId' ? { ...rest, bosId: value } : { ...rest, config: { ...config, [name]: value } }
  expect(() => decodeManifest(encodeManifest({ ...manifest, shards } as Manifest), 'it')).toThrow(sentence)
})
