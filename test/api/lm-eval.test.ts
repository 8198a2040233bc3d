/**
 * EleutherAI's evaluation harness, as it is, scores a model that two peers have halves of, over HTTP: each log-likelihood and the score are
 * those of the same model in one piece, asked without HTTP.
 *
 *     python3 -m venv tmp/lm-eval && tmp/lm-eval/bin/pip install 'lm_eval[api]==0.4.13'     # 763 MB, 50 s
 *     npx vitest run test/api/lm-eval.test.ts                                               # half a minute
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { serveApi } from '../../src/api/serve.ts'
import type { Peer } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { needs } from '../needs.ts'
import { livePeers } from '../peer/live-peers.ts'

const { start, folder } = livePeers('lm-eval')
const program = join(import.meta.dirname, '../../tmp/lm-eval/bin/lm_eval')
const whyNoLmEval = existsSync(program) ? undefined : 'lm-eval is not here: see test/api/lm-eval.test.ts'

/** With its tasks and their examples. */
const tasks = join(import.meta.dirname, 'lm-eval')

interface Example {
  readonly text: string
  readonly choices: readonly string[]
}

const examples = readFileSync(join(tasks, 'stories.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map(line => JSON.parse(line) as Example)

/** Of a text that goes on after another, and whether each of its tokens was the likeliest one. */
type Likelihood = readonly [logprob: string, isGreedy: boolean]

/** Versions of Python add numbers up with other roundings: so many digits are the same with all. */
const digits = (logprob: number): string => logprob.toPrecision(12)

interface Evaluated {
  /** Metric of the task, as it is told. */
  readonly results: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** By task, in the order of the examples: what the model answered to each of its requests. */
  readonly answers: Readonly<Record<string, readonly (readonly unknown[])[]>>
}

/** Runs tasks in a process. @param name what it calls a kind of server @param args of that */
async function evaluated(name: string, args: string, names: readonly string[]): Promise<Evaluated> {
  const out = await folder()
  const child = spawn(
    program,
    [
      ...['run', '--model', name, '--model_args', args, '--include_path', tasks, '--tasks', names.join(',')],
      ...['--log_samples', '--output_path', out, '--batch_size', '8']
    ],
    {
      cwd: tasks,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, HF_HOME: out, HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1' }
    }
  )
  let log = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    log += text
  })
  await once(child, 'close')
  expect(child.exitCode, log).toBe(0)
  const read = (pattern: string): string => readFileSync(join(out, globSync(pattern, { cwd: out })[0]!), 'utf8')
  const answers = (task: string): unknown[][] =>
    read(`*/samples_${task}_*.jsonl`)
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
      .toSorted((a, b) => a.doc_id - b.doc_id)
      .map(({ filtered_resps }) => filtered_resps)
  return {
    results: JSON.parse(read('*/results_*.json')).results,
    answers: Object.fromEntries(names.map(task => [task, answers(task)]))
  }
}

/** What a peer makes of ids from one of them on. */
async function scored(peer: Peer, ids: readonly number[], from: number): Promise<Likelihood> {
  let sum = 0
  let isGreedy = true
  let at = 0
  for await (const event of peer.generate(ids, { promptLogprobs: 1, maxTokens: 0 }).events()) {
    if (event.event !== 'prompt') continue
    for (const { logprob, top } of event.tokens) {
      if (at++ < from) continue
      sum += logprob!
      isGreedy &&= logprob === top![0]!.logprob
    }
  }
  expect(at).toBe(ids.length)
  return [digits(sum), isGreedy]
}

/** As lm-eval asks by ids: a space at the end of a text belongs to what follows, and no token is put in front. */
async function byIds(peer: Peer, { text, choices }: Example): Promise<Likelihood[]> {
  const ids = (text: string) => peer.tokenize(text, { bare: true })
  const from = (await ids(text.trimEnd())).length
  return Promise.all(choices.map(async choice => scored(peer, await ids(text + choice), from)))
}

/** As it asks by texts: they begin with the model's own first token, and what follows begins with the first token that starts in it. */
async function byTexts(peer: Peer, { text, choices }: Example): Promise<Likelihood[]> {
  const length = async (ids: readonly number[]) => [...(await peer.detokenize(ids))].length
  return Promise.all(
    choices.map(async choice => {
      const ids = await peer.tokenize(text + choice)
      let from = 0
      while ((await length(ids.slice(0, from))) < [...text].length) from++
      return scored(peer, ids, from)
    })
  )
}

/** The likeliest end of a sentence. */
async function ending(peer: Peer, prompt: string | readonly number[]): Promise<string> {
  const { text } = await peer.generate(prompt, { maxTokens: 16 }).answer
  return text.split(/\.|<\/s>/)[0]!
}

const likelihoods = (answers: readonly (readonly unknown[])[]): Likelihood[][] =>
  answers.map(each => (each as [string, string][]).map(([sum, isGreedy]) => [digits(Number(sum)), isGreedy === 'True']))

/** The share of examples whose first choice is the likeliest. */
const accuracy = (all: readonly Likelihood[][]): number =>
  all.filter(each => each.every(([sum]) => Number(sum) <= Number(each[0]![0]))).length / all.length

it('is told the log-likelihoods, the score and the texts of the model in one piece', {
  timeout: 600_000,
  ...needs(whyNoLmEval)
}, async () => {
  const whole = await start({ swarm: newSwarm('lm-eval alone'), memoryBytes: 256e6 })
  await expect.poll(() => whole.status().models[0]?.coverage, { timeout: 60_000 }).toEqual([1, 1, 1, 1, 1, 1])
  const swarm = newSwarm('lm-eval')
  const head = await start({ swarm, layers: { start: 0, end: 3 }, memoryBytes: 256e6, bootstrap: [] })
  const bootstrap = [...head.addresses]
  await start({ swarm, layers: { start: 3, end: 6 }, memoryBytes: 256e6, bootstrap })
  const driver = await start({ swarm, memoryBytes: 0, bootstrap })
  await expect.poll(() => driver.status().models[0]?.coverage, { timeout: 60_000 }).toEqual([1, 1, 1, 1, 1, 1])
  const { url, close } = await serveApi(driver, { port: 0 })
  try {
    const ids = await evaluated(
      'local-completions',
      `model=stories15m,base_url=${url}/v1/completions,tokenizer_backend=remote,max_length=256`,
      ['skein_stories', 'skein_beginnings', 'skein_endings']
    )
    const texts = await evaluated('gguf', `base_url=${url}`, ['skein_stories', 'skein_endings'])
    for (const [told, ask] of [
      [ids, byIds],
      [texts, byTexts]
    ] as const) {
      const expected = await Promise.all(examples.map(example => ask(whole, example)))
      const all = likelihoods(told.answers.skein_stories!)
      expect(all).toEqual(expected)
      expect(told.results.skein_stories!['acc,none']).toBe(accuracy(expected))
    }
    const endings = await Promise.all(
      examples.map(async ({ text }) => ending(whole, await whole.tokenize(text, { bare: true })))
    )
    expect(ids.answers.skein_endings).toEqual(endings.map(each => [each]))
    const endingsOfTexts = await Promise.all(examples.map(({ text }) => ending(whole, text)))
    expect(texts.answers.skein_endings).toEqual(endingsOfTexts.map(each => [each.trim()]))
    const beginnings = await Promise.all(
      examples.map(async ({ text }) => (await scored(whole, await whole.tokenize(text), 1))[0])
    )
    expect(ids.answers.skein_beginnings!.map(([sum]) => digits(Number(sum)))).toEqual(beginnings)
    const bytes = examples.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
    const bits = -beginnings.reduce((sum, each) => sum + Number(each), 0) / bytes / Math.LN2
    expect(ids.results.skein_beginnings!['bits_per_byte,none']).toBeCloseTo(bits, 9)
  } finally {
    await close()
  }
})
