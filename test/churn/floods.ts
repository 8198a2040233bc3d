/**
 * `npm run floods`: a swarm with members in which one of them takes all that it can get of one thing after the other, while four others have
 * answers made. A head and a tail, which hold half of the shipped model each, in processes of their own; the member that floods in another one, which
 * has the processors that are left (nice 19), since it would have its own. Per kind, in turns within one run: tokens a second without and with the
 * flood, the processor time of head and tail a token, and answers that were lost or had other tokens.
 *
 * `spin` is no flood: that process computes and sends nothing, which is what it costs that it shares two processors with those that it floods.
 *
 *   npm run floods [-- --only KIND,…] [--rounds N] [--seconds S] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Peer, Role } from '../../src/index.ts'
import { floodKinds } from '../adversary/floods.ts'
import { beginRun, runCommand, telling } from './command.ts'
import { DoorPeer } from './door-peer.ts'

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: ['spin', ...floodKinds].join() },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false }
  }
})
const [rounds, seconds] = [flags.rounds, flags.seconds].map(text => {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  console.error(`floods: ${text} is no number above 0`)
  return process.exit(2)
}) as [number, number]
/** What the flooder's process costs by being on the same machine, and what it sends to others: the first is no flood. */
const allKinds = ['spin', ...floodKinds] as const
type Kind = (typeof allKinds)[number]
const kinds = flags.only.split(',').map(name => {
  const kind = allKinds.find(each => each === name)
  if (kind !== undefined) return kind
  console.error(`floods: there is no kind ${name}: ${allKinds.join(', ')}`)
  return process.exit(2)
})

const { say, sayJson } = telling(flags.json)
const drivers = 4
/** What the issue asks for: honest sessions keep so much of their speed. */
const keptMin = 0.8
const roomBytes = 64 << 20
/** Between two measurements: what the last one left is gone, or has come. */
const settleMs = 1_000
/** And what anybody may have at once is spent: what a flood takes from then on counts, whichever it is. */
const burstMs = 5_000
const options = { maxTokens: 60, temperature: 0.7 }
const prompt = (n: number): string => `Once upon a time there were ${n + 2} little foxes who`
const usual: readonly Role[] = ['stage', 'keeper', 'source', 'gateway']

/** What came of some seconds. */
interface Span {
  readonly perSecond: number
  /** Of the driver that got the fewest. */
  readonly least: number
  /** ms of head and tail. */
  readonly cpuPerToken: number
  /** ms from the question to the first token, and from one token to the next: medians. */
  readonly firstMs: number
  readonly nextMs: number
}

/** What honest drivers have got so far. */
const got = {
  tokens: new Array<number>(drivers).fill(0),
  firstMs: [] as number[],
  nextMs: [] as number[],
  answers: 0,
  lost: [] as string[]
}

/** Answers one after another, each of which must have the tokens of the first. */
async function drive(peer: Peer, n: number, expected: readonly number[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const generation = peer.generate(prompt(n), { ...options, seed: n, signal })
    const ids: number[] = []
    let lastMs = performance.now()
    try {
      for await (const event of generation.events()) {
        if (event.event === 'lost' && event.charged) got.lost.push(`driver ${n} charges ${event.peer}: ${event.reason}`)
        if (event.event !== 'token') continue
        const nowMs = performance.now()
        ;(ids.length === 0 ? got.firstMs : got.nextMs).push(nowMs - lastMs)
        lastMs = nowMs
        ids.push(event.id)
        got.tokens[n]! += 1
      }
    } catch (error) {
      if (signal.aborted) return
      got.lost.push(`driver ${n}: ${(error as Error).message}`)
      await delay(100)
      continue
    }
    got.answers += 1
    if (ids.join() !== expected.join()) got.lost.push(`driver ${n} has other tokens`)
  }
}

/** A process that floods, and hears which kind. */
async function startFlooder(dataDir: string, prey: string, signal: AbortSignal): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./flooder.ts', import.meta.url))
  const node = [process.execPath, '--experimental-transform-types', '--no-warnings', script, dataDir, prey]
  const child = spawn('nice', ['-n', '19', ...node], { stdio: ['pipe', 'pipe', 'inherit'] })
  process.once('exit', () => child.kill('SIGKILL'))
  signal.addEventListener('abort', () => child.kill('SIGKILL'), { once: true })
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout! }).once('line', () => resolve())
    child.once('exit', () => reject(new Error('the flooder has ended')))
  })
  return child
}

async function main(): Promise<number> {
  const { signal, scratch } = beginRun('skein-floods-')
  const { enrol, shippedModel, skein, startAlone } = await import('./world.ts')
  const authority = join(scratch, 'authority.key')
  const at = (name: string): string => join(scratch, name)
  await skein.initMembers({ file: at('swarm.json'), authority, name: 'floods' })
  const alone = await startAlone(scratch, signal)
  const expected: number[][] = []
  for (let n = 0; n < drivers; n++) {
    expected.push([])
    for await (const { id } of alone.generate(prompt(n), { ...options, seed: n, signal })) expected[n]!.push(id)
  }
  await alone.stop()
  const model = await shippedModel(at('driver-0'))
  const { layers, hidden } = model.manifest.config
  const cut = layers >> 1
  // Room for all that honest drivers ask at a time, so that what they wait for is the flood's doing.
  const memory = String(Math.max(...skein.splitBudgets(model, 2)) + roomBytes)
  const ranges = [
    { start: 0, end: cut },
    { start: cut, end: layers }
  ]
  const stages: DoorPeer[] = []
  for (const { start, end } of ranges) {
    const data = at(`stage-${start}`)
    await enrol(authority, data, usual)
    const known = stages.flatMap(({ addresses }) => addresses.flatMap(address => ['--bootstrap', address]))
    stages.push(
      await DoorPeer.start(['--data', data, '--memory', memory, '--layers', `${start}-${end}`, ...known], signal)
    )
  }
  const bootstrap = stages.flatMap(({ addresses }) => [...addresses])
  const peers: Peer[] = []
  for (let n = 0; n < drivers; n++) {
    await enrol(authority, at(`driver-${n}`), ['driver'])
    const init = { listen: ['/ip4/127.0.0.1/tcp/0'], mdns: false, bootstrap, memoryBytes: 0, signal }
    peers.push(await skein.createPeer({ dataDir: at(`driver-${n}`), ...init }))
  }
  for (const peer of peers) while (!isCovered(peer)) await delay(50, undefined, { signal })
  await enrol(authority, at('flooder'), ['driver', ...usual])
  const prey = {
    model: model.id,
    layers,
    hidden,
    stages: stages.map(({ addresses }, i) => ({ peer: addresses[0]!.split('/p2p/')[1], ...ranges[i]!, addresses })),
    files: model.manifest.shards.map(({ sha256, bytes }) => ({ file: sha256, bytes }))
  }
  writeFileSync(at('prey.json'), JSON.stringify(prey))
  const flooder = await startFlooder(at('flooder'), at('prey.json'), signal)
  const ending = new AbortController()
  const until = AbortSignal.any([signal, ending.signal])
  const driving = peers.map((peer, n) => drive(peer, n, expected[n]!, until))
  await delay(2_000, undefined, { signal })

  async function measure(kind: Kind | 'rest'): Promise<Span> {
    flooder.stdin!.write(`${kind}\n`)
    await delay(kind === 'rest' ? settleMs : burstMs, undefined, { signal })
    const [tokens, cpu, startMs] = [[...got.tokens], cpuMs(stages), performance.now()]
    got.firstMs = []
    got.nextMs = []
    await delay(seconds * 1_000, undefined, { signal })
    const ms = performance.now() - startMs
    const each = got.tokens.map((count, n) => ((count - tokens[n]!) / ms) * 1_000)
    const sum = each.reduce((a, b) => a + b, 0)
    return {
      perSecond: sum,
      least: Math.min(...each),
      cpuPerToken: (cpuMs(stages) - cpu) / ((sum * ms) / 1_000),
      firstMs: median(got.firstMs),
      nextMs: median(got.nextMs)
    }
  }

  let isWell = true
  for (const kind of kinds) {
    const [without, during]: [Span[], Span[]] = [[], []]
    const lostBefore = got.lost.length
    for (let round = 0; round < rounds; round++) {
      without.push(await measure('rest'))
      during.push(await measure(kind))
    }
    without.push(await measure('rest'))
    const ratio = (of: (span: Span) => number): number => mean(during.map(of)) / mean(without.map(of))
    const [speed, least, cpu] = [
      ratio(span => span.perSecond),
      ratio(span => span.least),
      ratio(span => span.cpuPerToken)
    ]
    const lost = got.lost.slice(lostBefore)
    const ms = (of: (span: Span) => number, digits: number): string =>
      `${mean(without.map(of)).toFixed(digits)} → ${mean(during.map(of)).toFixed(digits)} ms`
    const megabytes = stages.map(stage => Math.round(stage.taken().bytes / 1e6)).join(' and ')
    isWell &&= (kind === 'spin' || speed >= keptMin) && lost.length === 0
    say(
      `${kind.padEnd(10)} ${mean(without.map(({ perSecond }) => perSecond)).toFixed(0)} tokens/s without, ` +
        `${mean(during.map(({ perSecond }) => perSecond)).toFixed(0)} with: ${speed.toFixed(2)} (least of a driver ${least.toFixed(2)}); ` +
        `first token ${ms(span => span.firstMs, 0)}, next ${ms(span => span.nextMs, 1)}; processor a token ${cpu.toFixed(2)}; lost ${lost.length}; ${megabytes} MB`
    )
    for (const text of new Set(lost)) say(`  ${text}`)
    sayJson({ event: 'flood', kind, speed, least, cpu, lost: lost.length })
  }
  say(`${got.answers} answers; lost or wrong: ${got.lost.length}`)
  ending.abort(new Error('all is measured'))
  await Promise.all(driving)
  flooder.kill('SIGKILL')
  await Promise.all([...peers.map(peer => peer.stop()), ...stages.map(stage => stage.stop())])
  return isWell ? 0 : 1
}

function isCovered(peer: Peer): boolean {
  const [model] = peer.status().models
  return model !== undefined && model.coverage.length > 0 && model.coverage.every(count => count > 0)
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Processor time of processes so far, in ms. */
function cpuMs(stages: readonly DoorPeer[]): number {
  return stages.reduce((sum, { pid }) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    // utime and stime, in ticks of 10 ms.
    return sum + 10 * (Number(fields[11]) + Number(fields[12]))
  }, 0)
}

await runCommand(main)
