/** GGUF files that lie in every way: each is imported, or refused in one sentence, and neither takes long nor much memory. */
import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ImportError } from '../../../src/errors.ts'
import { describeModel } from '../../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../../src/model/architectures/tensors.ts'
import { readGgufHeader } from '../../../src/model/formats/gguf.ts'
import { huggingFaceTerms } from '../../../src/model/formats/gguf-config.ts'
import { GgufMetadata } from '../../../src/model/formats/gguf-metadata.ts'
import { tokenizerOf } from '../../../src/model/formats/gguf-tokenizer.ts'
import { importModel } from '../../../src/model/import.ts'
import { ggufTokenCharsMax, tokenizerBytesMax } from '../../../src/model/limits.ts'
import { openStore } from '../../../src/model/store.ts'
import { type Written, type WrittenTensor, writeGguf } from '../formats/gguf-writer.ts'
import { writeTiny } from '../hugging-face.ts'
import { tinyGguf, tinyMetadata, tinyTensors } from '../tiny-gguf.ts'
import { cpuMs, faultOf, oddTexts, put, seldom } from './odd.ts'
import { scratchFolders } from '../../scratch.ts'

let dir: string
let tensors: ReadonlyMap<string, WrittenTensor>
const metadata = tinyMetadata()

const folder = scratchFolders(afterAll)
beforeAll(async () => {
  dir = await folder()
  tensors = tinyTensors(await writeTiny(path.join(dir, 'checkpoint')))
})

// ── Files ──────────────────────────────────────────────────────────────────────────────────────────

const ofLlama = [
  ...['rope.scaling.type', 'rope.scaling.factor', 'rope.scaling.original_context_length', 'rope.dimension_count'],
  ...['rope.scaling.attn_factor', 'rope.scaling.yarn_beta_fast', 'rope.scaling.yarn_beta_slow', 'rope.scale_linear'],
  ...['attention.key_length', 'attention.value_length', 'attention.sliding_window', 'expert_count', 'vocab_size'],
  ...['attn_logit_softcapping', 'final_logit_softcapping', 'embedding_scale', 'logit_scale']
]
const ofTokenizers = ['pre', 'merges', 'unknown_token_id', 'eot_token_id', 'add_bos_token', 'add_space_prefix']
const keys = [
  ...Object.keys(metadata),
  ...ofLlama.map(key => `llama.${key}`),
  ...ofTokenizers.map(key => `tokenizer.ggml.${key}`),
  ...['general.alignment', 'general.license', 'split.count', 'split.no', 'split.tensors.count', '__proto__']
]
const wholes = [
  0n,
  1n,
  2n,
  3n,
  24n,
  255n,
  1n << 16n,
  1n << 31n,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n
]
const families = ['qwen2', 'qwen3', 'phi3', 'gemma2', 'gemma3', 'granite', 'olmo2', 'smollm3', 'gpt2', 'llama-bpe']
const text = fc.oneof(fc.constantFrom(...oddTexts, ...families, 'a b', '<0x00>'), fc.string())
const float = fc.oneof(fc.constantFrom(Number.NaN, Infinity, -Infinity, 0, -0, -1, 1, 1e-45, 3e38), fc.float())
const kinds = (length: number) =>
  fc.array(fc.constantFrom(1, 2, 3, 4, 5, 6, 0, -1), { minLength: length, maxLength: length })

const value: fc.Arbitrary<Written> = fc.oneof(
  fc.constantFrom(...wholes).map(u64 => ({ u64 })),
  fc.integer({ min: 0, max: 2 ** 32 - 1 }).map(u32 => ({ u32 })),
  fc.integer().map(i32 => ({ i32 })),
  float.map(f32 => ({ f32 })),
  fc.boolean().map(bool => ({ bool })),
  text.map(text => ({ text })),
  fc.array(text, { maxLength: 6 }).map(texts => ({ texts })),
  fc.array(float, { maxLength: 6 }).map(f32s => ({ f32s })),
  fc.array(fc.integer({ min: -2, max: 9 }), { maxLength: 6 }).map(i32s => ({ i32s })),
  kinds(264).map(i32s => ({ i32s })),
  fc.record({ type: fc.integer({ min: 0, max: 14 }), raw: fc.uint8Array({ maxLength: 24 }) })
)

const tensor: fc.Arbitrary<WrittenTensor> = fc.record(
  {
    type: fc.constantFrom(0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 24, 28, 30, 39, 99),
    shape: fc.array(fc.constantFrom(0, 1, 2, 12, 24, 32, 40, 256, 300, 2 ** 31, 2 ** 40), { maxLength: 5 }),
    data: fc.uint8Array({ maxLength: 128 }),
    offset: fc.constantFrom(0, 32, 64, 1 << 20, 2 ** 40, 2 ** 53 - 1)
  },
  { requiredKeys: ['type', 'shape', 'data'] }
)

/** A change of metadata or tensors, undefined: it goes. */
type Change =
  | { readonly of: 'metadata'; readonly name: string; readonly to: Written | undefined }
  | { readonly of: 'tensors'; readonly name: string; readonly to: WrittenTensor | undefined }

const change: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      of: fc.constant('metadata' as const),
      name: fc.constantFrom(...keys),
      to: fc.option(value, { nil: undefined, freq: 9 })
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({
      of: fc.constant('tensors' as const),
      name: fc.constantFrom(
        ...['token_embd.weight', 'output.weight', 'output_norm.weight', 'blk.0.attn_q.weight', 'blk.0.attn_q.bias'],
        ...['rope_freqs.weight', 'rope_factors_short.weight', 'rope_factors_long.weight', 'constructor.weight'],
        ...[
          'blk.0.constructor.weight',
          'blk.0.attn_qkv.weight',
          'blk.99999999999999999999.attn_q.weight',
          'x'.repeat(3_000)
        ]
      ),
      to: fc.option(tensor, { nil: undefined, freq: 9 })
    })
  }
)

const whole = fc.constantFrom(...wholes)
const bytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 12 }),
  whole.map(value => {
    const eight = new Uint8Array(8)
    new DataView(eight.buffer).setBigUint64(0, value, true)
    return eight
  })
)

/** What is before the tiny file's weights. */
const headerBytes = 9_000

/** How a file is not what it should be. */
const lies = fc.record({
  changes: fc.array(change, { maxLength: 4 }),
  counts: seldom(20, fc.record({ tensorCount: whole, pairCount: whole })),
  overwritten: seldom(1, fc.array(fc.tuple(fc.integer({ min: 24, max: headerBytes }), bytes), { maxLength: 3 })),
  length: seldom(20, fc.integer({ min: 0, max: headerBytes }))
})

function fileOf({
  changes,
  counts,
  overwritten,
  length
}: typeof lies extends fc.Arbitrary<infer T> ? T : never): Uint8Array {
  const written = { ...metadata }
  const all = new Map(tensors)
  for (const { of, name, to } of changes) {
    if (of === 'tensors') {
      all.delete(name)
      if (to !== undefined) all.set(name, to)
    } else if (to === undefined) delete written[name]
    else put(written, name, to)
  }
  const file = writeGguf({ metadata: written, tensors: all, ...counts })
  for (const [at, bytes] of overwritten ?? []) file.set(bytes.subarray(0, Math.max(0, file.length - at)), at)
  return file.subarray(0, length)
}

// ── What becomes of them ───────────────────────────────────────────────────────────────────────────

/** All that an import makes of a file before it asks the tokenizer's thread. */
async function look(bytes: Uint8Array): Promise<void> {
  const read = async (offset: number, into: Uint8Array): Promise<void> => {
    expect(offset + into.length).toBeLessThanOrEqual(bytes.length)
    into.set(bytes.subarray(offset, offset + into.length))
  }
  const header = await readGgufHeader({ file: 'FILE', size: bytes.length, read })
  const metadata = new GgufMetadata(header)
  const terms = huggingFaceTerms(header, metadata, {})
  const described = describeModel(terms.config, 'FILE')
  const config = terms.adapt(described.config)
  const { json } = tokenizerOf(metadata, config.vocab)
  expect(JSON.stringify(json).length).toBeLessThan(8 * tokenizerBytesMax)
  checkpointTensors(config, described.names)
  for (const { name } of header.tensors) {
    terms.nameOf(name)
    terms.pairedHeads(name)
  }
}

test('a header that lies is read, or refused in a sentence', async () => {
  let readable = 0
  let slowestMs = 0
  const property = fc.asyncProperty(lies, async init => {
    const file = fileOf(init)
    const before = cpuMs()
    try {
      await look(file)
      readable++
    } catch (error) {
      expect(faultOf(error, [ImportError])).toBeUndefined()
    }
    slowestMs = Math.max(slowestMs, cpuMs() - before)
  })
  await fc.assert(property, { numRuns: 2_000, seed: 20261130 })
  // Else it tries nothing but the first check.
  expect(readable).toBeGreaterThan(200)
  // A file of 40 kB: some ms are usual.
  expect(slowestMs).toBeLessThan(2_000)
}, 300_000)

test('a file that lies is imported, or leaves nothing', async () => {
  const store = await openStore({ own: path.join(dir, 'store') })
  const source = path.join(dir, 'lies.gguf')
  const signal = new AbortController().signal
  let n = 0
  const inStore = async (): Promise<string[]> => {
    const all = await readdir(path.join(dir, 'store'), { recursive: true, withFileTypes: true }).catch(() => [])
    return all
      .filter(each => each.isFile())
      .map(({ name }) => name)
      .sort()
  }
  let before = await inStore()
  const property = fc.asyncProperty(lies, async init => {
    await writeFile(source, fileOf(init))
    try {
      await importModel({ source, store, name: `m${n++}`, tokenizerDeadlineMs: 20_000, signal })
      before = await inStore()
    } catch (error) {
      expect(faultOf(error, [ImportError])).toBeUndefined()
      expect(await inStore()).toEqual(before)
    }
  })
  await fc.assert(property, { numRuns: 60, seed: 20261130 })
}, 300_000)

// ── Bombs ──────────────────────────────────────────────────────────────────────────────────────────

function withPieces(pieces: readonly string[]): Map<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...pieces]
  return new Map<string, unknown>([
    ['general.architecture', 'llama'],
    ['tokenizer.ggml.model', 'llama'],
    ['tokenizer.ggml.tokens', tokens],
    ['tokenizer.ggml.scores', new Float32Array(tokens.length)],
    ['tokenizer.ggml.token_type', Int32Array.from(tokens, (_, id) => (id < 3 ? 3 : id < 259 ? 6 : 1))]
  ])
}

test.each([
  // Each could be made of any two that it is as long as together: of half a megabyte of tokens, merges of a gigabyte.
  [
    'tokens that begin alike',
    Array.from({ length: 1_000 }, (_, i) => 'a'.repeat(i + 1)),
    'its tokens and merges have more than'
  ],
  ['a token that is a book', ['x'.repeat(1 << 20)], `has 1048576 characters, at most ${ggufTokenCharsMax} are taken`],
  [
    'many tokens that are pages',
    Array.from({ length: 70_000 }, (_, i) => String(i).padEnd(1_024, '\u0001')),
    'its tokens and merges have more than'
  ]
])('%s are refused before they take memory', (_, pieces, sentence) => {
  const metadata = new GgufMetadata({ file: 'FILE', metadata: withPieces(pieces) as never, tensors: [] })
  const before = { cpu: cpuMs(), bytes: process.memoryUsage().rss }
  expect(() => tokenizerOf(metadata, 1 << 24)).toThrow(sentence)
  expect(cpuMs() - before.cpu).toBeLessThan(5_000)
  expect(process.memoryUsage().rss - before.bytes).toBeLessThan(400 << 20)
})

test('a vector of quantised weights is refused by name', async () => {
  const source = path.join(dir, 'vector.gguf')
  // 32 wide, so that it is whole blocks.
  const config = { hidden_size: 32, intermediate_size: 32, head_dim: 8 }
  const checkpoint = await writeTiny(path.join(dir, 'wide'), { config })
  const all = tinyTensors(checkpoint)
  all.set('blk.0.ffn_norm.weight', { type: 8, shape: [32], data: new Uint8Array(34) })
  const sizes = { 'llama.embedding_length': { u32: 32 }, 'llama.feed_forward_length': { u32: 32 } }
  await writeFile(source, tinyGguf(checkpoint, { tensors: all, metadata: { ...metadata, ...sizes } }))
  const store = await openStore({ own: path.join(dir, 'vectors') })
  await expect(importModel({ source, store, name: 'm', signal: new AbortController().signal })).rejects.toThrow(
    'tensor blk.0.ffn_norm.weight has the type Q8_0, and vectors are F32, F16 or BF16'
  )
})
