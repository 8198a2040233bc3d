import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import {
  loopBurstMs,
  loopBytesPerMs,
  loopDebtMaxMs,
  loopOthersMs,
  loopPauseMaxMs,
  loopShareRatio,
  loopWantedBytesPerMs,
  loopWantedFactor
} from '../../src/swarm/limits.ts'
import { LoopShares } from '../../src/swarm/loop-shares.ts'

const [flooder, honest] = ['flooder', 'honest'] as PeerId[] as [PeerId, PeerId]

/** A loop that reads on whenever it may, for so long; sessions of another peer run meanwhile where `isBusy`. */
function flooded(shares: LoopShares, { ms, chunkMs, isBusy }: { ms: number; chunkMs: number; isBusy: boolean }) {
  let [nowMs, spentMs] = [0, 0]
  while (nowMs < ms) {
    if (isBusy) shares.wanted(honest, { ms: 0.1, bytes: 600 }, nowMs)
    nowMs += chunkMs
    spentMs += chunkMs
    shares.spent(flooder, { ms: chunkMs, bytes: 0 }, nowMs)
    const pauseMs = shares.pauseMs(flooder, nowMs)
    expect(pauseMs).toBeLessThanOrEqual(loopPauseMaxMs)
    nowMs += pauseMs
  }
  return spentMs
}

describe('what one peer takes of the loop', () => {
  it('is all of it while nobody else has sessions here', () => {
    expect(flooded(new LoopShares(), { ms: 10_000, chunkMs: 2, isBusy: false })).toBeCloseTo(10_000, -1)
  })

  it('is its part, and a burst, while others have', () => {
    const spentMs = flooded(new LoopShares(), { ms: 60_000, chunkMs: 2, isBusy: true })
    expect(spentMs).toBeLessThanOrEqual(loopBurstMs + 60_000 * loopShareRatio + 2)
    expect(spentMs).toBeGreaterThan(0.9 * 60_000 * loopShareRatio)
  })

  it('is bytes, too: memory has its cost', () => {
    const shares = new LoopShares()
    shares.wanted(honest, { ms: 0, bytes: 0 }, 0)
    shares.spent(flooder, { ms: 0, bytes: loopBytesPerMs * (loopBurstMs + 4) }, 0)
    expect(shares.pauseMs(flooder, 0)).toBeCloseTo(4 / loopShareRatio)
  })

  it('costs nothing where a session needs it', () => {
    const shares = new LoopShares()
    for (let nowMs = 0; nowMs < 60_000; nowMs += 10) {
      shares.wanted(honest, { ms: 0.1, bytes: 600 }, nowMs)
      // Half of the loop, of which the frames themselves are half.
      shares.spent(flooder, { ms: 5, bytes: 100_000 }, nowMs)
      shares.wanted(flooder, { ms: 2.5, bytes: 100_000 }, nowMs)
      expect(shares.pauseMs(flooder, nowMs)).toBe(0)
    }
    expect(loopWantedFactor * 2.5 + 100_000 / loopWantedBytesPerMs).toBeGreaterThan(5 + 100_000 / loopBytesPerMs)
  })

  it('is forgiven when those others are gone, and what is remembered has a bound', () => {
    const shares = new LoopShares()
    shares.wanted(honest, { ms: 0, bytes: 0 }, 0)
    shares.spent(flooder, { ms: 1e6, bytes: 0 }, 0)
    expect(shares.pauseMs(flooder, 1)).toBe(loopPauseMaxMs)
    expect(shares.pauseMs(flooder, loopOthersMs + 1)).toBe(0)
    shares.wanted(honest, { ms: 0, bytes: 0 }, 60_000)
    const paidMs = loopDebtMaxMs / loopShareRatio + 1
    shares.wanted(honest, { ms: 0, bytes: 0 }, paidMs)
    expect(shares.pauseMs(flooder, paidMs)).toBe(0)
  })

  it('is not what its own sessions make of it: who floods and answers pays for the flood', () => {
    const shares = new LoopShares()
    let pausedMs = 0
    for (let nowMs = 0; nowMs < 10_000; nowMs += 10) {
      shares.wanted(honest, { ms: 0.1, bytes: 600 }, nowMs)
      shares.spent(flooder, { ms: 5, bytes: 0 }, nowMs)
      shares.wanted(flooder, { ms: 0.1, bytes: 600 }, nowMs)
      pausedMs += shares.pauseMs(flooder, nowMs)
    }
    expect(pausedMs).toBeGreaterThan(0)
  })
})
