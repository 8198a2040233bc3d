/**
 * @libp2p/tcp with what it leaves to be mended: it asks the system for interfaces where that may throw, in timers too; it leaves
 * link-local addresses out; it can neither dial an IPv6 link-local address nor accept a connection from one; and it starts a
 * handshake with everybody who connects.
 */
import type { Server, Socket } from 'node:net'
import type { Listener, Transport } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Doorway } from './doorway.ts'
import { ownAddresses } from './interfaces.ts'
import { announced } from './reachable.ts'

type TcpComponents = Parameters<ReturnType<typeof tcp>>[0]

export class LanTcp {
  readonly #doorway: Doorway
  readonly #isBusy: () => boolean
  /** Sockets whose handshake is not over. */
  readonly #pending = new Map<number, Socket>()
  readonly #admitted = new WeakMap<object, number>()
  readonly #listeners = new Set<Listener>()

  /** @param isBusy whether sessions run here @default none ever does */
  constructor(doorway: Doorway, isBusy: () => boolean = () => false) {
    this.#doorway = doorway
    this.#isBusy = isBusy
  }

  /** What libp2p takes as a transport. */
  readonly transport = (components: TcpComponents): Transport => {
    const inner = tcp()(components)
    const { dial, createListener } = inner
    inner.dial = (address, options) => {
      const zone = /^\/ip6zone\/([^/]+)(\/ip6\/([^/]+)\/.*)$/.exec(address.toString())
      if (zone === null) return dial.call(inner, address, options)
      const [, name, rest, host] = zone
      // The transport drops the zone, but takes options for the socket.
      return dial.call(inner, multiaddr(rest), { ...options, host: `${host}%${name}` } as typeof options)
    }
    inner.createListener = options => this.#mend(createListener.call(inner, options))
    return inner
  }

  /** All addresses that this peer listens at, loopback last: limits cut the end. */
  get addresses(): Multiaddr[] {
    const all = [...this.#listeners].flatMap(listener => listener.getAddrs())
    const isInside = (address: Multiaddr): boolean => /^\/(ip4\/127\.|ip6\/::1\/)/.test(address.toString())
    return [...all.filter(address => !isInside(address)), ...all.filter(isInside)]
  }

  /** A connection has shown that it is of this swarm. */
  established(socket: object | undefined): void {
    const id = socket === undefined ? undefined : this.#admitted.get(socket)
    if (id !== undefined) this.#done(id)
  }

  #mend(listener: Listener): Listener {
    // libp2p shows neither; both have been there under these names since its first TCP transport.
    const { server } = listener as unknown as { server: Server }
    let listening: Multiaddr | undefined
    const listen = listener.listen.bind(listener)
    listener.listen = async address => {
      listening = address
      await listen(address)
      this.#listeners.add(listener)
    }
    listener.getAddrs = () => {
      const bound = server.address()
      if (listening === undefined || bound === null || typeof bound === 'string') return []
      const [, family, host] = listening.toString().split('/')
      const hosts =
        host === '0.0.0.0' || host === '::' ? announced(ownAddresses(), family === 'ip4' ? 4 : 6) : [String(host)]
      return hosts.map(text => multiaddr(`/${family}/${text}/tcp/${bound.port}`))
    }
    listener.addEventListener('close', () => this.#listeners.delete(listener))
    const accept = server.listeners('connection') as ((socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', socket => this.#accept(socket, accept))
    return listener
  }

  #accept(socket: Socket, accept: readonly ((socket: Socket) => void)[]): void {
    const { remoteAddress } = socket
    // It has gone again.
    if (remoteAddress === undefined) {
      socket.destroy()
      return
    }
    const knock = this.#doorway.knock(remoteAddress, performance.now(), { isBusy: this.#isBusy() })
    if (knock === 'refused') {
      socket.destroy()
      return
    }
    if (knock.givesWay !== undefined) {
      this.#pending.get(knock.givesWay)?.destroy()
      this.#pending.delete(knock.givesWay)
    }
    this.#pending.set(knock.admitted, socket)
    this.#admitted.set(socket, knock.admitted)
    socket.once('close', () => this.#done(knock.admitted))
    // No multiaddr holds an IPv6 address with its zone.
    const zone = remoteAddress.indexOf('%')
    if (zone >= 0) Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress.slice(0, zone) })
    try {
      for (const each of accept) each(socket)
    } catch {
      // The listener is about to close, or the socket is.
      socket.destroy()
    }
  }

  #done(id: number): void {
    this.#doorway.done(id)
    this.#pending.delete(id)
  }
}
