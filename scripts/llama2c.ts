/**
 * Reads llama2.c's files: checkpoints with the legacy header (version 0 of `export.py`) and `tokenizer.bin` in
 * both its layouts. Pure: bytes in, what `writeModel` takes out.
 */
import type { SourceTensor, TensorSource } from '../src/model/import-writer.ts'
import type { ModelConfig } from '../src/model/decoder.ts'

export interface Llama2cCheckpoint {
  readonly config: ModelConfig
  readonly source: TensorSource
}

/**
 * A legacy checkpoint: seven int32 (dim, hidden, layers, heads, kv heads, vocab, context; a negative vocab means
 * an output matrix of its own), then float32 tensors, each for all layers, matrices [outputs, inputs].
 * The rotation frequencies between final norm and output matrix are not read: they follow from theta 10,000.
 *
 * @throws {Error} when the size is not what the header asks for
 */
export function readCheckpoint(bytes: Uint8Array): Llama2cCheckpoint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const header = Array.from({ length: 7 }, (_, i) => view.getInt32(4 * i, true))
  const [hidden, intermediate, layers, heads, kvHeads, vocabOrNegative, contextMax] = header as [
    number,
    number,
    number,
    number,
    number,
    number,
    number
  ]
  const vocab = Math.abs(vocabOrNegative)
  const tied = vocabOrNegative > 0
  const headDim = hidden / heads
  const kvHidden = kvHeads * headDim
  let offset = 28
  const place = (perLayer: number, count = layers): { offset: number; elements: number } => {
    const entry = { offset, elements: perLayer }
    offset += 4 * perLayer * count
    return entry
  }
  const places: Partial<Record<SourceTensor, { offset: number; elements: number }>> = {
    embedding: place(vocab * hidden, 1),
    norm1: place(hidden),
    q: place(hidden * hidden),
    k: place(kvHidden * hidden),
    v: place(kvHidden * hidden),
    o: place(hidden * hidden),
    norm2: place(hidden),
    gate: place(intermediate * hidden),
    down: place(hidden * intermediate),
    up: place(intermediate * hidden),
    norm: place(hidden, 1)
  }
  place((contextMax * headDim) / 2, 2)
  if (!tied) places.output = place(vocab * hidden, 1)
  if (offset !== bytes.length) {
    throw new Error(`a checkpoint with the header ${header.join(', ')} has ${offset} bytes, this has ${bytes.length}`)
  }
  return {
    config: {
      layers,
      hidden,
      intermediate,
      heads,
      kvHeads,
      headDim,
      vocab,
      contextMax,
      ropeTheta: 10000,
      normEpsilon: 1e-5,
      tiedEmbeddings: tied
    },
    source: {
      async read(tensor, layer, row, into) {
        const { offset, elements } = places[tensor]!
        const start = offset + 4 * (layer ?? 0) * elements
        const inputs = tensor === 'down' ? intermediate : hidden
        const rows = into.length / inputs
        for (let r = 0; r < rows; r++) {
          const from = tensor === 'q' || tensor === 'k' ? pairedRow(row + r, headDim) : row + r
          for (let i = 0; i < inputs; i++) {
            into[r * inputs + i] = view.getFloat32(start + 4 * (from * inputs + i), true)
          }
        }
      }
    }
  }
}

/**
 * llama2.c rotates neighbours (2i, 2i + 1) of a head, Hugging Face the halves (i, i + headDim / 2): the row that
 * belongs at `row` in the latter's order.
 */
function pairedRow(row: number, headDim: number): number {
  const within = row % headDim
  const half = headDim / 2
  return row - within + (within < half ? 2 * within : 2 * (within - half) + 1)
}

export interface Piece {
  readonly text: string
  readonly score: number
}

/**
 * The pieces of a `tokenizer.bin`: int32 longest piece, then per piece float32 score, int32 length, bytes.
 * The older layout names the 256 byte pieces (ids 3 to 258) by the character of that code, the newer one
 * `<0x00>` to `<0xFF>`; both come out as the latter. Spaces become `▁`, sentencepiece's sign for them.
 *
 * @throws {Error} when the bytes end within a piece or there are more or fewer than `vocab`
 */
export function readTokenizer(bytes: Uint8Array, vocab: number): Piece[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const pieces: Piece[] = []
  let offset = 4
  while (offset < bytes.length) {
    const score = view.getFloat32(offset, true)
    const length = view.getInt32(offset + 4, true)
    offset += 8
    const id = pieces.length
    const text = decoder.decode(bytes.subarray(offset, offset + length))
    offset += length
    if (id < 3) {
      pieces.push({ text: ['<unk>', '<s>', '</s>'][id]!, score })
    } else if (id < 259) {
      const name = `<0x${(id - 3).toString(16).toUpperCase().padStart(2, '0')}>`
      if (text !== name && text !== String.fromCharCode(id - 3)) {
        throw new Error(`piece ${id} must be the byte ${name}, it is ${JSON.stringify(text)}`)
      }
      pieces.push({ text: name, score })
    } else {
      pieces.push({ text: text.replaceAll(' ', '▁'), score })
    }
  }
  if (pieces.length !== vocab || offset !== bytes.length) {
    throw new Error(`a tokenizer for ${vocab} pieces has ${pieces.length}, ${offset - bytes.length} bytes short`)
  }
  return pieces
}

/**
 * `tokenizer.json` for Hugging Face's tokenizers: sentencepiece's BPE with its scores turned into merge ranks.
 *
 * sentencepiece merges the neighbours whose joint piece has the highest score, the leftmost of equals. So every
 * way to cut a piece into two pieces is a merge, ranked by the joint piece's score. Equal scores are those of
 * runs of spaces, which it eats from the left: longest first does the same with ranks.
 */
export function tokenizerJson(pieces: readonly Piece[]): Uint8Array {
  const vocab = new Map(pieces.map(({ text }, id) => [text, id]))
  if (vocab.size !== pieces.length) throw new Error('two pieces have the same text')
  const normal = new Set(pieces.slice(259).map(({ text }) => text))
  const merges: { left: string; right: string; score: number; length: number }[] = []
  for (const { text, score } of pieces.slice(259)) {
    const characters = Array.from(text)
    for (let cut = characters.length - 1; cut > 0; cut--) {
      const left = characters.slice(0, cut).join('')
      const right = characters.slice(cut).join('')
      if (normal.has(left) && normal.has(right)) merges.push({ left, right, score, length: characters.length })
    }
  }
  merges.sort((a, b) => b.score - a.score || b.length - a.length)
  const special = (id: number): object => ({
    id,
    content: pieces[id]!.text,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  })
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [special(0), special(1), special(2)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
      ]
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [
        { SpecialToken: { id: '<s>', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '<s>', type_id: 1 } },
        { Sequence: { id: 'B', type_id: 1 } }
      ],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } }
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 }
      ]
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(vocab),
      merges: merges.map(({ left, right }) => `${left} ${right}`)
    }
  }
  return new TextEncoder().encode(JSON.stringify(json))
}

/**
 * What sentencepiece does, step by step and slowly, as llama2.c's `encode` has it: the reference that the merge
 * ranks are compared with. No BOS is put in front.
 */
export function referenceEncode(pieces: readonly Piece[], text: string): number[] {
  if (text === '') return []
  const ids = new Map(pieces.map((piece, id) => [piece.text, id] as const).filter(([, id]) => id >= 259))
  const encoder = new TextEncoder()
  const symbols = Array.from(`▁${text.replaceAll(' ', '▁')}`)
  for (;;) {
    let best = -1
    let bestScore = Number.NEGATIVE_INFINITY
    for (let i = 0; i + 1 < symbols.length; i++) {
      const id = ids.get(symbols[i]! + symbols[i + 1]!)
      if (id !== undefined && pieces[id]!.score > bestScore) {
        best = i
        bestScore = pieces[id]!.score
      }
    }
    if (best < 0) break
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!)
  }
  return symbols.flatMap(symbol => {
    const id = ids.get(symbol)
    return id !== undefined ? [id] : Array.from(encoder.encode(symbol), byte => byte + 3)
  })
}
