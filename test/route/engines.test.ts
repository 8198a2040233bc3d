/** Peers whose engines take different amounts of memory: each is planned with its own (records.md R18). */
import { describe, expect, it } from 'vitest'
import { place } from '../../src/route/place.ts'
import { Inflight } from '../../src/route/inflight.ts'
import { Planner } from '../../src/route/planner.ts'
import { roomFor } from '../../src/route/room.ts'
import { placementKey } from '../../src/route/searches.ts'
import { canHold, type ModelShape, shapeAt, stageBytes } from '../../src/route/view.ts'
import { model, peer, peerId, stage } from './worlds.ts'

/** As one engine has the model, and as one that takes three times as much has it. */
const lean = model(6, { cacheTokens: 100 })
const heavy: ModelShape = {
  ...lean,
  layerBytes: new Array(6).fill(30),
  embeddingBytes: 21,
  headBytes: 15,
  cacheBytesPerLayer: 3
}
const footprintOf = ({ layerBytes, embeddingBytes, headBytes, cacheBytesPerLayer }: ModelShape) => ({
  layerBytes: Math.max(...layerBytes),
  embeddingBytes,
  headBytes,
  cacheBytesPerLayer
})
const whole = { start: 0, end: 6 }
const halves = [
  { start: 0, end: 3 },
  { start: 3, end: 6 }
] as const

describe('a peer that says what its engine takes', () => {
  it('is planned with that, by whoever plans', () => {
    const [leanBytes, heavyBytes] = [stageBytes(lean, whole), stageBytes(heavy, whole)]
    const thrifty = peer(1, leanBytes, { footprint: footprintOf(lean) })
    const hungry = peer(2, leanBytes, { footprint: footprintOf(heavy) })
    for (const shape of [lean, heavy]) {
      expect(canHold(thrifty, shape, whole)).toBe(true)
      expect(canHold(hungry, shape, whole)).toBe(false)
      expect(canHold({ ...hungry, budgetBytes: heavyBytes }, shape, whole)).toBe(true)
      expect(canHold({ ...hungry, budgetBytes: heavyBytes - 1 }, shape, whole)).toBe(false)
      expect(place([thrifty], shape).stages.get(thrifty.peer)).toEqual(whole)
      expect(place([hungry], shape).missing).not.toBeNull()
    }
  })

  it('is planned with layers as unequal as their files are', () => {
    const layerFileBytes = [10, 40, 40, 10]
    const [few, many] = [1, 3].map(
      (times): ModelShape => ({
        ...(times === 1 ? lean : heavy),
        layers: 4,
        layerBytes: layerFileBytes.map(bytes => times * bytes),
        layerFileBytes
      })
    ) as [ModelShape, ModelShape]
    const [first, rest] = [
      { start: 0, end: 1 },
      { start: 1, end: 4 }
    ] as const
    // One of the small layers is all that the one has room for, and what is left all that the other one has.
    const small = peer(1, stageBytes(few, first), { footprint: footprintOf(few) })
    const large = peer(2, stageBytes(many, rest), { footprint: footprintOf(many) })
    for (const shape of [few, many]) {
      expect(shapeAt(small, shape).layerBytes).toEqual(few.layerBytes)
      expect(shapeAt(large, shape).layerBytes).toEqual(many.layerBytes)
      expect(canHold(small, shape, first)).toBe(true)
      expect(canHold({ ...small, budgetBytes: small.budgetBytes - 1 }, shape, first)).toBe(false)
      expect(canHold(small, shape, { start: 1, end: 2 })).toBe(false)
      const plan = place([small, large], shape)
      expect(plan.missing).toBeNull()
      expect([plan.stages.get(small.peer), plan.stages.get(large.peer)]).toEqual([first, rest])
      expect(place([small, { ...large, budgetBytes: large.budgetBytes - 1 }], shape).missing).not.toBeNull()
    }
  })

  it('finds the same plan as one with another engine, and neither exceeds a budget', () => {
    const budgets = [40, 75, 120, 60, 200, 90]
    const views = budgets.map((bytes, i) =>
      peer(i, bytes, { footprint: footprintOf(i % 2 === 0 ? lean : heavy), visitMs: 1 + i / 10 })
    )
    const plans = [lean, heavy].map(shape => place(views, shape))
    expect(plans[0]!.stages).toEqual(plans[1]!.stages)
    expect(plans[0]!.missing).toBeNull()
    for (const view of views) {
      const range = plans[0]!.stages.get(view.peer)
      if (range) expect(stageBytes(shapeAt(view, lean), range)).toBeLessThanOrEqual(view.budgetBytes)
    }
  })

  it('loads beside what it has only where its own engine fits both', () => {
    // Both peers serve a half; the other peer goes, so that this one needs the whole.
    for (const [shape, loads] of [
      [lean, true],
      [heavy, false]
    ] as const) {
      const bytes = stageBytes(lean, whole) + stageBytes(lean, halves[0])
      const self = { ...peer(1, bytes, { footprint: footprintOf(shape) }) }
      const planner = new Planner(peerId(1), 0)
      planner.handle({ kind: 'view', peers: [self, peer(2, 1)], model: lean }, 0)
      const effects = planner.handle({ kind: 'tick' }, 10_000)
      const loaded = effects.some(
        effect => effect.kind === 'load' && effect.range.end === 6 && effect.range.start === 0
      )
      expect(loaded).toBe(loads)
    }
  })

  it('has room for as many sessions as its own caches allow', () => {
    const serving = { stages: [{ ...stage(0, 6), cacheBytesFree: 36 }] }
    // 6 layers take 6 bytes for 100 tokens in the one, 18 in the other.
    expect(roomFor([peer(1, 0, { ...serving, footprint: footprintOf(lean) })], heavy, { tokensMax: 100 })).toBe(6)
    expect(roomFor([peer(1, 0, { ...serving, footprint: footprintOf(heavy) })], lean, { tokensMax: 100 })).toBe(2)
    const inflight = new Inflight()
    inflight.add([{ peer: peerId(1), ...whole }], 0, lean, 100)
    expect(inflight.takenBytes(peerId(1), whole, heavy, 1)).toBe(18)
    // Another model's caches at layers of the same numbers are no concern of this one's.
    expect(inflight.takenBytes(peerId(1), whole, { ...heavy, id: 'other' as never }, 1)).toBe(0)
  })

  it('is another view than one that says something else, or nothing', () => {
    const keys = [undefined, footprintOf(lean), footprintOf(heavy)].map(footprint =>
      placementKey([peer(1, 9, { footprint })])
    )
    expect(new Set(keys).size).toBe(3)
  })
})
