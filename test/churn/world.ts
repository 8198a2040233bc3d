/** The swarm that is hurt: peers in processes of their own, and the driver, a peer in this process. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Peer, PeerId, Range, Role, Status } from '../../src/index.ts'
import type { Network } from './network.ts'
import { ChurnPeer } from './peer.ts'

// Not a static import: its types would need the build to be there before they can be checked.
const built = '../../dist/src/index.js'
export const skein = (await import(built)) as typeof import('../../src/index.ts')

/** How the model is cut. */
export interface Layout {
  readonly name: string
  /** Peers beside the driver. */
  readonly peers: number
  /** Hops of a route. */
  readonly hops: number
  /** Layers that the driver serves, or undefined where placement decides. */
  readonly driverLayers?: Range
}

/** Every layer twice. In `four` the driver serves a layer that no route needs, so that every hop can be lost. */
export const layouts: readonly Layout[] = [
  { name: 'five', peers: 5, hops: 3 },
  { name: 'four', peers: 4, hops: 2, driverLayers: { start: 2, end: 3 } }
]

/** A cache without upstream is kept for 15 s; then it is told on, and announced within a second. */
const leftoversMs = 25_000
/** Time for a hurt swarm to cover every layer twice again: seconds, and half a minute under a load of forty. */
const calmMs = 180_000

export interface WorldOptions {
  /** @default loopback */
  readonly network?: Network
  /** Peers look for one another by multicast DNS too. @default false */
  readonly mdns?: boolean
  /** Added to the environment of every peer's process. */
  readonly env?: Readonly<Record<string, string>>
  /** Budgets are so many times what a hop's layers take: more sessions fit then. @default 1 */
  readonly memoryFactor?: number
  /** The swarm has members, whom the authority in the world's folder has invited. @default a secret is shared */
  readonly members?: boolean
  /** Told each line that a peer prints. */
  readonly onLine?: (peer: string, line: string) => void
  readonly signal: AbortSignal
}

export class World {
  readonly layout: Layout
  readonly folder: string
  readonly peers: readonly ChurnPeer[]
  readonly driver: Peer
  readonly network: Network | undefined

  /** The key that names its members, where it has any. */
  get authority(): string {
    return join(this.folder, 'authority.key')
  }

  private constructor(layout: Layout, folder: string, peers: readonly ChurnPeer[], driver: Peer, network?: Network) {
    this.layout = layout
    this.folder = folder
    this.peers = peers
    this.driver = driver
    this.network = network
  }

  /** Starts everything and waits until every layer is covered twice. */
  static async start(layout: Layout, options: WorldOptions): Promise<World> {
    const { network, signal, mdns = false, env, onLine, memoryFactor = 1, members = false } = options
    const folder = await mkdtemp(join(tmpdir(), 'skein-churn-'))
    const model = await shippedModel(folder)
    const memoryBytes = memoryFactor * Math.max(...skein.splitBudgets(model, layout.hops))
    const swarm = join(folder, 'swarm.json')
    const authority = join(folder, 'authority.key')
    if (members) await skein.initMembers({ file: swarm, authority, name: 'churn' })
    else await skein.initSwarm(swarm, 'churn')
    if (members) await enrol(authority, join(folder, 'driver'))
    const peers: ChurnPeer[] = []
    for (let n = 1; n <= layout.peers; n++) {
      const name = `peer-${n}`
      const attachment = await network?.attach()
      if (members) await enrol(authority, join(folder, name))
      const init = { name, dataDir: join(folder, name), swarm, memoryBytes, mdns }
      peers.push(
        new ChurnPeer({
          ...init,
          ...(attachment === undefined ? {} : { attachment }),
          ...(env === undefined ? {} : { env }),
          ...(onLine === undefined ? {} : { onLine: line => onLine(name, line) })
        })
      )
    }
    for (const peer of peers) peer.start()
    try {
      const driver = await skein.createPeer({
        dataDir: join(folder, 'driver'),
        swarm,
        memoryBytes,
        listen: [`/ip4/${network?.driverAddress ?? '127.0.0.1'}/tcp/0`],
        mdns,
        threads: 1,
        signal,
        ...(layout.driverLayers === undefined ? {} : { layers: layout.driverLayers })
      })
      const world = new World(layout, folder, peers, driver, network)
      await world.calm(signal)
      return world
    } catch (error) {
      await Promise.all(peers.map(peer => peer.stop()))
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** The peer with this id, unless it is the driver. */
  peer(id: PeerId): ChurnPeer | undefined {
    return this.peers.find(peer => peer.id === id)
  }

  /**
   * Waits until every process runs, is connected with every other, loads nothing, and every layer is covered twice.
   * @throws {Error} that says what is missing.
   */
  async calm(signal: AbortSignal, log: (line: string) => void = () => {}): Promise<void> {
    const deadlineMs = performance.now() + calmMs
    const startMs = performance.now()
    let waitedFor = ''
    for (;;) {
      signal.throwIfAborted()
      const ended = this.peers.find(peer => !peer.isRunning)
      if (ended !== undefined) throw new Error(`${ended.init.name} has ended by itself:\n${ended.lastWords}`)
      const trouble = await this.#trouble()
      if (trouble !== undefined && trouble !== waitedFor) {
        waitedFor = trouble
        log(`  ${(performance.now() - startMs).toFixed(0)} ms: ${trouble}`)
      }
      if (trouble === undefined) return
      if (performance.now() > deadlineMs) {
        const words = this.peers.map(({ init, lastWords }) => `── ${init.name}\n${lastWords}`).join('\n')
        throw new Error(`after ${calmMs / 1000} s the swarm has not settled: ${trouble}\n${words}`)
      }
      await delay(50, undefined, { signal })
    }
  }

  async #trouble(): Promise<string | undefined> {
    // The driver is asked first: it is here, and every question to the others costs them time to become calm.
    const driver = this.driver.status()
    const ids = this.peers.map(({ id }) => id)
    const trouble = ids.includes('' as PeerId) ? undefined : troubleSeenBy(driver, new Set([driver.self, ...ids]))
    if (trouble !== undefined) return trouble
    const all: Status[] = [driver]
    for (const peer of this.peers) {
      const status = await peer.status()
      if (status === undefined) return `${peer.init.name} gives no status`
      peer.id = status.self
      all.push(status)
    }
    const everybody = new Set(all.map(({ self }) => self))
    for (const status of all) {
      const trouble = troubleSeenBy(status, everybody)
      if (trouble !== undefined) return trouble
    }
    return undefined
  }

  /** The ranges that live peers serve, the driver among them, as the driver knows them. */
  stages(): { readonly peer: PeerId; readonly range: Range }[] {
    return this.driver
      .status()
      .peers.flatMap(({ id, stages }) =>
        stages.filter(({ serving }) => serving).map(({ start, end }) => ({ peer: id, range: { start, end } }))
      )
  }

  /**
   * Sessions that hold a cache anywhere, and violations that anyone counts. Nobody asks any more: what a lost session
   * left behind is waited for, as long as it may be kept.
   */
  async leftovers(
    signal: AbortSignal
  ): Promise<{ readonly sessions: number; readonly violations: Readonly<Record<string, number>> }> {
    const deadlineMs = performance.now() + leftoversMs
    for (;;) {
      const all = [this.driver.status(), ...(await Promise.all(this.peers.map(peer => peer.status())))]
      const sessions = all.reduce((sum, status) => sum + (status?.peers.find(({ self }) => self)?.sessions ?? 0), 0)
      if (sessions === 0 || performance.now() > deadlineMs) {
        const violations: Record<string, number> = {}
        for (const [kind, count] of all.flatMap(status => Object.entries(status?.violations ?? {}))) {
          violations[kind] = (violations[kind] ?? 0) + count
        }
        return { sessions, violations }
      }
      await delay(250, undefined, { signal })
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.driver.stop(), ...this.peers.map(peer => peer.stop())])
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** What one peer still misses of a calm swarm, or undefined. */
function troubleSeenBy({ self, peers, models }: Status, ids: ReadonlySet<PeerId>): string | undefined {
  const live = peers.filter(({ id, connected }) => ids.has(id) && connected)
  if (live.length < ids.size) return `${self} is connected with ${live.length - 1} of ${ids.size - 1}`
  const stages = live.flatMap(peer => peer.stages)
  if (stages.some(({ serving }) => !serving)) return `${self} sees a stage that is being loaded`
  const coverage = new Array<number>(models[0]?.layers ?? 0).fill(0)
  for (const { start, end } of stages) for (let layer = start; layer < end; layer++) coverage[layer]!++
  const isCovered = coverage.length > 0 && coverage.every(count => count >= 2)
  return isCovered ? undefined : `${self} sees layers covered ${coverage}`
}

/** Makes the peer of a data directory a member. */
export async function enrol(
  authority: string,
  dataDir: string,
  roles: readonly Role[] = ['driver', 'stage', 'keeper', 'source']
): Promise<void> {
  await skein.joinSwarm(await skein.inviteMember(authority, { roles, lifeMs: 24 * 3_600_000 }), dataDir)
}

/** A peer that holds the whole model and knows nobody: the answers of which are the undisturbed ones. */
export async function startAlone(folder: string, signal: AbortSignal): Promise<Peer> {
  const dataDir = join(folder, 'alone')
  const model = await shippedModel(dataDir)
  await skein.initSwarm(join(folder, 'alone.json'), 'churn-alone')
  return skein.createPeer({
    dataDir,
    swarm: join(folder, 'alone.json'),
    memoryBytes: 2 * skein.splitBudgets(model, 1)[0]!,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    signal
  })
}

export async function shippedModel(dataDir: string) {
  const model = (await skein.listModels(dataDir)).find(({ shipped }) => shipped)
  if (model === undefined) throw new Error('the model that ships with Skein is not here')
  return model
}
