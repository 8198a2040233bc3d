/** `POST /v1/completions`: texts that are continued. */
import type { StoredModel } from '../index.ts'
import { Answering, newId, nowS } from './answering.ts'
import { Completion, type CompletionPart, wholeOf } from './completions.ts'
import { type Api, type ApiContext, jsonBody } from './context.ts'
import { invalid } from './errors.ts'
import { formatOf } from './grammars.ts'
import { choicesMax, completionTokensUsual } from './limits.ts'
import { fingerprint } from './models.ts'
import { askedOf } from './sampling.ts'
import { completionSchema, promptsOf, read, refuseUnknown } from './schema.ts'
import { dataFrame, doneFrame } from './stream.ts'

export async function completionsRoute(api: Api, c: ApiContext): Promise<Response> {
  const body = await jsonBody(c)
  const request = read(completionSchema, body)
  refuseUnknown(request)
  const prompts = promptsOf(request.prompt)
  const format = await formatOf(request, { signal: c.get('gone') })
  const asked = askedOf(request, completionTokensUsual)
  const isNothing = asked.options.maxTokens === 0
  if (isNothing && request.echo !== true) {
    throw invalid("'max_tokens' must be at least 1, or 0 with 'echo', not 0", { param: 'max_tokens' })
  }
  if (asked.choices > 1 && prompts.length * asked.choices > choicesMax) {
    throw invalid(`'n' answers to each of ${prompts.length} prompts are more than ${choicesMax} together`, {
      param: 'n'
    })
  }
  const { echo = false, special = false } = request
  const model = await api.peer.model(request.model, { signal: c.get('gone') })
  const { logprobs } = request
  const scores = {
    ...(logprobs === undefined ? {} : { logprobs }),
    // A peer continues a prompt by nothing only where it is asked what it makes of it.
    ...(echo && (logprobs !== undefined || isNothing) ? { promptLogprobs: logprobs ?? 0 } : {})
  }
  const grammar = format === undefined ? {} : { grammar: format }
  const echoed = echo ? await textsOf(api, c, model, prompts) : prompts.map(() => undefined)
  const answering = new Answering(api, c, {
    asked,
    model: model.id,
    prompts: prompts.length,
    stops: asked.stops,
    ask: (prompt, options) => api.peer.generate(prompts[prompt]!, { ...options, ...scores, ...grammar, special })
  })
  const { bosId, eosIds } = model.manifest
  const completions = answering.taken.map((_, index) => {
    const prompt = Math.floor(index / asked.choices)
    return new Completion({
      echo: echoed[prompt],
      // Of a text that may spell them, they are a part.
      isControl: id => (id === bosId || eosIds.includes(id)) && !(special && typeof prompts[prompt] === 'string'),
      isScored: logprobs !== undefined
    })
  })
  const head = {
    id: newId('cmpl-'),
    object: 'text_completion',
    created: nowS(),
    model: model.manifest.name,
    system_fingerprint: fingerprint(api.peer, model)
  }
  if (asked.isStreamed) return answering.stream(chunks(answering, head, completions, asked.tellsUsage))
  const parts = completions.map((): CompletionPart[] => [])
  for await (const [index, piece] of answering.pieces()) parts[index]!.push(...completions[index]!.add(piece))
  const choices = parts.map((each, index) => choiceOf(index, wholeOf(each)))
  return c.json({ ...head, choices, usage: answering.usage }, 200, answering.headers)
}

function choiceOf(index: number, { text, logprobs, finish }: CompletionPart): object {
  return { index, text, logprobs, finish_reason: finish }
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
  completions: readonly Completion[],
  tellsUsage: boolean
): AsyncGenerator<string> {
  const chunk = (choices: readonly object[], usage: object | null): string =>
    dataFrame({ ...head, choices, ...(tellsUsage ? { usage } : {}) })
  for await (const [index, piece] of answering.pieces()) {
    for (const part of completions[index]!.add(piece)) yield chunk([choiceOf(index, part)], null)
  }
  if (tellsUsage) yield chunk([], answering.usage)
  yield doneFrame
}
