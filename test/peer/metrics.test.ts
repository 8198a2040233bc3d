/** What a peer counts: real peers over libp2p, the model that ships, the real engine. */
import { expect, it } from 'vitest'
import { type AnswerNews, type AnswerStatus, listModels, type Peer, splitBudgets } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { promtoolSays, readExposition, total, whyNoPromtool } from '../exposition.ts'
import { livePeers } from './live-peers.ts'

const { peers, start } = livePeers('metrics')
const prompt = 'The walrus whispered'
const model = 'stories15m'

function newsOf(peer: Peer): AnswerNews[] {
  const news: AnswerNews[] = []
  peer.addEventListener('answer', ({ detail }) => news.push(detail))
  return news
}

async function untilCovered(peer: Peer, count: number): Promise<void> {
  const least = (): number => Math.min(0, ...peer.status().models.map(({ coverage }) => Math.min(...coverage) - count))
  await expect.poll(() => peer.status().models.length > 0 && least(), { timeout: 60_000 }).toBe(0)
}

it('answers over two hops are counted by their driver, steps by each stage, and nothing that was said is told', {
  timeout: 120_000
}, async context => {
  const [stories] = await listModels('/nonexistent')
  const budgets = splitBudgets(stories!, 2)
  const swarm = newSwarm('counted')
  for (const memoryBytes of budgets) await start({ swarm, memoryBytes })
  const driver = await start({ swarm, memoryBytes: 0, traceEvery: 2 })
  await untilCovered(driver, 1)
  const news = newsOf(driver)

  // The first is traced for the metrics alone, the second is not.
  let seen: readonly AnswerStatus[] = []
  const logprobs: number[] = []
  for (let i = 0; i < 2; i++) {
    const kinds = new Set<string>()
    const scored = i === 1 ? { logprobs: 0 } : {}
    for await (const event of driver.generate(prompt, { maxTokens: 12, speculate: false, ...scored }).events()) {
      kinds.add(event.event)
      if (event.event === 'token' && event.position === 10) seen = driver.answers()
      if (event.event === 'token') logprobs.push(...(event.logprob === undefined ? [] : [event.logprob]))
    }
    expect(kinds).toEqual(new Set(['route', 'token', 'stopped', 'done']))
  }
  const broken = driver.generate(prompt, { maxTokens: 100 })[Symbol.asyncIterator]()
  await broken.next()
  await broken.return?.()
  await expect(driver.generate(prompt, { model: 'unheard-of' }).answer).rejects.toMatchObject({
    name: 'UnknownModelError'
  })

  expect(seen).toMatchObject([{ number: 2, state: 'running', lost: 0 }])
  expect(seen[0]!.route).toHaveLength(2)
  expect(seen[0]!.tokensPerSecond).toBeGreaterThan(1)
  await expect.poll(() => driver.answers()).toEqual([])
  expect(news.filter(({ what }) => what === 'ended')).toMatchObject([
    { answer: 1, tokens: 12, error: null },
    { answer: 2, tokens: 12, error: null },
    { answer: 3, error: 'cancelled' }
  ])

  const text = driver.metrics()
  const samples = readExposition(text)
  const sum = (name: string, labels: Record<string, string> = {}): number => total(samples, name, labels)
  expect(sum('skein_answers_total', { model, outcome: 'length' })).toBe(2)
  expect(sum('skein_answers_total', { outcome: 'cancelled' })).toBe(1)
  expect(sum('skein_answers_total', { model: '', outcome: 'UnknownModelError' })).toBe(1)
  expect(sum('skein_generated_tokens_total')).toBeGreaterThanOrEqual(25)
  expect(sum('gen_ai_server_time_to_first_token_seconds_count', { gen_ai_request_model: model })).toBe(3)
  expect(sum('gen_ai_server_request_duration_seconds_count', { error_type: '' })).toBe(2)
  expect(sum('gen_ai_server_time_per_output_token_seconds_count')).toBe(2)
  expect(sum('skein_token_seconds_count')).toBeGreaterThanOrEqual(22)
  // From the driver to the head, on to the tail, and back: of each lap of the answer that was traced.
  expect(sum('skein_hop_link_seconds_count')).toBeGreaterThanOrEqual(3 * 11)
  expect(sum('skein_hop_link_seconds_count')).toBeLessThanOrEqual(3 * 12)
  expect(sum('skein_answer_bytes_total')).toBeGreaterThan(2 * 12 * 288)
  // How sure the model was, of the answer of which that was asked.
  const version = { model, version: stories!.id.slice(0, 12) }
  expect(sum('skein_answer_surprise_nats_count', version)).toBe(1)
  const mean = logprobs.reduce((sum, each) => sum + each, 0) / 12
  expect(sum('skein_answer_surprise_nats_sum', version)).toBeCloseTo(-mean, 6)
  // The same in the words of another program, for whoever asks for these.
  expect(text).not.toContain('vllm')
  const aliased = readExposition(driver.metrics({ aliases: 'vllm' }))
  const alias = (name: string, labels = {}): number => total(aliased, `vllm:${name}`, { model_name: model, ...labels })
  expect(alias('generation_tokens_total')).toBe(sum('skein_generated_tokens_total', { model }))
  expect(alias('prompt_tokens_total')).toBe(sum('skein_prompt_tokens_total', { model }))
  expect(alias('request_success_total', { finished_reason: 'length' })).toBe(2)
  expect(alias('request_success_total', { finished_reason: 'abort' })).toBe(1)
  expect(alias('inter_token_latency_seconds_count')).toBe(sum('skein_token_seconds_count'))
  expect(alias('time_to_first_token_seconds_count')).toBe(3)
  for (const part of ['queue', 'prefill']) {
    expect(alias(`request_${part}_time_seconds_count`)).toBe(3)
    expect(alias(`request_${part}_time_seconds_sum`)).toBeGreaterThan(0)
  }
  expect(alias('request_generation_tokens_sum')).toBe(24)
  expect(alias('num_requests_running') + alias('num_requests_waiting')).toBe(0)
  expect(total(readExposition(peers[0]!.metrics({ aliases: 'vllm' })), 'vllm:kv_cache_usage_perc')).toBeLessThan(1)
  expect(sum('skein_peers', { state: 'connected' })).toBe(3)
  expect(sum('skein_model_coverage', { model })).toBe(1)
  expect(sum('process_resident_memory_bytes')).toBeGreaterThan(50e6)
  const links = samples.filter(({ name, labels }) => name === 'skein_link_bytes_total' && labels.direction === 'in')
  expect(links.map(({ labels }) => labels.peer).sort()).toEqual([peers[0]!.id, peers[1]!.id].sort())
  expect(links.every(({ value }) => value > 1000)).toBe(true)

  for (const [i, peer] of peers.slice(0, 2).entries()) {
    const own = readExposition(peer.metrics())
    expect(total(own, 'skein_hop_compute_seconds_count', { model })).toBeGreaterThanOrEqual(24)
    expect(total(own, 'skein_hop_queue_seconds_count')).toBe(total(own, 'skein_hop_compute_seconds_count'))
    expect(total(own, 'skein_stage_tokens_total')).toBeGreaterThan(24)
    expect(total(own, 'skein_cache_bytes', { kind: 'max' })).toBeGreaterThan(0)
    expect(total(own, 'skein_budget_bytes', { kind: 'budget' })).toBe(budgets[i])
  }
  for (const peer of peers) {
    expect(peer.metrics()).not.toMatch(/walrus|unheard-of/)
  }
  if (whyNoPromtool === undefined) for (const peer of peers) expect(promtoolSays(peer.metrics())).toBe('')
  else context.annotate(whyNoPromtool)
})

it('a loss is told as it happens, and counted with its pause', { timeout: 120_000 }, async () => {
  const swarm = newSwarm('lossy')
  for (let i = 0; i < 2; i++) await start({ swarm, memoryBytes: 128e6 })
  const driver = await start({ swarm, memoryBytes: 0 })
  await untilCovered(driver, 2)
  const news = newsOf(driver)
  const links = driver.status().links
  expect(links.filter(({ from }) => from === driver.id).map(({ to }) => to)).toHaveLength(2)
  expect(links).toHaveLength(3)

  let ended: Promise<void> | undefined
  let lost = ''
  for await (const event of driver.generate(prompt, { maxTokens: 120 }).events()) {
    if (event.event === 'route') lost = event.hops[0]!.peer
    if (event.event === 'token') ended ??= peers.find(({ id }) => id === lost)!.stop()
  }
  await ended
  const told = news.map(({ what }) => what)
  expect(told).toEqual(['began', 'route', 'lost', 'recovered', 'ended'])
  expect(news[2]).toMatchObject({ peer: lost })
  const samples = readExposition(driver.metrics())
  expect(total(samples, 'skein_losses_total')).toBe(1)
  expect(total(samples, 'skein_recoveries_total')).toBe(1)
  expect(total(samples, 'skein_recovery_seconds_count')).toBe(1)
  expect(total(samples, 'skein_pause_seconds_count')).toBe(1)
  await expect.poll(() => total(readExposition(driver.metrics()), 'skein_peers'), { timeout: 10_000 }).toBe(2)
  expect(driver.status().links).toHaveLength(1)
  // What their records show of their clocks: it is one and the same here.
  for (const { self, clockMs } of driver.status().peers)
    expect(Math.abs(clockMs ?? (self ? 0 : 1e9))).toBeLessThan(30_000)
})
