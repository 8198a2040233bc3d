/** What a request wants its answer to be, as a grammar: a format, and calls of functions that it insists on. */
import { setImmediate } from 'node:timers/promises'
import { checkGrammar, type GrammarSpec, InvalidOptionError, type PlainMarks } from '../index.ts'
import { namePattern } from './call-texts.ts'
import { invalid, unsupported } from './errors.ts'
import { readJson } from './json.ts'
import { callsForcedMax } from './limits.ts'
import type { FormatRequest, RequestTool } from './schema.ts'
import type { CallForm } from './tools.ts'

type JsonObject = Readonly<Record<string, unknown>>

/** OpenAI's formats, and vLLM's fields for the same and more: each as a grammar, or undefined where anything will do. */
const fields: Readonly<Record<string, (value: unknown, param: string) => GrammarSpec | undefined>> = {
  response_format: (value, param) => {
    const { type, json_schema } = value as { readonly type: string; readonly json_schema?: unknown }
    return ofType(type, json_schema, param, `${param}.json_schema`)
  },
  'text.format': (value, param) => ofType((value as { readonly type: string }).type, value, param, param),
  guided_json: asSchema,
  guided_regex: asExpression,
  guided_choice: asChoice,
  structured_outputs: (value, param) => {
    const given = Object.entries(value as JsonObject).filter(([, each]) => each !== null && each !== false)
    const [name, inner] = given[0] ?? []
    if (name === undefined) return undefined
    const at = `${param}.${name}`
    if (given.length > 1) throw invalid(`'${param}' must have one of its fields, not ${given.length}`, { param })
    if (name === 'json') return asSchema(inner, at)
    if (name === 'regex') return asExpression(inner, at)
    if (name === 'choice') return asChoice(inner, at)
    if (name === 'json_object') return { kind: 'json' }
    throw unsupported(at, `'${at}' is not done here: json, regex, choice and json_object are`)
  }
}

/**
 * The format of a request; undefined where it asks for none.
 *
 * @param options.text of a request for a response: what it says of its text
 * @param options.signal ends the check
 * @throws {ApiError} 400 when it is no format, or what no answer can be held to: says where
 */
export async function formatOf(
  request: FormatRequest,
  { text, signal }: { readonly text?: { readonly format?: unknown } | undefined; readonly signal: AbortSignal }
): Promise<GrammarSpec | undefined> {
  const asked: JsonObject = { ...request, 'text.format': text?.format }
  const found = Object.entries(fields).flatMap(([param, read]) => {
    const value = asked[param]
    const spec = value === undefined ? undefined : read(value, param)
    return spec === undefined ? [] : [{ param, spec }]
  })
  const [first, second] = found
  if (first === undefined) return undefined
  if (second !== undefined) {
    const both = `'${first.param}' and '${second.param}'`
    throw invalid(`${both} both say what the answer must be: leave one out`, { param: second.param })
  }
  await checkOne(first.spec, first.param, signal)
  return first.spec
}

function ofType(type: string, given: unknown, param: string, at: string): GrammarSpec | undefined {
  if (type === 'text') return undefined
  if (type === 'json_object') return { kind: 'json' }
  if (type !== 'json_schema') {
    throw unsupported(
      `${param}.type`,
      `'${param}.type' must be text, json_object or json_schema, not ${JSON.stringify(type)}`
    )
  }
  const { schema, strict } = (given ?? {}) as { readonly schema?: unknown; readonly strict?: unknown }
  if (typeof schema !== 'object' || schema === null) {
    throw invalid(`'${at}.schema' must be a JSON Schema, an object`, { param: `${at}.schema` })
  }
  return { kind: 'json-schema', schema, strict: strict === true }
}

function asSchema(value: unknown, param: string): GrammarSpec {
  const schema = typeof value === 'string' ? readJson(value, `'${param}'`, param) : value
  if (typeof schema !== 'object' || schema === null)
    throw invalid(`'${param}' must be a JSON Schema, an object`, { param })
  return { kind: 'json-schema', schema }
}

function asExpression(value: unknown, param: string): GrammarSpec {
  if (typeof value !== 'string') throw invalid(`'${param}' must be a string`, { param })
  return { kind: 'regex', pattern: value }
}

function asChoice(value: unknown, param: string): GrammarSpec {
  if (!Array.isArray(value) || value.length === 0 || !value.every(each => typeof each === 'string' && each !== '')) {
    throw invalid(`'${param}' must be an array of strings that are not empty`, { param })
  }
  return { kind: 'either', of: value.map((text: string) => ({ kind: 'text', text })) }
}

async function checkOne(spec: GrammarSpec, param: string, signal: AbortSignal): Promise<void> {
  try {
    await checkGrammar(spec, { signal })
  } catch (error) {
    if (!(error instanceof InvalidOptionError)) throw error
    throw unsupported(param, `'${param}' is nothing that an answer can be held to here: ${error.message}`)
  }
}

/**
 * Calls as a model writes them in its form, at least one.
 *
 * @param options.most calls of one answer
 * @param options.signal ends the check
 * @throws {ApiError} 400 when what a function takes is not supported, or cannot be written in that form
 */
export async function callsGrammar(
  form: CallForm,
  tools: readonly RequestTool[],
  { most = callsForcedMax, signal }: { readonly most?: number | undefined; readonly signal: AbortSignal }
): Promise<GrammarSpec> {
  const written = writing[form]
  const each: GrammarSpec[] = []
  for (const [i, { function: called }] of tools.entries()) {
    const { name, parameters, strict } = called
    if (bareNames.has(form) && !namePattern.test(name)) {
      const param = `tools.${i}.function.name`
      throw unsupported(param, `'${param}' is no name that this model can call: letters, digits and _ - . : / are`)
    }
    const spec = written.arguments(argumentsSchema(parameters), strict === true)
    await checkOne(spec, `tools.${i}.function.parameters`, signal)
    // A hundred small ones together take long: others have their turn between them.
    await setImmediate()
    each.push(sequence(written.before(name), spec, written.after))
  }
  const call = either(each)
  const { open = '', between, close = '' } = written
  const more: GrammarSpec = { kind: 'times', of: sequence(between, call), min: 0, max: most - 1 }
  return sequence(open, call, more, close)
}

/** Arguments are an object, whatever else a schema says of them. */
function argumentsSchema(parameters: JsonObject | undefined): object {
  if (parameters === undefined) return { type: 'object', additionalProperties: false }
  return ['type', '$ref', 'anyOf', 'oneOf', 'allOf'].some(key => key in parameters)
    ? parameters
    : { type: 'object', ...parameters }
}

interface Writing {
  readonly before: (name: string) => string
  readonly arguments: (schema: object, strict: boolean) => GrammarSpec
  readonly after: GrammarSpec | string
  readonly between: string
  readonly open?: string
  readonly close?: string
}

const asJson: Writing['arguments'] = (schema, strict) => ({ kind: 'json-schema', schema, strict })
const named = (name: string, key: string): string => `{"name": ${JSON.stringify(name)}, "${key}": `
const listed: Writing = {
  open: '[',
  before: name => named(name, 'arguments'),
  arguments: asJson,
  after: '}',
  between: ', ',
  close: ']'
}
const closingTag = '</tool_call>'

/** How calls are spelt in each form. Marks that are control tokens are left out: readers do without. */
const writing: Readonly<Record<CallForm, Writing>> = {
  tagged: {
    before: name => `<tool_call>\n${named(name, 'arguments')}`,
    // The first closing tag ends a call, be it within a text.
    arguments: (schema, strict) => ({ kind: 'without', of: asJson(schema, strict), texts: [closingTag] }),
    after: `}\n${closingTag}`,
    between: '\n'
  },
  functions: {
    before: name => `<tool_call>\n<function=${name}>\n`,
    arguments: asPlain({
      ...{ beforeName: ['<parameter='], beforeValue: ['>\n'], afterValue: ['\n</parameter>\n'] },
      never: ['</parameter>', closingTag]
    }),
    after: `</function>\n${closingTag}`,
    between: '\n'
  },
  keyed: {
    before: name => `<tool_call>${name}`,
    // With line ends as GLM-4.5 has it, and without as later ones do.
    arguments: asPlain({
      ...{
        beforeName: ['\n<arg_key>', '<arg_key>'],
        beforeValue: ['</arg_key>\n<arg_value>', '</arg_key><arg_value>']
      },
      ...{ afterValue: ['</arg_value>'], never: ['</arg_value>', closingTag] }
    }),
    after: either([`\n${closingTag}`, closingTag].map(text => ({ kind: 'text', text }))),
    between: '\n'
  },
  json: { before: name => named(name, 'parameters'), arguments: asJson, after: '}', between: '; ' },
  list: listed,
  marked: listed,
  named: { before: name => name, arguments: asJson, after: '', between: '' }
}

/** Forms in which a name stands without quotes, up to a mark. */
const bareNames: ReadonlySet<CallForm> = new Set(['functions', 'keyed'])

function asPlain(marks: PlainMarks): Writing['arguments'] {
  return (schema, strict) => ({ kind: 'plain', schema, strict, marks })
}

function sequence(...of: readonly (GrammarSpec | string)[]): GrammarSpec {
  return { kind: 'sequence', of: of.map(each => (typeof each === 'string' ? { kind: 'text', text: each } : each)) }
}

/** One of several grammars. */
export function either(of: readonly GrammarSpec[]): GrammarSpec {
  return of.length === 1 ? of[0]! : { kind: 'either', of }
}
