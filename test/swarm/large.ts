/**
 * A swarm that is larger than a neighbourhood, of whole peers in one process: real libp2p hosts on loopback, each with few
 * neighbours, of which a few give memory to the model that ships. What computes is the toy engine, whose answers tell a step
 * that was lost, doubled or stale.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { toyEngine, type ToyModel } from '../../sim/toy-engine.ts'
import { toyCacheBytes, toyPages } from '../../sim/toy-cache.ts'
import { toyTokens } from '../../sim/toy-text.ts'
import { usualCache } from '../../src/base/cache-type.ts'
import { type End, endAll } from '../../src/base/ends.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import type { PeerId } from '../../src/base/ids.ts'
import type { EngineFactory, GenerateOptions, Manifest } from '../../src/index.ts'
import { openLibrary } from '../../src/model/library.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { RunningPeer } from '../../src/peer/running-peer.ts'
import { coverageOf } from '../../src/route/coverage.ts'
import { stageBytes } from '../../src/route/view.ts'
import { shapeOf } from '../../src/serving/shape.ts'
import type { Host } from '../../src/swarm/host.ts'
import { soughtOf } from '../../src/swarm/neighbourhood.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

export interface LargeInit {
  /** Hosts in groups that know one another from the start; the last host of each knows the first of the one before. */
  readonly groups: number
  readonly perGroup: number
  readonly linksMax: number
  /** Hosts that give memory, no two of them neighbours when they begin to, and the layers that each can hold. */
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

/** A host that is in the swarm, and does nothing there yet. */
type Member = Pick<LargeHost, 'name' | 'swarm' | 'ends'> & { readonly dataDir: string; readonly keeping: Keeping }

/** So much that what is left beside the layers of a budget, which is less than one more, holds the caches of all who ask at once. */
const layerBytes = 20e6
/** So long nobody's neighbours change before it counts as settled, and no longer is waited for that. */
const settledMs = 3_000
const settlingMaxMs = 90_000

const toyFactory: EngineFactory = {
  name: 'toy',
  exactness: 'class',
  supports: () => undefined,
  footprint: ({ config: { hidden } }) => ({
    weightBytes: () => layerBytes,
    cacheBytesPerLayer: tokens => toyCacheBytes(toyPages(hidden, [undefined], usualCache), tokens)
  }),
  measure: async () => ({ visitMs: 1, layerMs: 1, numericClass: 'toy' }),
  create: async ({ manifest, start, end, cacheBytesMax }) =>
    toyEngine({ model: toyOf(manifest), start, end, cacheBytesMax })
}

export class LargeSwarm {
  readonly hosts: LargeHost[] = []
  readonly #init: LargeInit
  readonly #root: string
  readonly #config = newSwarm('large')
  #model!: StoredModel
  #looking: NodeJS.Timeout | undefined
  #haveMet = false
  readonly #joined: Swarm[] = []

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

  /** Whether two of those that give memory have been seen as neighbours. */
  get haveGiversMet(): boolean {
    return this.#haveMet
  }

  /** Hosts that give none, those first that have the fewest neighbours who do: at most one, where the swarm is as it was when they began. */
  get drivers(): LargeHost[] {
    const givers = new Set(this.givers.map(({ swarm }) => swarm.id))
    const known = ({ swarm }: LargeHost): number => neighboursIn(swarm).filter(peer => givers.has(peer)).length
    return this.hosts.filter(({ isGiver }) => !isGiver).sort((a, b) => known(a) - known(b))
  }

  /** All join the swarm; once it has settled, those that are to give memory are chosen, and all begin. */
  async #startAll(): Promise<void> {
    const members = await this.#joinAll()
    await settled(members)
    const givers = chooseApart(members, this.#init)
    this.hosts.push(...(await Promise.all(members.map(member => this.#startPeer(member, givers.has(member))))))
  }

  /**
   * The groups side by side; the last host of each knows the first of the one before. So no host has more who know it than it has places:
   * else two pairs of groups could be full, and nobody would know of a way between them without the DHT.
   */
  async #joinAll(): Promise<Member[]> {
    const { groups, perGroup } = this.#init
    const byGroup: Member[][] = Array.from({ length: groups }, () => [])
    for (let i = 0; i < perGroup; i++) {
      const join = async (mine: Member[], group: number): Promise<void> => {
        const before = i === perGroup - 1 ? byGroup[group - 1]?.[0] : undefined
        mine.push(await this.#join(`${group}-${i}`, before === undefined ? mine : [...mine, before]))
      }
      await Promise.all(byGroup.map(join))
    }
    return byGroup.flat()
  }

  async #join(name: string, known: readonly Member[]): Promise<Member> {
    const { linksMax, dht } = this.#init
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
    this.#joined.push(swarm)
    return { name, swarm, ends: [() => swarm.stop()], dataDir, keeping }
  }

  async #startPeer({ name, swarm, ends, dataDir, keeping }: Member, isGiver: boolean): Promise<LargeHost> {
    const { layersEach } = this.#init
    const store = await openLibrary(dataDir)
    this.#model ??= asDecoder(await store.resolve('stories15m'))
    const { manifest } = this.#model
    const shape = shapeOf(manifest, toyFactory.footprint(manifest))
    // Caches of several sessions have room beside the weights, another layer has not.
    const budgetBytes = isGiver ? stageBytes(shape, { start: 0, end: layersEach }) + 0.9 * layerBytes : 0
    const peer = new RunningPeer({ swarm, swarmName: 'large', store, engines: [toyFactory], keeping, warn: () => {} })
    const models = isGiver ? [{ model: this.#model, pinned: null }] : []
    const { signal } = new AbortController()
    await peer.start({ dataDir, models, budgetBytes, threads: 1, signal, ends })
    return { name, swarm, peer, isGiver, ends, neighboursMost: 0, contactsMost: 0 }
  }

  #look(): void {
    for (const host of this.hosts) {
      const neighbours = neighboursOf(host)
      const connected = (host.swarm.links as Host).connectedPeers.size
      host.neighboursMost = Math.max(host.neighboursMost, neighbours)
      host.contactsMost = Math.max(host.contactsMost, connected - neighbours)
    }
    this.#haveMet ||= this.givers.some(({ swarm }) => this.givers.some(other => isNeighbour(swarm, other.swarm)))
  }

  /** Whether those that give memory have each layer of the model served so often, by themselves and their neighbours. */
  isCovered(times: number): boolean {
    const { layers } = this.#model.manifest.config
    return this.givers.every(({ swarm }) => {
      const near = swarm.records().filter(({ record, connected }) => connected || record.peer === swarm.id)
      const stages = near.flatMap(({ record }) =>
        record.stages.filter(({ model, serving }) => serving && model === this.#model.id)
      )
      return coverageOf(stages, { layers }).every(count => count >= times)
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
    // Those, too, that had joined and not begun.
    await Promise.all(this.#joined.map(swarm => swarm.stop().catch(() => {})))
    await rm(this.#root, { recursive: true, force: true })
  }
}

/** Neighbours that a host has now. */
export function neighboursOf({ swarm }: Pick<LargeHost, 'swarm'>): number {
  return neighboursIn(swarm).length
}

function neighboursIn(swarm: Swarm): PeerId[] {
  return swarm.records().flatMap(({ record: { peer }, connected }) => (connected && peer !== swarm.id ? [peer] : []))
}

function isNeighbour(swarm: Swarm, other: Swarm): boolean {
  return neighboursIn(swarm).includes(other.id)
}

/** Until all know all, and nobody's neighbours have changed for a while. */
async function settled(members: readonly Member[]): Promise<void> {
  const endMs = performance.now() + settlingMaxMs
  let before = ''
  let sinceMs = performance.now()
  while (performance.now() < endMs) {
    await delay(250)
    const now = members.map(({ swarm }) => neighboursIn(swarm).sort().join()).join('\n')
    if (now !== before || members.some(({ swarm }) => swarm.records().length < members.length))
      sinceMs = performance.now()
    before = now
    if (performance.now() - sinceMs >= settledMs) return
  }
  throw new Error(`the swarm did not settle within ${settlingMaxMs} ms`)
}

/**
 * So many members of which no two are neighbours. Those first that have as many as they look for: whoever has dials nobody but
 * whom the DHT names.
 */
function chooseApart(members: readonly Member[], { givers, linksMax }: LargeInit): ReadonlySet<Member> {
  const isSatisfied = ({ swarm }: Member): boolean => neighboursIn(swarm).length >= soughtOf(linksMax)
  const ordered = [...members.filter(isSatisfied), ...members.filter(member => !isSatisfied(member))]
  for (let from = 0; from < ordered.length; from++) {
    const chosen: Member[] = []
    for (const member of [...ordered.slice(from), ...ordered.slice(0, from)]) {
      const isApart = chosen.every(
        ({ swarm }) => !isNeighbour(swarm, member.swarm) && !isNeighbour(member.swarm, swarm)
      )
      if (chosen.length < givers && isApart) chosen.push(member)
    }
    if (chosen.length === givers) return new Set(chosen)
  }
  throw new Error(`there are no ${givers} hosts of which no two are neighbours`)
}
