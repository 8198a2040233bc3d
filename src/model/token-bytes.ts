/**
 * The bytes that a token adds to a text, by how its tokenizer's file says that tokens are decoded: a token may be a part of a
 * character, of which no text can be made alone. Pure.
 */

interface Decoder {
  readonly type?: unknown
  readonly decoders?: unknown
  readonly pattern?: { readonly String?: unknown } | undefined
  readonly content?: unknown
  readonly replacement?: unknown
  readonly prefix?: unknown
  readonly suffix?: unknown
}

/** Bytes as the characters that byte-level tokenizers spell them with (GPT-2's table): printable ones are themselves. */
const bytesOfCharacter = (() => {
  const isPrintable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  const table = new Map<string, number>()
  let others = 256
  for (let byte = 0; byte < 256; byte++) table.set(String.fromCharCode(isPrintable(byte) ? byte : others++), byte)
  return table
})()

const encoder = new TextEncoder()

/** How a file's tokens are spelt out. @param file a parsed `tokenizer.json`, which nobody has checked */
export function spellingOf(file: object): (token: string) => Uint8Array {
  const decoders = decodersIn((file as { readonly decoder?: unknown }).decoder)
  const types = new Set(decoders.map(({ type }) => type))
  if (types.has('ByteLevel')) return token => byteLevel(token) ?? encoder.encode(token)
  const replaced = decoders.flatMap(({ type, pattern, content, replacement, prefix, suffix }): [string, string][] => {
    if (type === 'Metaspace') return [[typeof replacement === 'string' ? replacement : '\u2581', ' ']]
    if (type === 'Replace' && typeof pattern?.String === 'string' && typeof content === 'string') {
      return [[pattern.String, content]]
    }
    if (type === 'WordPiece') return [[typeof prefix === 'string' ? prefix : '##', '']]
    return type === 'BPEDecoder' ? [[typeof suffix === 'string' ? suffix : '</w>', ' ']] : []
  })
  const hasBytes = types.has('ByteFallback')
  return token => {
    const [, hex] = (hasBytes && /^<0x([0-9A-Fa-f]{2})>$/.exec(token)) || []
    if (hex !== undefined) return Uint8Array.of(Number.parseInt(hex, 16))
    return encoder.encode(
      replaced.reduce((text, [from, to]) => (from === '' ? text : text.replaceAll(from, to)), token)
    )
  }
}

/** What a decoder is made of, in order. */
function decodersIn(decoder: unknown): Decoder[] {
  if (decoder === null || typeof decoder !== 'object') return []
  const { decoders } = decoder as Decoder
  // A file that has a decoder within itself is no JSON; how deep it goes, its size bounds.
  return Array.isArray(decoders) ? decoders.flatMap(decodersIn) : [decoder as Decoder]
}

/** undefined where a character stands for no byte: then it is text as it is. */
function byteLevel(token: string): Uint8Array | undefined {
  const bytes = Array.from(token, character => bytesOfCharacter.get(character))
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[])
}
