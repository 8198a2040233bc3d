/** Real peers of a test file, over libp2p on loopback: each knows those that were started before it, and all end with their test. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { createPeer, type Peer, type PeerInit } from '../../src/index.ts'
import { putMeasured, takeMeasured } from '../measured.ts'

type LivePeerInit = Omit<PeerInit, 'dataDir'> & { readonly dataDir?: string }

export interface LivePeers {
  /** Those that run, in the order in which they were started. */
  readonly peers: Peer[]
  /** A new folder, which is removed after the test. */
  folder(): Promise<string>
  /** @param init.dataDir @default a new folder */
  start(init: LivePeerInit): Promise<Peer>
}

/**
 * @param name of the folders, for who finds one left behind
 * @param hook `afterAll` where the peers are for all tests of a file @default afterEach
 */
export function livePeers(name: string, hook: (end: () => Promise<void>) => void = afterEach): LivePeers {
  const peers: Peer[] = []
  const folders: string[] = []
  hook(async () => {
    await Promise.all(peers.splice(0).map(peer => peer.stop()))
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
  })
  const folder = async (): Promise<string> => {
    folders.push(await mkdtemp(join(tmpdir(), `skein-${name}-`)))
    return folders.at(-1)!
  }
  return {
    peers,
    folder,
    async start(init) {
      const dataDir = init.dataDir ?? (await folder())
      putMeasured(dataDir)
      const peer = await createPeer({
        mdns: false,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap: peers.flatMap(({ addresses }) => [...addresses]),
        ...init,
        dataDir
      })
      peers.push(peer)
      takeMeasured(dataDir)
      return peer
    }
  }
}
