import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { dequantise } from '../../src/model/formats/gguf-blocks.ts'
import { ggufTypes } from '../../src/model/formats/gguf-types.ts'
import { type ImportInit, importModel } from '../../src/model/import.ts'
import { shardLayout } from '../../src/model/layout.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { Tmpfs, whyNoTmpfs } from '../lab/tmpfs.ts'
import { needs } from '../needs.ts'
import { halfBitsOf, type Written, type WrittenTensor, writeGguf } from './formats/gguf-writer.ts'
import { type TinyTensor, tinyConfig, writeTiny } from './hugging-face.ts'
import { quantised, randomBlocks, wideConfig } from './quantised-gguf.ts'
import { readShard } from './reference.ts'
import { encoded, tinyGguf, tinyMetadata, tinyTensors } from './tiny-gguf.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let file: string
let store: ModelStore
let checkpoint: Map<string, TinyTensor>

const folder = scratchFolders()
beforeEach(async () => {
  signal = AbortSignal.timeout(60_000)
  dir = await folder()
  file = path.join(dir, 'tiny.gguf')
  store = await openStore({ own: path.join(dir, 'store') })
  checkpoint = await writeTiny(path.join(dir, 'checkpoint'))
})

let signal: AbortSignal

function importFile(init: Partial<ImportInit> = {}): Promise<StoredModel> {
  return importModel({ source: file, store, name: 'tiny', signal, ...init })
}

const digests = ({ manifest }: StoredModel): string[] => manifest.shards.map(({ sha256 }) => sha256)

async function stored(): Promise<string[]> {
  const names = await readdir(path.join(dir, 'store', 'shards')).catch(() => [])
  return [...names, ...(await readdir(path.join(dir, 'store', 'manifests')).catch(() => []))]
}

describe('a GGUF file', () => {
  test.each(['F32', 'F16', 'BF16'] as const)(
    'of %s has the shards of the checkpoint that it was made of',
    async type => {
      const source = path.join(dir, 'source')
      const tensors = await writeTiny(source, { type })
      await writeFile(file, tinyGguf(tensors, { tensors: tinyTensors(tensors, tinyConfig, type) }))
      for (const weights of ['f32', 'q8', 'q4'] as const) {
        const direct = await importModel({ source, store, name: `direct-${weights}`, weights, signal })
        expect(digests(await importFile({ name: `of-${weights}`, weights }))).toEqual(digests(direct))
        if (weights === 'f32') expect(digests(await importFile({ name: 'kept' }))).toEqual(digests(direct))
      }
    }
  )

  test('gives its settings to the manifest', async () => {
    await writeFile(file, tinyGguf(checkpoint))
    const { manifest } = await importFile({ edge: 'bf16' })
    expect(manifest).toMatchObject({
      architecture: 'llama',
      weights: 'f32',
      edge: 'bf16',
      bosId: 1,
      eosIds: [2],
      chatTemplate: '{{ messages }}',
      licence: 'mit',
      source: 'tiny.gguf',
      config: { contextMax: 64, ropeTheta: 50000, normEpsilon: 1e-5, kvHeads: 2, headDim: 6, tiedEmbeddings: false }
    })
    expect(manifest.config).not.toHaveProperty('rotation')
  })

  test('without an output matrix is tied; frequencies of rotation are divided by what a tensor says', async () => {
    const tensors = tinyTensors(checkpoint)
    tensors.delete('output.weight')
    tensors.set('rope_freqs.weight', { type: 0, shape: [3], data: encoded(Float32Array.of(1, 2.5, 8), 'F32') })
    await writeFile(file, tinyGguf(checkpoint, { tensors }))
    const { config } = (await importFile()).manifest
    expect(config).toMatchObject({ tiedEmbeddings: true, rotation: { divisors: [1, 2.5, 8] } })
    tensors.set('rope_freqs.weight', { type: 0, shape: [3], data: encoded(Float32Array.of(1, 1, 1), 'F32') })
    await writeFile(file, tinyGguf(checkpoint, { tensors }))
    expect((await importFile({ name: 'plain' })).manifest.config).not.toHaveProperty('rotation')
  })

  test('has heads of the width that it says', async () => {
    const config = { ...tinyConfig, head_dim: 8 }
    const wide = new Map(checkpoint)
    const resize = (name: string, rows: number, inputs: number): void => {
      const values = Float32Array.from({ length: rows * inputs }, (_, i) => ((i * 37) % 101) / 128)
      wide.set(`model.layers.0.self_attn.${name}_proj.weight`, { shape: [rows, inputs], values })
      wide.set(`model.layers.1.self_attn.${name}_proj.weight`, { shape: [rows, inputs], values })
    }
    for (const [name, rows, inputs] of [
      ['q', 32, 24],
      ['k', 16, 24],
      ['v', 16, 24],
      ['o', 24, 32]
    ] as const) {
      resize(name, rows, inputs)
    }
    const metadata = {
      ...tinyMetadata(),
      'llama.attention.key_length': { u32: 8 },
      'llama.attention.value_length': { u32: 8 }
    }
    await writeFile(file, tinyGguf(wide, { metadata, tensors: tinyTensors(wide, config) }))
    const model = await importFile()
    expect(model.manifest.config.headDim).toBe(8)
    expect(
      readShard(model, 1)
        .matrices.get('qkv')!
        .values.slice(0, 32 * 24)
    ).toEqual(wide.get('model.layers.0.self_attn.q_proj.weight')!.values)
  })

  test('with a header that is longer than a read, and a byte-order mark in a token', async () => {
    const metadata = tinyMetadata()
    const long = 'x'.repeat(1 << 20)
    const tokens = metadata['tokenizer.ggml.tokens'] as { texts: string[] }
    const all = {
      'general.description': { text: long },
      'general.other': { text: long },
      ...metadata,
      'tokenizer.ggml.tokens': { texts: [...tokens.texts, '\ufeff', '\ufeffab'] },
      'tokenizer.ggml.scores': { f32s: [...(metadata['tokenizer.ggml.scores'] as { f32s: number[] }).f32s, -9, -10] },
      'tokenizer.ggml.token_type': {
        i32s: [...(metadata['tokenizer.ggml.token_type'] as { i32s: number[] }).i32s, 1, 1]
      }
    }
    await writeFile(file, tinyGguf(checkpoint, { metadata: all }))
    const { manifest, folder } = await importFile()
    const json = JSON.parse(await readFile(path.join(folder, 'shards', manifest.tokenizer.sha256), 'utf8'))
    expect(json.model.vocab).toMatchObject({ '\ufeff': 264, '\ufeffab': 265 })
    expect(json.model.merges).toContainEqual(['\ufeff', 'ab'])
  })
})

// ── Quantised ──────────────────────────────────────────────────────────────────────────────────────

const parts = {
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  o: 'attn_output',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down'
}

/** Compares every matrix that is stored with what the file's blocks mean, row for row. */
function expectKept(model: StoredModel, tensors: ReadonlyMap<string, WrittenTensor>): void {
  const { heads, kvHeads, layers } = model.manifest.config
  for (let index = 0; index < layers + 2; index++) {
    const shard = model.manifest.shards[index]!
    const read = readShard(model, index)
    for (const entry of shardLayout(model.manifest, shard).matrices) {
      const { values, inputs } = read.matrices.get(entry.name)!
      let at = 0
      for (const { name, rows } of entry.parts) {
        const gguf = { embedding: 'token_embd', output: 'output', router: 'ffn_gate_inp', ...parts }[
          name as keyof typeof parts
        ]
        const { type, data } = tensors.get(`${shard.layer === null ? '' : `blk.${shard.layer}.`}${gguf}.weight`)!
        const wanted = new Float32Array(rows * inputs)
        dequantise(ggufTypes.get(type)!, data, wanted)
        const head = rows / (name === 'q' ? heads : name === 'k' ? kvHeads : 1)
        for (let row = 0; row < rows; row++) {
          const inHead = row % head
          const from = ['q', 'k'].includes(name)
            ? row - inHead + 2 * (inHead % (head / 2)) + Math.floor(inHead / (head / 2))
            : row
          const stored = values.subarray((at + row) * inputs, (at + row + 1) * inputs)
          const differs = stored.findIndex((value, i) => value !== wanted[from * inputs + i])
          if (differs >= 0)
            expect(`${shard.role} ${shard.layer} ${name} row ${row} column ${differs}`).toBe('as in the file')
        }
        at += rows
      }
    }
  }
}

describe('quantised weights', () => {
  const types = {
    Q8_0: 'q8-f16',
    Q4_0: 'q4-f16',
    Q4_1: 'q4-f16-min',
    Q5_0: 'q8-f16',
    Q5_1: 'q8-f16-min',
    Q4_K: 'q4-f16i8-min',
    Q5_K: 'q8-f16i8-min',
    Q6_K: 'q8-f16i8-16'
  } as const
  test.each(Object.entries(types))('of %s are held as they are, as %s', async (name, type) => {
    const tensors = quantised(() => name)
    await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    const model = await importFile()
    const each = { q: type, k: type, v: type, o: type, gate: type, up: type, down: type }
    const isOne = type === 'q8-f16'
    expect(model.manifest.weights).toEqual(isOne ? type : { embedding: type, output: type, layers: [each, each] })
    expectKept(model, tensors)
  })

  test('of several types are held as they are, each by itself', async () => {
    const typeOf = (name: string): string =>
      name === 'output.weight' || name === 'blk.0.attn_v.weight' ? 'Q6_K' : name.startsWith('token') ? 'Q8_0' : 'Q4_K'
    const tensors = quantised(typeOf)
    await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    const model = await importFile()
    const [k, six] = ['q4-f16i8-min', 'q8-f16i8-16'] as const
    const all = { q: k, k, v: k, o: k, gate: k, up: k, down: k }
    expect(model.manifest.weights).toEqual({ embedding: 'q8-f16', output: six, layers: [{ ...all, v: six }, all] })
    expectKept(model, tensors)
  })

  test('with a scale that 16 bits do not hold have float32 scales, and one is told', async () => {
    for (const [name, wider] of [
      ['Q8_0', 'q8'],
      ['Q4_0', 'q4'],
      ['Q4_K', 'f32']
    ] as const) {
      const tensors = quantised(() => name)
      const { data } = tensors.get('blk.1.attn_k.weight')!
      new DataView(data.buffer).setUint16(0, halfBitsOf(-5), true)
      await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
      const notes: string[] = []
      const model = await importFile({ name, onNote: sentence => notes.push(sentence) })
      expect(notes).toEqual([
        `blk.1.attn_k.weight has a scale or minimum of -5, too large for 16 bits: it is stored as ${wider}`
      ])
      expect(model.manifest.weights).toMatchObject({ layers: [{}, { k: wider }] })
      expectKept(model, tensors)
    }
  })

  test('that are not held are named, and converted where one asks for it', async () => {
    const tensors = quantised(name => (name === 'blk.1.ffn_up.weight' ? 'Q2_K' : 'Q4_K'))
    await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    await expect(importFile()).rejects.toThrow(
      `${file}: tensor blk.1.ffn_up.weight has the type Q2_K, which is not held as it is: choose a dtype (q8, q4 or f32) to convert it to`
    )
    expectKept(await importFile({ weights: 'f32' }), tensors)
    tensors.set('blk.1.ffn_up.weight', randomBlocks('IQ2_XXS', [512, 256], 1))
    await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    await expect(importFile({ weights: 'q8' })).rejects.toThrow(
      'tensor blk.1.ffn_up.weight has the type IQ2_XXS, whose weights cannot be read here'
    )
  })

  test('with a scale that is not finite are refused by name', async () => {
    const tensors = quantised(() => 'Q4_K')
    const { data } = tensors.get('blk.1.ffn_down.weight')!
    new DataView(data.buffer).setUint16(3 * 144 + 2, 0x7c00, true)
    await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    await expect(importFile()).rejects.toThrow(
      `${file}: tensor blk.1.ffn_down.weight has a scale of Infinity at [1, 256]: the file is damaged`
    )
    await expect(importFile({ weights: 'q8' })).rejects.toThrow('the down weights of layer 1 hold')
    expect(await stored()).toEqual([])
  })
})

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────

describe('a model in several files', () => {
  const part = (i: number, of = 3): string => path.join(dir, `tiny-0000${i + 1}-of-0000${of}.gguf`)

  async function write(edit: (i: number, metadata: Record<string, Written>) => void = () => {}): Promise<void> {
    const all = [...tinyTensors(checkpoint)]
    for (const i of [0, 1, 2]) {
      const metadata: Record<string, Written> = {
        ...(i === 0 ? tinyMetadata() : {}),
        'split.no': { u32: i },
        'split.count': { u32: 3 },
        'split.tensors.count': { i32: all.length }
      }
      edit(i, metadata)
      await writeFile(part(i), writeGguf({ metadata, tensors: new Map(all.filter((_, n) => n % 3 === i)) }))
    }
  }

  test('is found by the name of any of them', async () => {
    await writeFile(file, tinyGguf(checkpoint))
    const whole = await importFile({ name: 'whole' })
    await write()
    for (const i of [0, 2]) {
      expect(digests(await importFile({ name: `part-${i}`, source: part(i) }))).toEqual(digests(whole))
    }
  })

  test('is refused with the name of the one that is missing, or is another', async () => {
    await write()
    await rm(part(1))
    await expect(importFile({ source: part(0) })).rejects.toThrow(
      `${part(0)} goes on in tiny-00002-of-00003.gguf, but that file is not there`
    )
    await write((i, metadata) => {
      if (i === 1) metadata['split.no'] = { u32: 2 }
    })
    await expect(importFile({ source: part(0) })).rejects.toThrow(
      `${part(1)} says that it is file 2 of 3 (split.no), not 1`
    )
    await write((_, metadata) => {
      metadata['split.tensors.count'] = { i32: 7 }
    })
    await expect(importFile({ source: part(0) })).rejects.toThrow('its 3 files have 21 tensors, and it says 7')
    await write()
    await writeFile(file, await readFile(part(0)))
    await expect(importFile()).rejects.toThrow(
      `${file} is one of 3 files, whose names must end in -00001-of-00003.gguf`
    )
  })
})

describe('two imports of one name at once', () => {
  test('of one file give one model', async () => {
    await writeFile(file, tinyGguf(checkpoint))
    const [first, second] = await Promise.all([importFile(), importFile()])
    expect(first.id).toBe(second.id)
    await store.verify(first, { signal })
    expect((await stored()).length).toBe(new Set(digests(first)).size + 2)
  })

  test('of different files give one of them, and the other is told', async () => {
    await writeFile(file, tinyGguf(checkpoint))
    const other = path.join(dir, 'other.gguf')
    await writeFile(other, tinyGguf(await writeTiny(path.join(dir, 'second'), { seed: 2 })))
    const ends = await Promise.allSettled([importFile(), importFile({ source: other })])
    const done = ends.filter(each => each.status === 'fulfilled')
    expect(done).toHaveLength(1)
    const refused = ends.find(each => each.status === 'rejected')
    expect(String(refused?.reason)).toContain('the name tiny belongs to another model')
    const model = done[0]!.value
    await store.verify(model, { signal })
    expect((await stored()).length).toBe(new Set(digests(model)).size + 2)
  })
})

describe('a full disk', needs(whyNoTmpfs()), () => {
  test('in the middle of an import leaves nothing half-made', async () => {
    const tensors = quantised(() => 'Q8_0')
    await writeFile(file, writeGguf({ metadata: tinyMetadata(wideConfig), tensors }))
    const disk = new Tmpfs(768 << 10)
    try {
      const small = await openStore({ own: path.join(disk.path, 'store') })
      await expect(importFile({ store: small })).rejects.toThrow('ENOSPC')
      expect(await readdir(path.join(disk.path, 'store', 'shards'))).toEqual([])
      expect(await readdir(path.join(disk.path, 'store', 'manifests')).catch(() => [])).toEqual([])
    } finally {
      disk.close()
    }
  })
})

// ── Refused ────────────────────────────────────────────────────────────────────────────────────────

describe('refuses', () => {
  const bytesOf = (init: Parameters<typeof tinyGguf>[1] = {}): Uint8Array => tinyGguf(checkpoint, init)
  const withMetadata = (changes: Record<string, Written | undefined>): Uint8Array => {
    const all = { ...tinyMetadata(), ...changes }
    return bytesOf({
      metadata: Object.fromEntries(
        Object.entries(all).filter((each): each is [string, Written] => each[1] !== undefined)
      )
    })
  }
  const withTensors = (edit: (tensors: Map<string, WrittenTensor>) => void): Uint8Array => {
    const tensors = tinyTensors(checkpoint)
    edit(tensors)
    return bytesOf({ tensors })
  }
  const patched = (bytes: Uint8Array, edit: (view: DataView) => void): Uint8Array => {
    edit(new DataView(bytes.buffer))
    return bytes
  }
  const norm = 'output_norm.weight'
  const one = (shape: number[], more: Partial<WrittenTensor> = {}): WrittenTensor => ({
    type: 0,
    shape,
    data: new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)),
    ...more
  })

  const cases: [what: string, bytes: () => Uint8Array, sentence: string][] = [
    [
      'no GGUF',
      () => new TextEncoder().encode('x'.repeat(64)),
      'is no GGUF file; of a Hugging Face model give the folder with its config.json'
    ],
    ['an empty file', () => new Uint8Array(0), 'is truncated: it has 0 bytes, a GGUF file has at least 24'],
    ['version 1', () => bytesOf({ version: 1 }), 'has GGUF version 1; versions 2 and 3 can be imported'],
    ['big-endian', () => bytesOf({ version: 3 << 24 }), 'is big-endian; only little-endian GGUF files can be imported'],
    ['so many tensors', () => bytesOf({ tensorCount: 1n << 60n }), `has ${2 ** 60} tensors, at most`],
    [
      'more tensors than the file has room for',
      () => bytesOf({ tensorCount: 20_000n }),
      'too few for its 20000 tensors'
    ],
    [
      'so many pairs',
      () => bytesOf({ pairCount: 1n << 40n }),
      `has ${2 ** 40} pairs of metadata, at most 4096 are read`
    ],
    [
      'an array longer than the file',
      () => withMetadata({ lie: { type: 9, raw: Uint8Array.of(6, 0, 0, 0, 0, 0, 48, 0, 0, 0, 0, 0) } }),
      'too few for its 3145728 elements of lie'
    ],
    [
      'a text longer than any',
      () => withMetadata({ lie: { type: 8, raw: Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0) } }),
      `lie has ${2 ** 32} bytes, at most 1048576 are read`
    ],
    [
      'an array of arrays',
      () => withMetadata({ odd: { type: 9, raw: Uint8Array.of(9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0) } }),
      'odd is an array of arrays, which cannot be read'
    ],
    [
      'an unknown type of value',
      () => withMetadata({ odd: { type: 77, raw: new Uint8Array(8) } }),
      'odd has a value of the type 77'
    ],
    [
      'a text that is not UTF-8',
      () => withMetadata({ odd: { type: 8, raw: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 255) } }),
      'odd is not UTF-8'
    ],
    ['an alignment that is none', () => withMetadata({ 'general.alignment': { u32: 24 } }), 'general.alignment of 24'],
    [
      'a tensor outside',
      () => withTensors(all => all.set(norm, one([24], { offset: 1 << 20 }))),
      `its tensor ${norm} ends at`
    ],
    [
      'a tensor at an odd place',
      () => withTensors(all => all.set(norm, one([24], { offset: 8 }))),
      `${norm} begins at 8, no multiple of 32`
    ],
    ['tensors that overlap', () => withTensors(all => all.set(norm, one([24], { offset: 32 }))), 'overlap'],
    [
      'an unknown type of tensor',
      () => withTensors(all => all.set(norm, one([24], { type: 99 }))),
      `tensor ${norm} has the type 99`
    ],
    [
      'rows that are no blocks',
      () => withTensors(all => all.set(norm, one([24], { type: 8 }))),
      'rows of 24 weights in blocks of 32 (Q8_0)'
    ],
    [
      'a dimension of 0',
      () => withTensors(all => all.set(norm, one([0]))),
      `${norm} has the shape [0], which no tensor has`
    ],
    ['five dimensions', () => withTensors(all => all.set(norm, one([1, 1, 1, 1, 24]))), `${norm} has 5 dimensions`],
    [
      'another shape',
      () => withTensors(all => all.set(norm, one([12]))),
      `${norm} has the shape [12], the metadata needs [24]`
    ],
    [
      'a missing tensor',
      () => withTensors(all => all.delete('blk.1.attn_v.weight')),
      'no tensor for model.layers.1.self_attn.v_proj.weight'
    ],
    [
      'a tensor too many',
      () => withTensors(all => all.set('blk.0.ssm_a', one([4]))),
      'has a tensor blk.0.ssm_a that a llama'
    ],
    [
      'a layer too many',
      () => withTensors(all => all.set('blk.2.attn_norm.weight', one([24]))),
      'has a tensor blk.2.attn_norm.weight'
    ],
    ['no architecture', () => withMetadata({ 'general.architecture': undefined }), 'it has no general.architecture'],
    [
      'another architecture',
      () => withMetadata({ 'general.architecture': { text: 'mamba' } }),
      'the architecture mamba cannot be imported'
    ],
    [
      'a mixture of experts of another architecture',
      () => withMetadata({ 'general.architecture': { text: 'qwen2' }, 'qwen2.expert_count': { u32: 8 } }),
      'it is a mixture of experts'
    ],
    [
      'a mixture of which a token takes nobody knows how many',
      () => withMetadata({ 'llama.expert_count': { u32: 8 } }),
      'it has no llama.expert_used_count'
    ],
    [
      'a missing dimension',
      () => withMetadata({ 'llama.embedding_length': undefined }),
      'it has no llama.embedding_length'
    ],
    [
      'a dimension that is a text',
      () => withMetadata({ 'llama.block_count': { text: '2' } }),
      'llama.block_count must be a number'
    ],
    [
      'heads that differ',
      () => withMetadata({ 'llama.attention.head_count_kv': { i32s: [2, 1] } }),
      'head_count_kv differs from layer to layer'
    ],
    [
      'another tokenizer',
      () => withMetadata({ 'tokenizer.ggml.model': { text: 'bert' } }),
      'the tokenizer bert (tokenizer.ggml.model) cannot be imported'
    ],
    [
      'a way to split that is not known',
      () => withMetadata({ 'tokenizer.ggml.model': { text: 'gpt2' }, 'tokenizer.ggml.pre': { text: 'default' } }),
      '(tokenizer.ggml.pre) is default, which is not known here'
    ],
    [
      'no way to split',
      () => withMetadata({ 'tokenizer.ggml.model': { text: 'gpt2' } }),
      '(tokenizer.ggml.pre) the file does not say'
    ],
    [
      'more tokens than rows',
      () => withMetadata({ 'tokenizer.ggml.tokens': { texts: Array.from({ length: 301 }, (_, i) => `t${i}`) } }),
      'it has 301 tokens, but the embedding has 300 rows'
    ],
    [
      'too few types',
      () => withMetadata({ 'tokenizer.ggml.token_type': { i32s: [1, 1] } }),
      'tokenizer.ggml.token_type has 2 numbers'
    ],
    [
      'too few scores',
      () => withMetadata({ 'tokenizer.ggml.scores': { f32s: [1] } }),
      'tokenizer.ggml.scores has 1 numbers'
    ],
    [
      'an end that is no token',
      () => withMetadata({ 'tokenizer.ggml.eos_token_id': { u32: 264 } }),
      'eos_token_id is 264, and there are 264 tokens'
    ],
    [
      'a token that is there twice',
      () =>
        withMetadata({
          'tokenizer.ggml.tokens': {
            texts: (tinyMetadata()['tokenizer.ggml.tokens'] as { texts: string[] }).texts.with(263, 'ab')
          }
        }),
      'the token ab is there twice, with the ids 262 and 263'
    ],
    [
      'a merge of what is no token',
      () =>
        withMetadata({
          'tokenizer.ggml.model': { text: 'gpt2' },
          'tokenizer.ggml.pre': { text: 'llama-bpe' },
          'tokenizer.ggml.merges': { texts: ['a b', 'a c'] }
        }),
      'tokenizer.ggml.merges[1], a c, is no merge of two tokens to a third'
    ],
    [
      'a template of a megabyte',
      () => withMetadata({ 'tokenizer.chat_template': { text: 'x'.repeat(1_000_000) } }),
      'cannot be imported'
    ],
    ['a name that is a book', () => withMetadata({ 'general.architecture': { text: 'x'.repeat(100_000) } }), 'x…'],
    [
      'a count of pairs that is too small',
      () => patched(bytesOf(), view => view.setBigUint64(16, 3n, true)),
      file ?? ''
    ]
  ]
  test.each(cases)('%s', async (_, bytes, sentence) => {
    await writeFile(file, bytes())
    const error = await importFile().then(
      () => undefined,
      (err: Error) => err
    )
    expect(error).toMatchObject({ name: 'ImportError', exitCode: 3 })
    expect(error!.message).toContain(file)
    expect(error!.message).toContain(sentence)
    expect(error!.message.length).toBeLessThan(1000)
    expect(await stored()).toEqual([])
  })

  test('a weight that is no number, by its name', async () => {
    const bytes = withTensors(all => {
      const { data } = all.get('blk.1.ffn_down.weight')!
      new DataView(data.buffer).setFloat32(4 * 41, Number.NaN, true)
    })
    await writeFile(file, bytes)
    await expect(importFile()).rejects.toThrow('the down weights of layer 1 hold NaN at [1, 1]')
    expect(await stored()).toEqual([])
  })

  test('a file that was cut short anywhere', async () => {
    const whole = tinyGguf(checkpoint)
    for (const part of [0.001, 0.1, 0.2, 0.5, 0.9, 0.999]) {
      await writeFile(file, whole)
      await truncate(file, Math.floor(whole.length * part))
      await expect(importFile()).rejects.toMatchObject({
        name: 'ImportError',
        message: expect.stringContaining('truncated')
      })
    }
    expect(await stored()).toEqual([])
  })
})
