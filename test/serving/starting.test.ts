/** Who may still offer a model that nobody offers, by its record. */
import { describe, expect, it } from 'vitest'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { startingMaxMs } from '../../src/serving/limits.ts'
import { awaited, describeAwaited, type HeardLately } from '../../src/serving/sources.ts'
import { firstContent } from '../../src/swarm/announce-service.ts'
import type { Life, ModelOffer, SwarmRecord } from '../../src/swarm/record.ts'

const hardware = { cores: 1, memoryBytes: 1 << 30, architecture: 'x64', platform: 'linux', cpu: '' }
const lifeOf = (upMs: number): Life => ({ run: '0123456789abcdef', upMs, heard: undefined, yields: false })
const offer: ModelOffer = {
  model: 'ab'.repeat(32) as ModelId,
  name: 'fox',
  layers: 2,
  held: [],
  embedding: false,
  head: false,
  visitMs: 1,
  layerMs: 1,
  numericClass: '',
  pinned: null
}

/** A neighbour that gives memory, said a second ago that it had run for one, and has offered nothing. */
function heard(peer: string, record: Partial<SwarmRecord> = {}, more: Partial<HeardLately> = {}): HeardLately {
  const content = { ...firstContent(hardware), budgetBytes: 1 << 26, life: lifeOf(1_000), ...record }
  const known = { ...content, peer: peer as PeerId, seq: 1, ttlMs: 30_000, neighbours: new Set<number>() }
  return { record: known, connected: true, ageMs: 1_000, ...more }
}

const self = 'self' as PeerId

describe('a neighbour that may still offer a model', () => {
  it('is one that gives memory to models, has started lately and has offered none', () => {
    expect(awaited([heard('self'), heard('b'), heard('a')], self, 'fox')).toEqual({ peers: ['a', 'b'], isSaid: false })
  })

  it.each<[string, Partial<SwarmRecord>, Partial<HeardLately>]>([
    ['has offered a model', { models: [offer] }, {}],
    ['says that it is about to offer nothing', { coming: [] }, {}],
    ['says that it is about to offer another one', { coming: [{ model: offer.model, name: 'wolf' }] }, {}],
    ['gives no memory to models', { budgetBytes: 0 }, {}],
    ['is about to go', { leaving: true }, {}],
    ['is not connected', {}, { connected: false }],
    ['had run for long when it said so', { life: lifeOf(startingMaxMs) }, {}],
    ['has run for long since', {}, { ageMs: startingMaxMs - 1_000 }],
    ['is of a version that does not say for how long it has run', { life: undefined as never }, {}]
  ])('is none that %s', (_, record, more) => {
    expect(awaited([heard('a', record, more)], self, 'fox').peers).toEqual([])
  })

  it('counts until the last moment', () => {
    expect(awaited([heard('a', {}, { ageMs: startingMaxMs - 1_001 })], self, 'fox').peers).toEqual(['a'])
  })

  it('is one that says so, however long it has run and whatever it offers already: then nobody else is waited for', () => {
    const coming = [
      { model: 'cd'.repeat(32) as ModelId, name: 'wolf' },
      { model: 'ef'.repeat(32) as ModelId, name: 'fox' }
    ]
    const old = { coming, models: [offer], life: lifeOf(10 * startingMaxMs) }
    for (const wanted of ['fox', 'efefef', 'ef'.repeat(32)]) {
      expect(awaited([heard('b'), heard('a', old)], self, wanted)).toEqual({ peers: ['a'], isSaid: true })
    }
    expect(awaited([heard('b'), heard('a', old)], self, 'hare')).toEqual({ peers: ['b'], isSaid: false })
    expect(awaited([heard('a', old, { connected: false })], self, 'fox').peers).toEqual([])
    expect(awaited([heard('a', { ...old, leaving: true })], self, 'fox').peers).toEqual([])
  })

  it('is named, and how many more there are', () => {
    const peers = ['12D3KooWabcdefgh', '12D3KooWijklmnop'] as PeerId[]
    const said = (count: number, isSaid: boolean): string => describeAwaited({ peers: peers.slice(0, count), isSaid })
    expect(said(1, false)).toBe('…abcdefgh has just started and may offer it')
    expect(said(2, false)).toBe('…abcdefgh and 1 more have just started and may offer it')
    expect(said(1, true)).toBe('…abcdefgh is about to offer it')
    expect(said(2, true)).toBe('…abcdefgh and 1 more are about to offer it')
  })
})
