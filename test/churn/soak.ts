/**
 * `npm run soak`: many answers at once, for a long time, while peers are lost and bad members of each kind come and go. Every
 * answer must be the undisturbed one, nobody honest may be charged with a failure that is not its own, and memory must stay flat.
 * A hop that is found slow is gone around while it serves, which many sessions on few cores bring about: that is counted apart.
 * Bad members and drivers live in this process, the other peers in processes of their own.
 *
 *   npm run soak -- [--minutes N] [--sessions N] [--seed S] [--kinds silent,thief,…] [--no-kills] [--json]
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { seeded } from '../../src/base/rng.ts'
import type { Peer, PeerId } from '../../src/index.ts'
import { begin, type Kind, kinds, type Prey, type Rogue } from '../adversary/rogue.ts'
import { beginRun, runCommand, telling } from './command.ts'
import { quantile } from './figures.ts'
import type { ChurnPeer } from './peer.ts'
import { prompts, samplings } from './plan.ts'

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    sessions: { type: 'string', default: '64' },
    seed: { type: 'string', default: '1' },
    kinds: { type: 'string' },
    'no-kills': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false }
  }
})
const [minutes, sessions, seed] = [flags.minutes, flags.sessions, flags.seed].map(text => {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  console.error(`soak: ${text} is no number above 0`)
  return process.exit(2)
}) as [number, number, number]
const asked = (flags.kinds?.split(',') ?? kinds) as readonly Kind[]

const { say, sayJson } = telling(flags.json)
/** Tokens of an answer: from a glance to a paragraph. */
const tokensMin = 20
const tokensMax = 120
/** A bad member stays this long, and the swarm has this long without one. */
const rogueMs = 40_000
const restMs = 10_000
/** Between two losses, and until who was lost comes back. */
const lossMs = 12_000
const backMs = 3_000
/** For so long after it came back a peer may still be charged with its loss: deadlines and connections of the others. */
const graceMs = 20_000
/** Drivers beside the one that serves layers. */
const driversMore = 2

interface Tally {
  answers: number
  identical: number
  wrong: string[]
  failed: string[]
  refused: number
  charged: string[]
  /** Honest hops that were found slow. */
  slow: number
  recovered: number
  inexact: number
  waits: number[]
}

/** Resident bytes of a process; 0 once it has ended. */
function residentBytes(pid: number | 'self'): number {
  try {
    return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

async function main(): Promise<number> {
  const { signal, scratch } = beginRun('skein-soak-')
  const { layouts, shippedModel, skein, startAlone, World } = await import('./world.ts')
  const { Reference } = await import('./run.ts')
  await shippedModel(join(scratch, 'alone'))
  const alone = await startAlone(scratch, signal)
  const reference = new Reference(alone)
  say('asking one peer alone for the answers')
  const questions = prompts.flatMap(prompt =>
    samplings.map(sampling => ({ prompt, ...sampling, maxTokens: tokensMax }))
  )
  for (const question of questions) await reference.of(question, signal)
  const world = await World.start(layouts[0]!, { signal, memoryFactor: 3 })
  say(`a driver that serves layers, ${world.peers.length} peers, and ${driversMore} drivers that hold none`)
  const bootstrap = [...world.driver.addresses]
  const drivers: Peer[] = [world.driver]
  for (let i = 0; i < driversMore; i++) {
    drivers.push(
      await skein.createPeer({
        dataDir: join(world.folder, `driver-${i}`),
        swarm: join(world.folder, 'swarm.json'),
        memoryBytes: 0,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        mdns: false,
        bootstrap,
        signal
      })
    )
  }
  for (const driver of drivers) {
    while (driver.status().models[0]?.coverage.every(count => count > 0) !== true)
      await delay(100, undefined, { signal })
  }
  const startMs = performance.now()
  const endMs = startMs + minutes * 60_000
  const over = new AbortController()
  const ended = AbortSignal.any([signal, over.signal])
  const tally: Tally = {
    ...{
      answers: 0,
      identical: 0,
      wrong: [],
      failed: [],
      refused: 0,
      charged: [],
      slow: 0,
      recovered: 0,
      inexact: 0,
      waits: []
    }
  }
  /** Honest peers that were hurt → until when they may be charged for it. */
  const excused = new Map<PeerId, number>()
  const rogues = new Set<PeerId>()
  const losses: Record<string, number> = {}
  let present: Rogue | undefined
  const defects: string[] = []
  const onDefect = (error: unknown): void =>
    void defects.push(error instanceof Error ? String(error.stack) : String(error))
  process.on('uncaughtException', onDefect).on('unhandledRejection', onDefect)

  const one = async (driver: Peer, n: number, rng: () => number): Promise<void> => {
    const question = questions[Math.floor(rng() * questions.length)]!
    const maxTokens = tokensMin + Math.floor(rng() * (tokensMax - tokensMin))
    const expected = (await reference.of(question, signal)).slice(0, maxTokens)
    const askedMs = performance.now()
    const ids: number[] = []
    let exact = true
    try {
      const { prompt, temperature, topP, seed: draw } = question
      const options = { maxTokens, temperature, topP, topK: 0, seed: draw, waitMs: 180_000, client: `client ${n % 9}` }
      for await (const event of driver.generate(prompt, { ...options, signal }).events()) {
        if (event.event === 'token') ids.push(event.id)
        if (event.event === 'recovered') tally.recovered += 1
        if (event.event === 'done') exact = event.exact
        if (event.event !== 'lost') continue
        const { peer, reason, charged } = event
        losses[reason] = (losses[reason] ?? 0) + 1
        const isExcused = rogues.has(peer) || (excused.get(peer) ?? 0) > performance.now()
        if (charged && !isExcused && reason === 'slow') tally.slow += 1
        else if (charged && !isExcused)
          tally.charged.push(`${peer.slice(-6)}: ${reason} (${present?.kind ?? 'nobody bad'} there)`)
      }
    } catch (error) {
      if (signal.aborted) return
      if ((error as Error).name === 'OverloadedError') {
        tally.refused += 1
        await delay(1000, undefined, { signal: ended }).catch(() => {})
        return
      }
      tally.failed.push(
        `${(error as Error).name}: ${(error as Error).message} (${present?.kind ?? 'nobody bad'} there)`
      )
      tally.answers += 1
      // Whatever fails at once would keep the loop from everything else.
      await delay(1000, undefined, { signal: ended }).catch(() => {})
      return
    }
    tally.answers += 1
    tally.waits.push(performance.now() - askedMs)
    if (!exact) tally.inexact += 1
    if (ids.length === expected.length && ids.every((id, i) => id === expected[i])) tally.identical += 1
    else tally.wrong.push(`${JSON.stringify(question)}: ${ids.length} of ${expected.length} tokens`)
  }

  const worker = async (n: number): Promise<void> => {
    const rng = seeded(seed * 1_000 + n)
    while (performance.now() < endMs && !signal.aborted) await one(drivers[n % drivers.length]!, n, rng)
  }

  const lose = async (): Promise<void> => {
    const rng = seeded(seed * 7_919)
    while (performance.now() < endMs && !flags['no-kills']) {
      await delay(lossMs, undefined, { signal: ended })
      const peer: ChurnPeer = world.peers[Math.floor(rng() * world.peers.length)]!
      const way = (['kill', 'silent', 'left', 'drain'] as const)[Math.floor(rng() * 4)]!
      excused.set(peer.id, Number.POSITIVE_INFINITY)
      if (way === 'kill') peer.kill()
      else if (way === 'silent') peer.pause()
      else if (way === 'left') peer.leave()
      else peer.drain()
      await delay(backMs, undefined, { signal: ended }).catch(() => {})
      if (way === 'silent') peer.resume()
      else {
        await peer.ended()
        peer.start()
      }
      excused.set(peer.id, performance.now() + graceMs)
    }
  }

  const swarm = JSON.parse(readFileSync(join(world.folder, 'swarm.json'), 'utf8'))
  const misbehave = async (): Promise<void> => {
    for (let n = 0; performance.now() < endMs && asked.length > 0; n++) {
      await delay(restMs, undefined, { signal: ended })
      const status = world.driver.status()
      const model = status.models[0]!
      const honest = status.peers.filter(({ id }) => !rogues.has(id))
      const prey: Prey = {
        swarm,
        model: model.id,
        name: model.name,
        layers: model.layers,
        numericClass: honest.find(({ self }) => self)!.timings[0]?.numericClass ?? '',
        addresses: honest.flatMap(({ id, addresses }) => addresses.map(address => `${address}/p2p/${id}`)),
        stages: () => world.stages().filter(({ peer }) => !rogues.has(peer))
      }
      present = await begin(asked[n % asked.length]!, prey)
      if (present.id !== undefined) rogues.add(present.id)
      say(`${clock(startMs)} a bad member: ${present.kind}`)
      await delay(rogueMs, undefined, { signal: ended }).catch(() => {})
      await present.leave()
      present = undefined
    }
  }

  const memory: { readonly atMs: number; readonly self: number; readonly most: number }[] = []
  const watch = async (): Promise<void> => {
    while (!ended.aborted) {
      await delay(10_000, undefined, { signal: ended })
      const peers = world.peers.map(({ pid }) => (pid === undefined ? 0 : residentBytes(pid)))
      memory.push({ atMs: performance.now() - startMs, self: residentBytes('self'), most: Math.max(...peers) })
      const { self, most } = memory.at(-1)!
      if (memory.length % 3 === 0) {
        say(
          `${clock(startMs)} ${tally.identical}/${tally.answers} identical, ${tally.failed.length} failed, ${tally.refused} refused, ${tally.charged.length} charged, ${tally.recovered} recoveries; ${mb(self)} here, ${mb(most)} the largest peer`
        )
      }
    }
  }

  const beside = [lose(), misbehave(), watch()].map(work =>
    work.catch((error: Error) => ended.aborted || onDefect(error))
  )
  await Promise.all(Array.from({ length: sessions }, (_, n) => worker(n)))
  over.abort(new Error('the soak is over'))
  await Promise.all(beside)
  const leftovers = await world.leftovers(signal)
  const third = Math.floor(memory.length / 3)
  const early =
    quantile(
      memory.slice(third, 2 * third).map(({ self }) => self),
      0.5
    ) ?? 0
  const late =
    quantile(
      memory.slice(2 * third).map(({ self }) => self),
      0.5
    ) ?? 0
  for (const driver of drivers.slice(1)) await driver.stop()
  await world.stop()
  await alone.stop()
  const waits = { p50: quantile(tally.waits, 0.5), p99: quantile(tally.waits, 0.99), max: Math.max(0, ...tally.waits) }
  const result = {
    event: 'soak',
    ...{ minutes, sessions, seed, kinds: asked },
    ...{ ...tally, waits, losses, defects, leftovers: leftovers.sessions, violations: leftovers.violations },
    memory: { earlyBytes: early, lateBytes: late, mostPeerBytes: Math.max(0, ...memory.map(({ most }) => most)) }
  }
  sayJson(result)
  for (const line of [...tally.wrong, ...tally.failed, ...tally.charged, ...defects].slice(0, 40)) say(`  ${line}`)
  say(
    `${tally.identical} of ${tally.answers} answers identical, ${tally.wrong.length} wrong, ${tally.failed.length} failed, ${tally.refused} refused in advance; ` +
      `${tally.recovered} recoveries, ${tally.charged.length} charges of honest peers, ${tally.slow} times one was found slow, ${leftovers.sessions} sessions left over; ` +
      `memory of the drivers ${mb(early)} in the middle third, ${mb(late)} in the last`
  )
  const isGood =
    tally.wrong.length + tally.failed.length + tally.charged.length + defects.length + leftovers.sessions === 0
  return isGood ? 0 : 1
}

function clock(startMs: number): string {
  const s = Math.round((performance.now() - startMs) / 1000)
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}

await runCommand(main)
