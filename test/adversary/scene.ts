/**
 * What members without good intentions are let loose on: a swarm with members of real peers on loopback, a driver that holds no layers and two
 * stages that hold half of the shipped model each, and an answer that goes on while they try.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createPeer, listModels, type ModelId, type Peer, type PeerId, splitBudgets } from '../../src/index.ts'
import { initMembers, inviteMember, joinSwarm } from '../../src/peer/enrolment.ts'
import type { Host } from '../../src/swarm/host.ts'
import { type Identity, loadIdentity } from '../../src/swarm/identity.ts'
import { type MemberFile, readMemberFile } from '../../src/swarm/member-file.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import type { Role } from '../../src/trust/roles.ts'
import { putMeasured, takeMeasured } from '../measured.ts'
import { connectedCount, until } from '../swarm/real-peers.ts'
import { dialAt, newIdentity, rawPeer } from './raw-peer.ts'

const hourMs = 3_600_000
const prompt = 'Once upon a time, there was a little fox who'
const options = { maxTokens: 60, temperature: 0.7, seed: 7 }
const stageRoles: readonly Role[] = ['stage', 'keeper', 'source']

export class Scene {
  readonly authority: string
  readonly peers: Peer[] = []
  readonly #root: string
  readonly #raw: Host[] = []
  readonly #members: Swarm[] = []
  readonly #warnings: string[] = []
  #expected: readonly number[] = []
  #names = 0

  private constructor(root: string) {
    this.#root = root
    this.authority = join(root, 'authority.key')
  }

  /** Starts all of them, and has the answer once undisturbed. */
  static async start(): Promise<Scene> {
    const scene = new Scene(await mkdtemp(join(tmpdir(), 'skein-adversary-')))
    await initMembers({ file: join(scene.#root, 'swarm.json'), authority: scene.authority, name: 'honest' })
    await scene.#startPeer('driver', ['driver'], 0)
    const [model] = await listModels(scene.dirOf('driver'))
    const [first, second] = splitBudgets(model!, 2)
    await scene.#startPeer('a', stageRoles, first!)
    await scene.#startPeer('b', stageRoles, second!)
    const { layers } = model!.manifest.config
    const isCovered = (): boolean =>
      scene.driver.status().models[0]?.coverage.join() === new Array(layers).fill(1).join()
    await until(isCovered, 'the stages serve', 60_000)
    scene.#expected = (await scene.answer()).ids
    expect(scene.#expected).toHaveLength(options.maxTokens)
    return scene
  }

  async #startPeer(name: string, roles: readonly Role[], memoryBytes: number): Promise<void> {
    await this.join(name, roles)
    const dataDir = this.dirOf(name)
    putMeasured(dataDir)
    const peer = await createPeer({
      dataDir,
      memoryBytes,
      mdns: false,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: this.peers.flatMap(({ addresses }) => [...addresses]),
      onWarning: message => this.#warnings.push(message)
    })
    takeMeasured(dataDir)
    this.peers.push(peer)
  }

  get driver(): Peer {
    return this.peers[0]!
  }

  /** The head of every route, and the tail. */
  get stages(): readonly [Peer, Peer] {
    const [, ...rest] = this.peers
    const startOf = (peer: Peer): number =>
      peer
        .status()
        .peers.find(({ self }) => self)!
        .stages.find(({ serving }) => serving)!.start
    return rest.sort((one, other) => startOf(one) - startOf(other)) as [Peer, Peer]
  }

  get model(): ModelId {
    return this.driver.status().models[0]!.id
  }

  get layers(): number {
    return this.driver.status().models[0]!.layers
  }

  /** The layer at which the tail's stage begins. */
  get cut(): number {
    return this.stages[1].status().peers.find(({ self }) => self)!.stages[0]!.start
  }

  dirOf(name: string): string {
    return join(this.#root, name)
  }

  /** Makes a member; nothing of it runs. */
  async join(name: string, roles: readonly Role[], lifeMs = hourMs): Promise<PeerId> {
    return (await joinSwarm(await inviteMember(this.authority, { roles, lifeMs }), this.dirOf(name))).peer
  }

  async fileOf(name: string): Promise<MemberFile> {
    return (await readMemberFile(this.dirOf(name)))!
  }

  identityOf(name: string): Promise<Identity> {
    return loadIdentity(this.dirOf(name))
  }

  /** A member with these roles that means no good, connected with all others. */
  async rogue(roles: readonly Role[]): Promise<{ readonly host: Host; readonly identity: Identity }> {
    const name = `rogue-${this.#names++}`
    await this.join(name, roles)
    const [stolen, identity] = [await this.fileOf(name), await this.identityOf(name)]
    const host = this.keep(await rawPeer({ stolen, certificate: () => stolen.certificate, identity }))
    for (const { addresses } of this.peers) await dialAt(host, addresses)
    return { host, identity }
  }

  /** A member that is in the swarm as any other, and does nothing there yet. */
  async member(roles: readonly Role[]): Promise<Swarm> {
    const name = `member-${this.#names++}`
    await this.join(name, roles)
    const swarm = await createSwarm({
      dataDir: this.dirOf(name),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      neighbours: false,
      bootstrap: this.peers.flatMap(({ addresses }) => [...addresses])
    })
    this.#members.push(swarm)
    await until(() => connectedCount(swarm) >= this.peers.length, 'a member meets all others')
    return swarm
  }

  /** A host that shows whatever it is told to. It is stopped with the scene. */
  keep(host: Host): Host {
    this.#raw.push(host)
    return host
  }

  newIdentity = newIdentity

  /** What honest peers were warned of. */
  get warnings(): readonly string[] {
    return this.#warnings
  }

  /** Until an honest peer was warned so. @param from of how many warnings there were before */
  async warned(text: string, from = 0): Promise<void> {
    const isWarned = (): boolean => this.#warnings.slice(from).some(each => each.includes(text))
    await until(isWarned, `somebody is warned of '${text}'`).catch((error: Error) => {
      throw new Error(`${error.message}, but: ${this.#warnings.slice(from).join('\n')}`)
    })
  }

  /** What peers have counted of a kind of violation, all together. */
  counted(kind: string): number {
    return this.peers.reduce((sum, peer) => sum + (peer.status().violations[kind] ?? 0), 0)
  }

  async answer(): Promise<{ readonly ids: readonly number[]; readonly lost: readonly string[]; readonly ms: number }> {
    const lost: string[] = []
    const startMs = performance.now()
    const generation = this.driver.generate(prompt, { ...options, signal: AbortSignal.timeout(60_000) })
    for await (const event of generation.events()) {
      if (event.event === 'lost') lost.push(`${event.peer} ${event.reason} ${event.charged}`)
      if (event.event === 'cut') lost.push(`cut ${event.peer} ${event.next}`)
    }
    return { ids: (await generation.answer).ids, lost, ms: performance.now() - startMs }
  }

  /** Does what somebody bad does while answers go on: these have the same tokens, lose nobody, and nobody honest is named. */
  async unharmed<T>(attack: () => Promise<T>): Promise<T> {
    const from = this.#warnings.length
    let isOver = false
    const attacking = attack().finally(() => {
      isOver = true
    })
    // Whatever comes of the answers is looked at first.
    attacking.catch(() => {})
    do {
      const { ids, lost } = await this.answer()
      // Who is honest is never charged, and at most asked to wait for room; a thief is gone around.
      const ofHonest = lost.filter(text => this.peers.some(({ id }) => text.includes(id)))
      expect(ofHonest.filter(text => !text.endsWith('no-room false'))).toEqual([])
      expect(ids).toEqual(this.#expected)
    } while (!isOver)
    const result = await attacking
    const named = this.#warnings
      .slice(from)
      .filter(text => this.peers.some(({ id }) => text.startsWith(`${id} broke`) || text.startsWith(`${id} is let go`)))
    expect(named).toEqual([])
    return result
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#raw, ...this.#members].map(each => each.stop()))
    await Promise.all(this.peers.map(peer => peer.stop()))
    await rm(this.#root, { recursive: true, force: true })
  }
}
