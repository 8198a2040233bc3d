/** What this peer has checked of the work of others, with what its swarm and its own stages know. */
import type { Clock } from '../base/clock.ts'
import type { ModelId, PeerId, Range } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import type { Verify } from '../base/signature.ts'
import { commonRevision } from '../base/protocol.ts'
import { checkProtocol } from '../check/frame.ts'
import { type Refuted, WorkChecks } from '../check/service.ts'
import { edgeSize } from '../engine/engine.ts'
import type { StoredModel } from '../model/stored.ts'
import { sameRange } from '../route/view.ts'
import type { Serving } from '../serving/serving.ts'
import type { SessionParts } from '../session/parts.ts'
import { sha256 } from '../stage/committing-service.ts'
import type { StageService } from '../stage/service-init.ts'
import type { KnownWorkFile } from './known-work.ts'
import type { SwarmRecord } from '../swarm/record.ts'
import type { Swarm } from '../swarm/swarm.ts'

export interface OwnChecksInit {
  readonly swarm: Swarm
  readonly stages: StageService
  readonly serving: () => Serving
  readonly verify: Verify
  readonly clock: Clock
  readonly rng: Rng
  /** Where it is kept. @default nowhere */
  readonly file?: KnownWorkFile | undefined
  readonly onRefuted: (refuted: Refuted) => void
}

/** Whether a peer answers questions about work. */
function speaksOfWork({ protocols = [] }: SwarmRecord): boolean {
  return commonRevision(checkProtocol, protocols) !== undefined
}

export function createChecks({ swarm, stages, serving, file, ...init }: OwnChecksInit): WorkChecks {
  /** Peers at hand that answer such questions. */
  const heard = (): SwarmRecord[] =>
    swarm
      .records()
      .flatMap(({ record, connected, contact }) =>
        (connected || contact) && record.peer !== swarm.id && speaksOfWork(record) ? [record] : []
      )
  const checks = new WorkChecks({
    ...init,
    ...(file === undefined ? {} : { known: file.entries, onKnown: change => file.changed(change) }),
    links: swarm.links,
    digest: sha256,
    keptRows: (driver, session, range) => stages.committing?.keptRows(driver, session, range),
    engineOf: (model, range) => serving().get(model)?.engineOf(range),
    classOf: (peer, model) => swarm.recordOf(peer)?.models.find(offer => offer.model === model)?.numericClass,
    holdersOf: (model: ModelId, range: Range) =>
      heard().flatMap(({ peer, stages: offers }) =>
        offers.some(each => each.model === model && each.serving && sameRange(each, range)) ? [peer] : []
      ),
    peers: () => heard().map(({ peer }) => peer),
    givesWay: () => stages.stats.waiting > 0,
    onViolation: (peer, kind, message) => swarm.reportViolation(peer, kind, message)
  })
  file?.follow(() => checks.known)
  return checks
}

/** What a session of a model asks of them. */
export function checking(
  checks: Pick<WorkChecks, 'ended' | 'refuted'> | undefined,
  { manifest }: Pick<StoredModel, 'manifest'>
): Pick<SessionParts, 'check' | 'refuted'> {
  if (checks === undefined) return {}
  const rowBytes = manifest.config.hidden * edgeSize(manifest.edge)
  return {
    check: async (committed, computeMs, options): Promise<PeerId | undefined> =>
      (await checks.ended({ ...committed, rowBytes }, computeMs, options))?.peer,
    refuted: () => checks.refuted
  }
}

/** For people: who was found out, and what becomes of that. */
export function refutedSentence({ peer, model, range: { start, end }, message }: Refuted): string {
  const what = `layers ${start}-${end} of ${model.slice(0, 12)}`
  return `${peer} has signed work that it did not do, ${what} (${message}): no answer of this peer goes through it any more`
}

/** For people: what becomes of a session that was kept. */
export function voidSentence(name: string, peer: PeerId): string {
  return `the answer of the session ${name} is made anew: ${peer} has computed a part of it, and has signed work that it did not do`
}
