/** The addresses in a record as text: it may hold any bytes, and is asked for them often. */
import { multiaddr } from '@multiformats/multiaddr'
import { candidateAddressesMax } from './limits.ts'

/** What was read before, by the list that it was read from. */
const texts = new WeakMap<readonly Uint8Array[], readonly string[]>()

/** Those that are multiaddrs, up to a limit, without the peer's id. A list is read once. */
export function textAddresses(addresses: readonly Uint8Array[]): readonly string[] {
  const before = texts.get(addresses)
  if (before !== undefined) return before
  const read = addresses.slice(0, candidateAddressesMax).flatMap(bytes => {
    try {
      return [multiaddr(bytes).toString()]
    } catch {
      return []
    }
  })
  texts.set(addresses, read)
  return read
}
