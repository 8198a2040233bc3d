/** What routing takes of a record. */
import { expect, test } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import { meshMax } from '../../src/limits.ts'
import { areApart, viewOf } from '../../src/route/view.ts'
import { peerHint, type SwarmRecord } from '../../src/swarm/record.ts'
import { drawPeerId } from '../../sim/cast.ts'
import { Chance } from '../../sim/chance.ts'

const model = 'ab'.repeat(32) as ModelId
const [a, b, c] = [1, 2, 3].map(seed => drawPeerId(new Chance(seed)))

function view(peer: typeof a, neighbours: readonly number[]) {
  const record: SwarmRecord = {
    peer: peer!,
    seq: 1,
    ttlMs: 30_000,
    addresses: [],
    agent: '',
    hardware: { cores: 1, memoryBytes: 1, architecture: 'x64', platform: 'linux', cpu: '' },
    budgetBytes: 1,
    models: [
      {
        model,
        name: 'm',
        layers: 2,
        held: [],
        embedding: false,
        head: false,
        visitMs: 1,
        layerMs: 1,
        numericClass: 'a',
        pinned: null
      }
    ],
    stages: [],
    load: { sessions: 0, queuedSteps: 0 },
    battery: null,
    leaving: false,
    neighbours: new Set(neighbours)
  }
  return viewOf(record, model)!
}

test('two peers are apart only where both say whom they reach and neither names the other', () => {
  const [hintA, hintB, hintC] = [a, b, c].map(peer => peerHint(peer!))
  expect(areApart(view(a, [hintC!]), view(b, [hintC!]))).toBe(true)
  // A record is some seconds old: one of them knows more.
  expect(areApart(view(a, [hintC!, hintB!]), view(b, [hintC!]))).toBe(false)
  expect(areApart(view(a, [hintC!]), view(b, [hintC!, hintA!]))).toBe(false)
  expect(areApart(view(a, []), view(b, [hintC!]))).toBe(false)
  // Who has all the connections that it makes dials whoever it needs besides.
  const full = Array.from({ length: meshMax }, (_, i) => i)
  expect(areApart(view(a, full), view(b, [hintC!]))).toBe(false)
})
