/**
 * Many sessions at once: three drivers without layers over three peers that hold a third of the model each, with room for some ten
 * sessions, all in this process on loopback. `many.test.ts` and `../bench/many.ts` have them answer.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Peer, createPeer } from '../../src/index.ts'
import type { newSwarm } from '../../src/swarm/swarm-file.ts'

export const sessions = 64
const sentences = ['Once upon a time', 'The dog', 'Tom and Lily went to', 'One day, a small boat']

/** What makes peers: from the source, or from what was built of it. */
export interface PeerMakers {
  readonly createPeer: typeof createPeer
  readonly newSwarm: typeof newSwarm
}

export interface ManyAnswer {
  readonly ids: readonly number[]
  readonly ms: number
  /** What it was said to wait for. */
  readonly waited: readonly string[]
}

export class ManyScene {
  readonly #make: PeerMakers
  readonly #folder: string
  readonly #swarm: ReturnType<typeof newSwarm>
  /** All but the one that answers alone. */
  readonly peers: Peer[] = []
  readonly drivers: Peer[] = []

  private constructor(make: PeerMakers, folder: string) {
    this.#make = make
    this.#folder = folder
    this.#swarm = make.newSwarm('many')
  }

  static async create(make: PeerMakers): Promise<ManyScene> {
    return new ManyScene(make, await mkdtemp(join(tmpdir(), 'skein-many-')))
  }

  /** Has one peer answer all sessions, one after the other, in a swarm of its own that is gone afterwards. */
  async alone(maxTokens: (i: number) => number): Promise<ManyAnswer[]> {
    const peer = await this.#start('alone', null, 256e6)
    try {
      const answers: ManyAnswer[] = []
      for (let i = 0; i < sessions; i++) answers.push(await this.ask(peer, i, maxTokens(i)))
      return answers
    } finally {
      await peer.stop()
    }
  }

  async start(): Promise<void> {
    for (const [i, from] of [0, 2, 4].entries()) {
      this.peers.push(await this.#start(`stage ${i}`, { start: from, end: from + 2 }, 34e6))
    }
    this.drivers.push(...(await Promise.all([0, 1, 2].map(i => this.#start(`driver ${i}`, null, 0)))))
    this.peers.push(...this.drivers)
  }

  /** The answer to session `i`, at one peer. */
  async ask(peer: Peer, i: number, maxTokens: number): Promise<ManyAnswer> {
    const startMs = performance.now()
    const waited: string[] = []
    const options = { maxTokens, temperature: i % 2, seed: i, client: `client ${i % 7}` }
    const generation = peer.generate(sentences[i % sentences.length]!, options)
    for await (const event of generation.events()) if (event.event === 'waiting') waited.push(event.message)
    return { ids: (await generation.answer).ids, ms: performance.now() - startMs, waited }
  }

  async stop(): Promise<void> {
    await Promise.all(this.peers.map(peer => peer.stop()))
    await rm(this.#folder, { recursive: true, force: true })
  }

  #start(name: string, layers: { start: number; end: number } | null, memoryBytes: number): Promise<Peer> {
    return this.#make.createPeer({
      dataDir: join(this.#folder, name),
      swarm: name === 'alone' ? this.#make.newSwarm('alone') : this.#swarm,
      mdns: false,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      bootstrap: this.peers.flatMap(({ addresses }) => [...addresses]),
      memoryBytes,
      ...(layers === null ? {} : { layers })
    })
  }
}
