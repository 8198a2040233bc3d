/**
 * Joins the ways of discovery: who is dialled and asked to be a neighbour, when, and when again. One attempt at a time per peer, a bounded
 * number over all, and a doubling wait after each failure, so a dead address never becomes a storm. What nobody signed
 * (multicast, files) is only ever tried after what the peer itself signed or a person gave, and hurries nothing.
 */
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import { meshMax } from '../limits.ts'
import {
  candidateAddressesMax,
  candidatesMax,
  dhtQueryMs,
  dialsMax,
  dialTieBreakMs,
  dialTimeoutMs,
  fullAgainMs,
  fullAgainSoonMs,
  hearsayCandidatesMax,
  hearsayDialsMax,
  hearsayFailuresMax,
  recordsTickMs,
  redialMaxMs,
  redialMinMs,
  silentAddressesMax,
  silentUnsignedMax,
  unlinkedMs,
  unsignedAddressesMax
} from './limits.ts'
import { ownAddresses } from './interfaces.ts'
import { reachable } from './reachable.ts'

export interface DialerInit {
  readonly self: PeerId
  /** The neighbours that there are. */
  readonly linked: () => ReadonlySet<PeerId>
  /** Everybody who is connected. @default the neighbours */
  readonly connected?: () => ReadonlySet<PeerId>
  /** @returns who answered. @throws when nobody did. */
  readonly dial: (addresses: readonly Multiaddr[], options: { signal: AbortSignal }) => Promise<PeerId>
  /** Asks a connected peer to be a neighbour. @returns false where it, or this peer, has enough. @throws when it does not answer. */
  readonly link: (peer: PeerId, options: { wanted: boolean; signal: AbortSignal }) => Promise<boolean>
  /** This peer has come to need somebody, or does so no longer. */
  readonly onNeed?: (peer: PeerId, as: Need, isNeeded: boolean) => void
  /** Somebody says that this peer itself is at these addresses; they are its own, or there are two. */
  readonly onOwnId?: (addresses: readonly string[], way: string) => void
  /** Neighbours beyond which only who is wanted is dialled. @default {@link meshMax} */
  readonly linksMax?: number
  /** A peer was dialled in vain, for the first time since it was lost. */
  readonly onUnreachable?: (peer: PeerId) => void
}

/**
 * Who says that a peer is at an address. `signed`: the peer itself, by a connection or in its record, or the person who gave it.
 * `vouched`: a member of the swarm, it cannot be told which and when. `hearsay`: anybody.
 */
export type Trust = 'signed' | 'vouched' | 'hearsay'

/** As what a peer is needed: a neighbour, with records; or a contact, for which a connection will do. */
export type Need = 'neighbour' | 'contact'

interface Offer {
  readonly addresses: readonly string[]
  readonly trust: Trust
}

interface Candidate {
  /** Undefined for an address without an id, until somebody has answered there. */
  peer: PeerId | undefined
  /** Addresses as each way gave them last: a peer that came back elsewhere replaces its old ones. */
  readonly ways: Map<string, Offer>
  failures: number
  /** As what it is needed, and until when: it is dialled however many neighbours there are. */
  readonly needs: Map<Need, number>
  /** One of the two had enough neighbours, the last time that it was asked. */
  isRefused: boolean
  /** When news last brought an attempt forward. */
  newsMs: number
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
  /** Of these, to peers of which there is only hearsay. */
  #hearsayDials = 0
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
  offer(peer: PeerId, addresses: readonly string[], way: string, trust: Trust = 'signed'): void {
    // Anybody may say where this peer is: only a member's word is looked at.
    if (peer === this.#init.self && trust !== 'hearsay') this.#init.onOwnId?.(addresses, way)
    if (peer === this.#init.self || addresses.length === 0) return
    const count = trust === 'signed' ? candidateAddressesMax : unsignedAddressesMax
    this.#offer(peer, peer, { addresses: addresses.slice(0, count), trust }, way, true)
  }

  /**
   * As {@link offer}, of a peer that has what nobody else is known to have: for so long, counted anew, it is dialled however many
   * neighbours there are. Where it is needed as one, another one gives way to it.
   */
  need(peer: PeerId, as: Need, offer: { addresses: readonly string[]; way: string; forMs: number }): void {
    this.offer(peer, offer.addresses, offer.way)
    const candidate = this.#candidates.get(peer)
    if (candidate === undefined) return
    const nowMs = performance.now()
    const isNew = !candidate.needs.has(as)
    candidate.needs.set(as, nowMs + offer.forMs)
    if (isNew) {
      // Who refused an ordinary neighbour may take one that needs it.
      if (candidate.failures === 0) candidate.nextMs = Math.min(candidate.nextMs, nowMs)
      this.#init.onNeed?.(peer, as, true)
    }
    this.#look()
  }

  /** Whether this peer needs somebody as that now. */
  isNeeded(peer: PeerId, as: Need): boolean {
    return this.#candidates.get(peer)?.needs.has(as) === true
  }

  /** An address from a person; whoever answers there is meant unless it ends in an id. */
  offerAddress(address: string, way: string): void {
    const id = multiaddr(address)
      .getComponents()
      .findLast(({ name }) => name === 'p2p')?.value as PeerId | undefined
    if (id === this.#init.self) {
      this.#init.onOwnId?.([address], way)
      return
    }
    this.#offer(id ?? address, id, { addresses: [address], trust: 'signed' }, way, false)
  }

  /** A connection ended: try again soon. */
  lost(peer: PeerId): void {
    for (const candidate of this.#candidates.values()) {
      if (candidate.peer !== peer) continue
      candidate.failures = 0
      candidate.nextMs = performance.now() + this.#wait(peer, redialMinMs)
    }
  }

  /**
   * A peer is no neighbour any more, though it may still be connected. Where one of the two had enough neighbours it is tried again
   * later; else it may be about to go, and whoever has asked it before asks again.
   */
  unlinked(peer: PeerId, isLetGo: boolean): void {
    const nowMs = performance.now()
    for (const candidate of this.#candidates.values()) {
      if (candidate.peer === peer) {
        candidate.isRefused = isLetGo
        candidate.nextMs = nowMs + (isLetGo ? this.#fullAgainMs : unlinkedMs)
      } else if (candidate.isRefused) {
        // Who has become lonely waits no longer than one that is.
        candidate.nextMs = Math.min(candidate.nextMs, nowMs + this.#fullAgainMs)
      }
    }
  }

  /** How long it waits after a refusal: who has few neighbours is taken in by somebody who has many. */
  get #fullAgainMs(): number {
    const { linksMax = meshMax } = this.#init
    return spread(2 * this.#init.linked().size < linksMax ? fullAgainSoonMs : fullAgainMs)
  }

  /** Peers that have been dialled in vain since they were last connected. */
  failed(): ReadonlySet<PeerId> {
    const failed = new Set<PeerId>()
    for (const { peer, failures } of this.#candidates.values()) if (peer !== undefined && failures > 0) failed.add(peer)
    return failed
  }

  stateOf(way: string): WayState {
    const connected = this.#init.linked()
    const mine = [...this.#candidates.values()].filter(candidate => candidate.ways.has(way))
    const isConnected = ({ peer }: Candidate): boolean => peer !== undefined && connected.has(peer)
    return {
      known: mine.length,
      connected: mine.filter(isConnected).length,
      failing: mine
        .filter(candidate => !isConnected(candidate) && candidate.lastError !== undefined)
        .map(candidate => ({ address: candidate.ways.get(way)?.addresses[0] ?? '', error: candidate.lastError! }))
    }
  }

  /** @param mutual the other end may be told of this peer at the same moment. */
  #offer(key: string, peer: PeerId | undefined, offer: Offer, way: string, mutual: boolean): void {
    const nowMs = performance.now()
    const firstMs = nowMs + (peer !== undefined && mutual ? this.#wait(peer, 0) : 0)
    let candidate = this.#candidates.get(key)
    if (candidate === undefined) {
      if (!this.#makeRoom(offer.trust === 'hearsay')) return
      const newsMs = Number.NEGATIVE_INFINITY
      candidate = {
        peer,
        ways: new Map(),
        failures: 0,
        needs: new Map(),
        isRefused: false,
        newsMs,
        nextMs: firstMs,
        dialing: false,
        lastError: undefined
      }
      this.#candidates.set(key, candidate)
    }
    // Where a member says where it is, what anybody says is not even tried.
    if (offer.trust === 'hearsay' && candidate.ways.size > 0 && !isHearsay(candidate)) return
    const known = new Set([...candidate.ways.values()].flatMap(({ addresses }) => addresses))
    if (offer.trust !== 'hearsay' && isHearsay(candidate)) candidate.ways.clear()
    candidate.ways.set(way, offer)
    // Somewhere new is worth an attempt now; the same place again is not, nor what anybody could say, nor ever newer news.
    const isNews =
      offer.trust === 'signed' && candidate.failures > 0 && offer.addresses.some(address => !known.has(address))
    if (isNews && nowMs - candidate.newsMs >= redialMinMs) {
      candidate.newsMs = nowMs
      candidate.failures = 0
      candidate.nextMs = firstMs
    }
    this.#look()
  }

  /** Drops who failed most where there is no room: of whom there is only hearsay first, and for hearsay only those. */
  #makeRoom(hearsay: boolean): boolean {
    const doubtful = [...this.#candidates].filter(([, candidate]) => isHearsay(candidate))
    const isFull = hearsay ? doubtful.length >= hearsayCandidatesMax : false
    if (!isFull && this.#candidates.size < candidatesMax) return true
    const connected = this.#init.linked()
    const worst = (entries: readonly [string, Candidate][], failuresMin: number): string | undefined =>
      entries
        .filter(([, { dialing, peer, failures }]) => !dialing && failures >= failuresMin && !isIn(connected, peer))
        .toSorted(([, a], [, b]) => b.failures - a.failures)[0]?.[0]
    const key = hearsay ? worst(doubtful, 1) : (worst(doubtful, 0) ?? worst([...this.#candidates], 1))
    return key !== undefined && this.#candidates.delete(key)
  }

  #wait(peer: PeerId, ms: number): number {
    return ms + (this.#init.self > peer ? dialTieBreakMs : 0)
  }

  #look(): void {
    if (this.#abort.signal.aborted || this.#timer === undefined) return
    const linked = this.#init.linked()
    const nowMs = performance.now()
    for (const { peer, needs } of this.#candidates.values()) {
      for (const [as, untilMs] of needs) {
        if (untilMs > nowMs) continue
        needs.delete(as)
        if (peer !== undefined) this.#init.onNeed?.(peer, as, false)
      }
    }
    for (const hearsay of [false, true]) {
      for (const candidate of this.#candidates.values()) {
        if (this.#dials >= dialsMax) return
        if (candidate.dialing || candidate.nextMs > nowMs || isHearsay(candidate) !== hearsay) continue
        if (isIn(linked, candidate.peer)) continue
        if (!this.#seeksAsNeighbour(candidate) && !this.#lacksContact(candidate)) continue
        if (hearsay && this.#hearsayDials >= hearsayDialsMax) return
        void this.#dial(candidate)
      }
    }
  }

  #seeksAsNeighbour({ needs }: Candidate): boolean {
    const { linked, linksMax = meshMax } = this.#init
    return needs.has('neighbour') || linked().size < linksMax
  }

  #lacksContact({ needs, peer }: Candidate): boolean {
    const { linked, connected = linked } = this.#init
    return needs.has('contact') && !isIn(connected(), peer)
  }

  async #dial(candidate: Candidate): Promise<void> {
    const hearsay = isHearsay(candidate)
    candidate.dialing = true
    this.#dials++
    if (hearsay) this.#hearsayDials++
    try {
      const peer = await this.#reach(candidate)
      candidate.peer = peer
      const isDone = !this.#seeksAsNeighbour(candidate) || (await this.#link(peer, candidate))
      candidate.failures = 0
      candidate.isRefused = !isDone
      candidate.lastError = isDone ? undefined : 'one of the two has enough neighbours'
      const againMs = candidate.needs.has('neighbour') ? spread(fullAgainSoonMs) : this.#fullAgainMs
      candidate.nextMs = performance.now() + (isDone ? redialMinMs : againMs)
    } catch (error) {
      candidate.failures++
      candidate.lastError = explain(error)
      const { peer, failures } = candidate
      if (peer !== undefined && failures === 1 && !this.#init.linked().has(peer)) this.#init.onUnreachable?.(peer)
      const ms = Math.min(redialMaxMs, redialMinMs * 2 ** (candidate.failures - 1))
      candidate.nextMs = performance.now() + spread(ms)
      if (isHearsay(candidate) && failures >= hearsayFailuresMax) this.#forget(candidate)
    } finally {
      candidate.dialing = false
      this.#dials--
      if (hearsay) this.#hearsayDials--
    }
    this.#look()
  }

  #link(peer: PeerId, { needs }: Candidate): Promise<boolean> {
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(dhtQueryMs)])
    return this.#init.link(peer, { wanted: needs.has('neighbour'), signal })
  }

  #forget(candidate: Candidate): void {
    for (const [key, each] of this.#candidates) if (each === candidate) this.#candidates.delete(key)
  }

  /** One attempt: at the signed addresses, then at the others, which get the time of two that are silent. */
  async #reach({ peer, ways, failures }: Candidate): Promise<PeerId> {
    const own = ownAddresses()
    const said = (by: Trust): string[] =>
      reachable(
        [...ways.values()].filter(({ trust }) => trust === by).flatMap(({ addresses }) => addresses),
        own
      )
    const first = said('signed')
    const second = [...new Set([...said('vouched'), ...said('hearsay')])].filter(text => !first.includes(text))
    if (first.length + second.length === 0) throw new Error('it has no address that can be reached from here')
    const dial = (addresses: readonly string[], silentMax: number): Promise<PeerId> => {
      // Silent ones use up the time of one attempt: the next one begins with others.
      const from = (failures * silentMax) % addresses.length
      const turn = [...addresses.slice(from), ...addresses.slice(0, from)].map(text => withPeer(text, peer))
      const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(silentMax * dialTimeoutMs)])
      return this.#init.dial(turn, { signal })
    }
    if (second.length === 0) return dial(first, silentAddressesMax)
    if (first.length === 0) return dial(second, silentUnsignedMax)
    try {
      return await dial(first, silentAddressesMax - silentUnsignedMax)
    } catch (error) {
      this.#abort.signal.throwIfAborted()
      // What is wrong with what it signed says more than what is wrong with what somebody said.
      return dial(second, silentUnsignedMax).catch(() => Promise.reject(error))
    }
  }
}

/** A wait, so that peers that lost one another at once do not meet at once again and again. */
function spread(ms: number): number {
  return ms * (0.75 + Math.random() / 2)
}

function isHearsay({ ways }: Candidate): boolean {
  for (const { trust } of ways.values()) if (trust !== 'hearsay') return false
  return true
}

function isIn(connected: ReadonlySet<PeerId>, peer: PeerId | undefined): boolean {
  return peer !== undefined && connected.has(peer)
}

/** An address with the peer that is meant at its end, whoever it named: who answers there has to be that one. */
function withPeer(text: string, peer: PeerId | undefined): Multiaddr {
  if (peer === undefined) return multiaddr(text)
  return multiaddr(`${text.replace(/\/p2p\/.*$/, '')}/p2p/${peer}`)
}

/** The innermost message of what libp2p throws, which often wraps several. */
function explain(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return explain(error.errors[0])
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'EncryptionFailedError') return 'it is of another swarm, or has another secret'
  return error.message.split('\n')[0] ?? error.name
}
