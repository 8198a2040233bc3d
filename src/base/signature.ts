/** Signatures as deciders see them: functions that come in from outside. Callers separate domains by a prefix of the data. */
import type { PeerId } from './ids.ts'

/** Signs as this peer. */
export type Sign = (data: Uint8Array) => Uint8Array
/** Checks a signature by the key that a peer id is. */
export type Verify = (peer: PeerId, data: Uint8Array, signature: Uint8Array) => boolean

/** By domain, of which the house has a few. */
const prefixes = new Map<string, Uint8Array>()

/** What is signed: the data after the name of its domain, so that a signature under it is none under anything else. */
export function inDomain(domain: string, data: Uint8Array): Uint8Array {
  let prefix = prefixes.get(domain)
  if (prefix === undefined) {
    prefix = new TextEncoder().encode(domain)
    prefixes.set(domain, prefix)
  }
  const signed = new Uint8Array(prefix.byteLength + data.byteLength)
  signed.set(prefix)
  signed.set(data, prefix.byteLength)
  return signed
}
