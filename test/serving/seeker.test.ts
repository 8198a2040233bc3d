/** Models that are not here, found with real peers on loopback: whose names, whose ids, and what is said meanwhile. */
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import { seekRetryMs } from '../../src/serving/limits.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { type Outlook, Seeker } from '../../src/serving/seeker.ts'
import { connectedCount, until } from '../swarm/real-peers.ts'
import { type Holder, ModelHolders, offer, signal } from './model-holders.ts'

interface Peer extends Holder {
  readonly seeker: Seeker
}

let world: ModelHolders

async function start(name: string): Promise<Peer> {
  const holder = await world.start(name)
  return { ...holder, seeker: new Seeker(holder) }
}

const hears = ({ swarm }: Peer, ...ids: ModelId[]): boolean => {
  const heard = new Set(swarm.records().flatMap(({ record }) => record.models.map(({ model }) => model)))
  return ids.every(id => heard.has(id))
}
const short = ({ id }: StoredModel): string => id.slice(0, 12)

beforeEach(async () => {
  world = await ModelHolders.create()
})
afterEach(() => world.close())

describe('a model that is asked for', () => {
  it('comes from the store, and from nobody else where only that has it', async () => {
    const peer = await start('a')
    const model = await world.give(peer, 1)
    for (const name of ['fox', model.id, model.id.slice(0, 6)]) {
      expect((await peer.seeker.find(name, { signal: signal() })).id).toBe(model.id)
    }
    await expect(peer.seeker.find('wolf', { signal: signal() })).rejects.toMatchObject({
      name: 'UnknownModelError',
      message: `no model 'wolf': there are fox (${short(model)}); and no live peer offers it`
    })
  })

  it('comes from a live peer with its tokenizer and without its weights, and stays', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const model = await world.give(holder, 1)
    offer(holder, model)
    await until(() => hears(peer, model.id), 'the offer is heard')
    const learnt = await peer.seeker.find('fox', { signal: signal() })
    expect(learnt.manifest).toEqual(model.manifest)
    expect(await peer.store.held(learnt)).toEqual([])
    expect(await readFile(await peer.store.tokenizerFile(learnt, { signal: signal() }))).toEqual(
      await readFile(await holder.store.tokenizerFile(model, { signal: signal() }))
    )
    await holder.supply.stop()
    expect((await peer.seeker.find(short(model), { signal: signal() })).id).toBe(model.id)
  })

  it('is not clear where store and peers, or peers alone, have two of that name; an id is', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const [first, second] = [await world.give(holder, 1), await world.give(peer, 2)]
    offer(holder, first)
    await until(() => hears(peer, first.id), 'the offer is heard')
    const of = `of …${holder.swarm.id.slice(-8)}`
    await expect(peer.seeker.find('fox', { signal: signal() })).rejects.toMatchObject({
      name: 'AmbiguousModelError',
      exitCode: 2,
      message: `'fox' is more than one model: fox (${short(second)}) here, fox (${short(first)}) ${of}; give the beginning of an id`
    })
    expect((await peer.seeker.find(short(second), { signal: signal() })).id).toBe(second.id)
    expect((await peer.seeker.find(short(first), { signal: signal() })).id).toBe(first.id)
  })

  it('is not fetched any more when the signal ends it', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const model = await world.give(holder, 1)
    offer(holder, model)
    await until(() => hears(peer, model.id), 'the offer is heard')
    const ended = AbortSignal.abort(new Error('enough'))
    await expect(peer.seeker.find('fox', { signal: ended })).rejects.toThrow('enough')
    expect(await peer.store.list()).toEqual([])
  })
})

describe('a model that is asked for before anybody offers it', () => {
  it('is waited for as long as was said, which is told once', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const model = await world.give(holder, 1)
    const said: string[] = []
    const told = Promise.withResolvers<void>()
    const onWait = (sentence: string): void => {
      said.push(sentence)
      told.resolve()
    }
    const asked = peer.seeker.ask('fox', { signal: signal(), waitMs: 20_000, onWait })
    await told.promise
    offer(holder, model)
    expect((await asked).id).toBe(model.id)
    const wolf = peer.seeker.ask('wolf', { signal: signal(), waitMs: 3_000, onWait })
    await expect(wolf).rejects.toMatchObject({ name: 'UnknownModelError' })
    expect(said).toEqual([
      expect.stringContaining("no model 'fox': there is no model here; and no live peer offers it"),
      expect.stringContaining("no model 'wolf'")
    ])
  })

  it('is waited for without that while nobody offers anything and the peer has just started, and then no longer', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const [fox, wolf] = ['fox', 'wolf'].map(name => peer.seeker.ask(name, { signal: signal() }))
    wolf!.catch(() => {})
    const model = await world.give(holder, 1)
    offer(holder, model)
    expect((await fox!).id).toBe(model.id)
    // A name that nobody has when others are heard is a wrong one.
    await expect(wolf).rejects.toMatchObject({ name: 'UnknownModelError' })
    const startMs = performance.now()
    await expect(peer.seeker.ask('bear', { signal: signal() })).rejects.toThrow("no model 'bear'")
    expect(performance.now() - startMs).toBeLessThan(1_000)
  })

  it('is not waited for when the signal ends it', async () => {
    const peer = await start('a')
    const end = new AbortController()
    const onWait = (): void => end.abort(new Error('enough'))
    await expect(peer.seeker.ask('fox', { signal: end.signal, waitMs: 20_000, onWait })).rejects.toThrow('enough')
  })
})

describe('a model that is looked for', () => {
  it('is waited for, which is said once, and taken when somebody offers it', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const model = await world.give(holder, 1)
    const said: string[] = []
    const told = Promise.withResolvers<void>()
    const sought = peer.seeker.seek('fox', {
      signal: signal(),
      onState: sentence => {
        said.push(sentence)
        told.resolve()
      }
    })
    await told.promise
    // Any record makes it look again; there is nothing new to say.
    holder.swarm.announce({ load: { sessions: 5, queuedSteps: 0 } })
    await until(() => peer.swarm.records().some(({ record }) => record.load.sessions === 5), 'another record is heard')
    offer(holder, model)
    expect((await sought).id).toBe(model.id)
    expect(said).toEqual(["the model 'fox' is not here and no live peer offers it: waiting for one that does"])
  })

  it('is waited for with the name of who may still offer it', async () => {
    const [holder, peer] = [await start('holder'), await start('a')]
    const model = await world.give(holder, 1)
    holder.swarm.announce({ budgetBytes: 1 << 26 })
    const said: [string, Outlook][] = []
    const told = Promise.withResolvers<void>()
    const fetching: boolean[] = []
    const sought = peer.seeker.seek('fox', {
      signal: signal(),
      onState: (...state) => {
        said.push(state)
        told.resolve()
      },
      onFetching: isFetching => fetching.push(isFetching)
    })
    await told.promise
    const yet = `yet: …${holder.swarm.id.slice(-8)} has just started and may offer it`
    const sentence = `the model 'fox' is not here and no live peer offers it ${yet}; waiting for that`
    expect(said).toEqual([[sentence, { unclear: false, mayCome: true, isOffered: false }]])
    await expect(peer.seeker.find('fox', { signal: signal() })).rejects.toThrow(`no live peer offers it ${yet}`)
    expect(fetching).not.toContain(true)
    offer(holder, model)
    expect((await sought).id).toBe(model.id)
    expect(fetching.slice(-2)).toEqual([true, false])
  })

  it('is not the one of two that is heard first', async () => {
    const [one, two, peer] = [await start('one'), await start('two'), await start('a')]
    const [first, second] = [await world.give(one, 1), await world.give(two, 2)]
    await until(() => connectedCount(peer.swarm) === 2, 'all are connected')
    const told = Promise.withResolvers<{ sentence: string; unclear: boolean }>()
    const sought = peer.seeker.seek('fox', {
      signal: signal(),
      onState: (sentence, { unclear }) => told.resolve({ sentence, unclear })
    })
    peer.swarm.addEventListener('record', () => {
      if (hears(peer, first.id)) offer(two, second)
    })
    offer(one, first)
    const { sentence, unclear } = await told.promise
    expect(sentence).toContain("'fox' is more than one model: ")
    expect(unclear).toBe(true)
    offer(two)
    expect((await sought).id).toBe(first.id)
  })

  it('is given up at once when the signal ends it', async () => {
    const peer = await start('a')
    const end = new AbortController()
    const said = Promise.withResolvers<void>()
    const sought = peer.seeker.seek('fox', { signal: end.signal, onState: () => said.resolve() })
    await said.promise
    const startMs = performance.now()
    end.abort(new Error('enough'))
    await expect(sought).rejects.toThrow('enough')
    expect(performance.now() - startMs).toBeLessThan(seekRetryMs / 2)
  })
})
