/**
 * A quantised Skein model as a GGUF file, so that llama.cpp computes with the same weights. The levels are the
 * same numbers in another order; only the scales lose bits, since ggml keeps them in float16.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { repack, shardTensors } from '../../src/engine/onnx/tensors.ts'
import { type Manifest, type ShardRole, shardName } from '../../src/model/manifest.ts'
import { halfBits } from '../../src/model/half.ts'
import { quantisedTypes } from '../../src/model/weight-types.ts'
import { type GgufTensor, type GgufValue, writeGguf } from './gguf.ts'

interface Blocks {
  readonly bits: 8 | 4
  /** [rows, blocks, 32 or 16] levels. */
  readonly q: Uint8Array
  /** [rows, blocks] scales. */
  readonly s: Float32Array
  readonly rows: number
  readonly blocks: number
}

/** @throws {RangeError} when the model is float32, or rows do not fill whole blocks: ggml has no short ones. */
export function exportGguf(manifest: Manifest, shardDirectory: string, file: string): void {
  const { config, weights } = manifest
  if (weights === 'f32' || typeof weights !== 'string') throw new RangeError('the comparison is of quantised models')
  const { hidden, heads, kvHeads, headDim, intermediate } = config
  if (hidden % 32 !== 0 || intermediate % 32 !== 0) throw new RangeError('ggml needs rows of whole blocks')

  const embeddingBits = 8
  const layerBits = quantisedTypes[weights].bits
  const read = (role: ShardRole, layer: number | null): Uint8Array => {
    const shard = manifest.shards.find(entry => entry.role === role && entry.layer === layer)
    if (shard === undefined) throw new RangeError(`there is no ${shardName({ role, layer })}`)
    return repack(manifest, shard, new Uint8Array(readFileSync(path.join(shardDirectory, shard.sha256))))
  }
  const bytesOf = (role: ShardRole, shard: Uint8Array, name: string): Uint8Array<ArrayBuffer> => {
    const layer = role === 'layer' ? 0 : null
    const { offset, bytes } = shardTensors(manifest, { role, layer }).find(entry => entry.name === name)!
    return new Uint8Array(shard.subarray(offset, offset + bytes))
  }
  const matrix = (role: ShardRole, shard: Uint8Array, name: string, inputs: number): Blocks => {
    const s = new Float32Array(bytesOf(role, shard, `${name}.s`).buffer)
    const blocks = inputs / 32
    const bits = role === 'layer' ? layerBits : embeddingBits
    return { bits, q: bytesOf(role, shard, `${name}.q`), s, rows: s.length / blocks, blocks }
  }
  const vector = (name: string, role: ShardRole, layer: number | null, tensor: string): GgufTensor => ({
    name,
    type: 'f32',
    shape: [hidden],
    bytes: () => bytesOf(role, read(role, layer), tensor)
  })
  const product = (name: string, rows: number, inputs: number, bits: 8 | 4, blocks: () => Blocks): GgufTensor => ({
    name,
    type: bits === 8 ? 'q8_0' : 'q4_0',
    shape: [rows, inputs],
    bytes: () => ggmlBlocks(blocks())
  })

  const tensors: GgufTensor[] = [
    product('token_embd.weight', config.vocab, hidden, embeddingBits, () =>
      matrix('embedding', read('embedding', null), 'embedding', hidden)
    ),
    vector('output_norm.weight', 'head', null, 'norm')
  ]
  if (!config.tiedEmbeddings) {
    tensors.push(
      product('output.weight', config.vocab, hidden, embeddingBits, () =>
        matrix('head', read('head', null), 'output', hidden)
      )
    )
  }
  for (let l = 0; l < config.layers; l++) {
    const part = (name: string, inputs: number): Blocks => matrix('layer', read('layer', l), name, inputs)
    const [queries, keys] = [heads * headDim, kvHeads * headDim]
    const at = `blk.${l}`
    tensors.push(
      vector(`${at}.attn_norm.weight`, 'layer', l, 'norm1'),
      vector(`${at}.ffn_norm.weight`, 'layer', l, 'norm2'),
      product(`${at}.attn_q.weight`, queries, hidden, layerBits, () =>
        pairwise(rowsOf(part('qkv', hidden), 0, queries), headDim)
      ),
      product(`${at}.attn_k.weight`, keys, hidden, layerBits, () =>
        pairwise(rowsOf(part('qkv', hidden), queries, queries + keys), headDim)
      ),
      product(`${at}.attn_v.weight`, keys, hidden, layerBits, () =>
        rowsOf(part('qkv', hidden), queries + keys, queries + 2 * keys)
      )
    )
    tensors.push(
      product(`${at}.attn_output.weight`, hidden, queries, layerBits, () => part('o', queries)),
      product(`${at}.ffn_gate.weight`, intermediate, hidden, layerBits, () =>
        rowsOf(part('gateup', hidden), 0, intermediate)
      ),
      product(`${at}.ffn_up.weight`, intermediate, hidden, layerBits, () =>
        rowsOf(part('gateup', hidden), intermediate, 2 * intermediate)
      ),
      product(`${at}.ffn_down.weight`, hidden, intermediate, layerBits, () => part('down', intermediate))
    )
  }
  writeGguf(file, metadataOf(manifest), tensors)
}

function metadataOf({ name, config, bosId, eosIds }: Manifest): Record<string, GgufValue> {
  const { vocab, headDim } = config
  // The comparison feeds ids. llama.cpp wants a vocabulary all the same, with the 256 bytes in it.
  const token = (id: number): string =>
    id < 3 ? ['<unk>', '<s>', '</s>'][id]! : id < 259 ? `<0x${byte(id - 3)}>` : `t${id}`
  const kind = (id: number): number => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1)
  const ids = Array.from({ length: vocab }, (_, id) => id)
  return {
    'general.architecture': { string: 'llama' },
    'general.name': { string: name },
    'llama.vocab_size': { u32: vocab },
    'llama.context_length': { u32: config.contextMax },
    'llama.embedding_length': { u32: config.hidden },
    'llama.block_count': { u32: config.layers },
    'llama.feed_forward_length': { u32: config.intermediate },
    'llama.attention.head_count': { u32: config.heads },
    'llama.attention.head_count_kv': { u32: config.kvHeads },
    'llama.attention.key_length': { u32: headDim },
    'llama.attention.value_length': { u32: headDim },
    'llama.attention.layer_norm_rms_epsilon': { f32: config.normEpsilon },
    'llama.rope.dimension_count': { u32: headDim },
    'llama.rope.freq_base': { f32: config.ropeTheta },
    'tokenizer.ggml.model': { string: 'llama' },
    'tokenizer.ggml.tokens': { strings: ids.map(token) },
    'tokenizer.ggml.scores': { floats: ids.map(id => -id) },
    'tokenizer.ggml.token_type': { ints: ids.map(kind) },
    'tokenizer.ggml.bos_token_id': { u32: bosId ?? 1 },
    'tokenizer.ggml.eos_token_id': { u32: eosIds[0] ?? 2 },
    'tokenizer.ggml.unknown_token_id': { u32: 0 }
  }
}

function byte(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0')
}

/** Rows [from, to). */
function rowsOf({ bits, q, s, blocks }: Blocks, from: number, to: number): Blocks {
  const width = blocks * 4 * bits
  return {
    bits,
    q: q.subarray(from * width, to * width),
    s: s.subarray(from * blocks, to * blocks),
    rows: to - from,
    blocks
  }
}

/** llama.cpp's rotation of this architecture turns neighbouring rows of a head, ours the two halves of it. */
function pairwise({ bits, q, s, rows, blocks }: Blocks, headDim: number): Blocks {
  const width = blocks * 4 * bits
  const out = { bits, q: new Uint8Array(q.length), s: new Float32Array(s.length), rows, blocks }
  for (let row = 0; row < rows; row++) {
    const inHead = row % headDim
    const from = row - inHead + (inHead % 2) * (headDim / 2) + (inHead >> 1)
    out.q.set(q.subarray(from * width, (from + 1) * width), row * width)
    out.s.set(s.subarray(from * blocks, (from + 1) * blocks), row * blocks)
  }
  return out
}

/** Q8_0: f16 scale, 32 signed levels. Q4_0: f16 scale, 16 bytes, byte i with elements i (low nibble) and i + 16. */
function ggmlBlocks({ bits, q, s }: Blocks): Uint8Array {
  const width = 4 * bits
  const out = new Uint8Array(s.length * (2 + width))
  const scale = new DataView(out.buffer)
  for (let block = 0; block < s.length; block++) {
    const to = block * (2 + width)
    const from = block * width
    scale.setUint16(to, float16Bits(s[block]!), true)
    if (bits === 8) {
      for (let i = 0; i < 32; i++) out[to + 2 + i] = q[from + i]! - 128
    } else {
      const level = (i: number): number => (q[from + (i >> 1)]! >> (4 * (i & 1))) & 15
      for (let i = 0; i < 16; i++) out[to + 2 + i] = level(i) | (level(i + 16) << 4)
    }
  }
  return out
}

const word = new Float32Array(1)
const bits = new Uint32Array(word.buffer)

function float16Bits(value: number): number {
  word[0] = value
  return halfBits(bits[0]!)
}
