/** Whether this machine is a member of its swarm, where that has members. Pure. */
import { momentText } from '../base/moments.ts'
import type { KnownMembers } from '../peer/known-members.ts'
import { certificateEndsSoonMs } from '../peer/limits.ts'
import { fail, type Finding, ok, warn } from './finding.ts'
import { clockBehindMs } from './limits.ts'

/** @param known undefined where it has joined no swarm with members */
export function membershipFindings(
  known: KnownMembers | { readonly problem: string } | undefined,
  wallMs: number
): Finding[] {
  if (known === undefined) return []
  if ('problem' in known) {
    return [
      fail(
        'membership',
        `The membership cannot be used: ${known.problem}`,
        'Join anew: skein invite where the authority is, skein join here.'
      )
    ]
  }
  const { name, self, members, alarms, signedMs } = known
  const count = members.filter(({ refusal }) => refusal === undefined).length
  const findings = [standingFinding(name, self, wallMs)]
  if (wallMs < signedMs - clockBehindMs) {
    findings.push(
      warn(
        'membership',
        `The clock is ${hours(signedMs - wallMs)} behind what members have signed`,
        'Set it: certificates are looked at by a later time meanwhile.'
      )
    )
  }
  for (const alarm of alarms) {
    findings.push(
      warn(
        'membership',
        alarm,
        'Find out whose key that is, and revoke it where it is in wrong hands: skein revoke, skein rotate.'
      )
    )
  }
  return [...findings, ok('membership', `${count} ${count === 1 ? 'member is' : 'members are'} known here`)]
}

function standingFinding(name: string, self: KnownMembers['self'], wallMs: number): Finding {
  if (self === undefined) {
    return fail(
      'membership',
      `This machine is no member of ${name}`,
      'Join anew: skein invite where the authority is, skein join here.'
    )
  }
  if (self.refusal !== undefined) {
    return fail(
      'membership',
      `This machine is no member of ${name}: ${self.refusal}`,
      'Have it renewed (skein renew); where it was revoked, remove identity.key and member.json and join anew.'
    )
  }
  const leftMs = self.notAfterMs - wallMs
  const until = momentText(self.notAfterMs)
  if (leftMs < certificateEndsSoonMs) {
    return warn(
      'membership',
      `This machine is a member of ${name} until ${until}, which is soon`,
      'Have it renewed before it flies: skein renew.'
    )
  }
  return ok('membership', `This machine is a member of ${name} until ${until}, as ${self.roles.join(', ')}`)
}

function hours(ms: number): string {
  return `${Math.round(ms / 360_000) / 10} hours`
}
