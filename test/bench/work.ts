/**
 * What it costs that hops commit to what they computed: what each of them and the driver do for it, alone, as a part of all that a token takes; and
 * swarms of three peers, with and without, by turns.
 */
import { generateKeyPairSync, sign as signBytes } from 'node:crypto'
import type { PeerId, SessionId } from '../../src/base/ids.ts'
import { findingsOf } from '../../src/check/findings.ts'
import type { StepOutput } from '../../src/engine/engine.ts'
import { type Commitment, signCommitment } from '../../src/stage/commitment.ts'
import { Committing, sha256 } from '../../src/stage/committing-service.ts'
import type { SeatId } from '../../src/stage/event.ts'
import { RetainedStates } from '../../src/stage/retain.ts'
import { signTerms } from '../../src/stage/terms.ts'
import { figure, median, type Row } from './report.ts'
import { askPeer, BenchSwarm, type SwarmInit } from './swarm.ts'

const prompt = 'Once upon a time'
const hops = 3
/** Swarms must have been compiled for good. */
const warmRounds = 12
/** By turns, one of each kind has several: processes of one kind differ by more than what is measured. */
const swarmsOfAKind = 2
/** Sessions of each measurement of a part. */
const partSessions = 40

/** Sums of processor time, in ms, and of tokens. */
interface Kind {
  readonly name: string
  readonly swarms: readonly BenchSwarm[]
  readonly tokenMs: number[]
  readonly cpuMs: number[]
}

export async function benchWork(init: SwarmInit): Promise<Row[]> {
  const parts = measureParts(init)
  const kinds = await measureSwarms(init)
  const { model, tokens } = init
  const row = (what: string, unit: string, values: readonly number[], how: string, aim?: string): Row => ({
    part: 'work',
    what: `${what}, ${model.label}`,
    unit,
    figure: figure(values),
    how,
    ...(aim === undefined ? {} : { aim })
  })
  const [committing, plain] = kinds as [Kind, Kind]
  const plainMs = median(plain.cpuMs)
  const all = parts.map(({ hopUs, driverUs }) => (100 * (hops * hopUs + driverUs)) / 1000 / plainMs)
  return [
    row(
      'commitments, one token at one hop',
      'µs',
      parts.map(({ hopUs }) => hopUs),
      `digests of what it is given and gives, in an answer of ${tokens} tokens, and the signature`
    ),
    row(
      'commitments, one token at the driver',
      'µs',
      parts.map(({ driverUs }) => driverUs),
      'its own digests, and whether all of them agree'
    ),
    row(
      'commitments / processor time of a token',
      '%',
      all,
      `the two above, of ${hops} hops, of what a token takes without them`,
      '< 1: checks take 0.7 at the usual rate, and 1.5 at most'
    ),
    ...kinds.flatMap(({ name, tokenMs, cpuMs }) => [
      row(
        `${name}: one token`,
        'ms',
        tokenMs,
        `the median of ${tokens} tokens over ${hops} peers on loopback, by turns`
      ),
      row(`${name}: processor time of a token`, 'ms', cpuMs, 'of all peers, questions for it included')
    ]),
    row(
      'hops that commit / hops that do not: processor time',
      '%',
      committing.cpuMs.map((ms, i) => 100 * (ms / plain.cpuMs[i]! - 1)),
      'more of it, of two answers one after the other, which begin by turns'
    )
  ]
}

/** What the parts take of a token, in µs. */
interface Parts {
  readonly hopUs: number
  readonly driverUs: number
}

function measureParts({ model, rounds, tokens }: SwarmInit): Parts[] {
  const { hidden } = model.stored.manifest.config
  const rowBytes = hidden * (model.stored.manifest.edge === 'f32' ? 4 : 2)
  const { privateKey } = generateKeyPairSync('ed25519')
  const sign = (data: Uint8Array): Uint8Array => signBytes(null, data, privateKey)
  const route = Array.from({ length: hops }, (_, i) => ({ peer: `peer ${i}` as PeerId, start: i, end: i + 1 }))
  const terms = {
    ...signTerms(
      {
        session: '00'.repeat(16) as SessionId,
        epoch: 0,
        model: model.stored.id,
        // Of this peer alone, whose id is one.
        route: [],
        driver: '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5' as PeerId,
        tokensMax: tokens + 1,
        cache: 'f32',
        sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 },
        keep: 0,
        room: 'refuse'
      },
      sign
    ),
    route
  }
  const ids = Array.from({ length: tokens + 1 }, (_, i) => 1 + i)
  const rows = ids.map(id => new Uint8Array(rowBytes).fill(id))
  const states = new RetainedStates(rowBytes, tokens)
  const committing = new Committing({ sign })
  const seat = 'bench' as SeatId
  const hopOnce = (): Commitment | undefined => {
    committing.opened(seat, { numericClass: 'bench' } as Parameters<Committing['opened']>[1], terms.sampling)
    for (let position = 0; position < tokens; position++) {
      const input = { kind: 'hidden', bytes: rows[position]! } as const
      const step = { session: terms.session, position, tokens: 1, input, sample: false }
      const output = { kind: 'hidden', bytes: rows[position + 1]!, computeMs: 0, rows: 1, gatherMs: 0 } as StepOutput
      committing.computed(seat, step, output)
      committing.settle(seat)
    }
    const signed = committing.commit({ seat, terms, hop: 1, tokens, states, ids: undefined })
    committing.freed(seat)
    return signed
  }
  const one = hopOnce()!
  const commitments = route.map((_, hop) => signCommitment({ ...one, hop }, sign))
  const ended = { terms, ids, given: 1, commitments: commitments.slice(1, 2), rowBytes }
  const driverOnce = (): unknown => findingsOf(ended, { verify: () => true, digest: sha256, classOf: () => 'bench' })
  const timed = (once: () => unknown): number => {
    const beginMs = performance.now()
    for (let i = 0; i < partSessions; i++) once()
    return (1000 * (performance.now() - beginMs)) / partSessions / tokens
  }
  const parts: Parts[] = []
  for (let round = -3; round < rounds; round++) {
    const measured = { hopUs: timed(hopOnce), driverUs: timed(driverOnce) }
    if (round >= 0) parts.push(measured)
  }
  committing.stop()
  return parts
}

async function measureSwarms(init: SwarmInit): Promise<readonly Kind[]> {
  const { rounds, tokens, signal } = init
  const kinds = [
    { name: 'hops that commit', checkWork: true },
    { name: 'hops that do not', checkWork: false }
  ].map(({ name, checkWork }): Kind => {
    const swarms = Array.from({ length: swarmsOfAKind }, () => new BenchSwarm(init, hops, { checkWork }))
    return { name, swarms, tokenMs: [], cpuMs: [] }
  })
  try {
    const drivers = new Map(
      await Promise.all(
        kinds.flatMap(({ swarms }) => swarms.map(async swarm => [swarm, await swarm.driver(signal)] as const))
      )
    )
    for (let round = -warmRounds * swarmsOfAKind; round < 8 * rounds; round++) {
      // Each begins as often as the other one.
      for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
        const swarm = kind.swarms[Math.abs(round >> 1) % swarmsOfAKind]!
        const beforeMs = await swarm.cpuMs(signal)
        const answered = await askPeer(drivers.get(swarm)!, { prompt, maxTokens: tokens }, signal)
        const afterMs = await swarm.cpuMs(signal)
        if (round < 0) continue
        kind.tokenMs.push(median(answered.tokenMs))
        kind.cpuMs.push((afterMs - beforeMs) / tokens)
      }
    }
    return kinds
  } finally {
    for (const { swarms } of kinds) for (const swarm of swarms) await swarm.stop()
  }
}
