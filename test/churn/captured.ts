/**
 * `npm run captured`: a machine is captured while it computes. Five peers of a swarm with members, a session under way through three of them; one
 * of these is revoked in mid-answer. Printed: how long each of the others takes to refuse it, whether the answer has the undisturbed tokens, and how long
 * the secret that it knows still opens a handshake.
 *
 * With `--many N` instead: a connected swarm of so many members in this process; printed: how long each takes to refuse who is revoked, how long a half
 * that was cut off takes once it meets the other one, and whether half of them with old disks bring the captured one back.
 *
 *   npm run captured [-- --rounds N] [--many N] [--seed S] [--json]
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { seeded } from '../../src/base/rng.ts'
import { beginRun, runCommand, telling } from './command.ts'
import { quantile } from './figures.ts'
import { measureMany } from '../swarm/many-members.ts'

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    many: { type: 'string' },
    json: { type: 'boolean', default: false }
  }
})
const [rounds, seed, many] = [flags.rounds, flags.seed, flags.many ?? '30'].map(text => {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  console.error(`captured: ${text} is no positive whole number`)
  return process.exit(2)
}) as [number, number, number]

const { say, sayJson } = telling(flags.json)
const prompt = 'Once upon a time, there was a little fox who'
const maxTokens = 200
/** What the issue of a captured machine asks for. */
const refusedWithinMs = 10_000
/** For so long it is looked at whether everybody refuses. */
const lookMs = 30_000

interface Round {
  /** ms from the revocation until each other peer neither knows the captured one nor is connected with it. */
  readonly refusedMs: readonly number[]
  readonly identical: boolean
  readonly pauseMs: number
  /** ms until a handshake with the secret that the captured machine had is refused; undefined when it still is not. */
  readonly secretMs: number | undefined
}

async function main(): Promise<number> {
  const { signal, scratch } = beginRun('skein-captured-')
  const { layouts, skein, startAlone, World } = await import('./world.ts')
  const { openByOldSecret } = await import('./old-secret.ts')
  const alone = await startAlone(scratch, signal)
  const options = { maxTokens, temperature: 0.7, seed: 7 }
  const expected: number[] = []
  for await (const { id } of alone.generate(prompt, { ...options, signal })) expected.push(id)
  const rng = seeded(seed)
  const drawn = <T>(list: readonly T[]): T | undefined => list[Math.floor(rng() * list.length)]
  const all: Round[] = []
  for (let n = 0; n < rounds; n++) {
    // A swarm of its own each time: a revocation is for good.
    const world = await World.start(layouts.find(({ name }) => name === 'five')!, { signal, members: true })
    try {
      all.push(await round())
    } finally {
      await world.stop()
    }

    async function round(): Promise<Round> {
      const { driver, peers } = world
      const tokens: number[] = []
      let victim: (typeof peers)[number] | undefined
      let revokedMs = 0
      let lastMs = 0
      let pauseMs = 0
      let refused: Promise<number[]> = Promise.resolve([])
      const at = 20 + Math.floor(rng() * 60)
      for await (const event of driver.generate(prompt, { ...options, signal }).events()) {
        if (event.event === 'route') victim ??= drawn(event.hops.flatMap(({ peer }) => world.peer(peer) ?? []))
        if (event.event !== 'token') continue
        const nowMs = performance.now()
        if (revokedMs > 0) pauseMs = Math.max(pauseMs, nowMs - lastMs)
        lastMs = nowMs
        tokens.push(event.id)
        if (tokens.length !== at || victim === undefined) continue
        const init = { authority: world.authority, dataDir: join(world.folder, 'driver'), reason: 'captured' }
        const items = await skein.revokeMember(victim.id, init)
        revokedMs = performance.now()
        driver.learnMembers(items)
        refused = whenRefused(victim.id, revokedMs)
      }
      const refusedMs = await refused
      const secretMs = await openByOldSecret({ peer: victim!, at: driver, revokedMs, lookMs, signal })
      const identical = tokens.length === expected.length && tokens.every((id, i) => id === expected[i])
      const figures = { refusedMs, identical, pauseMs, secretMs }
      say(
        `${n + 1}: refused by all ${refusedMs.length} after ${Math.max(...refusedMs).toFixed(0)} ms, pause ${pauseMs.toFixed(0)} ms, ` +
          `${identical ? 'identical' : 'DIFFERENT'}, its secret opens nothing after ${secretMs?.toFixed(0) ?? `more than ${lookMs}`} ms`
      )
      return figures

      async function whenRefused(id: string, sinceMs: number): Promise<number[]> {
        const waiting = new Map<string, () => Promise<boolean>>([
          ['driver', async () => isOut(driver.status(), id)],
          ...peers
            .filter(peer => peer.id !== id)
            .map(peer => [peer.init.name, async () => isOut(await peer.status(), id)] as const)
        ])
        const times: number[] = []
        while (waiting.size > 0 && performance.now() - sinceMs < lookMs) {
          await Promise.all(
            [...waiting].map(async ([name, isRefused]) => {
              if (!(await isRefused())) return
              waiting.delete(name)
              times.push(performance.now() - sinceMs)
            })
          )
          await delay(10, undefined, { signal })
        }
        return [...times, ...[...waiting].map(() => Number.POSITIVE_INFINITY)]
      }
    }
  }
  await alone.stop()
  return tell(all)
}

type Seen = {
  peers: readonly { id: string }[]
  membership: { members: readonly { peer: string; refusal: string | undefined }[] } | null
}

/** Whether a peer neither knows another one nor takes it for a member. */
function isOut(status: Seen | undefined, id: string): boolean {
  if (status === undefined) return false
  const member = status.membership?.members.find(({ peer }) => peer === id)
  return member?.refusal?.includes('was revoked') === true && status.peers.every(peer => peer.id !== id)
}

function tell(all: readonly Round[]): number {
  const times = all.flatMap(({ refusedMs }) => refusedMs)
  const [p50, p99] = [quantile(times, 0.5) ?? 0, quantile(times, 0.99) ?? 0]
  const identical = all.filter(round => round.identical).length
  const secrets = all.map(({ secretMs }) => secretMs ?? Number.POSITIVE_INFINITY)
  say(
    `${all.length} captured: refused by each other peer after p50 ${p50.toFixed(0)}, p99 ${p99.toFixed(0)} ms; ` +
      `${identical} of ${all.length} identical; the old secret is refused after at most ${Math.max(...secrets).toFixed(0)} ms`
  )
  sayJson({ event: 'captured', rounds: all.length, refusedMs: { p50, p99 }, identical, secretMs: Math.max(...secrets) })
  return identical === all.length && Math.max(...times) <= refusedWithinMs && Number.isFinite(Math.max(...secrets))
    ? 0
    : 1
}

/** What the issue asks of a connected swarm, and of a half that was cut off, in ms. */
const everybodyMs = 10_000
const pushedP99Ms = 2_000
const metMaxMs = 2_000
/** So long a captured one that starts from its old disk is looked at. */
const backLookMs = 10_000

async function manyMembers(): Promise<number> {
  const { pushedMs, metMs, oldMs, isBack } = await measureMany(many, { rounds, lookMs: backLookMs, say })
  const words = (times: readonly number[]): string =>
    `p50 ${quantile(times, 0.5)?.toFixed(0)}, p99 ${quantile(times, 0.99)?.toFixed(0)}, at most ${Math.max(...times).toFixed(0)} ms`
  say(`${rounds} revoked among ${many}: refused by each other one after ${words(pushedMs)}`)
  say(`a half that was cut off, from its first connection with the other half: ${words(metMs)}`)
  say(`half of them and the captured one from old disks: ${words(oldMs)}; it ${isBack ? 'IS BACK' : 'stays out'}`)
  sayJson({ event: 'many', members: many, rounds, pushedMs, metMs, oldMs, isBack })
  const isFast = Math.max(...pushedMs) <= everybodyMs && (quantile(pushedMs, 0.99) ?? 0) <= pushedP99Ms
  return isFast && Math.max(...metMs) <= metMaxMs && !isBack ? 0 : 1
}

await runCommand(flags.many === undefined ? main : manyMembers)
