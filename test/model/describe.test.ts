/** What configs say of models that people have, and what of them is refused: no weights are read here. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { architectures, describeModel, type DescribedModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'
import { Checkpoint } from '../../src/model/import-checkpoint.ts'
import { shardLayout } from '../../src/model/layout.ts'
import { type TinyTensor, tinyConfig, writeModelDirectory } from './hugging-face.ts'

const { architectures: _, model_type: __, rope_theta: ___, tie_word_embeddings: ____, ...dimensions } = tinyConfig

function described(modelType: string, config: object): DescribedModel {
  const { className } = architectures.find(each => each.modelType === modelType)!
  return describeModel({ ...dimensions, architectures: [className], model_type: modelType, ...config }, 'config.json')
}

describe('what files leave out', () => {
  test.each([
    ['llama', 10_000, false, 6],
    ['qwen3', 10_000, false, 128],
    ['smollm3', 2_000_000, true, 6],
    ['gemma3_text', 1_000_000, true, 256],
    ['gemma2', 10_000, true, 256]
  ])('%s has by default', (type, theta, tied, headDim) => {
    // Of Gemma 3 the sixth layer is the first of full attention.
    expect(described(type, { num_hidden_layers: 6 }).config).toMatchObject({
      ropeTheta: theta,
      tiedEmbeddings: tied,
      headDim
    })
  })

  test('windows: of Mistral 4096 unless it says null, of Qwen none unless it says that it is used', () => {
    const long = { max_position_embeddings: 32_768 }
    const window = (type: string, config: object) => described(type, { ...long, ...config }).config.kinds?.of
    expect(window('mistral', {})).toEqual([{ window: 4096 }])
    expect(window('mistral', { sliding_window: null })).toBeUndefined()
    expect(window('mistral', { sliding_window: 32_768 })).toBeUndefined()
    expect(window('qwen2', { sliding_window: 32 })).toBeUndefined()
    expect(window('qwen2', { sliding_window: 32, use_sliding_window: true, max_window_layers: 1 })).toEqual([
      {},
      { window: 32 }
    ])
    expect(() => described('qwen2', { layer_types: ['full_attention', 'sliding_attention'] })).toThrow(
      'layer_types has sliding_attention, and there is no sliding_window'
    )
    expect(() => described('gemma2', { layer_types: ['full_attention'] })).toThrow(
      'layer_types names 1 layers, num_hidden_layers is 2'
    )
    expect(() => described('qwen3', { layer_types: ['full_attention', 'linear_attention'] })).toThrow(
      'layer_types has linear_attention, which cannot be computed'
    )
  })
})

describe('rotation', () => {
  const long = { max_position_embeddings: 131_072 }
  const llama3 = { factor: 32, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 }

  test('of Llama 3.2, in the files of transformers 4 and 5', () => {
    const [four, five, nested] = [
      { rope_theta: 500_000, rope_scaling: { rope_type: 'llama3', ...llama3 } },
      { rope_parameters: { rope_type: 'llama3', rope_theta: 500_000, ...llama3 } },
      { rope_parameters: { full_attention: { rope_type: 'llama3', rope_theta: 500_000, ...llama3 } } }
    ].map(rope => described('llama', { ...long, head_dim: 64, ...rope }))
    expect(four!.config.ropeTheta).toBe(500_000)
    const divisors = four!.config.rotation!.divisors!
    expect([divisors.length, divisors[0], divisors[31]]).toEqual([32, 1, 32])
    // Pairs that turn once to four times in 8,192 positions: 14.1 < i < 17.5.
    expect(divisors.flatMap((each, i) => (each > 1 && each < 32 ? [i] : []))).toEqual([15, 16, 17])
    expect(five!.config).toEqual(four!.config)
    expect(nested!.config).toEqual(four!.config)
  })

  test('that has other factors beyond a length ends the context there, and says so', () => {
    const factors = { short_factor: [1, 1.5], long_factor: [2, 4] }
    const partial = { head_dim: 8, partial_rotary_factor: 0.5, original_max_position_embeddings: 4096 }
    const phi = { ...long, ...partial, rope_scaling: { type: 'su', ...factors } }
    const { config, notes } = described('phi3', phi)
    expect(config).toMatchObject({ contextMax: 4096, rotation: { dims: 4, divisors: [1, 1.5] } })
    expect(config.rotation!.gain).toBeCloseTo(Math.sqrt(1 + Math.log(32) / Math.log(4096)), 12)
    expect(notes).toEqual([
      'rotation of type longrope has other factors beyond 4096 tokens, and the context ends there, not at 131072'
    ])
    const same = { ...phi, rope_scaling: { type: 'longrope', short_factor: [1, 2], long_factor: [1, 2] } }
    expect(described('phi3', same)).toMatchObject({ notes: [], config: { contextMax: 131_072 } })
    expect(() => described('phi3', { ...phi, partial_rotary_factor: 1 })).toThrow(
      'rope_scaling.short_factor has 2 factors, 4 pairs are rotated'
    )
  })

  test('that is dynamic is unscaled as far as the context goes, and says so', () => {
    const { config, notes } = described('llama', { rope_scaling: { type: 'dynamic', factor: 4 } })
    expect(config.rotation).toBeUndefined()
    expect(config.contextMax).toBe(64)
    expect(notes).toEqual([expect.stringContaining('the context ends there, at 64 tokens')])
  })

  test('of Gemma 3 scales the layers of full attention alone', () => {
    const scaled = { rope_scaling: { rope_type: 'linear', factor: 8 }, sliding_window: 16, sliding_window_pattern: 2 }
    const { config } = described('gemma3_text', { ...scaled, head_dim: 4 })
    expect(config).toMatchObject({
      ropeTheta: 1_000_000,
      kinds: { of: [{ window: 16, ropeTheta: 10_000 }, { rotation: { divisors: [8, 8] } }], layers: [0, 1] }
    })
    expect(config.rotation).toBeUndefined()
  })
})

describe('LFM2', () => {
  const own = (config: object): DescribedModel => described('lfm2', { norm_eps: 1e-6, num_hidden_layers: 3, ...config })

  test('says which layers attend in either of two ways; the others are short convolutions', () => {
    const kinds = { of: [{ convolution: { length: 3 } }, {}], layers: [0, 1, 0] }
    const listed = own({ full_attn_idxs: [1] }).config
    expect(listed).toMatchObject({ kinds, normEpsilon: 1e-6, ropeTheta: 1_000_000, tiedEmbeddings: true })
    expect(own({ layer_types: ['conv', 'full_attention', 'conv'], full_attn_idxs: [0] }).config).toEqual(listed)
    expect(own({}).config.kinds).toBeUndefined()
    expect(own({ layer_types: ['conv', 'conv', 'conv'], conv_L_cache: 4 }).config.kinds).toEqual({
      of: [{ convolution: { length: 4 } }],
      layers: [0, 0, 0]
    })
  })

  test('has a feed-forward part of two thirds of what it says, up to a multiple', () => {
    const width = (config: object): number => own(config).config.intermediate
    // LFM2-350M, 700M and 1.2B.
    const adjusted = { block_auto_adjust_ff_dim: true, block_multiple_of: 256, block_ffn_dim_multiplier: 1 }
    expect([6656, 10_240, 12_288].map(block_ff_dim => width({ ...adjusted, block_ff_dim }))).toEqual([4608, 6912, 8192])
    expect(width({ ...adjusted, block_ff_dim: 1000, block_ffn_dim_multiplier: 1.3, block_multiple_of: 8 })).toBe(872)
    expect(width({ ...adjusted, block_ff_dim: 1000, block_ffn_dim_multiplier: null })).toBe(666)
    expect(width({ ...adjusted, block_ff_dim: 1000, block_auto_adjust_ff_dim: false })).toBe(1000)
  })

  test.each([
    [{ conv_bias: true }, 'conv_bias: '],
    [{ conv_L_cache: 0 }, 'conv_L_cache: '],
    [{ conv_dim: 32 }, 'conv_dim is 32, hidden_size is 24'],
    [{ theta: 10_000 }, 'theta is 10000, rope_theta is 1000000'],
    [{ layer_types: ['conv'] }, 'layer_types names 1 layers, num_hidden_layers is 3'],
    [{ layer_types: ['conv', 'conv', 'mamba'] }, 'layer_types has mamba, which cannot be computed, only conv'],
    [{ full_attn_idxs: [3] }, 'full_attn_idxs has layer 3, num_hidden_layers is 3'],
    [{ conv_gate: 'x' }, 'conv_gate x is not known of the architecture lfm2'],
    [{ norm_eps: -1 }, 'norm_eps: ']
  ])('is refused by name with %j', (config, sentence) => {
    expect(() => own(config)).toThrow(`config.json: ${sentence}`)
  })
})

describe('fields that are not known', () => {
  test('are passed over where they change nothing', () => {
    const real = {
      ...{ _name_or_path: 'x', torch_dtype: 'bfloat16', use_cache: true, initializer_range: 0.02, pretraining_tp: 1 },
      ...{ attention_dropout: 0.1, rope_interleaved: false, is_llama_config: true, transformers_version: '4.42.3' },
      ...{ 'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16' } }, _flash_attn_2_enabled: true },
      ...{ auto_map: {}, logits_scaling: 1, num_experts: 0, clip_qkv: null }
    }
    expect(described('llama', real).config).toEqual(described('llama', {}).config)
  })

  test.each([
    ['llama', { clip_qkv: 8 }, 'clip_qkv 8'],
    ['mistral', { layer_types: ['full_attention', 'sliding_attention'] }, 'layer_types ["full_attention"'],
    ['qwen2', { attention_bias: true }, 'attention_bias true'],
    ['granite', { num_local_experts: 40 }, 'num_local_experts 40'],
    ['llama', { use_qk_norm: true }, 'use_qk_norm true']
  ])('are refused by name where they may: %s, %j', (type, field, shown) => {
    expect(() => described(type, field)).toThrow(new RegExp(`${shown.replace('[', '\\[')}.* is not known of`))
  })
})

test.each(architectures.map(each => [each.name, each.modelType]))(
  'the tensors of %s fill all parts of its shards, each once',
  (_name, modelType) => {
    const { config, names, otherNames } = described(modelType, {
      head_dim: 8,
      attention_bias: modelType === 'qwen2' ? null : false,
      ...(modelType === 'qwen3_moe' ? { num_experts: 3, num_experts_per_tok: 2, moe_intermediate_size: 10 } : {})
    })
    for (const some of [names, ...otherNames]) {
      const all = new Map<string, number[]>()
      for (const { holds, shape } of checkpointTensors(config, some).values()) {
        const there = shape.slice(0, Math.max(1, shape.length - 1)).reduce((a, b) => a * b, 1)
        expect(holds.reduce((sum, { rows }) => sum + rows, 0)).toBe(there)
        for (const { tensor, layer, rows, at } of holds) {
          const own = all.get(`${tensor} ${layer}`) ?? []
          all.set(`${tensor} ${layer}`, [...own, ...Array.from({ length: rows }, (_, i) => at + i)])
        }
      }
      const shape = { config, weights: 'f32' as const }
      for (const layer of [0, 1]) {
        const { vectors, matrices } = shardLayout(shape, { role: 'layer', layer })
        const wanted = new Map(vectors.map(({ name, length }) => [name as string, length]))
        for (const { name, rows } of matrices.flatMap(m => m.parts)) wanted.set(name, (wanted.get(name) ?? 0) + rows)
        for (const [name, rows] of wanted) {
          const own = all.get(`${name} ${layer}`)!
          expect([name, own.toSorted((a, b) => a - b)]).toEqual([name, Array.from({ length: rows }, (_, i) => i)])
          all.delete(`${name} ${layer}`)
        }
      }
      expect([...all.keys()].filter(key => !key.endsWith(' null'))).toEqual([])
    }
  }
)

describe('mixtures of experts', () => {
  test('have what their files leave out as transformers has it', () => {
    expect(described('mixtral', {}).config).toMatchObject({
      ropeTheta: 1_000_000,
      experts: { count: 8, used: 2, intermediate: 40, renormalised: true }
    })
    const { config } = described('qwen3_moe', {})
    expect(config.experts).toEqual({ count: 128, used: 8, intermediate: 768 })
    expect(config.kinds).toBeUndefined()
    expect(config.headDim).toBe(6)
  })

  test('may have layers without any', () => {
    const some = { num_hidden_layers: 6, num_experts: 4, num_experts_per_tok: 2, decoder_sparse_step: 2 }
    expect(described('qwen3_moe', { ...some, mlp_only_layers: [3] }).config).toMatchObject({
      experts: { count: 4, used: 2 },
      kinds: { of: [{ experts: 'none' }, {}], layers: [0, 1, 0, 0, 0, 1] }
    })
    const none = described('qwen3_moe', { ...some, num_experts: 0 }).config
    expect([none.experts, none.kinds]).toEqual([undefined, undefined])
  })

  test.each([
    ['qwen3_moe', { num_experts: 4, num_experts_per_tok: 5 }, 'num_experts_per_tok is 5, and num_experts only 4'],
    ['mixtral', { num_experts_per_tok: 9 }, 'num_experts_per_tok is 9, and num_local_experts only 8'],
    ['mixtral', { num_local_experts: 1025 }, 'num_local_experts is 1025, at most 1024 can be imported'],
    ['mixtral', { num_local_experts: 0 }, 'num_local_experts: Too small'],
    ['qwen3_moe', { num_experts_per_tok: 65 }, 'num_experts_per_tok is 65, at most 64 can be imported'],
    ['qwen3_moe', { shared_expert_intermediate_size: 8 }, 'shared_expert_intermediate_size 8 is not known']
  ])('of %s are refused where %j', (type, fields, message) => {
    expect(() => described(type, fields)).toThrow(message)
  })
})

test('rows are read from a tensor that holds several, and a vector from several tensors, from any row on', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'skein-test-'))
  try {
    const phi = described('phi3', { head_dim: 8 })
    const qwen = described('qwen2', { head_dim: 8 })
    for (const { config, names } of [phi, qwen]) {
      let next = 0
      const expected = checkpointTensors(config, names)
      const tensors = new Map(
        [...expected].map(([name, { shape }]): [string, TinyTensor] => {
          const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next++)
          return [name, { shape: [...shape], values }]
        })
      )
      await writeModelDirectory(dir, {}, tensors)
      const checkpoint = await Checkpoint.open(dir)
      checkpoint.expect(expected, () => false, 'model')
      const read = async (tensor: 'k' | 'up' | 'qkvBias', row: number, count: number) => {
        const into = new Float32Array(count)
        await checkpoint.read(tensor, 1, row, into)
        return [...into]
      }
      const numbers = (name: string, from: number, count: number) => [
        ...tensors.get(`model.layers.1.${name}`)!.values.subarray(from, from + count)
      ]
      if (config === phi.config) {
        // 32 rows of queries come before the keys, 40 of the gate before up; each has 24 columns.
        expect(await read('k', 3, 48)).toEqual(numbers('self_attn.qkv_proj.weight', (32 + 3) * 24, 48))
        expect(await read('up', 0, 24)).toEqual(numbers('mlp.gate_up_proj.weight', 40 * 24, 24))
      } else {
        // 32 biases of queries, 16 of keys, 16 of values.
        expect(await read('qkvBias', 0, 64)).toEqual(
          ['q', 'k', 'v'].flatMap((each, i) => numbers(`self_attn.${each}_proj.bias`, 0, i === 0 ? 32 : 16))
        )
        expect(await read('qkvBias', 30, 20)).toEqual([
          ...numbers('self_attn.q_proj.bias', 30, 2),
          ...numbers('self_attn.k_proj.bias', 0, 16),
          ...numbers('self_attn.v_proj.bias', 0, 2)
        ])
      }
      await checkpoint.close()
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
