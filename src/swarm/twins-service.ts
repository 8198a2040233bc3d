/** Looks for a second machine with this peer's identity, and says what is known of one (protocols/records.md, R17). */
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import { DuplicateIdentityError } from '../errors.ts'
import { ownAddresses } from './interfaces.ts'
import { dialTimeoutMs, yieldMs } from './limits.ts'
import { pause } from './pause.ts'
import { Twins } from './twins.ts'

export interface TwinsServiceInit {
  readonly self: PeerId
  /** Where this peer listens, as multiaddrs. */
  readonly addresses: () => readonly string[]
  /** Whether whoever answers at an address has this peer's own identity. */
  readonly answersAsSelf: (address: Multiaddr, options: { signal: AbortSignal }) => Promise<boolean>
  /** Has the two hear one another for a while, where the other one is at this address. It never rejects. */
  readonly relay: (address: Multiaddr, options: { signal: AbortSignal }) => Promise<void>
  readonly onWarning: (message: string) => void
}

export class TwinsService {
  readonly #init: TwinsServiceInit
  readonly #twins: Twins
  /** One at a time: each is a node of its own for a while. */
  #isRelaying = false
  readonly #abort = new AbortController()
  readonly #yielding = new AbortController()

  constructor(init: TwinsServiceInit) {
    this.#init = init
    this.#twins = new Twins(init.self)
  }

  stop(): void {
    this.#abort.abort(new Error('this peer is stopping'))
  }

  /** Aborts with a {@link DuplicateIdentityError} when this process must stop. */
  get yielding(): AbortSignal {
    return this.#yielding.signal
  }

  /** For a status: what was found out lately. */
  state(): string | undefined {
    return this.#twins.state(performance.now())
  }

  /** A record proves that there is another process, at these addresses. */
  proven(addresses: readonly string[], yields: boolean): void {
    const message = this.#twins.proven(addresses, performance.now())
    if (message !== undefined) this.#init.onWarning(message)
    if (!yields) return
    const yielding = this.#twins.yielding(addresses)
    // Channels come and go between the two: until then it repeats that it yields, so that the other one hears of it.
    void pause(yieldMs, this.#abort.signal).then(() => {
      if (!this.#abort.signal.aborted) this.#yielding.abort(new DuplicateIdentityError(yielding))
    })
  }

  /**
   * Somebody says that this peer's own id is at these addresses. Where they are others than its own, it is looked who answers
   * there: no word but a record tells a stranger's joke, or a past life, from a second machine.
   */
  async heardOwnId(addresses: readonly string[], way: string): Promise<void> {
    const address = this.#twins.suspect(addresses, this.#everyOwnAddress(), performance.now())
    if (address === undefined) return
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(dialTimeoutMs)])
    if (!(await this.#init.answersAsSelf(multiaddr(address), { signal }))) return
    const message = this.#twins.answered(address, way, performance.now())
    if (message !== undefined) this.#init.onWarning(message)
    if (this.#isRelaying) return
    this.#isRelaying = true
    await this.#init.relay(multiaddr(address), { signal: this.#abort.signal })
    this.#isRelaying = false
  }

  /** Where it listens, on every interface that it has now. */
  #everyOwnAddress(): string[] {
    const listening = this.#init.addresses()
    const ports = new Set(listening.flatMap(address => /\/tcp\/(\d+)/.exec(address)?.[1] ?? []))
    const hosts = ownAddresses().map(({ address }) => `/${address.includes(':') ? 'ip6' : 'ip4'}/${address}`)
    return [...listening, ...hosts.flatMap(host => [...ports].map(port => `${host}/tcp/${port}`))]
  }
}
