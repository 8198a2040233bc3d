/**
 * Calls of functions that a model writes into its answer, by the form that its chat template teaches it. What turns out to be no
 * call stays text: nothing that was written is lost. Pure.
 */
import { unsupported } from './errors.ts'
import { callCharsMax } from './limits.ts'

/** What a text turns out to be made of. `text`: in the order of the answer. `arguments`: a JSON object, as text. */
export type Spoken =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'call'; readonly name: string; readonly arguments: string }

/** Takes the text of an answer as it comes. */
export interface CallReader {
  push(text: string): Spoken[]
  /** No more text comes. */
  end(): Spoken[]
}

/** A form in which models write calls. */
export type CallForm = 'tagged' | 'json' | 'list'

/** @throws {ApiError} 400 when the model's template takes no tools, or how it has them called is not known */
export function callForm(template: string, model: string): CallForm {
  if (!/\btools\b/.test(template)) {
    throw unsupported('tools', `'tools' are not done by ${model}: its chat template has no place for them`)
  }
  const isOther = /<arg_key>|<function=|\[ARGS\]|<\|tool_calls_section_begin\|>/.test(template)
  if (!isOther && template.includes('<tool_call>')) return 'tagged'
  if (!isOther && template.includes('[TOOL_CALLS]')) return 'list'
  if (!isOther && /<\|python_tag\|>|\bipython\b/.test(template)) return 'json'
  throw unsupported('tools', `'tools' are not done with ${model}: the form in which it writes calls is not known here`)
}

export function callReader(form: CallForm): CallReader {
  return form === 'tagged' ? new TaggedCalls() : new WholeCalls(form)
}

/** `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as Hermes and Qwen write them. */
class TaggedCalls implements CallReader {
  #text = ''
  #isWithin = false
  /** Space before the tag: none of the answer where a call follows. */
  #space = ''

  push(text: string): Spoken[] {
    this.#text += text
    const spoken: Spoken[] = []
    for (;;) {
      if (this.#isWithin) {
        const end = this.#text.indexOf(closing)
        if (end < 0) {
          if (this.#text.length > callCharsMax) spoken.push(...this.end())
          return spoken
        }
        const inside = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + closing.length)
        this.#isWithin = false
        const call = callIn(inside)
        spoken.push(call ?? { kind: 'text', text: `${this.#space}${opening}${inside}${closing}` })
        continue
      }
      const start = this.#text.indexOf(opening)
      const upTo = start < 0 ? this.#text.length - begun(this.#text) : this.#text.slice(0, start).trimEnd().length
      if (upTo > 0) spoken.push({ kind: 'text', text: this.#text.slice(0, upTo) })
      if (start < 0) {
        this.#text = this.#text.slice(upTo)
        return spoken
      }
      this.#space = this.#text.slice(upTo, start)
      this.#text = this.#text.slice(start + opening.length)
      this.#isWithin = true
    }
  }

  end(): Spoken[] {
    const rest = this.#text
    const wasWithin = this.#isWithin
    this.#text = ''
    this.#isWithin = false
    if (wasWithin) return [callIn(rest) ?? { kind: 'text', text: this.#space + opening + rest }]
    return rest === '' ? [] : [{ kind: 'text', text: rest }]
  }
}

const opening = '<tool_call>'
const closing = '</tool_call>'

/** Characters at the end of a text that may belong to a tag: its beginning, and the space before it, which is none of the text. */
function begun(text: string): number {
  let tag = Math.min(opening.length - 1, text.length)
  while (tag > 0 && !opening.startsWith(text.slice(text.length - tag))) tag--
  const before = text.slice(0, text.length - tag)
  return tag + before.length - before.trimEnd().length
}

/**
 * Answers that are calls as a whole: `{"name": …, "parameters": {…}}`, several with `;` between (Llama), or a list of them (Mistral),
 * whose mark is a control token that has no text.
 */
class WholeCalls implements CallReader {
  readonly #form: 'json' | 'list'
  #text = ''
  /** It begins as no call does. */
  #isText = false

  constructor(form: 'json' | 'list') {
    this.#form = form
  }

  push(text: string): Spoken[] {
    if (this.#isText) return text === '' ? [] : [{ kind: 'text', text }]
    this.#text += text
    const start = this.#text.trimStart()
    const marks = this.#form === 'json' ? ['{', '<|python_tag|>'] : ['[{', '[TOOL_CALLS]']
    const mayBe = marks.some(mark => start.startsWith(mark) || mark.startsWith(start))
    if (mayBe && this.#text.length <= callCharsMax) return []
    this.#isText = true
    return this.push(this.#take())
  }

  end(): Spoken[] {
    const text = this.#take()
    const calls = this.#form === 'json' ? jsonCalls(text) : listCalls(text)
    return calls ?? (text === '' ? [] : [{ kind: 'text', text }])
  }

  #take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }
}

function jsonCalls(text: string): Spoken[] | undefined {
  const bare = text.trim().replace(/^<\|python_tag\|>/, '')
  const whole = callIn(bare)
  if (whole !== undefined) return [whole]
  const calls = bare.split(/(?<=\})\s*;\s*(?=\{)/).map(callIn)
  return calls.every(call => call !== undefined) ? calls : undefined
}

function listCalls(text: string): Spoken[] | undefined {
  const bare = text.trim().replace(/^\[TOOL_CALLS\]/, '')
  let list: unknown
  try {
    list = JSON.parse(bare)
  } catch {
    return undefined
  }
  if (!Array.isArray(list) || list.length === 0) return undefined
  const calls = list.map(each => callIn(JSON.stringify(each)))
  return calls.every(call => call !== undefined) ? calls : undefined
}

function callIn(text: string): (Spoken & { kind: 'call' }) | undefined {
  let call: unknown
  try {
    call = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof call !== 'object' || call === null) return undefined
  const { name, arguments: given, parameters } = call as Record<string, unknown>
  if (typeof name !== 'string' || name === '') return undefined
  const value = given ?? parameters ?? {}
  if (typeof value === 'string') return { kind: 'call', name, arguments: value }
  return typeof value === 'object' ? { kind: 'call', name, arguments: JSON.stringify(value) } : undefined
}
