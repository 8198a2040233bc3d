/**
 * Four peers in network namespaces of their own, on one bridge that is parted in two and joined again, as when a radio
 * loses half of a flock: no interface goes down and no connection is closed. Run by `split.test.ts` inside namespaces
 * that end with this process; prints what it saw as JSON, the last line the outcome.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { askGenerate, askStatus } from '../../src/cli/control-client.ts'
import { type GenerationEvent, initSwarm, listModels, splitBudgets, type Status } from '../../src/index.ts'

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
const prompt = 'Once upon a time'
const deadline = AbortSignal.timeout(100_000)

interface Told {
  readonly event: string
  readonly atMs: number
}

class ScenePeer {
  readonly dataDir: string
  readonly told: Told[] = []
  readonly child: ChildProcess
  readonly #cable: string

  constructor(folder: string, n: number, swarm: string, memoryBytes: number) {
    const name = `peer${n}`
    const address = `10.78.0.${n + 1}`
    this.dataDir = join(folder, name)
    this.#cable = `cable${n}`
    ip(`netns add ${name}`)
    ip(`link add ${this.#cable} type veth peer name eth0 netns ${name}`)
    this.plug('one')
    ip(`link set ${this.#cable} up`)
    ip(`-n ${name} addr add ${address}/24 dev eth0`)
    ip(`-n ${name} link set eth0 up`)
    ip(`-n ${name} link set lo up`)
    const args = [
      ...[bin, 'up', '--data', this.dataDir, '--swarm', swarm, '--memory', String(memoryBytes)],
      ...['--listen', `/ip4/${address}/tcp/0`, '--no-mdns', '--json', '--stop-with-stdin']
    ]
    this.child = spawn('ip', ['netns', 'exec', name, process.execPath, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, TMPDIR: folder }
    })
    createInterface({ input: this.child.stdout! }).on('line', line => {
      const { event } = JSON.parse(line) as { event: string }
      this.told.push({ event, atMs: performance.now() })
    })
  }

  plug(bridge: 'one' | 'two'): void {
    ip(`link set ${this.#cable} master ${bridge}`)
  }

  /** How often it told an event since then. */
  count(event: string, sinceMs: number): number {
    return this.told.filter(told => told.event === event && told.atMs >= sinceMs).length
  }

  status(): Promise<Status> {
    return askStatus(this.dataDir, { signal: deadline })
  }

  /** Answers to the end; `onToken` sees how many tokens there are. */
  async answer(maxTokens: number, onToken: (tokens: number) => void = () => {}): Promise<GenerationEvent[]> {
    const events: GenerationEvent[] = []
    const options = { maxTokens, temperature: 0.7, seed: 11 }
    for await (const event of askGenerate(this.dataDir, prompt, options, { signal: deadline })) {
      events.push(event)
      if (event.event === 'token') onToken(events.filter(each => each.event === 'token').length)
    }
    return events
  }
}

function ip(line: string): void {
  execFileSync('ip', line.split(' '), { stdio: ['ignore', 'ignore', 'inherit'] })
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds().catch(() => false))) {
    if (deadline.aborted) throw new Error(`not in time: ${what}`)
    await pause(200)
  }
}

function ids(events: readonly GenerationEvent[]): number[] {
  return events.flatMap(event => (event.event === 'token' ? [event.id] : []))
}

/** The peer sees so many peers, and each layer served so often at least. */
async function covers(peer: ScenePeer, peers: number, copies: number): Promise<boolean> {
  const status = await peer.status()
  const present = status.peers.filter(({ connected }) => connected)
  const model = status.models[0]!
  const counts = Array.from(
    { length: model.layers },
    (_, layer) =>
      present.flatMap(({ stages }) => stages.filter(s => s.serving && s.start <= layer && layer < s.end)).length
  )
  return present.length === peers && counts.every(count => count >= copies)
}

const folder = mkdtempSync(join(tmpdir(), 'skein-split-'))
const peers: ScenePeer[] = []
try {
  ip('link set lo up')
  for (const bridge of ['one', 'two']) {
    ip(`link add ${bridge} type bridge`)
    ip(`link set ${bridge} up`)
  }
  const swarm = join(folder, 'swarm.json')
  await initSwarm(swarm, 'split')
  const [model] = await listModels(join(folder, 'none'))
  const memoryBytes = Math.max(...splitBudgets(model!, 2))
  for (let n = 0; n < 4; n++) peers.push(new ScenePeer(folder, n, swarm, memoryBytes))
  await until('two copies of every layer', async () =>
    (await Promise.all(peers.map(peer => covers(peer, 4, 2)))).every(Boolean)
  )
  const whole = await peers[0]!.answer(200)

  // Those who serve the same layers go to the same side: neither half can answer as it is.
  const startOf = async (peer: ScenePeer): Promise<number> =>
    (await peer.status()).peers.find(({ self }) => self)!.stages[0]!.start
  const starts = await Promise.all(peers.map(startOf))
  const sides = [0, 1].map(side => peers.filter((_, n) => (starts[n] === 0 ? 0 : 1) === side))
  // An answer is under way on each side; what it needs goes out of reach.
  let splitMs = 0
  const running = sides.map(([asked]) =>
    asked!.answer(200, tokens => {
      if (tokens < 20 || splitMs > 0) return
      splitMs = performance.now()
      for (const peer of sides[1]!) peer.plug('two')
    })
  )
  const survived = await Promise.all(running)
  const apartMs = performance.now() - splitMs
  const apart = await Promise.all(sides.map(side => side[1]!.answer(60)))

  // They meet again while each side answers.
  let mergeMs = 0
  const across = sides.map(([asked]) =>
    asked!.answer(200, tokens => {
      if (tokens < 20 || mergeMs > 0) return
      mergeMs = performance.now()
      for (const peer of sides[1]!) peer.plug('one')
    })
  )
  const kept = await Promise.all(across)
  await until('two copies of every layer after the merge', async () =>
    (await Promise.all(peers.map(peer => covers(peer, 4, 2)))).every(Boolean)
  )
  const togetherMs = performance.now() - mergeMs
  const together = await Promise.all(sides.map(side => side[1]!.answer(60)))
  await pause(3000)
  const sum = (event: string, sinceMs: number): number =>
    peers.reduce((total, peer) => total + peer.count(event, sinceMs), 0)
  const lost = (all: readonly GenerationEvent[][]): number => all.flat().filter(event => event.event === 'lost').length
  const same = (all: readonly GenerationEvent[][], tokens: number): boolean =>
    all.every(events => ids(events).join() === ids(whole).slice(0, tokens).join())
  process.stdout.write(
    `${JSON.stringify({
      tokens: ids(whole).length,
      survived: same(survived, 200),
      survivedLost: lost(survived),
      apart: same(apart, 60),
      kept: same(kept, 200),
      keptLost: lost(kept),
      together: same(together, 60),
      movesApart: sum('serving', splitMs) - sum('serving', mergeMs),
      movesTogether: sum('serving', mergeMs),
      apartMs,
      togetherMs
    })}\n`
  )
} finally {
  for (const { child } of peers) child.stdin?.end()
  await Promise.race([
    Promise.all(peers.map(({ child }) => child.exitCode ?? new Promise(r => child.once('exit', r)))),
    pause(8000)
  ])
  for (const { child } of peers) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
process.exit()
