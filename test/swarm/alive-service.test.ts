/** Beats over links in memory, on a clock that a test moves: whose wish keeps the channel. */
import { expect, it } from 'vitest'
import { drawPeerId } from '../../sim/cast.ts'
import { Chance } from '../../sim/chance.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { AliveService } from '../../src/swarm/alive-service.ts'
import { aliveUnwantedMs } from '../../src/swarm/liveness-limits.ts'
import { MovedClock } from './moved-clock.ts'

const chance = new Chance(11)
const ids = [drawPeerId(chance), drawPeerId(chance)].sort() as [PeerId, PeerId]

it.each([0, 1] as const)(
  'L1: a contact is needed at its end while the other end keeps it, whichever id is the smaller: %s',
  async keeper => {
    const [kept, keeping] = [ids[1 - keeper]!, ids[keeper]!]
    const clock = new MovedClock()
    const world = new MemoryWorld()
    const state = { isKept: true }
    const silent: PeerId[] = []
    const start = async (self: PeerId, other: PeerId, isKept: () => boolean): Promise<AliveService> => {
      const service = new AliveService({
        links: world.join(self),
        traffic: () => [{ peer: other, bytesIn: 0, bytesOut: 0, watched: false, kept: isKept() }],
        isWanted: isKept,
        onSilent: peer => silent.push(peer),
        onViolation: () => {},
        clock
      })
      await service.start()
      return service
    }
    const near = await start(keeping, kept, () => state.isKept)
    const far = await start(kept, keeping, () => false)
    near.asked(kept)
    await clock.pass(2_000)
    for (let i = 0; i < 20; i++) {
      await clock.pass(1_000)
      expect(far.isNeeded(keeping)).toBe(true)
    }
    expect(near.isNeeded(kept)).toBe(false)
    expect(near.rttMs(kept)).toBeDefined()
    state.isKept = false
    await clock.pass(aliveUnwantedMs + 2_000)
    expect(far.isNeeded(keeping)).toBe(false)
    expect(silent).toEqual([])
    near.stop()
    far.stop()
  }
)
