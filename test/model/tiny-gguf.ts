/** Tiny GGUF files of the llama family, written the way llama.cpp's converter does. */
import { tinyConfig, type TinyTensor } from './hugging-face.ts'
import { type GgufInit, halfBitsOf, type Written, type WrittenTensor, writeGguf } from './formats/gguf-writer.ts'

/** Names of Hugging Face's in GGUF. */
const names: readonly (readonly [RegExp, string])[] = [
  [/^model\.embed_tokens\./, 'token_embd.'],
  [/^model\.norm\./, 'output_norm.'],
  [/^lm_head\./, 'output.'],
  [/^model\.layers\.(\d+)\.input_layernorm\./, 'blk.$1.attn_norm.'],
  [/^model\.layers\.(\d+)\.post_attention_layernorm\./, 'blk.$1.ffn_norm.'],
  [/^model\.layers\.(\d+)\.self_attn\.o_proj\./, 'blk.$1.attn_output.'],
  [/^model\.layers\.(\d+)\.self_attn\.(q|k|v)_proj\./, 'blk.$1.attn_$2.'],
  [/^model\.layers\.(\d+)\.mlp\.(gate|up|down)_proj\./, 'blk.$1.ffn_$2.']
]

export function ggufName(name: string): string {
  const [pattern, replacement] = names.find(([pattern]) => pattern.test(name))!
  return name.replace(pattern, replacement)
}

/** Rows of each head with those of its halves side by side, as rotation of neighbours wants them. */
export function paired({ shape, values }: TinyTensor, heads: number): TinyTensor {
  const [rows, inputs] = [shape[0]!, shape[1] ?? 1]
  const head = rows / heads
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    const inHead = row % head
    const from = row - inHead + Math.floor(inHead / 2) + (inHead % 2) * (head / 2)
    out.set(values.subarray(from * inputs, (from + 1) * inputs), row * inputs)
  }
  return { shape, values: out }
}

type Config = typeof tinyConfig

export function tinyMetadata(config: Config = tinyConfig): Record<string, Written> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const pieces = ['▁', 'a', 'b', 'ab', '▁a']
  return {
    'general.architecture': { text: 'llama' },
    'general.license': { text: 'mit' },
    'llama.block_count': { u32: config.num_hidden_layers },
    'llama.context_length': { u32: config.max_position_embeddings },
    'llama.embedding_length': { u32: config.hidden_size },
    'llama.feed_forward_length': { u32: config.intermediate_size },
    'llama.attention.head_count': { u32: config.num_attention_heads },
    'llama.attention.head_count_kv': { u32: config.num_key_value_heads },
    'llama.rope.freq_base': { f32: config.rope_theta },
    'llama.attention.layer_norm_rms_epsilon': { f32: config.rms_norm_eps },
    'tokenizer.ggml.model': { text: 'llama' },
    'tokenizer.ggml.tokens': { texts: ['<unk>', '<s>', '</s>', ...bytes, ...pieces] },
    'tokenizer.ggml.scores': { f32s: [0, 0, 0, ...bytes.map(() => 0), ...pieces.map((_, i) => -i)] },
    'tokenizer.ggml.token_type': { i32s: [2, 3, 3, ...bytes.map(() => 6), ...pieces.map(() => 1)] },
    'tokenizer.ggml.bos_token_id': { u32: 1 },
    'tokenizer.ggml.eos_token_id': { u32: 2 },
    'tokenizer.chat_template': { text: '{{ messages }}' }
  }
}

/** A checkpoint of Hugging Face's in the tensors of a file. */
export function tinyTensors(
  checkpoint: ReadonlyMap<string, TinyTensor>,
  config: Config = tinyConfig,
  type: 'F32' | 'F16' | 'BF16' = 'F32'
): Map<string, WrittenTensor> {
  const tensors = new Map<string, WrittenTensor>()
  for (const [name, tensor] of checkpoint) {
    const gguf = ggufName(name)
    const heads = { q: config.num_attention_heads, k: config.num_key_value_heads }[
      /attn_(q|k)\./.exec(gguf)?.[1] as 'q' | 'k'
    ]
    const { shape, values } = heads === undefined ? tensor : paired(tensor, heads)
    // Norms are float32 in every file.
    const own = shape.length === 1 ? 'F32' : type
    tensors.set(gguf, { type: { F32: 0, F16: 1, BF16: 30 }[own], shape, data: encoded(values, own) })
  }
  return tensors
}

export function encoded(values: Float32Array, type: 'F32' | 'F16' | 'BF16'): Uint8Array {
  const out = new Uint8Array(values.length * (type === 'F32' ? 4 : 2))
  const view = new DataView(out.buffer)
  for (const [i, value] of values.entries()) {
    if (type === 'F32') view.setFloat32(4 * i, value, true)
    else if (type === 'F16') view.setUint16(2 * i, halfBitsOf(value), true)
    else {
      const float = new DataView(new ArrayBuffer(4))
      float.setFloat32(0, value)
      view.setUint16(2 * i, float.getUint16(0), true)
    }
  }
  return out
}

export function tinyGguf(checkpoint: ReadonlyMap<string, TinyTensor>, init: Partial<GgufInit> = {}): Uint8Array {
  return writeGguf({ metadata: tinyMetadata(), tensors: tinyTensors(checkpoint), ...init })
}
