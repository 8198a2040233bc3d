/**
 * How long it is from `skein up` to serving: as people run it, with the model that ships. A peer alone in its swarm, with a new folder and
 * with the same one again, and one that comes to it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { figure, type Row } from './report.ts'

// Not a static import: its types would need the build to be there before they can be checked.
const built = new URL('../../dist/src/index.js', import.meta.url).href
const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
/** From the start of a process to its last event: it takes seconds on a busy machine. */
const startMs = 60_000

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** When a process told of each event for the first time, in ms from its start. */
interface Started {
  readonly at: ReadonlyMap<string, number>
  readonly addresses: readonly string[]
  readonly stop: () => Promise<void>
}

function start(args: readonly string[]): { child: ChildProcess; ended: Promise<unknown>; beganMs: number } {
  const beganMs = performance.now()
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  running.add(child)
  const ended = new Promise(resolve => child.once('exit', resolve).once('error', resolve))
  void ended.then(() => running.delete(child))
  return { child, ended, beganMs }
}

/** Starts a peer; returns when it serves all of the model. */
async function up(args: readonly string[], signal: AbortSignal): Promise<Started> {
  const { child, ended, beganMs } = start(['up', '--json', '--no-mdns', '--stop-with-stdin', ...args])
  const stop = async (): Promise<void> => {
    child.stdin?.end()
    await ended
  }
  const at = new Map<string, number>()
  let addresses: readonly string[] = []
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(startMs)])
  const lines = createInterface({ input: child.stdout!, signal: deadline })
  try {
    for await (const line of lines) {
      const told = JSON.parse(line) as { event: string; addresses?: readonly string[] }
      if (!at.has(told.event)) at.set(told.event, performance.now() - beganMs)
      addresses = told.addresses ?? addresses
      if (told.event === 'serving') return { at, addresses, stop }
    }
    signal.throwIfAborted()
    throw new Error(`skein up told no 'serving' within ${startMs} ms, but ${[...at.keys()].join(', ')}`)
  } catch (error) {
    await stop()
    throw error
  }
}

export async function benchUp({
  scratch,
  rounds,
  signal
}: {
  readonly scratch: string
  readonly rounds: number
  readonly signal: AbortSignal
}): Promise<Row[]> {
  const { initSwarm } = (await import(built)) as typeof import('../../src/index.ts')
  const swarm = path.join(scratch, 'up-swarm.json')
  await initSwarm(swarm)
  const args = (data: string): string[] => [
    ...['--data', path.join(scratch, data), '--swarm', swarm, '--memory', '256MB'],
    ...['--listen', '/ip4/127.0.0.1/tcp/0']
  ]
  const modules: number[] = []
  const kinds = ['fresh', 'again', 'joining'] as const
  const found = Object.fromEntries(kinds.map(kind => [kind, { up: [], load: [], serving: [] }])) as unknown as Record<
    (typeof kinds)[number],
    Record<'up' | 'load' | 'serving', number[]>
  >
  const note = (kind: (typeof kinds)[number], { at }: Started): void => {
    const [listens, loads, serves] = ['up', 'loading', 'serving'].map(event => at.get(event)!) as [
      number,
      number,
      number
    ]
    found[kind].up.push(listens)
    found[kind].load.push(serves - loads)
    found[kind].serving.push(serves)
  }
  for (let round = 0; round < rounds; round++) {
    const version = start(['--version'])
    await version.ended
    modules.push(performance.now() - version.beganMs)
    const [data, other] = [`up-${round}`, `up-other-${round}`]
    for (const folder of [other, data]) {
      const fresh = await up(args(folder), signal)
      if (folder === data) note('fresh', fresh)
      await fresh.stop()
    }
    const first = await up(args(data), signal)
    try {
      note('again', first)
      const joining = await up([...args(other), '--bootstrap', first.addresses[0]!], signal)
      note('joining', joining)
      await joining.stop()
    } finally {
      await first.stop()
    }
  }
  const row = (what: string, values: readonly number[], how: string): Row => {
    return { part: 'up', what: `skein up: ${what}`, unit: 'ms', figure: figure(values), how }
  }
  const of = (kind: (typeof kinds)[number], whose: string): Row[] => [
    { ...row(`${whose}, to serving`, found[kind].serving, 'from the start of the process'), aim: '1500' },
    row(
      `${whose}, to listening`,
      found[kind].up,
      'modules, folder, node; and this machine is measured where it was not'
    ),
    row(`${whose}, load`, found[kind].load, 'digests, thread, kernels, reading')
  ]
  return [
    row('node and modules', modules, 'skein --version'),
    ...of('fresh', 'a new folder, alone'),
    ...of('again', 'the same folder again, alone'),
    ...of('joining', 'beside a peer that serves')
  ]
}
