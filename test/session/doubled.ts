/** A model cut into three, each part at two peers, and answers that a driver reads in virtual time. */
import { vi } from 'vitest'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { peerId, TestWorld } from './world.ts'

/** Two copies of each of three hops, and a driver. */
export async function doubled(linkMs = 1): Promise<TestWorld> {
  const world = new TestWorld({ schedule: (ms, task) => void setTimeout(task, ms), delayMs: () => linkMs })
  for (const start of [0, 2, 4]) {
    for (const copy of ['a', 'b']) await world.add(`${copy}${start}`, [{ start, end: start + 2 }])
  }
  await world.add('D', [])
  return world
}

/** Reads an answer to its end in virtual time; `see` is told of each event. */
export async function readAnswer(
  world: TestWorld,
  ids: Parameters<TestWorld['generate']>[1],
  options: Parameters<TestWorld['generate']>[2],
  see: (event: GenerationEvent) => void = () => {}
): Promise<GenerationEvent[]> {
  const driver = world.peers.get(peerId('D'))!
  const events: GenerationEvent[] = []
  const reading = (async () => {
    for await (const event of world.generate(driver, ids, options).events()) {
      events.push(event)
      see(event)
    }
  })()
  await settle(reading)
  return events
}

/** Lets virtual time pass until the promise settles. */
export async function settle(promise: Promise<unknown>): Promise<void> {
  let isOver = false
  const end = (): void => {
    isOver = true
  }
  promise.then(end, end)
  for (let ms = 0; !isOver && ms < 120_000; ms += 50) await vi.advanceTimersByTimeAsync(50)
  await promise
}

export const tokens = (events: readonly GenerationEvent[]): number[] =>
  events.flatMap(event => (event.event === 'token' ? [event.id] : []))
