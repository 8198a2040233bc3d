/** Peers over real libp2p connections on loopback, with identities of their own. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { Host } from '../../src/swarm/host.ts'
import { type Identity, identityOf, verifySignature } from '../../src/swarm/identity.ts'
import { until } from '../swarm/real-peers.ts'
import { TestWorld } from './world.ts'

/** Hosts of one swarm; every new one is connected to all before it. */
export class Mesh {
  readonly hosts: Host[] = []
  /** What hosts count against others. */
  readonly violations: string[] = []

  async join(): Promise<{ host: Host; identity: Identity }> {
    const identity = identityOf(await generateKeyPair('Ed25519'))
    const secret = new Uint8Array(32).fill(7)
    const host = await Host.start({
      identity,
      secret,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      agent: 'test',
      onViolation: (peer, kind) => this.violations.push(`${peer}: ${kind}`)
    })
    for (const other of this.hosts) {
      await host.dial(
        other.addresses.map(a => multiaddr(a)),
        { signal: AbortSignal.timeout(5000) }
      )
      // The dialling end is ready a moment before the other one.
      await until(() => other.connectedPeers.has(host.self), 'the connection is open at both ends')
    }
    this.hosts.push(host)
    return { host, identity }
  }

  /** Peers that serve these ranges. */
  async world(ranges: readonly (readonly [number, number])[]): Promise<TestWorld> {
    const world = new TestWorld({ verify: verifySignature })
    for (const [start, end] of ranges) {
      const { host, identity } = await this.join()
      await world.add('', start === end ? [] : [{ start, end }], { links: host, sign: identity.sign })
    }
    return world
  }

  async stop(): Promise<void> {
    await Promise.all(this.hosts.splice(0).map(host => host.stop()))
  }
}
