/**
 * Steps and tokens as the bytes of `protocols/stage.proto`, written and read by hand: these two frames pass every hop for every
 * token, in a processor whose cache a model's weights have just been through, and what is generated for all frames is much more code
 * and data. It took 50 µs to write one there and 56 to read it. Whatever is not in the plain form of these two is left to that. Pure.
 */
import type { HopSpans as WireSpans, Step as WireStep, Token as WireToken } from '../../protocols/stage.ts'

/** Fields of StageFrame, Step and Token, each as a tag: number · 8 + wire type. */
const stepTag = 0x12
const tokenTag = 0x1a
const epochTag = 0x08
const positionTag = 0x10
const tokensTag = 0x18
const sampleFromTag = 0x20
const stepIdTag = 0x28
const hiddenTag = 0x32
const tokenIdTag = 0x18
const stepSpansTag = 0x3a
const tokenSpansTag = 0x22
/** Fields of HopSpans, in order. */
const spanFields = [
  ['hop', 0x08],
  ['read', 0x10],
  ['wait', 0x18],
  ['out', 0x20],
  ['compute', 0x28],
  ['sample', 0x30],
  ['back', 0x38],
  ['sent', 0x40]
] as const

/** A Step that has no masks, as nearly all have none. */
export type PlainStep = Omit<WireStep, 'masks'>
/** A Token that has no scores, as nearly all have none. */
export type PlainToken = Omit<WireToken, 'scores'>

type Numbers = readonly number[] | Int32Array

/** Whether a frame is a step, if it is one in the plain form. */
export function isStep(bytes: Uint8Array): boolean {
  return bytes[0] === stepTag
}

// ── Writing ────────────────────────────────────────────────────────────────────────────────────────

function size(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5
}

/** Of a field: none where it is 0. */
function fieldSize(value: number): number {
  return value === 0 ? 0 : 1 + size(value)
}

function sizeOfAll(values: Numbers): number {
  let bytes = 0
  for (let i = 0; i < values.length; i++) bytes += 1 + size(values[i]!)
  return bytes
}

function put(bytes: Uint8Array, at: number, value: number): number {
  let rest = value
  let end = at
  while (rest >= 0x80) {
    bytes[end++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[end++] = rest
  return end
}

function putField(bytes: Uint8Array, at: number, tag: number, value: number): number {
  if (value === 0) return at
  bytes[at] = tag
  return put(bytes, at + 1, value)
}

function putAll(bytes: Uint8Array, at: number, tag: number, values: Numbers): number {
  let end = at
  for (let i = 0; i < values.length; i++) {
    bytes[end] = tag
    end = put(bytes, end + 1, values[i]!)
  }
  return end
}

function sizeOfSpans(spans: WireSpans): number {
  let bytes = 0
  for (const [name] of spanFields) bytes += fieldSize(spans[name])
  return bytes
}

function sizeOfAllSpans(all: readonly WireSpans[]): number {
  let bytes = 0
  for (const spans of all) {
    const inner = sizeOfSpans(spans)
    bytes += 1 + size(inner) + inner
  }
  return bytes
}

function putAllSpans(bytes: Uint8Array, from: number, tag: number, all: readonly WireSpans[]): void {
  let at = from
  for (const spans of all) {
    bytes[at] = tag
    at = put(bytes, at + 1, sizeOfSpans(spans))
    for (const [name, field] of spanFields) at = putField(bytes, at, field, spans[name])
  }
}

/** A Step without masks. Its numbers are below 2^32. */
export function writeStep(step: Omit<PlainStep, 'ids'> & { readonly ids: Numbers }): Uint8Array {
  const { epoch, position, tokens, sampleFrom, ids, hidden, spans } = step
  const states = hidden.length === 0 ? 0 : 1 + size(hidden.length) + hidden.length
  const numbers = fieldSize(epoch) + fieldSize(position) + fieldSize(tokens) + fieldSize(sampleFrom)
  const inner = numbers + sizeOfAll(ids) + states + sizeOfAllSpans(spans)
  const bytes = new Uint8Array(1 + size(inner) + inner)
  bytes[0] = stepTag
  let at = put(bytes, 1, inner)
  at = putField(bytes, at, epochTag, epoch)
  at = putField(bytes, at, positionTag, position)
  at = putField(bytes, at, tokensTag, tokens)
  at = putField(bytes, at, sampleFromTag, sampleFrom)
  at = putAll(bytes, at, stepIdTag, ids)
  if (states > 0) {
    bytes[at] = hiddenTag
    at = put(bytes, at + 1, hidden.length)
    bytes.set(hidden, at)
    at += hidden.length
  }
  putAllSpans(bytes, at, stepSpansTag, spans)
  return bytes
}

/** A Token without scores. Its numbers are below 2^32. */
export function writeToken({
  epoch,
  position,
  ids,
  spans
}: Omit<PlainToken, 'ids'> & { readonly ids: Numbers }): Uint8Array {
  const inner = fieldSize(epoch) + fieldSize(position) + sizeOfAll(ids) + sizeOfAllSpans(spans)
  const bytes = new Uint8Array(1 + size(inner) + inner)
  bytes[0] = tokenTag
  let at = put(bytes, 1, inner)
  at = putField(bytes, at, epochTag, epoch)
  at = putField(bytes, at, positionTag, position)
  at = putAll(bytes, at, tokenIdTag, ids)
  putAllSpans(bytes, at, tokenSpansTag, spans)
  return bytes
}

// ── Reading ────────────────────────────────────────────────────────────────────────────────────────

/** Reads numbers of a frame one after the other. */
class Reader {
  readonly bytes: Uint8Array
  at = 0
  /** It has come upon what has not the plain form. */
  isLost = false

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length
  }

  /** A number in its shortest form, below 2^32. */
  number(): number {
    const { bytes } = this
    let value = 0
    for (let unit = 1; unit <= 2 ** 28; unit *= 0x80) {
      const byte = bytes[this.at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * unit
      if (byte >= 0x80) continue
      if ((byte === 0 && unit > 1) || value >= 2 ** 32) break
      return value
    }
    this.isLost = true
    return 0
  }

  /** The number of a field, if that is the next one; 0 where it is not there. */
  field(tag: number): number {
    if (this.bytes[this.at] !== tag) return 0
    this.at++
    return this.number()
  }

  /** Numbers of a field, as many as there are but for `most`. */
  all(tag: number, most: number): number[] {
    const values: number[] = []
    while (this.bytes[this.at] === tag && values.length <= most && !this.isLost) {
      this.at++
      values.push(this.number())
    }
    if (values.length > most) this.isLost = true
    return values
  }

  /** Whether the message that begins here ends with the frame. */
  isLast(): boolean {
    const bytes = this.number()
    return !this.isLost && this.at + bytes === this.bytes.length
  }

  /** So many bytes, as a view. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const from = this.at
    this.at += length
    if (this.at > this.bytes.length) this.isLost = true
    return this.bytes.subarray(from, this.at) as Uint8Array<ArrayBuffer>
  }

  /** Spans of a field, as many as there are but for `most`. */
  allSpans(tag: number, most: number): WireSpans[] {
    const all: WireSpans[] = []
    while (this.bytes[this.at] === tag && all.length <= most && !this.isLost) {
      this.at++
      const end = this.number() + this.at
      const spans = { hop: 0, read: 0, wait: 0, out: 0, compute: 0, sample: 0, back: 0, sent: 0 }
      for (const [name, field] of spanFields) if (this.at < end) spans[name] = this.field(field)
      if (this.at !== end) this.isLost = true
      all.push(spans)
    }
    if (all.length > most) this.isLost = true
    return all
  }
}

const nothing = new Uint8Array(0)

export interface FrameLimits {
  readonly ids: number
  readonly spans: number
}

/** A Step without masks in the plain form, within limits; undefined where the bytes are not that. Hidden states are a view of them. */
export function readStep(bytes: Uint8Array, limits: FrameLimits): PlainStep | undefined {
  if (bytes[0] !== stepTag) return undefined
  const reader = new Reader(bytes)
  reader.at = 1
  if (!reader.isLast()) return undefined
  const epoch = reader.field(epochTag)
  const position = reader.field(positionTag)
  const tokens = reader.field(tokensTag)
  const sampleFrom = reader.field(sampleFromTag)
  const ids = reader.all(stepIdTag, limits.ids)
  let hidden = nothing
  if (bytes[reader.at] === hiddenTag) {
    reader.at++
    hidden = reader.take(reader.number())
  }
  const spans = reader.allSpans(stepSpansTag, limits.spans)
  if (reader.isLost || !reader.isAtEnd) return undefined
  return { epoch, position, tokens, sampleFrom, ids, hidden, spans }
}

/** The same of a Token without scores. */
export function readToken(bytes: Uint8Array, limits: FrameLimits): PlainToken | undefined {
  if (bytes[0] !== tokenTag) return undefined
  const reader = new Reader(bytes)
  reader.at = 1
  if (!reader.isLast()) return undefined
  const epoch = reader.field(epochTag)
  const position = reader.field(positionTag)
  const ids = reader.all(tokenIdTag, limits.ids)
  const spans = reader.allSpans(tokenSpansTag, limits.spans)
  if (reader.isLost || !reader.isAtEnd) return undefined
  return { epoch, position, ids, spans }
}
