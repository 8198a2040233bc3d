import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { recordsMax } from '../../src/limits.ts'
import { InboundChannels } from '../../src/swarm/inbound.ts'
import { channelsInBurstMax, channelsInPerSecondMax } from '../../src/swarm/limits.ts'

const [a, b] = ['a', 'b'] as [PeerId, PeerId]

describe('channels that a peer opens', () => {
  it('are so many at once and a second, whether it has been away or not, and none of anybody else', () => {
    const inbound = new InboundChannels()
    const taken = (peer: PeerId, nowMs: number): number => {
      let count = 0
      while (inbound.take(peer, nowMs) === undefined) count++
      return count
    }
    expect(taken(a, 0)).toBe(channelsInBurstMax)
    expect(inbound.take(a, 0)).toContain(`more than ${channelsInPerSecondMax} channels a second`)
    inbound.forget(a)
    expect(taken(a, 1_000)).toBe(channelsInPerSecondMax)
    expect(taken(b, 1_000)).toBe(channelsInBurstMax)
    // Who has been away the longest is forgotten where there are too many.
    for (let n = 0; n < recordsMax; n++) inbound.take(`peer ${n}` as PeerId, 1_000)
    expect(taken(a, 1_000)).toBe(channelsInBurstMax)
  })
})
