/**
 * A small model of random weights among real peers: some in this process, some in processes of their own that a test kills. It has the
 * architecture that its description gives, and each peer has all of its files.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, expect } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import {
  type GenerateOptions,
  type GenerationEvent,
  importModel,
  type Peer,
  type Range,
  type SwarmConfig
} from '../../src/index.ts'
import { describeModel } from '../../src/model/architectures/registry.ts'
import { checkpointTensors } from '../../src/model/architectures/tensors.ts'
import { type TinyTensor, writeModelDirectory } from '../model/hugging-face.ts'
import { type LivePeers, livePeers } from './live-peers.ts'

const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
const memoryBytes = 64e6

export interface TinyModel {
  /** As in `config.json`. */
  readonly config: Parameters<typeof describeModel>[0] & { readonly num_hidden_layers: number }
  readonly seed: number
  /** What weights of norms lie around: of some architectures 1 is added to them. @default 1 */
  readonly norms?: 0 | 1
}

/** A peer in a process of its own. */
export interface ChildPeer {
  readonly id: string
  /** It ends without a goodbye. */
  kill(): void
}

export interface TinyFlock extends LivePeers {
  /** A peer of this process, that knows those that were started before it. */
  serve(swarm: SwarmConfig, layers: Range): Promise<Peer>
  /** One in a process of its own, that knows those of this process. @param swarm its file */
  child(swarm: string, layers: Range): Promise<ChildPeer>
}

/** @param name of the folders, for who finds one left behind */
export function tinyFlock(name: string, model: TinyModel): TinyFlock {
  const live = livePeers(name)
  const { folder, peers, start } = live
  const children: ChildProcess[] = []
  let imported: Promise<string> | undefined
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
    imported = undefined
  })
  /** A data directory with the model in it, which is imported once in a test. */
  const home = async (): Promise<string> => {
    imported ??= importTiny(await folder(), model)
    const dataDir = await folder()
    await cp(join(await imported, 'models'), join(dataDir, 'models'), { recursive: true })
    return dataDir
  }
  return {
    ...live,
    serve: async (swarm, layers) => start({ dataDir: await home(), swarm, memoryBytes, layers }),
    async child(swarm, { start, end }) {
      const bootstrap = peers.flatMap(({ addresses }) => addresses.flatMap(address => ['--bootstrap', address]))
      const child = spawn(
        process.execPath,
        [
          ...[bin, 'up', '--data', await home(), '--swarm', swarm, '--memory', String(memoryBytes)],
          ...['--layers', `${start}-${end}`, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json'],
          ...['--stop-with-stdin', ...bootstrap]
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
  }
}

async function importTiny(dataDir: string, model: TinyModel): Promise<string> {
  const source = join(dataDir, 'source')
  await writeModelDirectory(source, model.config, randomWeights(model))
  await importModel({ source, dataDir, name: 'tiny', weights: 'q8', signal: AbortSignal.timeout(60_000) })
  return dataDir
}

/** Matrices that keep the size of what they multiply. */
function randomWeights({ config, seed, norms = 1 }: TinyModel): Map<string, TinyTensor> {
  const { config: decoder, names } = describeModel(config, 'config.json')
  const rng = seeded(seed)
  return new Map(
    [...checkpointTensors(decoder, names)].map(([name, { shape }]) => {
      const length = shape.reduce((a, b) => a * b, 1)
      const [middle, size] = shape.length === 1 ? [norms, 0.2] : [0, 2 / Math.sqrt(shape.at(-1)!)]
      return [name, { shape: [...shape], values: Float32Array.from({ length }, () => middle + size * (2 * rng() - 1)) }]
    })
  )
}

/** An answer to the end. @param use hears of all that happens to it @returns its ids */
export async function answered(
  peer: Peer,
  prompt: string,
  options: GenerateOptions,
  use: (event: GenerationEvent) => void = () => {}
): Promise<readonly number[]> {
  const generation = peer.generate(prompt, { temperature: 1, seed: 3, ...options })
  for await (const event of generation.events()) use(event)
  return (await generation.answer).ids
}

/** Until a peer knows of so many stages that serve each layer. */
export const covered = (peer: Peer, copies: readonly number[]): Promise<void> =>
  expect.poll(() => peer.status().models[0]?.coverage, { timeout: 60_000 }).toEqual(copies)
