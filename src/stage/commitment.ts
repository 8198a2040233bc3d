/**
 * What a stage signs when its driver asks, in the middle of a session and when it ends: a digest of the rows that it was given, and one of what it
 * gave for them (rule S41). Both are chains over the rows of the tokens [0, tokens) as they are by then, so a hop's input has the same digest as the
 * output of the hop before it, whatever was replayed, rolled back, drafted or sent in which chunks on the way. Pure.
 */
import { Commitment as WireCommitment } from '../../protocols/stage.ts'
import type { PeerId } from '../base/ids.ts'
import { inDomain, type Sign, type Verify } from '../base/signature.ts'
import { ProtocolError } from '../errors.ts'
import { hopsMax } from '../limits.ts'
import { check, positionMax } from './field.ts'
import { chainBlockRows, classCharsMax, commitmentBytesMax } from './limits.ts'

/** SHA-256 of some bytes: 32 bytes. Whoever runs a decider brings it. */
export type Digest = (data: Uint8Array) => Uint8Array

export const digestBytes = 32
/** What a row of the last stage gives where no token was drawn after it. */
export const nothingDrawn = 0xffff_ffff

/** What one hop says that it computed. */
export interface Commitment {
  /** SHA-256 of the terms of the epoch that it computed last, as its driver signed them. */
  readonly terms: Uint8Array
  /** Of the route in these terms. */
  readonly hop: number
  /** It is about the tokens [0, tokens). */
  readonly tokens: number
  /** Digest of the rows that it was given: ids at the head, else hidden states. */
  readonly input: Uint8Array
  /** Digest of what it gave for them: hidden states, or at the tail the ids that it drew. */
  readonly output: Uint8Array
  /** Its numeric class: peers of the same one compute the same bits (promise P3). */
  readonly numericClass: string
}

/** The same with the bytes that its hop signed. */
export interface SignedCommitment extends Commitment {
  readonly payload: Uint8Array<ArrayBuffer>
  readonly signature: Uint8Array<ArrayBuffer>
}

/** The first form of commitments had digests of another form, under `skein-commitment:`. */
const domain = 'skein-commitment-2:'

export function signCommitment(commitment: Commitment, sign: Sign): SignedCommitment {
  const payload = WireCommitment.encode(commitment as WireCommitment)
  return { ...commitment, payload, signature: sign(inDomain(domain, payload)) as Uint8Array<ArrayBuffer> }
}

/** Whether this peer has signed it. */
export function isCommittedBy(peer: PeerId, { payload, signature }: SignedCommitment, verify: Verify): boolean {
  return verify(peer, inDomain(domain, payload), signature)
}

/**
 * Reads a commitment and checks what can be said about it alone, but not its signature.
 *
 * @throws {ProtocolError} when the bytes are none, or hold values that no hop could mean.
 */
export function readCommitment(payload: Uint8Array, signature: Uint8Array): SignedCommitment {
  check(payload.length <= commitmentBytesMax, `a commitment has at most ${commitmentBytesMax} bytes`, payload.length)
  let wire: WireCommitment
  try {
    wire = WireCommitment.decode(payload)
  } catch (error) {
    throw new ProtocolError(`a commitment of ${payload.length} bytes does not decode: ${(error as Error).message}`)
  }
  const { terms, hop, tokens, input, output, numericClass } = wire
  for (const digest of [terms, input, output])
    check(digest.length === digestBytes, 'a digest has 32 bytes', digest.length)
  check(hop < hopsMax, `a hop is below ${hopsMax}`, hop)
  check(tokens >= 1 && tokens <= positionMax, 'a commitment is about 1 token to 2^31', tokens)
  check(numericClass.length <= classCharsMax, `a class has at most ${classCharsMax} characters`, numericClass.length)
  // Copies: views would keep all that arrived with them.
  return { terms, hop, tokens, input, output, numericClass, payload: payload.slice(), signature: signature.slice() }
}

/** [ids] as rows of 4 bytes, the lowest first: what the head is given, and what the tail gives. */
export function rowsOfIds(ids: ArrayLike<number>): Uint8Array {
  const rows = new Uint8Array(4 * ids.length)
  const view = new DataView(rows.buffer)
  for (let i = 0; i < ids.length; i++) view.setUint32(4 * i, ids[i]!, true)
  return rows
}

/** [tokens] of what a step at the tail gave after each of its rows: `ids` are drawn after the row before its drafts, and those after it. */
export function drawnRows(tokens: number, drafts: number, ids: readonly number[] | undefined): Uint8Array {
  const drawn = new Uint32Array(tokens).fill(nothingDrawn)
  if (ids !== undefined) drawn.set(ids.slice(0, 1 + drafts), tokens - 1 - drafts)
  return rowsOfIds(drawn)
}

/** Of a token's id, as rows have it. */
export const idBytes = 4

/** [tokens] rows, each followed by the id of its token: what hops are given and give where their steps carry ids (rule S36). */
export function withIds(rows: Uint8Array, ids: Uint8Array): Uint8Array {
  const tokens = ids.length / idBytes
  const rowBytes = rows.length / tokens
  const joined = new Uint8Array(rows.length + ids.length)
  for (let row = 0; row < tokens; row++) {
    const at = row * (rowBytes + idBytes)
    joined.set(rows.subarray(row * rowBytes, (row + 1) * rowBytes), at)
    joined.set(ids.subarray(row * idBytes, (row + 1) * idBytes), at + rowBytes)
  }
  return joined
}

/** The two parts of {@link withIds}. @param tokens rows that there are */
export function withoutIds(
  joined: Uint8Array,
  tokens: number
): { readonly rows: Uint8Array; readonly ids: Uint8Array } {
  const rowBytes = joined.length / tokens - idBytes
  const [rows, ids] = [new Uint8Array(tokens * rowBytes), new Uint8Array(tokens * idBytes)]
  for (let row = 0; row < tokens; row++) {
    const at = row * (rowBytes + idBytes)
    rows.set(joined.subarray(at, at + rowBytes), row * rowBytes)
    ids.set(joined.subarray(at + rowBytes, at + rowBytes + idBytes), row * idBytes)
  }
  return { rows, ids }
}

/**
 * The digest of the rows [0, n), for every n that is one of the last {@link chainBlockRows} at least. Rows are digested in blocks at absolute
 * multiples of that: a call for each row would cost ten times what its bytes cost.
 */
export class RowChain {
  readonly #digest: Digest
  /** The digest after each whole block. */
  readonly #states: Uint8Array[] = []
  /** Two blocks, by turns, each after the digest before it: so what a step has added can be cut off again. */
  readonly #blocks: [Uint8Array, Uint8Array] = [new Uint8Array(0), new Uint8Array(0)]
  /** Which block lies in each of them. */
  readonly #held: [number, number] = [-1, -1]
  #rowBytes = 0
  #length = 0
  #isWhole = true

  constructor(digest: Digest) {
    this.#digest = digest
  }

  get length(): number {
    return this.#length
  }

  /** Rows from `position` on: what was behind it is dropped first, as a cache does (promise P2). */
  push(position: number, rows: Uint8Array, tokens: number): void {
    if (!this.#cut(position)) this.#isWhole = false
    if (!this.#isWhole) return
    const rowBytes = rows.length / tokens
    // Rows of one session have one size.
    if (this.#length === 0) this.#rowBytes = rowBytes
    for (let at = 0; at < tokens; ) {
      const row = this.#length % chainBlockRows
      const count = Math.min(chainBlockRows - row, tokens - at)
      const block = this.#block(Math.floor(this.#length / chainBlockRows))
      block.set(rows.subarray(at * rowBytes, (at + count) * rowBytes), digestBytes + row * rowBytes)
      at += count
      this.#length += count
      if (row + count === chainBlockRows) this.#states.push(this.#digest(block))
    }
  }

  /** The digest of the rows [0, tokens); undefined where they are not all known, or too many follow. */
  at(tokens: number): Uint8Array | undefined {
    if (!this.#isWhole || tokens < 1 || tokens > this.#length) return undefined
    const [block, rows] = [Math.floor(tokens / chainBlockRows), tokens % chainBlockRows]
    if (rows === 0) return this.#states[block - 1]
    if (this.#held[block % 2] !== block) return undefined
    return this.#digest(this.#blocks[block % 2]!.subarray(0, digestBytes + rows * this.#rowBytes))
  }

  /** Drops all from `position` on. False where rows before it are not here: of those that follow nothing can be said any more. */
  #cut(position: number): boolean {
    if (position > this.#length) return false
    const block = Math.floor(position / chainBlockRows)
    if (position % chainBlockRows > 0 && this.#held[block % 2] !== block) return false
    this.#states.length = Math.min(this.#states.length, block)
    this.#length = position
    return true
  }

  /** The buffer of a block, its rows and the digest before it as they are. */
  #block(block: number): Uint8Array {
    const at = block % 2
    const bytes = digestBytes + chainBlockRows * this.#rowBytes
    if (this.#blocks[at]!.length !== bytes) this.#blocks[at] = new Uint8Array(bytes)
    const buffer = this.#blocks[at]!
    if (this.#length % chainBlockRows === 0) {
      this.#held[at] = block
      if (block === 0) buffer.fill(0, 0, digestBytes)
      else buffer.set(this.#states[block - 1]!)
    }
    return buffer
  }
}

/** Whether two digests are the same. */
export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
