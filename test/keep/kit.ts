/** Peers in memory that keep sessions for one another, and what they are asked to keep. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryWorld } from '../../sim/memory-links.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import type { KeptQuestion } from '../../src/keep/kept.ts'
import { Keeping } from '../../src/disk/keeping.ts'
import { createKeepService, type KeepService } from '../../src/keep/service.ts'
import type { Links } from '../../src/swarm/links.ts'

export const peer = (name: string): PeerId => `12D3KooW${name}` as PeerId
export const key = new Uint8Array(32).fill(7)
export const otherKey = new Uint8Array(32).fill(8)
export const question: KeptQuestion = {
  model: 'ab'.repeat(32) as ModelId,
  promptIds: [1, 2, 3],
  sampling: { temperature: 0.5, topP: 0.9, topK: 40, seed: 2 ** 53 - 1 },
  maxTokens: 5000,
  ttlMs: 60_000,
  classes: ['x', 'x', 'y']
}

export interface KitPeer {
  readonly id: PeerId
  readonly folder: string
  readonly links: Links
  readonly keep: KeepService
  readonly warnings: string[]
  readonly violations: [PeerId, string][]
}

export class Kit {
  readonly links: MemoryWorld
  readonly root: string
  readonly peers = new Map<PeerId, KitPeer>()
  /** ms that every keeper's clocks are ahead. */
  aheadMs = 0

  private constructor(root: string, delayMs: number) {
    this.root = root
    this.links =
      delayMs === 0
        ? new MemoryWorld()
        : new MemoryWorld({ delayMs: () => delayMs, schedule: (ms, task) => void setTimeout(task, ms) })
  }

  static async create({ delayMs = 0 } = {}): Promise<Kit> {
    return new Kit(await mkdtemp(join(tmpdir(), 'skein-keep-')), delayMs)
  }

  async add(name: string): Promise<KitPeer> {
    const id = peer(name)
    const links = this.links.join(id)
    const folder = join(this.root, name)
    const warnings: string[] = []
    const violations: [PeerId, string][] = []
    const live = (): PeerId[] => [...this.peers.keys()].filter(other => other !== id)
    const keep = await createKeepService({
      links,
      folder,
      peers: live,
      staying: live,
      keeping: new Keeping(message => warnings.push(message)),
      onViolation: (remote, message) => violations.push([remote, message]),
      clock: {
        ...systemClock,
        nowMs: () => systemClock.nowMs() + this.aheadMs,
        wallMs: () => systemClock.wallMs() + this.aheadMs
      }
    })
    const added = { id, folder, links, keep, warnings, violations }
    this.peers.set(id, added)
    return added
  }

  /** Gone without a word. */
  kill(id: PeerId): void {
    this.links.kill(id)
    this.peers.delete(id)
  }

  async close(): Promise<void> {
    for (const { keep } of this.peers.values()) await keep.stop()
    await rm(this.root, { recursive: true, force: true })
  }
}

/** Polls until it holds. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, limitMs = 10_000): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`never happened within ${limitMs} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
