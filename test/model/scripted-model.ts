/**
 * A decoder that says what it was made to say: each token of a script is followed by the next one, whatever stood before it. It is a
 * Llama whose attention and feed-forward weights are zero, and runs in peers as any other model does. Tests have it call functions.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tokenizerJson } from '../../scripts/llama2c.ts'
import { importModel } from '../../src/index.ts'
import { encodeSafetensors, type TinyTensor, tinyConfig } from './hugging-face.ts'

export interface ScriptedModel {
  readonly name: string
  readonly chatTemplate: string
  /**
   * What it says to a prompt that ends with that character, which is none of what it says. Bytes of what is no ASCII must not come
   * twice: each of them is a token, whose follower is one token.
   */
  readonly scripts: Readonly<Record<string, string>>
}

/** `</s>`, which ends an answer. */
const eosId = 2
/** Before them are `<unk>`, `<s>` and `</s>`. */
const firstByte = 3
const contextTokens = 2048

/** Imports it into a data directory; layers 0-2. */
export async function importScripted(dataDir: string, { name, chatTemplate, scripts }: ScriptedModel): Promise<void> {
  const source = join(dataDir, `source-${name}`)
  const used = new Set<string>()
  const spoken = Object.entries(scripts).map(([start, text]) => ({
    start: firstByte + start.charCodeAt(0),
    tokens: tokensOf(text, used)
  }))
  const vocabulary = ['<unk>', '<s>', '</s>', ...Array.from({ length: 256 }, (_, byte) => byteName(byte)), ...used]
  const idOf = new Map(vocabulary.map((text, id) => [text, id]))
  /** [token, the one that follows it] */
  const followers = new Map<number, number>()
  for (const { start, tokens } of spoken) {
    const ids = [start, ...tokens.map(text => idOf.get(text)!)]
    for (const [i, id] of ids.entries()) {
      if (followers.has(id)) throw new Error(`${vocabulary[id]} has two followers`)
      followers.set(id, ids[i + 1] ?? eosId)
    }
  }
  // Each token that is followed by another has a dimension of its own, and all others share the first one.
  const config = {
    ...tinyConfig,
    hidden_size: 8 * Math.ceil((followers.size + 1) / 8),
    intermediate_size: 8,
    vocab_size: vocabulary.length,
    max_position_embeddings: contextTokens
  }
  await mkdir(source, { recursive: true })
  await writeFile(join(source, 'config.json'), JSON.stringify(config))
  await writeFile(join(source, 'tokenizer.json'), tokenizerJson(vocabulary.map(text => ({ text, score: 0 }))))
  await writeFile(
    join(source, 'tokenizer_config.json'),
    JSON.stringify({ add_bos_token: true, bos_token: '<s>', eos_token: '</s>', chat_template: chatTemplate })
  )
  await writeFile(join(source, 'model.safetensors'), encodeSafetensors(weights(config, followers), 'F32'))
  await importModel({ source, dataDir, name, weights: 'f32', signal: AbortSignal.timeout(60_000) })
}

/** Cuts a text into tokens that nobody has used yet, of three characters or more. */
function tokensOf(text: string, used: Set<string>): string[] {
  const tokens: string[] = []
  const take = (token: string): void => {
    if (used.has(token)) throw new Error(`the script uses ${JSON.stringify(token)} twice: add to its end`)
    if (!/^<0x..>$/.test(token)) used.add(token)
    tokens.push(token)
  }
  // Spaces are written as vocabularies of this kind have them.
  for (const part of text.replaceAll(' ', '▁').split(/([^\p{ASCII}▁]+)/u)) {
    if (/[^\p{ASCII}▁]/u.test(part)) for (const byte of Buffer.from(part)) take(byteName(byte))
    else {
      for (let start = 0; start < part.length; ) {
        let end = start + 3
        while (end < part.length && used.has(part.slice(start, end))) end++
        // What would be left over is too short to be a token of its own.
        if (part.length - end < 3) end = part.length
        take(part.slice(start, end))
        start = end
      }
    }
  }
  return tokens
}

function byteName(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
}

function weights(config: typeof tinyConfig, followers: ReadonlyMap<number, number>): Map<string, TinyTensor> {
  const { hidden_size: hidden, intermediate_size: wide, vocab_size: vocab, num_hidden_layers: layers } = config
  const kv = (hidden / config.num_attention_heads) * config.num_key_value_heads
  const tensors = new Map<string, TinyTensor>()
  const add = (name: string, shape: number[], value = 0): Float32Array => {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value)
    tensors.set(name, { shape, values })
    return values
  }
  const embedding = add('model.embed_tokens.weight', [vocab, hidden])
  const head = add('lm_head.weight', [vocab, hidden])
  const dimensions = new Map([...followers.keys()].map((id, i) => [id, i + 1]))
  for (let id = 0; id < vocab; id++) embedding[id * hidden + (dimensions.get(id) ?? 0)] = 1
  // Far above all others: the likeliest token has a probability of one, within float32.
  head[eosId * hidden] = 16
  for (const [id, follower] of followers) head[follower * hidden + dimensions.get(id)!] = 16
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}`
    add(`${prefix}.input_layernorm.weight`, [hidden], 1)
    add(`${prefix}.post_attention_layernorm.weight`, [hidden], 1)
    add(`${prefix}.self_attn.q_proj.weight`, [hidden, hidden])
    add(`${prefix}.self_attn.k_proj.weight`, [kv, hidden])
    add(`${prefix}.self_attn.v_proj.weight`, [kv, hidden])
    add(`${prefix}.self_attn.o_proj.weight`, [hidden, hidden])
    add(`${prefix}.mlp.gate_proj.weight`, [wide, hidden])
    add(`${prefix}.mlp.up_proj.weight`, [wide, hidden])
    add(`${prefix}.mlp.down_proj.weight`, [hidden, wide])
  }
  add('model.norm.weight', [hidden], 1)
  return tensors
}
