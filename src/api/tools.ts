/**
 * Calls of functions that a model writes into its answer, by the form that its chat template teaches it. What turns out to be no
 * call stays text: nothing that was written is lost. Pure.
 */
import type { ChatMessage } from '../index.ts'
import {
  type Call,
  dottedCall,
  functionCall,
  joinedCalls,
  jsonCall,
  keyedCall,
  listedCalls,
  ObjectEnd,
  type Offered
} from './call-texts.ts'
import { unsupported } from './errors.ts'
import { callCharsMax } from './limits.ts'

/** What a text turns out to be made of. `text`: in the order of the answer. */
export type Spoken = { readonly kind: 'text'; readonly text: string } | Call

/** Takes the text of an answer as it comes. */
export interface CallReader {
  push(text: string): Spoken[]
  /** No more text comes. */
  end(): Spoken[]
}

/**
 * A form in which models write calls.
 *
 * - `tagged`: `<tool_call>{"name": …, "arguments": {…}}</tool_call>` (Hermes, Qwen)
 * - `functions`: `<tool_call><function=NAME><parameter=KEY>VALUE</parameter>…</function></tool_call>` (Qwen3-Coder, Qwen3.5)
 * - `keyed`: `<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>…</tool_call>` (GLM-4.5 and later)
 * - `marked`: `<|tool_call|>[{…}]<|/tool_call|>`, or `functools[{…}]` (Phi-4-mini)
 * - `named`: `[TOOL_CALLS]NAME[ARGS]{…}` (Mistral since 2025)
 * - `list`: `[TOOL_CALLS][{…}]` (Mistral before)
 * - `json`: `{"name": …, "parameters": {…}}`, also after `<|python_tag|>`, and `NAME.call(KEY=VALUE)` (Llama 3)
 */
export type CallForm = 'tagged' | 'functions' | 'keyed' | 'marked' | 'named' | 'list' | 'json'

/** How a model writes calls, and of what functions. */
export interface Callable {
  readonly form: CallForm
  readonly offered: Offered
}

/** [form] what a template has that teaches it; the first one counts. Undefined: a form that is not known here. */
const taught: readonly (readonly [sign: RegExp, form: CallForm | undefined])[] = [
  [/<\|tool_calls_section_begin\|>/, undefined],
  [/<arg_key>/, 'keyed'],
  [/<function=[\s\S]*<parameter=/, 'functions'],
  [/<function=/, undefined],
  [/\[ARGS\]/, 'named'],
  [/<tool_call>/, 'tagged'],
  [/\[TOOL_CALLS\]/, 'list'],
  [/<\|tool_call\|>|<\|tool\|>|\bfunctools\[/, 'marked'],
  [/<\|python_tag\|>|\bipython\b/, 'json']
]

/** @throws {ApiError} 400 when the model's template takes no tools, or how it has them called is not known */
export function callForm(template: string, model: string): CallForm {
  if (!/\btools\b/.test(template)) {
    throw unsupported('tools', `'tools' are not done by ${model}: its chat template has no place for them`)
  }
  const form = taught.find(([sign]) => sign.test(template))?.[1]
  if (form !== undefined) return form
  throw unsupported('tools', `'tools' are not done with ${model}: the form in which it writes calls is not known here`)
}

/**
 * The messages with the functions in what the system says, for templates that look for them there and nowhere else (Phi-4-mini):
 * as JSON, without what OpenAI's API puts around each.
 */
export function withTools(messages: readonly ChatMessage[], template: string, tools: readonly object[]): ChatMessage[] {
  if (!/\bmessage(?:\[['"]tools['"]\]|\.tools\b)/.test(template)) return [...messages]
  const functions = tools.map(tool => (tool as { function?: unknown }).function ?? tool)
  const [first, ...rest] = messages
  const isSaid = first?.role === 'system'
  const system = isSaid ? first : { role: 'system', content: '' }
  return [{ ...system, tools: JSON.stringify(functions) }, ...(isSaid ? rest : messages)]
}

export function callReader({ form, offered }: Callable): CallReader {
  switch (form) {
    case 'tagged':
      return new TaggedCalls(toolCall, text => one(jsonCall(text)))
    case 'functions':
      return new TaggedCalls(toolCall, text => one(functionCall(text, offered)))
    case 'keyed':
      // A call without arguments is its name alone, as is one that has been cut.
      return new TaggedCalls(toolCall, (text, isClosed) => (isClosed ? one(keyedCall(text, offered)) : undefined))
    case 'marked':
      return new Either(
        // The marks may be control tokens, which have no text.
        new WholeCalls(['[{', '{"', 'functools['], text => listedCalls(text.replace(/^functools/, ''))),
        new TaggedCalls(['<|tool_call|>', '<|/tool_call|>'], listedCalls)
      )
    case 'named':
      return new NamedCalls(offered)
    case 'list':
      return new WholeCalls(['[{', listMark], text => listedCalls(text.replace(/^\[TOOL_CALLS\]/, '')))
    case 'json':
      return new WholeCalls(['{', pythonMark, ...[...offered.keys()].map(name => `${name}.call(`)], text => {
        const bare = text.replace(/^<\|python_tag\|>/, '')
        return joinedCalls(bare) ?? one(dottedCall(bare, offered))
      })
  }
}

type Tags = readonly [opening: string, closing: string]
const toolCall: Tags = ['<tool_call>', '</tool_call>']
const listMark = '[TOOL_CALLS]'
const pythonMark = '<|python_tag|>'

function one(call: Call | undefined): Call[] | undefined {
  return call === undefined ? undefined : [call]
}

function said(text: string): Spoken[] {
  return text === '' ? [] : [{ kind: 'text', text }]
}

/** Calls between tags. `read` is told whether the closing one has come. */
class TaggedCalls implements CallReader {
  readonly #tags: Tags
  readonly #read: (inside: string, isClosed: boolean) => Call[] | undefined
  #text = ''
  #isWithin = false
  /** Characters in which there is no closing tag. */
  #sought = 0
  /** Space before the tag: none of the answer where a call follows. */
  #space = ''

  constructor(tags: Tags, read: (inside: string, isClosed: boolean) => Call[] | undefined) {
    this.#tags = tags
    this.#read = read
  }

  push(text: string): Spoken[] {
    const [opening, closing] = this.#tags
    this.#text += text
    const spoken: Spoken[] = []
    for (;;) {
      if (this.#isWithin) {
        const end = this.#text.indexOf(closing, this.#sought)
        if (end < 0) {
          this.#sought = Math.max(0, this.#text.length - closing.length)
          if (this.#text.length > callCharsMax) spoken.push(...this.end())
          return spoken
        }
        const inside = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + closing.length)
        this.#isWithin = false
        spoken.push(...(this.#read(inside, true) ?? said(`${this.#space}${opening}${inside}${closing}`)))
        continue
      }
      const start = this.#text.indexOf(opening)
      const upTo =
        start < 0 ? this.#text.length - begun(this.#text, opening) : this.#text.slice(0, start).trimEnd().length
      spoken.push(...said(this.#text.slice(0, upTo)))
      if (start < 0) {
        this.#text = this.#text.slice(upTo)
        return spoken
      }
      this.#space = this.#text.slice(upTo, start)
      this.#text = this.#text.slice(start + opening.length)
      this.#isWithin = true
      this.#sought = 0
    }
  }

  end(): Spoken[] {
    const rest = this.#text
    const wasWithin = this.#isWithin
    this.#text = ''
    this.#isWithin = false
    if (!wasWithin) return said(rest)
    return this.#read(rest, false) ?? said(this.#space + this.#tags[0] + rest)
  }
}

/** Characters at the end of a text that may belong to a tag: its beginning, and the space before it, which is none of the text. */
function begun(text: string, opening: string): number {
  let tag = Math.min(opening.length - 1, text.length)
  while (tag > 0 && !opening.startsWith(text.slice(text.length - tag))) tag--
  const before = text.slice(0, text.length - tag)
  return tag + before.length - before.trimEnd().length
}

/** Answers that are calls as a whole: what they may begin with tells them from text. */
class WholeCalls implements CallReader {
  readonly #marks: readonly string[]
  readonly #read: (text: string) => Call[] | undefined
  #text = ''
  /** It begins as no call does. */
  #isText = false

  constructor(marks: readonly string[], read: (text: string) => Call[] | undefined) {
    this.#marks = marks
    this.#read = read
  }

  push(text: string): Spoken[] {
    if (this.#isText) return said(text)
    this.#text += text
    const start = this.#text.trimStart()
    const mayBe = this.#marks.some(mark => start.startsWith(mark) || mark.startsWith(start))
    if (mayBe && this.#text.length <= callCharsMax) return []
    this.#isText = true
    return this.push(this.#take())
  }

  end(): Spoken[] {
    const text = this.#take()
    return this.#read(text.trim()) ?? said(text)
  }

  #take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }
}

/** What is text to the first reader, the second one looks at. */
class Either implements CallReader {
  readonly #first: CallReader
  readonly #second: CallReader

  constructor(first: CallReader, second: CallReader) {
    this.#first = first
    this.#second = second
  }

  push(text: string): Spoken[] {
    return this.#seen(this.#first.push(text))
  }

  end(): Spoken[] {
    return [...this.#seen(this.#first.end()), ...this.#second.end()]
  }

  #seen(spoken: readonly Spoken[]): Spoken[] {
    return spoken.flatMap(each => (each.kind === 'text' ? this.#second.push(each.text) : [each]))
  }
}

/**
 * `[TOOL_CALLS]NAME[ARGS]{…}`, one after another, an id after `[CALL_ID]` in between in some versions. Where the marks are control tokens, which have no
 * text, a call is the name of a function that is offered, at the beginning or after another call, and what follows at once.
 */
class NamedCalls implements CallReader {
  readonly #offered: Offered
  #text = ''
  /** A call may begin here without a mark. */
  #isStart = true
  /** Where the arguments of the call that the text begins with end. */
  #end: ObjectEnd | undefined
  #head: { readonly name: string; readonly length: number } | undefined

  constructor(offered: Offered) {
    this.#offered = offered
  }

  push(text: string): Spoken[] {
    this.#text += text
    const spoken: Spoken[] = []
    while (this.#text !== '') {
      const step = this.#head === undefined ? this.#seek() : this.#call()
      if (step === undefined) break
      spoken.push(...step)
    }
    return spoken
  }

  end(): Spoken[] {
    const rest = this.#text
    this.#text = ''
    this.#head = undefined
    return said(rest)
  }

  /** Looks for the next call's head: what comes before it is text. Undefined while that may still come. */
  #seek(): Spoken[] | undefined {
    const head = this.#headAt(this.#text)
    if (head === 'coming') return undefined
    if (head !== undefined) {
      this.#head = head
      this.#end = new ObjectEnd(head.length - 1)
      return []
    }
    const isMark = this.#text.startsWith(listMark)
    const next = this.#text.indexOf(listMark, isMark ? 1 : 0)
    const upTo = next < 0 ? this.#text.length - begun(this.#text, listMark) : next
    if (upTo === 0) return undefined
    const text = this.#text.slice(0, upTo)
    this.#text = this.#text.slice(upTo)
    // Space after a call may stand before the next one.
    if (text.trim() !== '') this.#isStart = false
    return said(text)
  }

  /** The head of a call that a text begins with. */
  #headAt(text: string): { readonly name: string; readonly length: number } | 'coming' | undefined {
    const marked = /^\[TOOL_CALLS\]\s{0,8}([\w.:/-]{1,256})(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s{0,8}\{/.exec(text)
    if (marked !== null) return { name: marked[1]!, length: marked[0].length }
    if (/^\[TOOL_CALLS\]\s{0,8}[\w.:/-]{0,256}(?:\[[\w\][]{0,64})?\s{0,8}$/.test(text)) return 'coming'
    if (!this.#isStart) return undefined
    const bare = text.trimStart()
    for (const name of this.#offered.keys()) {
      if (name.startsWith(bare)) return 'coming'
      if (!bare.startsWith(name)) continue
      const after = bare.slice(name.length)
      const [found] = /^(?:\[CALL_ID\])?(?:[A-Za-z0-9]{9})?(?:\[ARGS\])?\s{0,8}\{/.exec(after) ?? []
      if (found !== undefined) return { name, length: text.length - after.length + found.length }
      if (/^[\w\][]{0,64}\s{0,8}$/.test(after)) return 'coming'
    }
    return undefined
  }

  /** The call that the text begins with; undefined while it goes on. */
  #call(): Spoken[] | undefined {
    const { name, length } = this.#head!
    const end = this.#end!.in(this.#text)
    if (end === undefined && this.#text.length <= callCharsMax) return undefined
    const whole = this.#text.slice(0, end)
    this.#text = this.#text.slice(whole.length)
    this.#head = undefined
    const call = listedCalls(`{"name":${JSON.stringify(name)},"arguments":${whole.slice(length - 1)}}`)
    this.#isStart = call !== undefined
    return call ?? said(whole)
  }
}
