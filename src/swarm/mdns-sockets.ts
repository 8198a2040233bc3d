/**
 * Multicast on every interface of this machine, over IPv4 and IPv6: one socket per family that hears all interfaces, and one
 * per interface and family that speaks, since a socket sends to one interface only. Interfaces come and go, and any of this
 * may be refused: nothing here throws, and what fails on an interface is tried again and can be asked for.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { mdnsLinksMax, mdnsLookMs } from './limits.ts'
import { askRoutes, listingProblem, ownAddresses } from './interfaces.ts'
import { contains, multicastLinks, type OwnAddress } from './reachable.ts'

const port = 5353
const groups = { 4: '224.0.0.251', 6: 'ff02::fb' } as const

export interface MdnsSocketsInit {
  /** @param links where whoever sent it can be answered */
  readonly onPacket: (bytes: Uint8Array, from: RemoteInfo, links: readonly MdnsLink[]) => void
  /** This link can be used from now on. */
  readonly onLink: (link: MdnsLink) => void
}

/** One interface and family. */
export class MdnsLink {
  readonly own: OwnAddress
  /** Why it cannot be used, or undefined. */
  problem: string | undefined = 'not tried yet'
  #socket: Socket | undefined

  constructor(own: OwnAddress) {
    this.own = own
  }

  /** Never throws; what is wrong is in `problem` then. */
  async open(): Promise<void> {
    this.close()
    const { family, address, zone } = this.own
    const socket = createSocket({ type: `udp${family}`, reuseAddr: true, ipv6Only: family === 6 })
    this.#socket = socket
    this.problem = await new Promise<string | undefined>(resolve => {
      socket.on('error', error => {
        this.problem = codeOf(error)
        resolve(this.problem)
      })
      socket.bind(port, () => {
        try {
          socket.setMulticastInterface(family === 4 ? address : `::%${zone}`)
          socket.setMulticastTTL(255)
          // Other peers on this machine hear it, too.
          socket.setMulticastLoopback(true)
          // Connected to the group it receives nothing, and takes no packets from others that are bound to this port.
          socket.once('connect', () => resolve(undefined))
          socket.connect(port, family === 4 ? groups[4] : `${groups[6]}%${zone}`)
        } catch (error) {
          resolve(codeOf(error))
        }
      })
    })
    if (this.problem !== undefined) this.close()
  }

  send(bytes: Uint8Array): void {
    try {
      this.#socket?.send(bytes, error => {
        this.problem = error === null ? undefined : codeOf(error)
      })
    } catch (error) {
      this.problem = codeOf(error)
    }
  }

  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    try {
      socket?.close()
    } catch {
      // It was never bound.
    }
  }
}

/** The socket of one family that hears. */
interface Receiver {
  readonly socket: Socket
  /** Keys of links whose group it has joined. */
  readonly joined: Set<string>
}

export class MdnsSockets {
  readonly #init: MdnsSocketsInit
  readonly #links = new Map<string, MdnsLink>()
  readonly #receivers = new Map<4 | 6, Receiver>()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #stopped = false

  constructor(init: MdnsSocketsInit) {
    this.#init = init
  }

  get links(): readonly MdnsLink[] {
    return [...this.#links.values()]
  }

  /** Returns once every interface has been tried. */
  async start(): Promise<void> {
    await this.#look()
    this.#timer = setInterval(() => void this.#look(), mdnsLookMs).unref()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#looking
    for (const link of this.#links.values()) link.close()
    for (const family of [4, 6] as const) this.#closeReceiver(family)
  }

  send(bytes: Uint8Array): void {
    for (const link of this.#links.values()) link.send(bytes)
  }

  #look(): Promise<void> {
    this.#looking ??= this.#pass().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #pass(): Promise<void> {
    if (listingProblem() !== undefined) await askRoutes()
    const wanted = new Map(multicastLinks(ownAddresses(), mdnsLinksMax).map(own => [keyOf(own), own]))
    for (const [key, link] of this.#links) {
      if (wanted.has(key)) continue
      link.close()
      this.#links.delete(key)
      this.#receivers.get(link.own.family)?.joined.delete(key)
    }
    for (const [key, own] of wanted) {
      if (this.#stopped) return
      const link = this.#links.get(key) ?? new MdnsLink(own)
      this.#links.set(key, link)
      const heard = await this.#join(key, own)
      if (heard !== undefined) {
        link.problem = heard
        continue
      }
      if (link.problem === undefined) continue
      await link.open()
      if (this.#stopped) link.close()
      else if (link.problem === undefined) this.#init.onLink(link)
    }
  }

  /** Hears a link from now on. Returns why it cannot. */
  async #join(key: string, { family, address, zone }: OwnAddress): Promise<string | undefined> {
    try {
      const receiver = this.#receivers.get(family) ?? (await this.#openReceiver(family))
      if (receiver.joined.has(key)) return undefined
      receiver.socket.addMembership(groups[family], family === 4 ? address : `::%${zone}`)
      receiver.joined.add(key)
    } catch (error) {
      // Joined already: by another address of the same interface.
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return codeOf(error)
      this.#receivers.get(family)?.joined.add(key)
    }
    return undefined
  }

  #openReceiver(family: 4 | 6): Promise<Receiver> {
    const socket = createSocket({ type: `udp${family}`, reuseAddr: true, ipv6Only: family === 6 })
    const receiver: Receiver = { socket, joined: new Set() }
    return new Promise((resolve, reject) => {
      socket.on('error', error => {
        if (this.#receivers.get(family) === receiver) this.#closeReceiver(family)
        reject(error)
      })
      socket.on('message', (bytes, from) => this.#init.onPacket(bytes, from, this.#linksTo(from)))
      socket.bind(port, () => {
        if (this.#stopped) {
          socket.close()
          reject(new Error('stopped'))
          return
        }
        this.#receivers.set(family, receiver)
        resolve(receiver)
      })
    })
  }

  #closeReceiver(family: 4 | 6): void {
    const receiver = this.#receivers.get(family)
    this.#receivers.delete(family)
    try {
      receiver?.socket.close()
    } catch {
      // Closed by its error already.
    }
  }

  /** The interface that a packet came in by, which only its sender's address tells; else all of that family. */
  #linksTo({ address, family }: RemoteInfo): MdnsLink[] {
    const same = this.links.filter(({ own }) => own.family === (family === 'IPv6' ? 6 : 4))
    const [host = '', zone] = address.split('%')
    const near = same.filter(({ own }) =>
      zone === undefined ? own.cidr !== null && contains(own.cidr, host) : own.zone === zone
    )
    return near.length > 0 ? near : same
  }
}

function keyOf({ family, name, address, hardware }: OwnAddress): string {
  return `${family} ${name} ${address} ${hardware}`
}

function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}
