/** A stage under load in the simulator: copied within a minute and a half, let go of long after, and still under load that comes and goes. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseScenario } from '../../sim/scenario.ts'
import type { ScenarioFile } from '../../sim/scenario-fields.ts'
import { World } from '../../sim/world.ts'
import { coolWindowMs } from '../../src/route/limits.ts'

const file = JSON.parse(
  readFileSync(new URL('../../sim/scenarios/hot-stage.json', import.meta.url), 'utf8')
) as ScenarioFile & { readonly minutes: number }

interface Told {
  /** When peers began to load layers, and when they served them, after the start of the swarm, in seconds. */
  readonly loads: readonly number[]
  readonly serves: readonly number[]
  /** Of the answers that were asked for within a stretch of time: the median of how long they took, in seconds. */
  took(fromS: number, toS: number): number
}

async function live(scenario: object, seed: number): Promise<Told> {
  const [loads, serves]: [number[], number[]] = [[], []]
  const asked = new Map<string, number>()
  const answers: { readonly atS: number; readonly tookS: number }[] = []
  const world = new World({
    scenario: parseScenario(scenario, 'hot-stage'),
    seed,
    onLine: line => {
      const [at, first, verb, third] = line.trim().split(' ')
      const atS = Number(at)
      if (third === 'layers' && atS > 60 && verb === 'loads') loads.push(atS)
      if (third === 'layers' && atS > 60 && verb === 'serves') serves.push(atS)
      if (verb === 'asks') asked.set(third!.replace(':', ''), atS)
      const askedS = verb === 'stopped' ? asked.get(first!) : undefined
      if (askedS !== undefined) answers.push({ atS: askedS, tookS: atS - askedS })
    }
  })
  await world.run()
  return {
    loads,
    serves,
    took: (fromS, toS) => {
      const within = answers.filter(({ atS }) => atS >= fromS && atS < toS).map(({ tookS }) => tookS)
      expect(within.length).toBeGreaterThan(5)
      return within.sort((a, b) => a - b)[Math.floor(within.length / 2)]!
    }
  }
}

test('is copied, let go of, and copied again once for load that comes every other minute', async () => {
  const { loads, serves, took } = await live(file, 1)
  // From 120 s to 420 s more is asked for than three copies can give; from 900 s on so in every other minute.
  const [copied, letGo, again, ...more] = loads
  expect(copied).toBeGreaterThan(120)
  expect(copied).toBeLessThan(180)
  // 20 s of it is the load itself.
  expect(serves[0]).toBeLessThan(210)
  expect(letGo).toBeGreaterThan(420 + coolWindowMs / 1000 - 60)
  expect(letGo).toBeLessThan(420 + coolWindowMs / 1000 + 120)
  expect(again).toBeGreaterThan(900)
  expect(again).toBeLessThan(1_080)
  // Ten minutes of load that comes and goes: one move.
  expect(more).toEqual([])
  // Before, answers wait for one another, longer and longer; with the copy they do not.
  const [before, after] = [took(150, serves[0]!), took(300, 420)]
  expect(before / after).toBeGreaterThan(1.25)
}, 300_000)

test('without anybody who could copy it, answers go on waiting', async () => {
  const [box, station] = file.peers as [object, object]
  const short = {
    ...file,
    minutes: 10,
    peers: [
      { ...box, count: 3 },
      { ...station, count: 3 }
    ],
    workload: [file.workload![0]]
  }
  const { loads, took } = await live(short, 1)
  expect(loads).toEqual([])
  expect(took(300, 420) / took(120, 150)).toBeGreaterThan(2)
}, 300_000)
