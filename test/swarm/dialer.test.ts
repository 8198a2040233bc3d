import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { hearsayCandidatesMax, hearsayDialsMax } from '../../src/swarm/limits.ts'
import { Dialer, type Need } from '../../src/swarm/dialer.ts'
import { until } from './real-peers.ts'

const self = '12D3KooWB' as PeerId
const far = '12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X' as PeerId

describe('the dialer', () => {
  /** A dialer whose dials always fail, or never end, and what it did. */
  function dialer(outcome: 'fail' | 'hang') {
    const dials: { readonly address: string; readonly atMs: number }[] = []
    let open = 0
    let openMax = 0
    const made = new Dialer({
      self,
      linked: () => new Set(),
      link: async () => true,
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

  it('tries what nobody signed after what was signed, and hurries nothing for it', async () => {
    const { made, dials } = dialer('fail')
    const flood = setInterval(() => {
      const port = 1000 + Math.floor(Math.random() * 60_000)
      made.offer(far, [`/ip4/127.0.0.1/tcp/${port}`], 'mdns', 'vouched')
      made.offer(far, ['/ip4/127.0.0.1/tcp/99'], 'neighbours', 'hearsay')
    }, 5)
    made.offer(far, ['/ip4/127.0.0.1/tcp/1'], 'records')
    await until(() => dials.filter(({ address }) => address.includes('/tcp/1/')).length === 3, 'three attempts')
    clearInterval(flood)
    const at = dials.filter(({ address }) => address.includes('/tcp/1/')).map(({ atMs }) => atMs)
    expect(at[1]! - at[0]!).toBeGreaterThan(300)
    expect(at[2]! - at[1]!).toBeGreaterThan(700)
    // After the first one, which knew of no others, each attempt goes to them second.
    const order = dials.map(({ address }) => address.includes('/tcp/1/'))
    expect(order).toEqual([true, true, false, true, ...order.slice(4)])
    expect(order.filter(signed => !signed).length).toBeLessThanOrEqual(2)
    expect(dials.some(({ address }) => address.includes('/tcp/99/'))).toBe(false)
    made.stop()
  })

  it('of whom there is only hearsay takes few dials, and is soon forgotten', async () => {
    const { made, dials, openMax } = dialer('hang')
    const nobody = (i: number): PeerId => `12D3KooW${String(i).padStart(44, 'a').replaceAll('0', 'b')}` as PeerId
    for (let i = 0; i < 900; i++) made.offer(nobody(i), ['/ip4/127.0.0.1/tcp/1'], 'mdns', 'hearsay')
    expect(made.stateOf('mdns').known).toBe(hearsayCandidatesMax)
    await until(() => dials.length === hearsayDialsMax, 'two dials')
    made.offer(far, ['/ip4/127.0.0.1/tcp/2'], 'mdns', 'vouched')
    await until(() => dials.length === hearsayDialsMax + 1, 'the third is of a member')
    expect(dials.at(-1)!.address).toContain(far)
    expect(openMax()).toBe(hearsayDialsMax + 1)
    made.stop()
  })

  it('asks for the peer that is meant, whatever an address has at its end', async () => {
    const { made, dials } = dialer('fail')
    made.offer(
      far,
      ['/ip4/127.0.0.1/tcp/1/p2p/12D3KooWD1kSe7NGkaX5W6Zkcy19PibgYbwQZQwoMEbRi6Bd6Smt'],
      'mdns',
      'vouched'
    )
    await until(() => dials.length === 1, 'an attempt')
    expect(dials[0]!.address).toBe(`/ip4/127.0.0.1/tcp/1/p2p/${far}`)
    made.stop()
  })
})

describe('whom this peer needs', () => {
  it('R24: is dialled beyond the neighbours that it looks for: a contact is connected and no more, a neighbour is asked', async () => {
    const [neighbours, connected] = [new Set<PeerId>(['12D3KooWA' as PeerId]), new Set<PeerId>()]
    const asked: PeerId[] = []
    const needs: [Need, boolean][] = []
    const made = new Dialer({
      self,
      linksMax: 1,
      linked: () => neighbours,
      connected: () => connected,
      link: async peer => {
        asked.push(peer)
        neighbours.add(peer)
        return true
      },
      dial: async () => {
        connected.add(far)
        return far
      },
      onNeed: (_peer, as, isNeeded) => void needs.push([as, isNeeded])
    })
    made.start()
    const offer = { addresses: ['/ip4/127.0.0.1/tcp/1'], way: 'test' }
    made.offer(far, offer.addresses, offer.way)
    made.need(far, 'contact', { ...offer, forMs: 60_000 })
    await until(() => connected.has(far), 'it is connected')
    expect(made.isNeeded(far, 'contact')).toBe(true)
    // Its connection breaks: it is dialled again, and there is none of a neighbour to ask for.
    connected.delete(far)
    made.lost(far)
    await until(() => connected.has(far), 'it is connected again')
    expect(asked).toEqual([])
    made.need(far, 'neighbour', { ...offer, forMs: 60_000 })
    await until(() => asked.length === 1, 'it is asked')
    made.need(far, 'contact', { ...offer, forMs: 0 })
    await until(() => !made.isNeeded(far, 'contact'), 'its time is over')
    expect(needs).toEqual([
      ['contact', true],
      ['neighbour', true],
      ['contact', false]
    ])
    made.stop()
  })
})
