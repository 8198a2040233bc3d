/** Peers of a `TestWorld` that check one another's work. */
import { systemClock } from '../../src/base/clock.ts'
import type { PeerId } from '../../src/base/ids.ts'
import type { Rng } from '../../src/base/rng.ts'
import { type Refuted, WorkChecks, type WorkChecksInit } from '../../src/check/service.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { sameRange } from '../../src/route/view.ts'
import type { SessionParts } from '../../src/session/parts.ts'
import { sha256 } from '../../src/stage/committing-service.ts'
import { verify } from '../../sim/cast.ts'
import type { TestPeer, TestWorld } from '../session/world.ts'

export interface CheckedPeer {
  readonly checks: WorkChecks
  readonly refuted: Refuted[]
  readonly violations: string[]
  /** What a session of this peer works with. */
  readonly parts: Pick<SessionParts, 'check' | 'refuted'>
}

/** Numbers one after the other, then the last one for ever. */
export function numbers(...values: number[]): Rng {
  let at = 0
  return () => values[Math.min(at++, values.length - 1)]!
}

/** What has its outputs changed: a hidden state, or each token. */
export function lie(engine: Engine, isLying: () => boolean = () => true): void {
  const honest = engine.run.bind(engine)
  engine.run = async (step, options) => {
    const output = await honest(step, options)
    if (!isLying()) return output
    if (output.kind === 'hidden') {
      const bytes = output.bytes.slice()
      for (let at = 0; at < bytes.length; at += 2) bytes[at]! ^= 1
      return { ...output, bytes }
    }
    return output.kind === 'tokens' ? { ...output, ids: [(output.ids.at(-1)! + 1) % 251] } : output
  }
}

export async function checking(
  world: TestWorld,
  peer: TestPeer,
  init: Partial<WorkChecksInit> = {}
): Promise<CheckedPeer> {
  const refuted: Refuted[] = []
  const violations: string[] = []
  const others = (): TestPeer[] => [...world.peers.values()].filter(({ id }) => id !== peer.id)
  const checks = new WorkChecks({
    links: peer.links,
    clock: systemClock,
    // Everybody is drawn, and the first of them taken.
    rng: () => 0,
    verify,
    digest: sha256,
    keptRows: (driver, session, range) => peer.stages.committing?.keptRows(driver, session, range),
    engineOf: (_, range) => {
      const found = peer.probes.find(({ engine }) => sameRange(engine, range))
      return found && { engine: found.engine, numericClass: 'toy' }
    },
    classOf: () => 'toy',
    holdersOf: (_, range) =>
      others().flatMap(({ id, probes }) => (probes.some(({ engine }) => sameRange(engine, range)) ? [id] : [])),
    peers: () => others().map(({ id }) => id),
    givesWay: () => false,
    onRefuted: found => refuted.push(found),
    onViolation: (remote: PeerId, kind, message) => violations.push(`${remote} ${kind}: ${message}`),
    ...init
  })
  await checks.start()
  const rowBytes = 2 * world.model.hidden
  const check: SessionParts['check'] = async (committed, computeMs, options) =>
    (await checks.ended({ ...committed, rowBytes }, computeMs, options))?.peer
  return { checks, refuted, violations, parts: { check, refuted: () => checks.refuted } }
}
