/** What is told of connections that did not come about: handshakes that failed, and who was not admitted. Pure. */
import type { PeerId } from '../base/ids.ts'
import { refusalsToldMax } from './membership-limits.ts'
import type { HandshakeFailure } from './noise.ts'

/** What is said of the first handshake of each kind that fails. */
const warnings: Readonly<Record<HandshakeFailure, string>> = {
  refused: 'a connection was refused: the other end is of another swarm or has a wrong secret',
  unfinished:
    'a connection ended in the middle of its handshake: the other end is of another swarm, has a wrong secret, or gave up'
}

export class HandshakeTally {
  readonly #failed: Record<HandshakeFailure, number> = { refused: 0, unfinished: 0 }
  readonly #onWarning: (message: string) => void
  /** Why each was not admitted last, in the order in which that was new. */
  readonly #refusals = new Map<PeerId, string>()
  #refused = 0

  constructor(onWarning: (message: string) => void) {
    this.#onWarning = onWarning
  }

  failed(how: HandshakeFailure): void {
    if (++this.#failed[how] === 1) this.#onWarning(warnings[how])
  }

  /** Somebody was not admitted, or has not admitted this peer. */
  notAdmitted(peer: PeerId, refusal: string, byRemote: boolean): void {
    this.#refused++
    const said = byRemote ? `${peer} does not admit this peer: ${refusal}` : `not admitted: ${refusal}`
    if (this.#refusals.get(peer) === said) return
    this.#refusals.delete(peer)
    this.#refusals.set(peer, said)
    if (this.#refusals.size > refusalsToldMax) this.#refusals.delete(this.#refusals.keys().next().value!)
    this.#onWarning(said)
  }

  /** A sentence for each kind that there has been. */
  states(): string[] {
    const { refused, unfinished } = this.#failed
    return [
      ...(refused === 0 ? [] : [`${refused} refused: other swarm or wrong secret`]),
      ...(unfinished === 0 ? [] : [`${unfinished} ended half-way: other swarm or wrong secret, or a bad link`]),
      ...this.#refusals.values()
    ]
  }

  counts(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const [how, count] of Object.entries(this.#failed)) if (count > 0) counts[`${how} handshake`] = count
    if (this.#refused > 0) counts['refused admission'] = this.#refused
    return counts
  }
}
