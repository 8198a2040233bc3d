/** Peers that hold models, each with a swarm, a store and a supply of its own; real ones on loopback. For the tests of this folder. */
import path from 'node:path'
import { importModel } from '../../src/model/import.ts'
import { type ModelStore, openStore, type StoredModel } from '../../src/model/store.ts'
import { createSupply, type Supply } from '../../src/supply/service.ts'
import type { ModelOffer } from '../../src/swarm/record.ts'
import type { Swarm, SwarmInit } from '../../src/swarm/swarm.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { World } from '../swarm/real-peers.ts'

export interface Holder {
  readonly swarm: Swarm
  readonly store: ModelStore
  readonly supply: Supply
}

export const signal = (): AbortSignal => AbortSignal.timeout(30_000)

export class ModelHolders {
  readonly #world: World
  readonly #peers: Holder[] = []

  private constructor(world: World) {
    this.#world = world
  }

  static async create(): Promise<ModelHolders> {
    return new ModelHolders(await World.create())
  }

  async start(name: string, init: Partial<SwarmInit> = {}): Promise<Holder> {
    const swarm = await this.#world.start(name, init)
    const store = await openStore({ own: path.join(this.#world.root, name, 'models') })
    const supply = await createSupply({ links: swarm.links, store, live: () => false, onViolation: () => {} })
    const peer = { swarm, store, supply }
    this.#peers.push(peer)
    return peer
  }

  /** Imports the tiny model `fox` of these weights, without offering it. */
  async give({ store }: Holder, seed: number): Promise<StoredModel> {
    const source = path.join(this.#world.root, `source-${seed}`)
    await writeTiny(source, { seed })
    return importModel({ source, store, name: 'fox', weights: 'q8', signal: signal() })
  }

  async close(): Promise<void> {
    await Promise.all(this.#peers.map(({ supply }) => supply.stop()))
    await this.#world.close()
  }
}

/** Announces that a peer serves these models whole, and no other. */
export function offer({ swarm }: Pick<Holder, 'swarm'>, ...models: StoredModel[]): void {
  const offers = models.map(
    ({ id, manifest }): ModelOffer => ({
      model: id,
      name: manifest.name,
      layers: manifest.config.layers,
      held: [{ start: 0, end: manifest.config.layers }],
      embedding: true,
      head: true,
      visitMs: 1,
      layerMs: 1,
      numericClass: 'x',
      pinned: null
    })
  )
  swarm.announce({ models: offers })
}
