/**
 * How long it takes until all serve a model that one of them has: the holder alone behind a link of 20 Mbit/s and 20 ms
 * round trip, four others beside one another. The model need cross the link once, and a plain TCP stream does so before
 * and after, on the same machine: what else runs there slows both. `overLink` counts from the first fetch to the last,
 * `servingOverLink` from the start of the four processes until all serve.
 *
 *     npm run build && node test/bench/supply.ts [--mbit 20] [--delay 10] [--layers 24] [--json]
 *
 * In network namespaces of its own; says so and ends with 0 where it cannot run.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { LinkEmulator, whyNoLinks } from '../lab/link.ts'
import { addNamespace, insideNamespaces, ip, whyNoNamespaces } from '../lab/namespaces.ts'
import { writeRandomModel } from '../supply/model.ts'

const { values } = parseArgs({
  options: {
    mbit: { type: 'string', default: '20' },
    delay: { type: 'string', default: '10' },
    layers: { type: 'string', default: '24' },
    json: { type: 'boolean', default: false }
  }
})
const [near, far] = ['near', 'far']
const timeoutMs = 180_000

/** Time of a plain TCP stream of so many bytes over the link, in ms. */
async function plainMs(bytes: number): Promise<number> {
  const node = (namespace: string, script: string): ChildProcess => {
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    children.push(child)
    return child
  }
  const server = node(
    near,
    `require('net').createServer(s => { s.on('error', () => {}); s.end(Buffer.alloc(${bytes})) }).listen(4000, '10.77.0.1', () => console.log('up'))`
  )
  await new Promise(resolve => server.stdout!.once('data', resolve))
  const client = node(
    far,
    `const t = performance.now(); require('net').connect(4000, '10.77.0.1').on('data', () => {}).on('end', () => console.log(performance.now() - t))`
  )
  const took = await new Promise<string>(resolve => client.stdout!.once('data', data => resolve(String(data))))
  server.kill('SIGKILL')
  return Number(took)
}

interface Said {
  readonly kind: string
  readonly atMs: number
  readonly message?: string
  readonly bytes?: number
}

const unable = whyNoNamespaces() ?? whyNoLinks()
if (unable !== undefined) {
  console.log(`supply: skipped, ${unable}`)
  process.exit(0)
}
const code = await insideNamespaces()
if (code !== undefined) process.exit(code)

const root = mkdtempSync(path.join(tmpdir(), 'skein-bench-'))
const children: ChildProcess[] = []
const link = new LinkEmulator({ delayMs: Number(values.delay), mbitPerS: Number(values.mbit) })

try {
  const model = await writeRandomModel(path.join(root, 'holder'), { layers: Number(values.layers) })
  const { shards, tokenizer } = model.manifest
  const modelBytes = [...shards, tokenizer].reduce((sum, { bytes }) => sum + bytes, 0)
  for (const [name, address] of [
    [near, '10.77.0.1'],
    [far, '10.77.0.2']
  ] as const) {
    addNamespace(name)
    await link.port(name)
    ip(`-n ${name} addr add ${address}/24 dev tap0`)
    ip(`-n ${name} link set tap0 up`)
  }
  const sentBytes = (): number =>
    Number(
      execFileSync('ip', ['netns', 'exec', near, 'cat', '/sys/class/net/tap0/statistics/tx_bytes'], {
        encoding: 'utf8'
      })
    )
  const linkBeforeMs = await plainMs(modelBytes)
  const bytesBefore = sentBytes()
  const events: (Said & { readonly peer: string })[] = []
  const swarm = newSwarm('bench')
  const start = (name: string, namespace: string, address: string, port: number, bootstrap: string[]): void => {
    const init = {
      dataDir: path.join(root, name),
      swarm,
      model: 'random',
      listen: [`/ip4/${address}/tcp/${port}`],
      mdns: false,
      bootstrap
    }
    const file = path.join(import.meta.dirname, 'supply-process.ts')
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, file, JSON.stringify(init)], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' }
    })
    children.push(child)
    child.on('message', (said: Said) => events.push({ ...said, peer: name }))
    child.once('exit', code => {
      if (code !== 0) events.push({ kind: 'failed', atMs: Date.now(), peer: name, message: `it ended with ${code}` })
    })
  }
  const until = async (what: string, condition: () => boolean): Promise<void> => {
    const endMs = performance.now() + timeoutMs
    while (!condition()) {
      const failed = events.find(({ kind }) => kind === 'failed')
      if (failed !== undefined) throw new Error(`${failed.peer}: ${failed.message}`)
      if (performance.now() > endMs) throw new Error(`${what} did not happen in ${timeoutMs / 1000} s`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  const count = (kind: string): number =>
    new Set(events.filter(each => each.kind === kind).map(({ peer }) => peer)).size

  start('holder', near, '10.77.0.1', 4001, [])
  await until('the holder serving', () => count('serving') === 1)
  const startMs = Date.now()
  const others = ['a', 'b', 'c', 'd']
  for (const [i, name] of others.entries()) start(name, far, '10.77.0.2', 4002 + i, ['/ip4/10.77.0.1/tcp/4001'])
  await until('all serving', () => count('serving') === 5)
  const begunMs = Math.min(...events.filter(({ kind }) => kind === 'fetching').map(({ atMs }) => atMs))
  const last = (kind: string): number => Math.max(...events.filter(each => each.kind === kind).map(({ atMs }) => atMs))
  const bytesSent = sentBytes()
  const { full } = await link.counts()
  const linkAfterMs = await plainMs(modelBytes)
  const linkMs = (linkBeforeMs + linkAfterMs) / 2
  const result = {
    event: 'supply',
    modelBytes,
    nominalMs: Math.round((modelBytes * 8) / (Number(values.mbit) * 1_000)),
    linkMs: [linkBeforeMs, linkAfterMs].map(Math.round),
    startedMs: begunMs - startMs,
    fetchedMs: last('fetched') - begunMs,
    servingMs: last('serving') - begunMs,
    overLink: Math.round((100 * (last('fetched') - begunMs)) / linkMs) / 100,
    servingOverLink: Math.round((100 * (last('serving') - startMs)) / linkMs) / 100,
    bytesOverLink: bytesSent - bytesBefore,
    copiesOverLink: Math.round((100 * (bytesSent - bytesBefore)) / modelBytes) / 100,
    /** Frames of all that crossed the link so far that its queue had no room for: TCP sends them again. */
    framesDropped: full,
    peersLost: events.filter(({ kind }) => kind === 'left').length,
    warnings: events.filter(({ kind }) => kind === 'warning').map(({ peer, message }) => `${peer}: ${message}`)
  }
  console.log(values.json ? JSON.stringify(result) : result)
  const stopped = Promise.all(
    children.filter(child => child.connected).map(child => new Promise(resolve => child.once('exit', resolve)))
  )
  for (const child of children) if (child.connected) child.send('stop')
  await stopped
} finally {
  for (const child of children) child.kill('SIGTERM')
  link.close()
  rmSync(root, { recursive: true, force: true })
}
