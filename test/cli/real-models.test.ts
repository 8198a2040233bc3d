/**
 * Real models as people run them, where they are: a GGUF file is imported, peers in processes of their own fetch their layers of it,
 * and prompts of thousands of tokens are answered. Over one peer, three and five, with one of them killed in mid-answer, it is one
 * and the same answer.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Range } from '../../src/index.ts'
import { openStore } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import { needs } from '../needs.ts'
import { type RealModel, realModel, whyNoModel } from '../real-models.ts'
import { Skein, skein } from './skein.ts'

const root = new URL('../../', import.meta.url)
/** Long texts of several kinds: a licence, source and prose. */
const text = ['LICENSE-APACHE', 'src/cli/ask.ts', 'protocols/arithmetic.md', 'src/session/session.ts']
  .map(file => readFileSync(new URL(file, root), 'utf8'))
  .join('\n')

let folder = ''
const running: Skein[] = []

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-real-'))
})
afterEach(stopAll)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function stopAll(): Promise<void> {
  for (const { child } of running) child.kill('SIGKILL')
  await Promise.all(running.splice(0).map(({ ended }) => ended))
}

async function done(args: readonly string[]): Promise<void> {
  const { code, stderr } = await skein(args)
  expect({ code, stderr }).toMatchObject({ code: 0 })
}

interface Started {
  readonly id: string
  readonly data: string
  readonly process: Skein
}

/** The folder into which a model was imported, once for all tests. */
const imports = new Map<string, Promise<string>>()
function imported(name: RealModel, dtype?: string): Promise<string> {
  const key = `${name}-${dtype ?? 'kept'}`
  const data = join(folder, key)
  const flags = dtype === undefined ? [] : ['--dtype', dtype]
  const made =
    imports.get(key) ??
    done(['model', 'import', realModel(name), '--data', data, '--name', name, ...flags]).then(() => data)
  imports.set(key, made)
  return made
}

/** Peers of a new swarm that serve these layers; the first one has the model, and the others fetch what they serve. */
async function swarmOf(name: RealModel, data: string, layers: readonly string[]): Promise<Started[]> {
  const scratch = mkdtempSync(join(folder, 'swarm-'))
  const swarm = join(scratch, 'swarm.json')
  await done(['init', swarm])
  const started: Started[] = []
  for (const [i, range] of layers.entries()) {
    const own = i === 0 ? data : join(scratch, `${i}`)
    const flags = ['--data', own, '--swarm', swarm, '--model', name, '--layers', range, '--memory', '2GB']
    const net = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--wait', '--json', '--stop-with-stdin']
    const process = new Skein(['up', ...flags, ...net])
    running.push(process)
    const { peer } = await process.event('up', { withinMs: 120_000 })
    started.push({ id: peer as string, data: own, process })
  }
  for (const { process } of started) await process.event('covered', { withinMs: 600_000 })
  return started
}

type Hop = Range & { readonly peer: string }

interface Answer {
  readonly ids: readonly number[]
  readonly promptIds: readonly number[]
  /** Of the first route. */
  readonly hops: readonly Hop[]
  readonly lost: readonly string[]
}

interface AskInit {
  /** From that position on, the hop of this index is killed. */
  readonly kill?: { readonly hop: number; readonly position: number }
  /** @default 48 tokens, drawn with a seed */
  readonly sampling?: readonly string[]
}

/** Asks the first peer. */
async function answer(
  peers: readonly Started[],
  prompt: string,
  { kill, sampling = ['--max-tokens', '48', '--temperature', '0.7', '--seed', '5'] }: AskInit = {}
): Promise<Answer> {
  const run = new Skein(['ask', '-', '--data', peers[0]!.data, '--json', ...sampling], { stdin: prompt })
  running.push(run)
  const told = (kind: string) => run.events.filter(({ event }) => event === kind)
  const { hops } = (await run.event('route', { withinMs: 120_000 })) as unknown as { hops: Hop[] }
  if (kill !== undefined) {
    await expect
      .poll(() => (told('token').at(-1)?.position as number) ?? 0, { timeout: 1_200_000, interval: 5 })
      .toBeGreaterThanOrEqual(kill.position)
    const { peer } = hops[kill.hop]!
    peers.find(({ id }) => id === peer)!.process.child.kill('SIGKILL')
  }
  const { code, stderr } = await run.ended
  expect({ code, stderr }).toMatchObject({ code: 0 })
  const { ids, promptIds, exact } = told('done')[0] as unknown as { ids: number[]; promptIds: number[]; exact: boolean }
  expect(exact).toBe(true)
  return { ids, promptIds, hops, lost: told('lost').map(({ peer }) => peer as string) }
}

/** Beginnings of the text, each of so many tokens by the model's own tokenizer. */
async function beginnings(name: RealModel, data: string, lengths: readonly number[]): Promise<string[]> {
  const store = await openStore({ own: join(data, 'models') })
  const model = asDecoder(await store.resolve(name))
  const file = await store.tokenizerFile(model, { signal: AbortSignal.timeout(60_000) })
  const tokenizer = loadTokenizer(readFileSync(file), model.manifest)
  return lengths.map(length => {
    // What comes later may join the last of them to one.
    let [least, most] = [0, text.length]
    while (most - least > 1) {
      const middle = Math.floor((least + most) / 2)
      if (tokenizer.encode(text.slice(0, middle)).length <= length) least = middle
      else most = middle
    }
    return text.slice(0, least)
  })
}

/** Layers of the stages between these cuts. */
function stagesOf(layers: number, ...cuts: number[]): string[] {
  return [...cuts, layers].map((end, i) => `${cuts[i - 1] ?? 0}-${end}`)
}

/** What the answer is in one piece. */
async function inOnePiece(name: RealModel, data: string, layers: number, all: readonly string[]): Promise<Answer[]> {
  const alone = await swarmOf(name, data, stagesOf(layers))
  const answers: Answer[] = []
  for (const prompt of all) answers.push(await answer(alone, prompt))
  await stopAll()
  return answers
}

const timeout = 1_800_000

describe('qwen, its weights as they are,', () => {
  const known = JSON.parse(readFileSync(new URL('test/model/formats/answers.json', root), 'utf8')) as {
    readonly qwen: readonly { readonly prompt: readonly number[]; readonly answer: readonly number[] }[]
  }
  it("gives transformers' answers over three peers", { timeout, ...needs(whyNoModel('qwen')) }, async () => {
    const peers = await swarmOf('qwen', await imported('qwen'), stagesOf(24, 6, 17))
    // In others of its answers the two likeliest tokens are so near to one another that activations of 8 bits exchange them.
    for (const [i, message] of [
      [0, 'What is the capital of France?'],
      [2, 'Translate to English: déjà vu, naïve café ☕ — 日本語']
    ] as const) {
      const { ids, promptIds } = await answer(peers, message, { sampling: ['--max-tokens', '64', '--chat'] })
      expect(promptIds).toEqual(known.qwen[i]!.prompt)
      // Theirs end with what ends the answer.
      expect(ids).toEqual(known.qwen[i]!.answer.slice(0, -1))
    }
  })
})

describe.each([
  ['smol', 30, [9, 21], [1, 8, 17, 29]],
  ['qwen', 24, [5, 16], undefined],
  ['gemma', 18, [7, 12], undefined]
] as const)('a text of 2,990 tokens goes on with %s', (name, layers, three, five) => {
  it('as in one piece over several peers, one of which is killed at position 3,000', {
    timeout,
    ...needs(whyNoModel(name))
  }, async () => {
    const data = await imported(name)
    const [prompt] = await beginnings(name, data, [2990])
    const [whole] = await inOnePiece(name, data, layers, [prompt!])
    expect(whole!.promptIds.length).toBeGreaterThan(2980)
    expect(new Set(whole!.ids).size).toBeGreaterThan(12)
    for (const [cuts, hop] of [
      [three, 1],
      [five, 3]
    ] as const) {
      if (cuts === undefined) continue
      const stages = stagesOf(layers, ...cuts)
      // Whoever of the two it is that answers: the other one stands in.
      const peers = await swarmOf(name, data, [...stages, stages[hop]!])
      const over = await answer(peers, prompt!, { kill: { hop, position: 3000 } })
      expect(over.hops.map(({ start, end }) => `${start}-${end}`)).toEqual(stages)
      expect(over.lost).toEqual([over.hops[hop]!.peer])
      expect(over.ids).toEqual(whole!.ids)
      await stopAll()
    }
  })
})

describe('texts around the length of a window', () => {
  const name = 'gemma'
  it('go on as in one piece over three peers', { timeout, ...needs(whyNoModel(name)) }, async () => {
    const data = await imported(name)
    const all = await beginnings(name, data, [470, 511, 512, 513, 1000, 1023, 1024, 1025])
    const whole = await inOnePiece(name, data, 18, all)
    expect(whole.map(({ promptIds }) => promptIds.length)).toEqual([470, 511, 512, 513, 1000, 1023, 1024, 1025])
    const peers = await swarmOf(name, data, stagesOf(18, 5, 12))
    for (const [i, prompt] of all.entries()) expect((await answer(peers, prompt)).ids).toEqual(whole[i]!.ids)
  })
})

describe.each(['q8', 'q4', 'f32'])('a model converted to %s', dtype => {
  const name = 'smol'
  it('answers over three peers as in one piece', { timeout, ...needs(whyNoModel(name)) }, async () => {
    const data = await imported(name, dtype)
    const all = await beginnings(name, data, [300])
    const whole = await inOnePiece(name, data, 30, all)
    const peers = await swarmOf(name, data, stagesOf(30, 4, 18))
    for (const [i, prompt] of all.entries()) expect((await answer(peers, prompt)).ids).toEqual(whole[i]!.ids)
  })
})
