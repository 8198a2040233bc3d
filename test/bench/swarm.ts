/** Whole peers on loopback, each a process: what a cut costs in speed, time per hop and bytes, and how fast they meet. */
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SpanName, Status, SwarmConfig, TracedLap } from '../../src/index.ts'
import type { Attachment } from '../churn/network.ts'
import { BenchChild } from './child.ts'
import type { BenchModel } from './models.ts'
import type { Answered, Ask, PeerProcessInit } from './peer-process.ts'
import { figure, median, type Row } from './report.ts'

// As `npm run build` made it, like the peers: Node does not take the types off the generated protocols that it imports.
const built = '../../dist/src/index.js'
const { splitBudgets } = (await import(built)) as typeof import('../../src/index.ts')

export interface SwarmInit {
  readonly model: BenchModel
  /** The bench's store folder. */
  readonly store: string
  /** A folder for the peers' own. */
  readonly scratch: string
  readonly rounds: number
  /** Tokens of a long answer. */
  readonly tokens: number
  readonly signal: AbortSignal
}

const prompt = 'Once upon a time'
/** Tokens of the short answer that a long one is compared with: the difference is decoding alone. */
const shortTokens = 8
const readyTimeoutMs = 60_000
/**
 * Rounds that warm up: V8 has compiled for good what a hop runs after some 1,500 tokens, and until then all that is not computing
 * takes about twice as long. Peers are measured as they are after half a minute of answering.
 */
const warmRounds = 20

/** One swarm: so many peers whose budgets hold the model exactly once. */
export class BenchSwarm {
  readonly #peers: BenchChild[] = []
  readonly #layers: number

  /**
   * @param options.ask what the first one asks as soon as it is up
   * @param options.http every one has a door for HTTP
   * @param options.checkWork as with a peer
   * @param options.places where they are in an emulated network; on loopback without
   */
  constructor(
    { model, store, scratch }: Pick<SwarmInit, 'model' | 'store' | 'scratch'>,
    count: number,
    {
      ask,
      places = [],
      http = false,
      checkWork
    }: {
      readonly ask?: Ask
      readonly places?: readonly Attachment[]
      readonly http?: boolean
      readonly checkWork?: boolean
    } = {}
  ) {
    const { stored } = model
    this.#layers = stored.manifest.config.layers
    const swarm: SwarmConfig = { format: 1, name: 'bench', secret: randomBytes(32).toString('base64url') }
    const folder = path.join(scratch, `swarm-${randomBytes(4).toString('hex')}`)
    for (const [i, memoryBytes] of splitBudgets(stored, count).entries()) {
      const dataDir = path.join(folder, `peer-${i}`)
      linkStore(store, path.join(dataDir, 'models'))
      const init: PeerProcessInit = {
        dataDir,
        swarm,
        model: stored.id,
        memoryBytes,
        listen: [`/ip4/${places[i]?.address ?? '127.0.0.1'}/tcp/0`],
        mdns: false,
        http,
        ...(checkWork === undefined ? {} : { checkWork }),
        ...(ask === undefined || i > 0 ? {} : { ask })
      }
      this.#peers.push(new BenchChild('peer-process.ts', init, places[i]?.prefix))
    }
  }

  /** Waits until every peer is up and sees every layer served; returns the one that serves layer 0. */
  async driver(signal: AbortSignal): Promise<BenchChild> {
    for (const peer of this.#peers) await peer.next('up', { signal })
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(readyTimeoutMs)])
    for (;;) {
      const heads: BenchChild[] = []
      let ready = 0
      for (const peer of this.#peers) {
        peer.send({ kind: 'status' })
        const { status } = (await peer.next('status', { signal })) as unknown as { status: Status }
        const coverage = status.models.find(({ layers }) => layers === this.#layers)?.coverage ?? []
        if (status.peers.length === this.#peers.length && coverage.length > 0 && coverage.every(n => n > 0)) ready++
        const self = status.peers.find(({ self }) => self)
        if (self?.stages.some(({ start, serving }) => start === 0 && serving)) heads.push(peer)
      }
      if (ready === this.#peers.length && heads.length > 0) return heads[0]!
      if (deadline.aborted) throw signal.reason ?? new Error('the peers of the bench did not cover the model in time')
      await delay(100)
    }
  }

  get first(): BenchChild {
    return this.#peers[0]!
  }

  /** Processor time of all of them so far, in ms. */
  async cpuMs(signal: AbortSignal): Promise<number> {
    let sum = 0
    for (const peer of this.#peers) {
      peer.send({ kind: 'cpu' })
      sum += (await peer.next('cpu', { signal })).ms as number
    }
    return sum
  }

  async stop(): Promise<void> {
    await Promise.all(this.#peers.map(peer => peer.stop()))
  }
}

export async function askPeer(peer: BenchChild, ask: Ask, signal: AbortSignal): Promise<Answered> {
  peer.send({ kind: 'ask', ...ask })
  return (await peer.next('answer', { signal })) as unknown as Answered
}

/** What decoding alone took, from a short and a long answer to the same prompt. */
interface Decoding {
  /** The median: another process that takes the core for a while does not move it. */
  readonly tokenMs: number
  /** The mean, as the engines' times are known. */
  readonly meanMs: number
  /** Of all hops together, per step. */
  readonly computeMs: number
  /** Per hop that sends hidden states on, per step. */
  readonly bytesPerHop: readonly number[]
  readonly hops: number
  readonly ids: readonly number[]
}

export function decoding(short: Answered, long: Answered): Decoding {
  const steps = (answered: Answered): number => answered.answer.hops[0]!.steps
  const more = steps(long) - steps(short)
  const hops = long.answer.hops.map((hop, i) => {
    const before = short.answer.hops[i]!
    return {
      computeMs: (hop.computeMs - before.computeMs) / more,
      bytesOut: (hop.bytesOut - before.bytesOut) / more
    }
  })
  return {
    tokenMs: median(long.tokenMs),
    meanMs: long.tokenMs.reduce((sum, ms) => sum + ms, 0) / long.tokenMs.length,
    computeMs: hops.reduce((sum, { computeMs }) => sum + computeMs, 0),
    bytesPerHop: hops.slice(0, -1).map(({ bytesOut }) => bytesOut),
    hops: hops.length,
    ids: long.answer.ids
  }
}

/** What of a lap is not computing, in the order of the lap, and what that is. */
export const besides: readonly (readonly [name: SpanName, how: string])[] = [
  ['wire', 'from one peer to the next one: the system on both sides, and whatever keeps a loop from being woken'],
  ['read', 'off the socket: deciphering, decoding, deciding; the driver included'],
  ['wait', 'until the pass is given to the thread'],
  ['out', 'to the thread'],
  ['back', 'from the thread'],
  ['send', 'deciding, encoding, enciphering, writing; the driver included']
]

/** Of the median lap of one answer, in ms. */
export function spanMs(laps: readonly TracedLap[], name: SpanName): number {
  // The first lap is the prompt's, and of the last one it is not known what sending took.
  return median(
    laps.slice(1, -1).map(({ spans }) => spans.reduce((sum, span) => sum + (span.name === name ? span.ms : 0), 0))
  )
}

/** One peer and three peers, both running all the time, answering by turns, after rounds that warm up. */
export async function benchHops(init: SwarmInit): Promise<Row[]> {
  const { model, rounds, tokens, signal } = init
  const { hidden } = model.stored.manifest.config
  const swarms = [new BenchSwarm(init, 1), new BenchSwarm(init, 3)]
  try {
    const drivers: BenchChild[] = []
    for (const swarm of swarms) drivers.push(await swarm.driver(signal))
    const seen: Decoding[][] = [[], []]
    const traced: (readonly TracedLap[])[] = []
    for (let round = -warmRounds; round < rounds; round++) {
      for (const [i, driver] of drivers.entries()) {
        const short = await askPeer(driver, { prompt, maxTokens: shortTokens }, signal)
        const long = await askPeer(driver, { prompt, maxTokens: tokens }, signal)
        if (round < 0) continue
        seen[i]!.push(decoding(short, long))
        if (drivers.length - 1 > i) continue
        traced.push((await askPeer(driver, { prompt, maxTokens: tokens, trace: true }, signal)).laps)
      }
    }
    const [one, three] = seen as [Decoding[], Decoding[]]
    const identical = one.every((decoded, i) => decoded.ids.every((id, at) => three[i]!.ids[at] === id))
    const how = `decoding after a short prompt, ${tokens} tokens, ${identical ? 'same' : 'DIFFERENT'} ids`
    const row = (what: string, unit: string, values: number[], more: Partial<Row> = {}): Row => ({
      part: 'hops',
      what: `${model.label}: ${what}`,
      unit,
      figure: figure(values),
      ...more
    })
    const perSecond = (decoded: Decoding[]): number[] => decoded.map(({ tokenMs }) => 1000 / tokenMs)
    const beyond = ({ meanMs, computeMs, hops }: Decoding): number => (meanMs - computeMs) / hops
    return [
      row('one peer', 'tokens/s', perSecond(one), { how }),
      row('three peers', 'tokens/s', perSecond(three), { how: `${three[0]!.hops} hops on loopback` }),
      row(
        'three peers / one peer',
        '',
        one.map((decoded, i) => decoded.tokenMs / three[i]!.tokenMs),
        { aim: '≥ 0.87 in q8, 0.82 in q4', how: 'by rounds' }
      ),
      row('beyond compute, one peer', 'ms/token', one.map(beyond), { how: 'mean token time − engine time' }),
      row('beyond compute per hop, three peers', 'ms', three.map(beyond), {
        aim: '≤ 0.3',
        how: '(mean token time − engine times) / hops'
      }),
      ...besides.map(([name, how]) =>
        row(
          `per hop of a traced lap, ${name}`,
          'ms',
          traced.map(laps => spanMs(laps, name) / three[0]!.hops),
          { how }
        )
      ),
      row(
        'bytes per token and hop',
        'B',
        three.flatMap(({ bytesPerHop }) => bytesPerHop),
        { aim: `≤ ${2 * hidden + 64}`, how: `frames; Yamux and Noise add 30 B to each; 2·hidden = ${2 * hidden}` }
      )
    ]
  } finally {
    await Promise.all(swarms.map(swarm => swarm.stop()))
  }
}

/** Three fresh processes at once; the first asks as soon as it is up. */
export async function benchDiscovery(init: SwarmInit): Promise<Row[]> {
  const { model, rounds, signal } = init
  const fromStart: number[] = []
  const fromAsk: number[] = []
  for (let round = 0; round < rounds; round++) {
    signal.throwIfAborted()
    const began = performance.now()
    const swarm = new BenchSwarm(init, 3, { ask: { prompt, maxTokens: 1 } })
    try {
      await swarm.first.next('up', { signal })
      const up = performance.now()
      const answered = (await swarm.first.next('answer', { signal })) as unknown as Answered
      fromAsk.push(answered.firstTokenMs)
      fromStart.push(up - began + answered.firstTokenMs)
    } finally {
      await swarm.stop()
    }
  }
  const row = (what: string, values: number[], how: string): Row => ({
    part: 'discovery',
    what: `${model.label}: ${what}`,
    unit: 'ms',
    figure: figure(values),
    how
  })
  return [
    row(
      'three fresh processes to first token',
      fromStart,
      'from the start of the processes; finding, placing, loading'
    ),
    row('discovery to first token', fromAsk, 'from an ask as soon as the first peer is up')
  ]
}

/** The bench's models under another folder, by hard links. */
export function linkStore(from: string, to: string): void {
  for (const folder of ['manifests', 'shards']) {
    mkdirSync(path.join(to, folder), { recursive: true })
    let names: string[]
    try {
      names = readdirSync(path.join(from, folder))
    } catch {
      // Nothing but the shipped model: there is no store.
      continue
    }
    for (const name of names) linkSync(path.join(from, folder, name), path.join(to, folder, name))
  }
}
