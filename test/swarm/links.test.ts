import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { Host } from '../../src/swarm/host.ts'
import { identityOf } from '../../src/swarm/identity.ts'
import { linksCompliance } from '../compliance/links.ts'

const secret = new Uint8Array(32).fill(7)

async function startHost(): Promise<Host> {
  const identity = identityOf(await generateKeyPair('Ed25519'))
  return Host.start({ identity, secret, listen: ['/ip4/127.0.0.1/tcp/0'], agent: 'test' })
}

linksCompliance('links over libp2p', async () => {
  const [a, b] = [await startHost(), await startHost()]
  await a.dial([multiaddr(b.addresses[0]!)], { signal: AbortSignal.timeout(5000) })
  return {
    a,
    b,
    stranger: identityOf(await generateKeyPair('Ed25519')).id,
    close: async () => {
      await a.stop()
      await b.stop()
    }
  }
})
