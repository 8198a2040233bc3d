/**
 * A swarm that is larger than a neighbourhood, of whole peers in one process: real libp2p hosts on loopback, each with few
 * neighbours, of which a few give memory to the model that ships. What computes is the toy engine, whose answers tell a step
 * that was lost, doubled or stale.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toyEngine, type ToyModel, toyTokens } from '../../sim/toy-engine.ts'
import { type End, endAll } from '../../src/base/ends.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import type { EngineFactory, GenerateOptions, Manifest } from '../../src/index.ts'
import { openLibrary } from '../../src/model/library.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { RunningPeer } from '../../src/peer/running-peer.ts'
import { stageBytes } from '../../src/route/view.ts'
import { shapeOf } from '../../src/serving/shape.ts'
import type { Host } from '../../src/swarm/host.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

export interface LargeInit {
  /** Hosts in groups that know one another from the start; the first host of each knows that of the one before. */
  readonly groups: number
  readonly perGroup: number
  readonly linksMax: number
  /** Hosts that give memory, one in each of the first groups, and the layers that each can hold. */
  readonly givers: number
  readonly layersEach: number
  readonly dht: boolean
}

export interface LargeHost {
  readonly name: string
  readonly swarm: Swarm
  readonly peer: RunningPeer
  readonly isGiver: boolean
  readonly ends: End[]
  /** The most neighbours, and other connections, that it was seen with. */
  neighboursMost: number
  contactsMost: number
}

function toyOf({ config: { layers, vocab, hidden, contextMax }, edge }: Manifest): ToyModel {
  return { layers, vocab, hidden, contextMax, edge }
}

const layerBytes = 1e6

const toyFactory: EngineFactory = {
  name: 'toy',
  exactness: 'class',
  supports: () => undefined,
  footprint: () => ({ weightBytes: () => layerBytes, cacheBytesPerLayer: tokens => 10 * tokens }),
  measure: async () => ({ visitMs: 1, layerMs: 1, numericClass: 'toy' }),
  create: async ({ manifest, start, end, cacheBytesMax }) =>
    toyEngine({ model: toyOf(manifest), start, end, cacheBytesMax: Math.max(cacheBytesMax, 1 << 26) })
}

export class LargeSwarm {
  readonly hosts: LargeHost[] = []
  readonly #init: LargeInit
  readonly #root: string
  readonly #config = newSwarm('large')
  #model!: StoredModel
  #looking: NodeJS.Timeout | undefined

  private constructor(init: LargeInit, root: string) {
    this.#init = init
    this.#root = root
  }

  static async start(init: LargeInit): Promise<LargeSwarm> {
    const swarm = new LargeSwarm(init, await mkdtemp(join(tmpdir(), 'skein-large-')))
    try {
      await swarm.#startAll()
    } catch (error) {
      await swarm.stop()
      throw error
    }
    swarm.#looking = setInterval(() => swarm.#look(), 250)
    return swarm
  }

  get givers(): LargeHost[] {
    return this.hosts.filter(({ isGiver }) => isGiver)
  }

  get model(): StoredModel {
    return this.#model
  }

  /** The groups side by side; the first host of each knows that of the one before. */
  async #startAll(): Promise<void> {
    const { groups, perGroup, givers } = this.#init
    const byGroup: LargeHost[][] = Array.from({ length: groups }, () => [])
    for (let i = 0; i < perGroup; i++) {
      const start = async (mine: LargeHost[], group: number): Promise<void> => {
        const before = i === 0 ? byGroup[group - 1]?.[0] : undefined
        // Not the first of its group, which has neighbours in others.
        const isGiver = group < givers && i === Math.floor(perGroup / 2)
        const host = await this.#startHost(`${group}-${i}`, before === undefined ? mine : [before], isGiver)
        mine.push(host)
      }
      if (i > 0) await Promise.all(byGroup.map(start))
      else for (const [group, mine] of byGroup.entries()) await start(mine, group)
    }
  }

  async #startHost(name: string, known: readonly LargeHost[], isGiver: boolean): Promise<LargeHost> {
    const { linksMax, dht, layersEach } = this.#init
    const ends: End[] = []
    const dataDir = join(this.#root, name)
    const keeping = new Keeping(() => {})
    const swarm = await createSwarm({
      dataDir,
      config: this.#config,
      keeping,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      neighbours: false,
      bootstrap: known.flatMap(({ swarm: { addresses } }) => [...addresses]),
      linksMax,
      dht
    })
    ends.push(() => swarm.stop())
    const store = await openLibrary(dataDir)
    this.#model ??= await store.resolve('stories15m')
    const { manifest } = this.#model
    const shape = shapeOf(manifest, toyFactory.footprint(manifest))
    // Caches of several sessions have room beside the weights, another layer has not.
    const budgetBytes = isGiver ? stageBytes(shape, { start: 0, end: layersEach }) + 0.9 * layerBytes : 0
    const peer = new RunningPeer({ swarm, swarmName: 'large', store, engines: [toyFactory], keeping, warn: () => {} })
    const models = isGiver ? [{ model: this.#model, pinned: null }] : []
    const { signal } = new AbortController()
    await peer.start({ dataDir, models, budgetBytes, threads: 1, signal, ends })
    const host: LargeHost = { name, swarm, peer, isGiver, ends, neighboursMost: 0, contactsMost: 0 }
    this.hosts.push(host)
    return host
  }

  #look(): void {
    for (const host of this.hosts) {
      const neighbours = neighboursOf(host)
      const connected = (host.swarm.links as Host).connectedPeers.size
      host.neighboursMost = Math.max(host.neighboursMost, neighbours)
      host.contactsMost = Math.max(host.contactsMost, connected - neighbours)
    }
  }

  /** Whether each layer of the model is served so often, as those see it that give memory. */
  isCovered(times: number): boolean {
    return this.givers.every(({ peer }) => {
      const coverage = peer.status().models.find(({ id }) => id === this.#model.id)?.coverage ?? []
      return coverage.length > 0 && coverage.every(count => count >= times)
    })
  }

  /**
   * An answer at a host. After so many tokens the first host of its route that is not the driver's own is killed.
   *
   * @returns what came, and what one peer alone would say.
   */
  async ask(
    host: LargeHost,
    { killAt, ...options }: { maxTokens: number; killAt?: number } & GenerateOptions
  ): Promise<{
    ids: readonly number[]
    alone: readonly number[]
    killed: string | undefined
    recovered: number
    hops: number
  }> {
    const generation = host.peer.generate('Once upon a time', { model: this.#model.id, ...options })
    let route: readonly { readonly peer: string }[] = []
    let killed: LargeHost | undefined
    let recovered = 0
    let count = 0
    for await (const event of generation.events()) {
      if (event.event === 'route') route = event.hops
      if (event.event === 'recovered') recovered++
      if (event.event === 'token' && ++count === killAt) {
        killed = this.hosts.find(({ swarm }) => swarm !== host.swarm && route.some(({ peer }) => peer === swarm.id))
        if (killed !== undefined) await this.kill(killed)
      }
    }
    const { ids, promptIds } = await generation.answer
    const greedy = { temperature: 0, topP: 1, topK: 0, seed: 0 }
    return {
      ids,
      alone: toyTokens(toyOf(this.#model.manifest), promptIds, greedy, options.maxTokens),
      killed: killed?.name,
      recovered,
      hops: route.length
    }
  }

  /** Ends a host without a goodbye: its connections close, as when its process is killed. */
  async kill(host: LargeHost): Promise<void> {
    this.hosts.splice(this.hosts.indexOf(host), 1)
    await (host.swarm.links as Host).stop()
    void endAll(host.ends).catch(() => {})
  }

  async stop(): Promise<void> {
    clearInterval(this.#looking)
    await Promise.all(this.hosts.map(({ ends }) => endAll(ends).catch(() => {})))
    await rm(this.#root, { recursive: true, force: true })
  }
}

/** Neighbours that a host has now. */
export function neighboursOf({ swarm }: LargeHost): number {
  return swarm.records().filter(({ record, connected }) => connected && record.peer !== swarm.id).length
}
