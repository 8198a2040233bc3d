/**
 * With drafts the answer has the same tokens as without, whatever is proposed and whoever is lost in the middle of a lap: real
 * services over links in memory, and engines whose every token depends on all tokens before.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { randomAt } from '../../src/base/rng.ts'
import type { Range } from '../../src/base/ids.ts'
import { proposalKinds } from '../../src/session/drafter.ts'
import type { SessionParts } from '../../src/session/parts.ts'
import { collect, greedy, peerId, prompt, promptScoresIn, scoresIn, TestWorld, toy } from './world.ts'

const answerTokens = 40

/** Shows whole seconds alone: laps take no time, so that how many drafts there are depends on the proposals and on nothing else. */
const coarse: Clock = { ...systemClock, nowMs: () => Math.floor(systemClock.nowMs() / 1000) * 1000 }

/** Proposes what the answer is, each token right by `share`, as if it were as sure as it happens to be. */
function oracle(
  all: readonly number[],
  share: number,
  seed: number
): Pick<SessionParts, 'drafter' | 'knowsDrafts' | 'clock'> {
  return {
    clock: coarse,
    knowsDrafts: () => true,
    drafter: () => ({
      propose: (ids, count) => ({
        ids: Array.from({ length: count }, (_, i) => {
          const at = ids.length + i
          const right = all[at] ?? 0
          return randomAt(seed, at) < share ? right : (right + 1) % toy.vocab
        }),
        kind: ids.length % proposalKinds
      })
    })
  }
}

function cut(borders: readonly number[]): Range[] {
  const all = [
    0,
    ...new Set(borders.filter(border => border > 0 && border < toy.layers).sort((a, b) => a - b)),
    toy.layers
  ]
  return all.slice(1).map((end, i) => ({ start: all[i]!, end }))
}

const scene = fc.record({
  promptTokens: fc.integer({ min: 1, max: 300 }),
  borders: fc.array(fc.nat({ max: toy.layers })),
  temperature: fc.constantFrom(0, 0.8),
  /** What the tail draws is then a function of the ids so far, too (rule S36). */
  logprobs: fc.constantFrom(undefined, 0, 3),
  promptLogprobs: fc.constantFrom(undefined, undefined, 0, 2),
  penalties: fc.constantFrom({}, { presencePenalty: 1.5, repetitionPenalty: 1.2 }, { minP: 0.1, logitBias: { 7: 2 } }),
  seed: fc.nat({ max: 1000 }),
  share: fc.integer({ min: 0, max: 20 }).map(twentieths => twentieths / 20),
  /** Hops that are lost, and at which of their steps. */
  losses: fc.array(fc.record({ hop: fc.nat({ max: toy.layers - 1 }), step: fc.nat({ max: 25 }) }), { maxLength: 3 })
})

test('S32, S38: tokens and log-probabilities equal those without drafts, over random cuts, prompts, samplings, proposals and losses in mid-lap', async () => {
  let taken = 0
  let wrong = 0
  let recovered = 0
  await fc.assert(
    fc.asyncProperty(scene, async ({ promptTokens, borders, temperature, penalties, seed, share, losses, ...told }) => {
      const world = new TestWorld()
      const ranges = cut(borders)
      for (const [i, range] of ranges.entries()) {
        // Each hop and those that may stand in for it, one after the other.
        for (const name of ['a', 'b', 'c', 'd']) await world.add(`${name}${i}`, [range])
      }
      for (const { hop, step } of losses) {
        const victim = world.peers.get(peerId(`a${hop}`))
        if (victim === undefined) continue
        const [probe] = victim.probes
        probe!.beforeRun = () => {
          if (probe!.steps.length >= step) world.kill(victim.id)
        }
      }
      const driver = await world.add('D', [])
      const ids = prompt(promptTokens)
      const sampling = { ...greedy, temperature, seed, ...penalties }
      const want = world.expected(ids, answerTokens, { ...sampling, promptTokens })
      const { logprobs, promptLogprobs } = told
      const asked = {
        ...(logprobs === undefined ? {} : { logprobs }),
        ...(promptLogprobs === undefined ? {} : { promptLogprobs })
      }
      const parts = oracle([...ids, ...want], share, seed)
      const events = await collect(
        world.generate(driver, ids, { maxTokens: answerTokens, ...sampling, ...asked, parts }).events()
      )
      const done = events.at(-1)
      if (done?.event !== 'done') throw new Error('the answer has not ended')
      expect(done.ids).toEqual(want)
      expect(events.flatMap(event => (event.event === 'token' ? [[event.id, event.position]] : []))).toEqual(
        want.map((id, i) => [id, promptTokens + i])
      )
      expect(scoresIn(events)).toEqual(logprobs === undefined ? [] : world.expectedScores(ids, want, logprobs))
      expect(promptScoresIn(events)).toEqual(
        promptLogprobs === undefined ? [] : world.expectedScores(ids.slice(0, 1), ids.slice(1), promptLogprobs)
      )
      taken += done.drafts.taken
      wrong += done.drafts.proposed - done.drafts.taken
      recovered += events.filter(({ event }) => event === 'recovered').length
      expect([...world.peers.values()].flatMap(({ violations }) => violations)).toEqual([])
      await world.stop()
    }),
    { numRuns: 60 }
  )
  expect(taken).toBeGreaterThan(100)
  expect(wrong).toBeGreaterThan(50)
  expect(recovered).toBeGreaterThan(10)
})

test('S32: laps are fewer than tokens where drafts are right', async () => {
  const world = new TestWorld()
  for (const [i, range] of cut([2, 4]).entries()) await world.add(`a${i}`, [range])
  const driver = await world.add('D', [])
  const ids = prompt(20)
  const parts = oracle([...ids, ...world.expected(ids, 100)], 1, 1)
  for (const speculate of [true, false]) {
    const generation = world.generate(driver, ids, { maxTokens: 100, parts, speculate })
    await collect(generation.events())
    const { drafts, hops } = await generation.answer
    const laps = 100 - drafts.taken
    expect(hops.map(({ steps }) => steps)).toEqual([laps, laps, laps])
    if (speculate) expect(laps).toBeLessThan(50)
    else expect(drafts).toEqual({ proposed: 0, taken: 0 })
  }
  await world.stop()
})
