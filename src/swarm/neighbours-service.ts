/**
 * The records channels of this peer, one with each neighbour: opens them, agrees with the other end that they are neighbours,
 * and ends them when it lets one go (protocols/records.md, R19 to R21). `neighbourhood.ts` decides who is one.
 */
import type { Clock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import type { Protocol } from '../base/protocol.ts'
import { dhtQueryMs, redialMinMs } from './limits.ts'
import { encodeLinkFrame, type LinkFrame, readLinkFrame, revisionsWithoutLinks } from './link-frame.ts'
import type { Channel, Links } from './links.ts'
import { Neighbourhood } from './neighbourhood.ts'

export interface NeighboursServiceInit {
  readonly links: Links
  readonly protocol: Protocol
  readonly frameBytesMax: number
  readonly neighboursMax: number
  readonly neighboursOf: (peer: PeerId) => number | undefined
  readonly isReachedOtherwise: (peer: PeerId) => boolean
  readonly isInUse: (peer: PeerId) => boolean
  readonly isConnected: (peer: PeerId) => boolean
  /** A peer is asked to be a neighbour. */
  readonly onAsk?: ((peer: PeerId) => void) | undefined
  /** A peer is a neighbour, or the other end of its channel is another one than before. */
  readonly onOpen: (peer: PeerId) => void
  readonly onFrame: (peer: PeerId, frame: Uint8Array) => void
  /** `isLetGo`: one of the two has enough neighbours; nothing is wrong. */
  readonly onClose: (peer: PeerId, isLetGo: boolean) => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  readonly clock: Clock
}

/** One channel. It is `open` once both ends agree. */
interface Entry {
  readonly channel: Channel
  readonly isOurs: boolean
  state: 'asking' | 'asked' | 'open'
  wanted: boolean
  /** Answers the question that was asked on it. */
  readonly settle: (accepted: boolean) => void
}

export class NeighboursService {
  readonly #init: NeighboursServiceInit
  readonly #neighbourhood: Neighbourhood
  readonly #open = new Map<PeerId, Entry>()
  readonly #peers = new Set<PeerId>()
  /** Questions of this peer that have no answer yet. */
  readonly #asking = new Map<PeerId, { readonly answer: Promise<boolean>; readonly end: AbortController }>()
  /** Peers that are asked again and again. */
  readonly #again = new Map<PeerId, AbortController>()
  readonly #abort = new AbortController()

  constructor(init: NeighboursServiceInit) {
    this.#init = init
    this.#neighbourhood = new Neighbourhood(init)
  }

  async start(): Promise<void> {
    const { links, protocol, frameBytesMax } = this.#init
    // The other end may have lost its channel before this end knows.
    await links.handle(protocol, { inboundMax: 2, frameBytesMax, background: true }, channel => this.#accept(channel))
  }

  /** Opens no more channels. Those that are open stay. */
  stop(): void {
    this.#abort.abort(new Error('this peer is stopping'))
  }

  get peers(): ReadonlySet<PeerId> {
    return this.#peers
  }

  get size(): number {
    return this.#open.size
  }

  has(peer: PeerId): boolean {
    return this.#open.has(peer)
  }

  /** Whether a peer is a neighbour, or is being asked to be one. */
  isSought(peer: PeerId): boolean {
    return this.#open.has(peer) || this.#asking.has(peer)
  }

  channelOf(peer: PeerId): Channel | undefined {
    return this.#open.get(peer)?.channel
  }

  /** Sends what is queued and closes all channels. */
  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(({ channel }) => channel.close()))
  }

  /**
   * Asks a connected peer to be a neighbour, in place of another one where it is wanted and there are enough.
   *
   * @returns whether it is one. @throws when it does not answer; the signal's reason.
   */
  async ask(peer: PeerId, { wanted, signal }: { wanted: boolean; signal: AbortSignal }): Promise<boolean> {
    if (this.#open.has(peer)) {
      this.want(peer, wanted)
      return true
    }
    if (this.#placeFor(peer, wanted) === undefined) return false
    const running = this.#asking.get(peer)
    if (running !== undefined) return running.answer
    const end = new AbortController()
    const limits = [signal, end.signal, this.#abort.signal, this.#init.clock.deadline(dhtQueryMs)]
    const answer = this.#ask(peer, wanted, AbortSignal.any(limits))
    this.#asking.set(peer, { answer, end })
    this.#init.onAsk?.(peer)
    try {
      return await answer
    } finally {
      if (this.#asking.get(peer)?.answer === answer) this.#asking.delete(peer)
    }
  }

  async #ask(peer: PeerId, wanted: boolean, signal: AbortSignal): Promise<boolean> {
    const { links, protocol } = this.#init
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const channel = await links.open(peer, protocol, { signal })
    const entry: Entry = { channel, isOurs: true, state: 'asking', wanted, settle: resolve }
    const fail = (): void => {
      // The other end may have asked at the same moment, and been accepted.
      if (this.#open.has(peer)) resolve(true)
      else reject(signal.reason as Error)
      if (entry.state === 'asking') channel.abort(new Error('nobody waits for the answer any more'))
    }
    if (signal.aborted) fail()
    signal.addEventListener('abort', fail, { once: true })
    try {
      if (!revisionsWithoutLinks.has(channel.revision)) {
        channel.send(this.#link(wanted))
        this.#receive(entry, error => reject(error ?? new Error(`${peer} ended the channel without an answer`)))
      } else if (links.self < peer) {
        this.#accepted(entry)
        this.#receive(entry)
      } else {
        // One that knows no questions has the smaller id open the channel, as soon as they are connected: it is awaited.
        channel.abort(new Error('the other end opens it'))
      }
      return await promise
    } finally {
      signal.removeEventListener('abort', fail)
    }
  }

  /** Whether this peer needs a neighbour; told where that changes. */
  want(peer: PeerId, wanted: boolean): void {
    const entry = this.#open.get(peer)
    if (entry === undefined || this.#neighbourhood.wantedHere(peer) === wanted) return
    this.#neighbourhood.want(peer, { wantedHere: wanted })
    if (!revisionsWithoutLinks.has(entry.channel.revision)) entry.channel.send(this.#link(wanted))
  }

  /** Lets a neighbour go. */
  release(peer: PeerId): void {
    const entry = this.#open.get(peer)
    if (entry === undefined) return
    if (!revisionsWithoutLinks.has(entry.channel.revision)) entry.channel.send(this.#link(false, 'full'))
    this.#ended(entry, true)
    void entry.channel.close()
  }

  /** Takes a channel with a neighbour that is connected in no other way. */
  take(channel: Channel): void {
    this.#adopt({ channel, isOurs: false, state: 'asked', wanted: false, settle: () => {} })
  }

  /** A peer has said which protocols it speaks: one that knows no questions may wait for this end to open the channel. */
  identified(peer: PeerId, protocols: readonly string[]): void {
    const { name } = this.#init.protocol
    const spoken = protocols.filter(id => id.startsWith(`${name}/`)).map(id => id.slice(name.length + 1))
    if (spoken.length > 0 && spoken.every(revision => revisionsWithoutLinks.has(revision))) this.connected(peer)
  }

  /** The smaller id of two peers that know each other to be neighbours asks, again and again. */
  connected(peer: PeerId): void {
    if (this.#init.links.self < peer) void this.#keepAsking(peer, 0)
  }

  /** The other end of a peer's channel is gone, whether that has been noticed or not: at once to the one that is there. */
  replace(peer: PeerId, reason: string): void {
    const entry = this.#open.get(peer)
    if (entry === undefined) return
    this.#ended(entry, false)
    entry.channel.abort(new Error(reason))
    void this.#keepAsking(peer, 0)
  }

  /** Until it is a neighbour, refuses or is not connected any more. A call begins anew: what was tried before says nothing. */
  async #keepAsking(peer: PeerId, afterMs: number): Promise<void> {
    const attempt = new AbortController()
    this.#again.get(peer)?.abort(new Error('begun anew'))
    this.#again.set(peer, attempt)
    const signal = AbortSignal.any([this.#abort.signal, attempt.signal])
    try {
      for (let waitMs = afterMs; ; waitMs = Math.min(2 * waitMs || redialMinMs, dhtQueryMs)) {
        await this.#init.clock.sleep(waitMs, { signal, ref: false })
        if (signal.aborted || !this.#init.isConnected(peer) || this.#open.has(peer)) return
        // It may be about to go, or not yet ready.
        const accepted = await this.ask(peer, { wanted: false, signal }).catch(() => undefined)
        if (accepted === false) return
        // It may have ended already; then the next round tries again.
      }
    } finally {
      if (this.#again.get(peer) === attempt) this.#again.delete(peer)
    }
  }

  #accept(channel: Channel): void {
    const entry: Entry = { channel, isOurs: false, state: 'asked', wanted: false, settle: () => {} }
    if (revisionsWithoutLinks.has(channel.revision)) this.#adopt(entry)
    else this.#receive(entry)
  }

  /** One on which nothing is asked. */
  #adopt(entry: Entry): void {
    const { channel } = entry
    if (this.#placeFor(channel.remote, false) === undefined) {
      channel.abort(new Error('this peer has enough neighbours'))
      return
    }
    this.#opened(entry)
    this.#receive(entry)
  }

  /** @param onEnd it ended before both ends agreed */
  #receive(entry: Entry, onEnd: (error?: Error) => void = () => {}): void {
    const { channel } = entry
    channel.receive({
      onFrame: frame => this.#onFrame(entry, frame),
      onClose: error => {
        if (entry.state !== 'open') onEnd(error)
        else if (this.#open.get(channel.remote) === entry) {
          this.#ended(entry, false)
          this.#reopen(entry)
        }
      }
    })
  }

  /** Not at once: an end that refuses every channel would be asked for the next without a pause. */
  #reopen({ channel, isOurs }: Entry): void {
    const { self } = this.#init.links
    const opens = revisionsWithoutLinks.has(channel.revision) ? self < channel.remote : isOurs
    if (opens && !this.#again.has(channel.remote)) void this.#keepAsking(channel.remote, redialMinMs)
  }

  #onFrame(entry: Entry, frame: Uint8Array): void {
    const peer = entry.channel.remote
    let link: LinkFrame | undefined
    try {
      link = readLinkFrame(frame)
    } catch (error) {
      this.#init.onViolation(peer, 'bad records frame', (error as Error).message)
      return
    }
    if (entry.state === 'open') {
      if (link === undefined) this.#init.onFrame(peer, frame)
      else if (link.verdict === 'full') this.#letGo(entry)
      else if (link.verdict === undefined) this.#neighbourhood.want(peer, { wantedThere: link.wanted })
      return
    }
    if (entry.state === 'asking') {
      if (link?.verdict === 'accepted') this.#accepted(entry)
      else if (link?.verdict === 'full') this.#refused(entry)
      return
    }
    // What else comes before the question is of a later version, or means nothing yet.
    if (link !== undefined) this.#asked(entry, link)
  }

  #letGo(entry: Entry): void {
    this.#ended(entry, true)
    void entry.channel.close()
  }

  #refused(entry: Entry): void {
    entry.settle(false)
    void entry.channel.close()
  }

  /** The other end says yes. There may be no place here any more. */
  #accepted(entry: Entry): void {
    const { remote } = entry.channel
    const place = this.#placeFor(remote, entry.wanted)
    if (place === undefined) {
      entry.channel.send(this.#link(false, 'full'))
      this.#refused(entry)
      return
    }
    this.#opened(entry, { wantedHere: entry.wanted, victim: place.victim })
    entry.settle(true)
  }

  #asked(entry: Entry, { neighbours, wanted }: LinkFrame): void {
    const { channel } = entry
    const peer = channel.remote
    const running = this.#asking.get(peer)
    // Both ask at once: the question of the smaller id counts.
    if (running !== undefined && this.#init.links.self < peer) {
      channel.abort(new Error('this peer has asked, too'))
      return
    }
    const place = this.#neighbourhood.placeFor(peer, { neighbours, wanted })
    if (place === undefined) {
      channel.send(this.#link(false, 'full'))
      void channel.close()
      return
    }
    channel.send(this.#link(false, 'accepted'))
    this.#opened(entry, { wantedThere: wanted, victim: place.victim })
  }

  #placeFor(peer: PeerId, wanted: boolean) {
    // Whoever asks has a place for the other: nobody goes for it but where this peer needs it.
    return this.#neighbourhood.placeFor(peer, { neighbours: Number.POSITIVE_INFINITY, wanted })
  }

  /** They are neighbours. A second channel means that the other end lost the first. */
  #opened(
    entry: Entry,
    {
      wantedHere = false,
      wantedThere = false,
      victim
    }: { wantedHere?: boolean; wantedThere?: boolean; victim?: PeerId | undefined } = {}
  ): void {
    const { channel } = entry
    const peer = channel.remote
    if (victim !== undefined) this.release(victim)
    const before = this.#open.get(peer)
    entry.state = 'open'
    this.#open.set(peer, entry)
    this.#peers.add(peer)
    this.#neighbourhood.add(peer, { wantedHere, wantedThere })
    before?.channel.abort(new Error('replaced by a newer channel'))
    this.#init.onOpen(peer)
    this.#asking.get(peer)?.end.abort(new Error('they are neighbours'))
  }

  #ended(entry: Entry, isLetGo: boolean): void {
    const peer = entry.channel.remote
    if (this.#open.get(peer) !== entry) return
    this.#open.delete(peer)
    this.#peers.delete(peer)
    this.#neighbourhood.delete(peer)
    this.#init.onClose(peer, isLetGo)
  }

  #link(wanted: boolean, verdict?: 'accepted' | 'full'): Uint8Array {
    return encodeLinkFrame({ neighbours: this.size, wanted, ...(verdict === undefined ? {} : { verdict }) })
  }
}
