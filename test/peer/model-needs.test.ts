import { expect, test } from 'vitest'
import { modelContents, modelNeeds, peersNeeded } from '../../src/peer/model-needs.ts'
import { splitBudgets } from '../../src/peer/peer.ts'
import type { Manifest } from '../../src/model/manifest.ts'
import { openStore } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { wasmEngine } from '../../src/engine/wasm/factory.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { type ListedPeer, modelStatuses } from '../../src/peer/status.ts'
import { type ModelShape, stageBytes } from '../../src/route/view.ts'
import { footprintOf, shapeOf } from '../../src/serving/shape.ts'
import type { ModelOffer, SwarmRecord } from '../../src/swarm/record.ts'

const shipped = new URL('../../models/stories15m', import.meta.url).pathname
const { manifest } = asDecoder(await (await openStore({ own: shipped })).resolve('stories15m'))

/** As the shipped one, with another type for each kind of matrix. */
const mixed: Manifest = {
  ...manifest,
  weights: {
    embedding: 'q8-f16',
    layers: Array.from({ length: manifest.config.layers }, (_, layer) => ({
      ...{ q: 'q8-f16', k: 'q8-f16', v: 'q8-f16', o: 'q8-f16', gate: 'q4-f16', up: 'q4-f16' },
      down: layer < 2 ? 'q8-f16' : 'q4-f16'
    }))
  }
}

test('the weights of a model are counted once each, by type', () => {
  const { parameters, weightTypes } = modelContents(manifest)
  // 32,000 × 288, six layers of 4 × 288², 3 × 288 × 768 and two norms, one norm at the end.
  expect(parameters).toBe(32_000 * 288 + 6 * (4 * 288 ** 2 + 3 * 288 * 768 + 2 * 288) + 288)
  expect(weightTypes).toEqual({
    embedding: [{ type: 'q8', matrices: 1 }],
    ...Object.fromEntries(['q', 'k', 'v', 'o', 'gate', 'up', 'down'].map(name => [name, [{ type: 'q8', matrices: 6 }]]))
  })
  expect(modelContents(mixed)).toMatchObject({
    parameters,
    weightTypes: {
      v: [{ type: 'q8-f16', matrices: 6 }],
      down: [
        { type: 'q4-f16', matrices: 4 },
        { type: 'q8-f16', matrices: 2 }
      ]
    }
  })
})

test('what it needs is what peers reserve for it', () => {
  const needs = modelNeeds(manifest)
  const [whole] = splitBudgets({ manifest }, 1)
  // Keys and values of 6 layers of 6 heads, each of 48 numbers of 4 bytes.
  expect(needs).toMatchObject({ engine: 'wasm', wholeBytes: whole, cacheBytesPerToken: 6 * 2 * 6 * 48 * 4 })
  expect(modelNeeds(manifest, [{ ...wasmEngine, supports: () => 'it cannot add' }])).toEqual({
    refusal: 'no engine of this peer computes stories15m (wasm: it cannot add)'
  })
})

test('as few peers are needed as any cut leaves', () => {
  const shape = shapeOf(manifest, wasmEngine.footprint(manifest))
  const { layers } = manifest.config
  /** Fewest stages that cover layers from `start` on, over all cuts. */
  const fewest = (start: number, memoryBytes: number): number => {
    if (start === layers) return 0
    let least = Number.POSITIVE_INFINITY
    for (let end = start + 1; end <= layers; end++) {
      if (stageBytes(shape, { start, end }) <= memoryBytes) least = Math.min(least, 1 + fewest(end, memoryBytes))
    }
    return least
  }
  const [whole] = splitBudgets({ manifest }, 1)
  const found = new Set<number | undefined>()
  for (let memoryBytes = whole! + 1e5; memoryBytes > 0; memoryBytes -= 1e5) {
    const peers = peersNeeded(manifest, memoryBytes)
    expect(peers ?? Number.POSITIVE_INFINITY).toBe(fewest(0, memoryBytes))
    found.add(peers)
  }
  expect(peersNeeded(manifest, whole!)).toBe(1)
  expect(found.has(1) && found.has(2) && found.has(undefined)).toBe(true)
})

test('what it takes is known from the record of a peer that computes it, within some percent', () => {
  const shape = shapeOf(manifest, wasmEngine.footprint(manifest))
  const offer = { model: shape.id, name: shape.name, layers: shape.layers, footprint: footprintOf(shape) } as ModelOffer
  const listed = (id: string, budgetBytes: number, models: ModelOffer[]): ListedPeer => {
    const record = { peer: id, budgetBytes, models, stages: [] } as unknown as SwarmRecord
    return { record, addresses: [], ageMs: 0, connected: true }
  }
  const whole = stageBytes(shape, { start: 0, end: shape.layers })
  const of = (own: number, theirs: number, known?: { shape: ModelShape; missing: null }) =>
    modelStatuses([listed('a', own, []), listed('b', theirs, [offer])], 'a' as PeerId, () => known)[0]!.needs!
  const heard = of(0.8 * whole, 2 * whole)
  expect(heard.budgetBytes).toBe(0.8 * whole)
  expect(heard.wholeBytes).toBeGreaterThan(0.95 * whole)
  expect(heard.wholeBytes).toBeLessThan(1.05 * whole)
  expect(heard.peers).toBe(peersNeeded(manifest, 0.8 * whole))
  expect(of(0, 2 * whole)).toMatchObject({ budgetBytes: 2 * whole, peers: 1 })
  expect(of(shape.layerBytes[0]! / 2, 0).peers).toBe(null)
  expect(of(whole, 0, { shape, missing: null })).toEqual({ wholeBytes: whole, budgetBytes: whole, peers: 1 })
  const silent = { ...offer, footprint: undefined }
  expect(modelStatuses([listed('b', 9, [silent])], 'a' as PeerId, () => undefined)[0]!.needs).toBe(null)
})
