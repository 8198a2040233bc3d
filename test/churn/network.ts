/**
 * An emulated network: every peer in a network namespace of its own, on one bridge; the driver, which is this process,
 * over a link with delay if asked for. Or, with a link between every two of them, on the emulator's own switch. A peer's
 * packets vanish when its cable is taken off: no interface goes down and no connection is closed, as out of radio range.
 */
import { LinkEmulator, type LinkCounts, type LinkInit, whyNoLinks } from '../lab/link.ts'
import { addNamespace, ip, whyNoNamespaces } from '../lab/namespaces.ts'

/** A place in the network for one peer. */
export interface Attachment {
  readonly address: string
  /** The command that runs another one there. */
  readonly prefix: readonly string[]
  /** Takes the cable off, or puts it back. */
  unplug(): void
  plug(): void
}

/** Why there can be no emulated network here, or undefined. `links`: whether any of its links is to have delay or loss. */
export function whyNoNetwork({ links }: { links: boolean }): string | undefined {
  return whyNoNamespaces() ?? (links ? whyNoLinks() : undefined)
}

export interface NetworkInit {
  /** Round trip between the driver and every peer; peers are near one another. @default 0 */
  readonly driverRttMs?: number
  /** What it is like between any two, the driver among them, instead. @default wires */
  readonly everyLink?: LinkInit
}

export class Network {
  /** Where this process, the driver, listens. */
  readonly driverAddress = '10.77.0.1'
  readonly #emulator: LinkEmulator | undefined
  /** Peers are ports of the emulator's switch; otherwise of the bridge. */
  readonly #switched: boolean
  #peers = 0

  private constructor(emulator: LinkEmulator | undefined, switched: boolean) {
    this.#emulator = emulator
    this.#switched = switched
  }

  /** Only inside `insideNamespaces`. @throws {Error} with what `ip` or the emulator said. */
  static async open({ driverRttMs = 0, everyLink }: NetworkInit = {}): Promise<Network> {
    const link = everyLink ?? (driverRttMs > 0 ? { delayMs: driverRttMs / 2 } : undefined)
    const emulator = link === undefined ? undefined : new LinkEmulator(link)
    const network = new Network(emulator, everyLink !== undefined)
    ip('link set lo up')
    if (!network.#switched) {
      addNamespace('hub')
      ip('-n hub link add br0 type bridge')
      ip('-n hub link set br0 up')
    }
    if (emulator === undefined) {
      ip('link add up0 type veth peer name down0 netns hub')
      ip('-n hub link set down0 master br0')
      ip('-n hub link set down0 up')
    } else {
      ip(`netns attach driver ${process.pid}`)
      await emulator.port('driver')
      ip('link set tap0 name up0')
      if (!network.#switched) {
        await emulator.port('hub')
        ip('-n hub link set tap0 master br0')
        ip('-n hub link set tap0 up')
      }
    }
    ip(`addr add ${network.driverAddress}/24 dev up0`)
    ip('link set up0 up')
    // Multicast DNS says nothing where multicast is not routed.
    ip('route add 224.0.0.0/4 dev up0')
    return network
  }

  /** A new place in the network. */
  async attach(): Promise<Attachment> {
    const n = ++this.#peers
    const name = `peer${n}`
    const address = `10.77.0.${n + 10}`
    addNamespace(name)
    if (this.#switched) {
      await this.#emulator!.port(name)
      ip(`-n ${name} link set tap0 name eth0`)
    } else {
      ip(`-n hub link add cable${n} type veth peer name eth0 netns ${name}`)
      ip(`-n hub link set cable${n} master br0`)
      ip(`-n hub link set cable${n} up`)
    }
    ip(`-n ${name} addr add ${address}/24 dev eth0`)
    ip(`-n ${name} link set eth0 up`)
    ip(`-n ${name} route add 224.0.0.0/4 dev eth0`)
    return {
      address,
      prefix: ['ip', 'netns', 'exec', name],
      unplug: () => (this.#switched ? this.#emulator!.cut(name) : ip(`-n hub link set cable${n} nomaster`)),
      plug: () => (this.#switched ? this.#emulator!.join(name) : ip(`-n hub link set cable${n} master br0`))
    }
  }

  /** What has happened to frames on emulated links; undefined without any. */
  async counts(): Promise<LinkCounts | undefined> {
    return this.#emulator?.counts()
  }

  close(): void {
    this.#emulator?.close()
  }
}
