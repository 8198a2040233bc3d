/**
 * A word of a member for what travels in the open: a code made with the swarm's secret over a peer's id and its addresses.
 * Strangers cannot make one, so what they write into multicast or into a shared folder is told apart at once. It says nothing
 * about when it was made: somebody may repeat an old one. Pure.
 */
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concatBytes } from '@noble/hashes/utils.js'
import { toString as encodeBytes } from 'uint8arrays/to-string'
import type { PeerId } from '../base/ids.ts'

export class Voucher {
  readonly #key: Uint8Array

  /** @param secret the swarm's, 32 random bytes */
  constructor(secret: Uint8Array) {
    this.#key = sha256(concatBytes(new TextEncoder().encode('skein vouch'), secret))
  }

  /** The code for a peer at these addresses, in base64url. */
  of(peer: PeerId, addresses: readonly string[]): string {
    const said = [peer, ...addresses.toSorted()].join('\n')
    return encodeBytes(hmac(sha256, this.#key, new TextEncoder().encode(said)), 'base64url')
  }

  isValid(code: string | undefined, peer: PeerId, addresses: readonly string[]): boolean {
    return code !== undefined && code === this.of(peer, addresses)
  }
}
