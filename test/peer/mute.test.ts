/** A member of the swarm that lies, among real peers: it claims to serve everything in no time, takes sessions and says nothing. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test, vi } from 'vitest'
import { createPeer, type GenerationEvent, type Peer } from '../../src/index.ts'
import { askAfterMs, muteHeadMs } from '../../src/session/limits.ts'
import { stageProtocol } from '../../src/stage/frame.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeRandomModel } from '../supply/model.ts'

vi.setConfig({ testTimeout: 120_000 })
const patience = { timeout: 60_000 }

test('is told of and left out after seconds, and by the next answer at once', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'skein-test-'))
  const ends: (() => Promise<void>)[] = []
  try {
    const { id, manifest } = await writeRandomModel(path.join(root, 'honest'))
    const config = newSwarm('mute')
    const shared = { mdns: false, listen: ['/ip4/127.0.0.1/tcp/0'] }
    const begin = (bootstrap: string[]): Promise<Peer> =>
      createPeer({ ...shared, dataDir: path.join(root, 'honest'), swarm: config, bootstrap })
    let honest = await begin([])
    ends.push(() => honest.stop())
    const bootstrap = [...honest.addresses]
    const liar: Swarm = await createSwarm({
      ...shared,
      dataDir: path.join(root, 'liar'),
      config,
      neighbours: false,
      bootstrap
    })
    ends.push(() => liar.stop())
    let opened = 0
    await liar.links.handle(stageProtocol, { inboundMax: 99, frameBytesMax: 1 << 20 }, channel => {
      opened++
      channel.receive({ onFrame: () => {}, onClose: () => {} })
    })
    const all = { start: 0, end: manifest.config.layers }
    await expect
      .poll(() => liar.records().flatMap(({ record }) => record.stages.filter(stage => stage.serving)), patience)
      .toHaveLength(1)
    const [offer] = liar.records().flatMap(({ record }) => record.models)
    liar.announce({
      budgetBytes: 1 << 30,
      models: [{ ...offer!, visitMs: 0, layerMs: 0 }],
      stages: [{ model: id, ...all, serving: true, cacheBytesFree: 1 << 30 }]
    })
    const driver = await createPeer({
      ...shared,
      dataDir: path.join(root, 'driver'),
      swarm: config,
      model: 'elsewhere',
      memoryBytes: 1 << 16,
      bootstrap
    })
    ends.push(() => driver.stop())
    const claims = (): boolean =>
      driver.status().peers.some(peer => peer.id === liar.id && peer.connected && peer.stages.length > 0)
    await expect.poll(claims, patience).toBe(true)
    await expect.poll(() => driver.status().models[0]?.coverage[0], patience).toBe(2)

    const ask = async (onEvent: (event: GenerationEvent) => void = () => {}): Promise<GenerationEvent[]> => {
      const events: GenerationEvent[] = []
      const options = { model: id, maxTokens: 6, waitMs: 60_000 }
      for await (const event of driver.generate('Once upon a time', options).events()) {
        events.push(event)
        onEvent(event)
      }
      return events
    }
    const idsOf = (events: readonly GenerationEvent[]): number[] =>
      events.flatMap(event => (event.event === 'token' ? [event.id] : []))
    const expected = idsOf(await ask())
    expect(expected).toHaveLength(6)

    // For a while there is nobody else, so that it is asked in any case.
    await honest.stop()
    opened = 0
    let restarting: Promise<void> | undefined
    const restart = async (): Promise<void> => {
      honest = await begin([...driver.addresses])
    }
    const startMs = performance.now()
    let lostMs: number | undefined
    const events = await ask(event => {
      if (event.event === 'waiting') restarting ??= restart()
      if (event.event === 'lost') lostMs ??= performance.now() - startMs
    })
    await restarting
    expect(idsOf(events)).toEqual(expected)
    expect(events).toContainEqual({ event: 'waiting', message: `hop 0 (${liar.id}) does not answer` })
    expect(events.find(({ event }) => event === 'lost')).toEqual({
      event: 'lost',
      peer: liar.id,
      hop: 0,
      reason: 'mute',
      charged: true
    })
    // Twice what it takes, for machines that have much else to do.
    expect(lostMs).toBeLessThan(2 * (askAfterMs + muteHeadMs))
    opened = 0
    expect(idsOf(await ask())).toEqual(expected)
    expect(opened).toBe(0)
  } finally {
    for (const end of ends.reverse()) await end()
    await rm(root, { recursive: true, force: true })
  }
})
