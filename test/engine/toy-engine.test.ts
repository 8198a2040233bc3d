import { describe, expect, it } from 'vitest'
import { toyEngine } from '../../sim/toy-engine.ts'
import { toyTokens } from '../../sim/toy-text.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { greedy, sessionId, through } from './pipeline.ts'

const model = { layers: 6, vocab: 50_000, hidden: 10, edge: 'bf16', contextMax: 512 } as const
const session = sessionId(1)
const prompt = [3, 1, 4, 1, 5, 9, 2, 6]

async function three(): Promise<[Engine, Engine, Engine]> {
  const engines: Engine[] = [
    [0, 2],
    [2, 3],
    [3, 6]
  ].map(([start, end]) => toyEngine({ model, start: start!, end: end!, cacheBytesMax: 1 << 20 }))
  for (const engine of engines) await engine.open(session, { tokensMax: 64, sampling: greedy })
  return engines as [Engine, Engine, Engine]
}

describe('the toy engine', () => {
  it('answers what the oracle says, in parts', async () => {
    const engines = await three()
    const want = toyTokens(model, prompt, greedy, 20)
    const seen = [await through(engines, session, 0, prompt, true)]
    while (seen.length < want.length) {
      seen.push(await through(engines, session, prompt.length + seen.length - 1, [seen.at(-1)!], true))
    }
    expect(seen).toEqual(want)
    expect(new Set(want).size).toBe(want.length)
  })

  it('answers wrongly where one hop has caches of another type', async () => {
    for (const types of [
      ['i8', 'i8'],
      ['i8', 'f32'],
      ['f32', 'i8']
    ] as const) {
      const engines = [0, 1].map(i => toyEngine({ model, start: 3 * i, end: 3 * i + 3, cacheBytesMax: 1 << 20 }))
      for (const [i, cache] of types.entries())
        await engines[i]!.open(session, { tokensMax: 64, sampling: greedy, cache })
      const id = await through(engines, session, 0, prompt, true)
      const want = ([...new Set(types)] as const).map(cache => toyTokens(model, prompt, greedy, 1, cache)[0])
      if (want.length === 1) expect(id).toBe(want[0])
      else expect(want).not.toContain(id)
    }
  })

  it('answers wrongly, at once and for good, when a step was lost, doubled, reordered or stale', async () => {
    const want = toyTokens(model, prompt, greedy, 4)
    const edges: Record<string, (a: Uint8Array, b: Uint8Array) => Uint8Array[]> = {
      // The steps of the tokens at 0 to 3 and at 4 to 7 on their way from the first engine to the second.
      right: (a, b) => [a, b],
      doubled: (a, _b) => [a, a],
      reordered: (a, b) => [b, a],
      stale: (a, b) => [a.map((byte, i) => (i === 4 ? byte ^ 1 : byte)), b]
    }
    for (const [fault, deliver] of Object.entries(edges)) {
      const [head, middle, tail] = await three()
      const steps: Uint8Array[] = []
      for (const at of [0, 4]) await through([head, tail], session, at, prompt.slice(at, at + 4), false, steps)
      const rows = deliver(steps[0]!, steps[1]!)
      const out: number[] = []
      for (const [i, bytes] of rows.entries()) {
        const signal = new AbortController().signal
        const step = { session, position: 4 * i, tokens: 4, sample: false } as const
        const to = await middle.run({ ...step, input: { kind: 'hidden', bytes } }, { signal })
        if (to.kind !== 'hidden') throw new Error('the middle hands on hidden states')
        const last = await tail.run({ ...step, sample: true, input: to }, { signal })
        if (last.kind === 'tokens') out.push(...last.ids)
      }
      for (const at of [8, 9]) out.push((await through([head, middle, tail], session, at, [want[at - 8]!], true))!)
      const good = out.slice(1).map((id, i) => id === want[i])
      expect(good, fault).toEqual(fault === 'right' ? [true, true, true] : [false, false, false])
    }
  })
})
