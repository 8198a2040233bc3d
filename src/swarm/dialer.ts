/**
 * Joins the ways of discovery: who is dialled, when, and when again. One attempt at a time per peer, a bounded
 * number over all, and a doubling wait after each failure, so a dead address never becomes a storm.
 */
import { networkInterfaces } from 'node:os'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import {
  candidateAddressesMax,
  candidatesMax,
  dialsMax,
  dialTieBreakMs,
  dialTimeoutMs,
  meshMax,
  recordsTickMs,
  redialMaxMs,
  redialMinMs,
  silentAddressesMax
} from '../limits.ts'

export interface DialerInit {
  readonly self: PeerId
  readonly connected: () => ReadonlySet<PeerId>
  /** @returns who answered. @throws when nobody did. */
  readonly dial: (addresses: readonly Multiaddr[], options: { signal: AbortSignal }) => Promise<PeerId>
  /** A peer was dialled in vain, for the first time since it was lost. */
  readonly onUnreachable?: (peer: PeerId) => void
}

interface Candidate {
  /** Undefined for an address without an id, until somebody has answered there. */
  peer: PeerId | undefined
  /** Addresses as each way gave them last: a peer that came back elsewhere replaces its old ones. */
  readonly ways: Map<string, readonly string[]>
  failures: number
  nextMs: number
  dialing: boolean
  lastError: string | undefined
}

/** How one way's candidates are doing. */
export interface WayState {
  readonly known: number
  readonly connected: number
  /** Addresses and the last error of those that failed. */
  readonly failing: readonly { readonly address: string; readonly error: string }[]
}

export class Dialer {
  readonly #init: DialerInit
  readonly #candidates = new Map<string, Candidate>()
  readonly #abort = new AbortController()
  #dials = 0
  #timer: NodeJS.Timeout | undefined

  constructor(init: DialerInit) {
    this.#init = init
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#look(), recordsTickMs).unref()
    this.#look()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#abort.abort(new Error('this peer is stopping'))
    this.#candidates.clear()
  }

  /** A way of discovery says where a peer is. The last word of each way counts. */
  offer(peer: PeerId, addresses: readonly string[], way: string): void {
    if (peer === this.#init.self || addresses.length === 0) return
    this.#offer(peer, peer, addresses, way, true)
  }

  /** An address from a person; whoever answers there is meant unless it ends in an id. */
  offerAddress(address: string, way: string): void {
    const id = multiaddr(address)
      .getComponents()
      .findLast(({ name }) => name === 'p2p')?.value as PeerId | undefined
    if (id === this.#init.self) return
    this.#offer(id ?? address, id, [address], way, false)
  }

  /** A connection ended: try again soon. */
  lost(peer: PeerId): void {
    for (const candidate of this.#candidates.values()) {
      if (candidate.peer !== peer) continue
      candidate.failures = 0
      candidate.nextMs = performance.now() + this.#wait(peer, redialMinMs)
    }
  }

  /** Peers that have been dialled in vain since they were last connected. */
  failed(): ReadonlySet<PeerId> {
    const failed = new Set<PeerId>()
    for (const { peer, failures } of this.#candidates.values()) if (peer !== undefined && failures > 0) failed.add(peer)
    return failed
  }

  stateOf(way: string): WayState {
    const connected = this.#init.connected()
    const mine = [...this.#candidates.values()].filter(candidate => candidate.ways.has(way))
    const isConnected = ({ peer }: Candidate): boolean => peer !== undefined && connected.has(peer)
    return {
      known: mine.length,
      connected: mine.filter(isConnected).length,
      failing: mine
        .filter(candidate => !isConnected(candidate) && candidate.lastError !== undefined)
        .map(candidate => ({ address: candidate.ways.get(way)?.[0] ?? '', error: candidate.lastError! }))
    }
  }

  /** @param mutual the other end may be told of this peer at the same moment. */
  #offer(key: string, peer: PeerId | undefined, addresses: readonly string[], way: string, mutual: boolean): void {
    const firstMs = (): number => performance.now() + (peer !== undefined && mutual ? this.#wait(peer, 0) : 0)
    let candidate = this.#candidates.get(key)
    if (candidate === undefined) {
      if (this.#candidates.size >= candidatesMax && !this.#forgetOne()) return
      candidate = { peer, ways: new Map(), failures: 0, nextMs: firstMs(), dialing: false, lastError: undefined }
      this.#candidates.set(key, candidate)
    }
    const capped = addresses.slice(0, candidateAddressesMax)
    const known = new Set([...candidate.ways.values()].flat())
    candidate.ways.set(way, capped)
    // Somewhere new is worth an attempt now; the same place again is not.
    if (candidate.failures > 0 && capped.some(address => !known.has(address))) {
      candidate.failures = 0
      candidate.nextMs = firstMs()
    }
    this.#look()
  }

  /** Makes room by dropping who failed most. */
  #forgetOne(): boolean {
    let worst: [string, Candidate] | undefined
    for (const entry of this.#candidates) {
      if (entry[1].failures > (worst?.[1].failures ?? 0) && !entry[1].dialing) worst = entry
    }
    return worst !== undefined && this.#candidates.delete(worst[0])
  }

  #wait(peer: PeerId, ms: number): number {
    return ms + (this.#init.self > peer ? dialTieBreakMs : 0)
  }

  #look(): void {
    if (this.#abort.signal.aborted || this.#timer === undefined) return
    const connected = this.#init.connected()
    const nowMs = performance.now()
    for (const candidate of this.#candidates.values()) {
      if (this.#dials >= dialsMax || connected.size >= meshMax) return
      if (candidate.dialing || candidate.nextMs > nowMs) continue
      if (candidate.peer !== undefined && connected.has(candidate.peer)) continue
      void this.#dial(candidate)
    }
  }

  async #dial(candidate: Candidate): Promise<void> {
    candidate.dialing = true
    this.#dials++
    const limitMs = silentAddressesMax * dialTimeoutMs
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(limitMs)])
    try {
      const addresses = reachable([...candidate.ways.values()].flat()).map(text => withPeer(text, candidate.peer))
      if (addresses.length === 0) throw new Error('it has no address that can be reached from here')
      candidate.peer = await this.#init.dial(addresses, { signal })
      candidate.failures = 0
      candidate.lastError = undefined
      candidate.nextMs = performance.now() + redialMinMs
    } catch (error) {
      candidate.failures++
      candidate.lastError = explain(error)
      const { peer, failures } = candidate
      if (peer !== undefined && failures === 1 && !this.#init.connected().has(peer)) this.#init.onUnreachable?.(peer)
      const ms = Math.min(redialMaxMs, redialMinMs * 2 ** (candidate.failures - 1))
      // Spread, so that peers that lost one another at once do not meet at once again and again.
      candidate.nextMs = performance.now() + ms * (0.75 + Math.random() / 2)
    } finally {
      candidate.dialing = false
      this.#dials--
    }
    this.#look()
  }
}

function withPeer(text: string, peer: PeerId | undefined): Multiaddr {
  const address = multiaddr(text)
  if (peer === undefined || address.getComponents().some(({ name }) => name === 'p2p')) return address
  return address.encapsulate(`/p2p/${peer}`)
}

/** An address of this machine, as `os.networkInterfaces` gives it. */
export interface OwnAddress {
  readonly address: string
  readonly cidr: string | null
}

/**
 * The addresses of a peer that are worth dialling, the nearest first, since they are tried one after the other: same
 * machine, same subnet, others. Another machine's loopback addresses are left out, which from here lead to this
 * machine: they count only when the peer has one of this machine's own addresses too, or no others.
 */
export function reachable(addresses: readonly string[], own: readonly OwnAddress[] = ownAddresses()): string[] {
  const unique = [...new Set(addresses)].filter(text => !/^\/ip4\/0\.0\.0\.0\/|^\/ip6\/::\//.test(text))
  const host = (text: string): string => text.split('/')[2] ?? ''
  const isLoopback = (text: string): boolean => /^\/ip4\/127\.|^\/ip6\/::1\//.test(text)
  const others = unique.filter(text => !isLoopback(text))
  const isOwn = (text: string): boolean => own.some(({ address }) => address === host(text))
  const isNear = (text: string): boolean => own.some(({ cidr }) => cidr !== null && contains(cidr, host(text)))
  const near = [
    ...others.filter(text => !isOwn(text) && isNear(text)),
    // An address that this machine has too is often a bridge of containers that every machine has.
    ...others.filter(isOwn),
    ...others.filter(text => !isOwn(text) && !isNear(text))
  ]
  const sameMachine = others.length === 0 || others.some(isOwn)
  return sameMachine ? [...unique.filter(isLoopback), ...near] : near
}

function ownAddresses(): OwnAddress[] {
  return Object.values(networkInterfaces())
    .flatMap(list => list ?? [])
    .filter(({ internal }) => !internal)
}

/** True when an IPv4 subnet such as `10.0.0.7/24` holds an address; IPv6 is not looked at. */
function contains(cidr: string, address: string): boolean {
  const [network = '', bits = ''] = cidr.split('/')
  const a = ip4(network)
  const b = ip4(address)
  const size = 2 ** (32 - Number(bits))
  return a !== undefined && b !== undefined && Math.floor(a / size) === Math.floor(b / size)
}

function ip4(text: string): number | undefined {
  const parts = text.split('.').map(Number)
  if (parts.length !== 4 || parts.some(part => !(part >= 0 && part < 256))) return undefined
  return parts.reduce((value, part) => value * 256 + part, 0)
}

/** The innermost message of what libp2p throws, which often wraps several. */
function explain(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return explain(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'EncryptionFailedError') return 'it is of another swarm, or has another secret'
  return error.message.split('\n')[0] ?? error.name
}
