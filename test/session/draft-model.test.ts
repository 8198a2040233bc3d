/**
 * A draft model changes how soon an answer comes and nothing else: real services over links in memory, engines whose every token
 * depends on all tokens before, and draft models that are always right, always wrong, slow, full, or die.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { Range } from '../../src/base/ids.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { EngineError } from '../../src/errors.ts'
import type { DraftModel, SessionParts } from '../../src/session/parts.ts'
import type { SessionOptions } from '../../src/session/options.ts'
import { toyEngine, type ToyModel } from '../../sim/toy-engine.ts'
import { collect, greedy, peerId, prompt, TestWorld, toy } from './world.ts'

const answerTokens = 60

/** Shows whole seconds alone: laps take no time, so that how many drafts there are depends on the proposals and on nothing else. */
const coarse: Clock = { ...systemClock, nowMs: () => Math.floor(systemClock.nowMs() / 1000) * 1000 }

/** Another number of layers: at every position another token. */
const other: ToyModel = { ...toy, layers: toy.layers + 1 }

interface Drafts {
  readonly parts: Partial<SessionParts>
  readonly engine: Engine
  readonly failures: Error[]
  /** Steps of its engine. */
  readonly steps: () => number
}

function drafting(model: ToyModel, { tokenMs = 0, cacheBytesMax = 1 << 24, clock = coarse } = {}): Drafts {
  const engine = toyEngine({ model, start: 0, end: model.layers, cacheBytesMax })
  const failures: Error[] = []
  let steps = 0
  const run = engine.run.bind(engine)
  engine.run = (step, options) => {
    steps++
    return run(step, options)
  }
  const draftModel: DraftModel = {
    name: 'small',
    vocab: model.vocab,
    engine,
    contextMax: model.contextMax,
    tokenMs,
    onFailed: error => failures.push(error)
  }
  return { parts: { draftModel, knowsDrafts: () => true, clock }, engine, failures, steps: () => steps }
}

const thirds: readonly Range[] = [
  { start: 0, end: 2 },
  { start: 2, end: 4 },
  { start: 4, end: toy.layers }
]

async function worldOf(ranges: readonly Range[], init: ConstructorParameters<typeof TestWorld>[0] = {}) {
  const world = new TestWorld(init)
  for (const [i, range] of ranges.entries()) for (const name of ['a', 'b', 'c']) await world.add(`${name}${i}`, [range])
  return { world, driver: await world.add('D', []) }
}

async function answer(
  { world, driver }: Awaited<ReturnType<typeof worldOf>>,
  ids: readonly number[],
  options: SessionOptions & { parts: Partial<SessionParts> }
) {
  const events = await collect(world.generate(driver, ids, { maxTokens: answerTokens, ...options }).events())
  const done = events.at(-1)
  if (done?.event !== 'done') throw new Error('the answer has not ended')
  return { ...done, events }
}

const scene = fc.record({
  promptTokens: fc.integer({ min: 1, max: 300 }),
  ranges: fc.constantFrom([{ start: 0, end: toy.layers }], thirds),
  temperature: fc.constantFrom(0, 0.8),
  penalties: fc.constantFrom({}, { presencePenalty: 1.5, repetitionPenalty: 1.2 }),
  seed: fc.nat({ max: 1000 }),
  isRight: fc.boolean(),
  losses: fc.array(fc.record({ hop: fc.nat({ max: 2 }), step: fc.nat({ max: 25 }) }), { maxLength: 2 })
})

test('S32: tokens equal those without, whether the model is always right or always wrong, over cuts, samplings and losses', async () => {
  let [taken, wrong, recovered] = [0, 0, 0]
  await fc.assert(
    fc.asyncProperty(scene, async ({ promptTokens, ranges, temperature, penalties, seed, isRight, losses }) => {
      const flock = await worldOf(ranges)
      const { world } = flock
      for (const { hop, step } of losses) {
        const victim = world.peers.get(peerId(`a${hop}`))
        const probe = victim?.probes[0]
        if (victim === undefined || probe === undefined) continue
        probe.beforeRun = () => {
          if (probe.steps.length >= step) world.kill(victim.id)
        }
      }
      const ids = prompt(promptTokens)
      const sampling = { ...greedy, temperature, seed, ...penalties }
      const { parts, engine, failures } = drafting(isRight ? toy : other)
      const { events, drafts, ...done } = await answer(flock, ids, { ...sampling, parts })
      expect(done.ids).toEqual(world.expected(ids, answerTokens, { ...sampling, promptTokens }))
      if (isRight) taken += drafts.taken
      else {
        wrong += drafts.proposed
        expect(drafts.taken).toBeLessThan(5)
      }
      recovered += events.filter(({ event }) => event === 'recovered').length
      expect(failures).toEqual([])
      expect([...world.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
      // The model's own cache goes with the session.
      await expect.poll(() => engine.cacheBytesUsed).toBe(0)
      await world.stop()
    }),
    { numRuns: 60 }
  )
  expect(taken).toBeGreaterThan(500)
  expect(wrong).toBeGreaterThan(20)
  expect(recovered).toBeGreaterThan(5)
})

/** Links of so many ms each way. */
function slowLinks(delayMs: number): ConstructorParameters<typeof TestWorld>[0] {
  const schedule = (ms: number, task: () => void): void => void (ms > 0 ? setTimeout(task, ms) : queueMicrotask(task))
  return { schedule, delayMs: () => delayMs }
}

describe('a draft model', () => {
  test('that is right makes laps fewer than half of the tokens, and none drafts where the answer is to have no drafts', async () => {
    const flock = await worldOf(thirds)
    const ids = prompt(20)
    const { parts, steps } = drafting(toy)
    expect((await answer(flock, ids, { parts, speculate: false })).drafts).toEqual({ proposed: 0, taken: 0 })
    expect(steps()).toBe(0)
    const { drafts, hops, ...done } = await answer(flock, ids, { parts })
    expect(done.ids).toEqual(flock.world.expected(ids, answerTokens))
    for (const hop of hops) expect(hop.steps).toBe(answerTokens - drafts.taken)
    expect(drafts.taken).toBeGreaterThan(answerTokens / 2)
    await flock.world.stop()
  })

  test('that is as slow as the laps is not asked at all', async () => {
    const flock = await worldOf(thirds, slowLinks(2))
    const { parts, steps } = drafting(toy, { tokenMs: 40, clock: systemClock })
    const { drafts } = await answer(flock, prompt(20), { parts })
    expect(drafts).toEqual({ proposed: 0, taken: 0 })
    expect(steps()).toBe(0)
    await flock.world.stop()
  })

  test('that hangs keeps a step waiting once, and not for long', async () => {
    const flock = await worldOf(thirds, slowLinks(5))
    const { parts, engine } = drafting(toy, { tokenMs: 1, clock: systemClock })
    let asked = 0
    engine.run = () => {
      asked++
      return new Promise(() => {})
    }
    const startMs = performance.now()
    const { drafts, ids } = await answer(flock, prompt(4), { parts })
    expect(ids).toEqual(flock.world.expected(prompt(4), answerTokens))
    expect(drafts).toEqual({ proposed: 0, taken: 0 })
    expect(asked).toBe(1)
    // 60 laps of 20 ms, and one wait of a few ms.
    expect(performance.now() - startMs).toBeLessThan(10_000)
    await flock.world.stop()
  })

  test('that dies in mid-answer is told of once, and the answer goes on', async () => {
    const flock = await worldOf(thirds)
    const { parts, engine, failures, steps } = drafting(toy)
    const run = engine.run
    engine.run = async (step, options) => {
      if (steps() >= 12) throw new EngineError('the thread of layers 0-6 ended')
      return run(step, options)
    }
    const { drafts, events, ids } = await answer(flock, prompt(20), { parts })
    expect(ids).toEqual(flock.world.expected(prompt(20), answerTokens))
    expect(drafts.taken).toBeGreaterThan(0)
    const warnings = events.flatMap(event => (event.event === 'warning' ? [event.message] : []))
    expect(warnings).toEqual(['the draft model small drafts no more: the thread of layers 0-6 ended'])
    expect(failures).toHaveLength(1)
    await flock.world.stop()
  })

  test('that has no room for one more session is done without, and nothing is wrong', async () => {
    const flock = await worldOf(thirds)
    const { parts, failures } = drafting(toy, { cacheBytesMax: 10 })
    const { drafts, events, ids } = await answer(flock, prompt(20), { parts })
    expect(ids).toEqual(flock.world.expected(prompt(20), answerTokens))
    expect(drafts).toEqual({ proposed: 0, taken: 0 })
    expect(events.filter(({ event }) => event === 'warning')).toEqual([])
    expect(failures).toEqual([])
    await flock.world.stop()
  })

  test('of a shorter context drafts as far as that goes, and of a larger vocabulary nothing that the model has not', async () => {
    const flock = await worldOf(thirds)
    for (const model of [
      { ...toy, contextMax: 50 },
      { ...toy, vocab: 4 * toy.vocab },
      { ...toy, vocab: 20 }
    ]) {
      const { parts, failures } = drafting(model)
      const { drafts, ids } = await answer(flock, prompt(20), { parts })
      expect(ids).toEqual(flock.world.expected(prompt(20), answerTokens))
      expect(drafts.taken).toBeLessThan(31)
      expect(failures).toEqual([])
    }
    expect([...flock.world.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
    await flock.world.stop()
  })
})
