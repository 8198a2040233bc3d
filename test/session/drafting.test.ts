/** A draft model's cache follows the text: what it says is what follows the text, whatever it had said before. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SessionId } from '../../src/base/ids.ts'
import type { Drafted } from '../../src/session/event.ts'
import { Drafting } from '../../src/session/drafting-service.ts'
import { toyEngine } from '../../sim/toy-engine.ts'
import { ToyText } from '../../sim/toy-text.ts'
import { greedy, prompt, toy } from './world.ts'

const tokensMax = 400

test('drafts are what follows the text, over texts that follow them and texts that part from them, asked in any order', async () => {
  let parted = 0
  const turn = fc.record({
    /** So many of the drafts come true, then comes another token. */
    right: fc.nat({ max: 9 }),
    /** And then some more, before it is asked anew. */
    more: fc.nat({ max: 6 }),
    count: fc.integer({ min: 1, max: 9 }),
    /** It is asked anew before it has answered. */
    hurry: fc.boolean()
  })
  const scene = fc.record({
    promptTokens: fc.integer({ min: 1, max: 140 }),
    temperature: fc.constantFrom(0, 0.7),
    turns: fc.array(turn, { minLength: 3, maxLength: 12 })
  })
  await fc.assert(
    fc.asyncProperty(scene, async ({ promptTokens, temperature, turns }) => {
      const sampling = { ...greedy, temperature }
      const engine = toyEngine({ model: toy, start: 0, end: toy.layers, cacheBytesMax: 1 << 24 })
      const told: Drafted[] = []
      const drafting = new Drafting({
        model: { name: 'small', vocab: toy.vocab, contextMax: toy.contextMax, engine, tokenMs: 0, onFailed: () => {} },
        session: '0a'.repeat(16) as SessionId,
        tokensMax,
        sampling,
        owner: 'me',
        onDrafted: drafted => told.push(drafted),
        onGone: message => expect.unreachable(`it drafts no more: ${message}`)
      })
      const text = prompt(promptTokens)
      const follows = (length: number, count: number): number[] =>
        new ToyText(toy, sampling).after(text.slice(0, length), count)
      for (const { right, more, count, hurry } of turns) {
        drafting.ask({ text, length: text.length, count })
        if (!hurry) {
          const { length } = text
          await expect
            .poll(() => (told.findLast(each => each.length === length)?.ids.length ?? 0) >= count, { interval: 1 })
            .toBe(true)
        }
        const next = follows(text.length, right + 1)
        next[right] = (next[right]! + 1) % toy.vocab
        parted++
        text.push(...next, ...prompt(more))
      }
      for (const { length, ids } of told) expect(ids).toEqual(follows(length, ids.length))
      drafting.stop()
      await expect.poll(() => engine.cacheBytesUsed).toBe(0)
    }),
    { numRuns: 40 }
  )
  expect(parted).toBeGreaterThan(100)
})
