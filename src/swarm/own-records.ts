/** What a swarm that starts decides by who is here: `records.ts` with this peer's key, chance and clock. */
import { randomBytes } from 'node:crypto'
import { type Identity, verifySignature } from './identity.ts'
import type { Membership } from './membership-service.ts'
import { runBytes } from './record.ts'
import { Records } from './records.ts'

export interface OwnRecordsInit {
  readonly identity: Identity
  /** The last seq that was used before. */
  readonly seq: number
  readonly recordsMax: number | undefined
  readonly membership: Membership | undefined
}

export function recordsOf({ identity, seq, recordsMax, membership }: OwnRecordsInit): Records {
  const life = { run: randomBytes(runBytes).toString('hex'), startMs: performance.now() }
  return new Records({
    self: identity.id,
    sign: identity.sign,
    verify: verifySignature,
    seq,
    life,
    liveMax: recordsMax,
    ...(membership === undefined ? {} : { isMember: peer => membership.refusalOf(peer) === undefined })
  })
}
