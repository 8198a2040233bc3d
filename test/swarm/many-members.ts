/**
 * A connected swarm with many members in one process, of real libp2p hosts on loopback: how long a revocation is on its way to everybody, what a half
 * learns that was cut off, and whether old disks bring anybody back.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { PeerId } from '../../src/base/ids.ts'
import { initMembers, inviteMember, joinSwarm } from '../../src/peer/enrolment.ts'
import { keepItems } from '../../src/peer/known-members.ts'
import { revokeMember } from '../../src/peer/revoking.ts'
import { membershipWriteMs } from '../../src/swarm/membership-limits.ts'
import { createSwarm } from '../../src/swarm/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'

const hourMs = 3_600_000
const limitMs = 120_000

interface Member {
  readonly name: string
  readonly id: PeerId
  /** Undefined while it is stopped. */
  swarm: Swarm | undefined
}

export class ManyMembers {
  readonly members: Member[] = []
  readonly #root: string
  #names = 0

  private constructor(root: string) {
    this.#root = root
  }

  /** Starts so many, and waits until all are connected with all. */
  static async start(count: number): Promise<ManyMembers> {
    const all = new ManyMembers(await mkdtemp(join(tmpdir(), 'skein-many-')))
    await initMembers({ file: join(all.#root, 'swarm.json'), authority: all.#authority, name: 'many' })
    for (let i = 0; i < count; i++) await all.add()
    await all.whole()
    return all
  }

  get #authority(): string {
    return join(this.#root, 'authority.key')
  }

  #dirOf(name: string): string {
    return join(this.#root, name)
  }

  /** One more, which knows the first that runs. */
  async add(): Promise<Member> {
    const name = `member-${this.#names++}`
    const text = await inviteMember(this.#authority, { roles: ['driver', 'stage'], lifeMs: 24 * hourMs })
    const { peer } = await joinSwarm(text, this.#dirOf(name))
    const member: Member = { name, id: peer, swarm: undefined }
    await this.run(member, this.running.slice(0, 1))
    this.members.push(member)
    return member
  }

  get running(): (Member & { readonly swarm: Swarm })[] {
    return this.members.filter((member): member is Member & { swarm: Swarm } => member.swarm !== undefined)
  }

  /** Starts one from its disk. It knows these, and whom it remembers. */
  async run(member: Member, known: readonly Member[]): Promise<Swarm> {
    member.swarm = await createSwarm({
      dataDir: this.#dirOf(member.name),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      neighbours: false,
      bootstrap: known.flatMap(({ swarm }) => [...(swarm?.addresses ?? [])])
    })
    return member.swarm
  }

  async halt(members: readonly Member[]): Promise<void> {
    await Promise.all(
      members.map(async member => {
        await member.swarm?.stop()
        member.swarm = undefined
      })
    )
  }

  /** Until these are connected with one another and nobody else is missing. */
  async whole(of: readonly Member[] = this.running): Promise<void> {
    const ids = new Set(of.map(({ id }) => id))
    await until(
      () => of.every(({ swarm }) => connectedOf(swarm!).filter(id => ids.has(id)).length === of.length),
      'they do not all meet'
    )
  }

  /** Revokes one, at a member that runs, and leaves it to go on as it likes. */
  async revoke(victim: Member, at: Member): Promise<void> {
    // What has just come is on disk.
    await delay(2.5 * membershipWriteMs)
    const init = { authority: this.#authority, dataDir: this.#dirOf(at.name), reason: 'lost' }
    const items = await revokeMember(victim.id, init)
    if (at.swarm === undefined) await keepItems(this.#dirOf(at.name), items)
    else at.swarm.membership!.give(items)
  }

  /** ms from now until each of these refuses somebody and is not connected with it. */
  async refusedAfter(victim: Member, by: readonly Member[]): Promise<number[]> {
    const startMs = performance.now()
    const waiting = new Set(by)
    const times: number[] = []
    await until(() => {
      for (const member of waiting) {
        if (!refuses(member.swarm!, victim.id)) continue
        waiting.delete(member)
        times.push(performance.now() - startMs)
      }
      return waiting.size === 0
    }, 'a member does not refuse it')
    return times
  }

  /** Copies of the disks of these, as they are now. */
  async copyDisks(members: readonly Member[]): Promise<() => Promise<void>> {
    await delay(2.5 * membershipWriteMs)
    const copyOf = ({ name }: Member): string => `${this.#dirOf(name)}.old`
    for (const member of members) {
      await copyLiving(this.#dirOf(member.name), copyOf(member))
    }
    return async () => {
      for (const member of members) {
        await rm(this.#dirOf(member.name), { recursive: true })
        await cp(copyOf(member), this.#dirOf(member.name), { recursive: true })
      }
    }
  }

  async stop(): Promise<void> {
    await this.halt(this.members)
    await rm(this.#root, { recursive: true, force: true })
  }
}

/** Copies the directory of a peer that runs: files are renamed under whoever reads it, who then begins anew. */
async function copyLiving(from: string, to: string): Promise<void> {
  const filter = (path: string): boolean => !/\.(sock|new)$|\/lock$/.test(path)
  for (let attempt = 1; ; attempt++) {
    try {
      await cp(from, to, { recursive: true, filter })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === 10) throw error
      await rm(to, { recursive: true, force: true })
    }
  }
}

/** Whether a member refuses somebody: by its ledger, and in that nothing of it is here. */
export function refuses(swarm: Swarm, id: PeerId): boolean {
  return (
    swarm.membership!.refusalOf(id)?.includes('was revoked') === true &&
    swarm.records().every(({ record }) => record.peer !== id) &&
    !swarm.hears(id)
  )
}

function connectedOf(swarm: Swarm): PeerId[] {
  return swarm.records().flatMap(({ record, connected }) => (connected ? [record.peer] : []))
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error(`within ${limitMs} ms: ${what}`)
    await delay(5)
  }
}

/** What each of these took, in ms. */
export interface ManyFigures {
  /** From a revocation until each other one refuses, all rounds together. */
  readonly pushedMs: readonly number[]
  /** From the first connection of one of the half that was cut off with one of the other half, until each of its half refuses. */
  readonly metMs: readonly number[]
  /** From the start of half of them with old disks, and of the captured one, until each refuses. */
  readonly oldMs: readonly number[]
  /** Whether the captured one was connected with anybody in the time that it was looked at then. */
  readonly isBack: boolean
}

/** One after another in a connected swarm: revocations, a split and a meeting, old disks. */
export async function measureMany(
  count: number,
  { rounds, lookMs, say }: { readonly rounds: number; readonly lookMs: number; readonly say: (line: string) => void }
): Promise<ManyFigures> {
  const all = await ManyMembers.start(count)
  try {
    say(`${count} members are connected with one another`)
    const pushedMs: number[] = []
    for (let round = 0; round < rounds; round++) {
      const [victim, at] = [all.members.pop()!, all.members[round % all.members.length]!]
      await all.revoke(victim, at)
      const times = await all.refusedAfter(victim, all.members)
      say(`${round + 1}: refused by all ${times.length} within ${Math.max(...times).toFixed(0)} ms`)
      pushedMs.push(...times)
      await all.halt([victim])
      await all.add()
      await all.whole()
    }
    const metMs = await split(all, say)
    say(`it has it from all ${metMs.length} within ${Math.max(...metMs).toFixed(0)} ms`)
    const { oldMs, isBack } = await oldDisks(all, lookMs)
    return { pushedMs, metMs, oldMs, isBack }
  } finally {
    await all.stop()
  }
}

/** Both halves start anew with other ports, so that neither finds the other one; one of them hears of a revocation. */
async function split(all: ManyMembers, say: (line: string) => void): Promise<number[]> {
  const victim = all.members.pop()!
  const middle = all.members.length >> 1
  const halves = [all.members.slice(0, middle), all.members.slice(middle)] as const
  await all.halt([victim, ...all.members])
  for (const half of halves) {
    for (const member of half) await all.run(member, half.filter(({ swarm }) => swarm !== undefined).slice(0, 1))
    await all.whole(half)
  }
  const [one, other] = halves
  await all.revoke(victim, one[0]!)
  await all.refusedAfter(victim, one)
  if (other.some(({ swarm }) => swarm!.membership!.refusalOf(victim.id) !== undefined))
    throw new Error('the halves are not apart')
  say('a half has heard of a revocation, the other one has not')
  const bridge = other.at(-1)!
  await all.halt([bridge])
  const starting = all.run(bridge, [one.at(-1)!, other[0]!])
  await until(() => one.some(({ swarm }) => swarm!.hears(bridge.id)), 'the halves do not meet')
  const startMs = performance.now()
  await starting
  const sinceMs = performance.now() - startMs
  const times = await all.refusedAfter(victim, other)
  return times.map(ms => ms + sinceMs)
}

/** Half of them, and the captured one, start with disks of before its revocation. */
export async function oldDisks(
  all: ManyMembers,
  lookMs: number
): Promise<{ readonly oldMs: number[]; readonly isBack: boolean }> {
  const victim = all.members.pop()!
  const half = all.members.slice(all.members.length >> 1)
  const rest = all.members.slice(0, all.members.length >> 1)
  const putBack = await all.copyDisks([...half, victim])
  await all.revoke(victim, rest[0]!)
  await all.refusedAfter(victim, all.members)
  await all.halt([...half, victim])
  await putBack()
  const startMs = performance.now()
  await all.run(victim, rest)
  for (const member of half) await all.run(member, [rest[0]!, victim])
  const sinceMs = performance.now() - startMs
  const times = await all.refusedAfter(victim, all.members)
  let isBack = false
  const endMs = performance.now() + lookMs
  while (performance.now() < endMs) {
    isBack ||= all.members.some(({ swarm }) => swarm!.hears(victim.id) || !refuses(swarm!, victim.id))
    await delay(20)
  }
  await all.halt([victim])
  return { oldMs: times.map(ms => ms + sinceMs), isBack }
}
