/** Child of `supply.ts`: one peer, which says when it fetches and when it serves. It uses what `npm run build` made. */
import type { PeerInit } from '../../src/index.ts'

// Not a static import: its types would need the build to be there before they can be checked.
const built = '../../dist/src/index.js'
const { createPeer } = (await import(built)) as typeof import('../../src/index.ts')

const say = (kind: string, details: object = {}): void => void process.send?.({ kind, atMs: Date.now(), ...details })

try {
  const peer = await createPeer(JSON.parse(process.argv[2]!) as PeerInit)
  peer.addEventListener('shards:fetch', ({ detail }) =>
    say(detail.tookMs === undefined ? 'fetching' : 'fetched', { bytes: detail.bytes })
  )
  peer.addEventListener('stage:up', () => say('serving'))
  peer.addEventListener('warning', ({ detail }) => say('warning', detail))
  peer.addEventListener('peer:leave', ({ detail }) => say('left', detail))
  say('up', { id: peer.id, addresses: peer.addresses })
  process.on('message', async () => {
    await peer.stop()
    process.exit()
  })
} catch (error) {
  say('failed', { message: `${(error as Error).name}: ${(error as Error).message}` })
  process.exitCode = 1
}
