/**
 * What vLLM tells Prometheus, of this peer: boards that were made for it show a peer, too. Only what is known here as it is meant there has
 * a name; what it says of its prefix cache is left out, since stages do not tell prompts from answers. Pure.
 */
import { Metrics } from '../base/metrics.ts'
import type { EndedAnswer, Gathered } from './metrics.ts'

const seconds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
const tokens = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536]
/** [outcome] as vLLM calls it; all others are errors. */
const reasons: Readonly<Record<string, string>> = { stop: 'stop', length: 'length', cancelled: 'abort' }

export class VllmMetrics {
  readonly #all = new Metrics()
  readonly #labels = ['model_name']
  readonly #running = this.#all.gauge('vllm:num_requests_running', 'Answers whose tokens come', this.#labels)
  readonly #waiting = this.#all.gauge(
    'vllm:num_requests_waiting',
    'Answers that have no token yet, or wait for somebody',
    this.#labels
  )
  readonly #cache = this.#all.gauge(
    'vllm:kv_cache_usage_perc',
    'Share of the room for keys and values at stages of this peer that sessions take, 0 to 1',
    this.#labels
  )
  readonly #promptTokens = this.#all.counter('vllm:prompt_tokens_total', 'Tokens of prompts', this.#labels)
  readonly #tokens = this.#all.counter('vllm:generation_tokens_total', 'Tokens of answers', this.#labels)
  readonly #ended = this.#all.counter('vllm:request_success_total', 'Answers that have ended', [
    ...this.#labels,
    'finished_reason'
  ])
  readonly #first = this.#seconds('time_to_first_token_seconds', 'Time to the first token')
  readonly #between = this.#seconds('inter_token_latency_seconds', 'Time from one token to the next')
  /** As older boards call the same. */
  readonly #perToken = this.#seconds('time_per_output_token_seconds', 'Time from one token to the next')
  readonly #whole = this.#seconds('e2e_request_latency_seconds', 'Time of a whole answer')
  readonly #queue = this.#seconds('request_queue_time_seconds', 'Time until an answer had a route')
  readonly #prefill = this.#seconds('request_prefill_time_seconds', 'Time from then to the first token')
  readonly #decode = this.#seconds('request_decode_time_seconds', 'Time from the first token to the last')
  readonly #prompts = this.#lengths('request_prompt_tokens', 'Tokens of the prompt of an answer')
  readonly #answers = this.#lengths('request_generation_tokens', 'Tokens of an answer')

  token(model: string, ms: number, isFirst: boolean): void {
    this.#tokens.add(1, model)
    if (isFirst) return
    this.#between.observe(ms / 1000, model)
    this.#perToken.observe(ms / 1000, model)
  }

  /** An answer is whole. */
  answered(model: string, promptTokens: number): void {
    this.#promptTokens.add(promptTokens, model)
    this.#prompts.observe(promptTokens, model)
  }

  ended({ model, outcome, error, durationMs, firstMs, queueMs, prefillMs, tokens, restMs }: EndedAnswer): void {
    // vLLM has no requests of models that it does not have.
    if (model === '') return
    this.#ended.add(1, model, reasons[outcome] ?? 'error')
    if (firstMs !== undefined) this.#first.observe(firstMs / 1000, model)
    if (queueMs !== undefined) this.#queue.observe(queueMs / 1000, model)
    if (prefillMs !== undefined) this.#prefill.observe(prefillMs / 1000, model)
    if (error !== '') return
    this.#whole.observe(durationMs / 1000, model)
    this.#decode.observe(restMs / 1000, model)
    this.#answers.observe(tokens, model)
  }

  text({ status: { models }, answers, caches }: Gathered): string {
    for (const family of [this.#running, this.#waiting, this.#cache]) family.clear()
    for (const { id, name } of models) {
      const own = answers.filter(({ model }) => model === id)
      const running = own.filter(({ state }) => state === 'running').length
      this.#running.set(running, name)
      this.#waiting.set(own.length - running, name)
    }
    for (const { model, usedBytes, maxBytes } of caches) {
      if (maxBytes > 0) this.#cache.set(usedBytes / maxBytes, model)
    }
    return this.#all.text()
  }

  #seconds(name: string, help: string) {
    return this.#all.histogram(`vllm:${name}`, help, seconds, ['model_name'])
  }

  #lengths(name: string, help: string) {
    return this.#all.histogram(`vllm:${name}`, help, tokens, ['model_name'])
  }
}
