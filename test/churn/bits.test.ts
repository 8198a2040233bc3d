/**
 * A recovery changes no bit: real engines and stage services over memory links, a hop lost at some token, and every
 * row of hidden states that anyone computed, retained, replayed or fed to an engine compared with the undisturbed one.
 * Rows depend on every entry of the caches before them, so equal rows after a replay mean equal caches.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import type { PeerId, Range } from '../../src/base/ids.ts'
import type { Engine, Sampling, Step, StepOutput } from '../../src/engine/engine.ts'
import { createOnnxEngine } from '../../src/engine/onnx/engine.ts'
import { openLibrary } from '../../src/model/library.ts'
import type { StoredModel } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { type Hop, isWithout } from '../../src/route/view.ts'
import { generate } from '../../src/session/service.ts'
import { createStageService } from '../../src/stage/service.ts'
import type { StageService } from '../../src/stage/service-init.ts'
import { signerOf, verify } from '../../sim/cast.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import { collect, peerId, tokenizer, words } from '../session/world.ts'

const ranges: readonly Range[] = [
  { start: 0, end: 2 },
  { start: 2, end: 4 },
  { start: 4, end: 6 }
]
/** Copies of every stage: two losses of one stage leave a third. */
const copies = 3
const signal = new AbortController().signal

/** `border position` → the row's bytes: what leaves layer `border - 1` for a token. */
type Rows = Map<string, string>

let folder = ''
let model: StoredModel
/** [stage][copy] */
let engines: Engine[][] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-bits-'))
  const store = await openLibrary(folder)
  model = asDecoder((await store.list()).find(({ shipped }) => shipped)!)
  engines = await Promise.all(
    ranges.map(async ({ start, end }) => {
      const { folder: shardDirectory } = await store.verifiedStage(model, start, end, { signal })
      const init = { manifest: model.manifest, shardDirectory, start, end, cacheBytesMax: 1 << 26 }
      return Promise.all(Array.from({ length: copies }, () => createOnnxEngine(init)))
    })
  )
})
afterAll(async () => {
  await Promise.all(engines.flat().map(engine => engine.close()))
  rmSync(folder, { recursive: true, force: true })
})

interface Trial {
  readonly ids: readonly number[]
  readonly maxTokens: number
  readonly sampling: Partial<Sampling>
  /** Called before each step at a hop; returns the peers that die at this moment. */
  readonly losses: (hop: { peer: PeerId; stage: number }, step: Step) => readonly PeerId[]
}

interface Outcome {
  readonly ids: readonly number[]
  readonly rows: Rows
  readonly recovered: number
  /** Steps of more than one token at a stage that joined later. */
  readonly replays: number
  /** What two computations of one row disagreed about; empty is what the promise says. */
  readonly differing: readonly string[]
}

/** All its methods but `run`, each called on the engine itself, whose fields are private. */
function methodsOf(engine: Engine): PropertyDescriptorMap {
  const proto = Object.getPrototypeOf(engine) as Record<string, unknown>
  const names = Object.getOwnPropertyNames(proto).filter(
    name => !['constructor', 'run'].includes(name) && Object.getOwnPropertyDescriptor(proto, name)!.value !== undefined
  )
  return Object.fromEntries(names.map(name => [name, { value: (proto[name] as () => unknown).bind(engine) }]))
}

/** Peer `b1` serves the second stage with its second engine. */
const nameOf = (stage: number, copy: number): PeerId => peerId(`${'abc'[stage]}${copy + 1}`)

async function run({ ids, maxTokens, sampling, losses }: Trial, truth?: Rows): Promise<Outcome> {
  const links = new MemoryWorld()
  const { config } = model.manifest
  const rows: Rows = new Map()
  const differing: string[] = []
  const dead = new Set<PeerId>()
  let replays = 0
  /** Compares rows [position, …) that pass a border with what they were before, or in the undisturbed run. */
  const note = (border: number, position: number, tokens: number, bytes: Uint8Array, where: string): void => {
    const size = bytes.length / tokens
    for (let i = 0; i < tokens; i++) {
      const key = `${border} ${position + i}`
      const row = Buffer.from(bytes.subarray(i * size, (i + 1) * size)).toString('base64')
      const before = rows.get(key) ?? truth?.get(key)
      if (before !== undefined && before !== row) differing.push(`${where}: border and position ${key}`)
      rows.set(key, row)
    }
  }
  const services: StageService[] = []
  for (const [stage, list] of engines.entries()) {
    for (const [copy, engine] of list.entries()) {
      const peer = nameOf(stage, copy)
      const service = await createStageService({ links: links.join(peer), retainBytesMax: 1 << 26, verify })
      const watched: Engine = Object.create(engine, {
        run: {
          value: async (step: Step, options: { signal: AbortSignal }): Promise<StepOutput> => {
            for (const lost of losses({ peer, stage }, step)) {
              if (dead.has(lost)) continue
              dead.add(lost)
              links.kill(lost)
            }
            const { position, tokens, input } = step
            if (input.kind === 'hidden') note(engine.start, position, tokens, input.bytes, `input of ${peer}`)
            if (copy > 0 && tokens > 1) replays++
            const output = await engine.run(step, options)
            if (output.kind === 'hidden') note(engine.end, position, tokens, output.bytes, `output of ${peer}`)
            return output
          }
        },
        ...methodsOf(engine)
      })
      service.add(watched, {
        model: model.id,
        layers: config.layers,
        vocab: config.vocab,
        contextMax: config.contextMax
      })
      services.push(service)
    }
  }
  const driverLinks = links.join(peerId('D'))
  const stages = await createStageService({ links: driverLinks, retainBytesMax: 0, verify })
  services.push(stages)
  const generation = generate(
    {
      links: driverLinks,
      stages,
      sign: signerOf(driverLinks.self),
      tokenizer,
      model: { id: model.id, layers: config.layers, vocab: config.vocab, contextMax: config.contextMax, eosIds: [] },
      route: async excluded =>
        ranges.map((range, stage): Hop => {
          const copy = engines[stage]!.findIndex(
            (_, i) => !isWithout(excluded, { peer: nameOf(stage, i), ...range }) && !dead.has(nameOf(stage, i))
          )
          return { peer: nameOf(stage, copy), ...range }
        })
    },
    words(ids),
    { maxTokens, ...sampling }
  )
  try {
    const events = await collect(generation.events())
    const recovered = events.filter(({ event }) => event === 'recovered').length
    return { ids: (await generation.answer).ids, rows, recovered, replays, differing }
  } finally {
    await Promise.all(services.map(service => service.stop()))
    for (const engine of engines.flat()) expect(engine.cacheBytesUsed).toBe(0)
  }
}

/** Ids of the shipped model's vocabulary that make no sense. */
function prompt(length: number): number[] {
  const rng = seeded(length)
  return Array.from({ length }, () => 300 + Math.floor(rng() * 20_000))
}

const none = (): readonly PeerId[] => []

describe('after a recovery', () => {
  it.each([
    ['a hop in the middle, after a short prompt', 3, [[1, 20]]],
    ['the head', 7, [[0, 25]]],
    ['the tail', 7, [[2, 25]]],
    ['a hop while the prompt is computed, across a block of keys', 150, [[1, 128]]],
    [
      'two neighbours, one after the other, beyond a block',
      120,
      [
        [1, 131],
        [2, 135]
      ]
    ],
    [
      'the stand-in while it replays',
      140,
      [
        [1, 150],
        [1, 0]
      ]
    ],
    [
      'all three, one by one',
      30,
      [
        [0, 40],
        [1, 50],
        [2, 60]
      ]
    ],
    [
      'the same stage twice',
      40,
      [
        [1, 50],
        [1, 60]
      ]
    ]
  ] as [string, number, [number, number][]][])('of %s, every row has the same bits', async (_, length, plan) => {
    for (const sampling of [{ temperature: 0 }, { temperature: 0.9, topP: 0.95, seed: length }]) {
      const ids = prompt(length)
      const maxTokens = 60
      const undisturbed = await run({ ids, maxTokens, sampling, losses: none })
      expect(undisturbed.differing).toEqual([])
      const waiting = [...plan]
      const disturbed = await run(
        {
          ids,
          maxTokens,
          sampling,
          // A loss strikes at the present copy of its stage, at its step of that position or a later one.
          losses: ({ peer, stage }, { position, tokens }) => {
            const [next] = waiting
            if (next === undefined || next[0] !== stage || position + tokens <= next[1]) return []
            waiting.shift()
            return [peer]
          }
        },
        undisturbed.rows
      )
      expect(waiting, 'every loss happened').toEqual([])
      expect(disturbed.differing).toEqual([])
      expect(disturbed.ids).toEqual(undisturbed.ids)
      expect(disturbed.recovered).toBeGreaterThan(0)
      expect(disturbed.replays, 'stand-ins were fed several tokens at once').toBeGreaterThan(0)
      // The same rows, and none missing: each border saw every token but the last.
      const seen = new Set([...disturbed.rows.keys()])
      for (const key of undisturbed.rows.keys()) expect(seen.has(key), `row ${key}`).toBe(true)
    }
  })
})
