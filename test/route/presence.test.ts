import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { disconnectedGraceMs, flapHoldMs, flapMemoryMs, flapsMax } from '../../src/route/limits.ts'
import { Presence, type SeenPeer } from '../../src/route/presence.ts'
import type { PeerView } from '../../src/route/view.ts'

const view = (peer: string): PeerView => ({ peer: peer as PeerId }) as PeerView
const seen = (peer: string, connected: boolean, unreachable = false): SeenPeer => ({
  view: view(peer),
  connected,
  unreachable
})

/** Whom the plans count on. */
class Watch {
  readonly presence = new Presence('me' as PeerId)
  nowMs = 0
  wakeAtMs: number | null = null

  look(...peers: SeenPeer[]): string[] {
    const { views, wakeAtMs } = this.presence.look([seen('me', false), ...peers], this.nowMs)
    this.wakeAtMs = wakeAtMs
    return views.map(({ peer }) => peer).slice(1)
  }

  after(ms: number, ...peers: SeenPeer[]): string[] {
    this.nowMs += ms
    return this.look(...peers)
  }
}

test('this peer itself is always there', () => {
  expect(new Presence('me' as PeerId).look([seen('me', false, true)], 0).views).toHaveLength(1)
})

describe('a peer whose connection closed', () => {
  test('stays in the plans for as long as a reconnect takes', () => {
    const watch = new Watch()
    expect(watch.look(seen('a', true))).toEqual(['a'])
    expect(watch.after(1000, seen('a', false))).toEqual(['a'])
    expect(watch.wakeAtMs).toBe(1000 + disconnectedGraceMs)
    expect(watch.after(disconnectedGraceMs - 1, seen('a', false))).toEqual(['a'])
    expect(watch.after(1, seen('a', false))).toEqual([])
    expect(watch.wakeAtMs).toBeNull()
    expect(watch.after(1, seen('a', true))).toEqual(['a'])
  })

  test('is out at once when it was dialled in vain', () => {
    const watch = new Watch()
    watch.look(seen('a', true))
    expect(watch.after(500, seen('a', false))).toEqual(['a'])
    expect(watch.after(200, seen('a', false, true))).toEqual([])
  })
})

describe('a peer that comes and goes', () => {
  /** Out and back so many times, a second each. */
  function flapping(times: number): Watch {
    const watch = new Watch()
    watch.look(seen('a', true))
    for (let i = 0; i < times; i++) {
      expect(watch.after(1000, seen('a', false, true))).toEqual([])
      const back = watch.after(1000, seen('a', true))
      expect(back).toEqual(i + 1 < flapsMax ? ['a'] : [])
    }
    return watch
  }

  test('is counted on again once it has stayed', () => {
    const watch = flapping(flapsMax)
    expect(watch.wakeAtMs).toBe(watch.nowMs + flapHoldMs)
    expect(watch.after(flapHoldMs - 1, seen('a', true))).toEqual([])
    expect(watch.after(1, seen('a', true))).toEqual(['a'])
  })

  test('is forgiven with time', () => {
    const watch = flapping(flapsMax - 1)
    expect(watch.after(flapMemoryMs, seen('a', false, true))).toEqual([])
    expect(watch.after(100, seen('a', true))).toEqual(['a'])
  })

  test('is remembered while its record is gone', () => {
    const watch = flapping(flapsMax - 1)
    watch.after(1000, seen('a', false, true))
    expect(watch.after(1000)).toEqual([])
    expect(watch.after(1000, seen('a', true))).toEqual([])
  })
})

test('however it comes and goes, plans change no more than a few times a minute for one peer', () => {
  const steps = fc.array(
    fc.record({ ms: fc.integer({ min: 1, max: 4000 }), connected: fc.boolean(), unreachable: fc.boolean() }),
    { minLength: 1, maxLength: 300 }
  )
  fc.assert(
    fc.property(steps, all => {
      const watch = new Watch()
      const changes: number[] = []
      let present = watch.look(seen('a', true)).length
      for (const { ms, connected, unreachable } of all) {
        const now = watch.after(ms, seen('a', connected, unreachable && !connected)).length
        if (now !== present) changes.push(watch.nowMs)
        present = now
      }
      for (const [i, atMs] of changes.entries()) {
        const inMinute = changes.slice(i).filter(ms => ms - atMs <= flapMemoryMs).length
        // Out and in again, as often as is forgiven, and then once per hold.
        expect(inMinute).toBeLessThanOrEqual(2 * (flapsMax + flapMemoryMs / flapHoldMs + 1))
      }
    })
  )
})
