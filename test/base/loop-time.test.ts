import { setImmediate as nextRound, setTimeout as delay } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { loopIsNobodys, type LoopPayer, loopWorksFor } from '../../src/base/loop-time.ts'

class Purse implements LoopPayer {
  ms = 0
  times = 0

  spent(ms: number): void {
    this.ms += ms
    this.times += 1
  }
}

function work(ms: number): void {
  const endMs = performance.now() + ms
  while (performance.now() < endMs);
}

describe('the time of the loop', () => {
  it('is for whoever sent what it works on, promises of that included', async () => {
    const [a, b] = [new Purse(), new Purse()]
    loopWorksFor(a, performance.now())
    work(20)
    void Promise.resolve().then(() => work(10))
    await Promise.resolve()
    await Promise.resolve()
    loopWorksFor(b, performance.now())
    work(5)
    await nextRound()
    expect(a.ms).toBeGreaterThanOrEqual(30)
    expect(b.ms).toBeGreaterThanOrEqual(5)
    expect([a.times, b.times]).toEqual([1, 1])
  })

  it('is nobody\u2019s from the end of a round on', async () => {
    const a = new Purse()
    loopWorksFor(a, performance.now())
    await nextRound()
    const { ms } = a
    work(20)
    await delay(1)
    expect(a.ms).toBe(ms)
  })

  it('is nobody\u2019s where something else happens in between', () => {
    const [a, b] = [new Purse(), new Purse()]
    loopWorksFor(a, performance.now())
    loopIsNobodys()
    const { ms } = a
    work(20)
    loopWorksFor(b, performance.now())
    expect(a.ms).toBe(ms)
    expect(a.times).toBe(1)
    loopIsNobodys()
  })
})
