import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { Dialer, reachable } from '../../src/swarm/dialer.ts'
import { until } from './real-peers.ts'

const self = '12D3KooWB' as PeerId
const far = '12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X' as PeerId

describe('which addresses are dialled', () => {
  const own = [
    { address: '10.0.0.7', cidr: '10.0.0.7/24' },
    { address: '172.17.0.1', cidr: '172.17.0.1/16' }
  ]

  it('not another machine’s loopback, and the same subnet first', () => {
    expect(
      reachable(['/ip4/127.0.0.1/tcp/1', '/ip4/192.168.9.9/tcp/1', '/ip4/10.0.0.8/tcp/1', '/ip4/10.0.0.8/tcp/1'], own)
    ).toEqual(['/ip4/10.0.0.8/tcp/1', '/ip4/192.168.9.9/tcp/1'])
  })

  it('loopback first on the same machine, and where there is nothing else', () => {
    expect(reachable(['/ip4/10.0.0.7/tcp/1', '/ip4/127.0.0.1/tcp/1'], own)).toEqual([
      '/ip4/127.0.0.1/tcp/1',
      '/ip4/10.0.0.7/tcp/1'
    ])
    expect(reachable(['/ip4/127.0.0.1/tcp/1', '/ip6/::1/tcp/1'], own).length).toBe(2)
  })

  it('a bridge that every machine has comes after a true neighbour, and never an address of no host', () => {
    expect(reachable(['/ip4/0.0.0.0/tcp/1', '/ip4/172.17.0.1/tcp/1', '/ip4/10.0.0.8/tcp/1'], own)).toEqual([
      '/ip4/10.0.0.8/tcp/1',
      '/ip4/172.17.0.1/tcp/1'
    ])
  })
})

describe('the dialer', () => {
  /** A dialer whose dials always fail, or never end, and what it did. */
  function dialer(outcome: 'fail' | 'hang') {
    const dials: { readonly address: string; readonly atMs: number }[] = []
    let open = 0
    let openMax = 0
    const made = new Dialer({
      self,
      connected: () => new Set(),
      dial: async ([address], { signal }) => {
        dials.push({ address: String(address), atMs: performance.now() })
        openMax = Math.max(openMax, ++open)
        try {
          if (outcome === 'fail') throw new Error('nobody there')
          await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
          return self
        } finally {
          open--
        }
      }
    })
    made.start()
    return { made, dials, openMax: () => openMax }
  }

  it('waits longer after each failure, and is shown', async () => {
    const { made, dials } = dialer('fail')
    made.offer(far, ['/ip4/127.0.0.1/tcp/1'], 'test')
    // The same news again and again is no reason to hurry.
    const news = setInterval(() => made.offer(far, ['/ip4/127.0.0.1/tcp/1'], 'test'), 20)
    await until(() => dials.length === 3, 'three attempts')
    clearInterval(news)
    const [first, second, third] = dials.map(({ atMs }) => atMs)
    expect(second! - first!).toBeGreaterThan(300)
    expect(third! - second!).toBeGreaterThan(700)
    expect(made.stateOf('test')).toEqual({
      known: 1,
      connected: 0,
      failing: [{ address: '/ip4/127.0.0.1/tcp/1', error: 'nobody there' }]
    })
    made.stop()
  })

  it('tries a new address at once', async () => {
    const { made, dials } = dialer('fail')
    made.offer(far, ['/ip4/127.0.0.1/tcp/1'], 'test')
    await until(() => dials.length === 2, 'two attempts')
    made.offer(far, ['/ip4/127.0.0.1/tcp/2'], 'test')
    await until(() => dials.length === 3, 'the third attempt')
    expect(dials[2]!.address).toContain('/tcp/2/')
    made.stop()
  })

  it('makes one attempt at a time per peer, a bounded number over all, and none to itself', async () => {
    const { made, dials, openMax } = dialer('hang')
    made.offer(self, ['/ip4/127.0.0.1/tcp/1'], 'test')
    for (let i = 0; i < 30; i++) made.offerAddress(`/ip4/127.0.0.1/tcp/${100 + i}`, 'test')
    for (let i = 0; i < 30; i++) made.offerAddress(`/ip4/127.0.0.1/tcp/${100 + i}`, 'test')
    await until(() => dials.length === 8, 'eight dials')
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(dials.length).toBe(8)
    expect(openMax()).toBe(8)
    expect(new Set(dials.map(({ address }) => address)).size).toBe(8)
    made.stop()
  })
})
