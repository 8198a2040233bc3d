/** Tries what a peer needs of the network: listening, connecting to itself, multicast, and peers that answer. */
import { createServer } from 'node:net'
import { readPlainText } from '../base/plain-file.ts'
import { askRoutes, listingProblem, ownAddresses } from '../swarm/interfaces.ts'
import { multicastLinks } from '../swarm/reachable.ts'
import type { SwarmConfig } from '../swarm/swarm-file.ts'
import { codeOf, dial } from './dial-service.ts'
import type { NetworkFacts, PortFacts } from './facts.ts'
import { procBytesMax } from './limits.ts'
import { listen } from './multicast-service.ts'
import { ownerOfPort } from './owners-service.ts'

const mdnsPort = 5353

export interface NetworkInit {
  /** Multiaddrs of TCP to listen at. */
  readonly listen: readonly string[]
  readonly swarm: SwarmConfig | undefined
  readonly signal: AbortSignal
}

/** @throws the signal's reason. */
export async function networkFacts({ listen: addresses, swarm, signal }: NetworkInit): Promise<NetworkFacts> {
  await askRoutes()
  const own = ownAddresses()
  const listing = listingProblem()
  const [ports, unreachable, heard] = await Promise.all([
    Promise.all(addresses.map(portFacts)),
    selfDials([...own.filter(({ internal }) => !internal), '127.0.0.1'], signal),
    listen({ swarm, signal })
  ])
  signal.throwIfAborted()
  const isTaken = heard.multicast.some(({ problem }) => problem === 'EADDRINUSE')
  return {
    addresses: listing === undefined ? own : [],
    listing,
    routed: await routedInterfaces(),
    ports,
    unreachable,
    multicastOwner: isTaken ? await ownerOfPort('udp', mdnsPort) : undefined,
    ...heard,
    // One address of each link is enough to see that nothing works there.
    multicast: multicastLinks(own, Number.POSITIVE_INFINITY).length === 0 ? [] : heard.multicast
  }
}

async function portFacts(address: string): Promise<PortFacts> {
  const [, family, host, , port] = address.split('/')
  const problem = await new Promise<string | undefined>(resolve => {
    const server = createServer()
    server.once('error', error => resolve(codeOf(error)))
    server.listen({ host: host!, port: Number(port), ipv6Only: family === 'ip6', exclusive: true }, () =>
      server.close(() => resolve(undefined))
    )
  })
  return {
    address,
    problem,
    owner: problem === 'EADDRINUSE' ? await ownerOfPort('tcp', Number(port)) : undefined
  }
}

/** Those of this machine's own addresses to which it cannot connect. */
async function selfDials(
  targets: readonly (NetworkFacts['addresses'][number] | '127.0.0.1')[],
  signal: AbortSignal
): Promise<NetworkFacts['unreachable']> {
  const found = await Promise.all(
    targets.map(async target => {
      const address = typeof target === 'string' ? target : target.address
      const isLinkLocal = typeof target !== 'string' && /^fe[89ab]/i.test(address)
      const host = isLinkLocal ? `${address}%${target.zone}` : address
      const server = createServer(socket => socket.destroy())
      try {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject)
          server.listen({ host, port: 0 }, resolve)
        })
        const { port } = server.address() as { port: number }
        const problem = await dial(host, port, signal)
        return problem === undefined ? undefined : { address, problem }
      } catch (error) {
        // An address that has just gone, or is not yet usable, is not one that a firewall closes; loopback always is there.
        return typeof target === 'string' ? { address, problem: codeOf(error) } : undefined
      } finally {
        server.close()
      }
    })
  )
  return found.filter(each => each !== undefined)
}

/** Interfaces with a route of IPv4, by the main table; undefined where it cannot be read. */
async function routedInterfaces(): Promise<string[] | undefined> {
  const text = await readPlainText('/proc/net/route', procBytesMax).catch(() => undefined)
  return text
    ?.split('\n')
    .slice(1)
    .flatMap(line => line.split('\t')[0] || [])
}
