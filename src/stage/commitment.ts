/**
 * What a stage signs when a session ends: a digest of the rows that it was given, and one of what it gave for them (rule S41). Both
 * are chains over the rows of the tokens [0, tokens) as they are in the end, so a hop's input has the same digest as the output
 * of the hop before it, whatever was replayed, rolled back, drafted or sent in which chunks on the way. Pure.
 */
import { Commitment as WireCommitment } from '../../protocols/stage.ts'
import type { PeerId } from '../base/ids.ts'
import { inDomain, type Sign, type Verify } from '../base/signature.ts'
import { ProtocolError } from '../errors.ts'
import { hopsMax } from '../limits.ts'
import { check, positionMax } from './field.ts'
import { classCharsMax, commitmentBytesMax } from './limits.ts'

/** SHA-256 of some bytes: 32 bytes. Whoever runs a decider brings it. */
export type Digest = (data: Uint8Array) => Uint8Array

export const digestBytes = 32
/** What a row of the last stage gives where no token was drawn after it. */
export const nothingDrawn = 0xffff_ffff

/** What one hop says that it computed. */
export interface Commitment {
  /** SHA-256 of the terms of the session's last epoch, as its driver signed them. */
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

const domain = 'skein-commitment:'

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

/** The digest of all rows up to each of them, so that it can be cut to any. */
export class RowChain {
  readonly #digest: Digest
  /** 32 bytes for each row. */
  #states = new Uint8Array(0)
  #length = 0
  #isWhole = true
  /** The digest before a row, and the row: what the next digest is of. */
  #link = new Uint8Array(0)

  constructor(digest: Digest) {
    this.#digest = digest
  }

  get length(): number {
    return this.#length
  }

  /** Rows from `position` on: what was behind it is dropped first, as a cache does (promise P2). */
  push(position: number, rows: Uint8Array, tokens: number): void {
    // Rows before these were never seen here: of those that follow nothing can be said any more.
    if (position > this.#length) this.#isWhole = false
    if (!this.#isWhole) return
    const rowBytes = rows.length / tokens
    this.#length = position
    this.#reserve(position + tokens)
    if (this.#link.length !== digestBytes + rowBytes) this.#link = new Uint8Array(digestBytes + rowBytes)
    for (let row = 0; row < tokens; row++) {
      const end = this.#length * digestBytes
      if (this.#length === 0) this.#link.fill(0, 0, digestBytes)
      else this.#link.set(this.#states.subarray(end - digestBytes, end))
      this.#link.set(rows.subarray(row * rowBytes, (row + 1) * rowBytes), digestBytes)
      this.#states.set(this.#digest(this.#link), end)
      this.#length++
    }
  }

  /** The digest of the rows [0, tokens); undefined where they are not all known. */
  at(tokens: number): Uint8Array | undefined {
    if (!this.#isWhole || tokens < 1 || tokens > this.#length) return undefined
    return this.#states.slice((tokens - 1) * digestBytes, tokens * digestBytes)
  }

  #reserve(rows: number): void {
    if (rows * digestBytes <= this.#states.length) return
    const grown = new Uint8Array(Math.max(64, 2 * rows) * digestBytes)
    grown.set(this.#states.subarray(0, this.#length * digestBytes))
    this.#states = grown
  }
}

/** Whether two digests are the same. */
export function sameDigest(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
