/**
 * A model with sliding windows among real peers, killed when its caches have long given back what the windows left behind: a stand-in
 * begins at 0, and no token changes.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, it } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { rollbackTokens } from '../../src/engine/limits.ts'
import { floorOf } from '../../src/engine/windows.ts'
import { type GenerateOptions, type GenerationEvent, importModel, initSwarm, type Peer } from '../../src/index.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { type TinyTensor, writeModelDirectory } from '../model/hugging-face.ts'
import { livePeers } from './live-peers.ts'

const { folder, start } = livePeers('windows')

const window = 40
const config = {
  architectures: ['Gemma3ForCausalLM'],
  model_type: 'gemma3_text',
  num_hidden_layers: 6,
  layer_types: [
    'sliding_attention',
    'sliding_attention',
    'full_attention',
    'sliding_attention',
    'sliding_attention',
    'full_attention'
  ],
  sliding_window: window,
  hidden_size: 64,
  intermediate_size: 96,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  query_pre_attn_scalar: 16,
  hidden_activation: 'gelu_pytorch_tanh',
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  rope_local_base_freq: 10_000,
  max_position_embeddings: 1024,
  vocab_size: 300,
  bos_token_id: 1
}
const { num_hidden_layers: layers } = config
const memoryBytes = 64e6
const prompt = 'ab a ba b '.repeat(60)
const maxTokens = 80

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** Norms near 1, and matrices that keep the size of what they multiply. */
function randomWeights(): Map<string, TinyTensor> {
  const { config: decoder, names } = describeModel(config, 'config.json')
  const rng = seeded(5)
  return new Map(
    [...checkpointTensors(decoder, names)].map(([name, { shape }]) => {
      const length = shape.reduce((a, b) => a * b, 1)
      const [middle, size] = shape.length === 1 ? [0, 0.2] : [0, 2 / Math.sqrt(shape.at(-1)!)]
      return [name, { shape: [...shape], values: Float32Array.from({ length }, () => middle + size * (2 * rng() - 1)) }]
    })
  )
}

let imported: Promise<string> | undefined

/** A data directory with the model in it. */
async function home(): Promise<string> {
  imported ??= (async () => {
    const [dataDir, source] = [await folder(), join(await folder(), 'tiny')]
    await writeModelDirectory(source, config, randomWeights())
    await importModel({ source, dataDir, name: 'tiny', weights: 'q8', signal: AbortSignal.timeout(60_000) })
    return dataDir
  })()
  const dataDir = await folder()
  await cp(join(await imported, 'models'), join(dataDir, 'models'), { recursive: true })
  return dataDir
}

interface Middle {
  readonly id: string
  kill(): void
}

/** A process of its own that serves layers [1, 5). */
async function middle(swarm: string, bootstrap: readonly string[]): Promise<Middle> {
  const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
  const child = spawn(
    process.execPath,
    [
      ...[bin, 'up', '--data', await home(), '--swarm', swarm, '--memory', String(memoryBytes), '--layers', '1-5'],
      ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin'],
      ...bootstrap.flatMap(address => ['--bootstrap', address])
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] }
  )
  children.push(child)
  const up = Promise.withResolvers<string>()
  child.once('exit', () => up.reject(new Error('the peer did not start')))
  createInterface({ input: child.stdout! }).on('line', line => {
    const told = JSON.parse(line) as { event: string; peer?: string }
    if (told.event === 'up') up.resolve(told.peer!)
  })
  return { id: await up.promise, kill: () => child.kill('SIGKILL') }
}

async function answer(
  peer: Peer,
  options: GenerateOptions,
  use: (event: GenerationEvent) => void = () => {}
): Promise<readonly number[]> {
  const generation = peer.generate(prompt, { maxTokens, temperature: 1, seed: 3, ...options })
  for await (const event of generation.events()) use(event)
  return (await generation.answer).ids
}

const covered = (peer: Peer, copies: readonly number[]): Promise<void> =>
  expect.poll(() => peer.status().models[0]?.coverage, { timeout: 60_000 }).toEqual(copies)

it('one that is killed past the floor of its windows, and then its stand-in, change no token', {
  timeout: 240_000
}, async () => {
  const alone = await start({ dataDir: await home(), swarm: newSwarm('alone'), memoryBytes })
  await covered(alone, new Array(layers).fill(1))
  let promptTokens = 0
  const want = await answer(alone, {}, event => {
    if (event.event === 'done') promptTokens = event.promptIds.length
  })
  const bytes = await answer(alone, { cache: 'i8' })
  expect(want).toHaveLength(maxTokens)
  // By then a cache can be cut to no less than that, other than to nothing: windows have left the rest behind.
  const floor = floorOf([window, undefined], promptTokens)
  expect(floor).toBeGreaterThan(window)
  expect(promptTokens).toBeGreaterThan(rollbackTokens + window)

  const file = join(await folder(), 'swarm.json')
  const swarm = await initSwarm(file, 'cut')
  const own: Peer[] = []
  const addresses = (): string[] => own.flatMap(peer => [...peer.addresses])
  const serve = async (from: number, end: number): Promise<void> => {
    own.push(
      await start({ dataDir: await home(), swarm, memoryBytes, layers: { start: from, end }, bootstrap: addresses() })
    )
  }
  await serve(0, 1)
  await serve(5, 6)
  const [first] = own as [Peer]
  const middles = await Promise.all([1, 2, 3].map(() => middle(file, addresses())))
  await covered(first, [1, 3, 3, 3, 3, 1])

  let hops: readonly { readonly peer: string }[] = []
  let tokens = 0
  const replayed: number[] = []
  const killed = new Set<string>()
  const got = await answer(first, {}, event => {
    if (event.event === 'route') ({ hops } = event)
    if (event.event === 'recovered') {
      hops = event.route
      replayed.push(event.replayedTokens)
    }
    if (event.event !== 'token') return
    tokens++
    if (tokens !== 20 && tokens !== 50) return
    const at = middles.find(({ id }) => hops.some(({ peer }) => peer === id))!
    killed.add(at.id)
    at.kill()
  })
  expect(got).toEqual(want)
  expect(killed.size).toBe(2)
  // Each stand-in has read the whole text.
  expect(replayed).toHaveLength(2)
  for (const count of replayed) expect(count).toBeGreaterThanOrEqual(promptTokens)
  // Over bytes, through the one that is left, which knows the prompt by now.
  expect(await answer(first, { cache: 'i8' })).toEqual(bytes)
})
