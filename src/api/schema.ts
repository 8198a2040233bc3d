/** What requests may hold. Unknown fields are left alone, `null` is as good as absent, and each error names its field. */
import { z } from 'zod'
import { invalid, unsupported } from './errors.ts'
import { choicesMax, promptsMax, scoresMax, shownCharsMax, stopCharsMax, stopsMax, toolsMax } from './limits.ts'

/** A field that may be missing or `null`; what is read has it then not. */
const absent = <T extends z.ZodType>(type: T) =>
  type.nullish().transform(value => value ?? undefined) as unknown as z.ZodOptional<T>

/** A field of one kind, with what is right in words. */
const number = (min: number, max: number) => {
  const error = `must be a number from ${min} to ${max}`
  return z.number({ error }).min(min, { error }).max(max, { error })
}
const whole = (min: number, max: number) => {
  const error = `must be a whole number from ${min} to ${max}`
  return z.number({ error }).refine(value => Number.isInteger(value) && value >= min && value <= max, { error })
}
const flag = z.boolean({ error: 'must be true or false' })
const text = z.string({ error: 'must be a string' })
const json = z.record(z.string(), z.unknown(), { error: 'must be an object' })

/**
 * An array of at most so many. It is looked at up to the first that is wrong: an error for each of them would take seconds.
 *
 * @param wrong what is right, where it is no array or has too many
 */
const list = <T extends z.ZodType>(type: T, wrong: string, max = Number.POSITIVE_INFINITY) =>
  z
    .custom<readonly unknown[]>(value => Array.isArray(value) && value.length <= max, { error: wrong })
    .transform((values, context) => {
      const read: z.output<T>[] = []
      for (const [i, value] of values.entries()) {
        const result = type.safeParse(value)
        if (!result.success) {
          const issue = result.error.issues[0]!
          context.issues.push({ ...issue, path: [i, ...issue.path], input: value } as z.core.$ZodRawIssue)
          return z.NEVER
        }
        read.push(result.data)
      }
      return read
    })

const stop = z
  .string({ error: 'must be a string' })
  .min(1, { error: 'must not be empty' })
  .max(stopCharsMax, { error: `must have at most ${stopCharsMax} characters` })
const stops = z.union([stop.transform(one => [one]), list(stop, `must be at most ${stopsMax} strings`, stopsMax)], {
  error: `must be a string that is not empty, or up to ${stopsMax} of them, each of at most ${stopCharsMax} characters`
})

/** Seeds are whole numbers of 64 bits, as JSON gives them. */
const seed = z
  .number({ error: 'must be a whole number of 64 bits' })
  .refine(value => Number.isInteger(value) && value >= -(2 ** 63) && value <= 2 ** 64, {
    error: 'must be a whole number of 64 bits'
  })

/** Amounts by token id, looked at up to the first that is wrong. */
const biases = json.transform((given, context) => {
  const wrong = Object.entries(given).find(([, amount]) => !(typeof amount === 'number' && Math.abs(amount) <= 100))
  if (wrong === undefined) return given as Record<string, number>
  const [id, input] = wrong
  context.issues.push({ code: 'custom', message: 'must be a number from -100 to 100', path: [id], input })
  return z.NEVER
})

/** What only this API has. A word that it does not know may have meant that something is kept from others: it is refused. */
const own = absent(
  z.strictObject({ scrub: absent(flag) }, { error: "must be an object with 'scrub' in it and nothing else" })
)

const sampling = {
  skein: own,
  model: absent(text),
  stream: absent(flag),
  stream_options: absent(z.looseObject({ include_usage: absent(flag) }, { error: 'must be an object' })),
  temperature: absent(number(0, 2)),
  top_p: absent(number(0, 1)),
  top_k: absent(whole(-1, 2 ** 31 - 1)),
  presence_penalty: absent(number(-2, 2)),
  frequency_penalty: absent(number(-2, 2)),
  repetition_penalty: absent(number(0.1, 10)),
  min_p: absent(number(0, 1)),
  logit_bias: absent(biases),
  seed: absent(seed),
  stop: absent(stops),
  n: absent(whole(1, choicesMax)),
  max_tokens: absent(whole(0, 2 ** 31 - 1)),
  max_completion_tokens: absent(whole(0, 2 ** 31 - 1))
}

/** What an answer must be, as OpenAI's API has it, and vLLM's servers. */
const formats = {
  response_format: absent(z.looseObject({ type: text }, { error: 'must be an object with a type' })),
  guided_json: absent(z.unknown()),
  guided_regex: absent(text),
  guided_choice: absent(z.unknown()),
  structured_outputs: absent(json)
}

const part = z.looseObject({ type: text, text: absent(text) }, { error: 'must be an object with a type' })
const content = z.union([z.string(), z.null(), list(part, 'must be an array')], {
  error: 'must be a string, null or an array of parts'
})

const call = z.looseObject(
  {
    id: absent(text),
    type: absent(z.literal('function', { error: "must be 'function'" })),
    function: z.looseObject(
      { name: text, arguments: absent(z.union([z.string(), json], { error: 'must be JSON in a string' })) },
      { error: 'must be an object with a name and arguments' }
    )
  },
  { error: 'must be an object' }
)

const roles = ['system', 'developer', 'user', 'assistant', 'tool'] as const
const message = z.looseObject(
  {
    role: z.enum(roles, { error: `must be one of ${roles.join(', ')}` }),
    content: absent(content),
    name: absent(text),
    tool_calls: absent(list(call, 'must be an array')),
    tool_call_id: absent(text),
    reasoning_content: absent(text)
  },
  { error: 'must be an object with a role and a content' }
)

const tool = z.looseObject(
  {
    type: z.literal('function', { error: "must be 'function'" }),
    function: z.looseObject(
      { name: text, parameters: absent(json), strict: absent(flag) },
      { error: 'must be an object with a name' }
    )
  },
  { error: 'must be an object' }
)

export const chatSchema = z.looseObject(
  {
    ...sampling,
    ...formats,
    messages: list(message, 'must be an array of messages').refine(({ length }) => length > 0, {
      error: 'must have at least one message'
    }),
    tools: absent(list(tool, `must be an array of at most ${toolsMax} functions`, toolsMax)),
    tool_choice: absent(z.union([text, json], { error: 'must be a string or an object' })),
    parallel_tool_calls: absent(flag),
    logprobs: absent(flag),
    top_logprobs: absent(whole(0, scoresMax)),
    chat_template_kwargs: absent(json),
    reasoning_effort: absent(text)
  },
  { error: 'must be a JSON object' }
)

const isText = (value: unknown): value is string => typeof value === 'string'
const isId = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 31
/** Of which there may be millions: each is looked at once, by itself. */
const areIds = (value: unknown): value is number[] => Array.isArray(value) && value.every(isId)
const areTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText)

const prompt = z.custom<string | string[] | number[] | number[][]>(
  value =>
    isText(value) || areTexts(value) || areIds(value) || (Array.isArray(value) && value.every(each => areIds(each))),
  { error: 'must be a string, an array of strings, an array of token ids or an array of those' }
)

export const completionSchema = z.looseObject(
  { ...sampling, ...formats, prompt, echo: absent(flag), special: absent(flag), logprobs: absent(whole(0, scoresMax)) },
  { error: 'must be a JSON object' }
)

const item = z.looseObject(
  {
    type: absent(text),
    role: absent(z.enum(roles, { error: `must be one of ${roles.join(', ')}` })),
    content: absent(content),
    call_id: absent(text),
    name: absent(text),
    arguments: absent(text),
    output: absent(content)
  },
  { error: 'must be an object with a type' }
)

export const responsesSchema = z.looseObject(
  {
    ...sampling,
    ...formats,
    input: z.union([z.string(), list(item, 'must be an array of items')], {
      error: 'must be a string or an array of items'
    }),
    instructions: absent(text),
    max_output_tokens: absent(whole(1, 2 ** 31 - 1)),
    tools: absent(
      list(
        z.looseObject({ type: text, name: absent(text) }, { error: 'must be an object with a type' }),
        `must be an array of at most ${toolsMax} tools`,
        toolsMax
      )
    ),
    tool_choice: absent(z.union([text, json], { error: 'must be a string or an object' })),
    parallel_tool_calls: absent(flag),
    reasoning: absent(z.looseObject({ effort: absent(text) }, { error: 'must be an object' })),
    text: absent(
      z.looseObject(
        { format: absent(z.looseObject({ type: text }, { error: 'must be an object with a type' })) },
        { error: 'must be an object' }
      )
    ),
    truncation: absent(z.enum(['auto', 'disabled'], { error: "must be 'auto' or 'disabled'" })),
    previous_response_id: absent(text),
    conversation: absent(z.unknown()),
    background: absent(flag),
    metadata: absent(json)
  },
  { error: 'must be a JSON object' }
)

export const embeddingsSchema = z.looseObject(
  {
    model: text,
    input: z.custom<string | string[]>(value => isText(value) || areTexts(value), {
      error: 'must be a string or an array of strings'
    }),
    encoding_format: absent(z.enum(['float', 'base64'], { error: "must be 'float' or 'base64'" })),
    dimensions: absent(whole(1, 2 ** 31 - 1)),
    skein: own
  },
  { error: 'must be a JSON object' }
)

export const tokenizeSchema = z.looseObject(
  { model: absent(text), prompt: text, add_special_tokens: absent(flag), special: absent(flag) },
  { error: 'must be a JSON object' }
)

export const detokenizeSchema = z.looseObject(
  { model: absent(text), tokens: z.custom<number[]>(areIds, { error: 'must be an array of token ids' }) },
  { error: 'must be a JSON object' }
)

export type ChatRequest = z.output<typeof chatSchema>
export type CompletionRequest = z.output<typeof completionSchema>
export type ResponsesRequest = z.output<typeof responsesSchema>
export type FormatRequest = Pick<ChatRequest, keyof typeof formats>
export type SamplingRequest = Pick<ChatRequest, Exclude<keyof typeof sampling, 'model'>>
export type RequestMessage = ChatRequest['messages'][number]
export type RequestTool = NonNullable<ChatRequest['tools']>[number]

/** @throws {ApiError} 400 that names the first field that is wrong, what it is and what would be right */
export function read<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  let result: z.ZodSafeParseResult<z.output<T>>
  try {
    result = schema.safeParse(body)
  } catch {
    throw invalid('the request is nested too deeply')
  }
  if (result.success) return result.data
  const { path, message } = firstIssue(result.error.issues)
  const param = path.map(key => cut(String(key))).join('.')
  const given = shown(path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown>)?.[key], body))
  throw invalid(`${param === '' ? 'the request' : `'${param}'`} ${message}, not ${given}`, {
    param: param === '' ? null : param
  })
}

/** Of several ways to be right, what is wrong in the one that was meant, where only one of them has the right kind. */
function firstIssue(issues: readonly z.core.$ZodIssue[]): { path: readonly PropertyKey[]; message: string } {
  const [issue] = issues
  if (issue?.code !== 'invalid_union') return { path: issue?.path ?? [], message: issue?.message ?? 'is wrong' }
  const deeper = issue.errors.filter(each => each.length > 0 && each[0]!.path.length > 0)
  if (deeper.length !== 1) return { path: issue.path, message: issue.message }
  const inner = firstIssue(deeper[0]!)
  return { path: [...issue.path, ...inner.path], message: inner.message }
}

function shown(value: unknown): string {
  if (value === undefined) return 'absent'
  // JSON has no word for a number that is too large for it.
  if (typeof value === 'number') return String(value)
  // Of a long one, no more is written down than is shown.
  const begin = typeof value === 'string' || Array.isArray(value) ? value.slice(0, 2 * shownCharsMax) : value
  return cut(JSON.stringify(begin) ?? typeof value)
}

function cut(text: string): string {
  return text.length <= shownCharsMax ? text : `${text.slice(0, shownCharsMax)}…`
}

/** Fields that change an answer and that nothing here knows how to do, each with the values that ask for nothing. */
const refusals: Readonly<Record<string, (value: unknown) => boolean>> = {
  best_of: value => value === 1,
  suffix: value => value === '',
  functions: value => Array.isArray(value) && value.length === 0,
  function_call: value => value === 'none' || value === 'auto',
  modalities: value => Array.isArray(value) && value.every(each => each === 'text'),
  audio: () => false,
  web_search_options: () => false,
  guided_grammar: () => false,
  grammar: value => value === '',
  min_tokens: value => value === 0,
  ignore_eos: value => value === false,
  typical_p: value => value === 1,
  mirostat: value => value === 0
}

/** @throws {ApiError} 400 that names a field which would change the answer and is not done here */
export function refuseUnknown(body: Readonly<Record<string, unknown>>): void {
  for (const [field, asksNothing] of Object.entries(refusals)) {
    const value = body[field]
    if (value === undefined || value === null || asksNothing(value)) continue
    throw unsupported(field, `'${field}' is not done here: leave it out`)
  }
}

/** Prompts of a completion, each a text or ids. @throws {ApiError} 400 when there are none or too many */
export function promptsOf(prompt: CompletionRequest['prompt']): (string | number[])[] {
  if (typeof prompt === 'string') return [prompt]
  if (prompt.length === 0) throw invalid("'prompt' must not be empty", { param: 'prompt' })
  const first: unknown = prompt[0]
  const prompts = typeof first === 'number' ? [prompt as number[]] : (prompt as (string | number[])[])
  if (prompts.length > promptsMax) {
    throw invalid(`'prompt' must have at most ${promptsMax} prompts, not ${prompts.length}`, { param: 'prompt' })
  }
  return prompts
}
