/**
 * Two peers with 20 ms between them, one way, each in a network namespace of its own: how near an answer comes to what its
 * computing and the way around take. Needs root, as emulated links do.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { unshareArgs } from '../lab/namespaces.ts'
import type { BenchModel } from './models.ts'
import type { RingInit, RingRound } from './ring-process.ts'
import { figure, type Row } from './report.ts'
import { besides } from './swarm.ts'

const oneWayMs = 20

export async function benchRing(init: {
  readonly model: BenchModel
  /** The bench's store folder. */
  readonly store: string
  readonly scratch: string
  readonly rounds: number
  readonly tokens: number
  readonly signal: AbortSignal
}): Promise<Row[]> {
  const { model, signal, ...rest } = init
  const rounds = await inNamespaces({ ...rest, modelId: model.stored.id, oneWayMs }, signal)
  const row = (what: string, unit: string, of: (round: RingRound) => number, more: Partial<Row> = {}): Row => ({
    part: 'ring',
    what: `${model.label}, two hops, ${oneWayMs} ms one way: ${what}`,
    unit,
    figure: figure(rounds.map(of)),
    ...more
  })
  return [
    row('a token', 'ms', ({ tokenMs }) => tokenMs),
    row('computing, both hops', 'ms', ({ computeMs }) => computeMs),
    row('speed × (computing + ring)', '', ({ tokenMs, computeMs }) => (computeMs + 2 * oneWayMs) / tokenMs, {
      aim: '≥ 0.95',
      how: 'means of an answer, no drafts'
    }),
    row('a lap of plain sockets', 'ms', ({ plainMs }) => plainMs, {
      how: 'of messages as long, in the same places, that compute as long: what the link and the system take from anyone'
    }),
    row('speed × that lap', '', ({ tokenMs, plainMs }) => plainMs / tokenMs),
    ...besides.map(([name, how]) => row(`${name}, in a lap`, 'ms', ({ spans }) => spans[name] ?? 0, { how }))
  ]
}

/** Runs `ring-process.ts` in namespaces that end with it. @throws {Error} with its exit code. */
async function inNamespaces(init: RingInit, signal: AbortSignal): Promise<RingRound[]> {
  const file = fileURLToPath(new URL('ring-process.ts', import.meta.url))
  const command = [process.execPath, ...process.execArgv, file, JSON.stringify(init)]
  // It ends when its stdin closes, so also when this process is killed.
  const child = spawn('unshare', unshareArgs(command), { stdio: ['pipe', 'pipe', 'inherit'], signal })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
  })
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
  if (code !== 0) throw new Error(`ring-process.ts ended with exit code ${code}`)
  return JSON.parse(text) as RingRound[]
}
