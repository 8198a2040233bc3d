/** Calls of functions as models spell them: each of these takes a text that should be one, or several, and says what it calls. Pure. */
import { plainArguments } from '../index.ts'

/** A call; `arguments`: a JSON object, as text. */
export interface Call {
  readonly kind: 'call'
  readonly name: string
  readonly arguments: string
}

/** [name] the JSON schema of the arguments of each function that a request offers. */
export type Offered = ReadonlyMap<string, unknown>

/** What a function is called where its name stands between marks alone. */
export const namePattern = /^[\w.:/-]{1,256}$/

/** What functions of a request are called and take. @param tools as OpenAI's API has them */
export function offeredIn(tools: readonly object[]): Offered {
  return new Map(
    tools.flatMap(tool => {
      const { name, parameters } = (field(tool, 'function') ?? {}) as { name?: unknown; parameters?: unknown }
      return typeof name === 'string' ? [[name, parameters] as const] : []
    })
  )
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @returns undefined where it is nested more deeply than it can be written again */
function written(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

function callOf(name: unknown, args: unknown): Call | undefined {
  if (typeof name !== 'string' || name === '') return undefined
  if (typeof args === 'string') return { kind: 'call', name, arguments: args }
  const text = typeof args === 'object' ? written(args) : undefined
  return text === undefined ? undefined : { kind: 'call', name, arguments: text }
}

function callIn(value: unknown): Call | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { name, arguments: given, parameters } = value as Record<string, unknown>
  return callOf(name, given ?? parameters ?? {})
}

function all(calls: readonly (Call | undefined)[]): Call[] | undefined {
  return calls.length > 0 && calls.every(call => call !== undefined) ? [...calls] : undefined
}

/** `{"name": …, "arguments": {…}}` */
export function jsonCall(text: string): Call | undefined {
  return callIn(parsed(text))
}

/** One of these, or a list of them. */
export function listedCalls(text: string): Call[] | undefined {
  const value = parsed(text)
  return all((Array.isArray(value) ? value : [value]).map(callIn))
}

/** Several with `;` between. */
export function joinedCalls(text: string): Call[] | undefined {
  const calls: (Call | undefined)[] = []
  const between = /\s*;\s*(?=\{)/y
  for (let at = 0; ; at = between.lastIndex) {
    const end = text[at] === '{' ? new ObjectEnd(at).in(text) : undefined
    if (end === undefined) return undefined
    calls.push(jsonCall(text.slice(at, end)))
    if (end === text.length) return all(calls)
    between.lastIndex = end
    if (!between.test(text)) return undefined
  }
}

/** `name.call(key="value", …)`, as Llama calls what is built into it; only of functions that are offered. */
export function dottedCall(text: string, offered: Offered): Call | undefined {
  const [head, name] = /^\s*([\w-]{1,256})\.call\(/.exec(text) ?? []
  const end = text.trimEnd()
  if (head === undefined || !offered.has(name!) || !end.endsWith(')')) return undefined
  const inside = end.slice(head.length, -1)
  const argument = /\s*(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[-+.\w]+)\s*(?:,|$)/y
  const args: [string, unknown][] = []
  while (argument.lastIndex < inside.length) {
    const [, key, literal] = argument.exec(inside) ?? []
    if (key === undefined) return undefined
    args.push([key, literalOf(literal!)])
  }
  return callOf(name, Object.fromEntries(args))
}

/** A literal of Python's that JSON has, too. */
function literalOf(literal: string): unknown {
  const words: Readonly<Record<string, unknown>> = { True: true, False: false, None: null }
  if (Object.hasOwn(words, literal)) return words[literal]
  const quoted = literal.startsWith("'")
    ? `"${literal.slice(1, -1).replace(/\\'|"/g, each => (each === '"' ? '\\"' : "'"))}"`
    : literal
  return parsed(quoted) ?? literal
}

/** `<function=name><parameter=key>value</parameter>…</function>`, as Qwen3-Coder writes it, with line ends around each value. */
export function functionCall(text: string, offered: Offered): Call | undefined {
  const [head, name = ''] = /^\s*<function=([^>\n]{1,256})>/.exec(text) ?? []
  const end = text.lastIndexOf('</function>')
  if (head === undefined || end < head.length || text.slice(end + '</function>'.length).trim() !== '') return undefined
  const parts = pairs(text.slice(head.length, end), ['<parameter=', '>', '', '</parameter>'])
  const lines = parts?.map(([key, value]) => [key, value.replace(/^\n/, '').replace(/\n$/, '')] as const)
  return lines && spelledCall(name.trim(), lines, offered)
}

/** `name<arg_key>key</arg_key><arg_value>value</arg_value>…`, as GLM writes it, with line ends between or none. */
export function keyedCall(text: string, offered: Offered): Call | undefined {
  const first = text.indexOf('<arg_key>')
  const at = first < 0 ? text.length : first
  const parts = pairs(text.slice(at), ['<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>'])
  return parts && spelledCall(text.slice(0, at).trim(), parts, offered)
}

type Marks = readonly [beforeKey: string, afterKey: string, beforeValue: string, afterValue: string]

/** Keys and values between marks; undefined where anything else than space is beside them. */
function pairs(text: string, [beforeKey, afterKey, beforeValue, afterValue]: Marks): [string, string][] | undefined {
  const found: [string, string][] = []
  let at = 0
  const skipSpace = (): void => {
    while (at < text.length && /\s/.test(text[at]!)) at++
  }
  const isAt = (mark: string): boolean => {
    if (mark !== '') skipSpace()
    if (!text.startsWith(mark, at)) return false
    at += mark.length
    return true
  }
  const upTo = (mark: string): string | undefined => {
    const end = text.indexOf(mark, at)
    if (end < 0) return undefined
    const part = text.slice(at, end)
    at = end + mark.length
    return part
  }
  for (;;) {
    skipSpace()
    if (at === text.length) return found
    const key = isAt(beforeKey) ? upTo(afterKey) : undefined
    const value = key !== undefined && isAt(beforeValue) ? upTo(afterValue) : undefined
    if (value === undefined) return undefined
    found.push([key!.trim(), value])
  }
}

/** A call whose values are written as plain text. */
function spelledCall(
  name: string,
  args: readonly (readonly [key: string, value: string])[],
  offered: Offered
): Call | undefined {
  return namePattern.test(name) ? callOf(name, plainArguments(args, offered.get(name))) : undefined
}

/** Finds where a JSON object ends in a text that grows. */
export class ObjectEnd {
  #at: number
  #depth = 0
  #isString = false
  #isEscaped = false

  /** @param from index of its opening brace */
  constructor(from: number) {
    this.#at = from
  }

  /** Index after its closing brace; undefined while that has not come. */
  in(text: string): number | undefined {
    for (; this.#at < text.length; this.#at++) {
      const char = text[this.#at]
      if (this.#isEscaped) this.#isEscaped = false
      else if (this.#isString) {
        if (char === '\\') this.#isEscaped = true
        else if (char === '"') this.#isString = false
      } else if (char === '"') this.#isString = true
      else if (char === '{') this.#depth++
      else if (char === '}' && --this.#depth === 0) return this.#at + 1
    }
    return undefined
  }
}
