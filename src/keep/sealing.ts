/**
 * Seals the parts of one session for its key, and opens them (protocols/keep.md, "Security"). From the 32-byte key
 * and the session's name come, by HKDF-SHA256 (RFC 5869): what a keeper knows the session by, and the key of
 * ChaCha20-Poly1305 (RFC 8439), which is fast and constant in time on processors without AES instructions too.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import type { PeerId } from '../base/ids.ts'
import { ProtocolError } from '../errors.ts'
import {
  type KeptQuestion,
  type KeptSession,
  type KeptStop,
  packHead,
  packTokens,
  runBytes,
  type TokensPart,
  unpackHead,
  unpackTokens
} from './kept.ts'
import type { EntryId } from './message.ts'

const cipher = 'chacha20-poly1305'
const keyBytes = 32
const nonceBytes = 12
const macBytes = 16
const versionBytes = 8
const domain = utf8ToBytes('skein keep part')
const noRun = new Uint8Array(runBytes)

/** What opens one entry, and what it is called where. */
export class Sealing {
  /** Orders peers for this session; told to nobody. */
  readonly tag: Uint8Array
  readonly #name: Uint8Array
  readonly #idKey: Uint8Array
  readonly #sealKey: Uint8Array

  /** @param key 32 bytes. */
  constructor(key: Uint8Array, name: string) {
    this.#name = utf8ToBytes(name.normalize('NFC'))
    this.#idKey = derive(key, utf8ToBytes('skein keep id'))
    this.tag = hmac(sha256, this.#idKey, concatBytes(utf8ToBytes('name\0'), this.#name))
    // A key for each name: nonces are random, and so no key sees more than the puts of one session.
    this.#sealKey = derive(key, concatBytes(utf8ToBytes('skein keep seal'), this.tag))
  }

  /** What `keeper` knows the entry by. Each knows it by another id, so none can speak about it to the others. */
  id(keeper: PeerId): EntryId {
    return bytesToHex(hmac(sha256, this.#idKey, concatBytes(utf8ToBytes(`peer\0${keeper}\0`), this.#name)))
  }

  /** A new answer: its parts belong together and to no other. */
  begin(question: KeptQuestion): PartSealer {
    const run = randomBytes(runBytes)
    return {
      head: (version, classes = question.classes) =>
        this.#seal(0, version, noRun, packHead(run, { ...question, classes })),
      tokens: (index, version, part) => this.#seal(index, version, run, packTokens(part))
    }
  }

  /**
   * Opens all parts of an entry.
   *
   * @throws {ProtocolError} when one was sealed with another key, for another name, place, version or answer, was
   *   changed, or when tokens are missing in between.
   */
  open({ version, parts }: { readonly version: number; readonly parts: readonly Uint8Array[] }): KeptSession {
    const [first, ...rest] = parts
    if (first === undefined) throw new ProtocolError('an entry has no parts')
    let last = this.#open(0, noRun, first)
    const { run, question } = unpackHead(last.plain)
    const ids: number[] = []
    let stop: KeptStop
    let exact = true
    const peers = new Set<PeerId>()
    for (const [i, sealed] of rest.entries()) {
      last = this.#open(i + 1, run, sealed)
      const part = unpackTokens(last.plain)
      if (stop !== undefined || part.start !== ids.length) throw new ProtocolError('tokens are missing in an entry')
      ids.push(...part.ids)
      stop = part.stop
      exact &&= part.exact
      for (const peer of part.peers ?? []) peers.add(peer)
    }
    if (last.version !== version) {
      throw new ProtocolError(`an entry of version ${last.version} is passed off as version ${version}`)
    }
    return { ...question, ids, stop, exact, peers: [...peers] }
  }

  /** [version 8, nonce 12, ciphertext, tag 16] bytes. */
  #seal(index: number, version: number, run: Uint8Array, plain: Uint8Array): Uint8Array {
    const nonce = randomBytes(nonceBytes)
    const stamp = stampOf(version)
    const aead = createCipheriv(cipher, this.#sealKey, nonce, { authTagLength: macBytes })
    aead.setAAD(this.#bound(index, stamp, run), { plaintextLength: plain.byteLength })
    const sealed = aead.update(plain)
    aead.final()
    return concatBytes(stamp, nonce, sealed, aead.getAuthTag())
  }

  #open(index: number, run: Uint8Array, part: Uint8Array): { readonly version: number; readonly plain: Uint8Array } {
    if (part.byteLength < versionBytes + nonceBytes + macBytes) throw new ProtocolError('a kept part is too short')
    const stamp = part.subarray(0, versionBytes)
    const nonce = part.subarray(versionBytes, versionBytes + nonceBytes)
    const sealed = part.subarray(versionBytes + nonceBytes, part.byteLength - macBytes)
    const aead = createDecipheriv(cipher, this.#sealKey, nonce, { authTagLength: macBytes })
    aead.setAAD(this.#bound(index, stamp, run), { plaintextLength: sealed.byteLength })
    aead.setAuthTag(part.subarray(part.byteLength - macBytes))
    const plain = aead.update(sealed)
    try {
      aead.final()
    } catch {
      throw new ProtocolError(`part ${index} of an entry does not open with this key`)
    }
    const version = new DataView(stamp.buffer, stamp.byteOffset).getBigUint64(0)
    return { version: Number(version), plain: new Uint8Array(plain) }
  }

  /** What a part is sealed together with: whoever moves it elsewhere breaks it. */
  #bound(index: number, stamp: Uint8Array, run: Uint8Array): Uint8Array {
    const place = new Uint8Array(4)
    new DataView(place.buffer).setUint32(0, index)
    return concatBytes(domain, this.tag, stamp, place, run)
  }
}

/** Seals the parts of one answer. The same part sealed twice gives other bytes. */
export interface PartSealer {
  /** @param classes where they are known by now, and were not when it began */
  head(version: number, classes?: readonly string[]): Uint8Array
  tokens(index: number, version: number, part: TokensPart): Uint8Array
}

function derive(key: Uint8Array, info: Uint8Array): Uint8Array {
  return hkdf(sha256, key, undefined, info, keyBytes)
}

function stampOf(version: number): Uint8Array {
  const stamp = new Uint8Array(versionBytes)
  new DataView(stamp.buffer).setBigUint64(0, BigInt(version))
  return stamp
}
