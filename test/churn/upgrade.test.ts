/**
 * A swarm of real processes is upgraded to a later version one peer at a time, with answers under way: identical tokens,
 * and nobody is charged, while half of it speaks one revision more than the other half.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Peer } from '../../src/index.ts'
import { laterBuild, laterRevision, laterWord } from './later-build.ts'
import type { AnswerPlan } from './plan.ts'
import { Reference } from './run.ts'
import { layouts, startAlone, World } from './world.ts'

// Processes start and load, beside whatever else this machine does.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 180_000 })

const { signal } = new AbortController()
const plans = [3, 4, 5].map(
  (seed): AnswerPlan => ({
    index: seed,
    prompt: 'Once upon a time',
    maxTokens: 100,
    temperature: 0.8,
    topP: 0.9,
    seed,
    faults: []
  })
)
let folder = ''
let alone: Peer
let world: World
let later = ''
/** Who is being upgraded at this moment. */
let upgraded: string | undefined
/** Protocols that two peers of the later build spoke in its own revision. */
const spoken = new Set<string>()
const expected: (readonly number[])[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-upgrade-'))
  later = await laterBuild(join(folder, 'later'))
  alone = await startAlone(folder, signal)
  const reference = new Reference(alone)
  for (const plan of plans) expected.push(await reference.of(plan, signal))
  world = await World.start(layouts.find(({ name }) => name === 'five')!, {
    signal,
    onLine: (_, line) => {
      if (line.includes(laterWord)) spoken.add(line.slice(line.indexOf(laterWord) + laterWord.length + 1))
    }
  })
})
afterAll(async () => {
  await world?.stop()
  await alone?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Asks one thing after another until it is told to stop; each answer is what one peer alone says. */
function ask(plan: AnswerPlan, want: readonly number[]) {
  let goesOn = true
  const lost: object[] = []
  const answers: boolean[] = []
  const done = (async () => {
    while (goesOn) {
      const ids: number[] = []
      for await (const event of world.driver
        .generate(plan.prompt, { ...plan, topK: 0, waitMs: 60_000, signal })
        .events()) {
        if (event.event === 'token') ids.push(event.id)
        // A peer that ends may, on a busy machine, be cut off before all have gone around it.
        if (event.event === 'lost' && event.peer !== upgraded) lost.push(event)
      }
      answers.push(ids.join() === want.join())
    }
  })()
  return {
    lost,
    answers,
    stop: () => {
      goesOn = false
      return done
    }
  }
}

/** What anybody has found wrong with another. Who ends in the middle of a handshake has done nothing wrong. */
async function violations(): Promise<string[]> {
  const seen = (await world.leftovers(signal)).violations
  return Object.keys(seen).filter(kind => kind !== 'unfinished handshake')
}

it('answers go on, the same, through an upgrade one by one', async () => {
  const askers = plans.map((plan, i) => ask(plan, expected[i]!))
  for (const peer of world.peers) {
    upgraded = peer.id
    peer.leave()
    await peer.ended()
    peer.init.bin = later
    peer.start()
    await world.calm(signal)
  }
  for (const asker of askers) await asker.stop()
  const answers = askers.flatMap(asker => asker.answers)
  expect(answers.length).toBeGreaterThan(5)
  expect(answers.filter(isSame => !isSame)).toEqual([])
  const lost = askers.flatMap(asker => asker.lost as { reason: string; charged: boolean }[])
  // A peer that ends says so; what is charged to a peer is for seconds, and only its own word can bring it about.
  expect(lost.filter(({ reason }) => !['left', 'not-serving', 'no-room', 'slow'].includes(reason))).toEqual([])
  expect(await violations()).toEqual([])
  expect(spoken).toContain(`/skein/stage/${laterRevision}`)
  expect(spoken).toContain(`/skein/records/${laterRevision}`)
  expect(spoken).toContain(`/skein/alive/${laterRevision}`)
})

it('a peer of the later version drives over peers of both', async () => {
  const [first, ...others] = world.peers
  // Back again, as after an upgrade that somebody regrets.
  for (const peer of others.slice(0, 2)) {
    peer.leave()
    await peer.ended()
    delete peer.init.bin
    peer.start()
    await world.calm(signal)
  }
  const { prompt, maxTokens, temperature, topP, seed } = plans[0]!
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...[later, 'ask', prompt, '--data', first!.init.dataDir, '--json', '--max-tokens', String(maxTokens)],
    ...['--temperature', String(temperature), '--top-p', String(topP), '--top-k', '0', '--seed', String(seed)]
  ])
  const events = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as { event: string; id: number })
  expect(events.flatMap(({ event, id }) => (event === 'token' ? [id] : []))).toEqual(expected[0])
  expect(events.filter(({ event }) => event === 'lost')).toEqual([])
  expect(await violations()).toEqual([])
})
