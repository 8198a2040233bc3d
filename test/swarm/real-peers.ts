/** Real peers on loopback for tests: their directories, their folder of neighbours, and waiting without guessing. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm, SwarmInit } from '../../src/swarm/swarm.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'

/** One test's world: everything in it is stopped and removed by `close`. */
export class World {
  readonly root: string
  readonly config = newSwarm('test')
  readonly #swarms = new Set<Swarm>()

  private constructor(root: string) {
    this.root = root
  }

  static async create(): Promise<World> {
    return new World(await mkdtemp(join(tmpdir(), 'skein-test-')))
  }

  /** Starts a peer in directory `name`. Unless told otherwise it finds others through this world's own folder. */
  async start(name: string, init: Partial<SwarmInit> = {}): Promise<Swarm> {
    const swarm = await createSwarm({
      dataDir: join(this.root, name),
      config: this.config,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      neighbours: join(this.root, 'neighbours'),
      ...init
    })
    this.#swarms.add(swarm)
    return swarm
  }

  async close(): Promise<void> {
    await Promise.all([...this.#swarms].map(swarm => swarm.stop()))
    await rm(this.root, { recursive: true, force: true })
  }
}

/** Polls until `condition` holds; the test's own time limit is the deadline. */
export async function until(condition: () => boolean, what: string, limitMs = 15_000): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`never happened within ${limitMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** How many live peers a peer is connected to, itself not counted. */
export function connectedCount(swarm: Swarm): number {
  return swarm.records().filter(({ record, connected }) => connected && record.peer !== swarm.id).length
}
