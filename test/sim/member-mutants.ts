/** Faults planted in what decides who is a member; worlds of members (`sim/members-world.ts`) must find each. */
import type { Mutant } from './mutants.ts'

const ledger = 'src/trust/ledger.ts'
const admission = 'src/trust/admission.ts'
const time = 'src/trust/time.ts'
const service = 'src/swarm/membership-service.ts'

const planted: readonly Omit<Mutant, 'storm'>[] = [
  {
    name: 'give no statements to who lacks them',
    file: ledger,
    original: 'const lacked = [...this.#items.values()].filter(({ name }) => !known.has(name))',
    mutated:
      'const lacked = [...this.#items.values()].filter(({ name, statement }) => !known.has(name) && statement === undefined)',
    from: 3,
    seeds: 20
  },
  {
    name: 'tell neighbours nothing',
    file: service,
    original: 'if (items.length > 0) this.#tell(items, from)',
    mutated: '',
    from: 2,
    seeds: 20
  },
  {
    name: 'keep the connection to who is revoked',
    file: service,
    original: 'this.#running?.onRefused(peer, refusal)',
    mutated: '',
    from: 2,
    seeds: 20
  },
  {
    name: 'let a certificate never end',
    file: ledger,
    original: 'if (nowMs >= notAfterMs)',
    mutated: 'if (nowMs >= Number.MAX_SAFE_INTEGER)',
    from: 3,
    seeds: 20
  },
  {
    name: 'admit two machines by one invitation',
    file: ledger,
    original: 'if (users !== undefined && users.size > 1)',
    mutated: 'if (users !== undefined && users.size > 2)',
    from: 12,
    seeds: 20
  },
  {
    name: 'give the newest secret with a refusal',
    file: admission,
    original: 'if (!standing.isMember) return this.#refuse(standing.refusal)',
    mutated:
      'if (!standing.isMember) return { ...this.#refuse(standing.refusal), send: this.#encode({ secrets: this.#secretsFor(), verdict: { refusal: standing.refusal } }) }',
    from: 3,
    seeds: 20
  },
  {
    name: 'believe a clock that jumps',
    file: time,
    original: 'if (ahead <= clockToleranceMs || this.#confirms(ahead, steadyMs))',
    mutated: 'if (ahead >= 0)',
    from: 94,
    seeds: 20
  },
  {
    name: 'begin in 1970',
    file: time,
    original: 'let timeMs = Math.max(expected ?? Math.max(wallMs, this.#startMs), this.#floorMs)',
    mutated: 'let timeMs = expected ?? wallMs',
    from: 3,
    seeds: 20
  },
  {
    name: 'never give way to two members who agree on the time',
    file: time,
    original: 'if (agreeing < 2 || 2 * agreeing <= apart.length) return nowMs',
    mutated: 'if (agreeing < 2 || 2 * agreeing <= apart.length || middle !== 0) return nowMs',
    from: 17,
    seeds: 20
  },
  {
    name: 'take the secrets of every other epoch alone',
    file: service,
    original: 'if (isBegun) this.#epochs.add({ epoch, secret }, this.#clock.nowMs())',
    mutated: 'if (isBegun && epoch % 2 === 1) this.#epochs.add({ epoch, secret }, this.#clock.nowMs())',
    from: 3,
    seeds: 20
  },
  {
    name: 'keep a secret from who has another one of the same number',
    file: admission,
    original: 'if (theirs > desk.epoch || (theirs === desk.epoch && sameBytes(secret, desk.secretDigest))) return []',
    mutated: 'if (theirs >= desk.epoch) return []',
    from: 1098,
    seeds: 20
  },
  {
    name: 'never go back behind the time at which it ran last',
    file: time,
    original: 'if (timeMs < this.#floorMs) return nowMs',
    mutated: 'if (timeMs < Math.max(this.#floorMs, this.#startMs)) return nowMs',
    from: 1756,
    seeds: 20
  },
  {
    name: 'let a deputy revoke a key that signs models',
    file: ledger,
    original: '[...this.deputies(), ...this.modelKeys()].some(',
    mutated: 'this.deputies().some(',
    from: 9,
    seeds: 20
  },
  {
    name: 'forget what was known at a restart',
    file: service,
    original: 'for (const item of [...items, itemOfCertificate(file.certificate)]) this.#restore(item, nowMs)',
    mutated: 'for (const item of [itemOfCertificate(file.certificate)]) this.#restore(item, nowMs)',
    from: 2,
    seeds: 20
  }
]

export const memberMutants: readonly Mutant[] = planted.map(mutant => ({ ...mutant, storm: 'members' }))
