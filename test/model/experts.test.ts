/** Mixtures of experts: what their checkpoints and files may get wrong, and what is kept of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { onnxEngine } from '../../src/engine/onnx/factory.ts'
import { wasmEngine } from '../../src/engine/wasm/factory.ts'
import { formsHere } from '../../src/engine/wasm/forms.ts'
import { WasmSpan } from '../../src/engine/wasm/span.ts'
import { syntheticShard } from '../../src/engine/synthetic.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'
import type { ModelConfig } from '../../src/model/decoder.ts'
import { dequantise } from '../../src/model/formats/gguf-blocks.ts'
import { ggufTypes } from '../../src/model/formats/gguf-types.ts'
import { importModel } from '../../src/model/import.ts'
import { partOf, shardLayout } from '../../src/model/layout.ts'
import { encodeManifest, shardName, shardOrder } from '../../src/model/manifest.ts'
import { decodeManifest } from '../../src/model/read-manifest.ts'
import { openStore, type ModelStore, type StoredModel } from '../../src/model/store.ts'
import { modelContents } from '../../src/peer/model-needs.ts'
import { halfBitsOf, type WrittenTensor, writeGguf } from './formats/gguf-writer.ts'
import { type TinyTensor, tinyConfig, writeModelDirectory } from './hugging-face.ts'
import { readShard } from './reference.ts'
import { tinyMetadata } from './tiny-gguf.ts'

const config = {
  ...{ ...tinyConfig, architectures: ['Qwen3MoeForCausalLM'], model_type: 'qwen3_moe' },
  ...{ num_experts: 5, num_experts_per_tok: 2, moe_intermediate_size: 12, norm_topk_prob: true }
}

let dir: string
let store: ModelStore
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'skein-experts-'))
  store = await openStore({ own: path.join(dir, 'store') })
})
afterAll(() => rm(dir, { recursive: true, force: true }))

let count = 0
async function imported(edit: (tensors: Map<string, TinyTensor>) => void, isStacked = false): Promise<StoredModel> {
  const { config: decoder, names, otherNames } = describeModel(config, 'config.json')
  const rng = seeded(3)
  const tensors = new Map<string, TinyTensor>()
  for (const [name, { shape }] of checkpointTensors(decoder, isStacked ? otherNames[0]! : names)) {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng() - 0.5)
    tensors.set(name, { shape: [...shape], values })
  }
  edit(tensors)
  const source = path.join(dir, `source-${count++}`)
  await writeModelDirectory(source, config, tensors)
  const signal = AbortSignal.timeout(60_000)
  return importModel({ source, store, name: `tiny-${count}`, weights: 'f32', edge: 'f32', signal })
}

describe('a checkpoint', () => {
  const up = 'model.layers.1.mlp.experts.3.up_proj.weight'
  const stack = 'model.layers.1.mlp.experts.gate_up_proj'
  test.each<[string, (tensors: Map<string, TinyTensor>) => void, string, isStacked?: boolean]>([
    ['without one of its experts', tensors => tensors.delete(up), `has no tensor ${up}`],
    [
      'with one expert more',
      tensors => tensors.set(up.replace('3', '5'), tensors.get(up)!),
      `has a tensor ${up.replace('3', '5')} that a qwen3-moe of this config does not have`
    ],
    [
      'with an expert that is narrower',
      tensors => tensors.set(up, { shape: [11, 24], values: new Float32Array(11 * 24) }),
      `tensor ${up} has the shape [11, 24], the config needs [12, 24]`
    ],
    [
      'with fewer experts in a tensor of all',
      tensors => tensors.set(stack, { shape: [4, 24, 24], values: new Float32Array(4 * 24 * 24) }),
      `tensor ${stack} has the shape [4, 24, 24], the config needs [5, 24, 24]`,
      true
    ],
    [
      'with a router that is not finite',
      tensors => (tensors.get('model.layers.0.mlp.gate.weight')!.values[2 * 24 + 7] = Number.NaN),
      'the router weights of layer 0 hold NaN at [2, 7]'
    ],
    [
      'with an expert that is not finite',
      tensors => (tensors.get(up)!.values[4 * 24 + 5] = Number.POSITIVE_INFINITY),
      'the up weights of expert 3 of layer 1 hold Infinity at [4, 5]'
    ]
  ])('%s is refused, and what is wrong named', async (_, edit, message, isStacked) => {
    await expect(imported(edit, isStacked)).rejects.toThrow(message)
  })

  test('becomes the same model with its experts in tensors of their own and in one', async () => {
    const each = new Map<string, TinyTensor>()
    const own = await imported(tensors => {
      for (const [name, tensor] of tensors) each.set(name, tensor)
    })
    const all = await imported(tensors => {
      for (const [name, tensor] of tensors) {
        const known = each.get(name)
        if (known !== undefined) tensor.values = known.values
        const [, prefix, part] = /^(.*\.experts)\.(gate_up|down)_proj$/.exec(name) ?? []
        if (prefix === undefined) continue
        const parts = part === 'down' ? ['down'] : ['gate', 'up']
        const experts = [0, 1, 2, 3, 4].flatMap(e => parts.map(p => each.get(`${prefix}.${e}.${p}_proj.weight`)!))
        tensor.values = Float32Array.from(experts.flatMap(({ values }) => [...values]))
      }
    }, true)
    expect(all.manifest.shards).toEqual(own.manifest.shards)
    // The router and all experts of each layer, of which a token meets 2 of 5.
    const { parameters, parametersPerToken, weightTypes } = modelContents(own.manifest)
    expect(parameters - parametersPerToken).toBe(2 * 3 * (3 * 12 * 24))
    expect(weightTypes.gate).toEqual([{ type: 'f32', matrices: 2 }])
    expect(wasmEngine.supports(own.manifest)).toBeUndefined()
    expect(onnxEngine.supports(own.manifest)).toBe('mixtures of experts are not computed yet')
    const { experts, ...rest } = own.manifest.config
    for (const [wrong, message] of [
      [{ ...rest, experts: { ...experts!, used: 6 } }, 'experts.used must be at most experts.count'],
      [{ ...rest, experts: { ...experts!, later: 1 } }, 'config.experts.later, which this Skein does not know'],
      [{ ...rest, kinds: { of: [{ experts: 'none' }], layers: [0, 0] } }, 'is of a decoder with experts'],
      [{ ...rest, experts: { ...experts!, count: 6 } }, 'the layer 0 says']
    ] as const) {
      const bytes = encodeManifest({ ...own.manifest, config: wrong as ModelConfig })
      expect(() => decodeManifest(bytes, 'it')).toThrow(message)
    }
  })
})

test('of a GGUF file the blocks of its experts are kept, each in its place', async () => {
  const [hidden, width, experts] = [256, 256, 3]
  const wide = { ...config, hidden_size: hidden, intermediate_size: 512, num_hidden_layers: 1 }
  const rng = seeded(11)
  const tensors = new Map<string, WrittenTensor>()
  const add = (name: string, type: 'F32' | 'Q4_K' | 'Q6_K' | 'Q8_0', ...shape: number[]): void => {
    const [number, { columns, bytes }] = [...ggufTypes].find(([, each]) => each.name === type)!
    const length = shape.reduce((a, b) => a * b, 1)
    const data = Uint8Array.from({ length: (length / columns) * bytes }, () => Math.floor(rng() * 256))
    const view = new DataView(data.buffer)
    for (let at = 0; at < data.length; at += bytes) {
      const half = (offset: number): void => view.setUint16(at + offset, halfBitsOf(0.01 + rng() / 64), true)
      if (type === 'F32') view.setFloat32(at, rng() - 0.5, true)
      else if (type === 'Q4_K') for (const offset of [0, 2]) half(offset)
      else half(type === 'Q6_K' ? 208 : 0)
    }
    tensors.set(name, { type: number, shape, data })
  }
  add('token_embd.weight', 'Q8_0', wide.vocab_size, hidden)
  add('output_norm.weight', 'F32', hidden)
  for (const part of ['attn_norm', 'ffn_norm']) add(`blk.0.${part}.weight`, 'F32', hidden)
  for (const part of ['attn_q_norm', 'attn_k_norm']) add(`blk.0.${part}.weight`, 'F32', hidden / 4)
  for (const [part, rows] of Object.entries({ q: hidden, k: hidden / 2, v: hidden / 2, output: hidden })) {
    add(`blk.0.attn_${part}.weight`, 'Q4_K', rows, hidden)
  }
  add('blk.0.ffn_gate_inp.weight', 'F32', experts, hidden)
  for (const part of ['gate', 'up']) add(`blk.0.ffn_${part}_exps.weight`, 'Q4_K', experts, width, hidden)
  add('blk.0.ffn_down_exps.weight', 'Q6_K', experts, hidden, width)
  const plain = Object.entries(tinyMetadata(wide)).map(([key, value]) => [key.replace(/^llama\./, 'qwen3moe.'), value])
  const metadata = {
    ...Object.fromEntries(plain),
    'general.architecture': { text: 'qwen3moe' },
    'qwen3moe.expert_count': { u32: experts },
    'qwen3moe.expert_used_count': { u32: 2 },
    'qwen3moe.expert_feed_forward_length': { u32: width }
  }
  const write = async (name: string, more: object): Promise<string> => {
    const file = path.join(dir, `${name}.gguf`)
    await writeFile(file, writeGguf({ metadata: { ...metadata, ...more }, tensors }))
    return file
  }
  const init = { store, edge: 'f32', signal: AbortSignal.timeout(60_000) } as const
  const model = await importModel({ ...init, source: await write('kept', {}), name: 'kept' })
  expect(model.manifest.config).toMatchObject({ experts: { count: 3, used: 2, intermediate: 256, renormalised: true } })
  expect(model.manifest.weights).toMatchObject({
    layers: [{ gate: 'q4-f16i8-min', up: 'q4-f16i8-min', down: 'q8-f16i8-16' }]
  })
  const read = readShard(model, 1)
  let compared = 0
  for (const name of ['router', 'gateup', 'down']) {
    const { values, inputs } = read.matrices.get(name)!
    const entry = partOf(shardLayout(model.manifest, { role: 'layer', layer: 0 }).matrices, name)
    let at = 0
    for (const { name: part, rows, expert = 0 } of entry.parts) {
      const { type, data, shape } = tensors.get(`blk.0.ffn_${part === 'router' ? 'gate_inp' : `${part}_exps`}.weight`)!
      const wanted = new Float32Array(shape.reduce((a, b) => a * b, 1))
      dequantise(ggufTypes.get(type)!, data, wanted)
      const own = wanted.subarray(expert * rows * inputs, (expert + 1) * rows * inputs)
      // Zeros may be of either sign.
      expect([part, expert, own.findIndex((value, i) => value !== values[at + i])]).toEqual([part, expert, -1])
      at += rows * inputs
      compared++
    }
  }
  expect(compared).toBe(1 + 3 * experts)
  for (const [more, message] of [
    [
      { 'qwen3moe.expert_count': { u32: 4 } },
      /ffn_gate_inp.weight has the shape \[3, 256\], the metadata needs \[4, 256\]/
    ],
    [{ 'qwen3moe.expert_used_count': { u32: 4 } }, /num_experts_per_tok is 4, and num_experts only 3/],
    [{ 'qwen3moe.expert_gating_func': { u32: 2 } }, /expert_gating_func 2 cannot be imported/],
    [{ 'qwen3moe.expert_shared_count': { u32: 1 } }, /expert_shared_count is not known/]
  ] as const) {
    await expect(importModel({ ...init, source: await write('wrong', more), name: 'wrong' })).rejects.toThrow(message)
  }
})

describe('a router', () => {
  const decoder: ModelConfig = {
    ...{ layers: 1, hidden: 32, intermediate: 32, heads: 2, kvHeads: 2, headDim: 16, vocab: 20, contextMax: 64 },
    ...{ ropeTheta: 10_000, normEpsilon: 1e-5, tiedEmbeddings: false },
    experts: { count: 5, used: 2, intermediate: 16 }
  }
  const spanWith = (edit: (layer: Float32Array, router: number) => void): WasmSpan => {
    const shape = { config: decoder, weights: 'q8' } as const
    const files = new Map(
      shardOrder(decoder).map((place, i) => [shardName(place), syntheticShard(shape, place, i + 1)])
    )
    const { offset } = partOf(shardLayout(shape, { role: 'layer', layer: 0 }).matrices, 'router')
    edit(new Float32Array(files.get('layer 0')!.buffer), offset / 4)
    const shardLocations = new Map([...files.keys()].map(name => [name, name]))
    const source = { kind: 'memory', files } as const
    return WasmSpan.create({ ...shape, edge: 'f16', start: 0, end: 1, shardLocations, source, forms: formsHere() })
  }

  test('that is not finite is not loaded', () => {
    const edit = (layer: Float32Array, at: number): void => {
      layer[at + 3] = Number.NaN
    }
    expect(() => spanWith(edit)).toThrow('the layer 0 cannot be computed: router has a number that is not finite')
  })

  test('whose outputs overflow fails its step, and the cache is as it was', () => {
    const span = spanWith((layer, at) => layer.fill(3e38, at, at + 8 * 32))
    for (const tokens of [1, 3]) {
      const cache = span.open()
      expect(() => span.run(cache, new Int32Array(tokens), tokens)).toThrow(/overflow/)
      expect(cache.length).toBe(0)
    }
    span.release()
  })
})
