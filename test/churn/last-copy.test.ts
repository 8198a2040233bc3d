/** Every copy of some layer is lost in mid-answer, with real processes: the answer waits, says so, and goes on; or fails in time. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Peer, SessionFailedError } from '../../src/index.ts'
import { waitTellMs } from '../../src/session/limits.ts'
import type { AnswerPlan } from './plan.ts'
import { Reference, Runner } from './run.ts'
import { layouts, startAlone, World } from './world.ts'

// Processes start and load, beside whatever else this machine does.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 })

const { signal } = new AbortController()
const plan: AnswerPlan = {
  index: 0,
  prompt: 'Once upon a time',
  maxTokens: 100,
  temperature: 0.8,
  topP: 0.9,
  seed: 7,
  faults: [{ way: 'last', at: 0.3, delayMs: 2, hop: 0, pair: false, againMs: null, backSoon: false }]
}
let folder = ''
let alone: Peer
let world: World
let expected: readonly number[]
/** What the swarm did, for a failure. */
const story: string[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-last-copy-'))
  alone = await startAlone(folder, signal)
  expected = await new Reference(alone).of(plan, signal)
  world = await World.start(layouts.find(({ name }) => name === 'four')!, { signal })
})
afterAll(async () => {
  await world?.stop()
  await alone?.stop()
  rmSync(folder, { recursive: true, force: true })
})

it('the answer waits until placement has made another copy, says so, and has the same tokens', async () => {
  const runner = new Runner(world, plan, line => void story.push(line))
  const result = await runner.run(expected, signal)
  // First, since the next test needs everybody, whatever this one finds.
  await runner.heal(signal)
  const what = story.join('\n')
  expect(result, what).toMatchObject({ identical: true, exact: true, tokensLost: 0, blamed: [], failure: undefined })
  const [injection] = result.injections
  expect(injection, what).toMatchObject({ way: 'last' })
  expect(injection!.pauseMs, what).toBeGreaterThan(0)
  // A wait that is over within a second or so needs no words; another copy may be there as soon as that.
  if (injection!.pauseMs! > 2 * waitTellMs) {
    expect(injection, what).toMatchObject({ told: true })
    expect(what).toMatch(/waiting: .*layers? \d/)
  }
})

it('where nobody has room for the layers it fails at its deadline, says which they are, and keeps the text', async () => {
  const killed = world.peers.slice(0, 3)
  const ids: number[] = []
  let text = ''
  let waited = ''
  const generation = world.driver.generate(plan.prompt, { ...plan, topK: 0, waitMs: 3_000, signal })
  const failure = await (async () => {
    for await (const event of generation.events()) {
      if (event.event === 'token') {
        text += event.text
        if (ids.push(event.id) === 20) for (const peer of killed) peer.kill()
      } else if (event.event === 'waiting') waited = event.message
    }
  })().then(
    () => undefined,
    (error: SessionFailedError) => error
  )
  expect(failure).toMatchObject({ name: 'SessionFailedError', text })
  expect(failure!.message).toMatch(/layers? \d.* nobody/)
  expect(waited).toMatch(/layers? \d.* nobody/)
  expect(ids.length).toBeGreaterThanOrEqual(20)
  expect(ids).toEqual(expected.slice(0, ids.length))
  for (const peer of killed) {
    await peer.ended()
    peer.start()
  }
  await world.calm(signal)
  // The swarm is none the worse for it.
  const after = new Runner(world, { ...plan, faults: [] }, () => {})
  expect(await after.run(expected, signal)).toMatchObject({ identical: true, failure: undefined })
})
