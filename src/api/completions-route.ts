/** `POST /v1/completions`: texts that are continued. */
import type { StoredModel } from '../index.ts'
import type { Finish } from './answer.ts'
import { Answering, newId, nowS } from './answering.ts'
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { invalid, unsupported } from './errors.ts'
import { choicesMax, completionTokensUsual } from './limits.ts'
import { CompletionScores, type ScoredToken } from './logprobs.ts'
import { fingerprint } from './models.ts'
import { askedOf } from './sampling.ts'
import { completionSchema, promptsOf, read, refuseUnknown } from './schema.ts'
import { dataFrame, doneFrame } from './stream.ts'

export async function completionsRoute(api: Api, c: ApiContext): Promise<Response> {
  const body = await jsonBody(c)
  const request = read(completionSchema, body)
  refuseUnknown(request)
  const prompts = promptsOf(request.prompt)
  const asked = askedOf(request, completionTokensUsual)
  if (asked.options.maxTokens === 0) throw invalid("'max_tokens' must be at least 1, not 0", { param: 'max_tokens' })
  if (asked.choices > 1 && prompts.length * asked.choices > choicesMax) {
    throw invalid(`'n' answers to each of ${prompts.length} prompts are more than ${choicesMax} together`, {
      param: 'n'
    })
  }
  const { echo = false, special = false } = request
  const model = await api.peer.model(request.model, { signal: c.get('gone') })
  const { logprobs } = request
  if (echo && logprobs !== undefined) {
    throw unsupported('logprobs', "'logprobs' of a prompt are not done here: ask without 'echo', or without 'logprobs'")
  }
  const scores = logprobs === undefined ? {} : { logprobs }
  const echoed = echo ? await textsOf(api, c, model, prompts) : prompts.map(() => '')
  const answering = new Answering(api, c, {
    asked,
    model: model.id,
    prompts: prompts.length,
    stops: asked.stops,
    ask: (prompt, options) => api.peer.generate(prompts[prompt]!, { ...options, ...scores, special })
  })
  const echoOf = (index: number): string => echoed[Math.floor(index / asked.choices)]!
  const head = {
    id: newId('cmpl-'),
    object: 'text_completion',
    created: nowS(),
    model: model.manifest.name,
    system_fingerprint: fingerprint(api.peer, model)
  }
  if (asked.isStreamed) return answering.stream(chunks(answering, head, echoOf, asked.tellsUsage))
  const choices = answering.taken.map((_, index) => ({
    index,
    text: echoOf(index),
    logprobs: null as object | null,
    finish_reason: 'stop' as Finish
  }))
  const scored = choices.map((): ScoredToken[] => [])
  for await (const [index, piece] of answering.pieces()) {
    const choice = choices[index]!
    if (piece.kind === 'scored') scored[index]!.push(piece.token)
    else if (piece.kind === 'text') choice.text += piece.text
    else if (piece.kind === 'end') choice.finish_reason = piece.finish
  }
  if (logprobs !== undefined) {
    for (const choice of choices) choice.logprobs = new CompletionScores('').take(scored[choice.index]!)
  }
  return c.json({ ...head, choices, usage: answering.usage }, 200, answering.headers)
}

/** What an answer begins with where it repeats its prompt. */
function textsOf(
  api: Api,
  c: ApiContext,
  model: StoredModel,
  prompts: readonly (string | readonly number[])[]
): Promise<string[]> {
  const options = { model: model.id, signal: c.get('gone') }
  return Promise.all(
    prompts.map(prompt => (typeof prompt === 'string' ? prompt : api.peer.detokenize(prompt, options)))
  )
}

async function* chunks(
  answering: Answering,
  head: object,
  echoOf: (index: number) => string,
  tellsUsage: boolean
): AsyncGenerator<string> {
  const chunk = (choices: readonly object[], usage: object | null): string =>
    dataFrame({ ...head, choices, ...(tellsUsage ? { usage } : {}) })
  const begun = new Set<number>()
  const scored = answering.taken.map(() => ({ all: new CompletionScores(''), next: [] as ScoredToken[] }))
  for await (const [index, piece] of answering.pieces()) {
    const { all, next } = scored[index]!
    if (piece.kind === 'scored') {
      next.push(piece.token)
      continue
    }
    const says = (text: string, finish: Finish | null = null): string => {
      const logprobs = next.length === 0 ? null : all.take(next.splice(0))
      return chunk([{ index, text, logprobs, finish_reason: finish }], null)
    }
    if (!begun.has(index) && echoOf(index) !== '') yield says(echoOf(index))
    begun.add(index)
    if (piece.kind === 'text') yield says(piece.text)
    else if (piece.kind === 'end') yield says('', piece.finish)
  }
  if (tellsUsage) yield chunk([], answering.usage)
  yield doneFrame
}
