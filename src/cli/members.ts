/** Who is a member of a swarm: invite, join, members, revoke, renew, deputy, rotate. */
import { text } from 'node:stream/consumers'
import {
  certifySigner,
  type DeputyFacts,
  deputise,
  InvalidAuthorityError,
  InvalidOptionError,
  inviteMember,
  joinSwarm,
  keepItems,
  type MemberFacts,
  membersOf,
  momentText,
  PeerNotRunningError,
  type Power,
  readSigners,
  readStoredText,
  reasonOf,
  renewMember,
  revokeKey,
  revokeMember,
  type Role,
  succeedAuthority,
  type PeerId
} from '../index.ts'
import type { CommandContext } from './context.ts'
import { askLearnMembers } from './control-client.ts'
import { invitationBytesMax } from './limits.ts'
import { say, sayJson, write } from './output.ts'

/** What is granted. */
export interface GrantFlags {
  readonly authority: string
  /** @default those of a machine that serves and asks */
  readonly role?: readonly Role[] | undefined
  readonly label?: readonly string[]
  readonly attest?: string | undefined
  readonly for: number
  readonly json?: boolean
}

const usualRoles: readonly Role[] = ['driver', 'stage', 'keeper', 'source']
const granted = ({ role = usualRoles, label, attest, for: lifeMs }: GrantFlags) => ({
  roles: role,
  labels: label ?? [],
  attestKey: attest,
  lifeMs
})

/** Prints a line for one machine to join with. @throws {InvalidAuthorityError} {InvalidOptionError} */
export async function invite(flags: GrantFlags): Promise<void> {
  const text = await inviteMember(flags.authority, granted(flags))
  if (flags.json)
    sayJson({
      event: 'invitation',
      text: text.trim(),
      roles: granted(flags).roles,
      labels: flags.label ?? [],
      ...(flags.attest === undefined ? {} : { attestKey: flags.attest }),
      forMs: flags.for
    })
  else write(text)
}

/** @throws what `joinSwarm` throws */
export async function joinBy(file: string, { data, json }: { data: string; json?: boolean }): Promise<void> {
  const joined = await joinSwarm(await readInvitation(file), data, file === '-' ? 'what stdin gave' : file)
  if (json) {
    sayJson({ event: 'joined', ...joined })
    return
  }
  const labels = joined.labels.length === 0 ? '' : ` (${joined.labels.join(', ')})`
  say(
    `${joined.peer} is a member of ${joined.name} until ${momentText(joined.notAfterMs)} as ${joined.roles.join(', ')}${labels}`
  )
  say(
    `next: skein up --data ${data}; the invitation is used up, and worth nothing to anybody else once this machine was seen`
  )
}

/** A line from a file or from stdin. */
async function readInvitation(file: string): Promise<string> {
  try {
    if (file !== '-') return await readStoredText(file, invitationBytesMax)
    return (await text(process.stdin)).slice(0, invitationBytesMax)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new InvalidAuthorityError(
      missing ? `there is no invitation ${file}` : `${file} cannot be read: ${reasonOf(error)}`
    )
  }
}

/** @throws {InvalidMembershipError} when the machine has joined no swarm with members */
export async function members({ data, json }: { data: string; json?: boolean }): Promise<void> {
  const known = await membersOf(data)
  if (json) {
    sayJson({ event: 'members', ...known })
    return
  }
  const count = known.members.filter(({ refusal }) => refusal === undefined).length
  say(`${known.name}: ${count} ${count === 1 ? 'member is' : 'members are'} known here`)
  for (const member of known.members) say(describeMember(member))
  for (const deputy of known.deputies) say(describeDeputy(deputy))
  for (const { key, notAfterMs, refusal } of known.modelKeys) {
    say(`  model key ${key}  ${refusal ?? `signs models, until ${momentText(notAfterMs)}`}`)
  }
  for (const alarm of known.alarms) say(`! ${alarm}`)
}

/** One line for a person. */
export function describeMember({ peer, roles, labels, attestKey, notAfterMs, refusal }: MemberFacts): string {
  const key = attestKey === undefined ? '' : `, evidence by ${attestKey.slice(0, 16)}`
  const what =
    refusal ??
    `${roles.join(', ') || 'no role'}${labels.length === 0 ? '' : ` (${labels.join(', ')})`}, until ${momentText(notAfterMs)}${key}`
  return `  ${peer}  ${what}`
}

function describeDeputy({ key, powers, notAfterMs, refusal }: DeputyFacts): string {
  return `  deputy ${key}  ${refusal ?? `may ${powers.join(' and ')}, until ${momentText(notAfterMs)}`}`
}

export interface RevokeFlags {
  readonly authority: string
  readonly data: string
  readonly reason?: string
  /** Of a deputy: it may be the last one that may revoke. */
  readonly last?: boolean
  readonly json?: boolean
}

/** Revokes a member, through the running peer or on the disk of one that does not run. @throws what `revokeMember` throws */
export async function revoke(peer: string, flags: RevokeFlags, context: CommandContext): Promise<void> {
  const { authority, data: dataDir, reason } = flags
  const init = { authority, dataDir, ...(reason === undefined ? {} : { reason }) }
  const isPeer = peer.startsWith('12D3KooW')
  if (isPeer && flags.last === true) throw new InvalidOptionError('--last goes with the key of a deputy')
  const items = isPeer
    ? await revokeMember(peer as PeerId, init)
    : await revokeKey(peer, { ...init, isLast: flags.last === true })
  const isTold = await give(dataDir, items, context)
  if (flags.json) sayJson({ event: 'revoked', peer, told: isTold })
  else
    say(
      `${peer} is revoked${isTold ? ', and all who are connected have been told' : `: the others hear of it when the peer of ${dataDir} starts`}`
    )
}

/** What is granted anew, and what was before where nothing else is said: as far as it is known in `data`. */
async function grantedAgain(
  peer: string,
  flags: GrantFlags & { readonly data?: string }
): Promise<ReturnType<typeof granted>> {
  const known = flags.data === undefined ? [] : (await membersOf(flags.data)).members
  const before = known.find(member => member.peer === peer)
  return granted({
    ...flags,
    role: flags.role ?? before?.roles,
    label: flags.label ?? before?.labels ?? [],
    attest: flags.attest ?? before?.attestKey
  })
}

/** Gives a member another certificate, wherever it is; prints a line to carry to it where no peer runs here. */
export async function renew(
  peer: string,
  flags: GrantFlags & { readonly data?: string },
  context: CommandContext
): Promise<void> {
  const { text, item } = await renewMember(flags.authority, peer as PeerId, await grantedAgain(peer, flags))
  if (flags.data === undefined) {
    if (flags.json) sayJson({ event: 'renewed', peer, text: text.trim(), told: false })
    else write(text)
    return
  }
  const isTold = await give(flags.data, [item], context)
  if (flags.json) sayJson({ event: 'renewed', peer, told: isTold })
  else
    say(
      `${peer} has a new certificate${isTold ? ', which goes to it through the swarm' : `, which the peer of ${flags.data} tells when it starts`}`
    )
}

/** The key goes to a file, else to stdout as an invitation does. */
export async function deputy(
  file: string | undefined,
  { may, ...flags }: GrantFlags & { readonly may: readonly Power[]; readonly data?: string },
  context: CommandContext
): Promise<void> {
  const { item, text } = await deputise(flags.authority, file, { ...granted(flags), powers: may })
  if (flags.data !== undefined) await give(flags.data, [item], context)
  if (flags.json) sayJson({ event: 'deputy', ...(file === undefined ? { text } : { file }), may, forMs: flags.for })
  else if (file === undefined) write(text)
  else say(`${file} may ${may.join(' and ')} for its time, and nothing else`)
}

/** Has a key sign models for a time. @throws what `readSigners` and `certifySigner` throw */
export async function certify(
  given: string,
  flags: { readonly authority: string; readonly for: number; readonly data: string; readonly json?: boolean },
  context: CommandContext
): Promise<void> {
  const [key] = await readSigners([given])
  const { item } = await certifySigner(flags.authority, key!, { lifeMs: flags.for })
  const isTold = await give(flags.data, [item], context)
  if (flags.json) sayJson({ event: 'certified', key, forMs: flags.for, told: isTold })
  else
    say(
      `${key} signs models for its time${isTold ? ', and all who are connected have been told' : `: the others hear of it when the peer of ${flags.data} starts`}`
    )
}

/** Names another authority. */
export async function rotate(
  file: string,
  flags: RevokeFlags & { readonly revokeFirst?: boolean },
  context: CommandContext
): Promise<void> {
  const { authority, data: dataDir, reason, revokeFirst: revokesFirst = false } = flags
  const items = await succeedAuthority({
    authority,
    dataDir,
    file,
    revokesFirst,
    ...(reason === undefined ? {} : { reason })
  })
  const isTold = await give(dataDir, items, context)
  if (flags.json) sayJson({ event: 'rotated', file, told: isTold, revokedFirst: revokesFirst })
  else
    say(
      `${file} is an authority of this swarm now${revokesFirst ? ', and the only one: whom the ones before it named has to be invited anew' : ''}`
    )
}

/** @returns whether a running peer has taken them and told the others */
async function give(dataDir: string, items: readonly Uint8Array[], { signal }: CommandContext): Promise<boolean> {
  try {
    await askLearnMembers(dataDir, items, { signal })
    return true
  } catch (error) {
    if (!(error instanceof PeerNotRunningError)) throw error
    await keepItems(dataDir, items)
    return false
  }
}
