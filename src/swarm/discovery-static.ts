/** Peers whose addresses a person gave. */
import { multiaddr } from '@multiformats/multiaddr'
import { InvalidOptionError } from '../errors.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'

export class StaticDiscovery implements Discovery {
  readonly way = 'static'
  readonly #addresses: readonly string[]
  readonly #dialer: Dialer

  /** @throws {InvalidOptionError} when an address is no multiaddr. */
  constructor(addresses: readonly string[], dialer: Dialer) {
    for (const address of addresses) {
      try {
        multiaddr(address)
      } catch {
        throw new InvalidOptionError(`${address} is no multiaddr of a peer: use a form like /ip4/192.168.1.7/tcp/4001`)
      }
    }
    this.#addresses = addresses
    this.#dialer = dialer
  }

  state(): string {
    if (this.#addresses.length === 0) return 'no addresses given'
    const { connected, failing } = this.#dialer.stateOf(this.way)
    const failures = failing.map(({ address, error }) => `${address} (${error})`).join(', ')
    const count = `${this.#addresses.length} given, ${connected} connected`
    return failures === '' ? count : `${count}, failing: ${failures}`
  }

  async start(): Promise<void> {
    for (const address of this.#addresses) this.#dialer.offerAddress(address, this.way)
  }

  async stop(): Promise<void> {}
}
