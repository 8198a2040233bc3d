/** What a service is judged by: one peer and three, asked by their own program and over HTTP, by one client and by many, and through losses. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SwarmConfig } from '../../src/index.ts'
import { BenchChild } from './child.ts'
import type { BenchModel } from './models.ts'
import type { PeerProcessInit } from './peer-process.ts'
import { figure, type Figure, type Row } from './report.ts'
import { askPeer, BenchSwarm, linkStore, type SwarmInit } from './swarm.ts'

/** Tokens of a request: what is asked, and what is answered. */
const promptTokens = 25
const answerTokens = 16
/** Requests one after the other, of each kind. */
const requests = 60
const warmRequests = 40
const connections = 32
/** Watts of one busy core: what turns seconds of processor time into joules where nothing measures them. */
const coreWatts = 5
/** A probe that has not been answered by then counts as one in vain. */
const probeDeadlineMs = 1_000
const probeEveryMs = 250
const lossEveryMs = 12_000
const awayMs = 3_000

export interface ServiceInit extends SwarmInit {
  /** For how long peers are lost, in minutes. */
  readonly minutes: number
  /** The first of the models: losses are tried with it alone. */
  readonly isFirst: boolean
}

export async function benchService(init: ServiceInit): Promise<Row[]> {
  const rows: Row[] = []
  for (const count of [1, 3]) rows.push(...(await oneSwarm(init, count)))
  if (init.isFirst) rows.push(...(await throughLosses(init)))
  return rows
}

/** What has to be said of one swarm, in its process and over HTTP by turns. */
async function oneSwarm(init: ServiceInit, count: number): Promise<Row[]> {
  const { model, signal } = init
  const swarm = new BenchSwarm(init, count, { http: true })
  try {
    const driver = await swarm.driver(signal)
    const { url } = await said(driver, 'http', signal)
    // The same number of ids whatever the tokenizer makes of words.
    const prompt = Array.from({ length: promptTokens }, (_, i) => 300 + i)
    const asked = (seed: number) => ({ prompt, maxTokens: answerTokens, temperature: 1, seed, speculate: true })
    const client = new Client(url as string, model, prompt)
    const inside: number[] = []
    const outside: Timed[] = []
    for (let i = -warmRequests; i < requests; i++) {
      const began = performance.now()
      await askPeer(driver, asked(warmRequests + i), signal)
      const insideMs = performance.now() - began
      const timed = await client.ask(signal)
      if (i < 0) continue
      inside.push(insideMs)
      outside.push(timed)
    }
    const cpuBefore = await swarm.cpuMs(signal)
    const bytesBefore = loopbackBytes()
    for (let i = 0; i < requests; i++) await client.ask(signal)
    const bytesOver = (loopbackBytes() - bytesBefore) / requests
    const cpuMs = ((await swarm.cpuMs(signal)) - cpuBefore) / requests
    const insideBytesBefore = loopbackBytes()
    for (let i = 0; i < requests; i++) await askPeer(driver, asked(i), signal)
    const bytesInside = (loopbackBytes() - insideBytesBefore) / requests
    const rate = await together(client, signal)
    const label = `${model.label}, ${count} peer${count === 1 ? '' : 's'}`
    const row = (what: string, unit: string, figure: Figure, more: Partial<Row> = {}): Row => ({
      part: 'service',
      what: `${label}: ${what}`,
      unit,
      figure,
      ...more
    })
    const how = `${promptTokens} + ${answerTokens} tokens, one after the other`
    return [
      ...([50, 95, 99] as const).flatMap((share, i) => [
        row(`request by its own program, p${share}`, 'ms', point(inside, share), { how, aim: aims[i]! }),
        row(
          `request over HTTP, streamed, p${share}`,
          'ms',
          point(
            outside.map(({ totalMs }) => totalMs),
            share
          ),
          { how, aim: aims[i]! }
        )
      ]),
      row('first token over HTTP', 'ms', figure(outside.map(({ firstMs }) => firstMs)), { how }),
      row(`requests at ${connections} connections`, '1/s', one(rate.perSecond), {
        how: `${rate.answered} answered in 10 s, ${rate.failed} failed`
      }),
      row(`request at ${connections} connections, p95`, 'ms', point(rate.ms, 95), { how: 'all at once' }),
      row('processor time per request', 'ms', one(cpuMs), { how: 'of all peers' }),
      row('energy per request', 'J', one((cpuMs / 1000) * coreWatts), {
        aim: '≤ 0.5',
        how: `modelled: processor time at ${coreWatts} W a core`
      }),
      row('bytes between peers per request', 'kB', one(bytesInside / 1000), {
        aim: '≤ 50',
        how: 'of IP packets on loopback: Noise, TCP and records between peers with them'
      }),
      row('bytes to the client per request', 'kB', one(Math.max(0, bytesOver - bytesInside) / 1000), {
        aim: '≤ 50',
        how: 'the same over HTTP, less that'
      })
    ]
  } finally {
    await swarm.stop()
  }
}

const aims = ['≤ 100 (or 150)', '≤ 200', '≤ 250']

async function said(child: BenchChild, kind: string, signal: AbortSignal): Promise<Record<string, unknown>> {
  child.send({ kind })
  return (await child.next(kind, { signal })) as Record<string, unknown>
}

interface Timed {
  readonly firstMs: number
  readonly totalMs: number
}

class Client {
  readonly #url: string
  readonly #body: object
  #seed = 0

  constructor(url: string, model: BenchModel, prompt: readonly number[]) {
    this.#url = url
    // Sampled: what a model of random weights finds likeliest repeats itself, and is drafted.
    this.#body = {
      model: model.stored.id,
      prompt,
      max_tokens: answerTokens,
      temperature: 1,
      stream: true
    }
  }

  async ask(signal: AbortSignal): Promise<Timed> {
    const began = performance.now()
    const response = await fetch(`${this.#url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...this.#body, seed: this.#seed++ }),
      signal
    })
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
    let firstMs: number | undefined
    let text = ''
    for await (const chunk of response.body!) {
      firstMs ??= performance.now() - began
      text += new TextDecoder().decode(chunk)
    }
    if (!text.trimEnd().endsWith('data: [DONE]')) throw new Error(`a stream ended without its end: ${text.slice(-200)}`)
    return { firstMs: firstMs!, totalMs: performance.now() - began }
  }
}

/** Many clients at once, each asking again as soon as it is answered, for ten seconds. */
async function together(client: Client, signal: AbortSignal) {
  const [ms, began]: [number[], number] = [[], performance.now()]
  let failed = 0
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() - began < 10_000) {
        try {
          ms.push((await client.ask(signal)).totalMs)
        } catch {
          failed++
          signal.throwIfAborted()
          await delay(100)
        }
      }
    })
  )
  return { ms, failed, answered: ms.length, perSecond: (1000 * ms.length) / (performance.now() - began) }
}

/** A third of the model at two peers each, of which one after the other is killed and comes back. */
async function throughLosses({ model, store, scratch, minutes, signal }: ServiceInit): Promise<Row[]> {
  const swarm: SwarmConfig = { format: 1, name: 'bench', secret: randomBytes(32).toString('base64url') }
  const folder = path.join(scratch, `losses-${randomBytes(4).toString('hex')}`)
  const { layers } = model.stored.manifest.config
  const started: BenchChild[] = []
  const start = (i: number, init: Partial<PeerProcessInit>): BenchChild => {
    const dataDir = path.join(folder, `peer-${i}`)
    linkStore(store, path.join(dataDir, 'models'))
    const child = new BenchChild('peer-process.ts', {
      dataDir,
      swarm,
      ...(init.memoryBytes === 0 ? {} : { model: model.stored.id }),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      ...init
    })
    started.push(child)
    return child
  }
  const third = (i: number) => ({ start: Math.floor((layers * i) / 3), end: Math.floor((layers * (i + 1)) / 3) })
  const worker = (i: number): BenchChild =>
    start(i, { layers: third(i % 3), memoryBytes: 512e6, mdns: false, bootstrap: [address] })
  let address = ''
  const driver = start(6, { memoryBytes: 0, mdns: false, http: true })
  try {
    await driver.next('up', { signal })
    const { url } = await said(driver, 'http', signal)
    address = (await said(driver, 'address', signal)).address as string
    const workers = Array.from({ length: 6 }, (_, i) => worker(i))
    for (const child of workers) await child.next('up', { signal })
    const probe = new Client(url as string, model, [300, 301, 302])
    while (!(await isAnswered(probe, signal))) await delay(200)
    const [ms, endMs]: [number[], number] = [[], performance.now() + minutes * 60_000]
    let probes = 0
    let inTime = 0
    const losing = (async () => {
      for (let i = 0; performance.now() + lossEveryMs < endMs; i = (i + 1) % 6) {
        await delay(lossEveryMs - awayMs, undefined, { signal })
        await workers[i]!.kill()
        await delay(awayMs, undefined, { signal })
        workers[i] = worker(i)
      }
    })()
    const asked: Promise<void>[] = []
    while (performance.now() < endMs) {
      probes++
      const began = performance.now()
      asked.push(
        isAnswered(probe, signal).then(isTrue => {
          ms.push(performance.now() - began)
          if (isTrue) inTime++
        })
      )
      await delay(probeEveryMs, undefined, { signal })
    }
    await Promise.all([...asked, losing])
    const how = `a probe of 3 + ${answerTokens} tokens every ${probeEveryMs} ms for ${minutes} min; each ${lossEveryMs / 1000} s one of six peers is killed, and back after ${awayMs / 1000} s`
    return [
      {
        part: 'service',
        what: `${model.label}: answered within ${probeDeadlineMs} ms through losses`,
        unit: '%',
        figure: one((100 * inTime) / probes),
        aim: '≥ 99.5',
        how
      },
      {
        part: 'service',
        what: `${model.label}: probe through losses, p99`,
        unit: 'ms',
        figure: point(ms, 99),
        how: `of ${probes}`
      }
    ]
  } finally {
    await Promise.all(started.map(child => child.stop()))
  }
}

async function isAnswered(client: Client, signal: AbortSignal): Promise<boolean> {
  try {
    await client.ask(AbortSignal.any([signal, AbortSignal.timeout(probeDeadlineMs)]))
    return true
  } catch {
    signal.throwIfAborted()
    return false
  }
}

function one(value: number): Figure {
  return { median: value, least: value, most: value, n: 1 }
}

/** So many per cent of the values are at most this. */
function point(values: readonly number[], share: number): Figure {
  const sorted = values.toSorted((a, b) => a - b)
  const at = sorted[Math.min(sorted.length - 1, Math.ceil((share / 100) * sorted.length) - 1)]!
  return { median: at, least: sorted[0]!, most: sorted.at(-1)!, n: sorted.length }
}

/** Bytes that the system has sent over loopback, with the headers of IP and TCP. Whatever else this machine sends there counts too. */
function loopbackBytes(): number {
  const line = /^\s*lo:\s*(\d+)/m.exec(readFileSync('/proc/net/dev', 'utf8'))
  if (line === null) throw new Error('this machine does not say how many bytes pass its loopback interface')
  return Number(line[1])
}
