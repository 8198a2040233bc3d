/**
 * Listens to multicast DNS for a while, as a peer does: whether this machine hears what it sends on each interface, and which
 * peers answer for a swarm. It answers nobody.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ownAddresses } from '../swarm/interfaces.ts'
import { decodePacket, encodeQuestion, mdnsService } from '../swarm/mdns-packet.ts'
import { type MdnsLink, MdnsSockets } from '../swarm/mdns-sockets.ts'
import { onLink, reachable } from '../swarm/reachable.ts'
import { type SwarmConfig, swarmSecret, swarmTag } from '../swarm/swarm-file.ts'
import { Voucher } from '../swarm/vouch.ts'
import { Answers } from './answers.ts'
import { dial } from './dial-service.ts'
import type { MetFacts, MulticastFacts, NetworkFacts } from './facts.ts'
import { askEveryMs, dialAddressesMax, dialPeersMax, listenMs, strangersMax, strangersMs } from './limits.ts'

type Heard = Pick<NetworkFacts, 'multicast' | 'met' | 'otherSwarms'>

/** A swarm's question or answer names its tag. */
const tagged = /_skein-([0-9a-f]{16})(?![0-9a-f])/g

/** @throws the signal's reason. */
export async function listen({
  swarm,
  signal
}: {
  readonly swarm: SwarmConfig | undefined
  readonly signal: AbortSignal
}): Promise<Heard> {
  const ears = new Ears(swarm)
  await ears.sockets.start()
  const startMs = performance.now()
  try {
    for (;;) {
      const ms = performance.now() - startMs
      if (ms >= (ears.isLonely ? strangersMs : listenMs) || (swarm === undefined && ears.hearsAll)) break
      ears.ask()
      await delay(swarm === undefined ? askEveryMs / 4 : askEveryMs, undefined, { signal }).catch(() => {})
      signal.throwIfAborted()
    }
  } finally {
    await ears.sockets.stop()
  }
  return { multicast: ears.multicast, met: await ears.dialled(signal), otherSwarms: ears.strangers.size }
}

class Ears {
  readonly sockets: MdnsSockets
  /** Tags of other swarms. */
  readonly strangers = new Set<string>()
  readonly #tag: string | undefined
  readonly #voucher: Voucher | undefined
  /** By link: what it sends to itself. */
  readonly #marks = new Map<MdnsLink, string>()
  readonly #heard = new Set<string>()
  readonly #met = new Answers(dialPeersMax)

  constructor(swarm: SwarmConfig | undefined) {
    // Of a swarm with members only a member knows what is heard of it.
    const secret = swarm?.format === 1 ? swarmSecret(swarm) : undefined
    this.#tag = secret === undefined ? undefined : swarmTag(secret)
    this.#voucher = secret === undefined ? undefined : new Voucher(secret)
    this.sockets = new MdnsSockets({
      onPacket: (bytes, { address }) => this.#onPacket(bytes, address),
      onLink: () => {}
    })
  }

  /** Whether everything that was sent has come back. */
  get hearsAll(): boolean {
    return this.multicast.every(({ heard }) => heard)
  }

  /** Whether a swarm was named of which nobody has answered. */
  get isLonely(): boolean {
    return this.#tag !== undefined && this.#met.all.length === 0 && this.strangers.size === 0
  }

  get multicast(): MulticastFacts[] {
    return this.sockets.links.map(link => ({
      link: `${link.own.name === '' ? link.own.address : link.own.name} (IPv${link.own.family})`,
      problem: link.problem,
      heard: this.#heard.has(this.#marks.get(link) ?? '')
    }))
  }

  ask(): void {
    for (const link of this.sockets.links) {
      const mark = this.#marks.get(link) ?? `doctor-${randomBytes(8).toString('hex')}`
      this.#marks.set(link, mark)
      link.send(encodeQuestion(mdnsService(mark)))
      if (this.#tag !== undefined) link.send(encodeQuestion(mdnsService(this.#tag)))
    }
  }

  #onPacket(bytes: Uint8Array, from: string): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    for (const mark of this.#marks.values()) if (text.includes(mark)) this.#heard.add(mark)
    if (this.#tag === undefined) return
    for (const [, tag] of text.matchAll(tagged)) {
      if (tag !== this.#tag && this.strangers.size < strangersMax) this.strangers.add(tag!)
    }
    const answer = decodePacket(bytes, mdnsService(this.#tag))
    if (answer?.kind !== 'answer') return
    const { peer, addresses, code } = answer
    const isVouched = this.#voucher!.isValid(code, peer, addresses)
    const [, zone] = from.split('%')
    const near = zone === undefined ? addresses : addresses.map(address => onLink(address, zone))
    this.#met.add({ peer, addresses: near, isVouched })
  }

  /** Peers that answered, with what came of their addresses; undefined where no swarm was named. */
  async dialled(signal: AbortSignal): Promise<MetFacts[] | undefined> {
    if (this.#tag === undefined) return undefined
    const own = ownAddresses()
    return Promise.all(
      this.#met.all.map(async ({ peer, addresses, isVouched }) => {
        const worth = isVouched ? reachable(addresses, own).slice(0, dialAddressesMax) : []
        const tried = worth.map(async address => {
          const [, zone, host, port] = /^(?:\/ip6zone\/([^/]+))?\/ip[46]\/([^/]+)\/tcp\/(\d+)/.exec(address) ?? []
          const problem = await dial(zone === undefined ? host! : `${host}%${zone}`, Number(port), signal)
          return { address, problem }
        })
        return { peer, isVouched, tried: await Promise.all(tried) }
      })
    )
  }
}
