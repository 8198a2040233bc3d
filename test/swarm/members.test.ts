/** Swarms with members, of real hosts on loopback: who gets in, who is put out, and how fast. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { initMembers, inviteMember, joinSwarm, renewMember } from '../../src/peer/enrolment.ts'
import { keepItems, membersOf } from '../../src/peer/known-members.ts'
import { revokeMember, succeedAuthority } from '../../src/peer/revoking.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'
import { type MemberFile, readMemberFile } from '../../src/swarm/member-file.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { type Grant, issue, swarmIdOf } from '../../src/trust/grant.ts'
import { type KeyText, keyText } from '../../src/trust/keys.ts'
import type { Role } from '../../src/trust/roles.ts'
import { signingKey } from '../../src/trust/signing-key.ts'
import { dialAt, rawPeer } from '../adversary/raw-peer.ts'

const hour = 3_600_000
let root = ''
let authority = ''
const running: Swarm[] = []
const warnings = new Map<PeerId, string[]>()

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'skein-members-'))
  authority = join(root, 'authority.key')
  await initMembers({ file: join(root, 'swarm.json'), authority, name: 'fliers' })
})

afterEach(async () => {
  await Promise.all(running.splice(0).map(swarm => swarm.stop()))
  warnings.clear()
  await rm(root, { recursive: true, force: true })
})

const dirOf = (name: string): string => join(root, name)

async function join_(name: string, roles: Role[] = ['driver', 'stage'], by = authority): Promise<PeerId> {
  const text = await inviteMember(by, { roles, labels: ['zone=air'], lifeMs: hour })
  return (await joinSwarm(text, dirOf(name))).peer
}

async function start(name: string, bootstrap: readonly string[] = []): Promise<Swarm> {
  const told: string[] = []
  const swarm = await createSwarm({
    dataDir: dirOf(name),
    listen: ['/ip4/127.0.0.1/tcp/0'],
    mdns: false,
    neighbours: false,
    bootstrap,
    onWarning: message => told.push(message)
  })
  warnings.set(swarm.id, told)
  running.push(swarm)
  return swarm
}

const peers = (swarm: Swarm): number => swarm.records().filter(({ connected }) => connected).length

async function until(what: () => boolean, message: string): Promise<void> {
  const limit = performance.now() + 15_000
  while (!what()) {
    if (performance.now() > limit) throw new Error(`${message}: ${JSON.stringify([...warnings])}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** A swarm of members who all know one another. */
async function swarmOf(...names: string[]): Promise<Swarm[]> {
  for (const name of names) await join_(name)
  const swarms: Swarm[] = []
  for (const name of names) swarms.push(await start(name, swarms[0]?.addresses))
  await until(() => swarms.every(swarm => peers(swarm) === names.length), 'they do not all meet')
  return swarms
}

async function revoke(peer: PeerId, from: string, to?: Swarm): Promise<void> {
  // What has just come is on disk within 100 ms.
  await new Promise(resolve => setTimeout(resolve, 250))
  const items = await revokeMember(peer, { authority, dataDir: dirOf(from), reason: 'lost' })
  if (to === undefined) await keepItems(dirOf(from), items)
  else expect(to.membership!.give(items)).toBe(items.length)
}

/** A grant of this swarm, whoever signs it. */
function grantIn({ authority: first, recovery }: MemberFile): Grant {
  return {
    swarm: swarmIdOf(first, recovery),
    issuer: keyText(first),
    subject: keyText(first),
    kind: 'peer',
    serial: '11'.repeat(16),
    notBeforeMs: Date.now() - hour,
    notAfterMs: Date.now() + hour,
    roles: ['driver', 'stage'],
    powers: [],
    labels: []
  }
}

describe('a swarm with members', () => {
  it('has members meet who were invited, and knows what each may', async () => {
    const swarms = await swarmOf('a', 'b', 'c')
    const [a, b] = swarms as [Swarm, Swarm]
    expect(a.membership!.may(b.id, 'stage')).toBe(true)
    expect(a.membership!.may(b.id, 'keeper')).toBe(false)
    const { name, members } = await membersOf(dirOf('a'))
    expect(name).toBe('fliers')
    await until(() => a.membership!.ledger.certificates().length === 3, 'certificates do not travel')
    expect(members[0]).toMatchObject({ labels: ['zone=air'], refusal: undefined })
  })

  it('lets nobody in without a good certificate, whatever secret it has, and says why to both', async () => {
    const [a, b] = (await swarmOf('a', 'b')) as [Swarm, Swarm]
    const stolen = (await readMemberFile(dirOf('a')))!
    const stranger = signingKey()
    const other = { ...grantIn(stolen), issuer: stranger.key }
    const cases: [string, (own: KeyText) => Uint8Array][] = [
      ['signed by no authority of this swarm', own => issue([], { ...other, subject: own }, stranger.sign)],
      ['of another swarm', own => issue([], { ...other, subject: own, swarm: '00'.repeat(32) }, stranger.sign)],
      ['has no certificate of this swarm', () => b.membership!.certificate.bytes]
    ]
    for (const [why, certificate] of cases) {
      const refused: string[] = []
      const rogue = await rawPeer({ stolen, certificate, onRefused: text => refused.push(text) })
      await expect(dialAt(rogue, a.addresses)).rejects.toThrow()
      await until(() => warnings.get(a.id)!.some(text => text.includes(why)), `not told of: ${why}`)
      expect(refused.join()).toContain(why)
      expect(a.records().some(({ record }) => record.peer === rogue.self)).toBe(false)
      await rogue.stop()
    }
    expect(a.violations()['refused admission']).toBe(3)
    expect(peers(a)).toBe(2)
  })

  it('refuses and names a member that does what it has no role for, whatever it tries, and harms nobody (T15)', async () => {
    const [a, b] = (await swarmOf('a', 'b')) as [Swarm, Swarm]
    const taken: string[] = []
    const names = ['/skein/stage', '/skein/infer', '/skein/keep', '/skein/shards']
    for (const name of names) {
      await a.links.handle({ name, revisions: ['1.0.0'] }, { inboundMax: 8, frameBytesMax: 1_024 }, channel =>
        taken.push(`${name} of ${channel.remote}`)
      )
    }
    const viewer = await join_('viewer', ['viewer'])
    const file = (await readMemberFile(dirOf('viewer')))!
    const identity = await loadIdentity(dirOf('viewer'))
    // It speaks whatever it likes, with a good certificate.
    const rogue = await rawPeer({ stolen: file, certificate: () => file.certificate, identity })
    await dialAt(rogue, a.addresses)
    for (const name of names) {
      const channel = await rogue.open(a.id, { name, revisions: ['1.0.0'] }, { signal: AbortSignal.timeout(5_000) })
      const ended = new Promise(resolve => channel.receive({ onFrame: () => {}, onClose: resolve }))
      channel.send(new Uint8Array(16))
      await ended
    }
    expect(taken).toEqual([])
    expect(a.violations()['wrong role']).toBe(names.length)
    expect(a.membership!.refusalOf(viewer), 'it stays what it is').toBeUndefined()
    // A driver is let in beside it, and a peer opens no channel that its own certificate does not allow.
    await b.links
      .open(a.id, { name: '/skein/keep', revisions: ['1.0.0'] }, { signal: AbortSignal.timeout(5_000) })
      .catch(() => {})
    const channel = await b.links.open(
      a.id,
      { name: '/skein/stage', revisions: ['1.0.0'] },
      { signal: AbortSignal.timeout(5_000) }
    )
    await until(() => taken.length === 1, 'the driver is kept out')
    channel.abort(new Error('enough'))
    await rogue.stop()
    expect(peers(a)).toBe(2)
  })

  it('puts a revoked member out at once, everywhere, and it does not come back with what it has', async () => {
    const [a, b, c, d] = (await swarmOf('a', 'b', 'c', 'd')) as [Swarm, Swarm, Swarm, Swarm]
    const lost = d.id
    const began = performance.now()
    await revoke(lost, 'a', a)
    await until(() => [a, b, c].every(swarm => swarm.records().every(({ record }) => record.peer !== lost)), 'it stays')
    expect(performance.now() - began).toBeLessThan(10_000)
    await until(() => peers(d) === 1, 'the lost one keeps its connections')
    expect([a, b, c].map(swarm => swarm.membership!.epoch)).toEqual([2, 2, 2])
    expect(d.membership!.epoch).toBe(1)
    await until(() => warnings.get(d.id)!.join().includes('was revoked: lost'), 'it is not told')
  })

  it('has a captured member that hides its revocation from itself stand at the door in vain', async () => {
    const [a, b, d] = (await swarmOf('a', 'b', 'd')) as [Swarm, Swarm, Swarm]
    await d.stop()
    await revoke(d.id, 'a', a)
    await until(() => b.membership!.epoch === 2, 'the epoch does not travel')
    const again = await start('d', a.addresses)
    await until(
      () =>
        warnings
          .get(again.id)!
          .some(text => text.includes('does not admit this peer') && text.includes('was revoked: lost')),
      'nobody tells it'
    )
    expect(again.membership!.epoch).toBe(1)
    expect(again.records().filter(({ connected }) => connected)).toHaveLength(1)
  })

  it('lets a member in by the door that has slept through two epochs, and gives it the newest secret', async () => {
    const [a, b, c, d, e] = (await swarmOf('a', 'b', 'c', 'd', 'e')) as [Swarm, Swarm, Swarm, Swarm, Swarm]
    await e.stop()
    for (const [n, lost] of [c, d].entries()) {
      await revoke(lost.id, 'a', a)
      await until(() => b.membership!.epoch === n + 2, 'the epoch does not travel')
    }
    const awake = await start('e', a.addresses)
    await until(() => peers(awake) === 3, 'it is not let in')
    expect(awake.membership!.epoch).toBe(3)
  })

  it('has half a swarm that was restarted from old disks not bring a revoked member back', async () => {
    const [a, b, c, d] = (await swarmOf('a', 'b', 'c', 'd')) as [Swarm, Swarm, Swarm, Swarm]
    for (const swarm of [c, d]) await swarm.stop()
    await revoke(b.id, 'a', a)
    await b.stop()
    const [c2, d2] = [await start('c', a.addresses), await start('d', a.addresses)]
    await until(() => [a, c2, d2].every(swarm => peers(swarm) === 3), 'they do not meet')
    await until(
      () => [c2, d2].every(swarm => swarm.membership!.refusalOf(b.id)?.includes('was revoked') === true),
      'they do not hear of it'
    )
  })

  it('refuses both machines that joined by one invitation, and names them', async () => {
    const [a] = await swarmOf('a')
    const text = await inviteMember(authority, { roles: ['stage'], lifeMs: hour })
    const one = await joinSwarm(text, dirOf('one'))
    const two = await joinSwarm(text, dirOf('two'))
    const first = await start('one', a!.addresses)
    await until(() => peers(a!) === 2, 'the first is let in')
    await start('two', a!.addresses)
    await until(() => peers(a!) === 1, 'both stay')
    const refusal = a!.membership!.refusalOf(one.peer)
    expect(refusal).toContain('by one invitation')
    expect(refusal).toContain(two.peer)
    await until(() => peers(first) === 1, 'the first keeps its connection')
  })

  it('ends a certificate by itself, in the middle of a connection', async () => {
    const [a] = await swarmOf('a')
    const text = await inviteMember(authority, { roles: ['stage'], lifeMs: 4_000 })
    const { peer } = await joinSwarm(text, dirOf('short'))
    await start('short', a!.addresses)
    await until(() => peers(a!) === 2, 'it is not let in')
    await until(() => peers(a!) === 1, 'it stays')
    expect(a!.membership!.refusalOf(peer)).toContain('ended on')
  })

  it('renews a member while it runs, through any other one', async () => {
    const [a, b] = (await swarmOf('a', 'b')) as [Swarm, Swarm]
    const before = b.membership!.certificate.notAfterMs
    const { item } = await renewMember(authority, b.id, { roles: ['stage', 'keeper'], lifeMs: 10 * hour })
    a.membership!.give([item])
    await until(() => b.membership!.certificate.notAfterMs > before, 'it does not come')
    expect(a.membership!.may(b.id, 'keeper')).toBe(true)
    await b.stop()
    expect((await start('b', a.addresses)).membership!.certificate.notAfterMs).toBeGreaterThan(before)
  })

  it('goes on under another authority when the first is stolen, by the recovery key', async () => {
    const [a, b] = (await swarmOf('a', 'b')) as [Swarm, Swarm]
    const next = join(root, 'next.key')
    const items = await succeedAuthority({
      authority: `${authority}.recovery`,
      dataDir: dirOf('a'),
      file: next,
      revokesFirst: false
    })
    a.membership!.give(items)
    await join_('c', ['stage'], next)
    const c = await start('c', b.addresses)
    await until(() => peers(c) === 3, 'whom the new authority has let in stays out')
  })
})
