import { expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { memoryChannels } from '../../src/swarm/channel.ts'

it('a frame to oneself arrives after its sender’s turn, before anything that the sender wakes then', async () => {
  const [near, far] = memoryChannels('self' as PeerId, { revision: '1.0.0', frameBytesMax: 100 })
  const order: string[] = []
  far.receive({ onFrame: ([byte]) => order.push(`frame ${byte}`), onClose: () => order.push('closed') })
  near.send(Uint8Array.of(1))
  near.send(Uint8Array.of(2))
  const woken = Promise.resolve().then(() => order.push('woken'))
  order.push('turn over')
  await woken
  expect(order).toEqual(['turn over', 'frame 1', 'frame 2', 'woken'])
  near.send(Uint8Array.of(3))
  await near.close()
  expect(order.slice(4)).toEqual(['frame 3', 'closed'])
})
