/** Whether this machine may ask anything. Pure. */
import { NotAdmittedError } from '../errors.ts'
import type { Swarm } from '../swarm/swarm.ts'

/** @throws {NotAdmittedError} when this peer's certificate gives it no sessions */
export function checkMayDrive({ id, membership }: Pick<Swarm, 'id' | 'membership'>): void {
  if (membership?.may(id, 'driver') === false) {
    throw new NotAdmittedError('this machine may ask nothing: its certificate does not have the role driver')
  }
}
