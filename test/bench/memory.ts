/**
 * What a peer takes of a machine's memory beside its weights and caches, and whether it grows with what it is asked:
 * `skein up` as people run it, serving all of the model that ships.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { figure, type Row } from './report.ts'

// Not static imports: their types would need the build to be there before they can be checked.
type Client = typeof import('../../src/cli/control-client.ts')
const built = (name: string): string => new URL(`../../dist/src/${name}`, import.meta.url).href

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
/** After the last layer is served: what was needed to load it is let go by then. */
const settleMs = 4_000

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** kB of one process that nothing else has, and all that it has mapped, as the kernel counts them. */
function memoryOf(pid: number): { anonymousMb: number; residentMb: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mb = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6
  return { anonymousMb: mb('RssAnon'), residentMb: mb('VmRSS') }
}

function start(args: readonly string[]): ChildProcess & { readonly pid: number } {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  if (child.pid === undefined) throw new Error('no process could be started')
  return child as ChildProcess & { readonly pid: number }
}

export async function benchMemory({
  scratch,
  quick,
  signal
}: {
  scratch: string
  quick: boolean
  signal: AbortSignal
}): Promise<Row[]> {
  const { askGenerate, askStatus } = (await import(built('cli/control-client.js'))) as Client
  const { initSwarm } = (await import(built('index.js'))) as typeof import('../../src/index.ts')
  const swarm = path.join(scratch, 'memory-swarm.json')
  await initSwarm(swarm)
  const rounds = quick ? 1 : 3
  const asks = quick ? 400 : 4_000
  const own: Record<'alone' | 'fresh' | 'again' | 'beside' | 'asked' | 'perAsk', number[]> = {
    alone: [],
    fresh: [],
    again: [],
    beside: [],
    asked: [],
    perAsk: []
  }
  for (let round = 0; round < rounds; round++) {
    const alone = start(['-e', 'process.stdin.resume()'])
    await pause(settleMs, undefined, { signal })
    own.alone.push(memoryOf(alone.pid).anonymousMb)
    alone.kill()
    const data = path.join(scratch, `memory-${round}`)
    for (const kind of ['fresh', 'again'] as const) {
      const args = ['up', '--data', data, '--swarm', swarm, '--memory', '256MB', '--no-mdns']
      const peer = start([bin, ...args, '--listen', '/ip4/127.0.0.1/tcp/0', '--stop-with-stdin'])
      const ended = new Promise(resolve => peer.once('exit', resolve))
      try {
        let usedBytes = 0
        for (;;) {
          const seen = await askStatus(data, { signal }).catch(() => undefined)
          const self = seen?.peers.find(each => each.self)
          usedBytes = self?.usedBytes ?? 0
          if (self?.stages.some(({ serving }) => serving) === true) break
          await pause(100, undefined, { signal })
        }
        await pause(settleMs, undefined, { signal })
        const { anonymousMb, residentMb } = memoryOf(peer.pid)
        own[kind].push(anonymousMb)
        if (kind === 'fresh') own.beside.push(residentMb - usedBytes / 1e6)
        else if (round === 0) {
          let half = 0
          for (let n = 1; n <= asks; n++) {
            const options = { maxTokens: 4, temperature: 0 }
            for await (const _ of askGenerate(data, 'Once upon a time', options, { signal }));
            if (n === asks / 2) half = memoryOf(peer.pid).anonymousMb
          }
          const asked = memoryOf(peer.pid).anonymousMb
          own.asked.push(asked)
          own.perAsk.push(((asked - half) * 1e3) / (asks / 2))
        }
      } finally {
        peer.stdin?.end()
        await ended
      }
    }
  }
  const row = (what: string, unit: string, values: number[], how: string): Row => {
    return { part: 'memory', what, unit, figure: figure(values), how }
  }
  return [
    row('memory: Node alone', 'MB', own.alone, 'RssAnon'),
    row('memory: a fresh peer', 'MB', own.fresh, 'RssAnon, weights included, after it has measured its processor'),
    row('memory: a peer that has measured before', 'MB', own.again, 'RssAnon, weights included'),
    row(
      'memory: a fresh peer beside its weights and caches',
      'MB',
      own.beside,
      'VmRSS less what it counts, reserves too'
    ),
    row(`memory: after ${asks} asks`, 'MB', own.asked, 'RssAnon of a peer that has measured before'),
    row('memory: growth per ask', 'kB', own.perAsk, `over the last ${asks / 2}`)
  ]
}
