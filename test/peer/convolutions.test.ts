/** A model whose layers are short convolutions among real peers: cut anywhere, killed in mid-answer, kept and taken up again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import { type GenerateOptions, type GenerationEvent, importModel, initSwarm, type Peer } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { seeded } from '../../src/base/rng.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'
import { type TinyTensor, writeModelDirectory } from '../model/hugging-face.ts'
import { livePeers } from './live-peers.ts'

const { folder, start } = livePeers('convolutions')

const config = {
  architectures: ['Lfm2ForCausalLM'],
  model_type: 'lfm2',
  num_hidden_layers: 6,
  layer_types: ['conv', 'conv', 'full_attention', 'conv', 'full_attention', 'conv'],
  hidden_size: 96,
  intermediate_size: 128,
  block_auto_adjust_ff_dim: false,
  max_position_embeddings: 1024,
  rope_theta: 1_000_000,
  norm_eps: 1e-5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 300,
  bos_token_id: 1
}
const { num_hidden_layers: layers } = config
const memoryBytes = 64e6
const prompt = 'ab a ba b '.repeat(20)

const children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** Norms near 1, and matrices that keep the size of what they multiply. */
function randomWeights(): Map<string, TinyTensor> {
  const { config: decoder, names } = describeModel(config, 'config.json')
  const rng = seeded(11)
  return new Map(
    [...checkpointTensors(decoder, names)].map(([name, { shape }]) => {
      const length = shape.reduce((a, b) => a * b, 1)
      const [middle, size] = shape.length === 1 ? [1, 0.2] : [0, 2 / Math.sqrt(shape.at(-1)!)]
      const values = Float32Array.from({ length }, () => middle + size * (2 * rng() - 1))
      return [name, { shape: [...shape], values }]
    })
  )
}

let imported: Promise<string> | undefined

/** A data directory with the model in it; it is imported once. */
async function home(): Promise<string> {
  imported ??= importTiny()
  const dataDir = await folder()
  await cp(join(await imported, 'models'), join(dataDir, 'models'), { recursive: true })
  return dataDir
}

async function importTiny(): Promise<string> {
  const dataDir = await folder()
  const source = join(await folder(), 'tiny')
  await writeModelDirectory(source, config, randomWeights())
  await importModel({ source, dataDir, name: 'tiny', weights: 'q8', signal: AbortSignal.timeout(60_000) })
  return dataDir
}

/** A process of its own that serves layers [1, 4): a convolution, attention and a convolution. @returns its peer's id */
async function child(swarm: string, bootstrap: readonly string[]): Promise<{ id: string; child: ChildProcess }> {
  const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
  const made = spawn(
    process.execPath,
    [
      ...[bin, 'up', '--data', await home(), '--swarm', swarm, '--memory', String(memoryBytes), '--layers', '1-4'],
      ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin'],
      ...bootstrap.flatMap(address => ['--bootstrap', address])
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] }
  )
  children.push(made)
  const up = Promise.withResolvers<string>()
  made.once('exit', () => up.reject(new Error('the peer did not start')))
  createInterface({ input: made.stdout! }).on('line', line => {
    const told = JSON.parse(line) as { event: string; peer?: string }
    if (told.event === 'up') up.resolve(told.peer!)
  })
  return { id: await up.promise, child: made }
}

async function answer(
  peer: Peer,
  options: GenerateOptions,
  use: (event: GenerationEvent) => void = () => {}
): Promise<readonly number[]> {
  const generation = peer.generate(prompt, { maxTokens: 60, temperature: 1, seed: 3, ...options })
  for await (const event of generation.events()) use(event)
  return (await generation.answer).ids
}

const covered = (peer: Peer, copies: readonly number[]): Promise<void> =>
  expect.poll(() => peer.status().models[0]?.coverage, { timeout: 60_000 }).toEqual(copies)

it('one that is killed in mid-answer changes no token, and what was begun is taken up by another peer', {
  timeout: 240_000
}, async () => {
  const alone = await start({ dataDir: await home(), swarm: newSwarm('alone'), memoryBytes })
  await covered(alone, new Array(layers).fill(1))
  const want = await answer(alone, {})
  const bytes = await answer(alone, { cache: 'i8' })
  expect(want).toHaveLength(60)
  expect(bytes).not.toEqual(want)

  const file = join(await folder(), 'swarm.json')
  const swarm = await initSwarm(file, 'cut')
  const serve = async (from: number, end: number): Promise<Peer> =>
    start({ dataDir: await home(), swarm, memoryBytes, layers: { start: from, end }, bootstrap: addresses() })
  const own: Peer[] = []
  const addresses = (): string[] => own.flatMap(peer => [...peer.addresses])
  own.push(await serve(0, 1))
  own.push(await serve(4, 6))
  const [first, last] = own as [Peer, Peer]
  const middles = await Promise.all([child(file, addresses()), child(file, addresses())])
  await covered(first, [1, 2, 2, 2, 1, 1])

  const events: GenerationEvent[] = []
  const got = await answer(first, {}, event => {
    events.push(event)
    if (events.filter(each => each.event === 'token').length !== 25) return
    const hops = events.flatMap(each => (each.event === 'route' ? each.hops : []))
    middles.find(({ id }) => hops.some(({ peer }) => peer === id))?.child.kill('SIGKILL')
  })
  expect(got).toEqual(want)
  expect(events.filter(each => each.event === 'lost').length).toBeGreaterThan(0)

  // Over bytes, and with what both peers know of the prompt by now: rows of convolutions stay float32.
  await covered(first, new Array(layers).fill(1))
  for (const peer of [first, last]) expect(await answer(peer, { cache: 'i8' })).toEqual(bytes)
  const session = { name: 'tale', key: new Uint8Array(32).fill(7) }
  let seen = 0
  for await (const _ of first.generate(prompt, { maxTokens: 60, temperature: 1, seed: 3, session })) {
    if (++seen === 20) break
  }
  const resumed = last.resume('tale', { key: session.key })
  for await (const _ of resumed);
  expect((await resumed.answer).ids).toEqual(want)
})
