/**
 * `npm run churn:hour`: nobody is hurt, only the links are bad, and nobody may be taken for lost. A driver and four peers in
 * namespaces of their own, with loss and jitter between every two of them, found by multicast DNS, are asked one prompt
 * after the other; each answer must be the undisturbed one.
 *
 *   node test/churn/hour.ts [--minutes 60] [--loss 5] [--jitter 200] [--delay 0] [--rate MBIT] [--reorder] [--seed 1]
 *                           [--json] [--verbose]
 *
 * The last line of `--json` is `{"event":"hour",…}`; exit code 0 says that nobody was evicted and every answer the same.
 */
import { loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { seeded } from '../../src/base/rng.ts'
import { beginRun, inNamespaces, runCommand, telling } from './command.ts'
import { pausesOf } from './figures.ts'
import { Network } from './network.ts'
import { prompts, samplings } from './plan.ts'
import type { Verdict } from './verdicts.ts'
import type { World as Swarm } from './world.ts'

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    loss: { type: 'string', default: '5' },
    jitter: { type: 'string', default: '200' },
    delay: { type: 'string', default: '0' },
    rate: { type: 'string', default: '0' },
    reorder: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false }
  }
})
const [minutes, lossPercent, jitterMs, delayMs, mbitPerS, seed] = [
  flags.minutes,
  flags.loss,
  flags.jitter,
  flags.delay,
  flags.rate,
  flags.seed
].map(text => {
  const value = Number(text)
  if (text !== '' && Number.isFinite(value) && value >= 0) return value
  console.error(`churn: ${text} is no number`)
  return process.exit(2)
}) as [number, number, number, number, number, number]

/** Two hops and the driver: three crossings a token, and every layer twice. */
const layoutName = 'four'
/** A token takes some 0.4 s here: answers of half a minute. */
const tokensMax = 60
/** One answer; a link that loses 5 % may stall for seconds now and then. */
const answerMs = 300_000
/** Links are left alone between two answers, so that quiet ones are judged too; now and then for long. */
const restMs = 6_000
const longRestMs = 40_000
const longRestEvery = 8
/** Connections are looked at this often. */
const lookMs = 500
const reportMs = 60_000

const out = telling(flags.json)
const { say, sayJson } = out

/** What was seen beside the answers. Everybody lives all the time: each of these is wrong. */
class Witness {
  readonly verdicts: (Verdict & { readonly by: string })[] = []
  /** Times that one peer saw the connection to another gone. */
  disconnected = 0
  /** Times that one peer said that another had left. */
  left = 0
  readonly #apart = new Set<string>()

  verdict(by: string, verdict: Verdict): void {
    this.verdicts.push({ ...verdict, by })
    say(`  VERDICT by ${by}: ${JSON.stringify(verdict)}`)
  }

  line(by: string, line: string): void {
    if (!line.startsWith('{')) return
    const event = JSON.parse(line) as { event: string }
    if (event.event === 'verdict') this.verdict(by, event as Verdict)
    if (event.event === 'lost') this.left++
    if (event.event === 'lost' || event.event === 'warning') say(`  ${by}: ${line}`)
  }

  /** One look at what everybody sees of everybody. */
  async look(world: Swarm): Promise<void> {
    const seen = await Promise.all(world.peers.map(peer => peer.status()))
    for (const status of [world.driver.status(), ...seen]) {
      for (const { id, self, connected } of status?.peers ?? []) {
        const pair = `${status!.self} ${id}`
        if (self || connected === !this.#apart.has(pair)) continue
        if (connected) {
          this.#apart.delete(pair)
          continue
        }
        this.#apart.add(pair)
        this.disconnected++
        say(`  ${status!.self.slice(-6)} is not connected with ${id.slice(-6)}`)
      }
    }
  }
}

/** Whether a peer that is cut off is found silent by everybody and finds so itself: what counts verdicts can count. */
async function sees(witness: Witness, { peers, driver }: Swarm): Promise<boolean> {
  const [cut, ...others] = peers
  const before = witness.verdicts.length
  say('  now the first peer is cut off, to see that this is seen')
  cut!.init.attachment!.unplug()
  const judges = [driver.id, ...others.map(({ init }) => init.name)].length
  const deadlineMs = performance.now() + 30_000
  for (;;) {
    const now = witness.verdicts.slice(before)
    const by = new Set(now.filter(({ about }) => about === cut!.id).map(verdict => verdict.by))
    const own = new Set(now.filter(({ by }) => by === cut!.init.name).map(({ about }) => about))
    if (by.size === judges && own.size === judges) return true
    if (performance.now() > deadlineMs) return false
    await delay(100)
  }
}

async function main(): Promise<number> {
  const code = await inNamespaces(out, { links: true })
  if (code !== undefined) return code
  const { signal, scratch } = beginRun('skein-hour-')

  const { layouts, startAlone, World } = await import('./world.ts')
  const { Reference } = await import('./run.ts')
  const { tellingVerdicts, watchVerdicts } = await import('./verdicts.ts')
  const network = await Network.open({
    everyLink: { delayMs, jitterMs, lossPercent, mbitPerS, reorder: flags.reorder, seed }
  })
  const alone = await startAlone(scratch, signal)
  const reference = new Reference(alone)
  const witness = new Witness()
  await watchVerdicts(verdict => witness.verdict('driver', verdict))
  const layout = layouts.find(({ name }) => name === layoutName)!
  const rng = seeded(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(rng() * list.length)]!
  const lost: Record<string, number> = {}
  const gaps: number[] = []
  const loads: number[] = []
  const failures: string[] = []
  let [answers, identical, tokens, recovered, replayedTokens, restedMs] = [0, 0, 0, 0, 0, 0]
  let world: Swarm | undefined
  let trouble: string | undefined
  let startedMs = performance.now()
  let atStart = 0
  const report = (): object => ({
    minutes: Number(((performance.now() - startedMs) / 60_000).toFixed(1)),
    answers,
    identical,
    tokens,
    evictions: witness.verdicts.length - atStart,
    /** Before everybody had found everybody, and every layer was there twice. */
    evictionsAtStart: atStart,
    evictionsAlone: witness.verdicts.filter(({ alone }) => alone).length,
    disconnected: witness.disconnected,
    left: witness.left,
    lost,
    recovered,
    replayedTokens
  })
  try {
    const startMs = performance.now()
    world = await World.start(layout, {
      network,
      mdns: true,
      env: tellingVerdicts,
      onLine: (peer, line) => witness.line(peer, line),
      signal
    })
    say(
      `a driver and ${layout.peers} peers found one another in ${((performance.now() - startMs) / 1000).toFixed(1)} s`
    )
    startedMs = performance.now()
    atStart = witness.verdicts.length
    const endMs = startedMs + minutes * 60_000
    let reportAtMs = startedMs + reportMs
    const looking = setInterval(() => {
      void witness.look(world!)
      if (performance.now() < reportAtMs) return
      reportAtMs += reportMs
      loads.push(loadavg()[0]!)
      say(`${JSON.stringify(report())} load ${loads.at(-1)!.toFixed(1)}`)
      sayJson({ event: 'minute', ...report() })
    }, lookMs)
    try {
      while (performance.now() < endMs) {
        const plan = { prompt: pick(prompts), maxTokens: tokensMax, ...pick(samplings) }
        const expected = await reference.of(plan, signal)
        const ids: number[] = []
        let failure: string | undefined
        let lastMs = performance.now()
        try {
          const deadline = AbortSignal.any([signal, AbortSignal.timeout(answerMs)])
          for await (const event of world.driver
            .generate(plan.prompt, { ...plan, topK: 0, signal: deadline })
            .events()) {
            if (event.event === 'token') {
              const nowMs = performance.now()
              gaps.push(nowMs - lastMs)
              lastMs = nowMs
              ids.push(event.id)
            } else if (event.event === 'lost') {
              lost[event.reason] = (lost[event.reason] ?? 0) + 1
              say(`  token ${ids.length}: lost ${event.peer.slice(-6)} at hop ${event.hop}: ${event.reason}`)
            } else if (event.event === 'recovered') {
              recovered++
              replayedTokens += event.replayedTokens
            }
          }
        } catch (error) {
          signal.throwIfAborted()
          failure = `${(error as Error).name}: ${(error as Error).message}`
          failures.push(failure)
        }
        answers++
        tokens += ids.length
        const isIdentical = failure === undefined && ids.join() === expected.join()
        identical += Number(isIdentical)
        if (flags.verbose || !isIdentical) {
          say(`answer ${answers}: ${ids.length} tokens ${isIdentical ? 'identical' : `DIFFERENT ${failure ?? ''}`}`)
        }
        const rest = answers % longRestEvery === 0 ? longRestMs : rng() * restMs
        restedMs += rest
        await delay(Math.min(rest, Math.max(0, endMs - performance.now())), undefined, { signal })
      }
    } finally {
      clearInterval(looking)
    }
  } catch (error) {
    trouble = (error as Error).message
    say(`churn: ${trouble}`)
  }
  const counts = await network.counts()
  const leftovers = await world?.leftovers(AbortSignal.timeout(60_000)).catch(() => undefined)
  const found = { event: 'hour', ...report(), verdicts: [...witness.verdicts] }
  const isSeeing = trouble === undefined && world !== undefined && (await sees(witness, world))
  if (trouble === undefined && !isSeeing) trouble = 'a peer that was cut off at the end was not found silent by all'
  const summary = {
    ...found,
    link: { delayMs, jitterMs, lossPercent, mbitPerS, keepsOrder: !flags.reorder, seed },
    tokenMs: pausesOf(gaps),
    quietMinutes: Number((restedMs / 60_000).toFixed(1)),
    frames: counts,
    ...leftovers,
    loadMax: Math.max(0, ...loads),
    failures,
    ...(trouble === undefined ? {} : { trouble })
  }
  await world?.stop()
  await alone.stop()
  network.close()
  sayJson(summary)
  if (!flags.json) console.log(JSON.stringify(summary, null, 2))
  const isGood = trouble === undefined && identical === answers && answers > 0 && found.verdicts.length === 0
  if (!isGood) {
    const link = `--loss ${lossPercent} --jitter ${jitterMs} --delay ${delayMs} --rate ${mbitPerS}`
    process.stderr.write(`node test/churn/hour.ts --minutes ${minutes} ${link} --seed ${seed} --verbose\n`)
  }
  return isGood ? 0 : 1
}

await runCommand(main)
