/**
 * Peers on the same network segment, by multicast DNS. Where multicast is not routed, sending fails and the module
 * says nothing; so this file tries it itself and says why nobody is found.
 */
import { createSocket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import type { PeerDiscovery, PeerInfo } from '@libp2p/interface'
import { mdns } from '@libp2p/mdns'
import type { PeerId } from '../base/ids.ts'
import { candidateAddressesMax, candidatesMax, mdnsIntervalMs, mdnsProbeMs } from '../limits.ts'
import type { Dialer } from './dialer.ts'
import type { Discovery } from './discovery.ts'
import type { DiscoveryComponents } from './host.ts'

const group = '224.0.0.251'
const port = 5353
/** A DNS header without questions: every responder ignores it. */
const probePacket = new Uint8Array(12)

/** Why a packet to the multicast group cannot leave this machine, or undefined when it can. */
export async function probeMulticast(): Promise<string | undefined> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  try {
    return await new Promise<string | undefined>(resolve => {
      const fail = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message)
      socket.on('error', fail)
      socket.bind(0, () => {
        try {
          // As multicast-dns does: on a machine with nothing but loopback, loopback carries it.
          const external = Object.values(networkInterfaces()).some(list =>
            list?.some(({ family, internal }) => family === 'IPv4' && !internal)
          )
          socket.setMulticastInterface(external ? '0.0.0.0' : '127.0.0.1')
        } catch (error) {
          fail(error as NodeJS.ErrnoException)
          return
        }
        socket.send(probePacket, port, group, error => {
          if (error === null) resolve(undefined)
          else fail(error as NodeJS.ErrnoException)
        })
      })
    })
  } finally {
    socket.close()
  }
}

export class MdnsDiscovery implements Discovery {
  readonly way = 'mdns'
  readonly #tag: string
  readonly #dialer: () => Dialer
  readonly #found = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #problem: string | undefined
  #stopped = false

  /** @param dialer asked when a peer is found: the host starts this module before there is a dialer. */
  constructor(init: { tag: string; dialer: () => Dialer }) {
    this.#tag = init.tag
    this.#dialer = init.dialer
  }

  /** Makes the libp2p module; the host starts and stops it. */
  readonly module = (components: DiscoveryComponents): PeerDiscovery => {
    const inner = mdns({ serviceTag: `_skein-${this.#tag}._udp.local`, interval: mdnsIntervalMs })(components)
    // Its own event, which repeats: libp2p's `peer:discovery` fires once per entry of the peer store.
    inner.addEventListener('peer', ({ detail }) => this.#onPeer(detail))
    return inner
  }

  state(): string {
    if (this.#problem !== undefined) return this.#problem
    if (this.#found.size === 0) return 'multicast works, nobody of this swarm has answered yet'
    const { connected } = this.#dialer().stateOf(this.way)
    return `${this.#found.size} found, ${connected} connected`
  }

  async start(): Promise<void> {
    await this.#probe()
    this.#timer = setInterval(() => void this.#probe(), mdnsProbeMs).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
  }

  async #probe(): Promise<void> {
    const code = await probeMulticast().catch((error: Error) => error.message)
    if (this.#stopped) return
    this.#problem =
      code === undefined
        ? undefined
        : code === 'ENETUNREACH'
          ? 'multicast is not routed on this machine (ENETUNREACH): add a default route, or one for 224.0.0.0/4'
          : `multicast cannot be sent from this machine (${code})`
  }

  #onPeer({ id, multiaddrs }: PeerInfo): void {
    const peer = id.toString() as PeerId
    if (this.#found.size < candidatesMax) this.#found.add(peer)
    this.#dialer().offer(
      peer,
      multiaddrs.slice(0, candidateAddressesMax).map(address => address.toString()),
      this.way
    )
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
