/** What it costs that hops commit to what they computed: two swarms of three peers, one with and one without, by turns; and its parts alone. */
import { generateKeyPairSync, sign as signBytes } from 'node:crypto'
import { RowChain } from '../../src/stage/commitment.ts'
import { sha256 } from '../../src/stage/committing-service.ts'
import { figure, median, type Row } from './report.ts'
import { askPeer, BenchSwarm, type SwarmInit } from './swarm.ts'

const prompt = 'Once upon a time'
/** Both swarms must have been compiled for good. */
const warmRounds = 12

export async function benchWork(init: SwarmInit): Promise<Row[]> {
  return [...parts(init), ...(await swarms(init))]
}

/** Digests of a token's row, given and sent, and the signature at the end of a session. */
function parts({ model, rounds }: SwarmInit): Row[] {
  const { hidden } = model.stored.manifest.config
  const rowBytes = hidden * (model.stored.manifest.edge === 'f32' ? 4 : 2)
  const row = new Uint8Array(rowBytes).fill(7)
  const { privateKey } = generateKeyPairSync('ed25519')
  const digestUs: number[] = []
  const signUs: number[] = []
  for (let round = -2; round < rounds; round++) {
    const chain = new RowChain(sha256)
    const beginMs = performance.now()
    for (let at = 0; at < 2_000; at++) chain.push(at, row, 1)
    const digestedMs = performance.now()
    for (let at = 0; at < 200; at++) signBytes(null, row.subarray(0, 130), privateKey)
    const endMs = performance.now()
    if (round < 0) continue
    digestUs.push((2 * (digestedMs - beginMs) * 1000) / 2_000)
    signUs.push(((endMs - digestedMs) * 1000) / 200)
  }
  const told = (what: string, values: readonly number[], how: string): Row => ({
    part: 'work',
    what: `${what}, ${model.label}`,
    unit: 'µs',
    figure: figure(values),
    how
  })
  return [
    told(
      'digests, one token at one hop',
      digestUs,
      `SHA-256 of two rows of ${rowBytes} bytes, each after the digest before it`
    ),
    told('signature, one session at one hop', signUs, 'Ed25519')
  ]
}

async function swarms(init: SwarmInit): Promise<Row[]> {
  const { model, rounds, tokens, signal } = init
  const kinds = [
    { name: 'hops that commit', swarm: new BenchSwarm(init, 3, { checkWork: true }) },
    { name: 'hops that do not', swarm: new BenchSwarm(init, 3, { checkWork: false }) }
  ].map(kind => ({ ...kind, tokenMs: [] as number[], cpuMs: [] as number[] }))
  try {
    const drivers = []
    for (const { swarm } of kinds) drivers.push(await swarm.driver(signal))
    for (let round = -warmRounds; round < rounds; round++) {
      // Each begins as often as the other one.
      for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
        const { swarm, tokenMs, cpuMs } = kinds[i]!
        const beforeMs = await swarm.cpuMs(signal)
        const answered = await askPeer(drivers[i]!, { prompt, maxTokens: tokens }, signal)
        const afterMs = await swarm.cpuMs(signal)
        if (round < 0) continue
        tokenMs.push(median(answered.tokenMs))
        cpuMs.push((afterMs - beforeMs) / tokens)
      }
    }
    return kinds.flatMap(({ name, tokenMs, cpuMs }): Row[] => {
      const row = (what: string, values: readonly number[], how: string): Row => ({
        part: 'work',
        what: `${name}: ${what}, ${model.label}`,
        unit: 'ms',
        figure: figure(values),
        how
      })
      return [
        row(
          'one token',
          tokenMs,
          `the median of ${tokens} tokens over 3 peers on loopback, by turns with the other swarm`
        ),
        row('processor time of a token', cpuMs, 'of all three peers, questions for it included')
      ]
    })
  } finally {
    for (const { swarm } of kinds) await swarm.stop()
  }
}
