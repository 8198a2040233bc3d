/** The audit log of this peer: who is told of requests, with what its swarm knows of their routes. */
import type { AuditRequest } from '../audit/entry.ts'
import { AuditLog } from '../audit/service.ts'
import { type Clock, systemClock } from '../base/clock.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import type { Keeper } from '../disk/keeping.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { Auditing } from './audited-request.ts'

export interface OwnAudit extends Auditing {
  /** Writes what waits, and ends the log. */
  stop(): Promise<void>
}

/** @throws {DataDirectoryError} when the folder of the log cannot be used */
export async function startAudit({
  swarm,
  dataDir,
  keeping,
  clock = systemClock
}: {
  readonly swarm: Pick<Swarm, 'id' | 'sign' | 'recordOf'>
  readonly dataDir: string
  readonly keeping: Keeper
  readonly clock?: Clock
}): Promise<OwnAudit> {
  const log = await AuditLog.start({ dataDir, member: swarm.id, sign: swarm.sign, keeping, clock })
  return {
    add: (request: AuditRequest) => log.add(request),
    classOf: (peer: PeerId, model: ModelId) =>
      swarm.recordOf(peer)?.models.find(offer => offer.model === model)?.numericClass ?? null,
    stop: () => log.stop()
  }
}
