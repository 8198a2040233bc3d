import { createServer, connect, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { setImmediate as nextRound } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { type LoopPayer, loopWorksFor } from '../../src/base/loop-time.ts'

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

const open: (Server | Socket)[] = []
afterEach(() => {
  for (const each of open.splice(0)) 'destroy' in each ? each.destroy() : each.close()
})

/** Two ends of a connection on loopback. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = connect((server.address() as { port: number }).port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  open.push(server, near, far)
  return [near, far]
}

describe('the time of the loop', () => {
  it('is for whoever sent what it works on, promises of that included', async () => {
    const [near, far] = await pair()
    const a = new Purse()
    const done = new Promise<void>(resolve => {
      far.on('data', () => {
        loopWorksFor(a, performance.now())
        work(20)
        void Promise.resolve()
          .then(() => work(10))
          .then(() => work(10))
          .then(resolve)
      })
    })
    near.write('x')
    await done
    await nextRound()
    expect(a.ms).toBeGreaterThanOrEqual(40)
    expect(a.times).toBe(1)
  })

  it('is not for whoever came before, whatever else happens in that round', async () => {
    const [near, far] = await pair()
    const [other, otherFar] = await pair()
    const a = new Purse()
    let worked = 0
    far.on('data', () => loopWorksFor(a, performance.now()))
    otherFar.on('data', () => {
      work(30)
      worked += 1
    })
    // Both are there when the loop looks: neither it nor what is put off for later is for the first.
    near.write('x')
    other.write('x')
    setImmediate(() => work(30))
    work(10)
    while (a.times === 0 || worked === 0) await nextRound()
    expect(a.ms).toBeLessThan(20)
  })

  it('is shared out where pieces come in one go', async () => {
    const [a, b] = [new Purse(), new Purse()]
    loopWorksFor(a, performance.now())
    work(10)
    loopWorksFor(b, performance.now())
    work(10)
    await nextRound()
    for (const { ms, times } of [a, b]) {
      expect(ms).toBeGreaterThanOrEqual(10)
      expect(times).toBe(1)
    }
  })
})
