import { execFile } from 'node:child_process'
import { appendFile, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, test } from 'vitest'
import { type ImportInit, importModel } from '../../src/model/import.ts'
import type { Dtype } from '../../src/model/weight-types.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { hostileText, hostileTokenizer, loopTicks } from './hostile.ts'
import { type TinyInit, type TinyTensor, tinyConfig, tinyTokenizer, writeTiny, writeZeros } from './hugging-face.ts'
import { readShard } from './reference.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let source: string
let store: ModelStore

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  store = await openStore({ own: path.join(dir, 'store') })
})

/** Of one test. */
let signal: AbortSignal
beforeEach(() => {
  signal = AbortSignal.timeout(60_000)
})

function importTiny(init: Partial<ImportInit> = {}): Promise<StoredModel> {
  return importModel({ source, store, name: 'tiny', weights: 'f32', signal, ...init })
}

async function stored(): Promise<string[]> {
  const names = await readdir(path.join(dir, 'store', 'shards')).catch(() => [])
  return [...names, ...(await readdir(path.join(dir, 'store', 'manifests')).catch(() => []))]
}

/** An output matrix beside the embedding that differs from it in one number. */
function addOutput(tensors: Map<string, TinyTensor>): void {
  const { shape, values } = tensors.get('model.embed_tokens.weight')!
  const other = values.slice()
  other[values.length - 1]! += 1
  tensors.set('lm_head.weight', { shape, values: other })
}

/** Compares every stored tensor with the checkpoint's; quantised ones within half a step of their block. */
function expectSame(model: StoredModel, tensors: Map<string, TinyTensor>): void {
  const { config, weights } = model.manifest
  const near = (actual: ArrayLike<number>, wanted: Float32Array): void => {
    expect(actual.length).toBe(wanted.length)
    // Scales of 16 bits are off by up to a part in 2,048.
    const bound = weights === 'f32' ? 0 : weights === 'q8-f16' ? 0.501 / 127 : 1.001 / 8
    for (let i = 0; i < wanted.length; i++) expect(Math.abs(actual[i]! - wanted[i]!)).toBeLessThanOrEqual(bound)
  }
  const values = (name: string): Float32Array => tensors.get(`${name}.weight`)!.values
  near(readShard(model, 0).matrices.get('embedding')!.values, values('model.embed_tokens'))
  for (let layer = 0; layer < config.layers; layer++) {
    const { matrices, vectors } = readShard(model, layer + 1)
    const prefix = `model.layers.${layer}`
    expect(vectors.get('norm1')).toEqual(values(`${prefix}.input_layernorm`))
    expect(vectors.get('norm2')).toEqual(values(`${prefix}.post_attention_layernorm`))
    const attention = ['q', 'k', 'v'].flatMap(name => [...values(`${prefix}.self_attn.${name}_proj`)])
    near(matrices.get('qkv')!.values, Float32Array.from(attention))
    near(matrices.get('o')!.values, values(`${prefix}.self_attn.o_proj`))
    const both = ['gate', 'up'].flatMap(name => [...values(`${prefix}.mlp.${name}_proj`)])
    near(matrices.get('gateup')!.values, Float32Array.from(both))
    near(matrices.get('down')!.values, values(`${prefix}.mlp.down_proj`))
  }
  const head = readShard(model, config.layers + 1)
  expect(head.vectors.get('norm')).toEqual(values('model.norm'))
  if (config.tiedEmbeddings) expect(head.matrices.size).toBe(0)
  else near(head.matrices.get('output')!.values, values('lm_head'))
}

describe('a directory', () => {
  const cases: [string, Dtype, TinyInit][] = [
    ['F32 as f32', 'f32', {}],
    ['F16 as f32', 'f32', { type: 'F16' }],
    ['BF16 as q8', 'q8', { type: 'BF16' }],
    ['F32 as q4, a short last block', 'q4', {}],
    ['several files with an index', 'q8', { files: 3 }],
    ['tied embeddings', 'f32', { config: { tie_word_embeddings: true } }],
    ['no grouping of heads, one layer', 'f32', { config: { num_key_value_heads: 4, num_hidden_layers: 1 } }]
  ]
  for (const [name, weights, init] of cases) {
    test(`${name} comes back as it was`, async () => {
      const tensors = await writeTiny(source, init)
      const model = await importTiny({ weights })
      expectSame(model, tensors)
      await store.verify(model, { signal })
      expect((await store.resolve('tiny')).id).toBe(model.id)
    })
  }

  test('gives its settings to the manifest', async () => {
    await writeTiny(source)
    const { manifest } = await importTiny({ edge: 'bf16', licence: 'MIT' })
    expect(manifest).toMatchObject({
      edge: 'bf16',
      bosId: 1,
      eosIds: [2, 5],
      chatTemplate: '{{ messages }}',
      licence: 'MIT',
      source: 'source',
      config: { contextMax: 64, ropeTheta: 50000, normEpsilon: 1e-5, kvHeads: 2, headDim: 6, tiedEmbeddings: false }
    })
  })

  test('has the end of a turn that its template writes end answers', async () => {
    await writeTiny(source)
    const json = JSON.parse(new TextDecoder().decode(tinyTokenizer()))
    json.added_tokens.push({ id: 299, content: '<|im_end|>', special: true })
    json.added_tokens.push({ id: 298, content: '<|end|>', special: true })
    await writeFile(path.join(source, 'tokenizer.json'), JSON.stringify(json))
    const settings = { chat_template: '{{ messages }}<|im_end|><|eot_id|>' }
    await writeFile(path.join(source, 'tokenizer_config.json'), JSON.stringify(settings))
    expect((await importTiny()).manifest.eosIds).toEqual([2, 5, 299])
  })

  test('names its licence on its card', async () => {
    await writeTiny(source)
    await writeFile(path.join(source, 'README.md'), '---\ntags: [x]\nlicense: apache-2.0\n---\nlicense: not this\n')
    expect((await importTiny()).manifest.licence).toBe('apache-2.0')
    await writeFile(path.join(source, 'README.md'), 'license: nor this\n')
    expect((await importTiny({ name: 'other' })).manifest.licence).toBe('unknown')
  })

  test('is tied when it has no output matrix, and when it says so while storing one', async () => {
    await writeTiny(source, { edit: tensors => tensors.delete('lm_head.weight') })
    expect((await importTiny()).manifest.config.tiedEmbeddings).toBe(true)
    const other = path.join(dir, 'other')
    await writeTiny(other, {
      config: { tie_word_embeddings: true },
      edit: tensors => tensors.set('lm_head.weight', tensors.get('model.embed_tokens.weight')!)
    })
    expect((await importTiny({ source: other, name: 'other' })).manifest.config.tiedEmbeddings).toBe(true)
  })

  test('is not tied when it says so and stores another output matrix: that one is used, and said', async () => {
    const tensors = await writeTiny(source, { config: { tie_word_embeddings: true }, edit: addOutput })
    const notes: string[] = []
    const model = await importTiny({ onNote: note => void notes.push(note) })
    expectSame(model, tensors)
    expect(model.manifest.config.tiedEmbeddings).toBe(false)
    expect(notes).toEqual([
      `${path.join(source, 'config.json')}: tie_word_embeddings is true, but lm_head.weight is another matrix than model.embed_tokens.weight: it is used`
    ])
  })

  test('ends answers with the ids of all of its files', async () => {
    await writeTiny(source, { config: { eos_token_id: [7, 9] } })
    await writeFile(path.join(source, 'generation_config.json'), JSON.stringify({ eos_token_id: [9, 11] }))
    expect((await importTiny()).manifest.eosIds).toEqual([9, 11, 7, 2])
  })

  test('may have ids that its vocabulary leaves out, and none beyond the embedding', async () => {
    const tensors = await writeTiny(source)
    const file = path.join(source, 'tokenizer.json')
    const json = JSON.parse(await readFile(file, 'utf8')) as { model: { vocab: Record<string, number> } }
    const last = Object.keys(json.model.vocab).at(-1)!
    const write = (id: number): Promise<void> => {
      json.model.vocab[last] = id
      return writeFile(file, JSON.stringify(json))
    }
    await write(299)
    expectSame(await importTiny(), tensors)
    await write(300)
    await expect(importTiny({ name: 'other' })).rejects.toThrow('has ids up to 300, but the embedding has 300 rows')
  })

  test('may have heads that are not hidden / heads wide', async () => {
    // As Mistral NeMo has them: 5120 / 32 with heads of 128.
    const tensors = await writeTiny(source, { config: { head_dim: 8 } })
    const model = await importTiny()
    expect(model.manifest.config.headDim).toBe(8)
    expectSame(model, tensors)
  })

  test('imported again under another name shares every shard; the same name again is the same model', async () => {
    await writeTiny(source)
    const first = await importTiny()
    const before = (await stored()).length
    expect((await importTiny()).id).toBe(first.id)
    const again = await importTiny({ name: 'again' })
    expect(again.id).not.toBe(first.id)
    expect((await stored()).length).toBe(before + 1)
    await store.remove(again)
    await store.verify(first, { signal })
  })

  test('does not take the name of another model', async () => {
    await writeTiny(source)
    const first = await importTiny()
    const files = (await stored()).sort()
    await writeTiny(source, { seed: 2 })
    const sentence = `the name tiny belongs to another model, ${first.id.slice(0, 12)}: choose another name, or first remove it: skein model rm ${first.id.slice(0, 12)}`
    await expect(importTiny()).rejects.toThrow(sentence)
    await expect(importTiny({ weights: 'q8' })).rejects.toThrow(sentence)
    expect((await stored()).sort()).toEqual(files)
  })

  test('leaves nothing when it is aborted half-way', async () => {
    await writeTiny(source)
    const abort = new AbortController()
    const aborted = importTiny({
      signal: abort.signal,
      onProgress: ({ shard }) => {
        if (shard === 'layer 0') abort.abort(new Error('enough'))
      }
    })
    await expect(aborted).rejects.toThrow('enough')
    expect(await stored()).toEqual([])
    expectSame(await importTiny(), await writeTiny(source))
  })
})

describe('refuses', () => {
  const refused: [string, Record<string, unknown>, string][] = [
    [
      'an architecture that is not described',
      { architectures: ['Gemma4ForCausalLM'], model_type: 'gemma4' },
      'the architecture Gemma4ForCausalLM cannot be imported, only LlamaForCausalLM, MistralForCausalLM,'
    ],
    ['no architecture', { architectures: undefined, model_type: undefined }, 'it names no architecture'],
    [
      'a model type that differs',
      { model_type: 'granite' },
      'the model type granite is none of LlamaForCausalLM, which has llama'
    ],
    [
      'scaled rotation of a type that is not known',
      { rope_scaling: { rope_type: 'ntk', factor: 8 } },
      'rope_scaling of type ntk cannot be computed, only default, linear, dynamic, llama3, yarn, longrope'
    ],
    [
      'a field of scaled rotation that is not known',
      { rope_scaling: { rope_type: 'yarn', factor: 8, beta_medium: 3 } },
      'rope_scaling.beta_medium is not known of rotation of type yarn'
    ],
    [
      'a field of scaled rotation that is missing',
      { rope_scaling: { rope_type: 'llama3', factor: 8, high_freq_factor: 4 } },
      'rope_scaling.low_freq_factor: '
    ],
    [
      'rotation by what is no type of layer',
      { rope_parameters: { full_attention: { rope_type: 'default' }, chunked_attention: { rope_type: 'default' } } },
      'rope_parameters.chunked_attention is not known beside rotations by type of layer'
    ],
    [
      'rotation of other layers than it has',
      { rope_parameters: { sliding_attention: { rope_type: 'default' } } },
      'nothing is said of the rotation of full_attention layers'
    ],
    [
      'rotation of an odd part of a head',
      { partial_rotary_factor: 0.5 },
      'partial_rotary_factor 0.5 of head_dim 6 is 3 dimensions'
    ],
    ['another activation', { hidden_act: 'relu2' }, 'hidden_act relu2 cannot be computed, only silu, gelu'],
    [
      'a window where there is none',
      { sliding_window: 16 },
      'sliding_window 16 is not known of the architecture llama, and may change what it computes'
    ],
    [
      'a factor of another architecture',
      { attention_multiplier: 0.5 },
      'attention_multiplier 0.5 is not known of the architecture llama'
    ],
    [
      'rotation of neighbours',
      { rope_interleaved: true },
      'rope_interleaved true is not known of the architecture llama'
    ],
    ['quantised weights', { quantization_config: { quant_method: 'gptq' } }, 'quantised (quantization_config: gptq)'],
    [
      'scaled rotation that names no type',
      { rope_scaling: { factor: 2 } },
      'rope_scaling has the factor 2 of a type that is not named'
    ],
    ['a head that is too wide', { head_dim: 1026 }, 'head_dim is 1026, at most 1024 can be imported'],
    ['an odd head', { num_attention_heads: 8, num_key_value_heads: 8 }, 'head_dim 3 is odd'],
    ['heads that do not divide', { num_attention_heads: 4, num_key_value_heads: 3 }, 'is no multiple of'],
    ['a missing dimension', { hidden_size: undefined }, 'it has no hidden_size'],
    [
      'more layers than any model has',
      { num_hidden_layers: 1_000_000_000 },
      'num_hidden_layers is 1000000000, at most 1024 can be imported'
    ],
    [
      'a name that is a book',
      { architectures: ['x'.repeat(1_000_000)] },
      `the architecture ${'x'.repeat(64)}… cannot be imported`
    ]
  ]
  for (const [what, config, sentence] of refused) {
    test(`${what} by name`, async () => {
      await writeTiny(source)
      await writeFile(path.join(source, 'config.json'), JSON.stringify({ ...tinyConfig, ...config }))
      await expect(importTiny()).rejects.toMatchObject({ name: 'ImportError', exitCode: 3 })
      await expect(importTiny()).rejects.toThrow(sentence)
      await expect(importTiny()).rejects.toThrow(path.join(source, 'config.json'))
      expect(await stored()).toEqual([])
    })
  }

  const edits: [string, (tensors: Map<string, TinyTensor>) => void, string, Record<string, unknown>?][] = [
    [
      'an unknown tensor',
      tensors => tensors.set('model.layers.0.self_attn.q_proj.bias', { shape: [1], values: new Float32Array(1) }),
      'has a tensor model.layers.0.self_attn.q_proj.bias that a llama of this config does not have'
    ],
    [
      'a missing tensor',
      tensors => tensors.delete('model.layers.1.mlp.up_proj.weight'),
      'has no tensor model.layers.1.mlp.up_proj.weight'
    ],
    [
      'a wrong shape',
      tensors => tensors.set('model.norm.weight', { shape: [2], values: new Float32Array(2) }),
      'tensor model.norm.weight has the shape [2], the config needs [24]'
    ],
    [
      'another element type',
      tensors => Object.assign(tensors.get('model.norm.weight')!, { dtype: 'F8_E4M3' }),
      'tensor model.norm.weight has the type F8_E4M3; F32, F16 and BF16 can be imported'
    ],
    [
      'weights that are no numbers',
      tensors => tensors.get('model.layers.1.self_attn.k_proj.weight')!.values.fill(Number.NaN, 30, 31),
      'the k weights of layer 1 hold NaN at [1, 6]: the checkpoint is damaged'
    ],
    [
      'a bias that is no number',
      tensors => {
        for (const layer of [0, 1]) {
          const add = (name: string, rows: number): void => {
            const values = new Float32Array(rows).fill(layer === 1 && name === 'k_proj' ? Number.POSITIVE_INFINITY : 0)
            tensors.set(`model.layers.${layer}.self_attn.${name}.bias`, { shape: [rows], values })
          }
          for (const name of ['q_proj', 'o_proj']) add(name, 24)
          for (const name of ['k_proj', 'v_proj']) add(name, 12)
        }
      },
      'the qkvBias weights of layer 1 hold Infinity at [0, 24]: the checkpoint is damaged',
      { attention_bias: true }
    ]
  ]
  for (const [what, edit, sentence, config = {}] of edits) {
    test(`${what} by name`, async () => {
      await writeTiny(source, { edit, config })
      await expect(importTiny()).rejects.toMatchObject({ name: 'ImportError' })
      await expect(importTiny()).rejects.toThrow(sentence)
      expect(await stored()).toEqual([])
    })
  }

  test('weights that are no numbers with the file that has them', async () => {
    const edit = (tensors: Map<string, TinyTensor>): void => {
      tensors.get('model.layers.1.self_attn.k_proj.weight')!.values.fill(Number.NaN, 30, 31)
    }
    await writeTiny(source, { edit, files: 2 })
    const index = JSON.parse(await readFile(path.join(source, 'model.safetensors.index.json'), 'utf8')) as {
      weight_map: Record<string, string>
    }
    const file = path.join(source, index.weight_map['model.layers.1.self_attn.k_proj.weight']!)
    await expect(importTiny()).rejects.toThrow(`${file}: the k weights of layer 1 hold NaN at [1, 6]`)
  })

  test('weights that are too large for scales of 16 bits, and takes them as f32', async () => {
    const edit = (tensors: Map<string, TinyTensor>): void => {
      tensors.get('model.layers.1.self_attn.k_proj.weight')!.values[30] = -600
    }
    await writeTiny(source, { edit })
    await expect(importTiny({ weights: 'q8' })).rejects.toThrow(
      'the k weights of layer 1 hold -600, and 16-bit scales reach to 507: import them as f32'
    )
    expect(await stored()).toEqual([])
    expect((await importTiny()).manifest.weights).toBe('f32')
  })

  test('a truncated file, with both sizes', async () => {
    await writeTiny(source)
    const file = path.join(source, 'model.safetensors')
    const { size } = await stat(file)
    await truncate(file, size - 5)
    await expect(importTiny()).rejects.toThrow(
      `${file} is truncated: it has ${size - 5} bytes, its tensors end at ${size}`
    )
    await truncate(file, 20)
    await expect(importTiny()).rejects.toThrow(`${file} is truncated: it has 20 bytes, its header alone ends at`)
    await truncate(file, 3)
    await expect(importTiny()).rejects.toThrow(`${file} is truncated: it has 3 bytes`)
    await rm(file)
    await expect(importTiny()).rejects.toThrow(`there is no ${file}`)
    await mkdir(file)
    await expect(importTiny()).rejects.toThrow(`${file} cannot be read: it is a directory, not a regular file`)
  })

  test('a malformed header: length, JSON, sizes, overlaps, bytes after the end', async () => {
    await writeTiny(source)
    const file = path.join(source, 'model.safetensors')
    const good = await readFile(file)
    const withHeader = (header: string, data = 8): Uint8Array => {
      const bytes = new Uint8Array(8 + header.length + data)
      new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true)
      bytes.set(new TextEncoder().encode(header), 8)
      return bytes
    }
    const entry = (from: number, to: number): string => `{"dtype":"F32","shape":[1],"data_offsets":[${from},${to}]}`
    const cases: [Uint8Array, string][] = [
      [new Uint8Array(16).fill(255), 'is no safetensors file that can be imported: its header would have'],
      [
        withHeader(`{${Array.from({ length: 25_000 }, (_, i) => `"t${i}":{}`).join()}}`),
        'names 25000 tensors, at most 24592 are read'
      ],
      [withHeader('not json'), 'its header is not JSON'],
      [withHeader('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'), 'has a malformed header: a.shape.0'],
      [withHeader(`{"a":${entry(0, 8)}}`), 'tensor a has 8 bytes, its shape [1] in F32 needs 4'],
      [withHeader(`{"a":${entry(0, 4)},"b":${entry(2, 6)}}`), 'the tensors a and b overlap'],
      [withHeader(`{"a":${entry(0, 4)}}`), 'but its tensors end at']
    ]
    for (const [bytes, sentence] of cases) {
      await writeFile(file, bytes)
      await expect(importTiny()).rejects.toThrow(sentence)
    }
    await writeFile(file, good)
    await appendFile(file, 'x')
    await expect(importTiny()).rejects.toThrow(`has ${good.length + 1} bytes, but its tensors end at ${good.length}`)
  })

  test.each(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'README.md', 'model.safetensors'])(
    '%s where it is a FIFO or a device, at once',
    async name => {
      await writeTiny(source)
      const file = path.join(source, name)
      await rm(file, { force: true })
      await promisify(execFile)('mkfifo', [file])
      await expect(importTiny()).rejects.toMatchObject({
        name: 'ImportError',
        message: `${file} cannot be read: it is a FIFO, not a regular file`
      })
      await rm(file)
      await symlink('/dev/zero', file)
      await expect(importTiny()).rejects.toThrow(`${file} cannot be read: it is a device, not a regular file`)
      expect(await stored()).toEqual([])
    }
  )

  test.each(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors.index.json'])(
    '%s that is no JSON, without a word of what is in it',
    async name => {
      await writeTiny(source)
      await writeFile(path.join(source, name), 'root:*:20256:0:99999:7:::')
      const failed = importTiny()
      await expect(failed).rejects.toThrow(/not JSON/)
      await expect(failed).rejects.not.toThrow(/root|20256/)
    }
  )

  test('an index of more files or tensors than any model has', async () => {
    await writeTiny(source)
    const indexFile = path.join(source, 'model.safetensors.index.json')
    const write = (tensors: number, file: (i: number) => string): Promise<void> =>
      writeFile(
        indexFile,
        JSON.stringify({
          weight_map: Object.fromEntries(Array.from({ length: tensors }, (_, i) => [`t${i}`, file(i)]))
        })
      )
    await write(600, i => `f${i}.safetensors`)
    await expect(importTiny()).rejects.toThrow(`${indexFile} names 600 files, at most 512 are read`)
    await write(25_000, () => 'model.safetensors')
    await expect(importTiny()).rejects.toThrow(`${indexFile} names 25000 tensors, at most 24592 are read`)
  })

  test('an index that names a missing file, a wrong one, or one elsewhere', async () => {
    await writeTiny(source, { files: 2 })
    const indexFile = path.join(source, 'model.safetensors.index.json')
    const index = JSON.parse(await readFile(indexFile, 'utf8')) as { weight_map: Record<string, string> }
    const change = (file: string): Promise<void> =>
      writeFile(indexFile, JSON.stringify({ weight_map: { ...index.weight_map, 'model.norm.weight': file } }))
    await change('gone.safetensors')
    await expect(importTiny()).rejects.toThrow('names gone.safetensors, but that file is not there')
    await change('../elsewhere.safetensors')
    await expect(importTiny()).rejects.toThrow('names "../elsewhere.safetensors", which is no safetensors file')
    const files = Object.values(index.weight_map)
    await change(files.find(file => file !== index.weight_map['model.norm.weight'])!)
    await expect(importTiny()).rejects.toThrow('says that model.norm.weight is in')
  })

  test('a missing directory, config or tokenizer, and what is not JSON', async () => {
    await expect(importTiny()).rejects.toThrow(`there is no file or directory ${source}`)
    await writeTiny(source)
    await expect(importTiny({ source: path.join(source, 'config.json') })).rejects.toThrow('is no GGUF file')
    const unnamed = importTiny({ name: 'a/b' })
    await expect(unnamed).rejects.toThrow("a model's name has 1-64 letters")
    await expect(unnamed).rejects.toMatchObject({ exitCode: 2 })
    await writeFile(path.join(source, 'generation_config.json'), '{')
    await expect(importTiny()).rejects.toThrow('generation_config.json is not JSON')
    await writeTiny(source)
    await rm(path.join(source, 'tokenizer.json'))
    await expect(importTiny()).rejects.toThrow(`there is no ${path.join(source, 'tokenizer.json')}`)
    await writeFile(path.join(source, 'tokenizer.json'), '[]')
    await expect(importTiny()).rejects.toThrow('tokenizer.json cannot be used: Tokenizer must be a valid object')
    await rm(path.join(source, 'config.json'))
    await expect(importTiny()).rejects.toThrow(`there is no ${path.join(source, 'config.json')}`)
  })

  test('a tokenizer that never comes back: this thread goes on, and a deadline ends it', async () => {
    await writeTiny(source)
    // Whether it puts a BOS in front is found out by a text, here a long one: its expression backtracks.
    await writeFile(path.join(source, 'tokenizer_config.json'), '{}')
    const json = JSON.parse(new TextDecoder().decode(hostileTokenizer())) as object
    const hanging = { ...json, normalizer: { type: 'Prepend', prepend: hostileText } }
    await writeFile(path.join(source, 'tokenizer.json'), JSON.stringify(hanging))
    const ticks = loopTicks()
    await expect(importTiny({ tokenizerDeadlineMs: 1_000 })).rejects.toMatchObject({
      name: 'ImportError',
      message: expect.stringContaining(
        'tokenizer.json cannot be used: the tokenizer of tiny did not encode a text within'
      )
    })
    expect(ticks.count()).toBeGreaterThan(20)
    ticks.stop()
    const given = new AbortController()
    const importing = importTiny({ signal: given.signal })
    setTimeout(() => given.abort(new Error('given up')), 300)
    await expect(importing).rejects.toThrow('given up')
    expect(await stored()).toEqual([])
  })

  test('a tokenizer with more ids than the embedding has rows', async () => {
    await writeTiny(source, { config: { vocab_size: 200 } })
    await expect(importTiny()).rejects.toThrow('has ids up to 263, but the embedding has 200 rows (vocab_size)')
  })

  test('what no manifest can hold, before anything is written', async () => {
    await writeTiny(source)
    await writeFile(path.join(source, 'tokenizer_config.json'), JSON.stringify({ chat_template: 'x'.repeat(70_000) }))
    await expect(importTiny()).rejects.toMatchObject({ name: 'ImportError' })
    await expect(importTiny()).rejects.toThrow('chatTemplate')
    expect(await stored()).toEqual([])
  })
})

test('memory does not grow with the model', async () => {
  // What an import holds at its peak must not follow the weights, which are 88 MB more as float32.
  const [few, many] = [2, 16]
  const shape = { hidden_size: 512, intermediate_size: 1024 }
  const model = path.join(import.meta.dirname, '..', '..', 'src', 'model')
  const grownBytes = (many - few) * (2.5 * 512 * 512 + 3 * 512 * 1024) * 4
  const peak = async (layers: number): Promise<number> => {
    const folder = path.join(dir, `layers-${layers}`)
    await writeZeros(folder, { ...shape, num_hidden_layers: layers })
    // The peak of this program alone (VmHWM): what getrusage gives begins at the peak of the process that forked it.
    const program = `
      import { readFileSync } from 'node:fs'
      import { importModel } from ${JSON.stringify(path.join(model, 'import.ts'))}
      import { openStore } from ${JSON.stringify(path.join(model, 'store.ts'))}
      const store = await openStore({ own: ${JSON.stringify(path.join(folder, 'store'))} })
      await importModel({ source: ${JSON.stringify(folder)}, store, name: 'm', weights: 'q8', signal: AbortSignal.timeout(50000) })
      console.log(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
    return Number(stdout) * 1024
  }
  const [small, large] = [await peak(few), await peak(many)]
  expect(large - small).toBeLessThan(grownBytes / 2)
})
