/**
 * `npm run churn:clients`: clients of the front door of a peer without layers, many at once, before two or three others. Some read their
 * answers, others hang up before or within them, read slowly, or send what is wrong, while a peer is killed and comes back. Each answer
 * that is read must be the one that a peer alone gives, none may hang, and memory and descriptors must stay flat.
 *
 *   npm run churn:clients -- [--minutes N] [--connections N] [--hang-ups SHARE] [--seed S] [--no-kills] [--json]
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Rng, seeded } from '../../src/base/rng.ts'
import { initSwarm } from '../../src/index.ts'
import { readExposition, total } from '../exposition.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { beginRun, runCommand, telling } from './command.ts'
import { DoorPeer } from './door-peer.ts'
import { pausesOf, quantile } from './figures.ts'
import { halfClose, hangUp, questions, visit } from './visits.ts'

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    connections: { type: 'string', default: '32' },
    'hang-ups': { type: 'string', default: '0.4' },
    seed: { type: 'string', default: '1' },
    'no-kills': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false }
  }
})
const [minutes, connections, hangUps, seed] = [flags.minutes, flags.connections, flags['hang-ups'], flags.seed].map(
  text => {
    const value = Number(text)
    if (Number.isFinite(value) && value >= 0) return value
    console.error(`churn:clients: ${text} is no number from 0 on`)
    return process.exit(2)
  }
) as [number, number, number, number]

const { say, sayJson } = telling(flags.json)
/** Between two losses, and until another peer comes. */
const lossMs = 20_000
const backMs = 5_000
/** After the last request: what was left behind has been freed by then, and pooled connections are closed (`keepAliveMs` is 75 s). */
const quietMs = 80_000

const tally = {
  answers: 0,
  identical: 0,
  gone: 0,
  wrong: [] as string[],
  failed: [] as string[],
  refused: 0,
  losses: 0
}
const waits: number[] = []
const firsts: number[] = []

/** One client, one request after another. @param expected by question, what a peer alone says */
async function client(url: string, expected: readonly string[], rng: Rng, until: AbortSignal): Promise<void> {
  while (!until.aborted) {
    const at = Math.floor(rng() * questions.length)
    const question = questions[at]!
    if (rng() < hangUps) {
      const way = rng()
      if (way < 0.3) await hangUp(url, question, { ms: rng() * 100 })
      else if (way < 0.9) await hangUp(url, question, { pieces: 1 + Math.floor(rng() * 20) })
      else await halfClose(url, question)
      tally.gone++
      continue
    }
    const askedMs = performance.now()
    try {
      const { status, said, firstMs, retryMs } = await visit(url, question, rng() < 0.05 ? 'slowly' : 'at once')
      if (status === 429) {
        tally.refused++
        await delay(retryMs, undefined, { signal: until }).catch(() => {})
        continue
      }
      tally.answers++
      waits.push(performance.now() - askedMs)
      firsts.push(firstMs)
      if (said === expected[at]) tally.identical++
      else tally.wrong.push(`${status} ${JSON.stringify(question)}: ${said.slice(0, 300)}`)
    } catch (error) {
      tally.failed.push((error as Error).message)
    }
    // What is wrong is refused at once, and costs nobody anything.
    if (rng() < 0.05) {
      const { status } = await visit(url, { path: question.path, json: { ...question.json, model: 5 } })
      if (status !== 400) tally.wrong.push(`${status} instead of 400`)
    }
  }
}

async function main(): Promise<number> {
  const { signal, scratch } = beginRun('skein-clients-')
  for (const name of ['swarm', 'alone']) await initSwarm(join(scratch, `${name}.json`))
  let count = 0
  const serving = ['--memory', '256MB', '--model', 'storychat']
  const start = async (swarm: string, args: readonly string[]): Promise<DoorPeer> => {
    const data = join(scratch, `peer-${count++}`)
    await writeStoryChat(data)
    return DoorPeer.start(['--data', data, '--swarm', join(scratch, `${swarm}.json`), ...args], signal)
  }
  const ready = async ({ url }: DoorPeer): Promise<void> => {
    while ((await fetch(`${url}/readyz`)).status !== 200) await delay(100, undefined, { signal })
  }
  const alone = await start('alone', [...serving])
  await ready(alone)
  const expected: string[] = []
  for (const question of questions) expected.push((await visit(alone.url, question)).said)
  await alone.stop()

  const head = await start('swarm', [...serving, '--layers', '0-3'])
  const at = head.addresses.flatMap(address => ['--bootstrap', address])
  const tail = () => start('swarm', [...serving, '--layers', '3-6', ...at])
  const tails = [await tail(), await tail()]
  const driver = await start('swarm', ['--memory', '0', ...at])
  await ready(driver)
  for (const question of questions) await visit(driver.url, question)
  const before = driver.taken()
  say(
    `a driver without layers, a head and two tails; ${connections} clients for ${minutes} min, ${hangUps} of them hang up`
  )

  const over = new AbortController()
  const until = AbortSignal.any([signal, over.signal])
  const samples: { readonly driver: ReturnType<DoorPeer['taken']>; readonly head: ReturnType<DoorPeer['taken']> }[] = []
  const watch = async (): Promise<void> => {
    while (!until.aborted) {
      await delay(5_000, undefined, { signal: until }).catch(() => {})
      samples.push({ driver: driver.taken(), head: head.taken() })
      if (samples.length % 6 === 0) say(words(samples.length * 5, samples.at(-1)!.driver))
    }
  }
  const lose = async (): Promise<void> => {
    for (let n = 0; !flags['no-kills']; n++) {
      await delay(lossMs, undefined, { signal: until })
      await tails[n % 2]!.kill()
      tally.losses++
      await delay(backMs, undefined, { signal: until })
      tails[n % 2] = await tail()
    }
  }
  const ending = setTimeout(() => over.abort(new Error('the time is over')), minutes * 60_000)
  const beside = [watch(), lose()].map(work => work.catch((error: unknown) => until.aborted || Promise.reject(error)))
  await Promise.all(
    Array.from({ length: connections }, (_, n) => client(driver.url, expected, seeded(seed * 1_000 + n), until))
  )
  clearTimeout(ending)
  over.abort(new Error('all clients have ended'))
  await Promise.all(beside)
  await delay(quietMs, undefined, { signal })
  const metrics = async ({ url }: DoorPeer) => readExposition(await (await fetch(`${url}/metrics`)).text())
  const sessions =
    total(await metrics(head), 'skein_stage_sessions') + total(await metrics(driver), 'skein_answers_running')
  const after = driver.taken()
  const third = Math.floor(samples.length / 3)
  const middle = (of: typeof samples, field: 'bytes' | 'descriptors', who: 'driver' | 'head') =>
    quantile(
      of.map(each => each[who][field]),
      0.5
    ) ?? 0
  const [early, late] = [samples.slice(third, 2 * third), samples.slice(2 * third)]
  const flat = (['driver', 'head'] as const).map(who => ({
    who,
    earlyBytes: middle(early, 'bytes', who),
    lateBytes: middle(late, 'bytes', who),
    earlyDescriptors: middle(early, 'descriptors', who),
    lateDescriptors: middle(late, 'descriptors', who)
  }))
  for (const peer of [driver, ...tails, head]) await peer.stop()
  const result = { minutes, connections, hangUps, seed, ...tally, waits: pausesOf(waits), firsts: pausesOf(firsts) }
  sayJson({
    event: 'clients',
    ...result,
    perSecond: tally.answers / (minutes * 60),
    sessions,
    flat,
    descriptors: [before.descriptors, after.descriptors]
  })
  for (const line of [...tally.wrong, ...tally.failed].slice(0, 20)) say(`  ${line}`)
  say(
    `${tally.identical} of ${tally.answers} answers identical, ${tally.wrong.length} wrong, ${tally.failed.length} failed or hung, ${tally.refused} refused in ` +
      `advance, ${tally.gone} hung up, ${tally.losses} losses; ms to the whole answer ${JSON.stringify(result.waits)}, to its first byte ` +
      `${JSON.stringify(result.firsts)}; ${sessions} sessions left over, descriptors of the driver ${before.descriptors} before and ` +
      `${after.descriptors} after; ${flat.map(each => `${each.who} ${mb(each.earlyBytes)} in the middle third, ${mb(each.lateBytes)} in the last`).join(', ')}`
  )
  return tally.wrong.length + tally.failed.length + sessions === 0 ? 0 : 1
}

function words(s: number, { bytes, descriptors }: { readonly bytes: number; readonly descriptors: number }): string {
  const { identical, answers, wrong, failed, refused, gone } = tally
  return `${s} s: ${identical}/${answers} identical, ${wrong.length} wrong, ${failed.length} failed, ${refused} refused, ${gone} hung up; driver ${mb(bytes)}, ${descriptors} descriptors`
}

function mb(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}

await runCommand(main)
