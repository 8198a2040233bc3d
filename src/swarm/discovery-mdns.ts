/**
 * Peers on the same links, by multicast DNS over IPv4 and IPv6 on every interface. What is heard goes to the dialer and nowhere
 * else, and little of it: any stranger in radio range may say anything, as often as he likes.
 */
import { randomBytes } from 'node:crypto'
import type { RemoteInfo } from 'node:dgram'
import { multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../base/ids.ts'
import {
  candidateAddressesMax,
  candidatesMax,
  mdnsAnswerMs,
  mdnsBurstMax,
  mdnsDoubtMs,
  mdnsIntervalMs,
  mdnsNewsMs,
  mdnsPerSecondMax,
  mdnsRumourMs,
  mdnsRumoursMax,
  mdnsSourceBurstMax,
  mdnsSourcePerSecondMax,
  mdnsSourcesMax
} from './limits.ts'
import { Budget } from '../base/budget.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'
import { listingProblem } from './interfaces.ts'
import { decodePacket, encodeAnswer, encodeQuestion, type MdnsAnswer, mdnsService } from './mdns-packet.ts'
import { type MdnsLink, MdnsSockets } from './mdns-sockets.ts'
import { onLink } from './reachable.ts'
import type { Voucher } from './vouch.ts'

export interface MdnsInit {
  readonly self: PeerId
  readonly tag: string
  readonly voucher: Voucher
  /** Multiaddrs of this peer, without its id. */
  readonly addresses: () => readonly string[]
  readonly dialer: Dialer
}

/** A peer that a member has vouched for. */
interface Found {
  said: string
  saidMs: number
}

export class MdnsDiscovery implements Discovery {
  readonly way = 'mdns'
  readonly #init: MdnsInit
  readonly #service: string
  readonly #instance = randomBytes(8).toString('hex')
  readonly #question: Uint8Array
  readonly #mark: Buffer
  readonly #sockets: MdnsSockets
  readonly #budget = new Budget({ perSecond: mdnsPerSecondMax, burst: mdnsBurstMax })
  readonly #sources = new Map<string, Budget>()
  readonly #found = new Map<PeerId, Found>()
  /** Peers that nobody has vouched for: they have an older version, or a stranger made them up. */
  readonly #rumours = new Map<PeerId, NodeJS.Timeout>()
  /** When each link was answered last, or will be. */
  readonly #answers = new Map<MdnsLink, { atMs: number; timer: NodeJS.Timeout | undefined }>()
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(init: MdnsInit) {
    this.#init = init
    this.#service = mdnsService(init.tag)
    this.#question = encodeQuestion(this.#service)
    this.#mark = Buffer.from(`_skein-${init.tag}`)
    this.#sockets = new MdnsSockets({
      onPacket: (bytes, from, links) => this.#onPacket(bytes, from, links),
      // Its own question comes back to this peer as to any other, and the answer tells the others of it.
      onLink: link => link.send(this.#question)
    })
  }

  state(): string {
    const links = this.#sockets.links
    const works = describe(links.filter(({ problem }) => problem === undefined))
    const fails = links.filter(({ problem }) => problem !== undefined)
    const failures = fails.length === 0 ? '' : `, not on ${describe(fails)}`
    const listing = listingProblem()
    const blind = listing === undefined ? '' : `, and interfaces cannot be listed here (${listing})`
    if (links.length === 0) return `no interface has an address${blind}`
    if (works === '') return `multicast does not work on ${describe(fails)}${blind}`
    if (this.#found.size === 0) {
      return `multicast works on ${works}${failures}; nobody of this swarm has answered yet${blind}`
    }
    const { connected } = this.#init.dialer.stateOf(this.way)
    return `${this.#found.size} found, ${connected} connected${failures === '' ? '' : `; multicast works on ${works}${failures}`}${blind}`
  }

  async start(): Promise<void> {
    await this.#sockets.start()
    this.#timer = setInterval(() => {
      this.#sockets.send(this.#question)
    }, mdnsIntervalMs).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    for (const { timer } of this.#answers.values()) clearTimeout(timer)
    for (const timer of this.#rumours.values()) clearTimeout(timer)
    await this.#sockets.stop()
  }

  #onPacket(bytes: Uint8Array, { address }: RemoteInfo, links: readonly MdnsLink[]): void {
    // A network's packets are mostly others': they are not even parsed.
    if (this.#stopped || !Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(this.#mark)) return
    const nowMs = performance.now()
    if (!this.#source(address, nowMs).take(nowMs) || !this.#budget.take(nowMs)) return
    const message = decodePacket(bytes, this.#service)
    if (message?.kind === 'question') for (const link of links) this.#answer(link, nowMs)
    else if (message !== undefined) this.#onAnswer(message, address, nowMs)
  }

  /** What one address may still send. */
  #source(address: string, nowMs: number): Budget {
    let budget = this.#sources.get(address)
    if (budget === undefined) {
      if (this.#sources.size >= mdnsSourcesMax) this.#sources.delete(this.#sources.keys().next().value!)
      budget = new Budget({ perSecond: mdnsSourcePerSecondMax, burst: mdnsSourceBurstMax }, nowMs)
    }
    this.#sources.delete(address)
    this.#sources.set(address, budget)
    return budget
  }

  /** Answers on a link, any number of questions at once. */
  #answer(link: MdnsLink, nowMs: number): void {
    const last = this.#answers.get(link)
    if (last?.timer !== undefined) return
    const send = (): void => {
      this.#answers.set(link, { atMs: performance.now(), timer: undefined })
      const addresses = this.#init.addresses().slice(0, candidateAddressesMax)
      if (addresses.length === 0) return
      const { self, voucher } = this.#init
      const code = voucher.of(self, addresses)
      link.send(encodeAnswer(this.#service, this.#instance, { peer: self, addresses, code }))
    }
    const waitMs = (last?.atMs ?? Number.NEGATIVE_INFINITY) + mdnsAnswerMs - nowMs
    if (waitMs <= 0) {
      send()
      for (const known of this.#answers.keys()) if (!this.#sockets.links.includes(known)) this.#answers.delete(known)
    } else {
      this.#answers.set(link, { atMs: nowMs + waitMs, timer: setTimeout(send, waitMs).unref() })
    }
  }

  #onAnswer(answer: MdnsAnswer, from: string, nowMs: number): void {
    const { peer } = answer
    const isVouched = this.#init.voucher.isValid(answer.code, peer, answer.addresses)
    if (peer === this.#init.self) {
      // Its own answer comes back to it; one with other addresses is of a second machine.
      if (isVouched) this.#init.dialer.offer(peer, answer.addresses.filter(isMultiaddr), this.way, 'vouched')
      return
    }
    if (!isVouched && (this.#found.has(peer) || this.#rumours.has(peer))) return
    const [, zone] = from.split('%')
    const addresses = answer.addresses
      .map(address => (zone === undefined ? address : onLink(address, zone)))
      .filter(isMultiaddr)
    if (addresses.length === 0) return
    if (isVouched) this.#onVouched(peer, addresses, nowMs)
    else this.#onRumour(peer, addresses)
  }

  #onVouched(peer: PeerId, addresses: readonly string[], nowMs: number): void {
    const said = addresses.join(' ')
    const before = this.#found.get(peer)
    // It may be an old answer that somebody repeats: one that differs from the last counts at most so often.
    if (before !== undefined && before.said !== said && nowMs - before.saidMs < mdnsNewsMs) return
    if (before === undefined && this.#found.size >= candidatesMax) return
    this.#found.set(peer, { said, saidMs: nowMs })
    this.#init.dialer.offer(peer, addresses, this.way, 'vouched')
  }

  /** Believed only if no member says better for a while, and then once: a newer answer may be as wrong. */
  #onRumour(peer: PeerId, addresses: readonly string[]): void {
    if (this.#rumours.size >= mdnsRumoursMax) return
    const forget = (): void => void this.#rumours.delete(peer)
    const believe = (): void => {
      this.#rumours.set(peer, setTimeout(forget, mdnsRumourMs).unref())
      if (!this.#found.has(peer)) this.#init.dialer.offer(peer, addresses, this.way, 'hearsay')
    }
    this.#rumours.set(peer, setTimeout(believe, mdnsDoubtMs).unref())
  }
}

/** Interfaces and their families: `eth0 (IPv4, IPv6), wlan0 (IPv6: ENETUNREACH)`. */
function describe(links: readonly MdnsLink[]): string {
  const byName = new Map<string, string[]>()
  for (const { own, problem } of links) {
    const name = own.name === '' ? own.address : own.name
    const family = `IPv${own.family}${problem === undefined ? '' : `: ${problem}`}`
    byName.set(name, [...(byName.get(name) ?? []), family])
  }
  return [...byName].map(([name, families]) => `${name} (${families.join(', ')})`).join(', ')
}

function isMultiaddr(text: string): boolean {
  try {
    multiaddr(text)
    return true
  } catch {
    return false
  }
}

/** Only says that a person switched it off. */
export class NoMdnsDiscovery implements Discovery {
  readonly way = 'mdns'
  state(): string {
    return 'switched off'
  }
  async start(): Promise<void> {}
  async stop(): Promise<void> {}
}
