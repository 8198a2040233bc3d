/** Tokenizers in threads: what they give is what they give without, and nobody waits for another's. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ModelId } from '../../src/base/ids.ts'
import { loadTokenizer } from '../../src/model/tokenizer.ts'
import { type Tokenizing, Tokenizers, type TokenizersInit } from '../../src/model/tokenizer-service.ts'
import { hostileText, hostileTokenizer, loopTicks } from './hostile.ts'
import { tinyTokenizer } from './hugging-face.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let tokenizers: Tokenizers
/** How often each model's file was asked for: once for each start of its thread. */
let starts: Record<string, number>
const opened: Tokenizing[] = []

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  starts = {}
  await writeFile(path.join(dir, 'tiny'), tinyTokenizer())
  await writeFile(path.join(dir, 'hostile'), hostileTokenizer())
  await writeFile(path.join(dir, 'broken'), '{"model":{"type":"Magic"}}')
  use({})
})
afterEach(async () => {
  for (const each of opened.splice(0)) each.close()
  await tokenizers.close()
})

function use(init: TokenizersInit): void {
  tokenizers = new Tokenizers(init)
}

/** The tokenizer in a file; other names have the tiny one. */
function open(name: string): Tokenizing {
  const file = ['hostile', 'broken', 'absent'].includes(name) ? name : 'tiny'
  const tokenizing = tokenizers.open({
    id: name as ModelId,
    manifest: { name, bosId: 1, eosIds: [2], chatTemplate },
    file: async () => {
      starts[name] = (starts[name] ?? 0) + 1
      return path.join(dir, file)
    }
  })
  opened.push(tokenizing)
  return tokenizing
}

const never = new AbortController().signal

/** Says what it is told, but for what does not end or grows without end. */
const chatTemplate =
  "{% if messages[0].content == 'b' %}{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}{% endif %}" +
  "{% if messages[0].content == 'aa' %}{{ range(1000000000) | length }}{% endif %}" +
  "{% if messages[0].content == 'bb' %}{{ raise_exception('not that') }}{% endif %}{{ messages[0].content }}"

describe('a tokenizer in its thread', () => {
  test('gives what it gives in this one', async () => {
    const here = loadTokenizer(tinyTokenizer(), { name: 'tiny', bosId: 1, eosIds: [2] })
    const tiny = open('tiny')
    expect(await tiny.longest()).toBe(here.longest)
    for (const text of ['', 'ab a', 'a</s>b', 'ä€😀', '\ud800']) {
      for (const special of [false, true]) {
        expect(await tiny.encode(text, { special })).toEqual(here.encode(text, { special }))
      }
    }
    const prompt = here.encode('ab €')
    const ids = [...here.encode('a €😀 b'), 3 + 0xe2, 3 + 0x82, 260, 3 + 0xf0]
    const stream = here.stream(prompt)
    const expected = [...ids.map(id => stream.push(id)), stream.end()]
    const streamed = tiny.stream(prompt)
    const pieces: string[] = []
    for (const id of ids) pieces.push(await streamed.push([id]))
    pieces.push(await streamed.push([], { last: true }))
    expect(pieces).toEqual(expected)
    expect(await tiny.stream(prompt).push(ids, { last: true })).toBe(expected.join(''))
    expect(starts).toEqual({ tiny: 1 })
  })

  test("that cannot be read says so with the model's name, and is tried again", async () => {
    const broken = open('broken')
    await expect(broken.longest()).rejects.toThrow('the tokenizer of broken cannot be used')
    await expect(broken.encode('a')).rejects.toMatchObject({ name: 'InvalidManifestError' })
    await expect(open('absent').encode('a')).rejects.toThrow('ENOENT')
    expect(starts).toEqual({ broken: 2, absent: 1 })
  })

  test('that never ends costs its ask a deadline, and nobody else anything', async () => {
    use({ deadlineMs: 2_000 })
    const ticks = loopTicks()
    const hostile = open('hostile')
    const order: string[] = []
    const note = (what: string) => (): void => void order.push(what)
    const failing = expect(hostile.encode(hostileText).finally(note('failed'))).rejects.toMatchObject({
      name: 'DeadlineError',
      message: 'the tokenizer of hostile did not encode a text of 33 characters within 2000 ms'
    })
    // Of the same model, behind it; and of another one.
    const behind = open('hostile').encode('ab').finally(note('behind'))
    const other = open('tiny').encode('ab').finally(note('other'))
    await Promise.all([failing, behind, other])
    // Timers went on in this thread, many times, before it failed; what did not depend on it came first.
    expect(ticks.count()).toBeGreaterThan(20)
    expect(order).toEqual(['other', 'failed', 'behind'])
    expect(await behind).toEqual(await other)
    expect(starts).toEqual({ hostile: 2, tiny: 1 })
    ticks.stop()
  })

  test('writes prompts of conversations, whose templates may run for ever or want all memory', async () => {
    use({ deadlineMs: 2_000 })
    const tiny = open('tiny')
    const say = (content: string) =>
      tiny.chat({ messages: [{ role: 'user', content }] }, { contextMax: 64, answerTokens: 1 }, { signal: never })
    const here = loadTokenizer(tinyTokenizer(), { name: 'tiny', bosId: null, eosIds: [2] })
    const { ids } = await say('ab a')
    expect(ids).toEqual(here.encode('ab a'))
    const odd = [{ role: 'user', content: 'a', next: () => {} }]
    await expect(tiny.chat({ messages: odd }, { contextMax: 64, answerTokens: 1 })).rejects.toThrow(
      'the conversation is wrong at messages.0.next'
    )
    await expect(say('bb')).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: 'the chat template of tiny refuses these messages: not that'
    })
    await expect(say('a'.repeat(64))).rejects.toMatchObject({ name: 'PromptTooLongError' })
    await expect(say('b')).rejects.toMatchObject({
      name: 'DeadlineError',
      message: 'the tokenizer of tiny did not write the prompt of a conversation of 1 messages within 2000 ms'
    })
    await expect(say('aa')).rejects.toThrow(/needs more memory|within 2000 ms|refuses these messages/)
    expect((await say('ab a')).ids).toEqual(ids)
  })

  test('of a long text keeps nobody waiting who asks about a short one', async () => {
    use({ deadlineMs: 3_000 })
    const hostile = open('hostile')
    const stream = hostile.stream([1])
    const order: string[] = []
    const long = expect(
      hostile.encode(' '.repeat(70_000) + hostileText).finally(() => order.push('long'))
    ).rejects.toMatchObject({ name: 'DeadlineError' })
    expect(await hostile.encode('ab')).toHaveLength(3)
    expect(await stream.push([259, 260])).toBe('a')
    order.push('short')
    await long
    expect(order).toEqual(['short', 'long'])
    // Many long ones wait for each other, and not without end.
    const asked = Array.from({ length: 20 }, () =>
      hostile.encode(' '.repeat(70_000)).catch(({ name }) => name as string)
    )
    expect((await Promise.all(asked)).filter(each => each === 'NoRoomError').length).toBeGreaterThan(0)
  })

  test('goes on with a stream in a new thread', async () => {
    use({ deadlineMs: 500 })
    const hostile = open('hostile')
    const stream = hostile.stream([1])
    expect(await stream.push([259, 260])).toBe('a')
    await expect(hostile.encode(hostileText)).rejects.toMatchObject({ name: 'DeadlineError' })
    expect(await stream.push([261], { last: true })).toBe('b')
    expect(starts).toEqual({ hostile: 2 })
  })

  test('is not waited for by who has given up, whether it waits, starts or runs', async () => {
    use({ deadlineMs: 600_000 })
    const given = new Error('given up')
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()]
    const hostile = open('hostile')
    const starting = hostile.encode('a', { signal: first.signal })
    first.abort(given)
    await expect(starting).rejects.toBe(given)
    const running = hostile.encode(hostileText, { signal: second.signal })
    const waiting = hostile.encode('a', { signal: third.signal })
    const last = hostile.encode('ab', { signal: never })
    // It has started, and so runs the first of them.
    await hostile.longest()
    third.abort(given)
    await expect(waiting).rejects.toBe(given)
    second.abort(given)
    await expect(running).rejects.toBe(given)
    // The thread does not run on for those who are gone.
    expect(await last).toEqual(await open('tiny').encode('ab'))
    await expect(hostile.encode('a', { signal: AbortSignal.abort(given) })).rejects.toBe(given)
  })
})

describe('the tokenizers of a peer', () => {
  test('are no more than a few: the one that was not used for longest goes', async () => {
    use({ max: 2 })
    for (const name of ['a', 'b', 'a', 'c']) {
      const tokenizer = open(name)
      await tokenizer.encode('ab')
      tokenizer.close()
    }
    expect(tokenizers.size).toBe(2)
    const [a, b] = [open('a'), open('b')]
    await a.encode('ab')
    await b.encode('ab')
    expect(starts).toEqual({ a: 1, b: 2, c: 1 })
    expect(() => open('c')).toThrow('2 models are being asked about here')
    a.close()
    a.close()
    await open('c').encode('ab')
    expect(starts).toEqual({ a: 1, b: 2, c: 2 })
  })

  test('end when they are not used, and start again', async () => {
    use({ idleMs: 20 })
    const tiny = open('tiny')
    await tiny.encode('ab')
    const { promise, resolve } = Promise.withResolvers<void>()
    setTimeout(resolve, 100)
    await promise
    expect(await tiny.encode('ab')).toEqual(await open('other').encode('ab'))
    expect(starts.tiny).toBe(2)
  })

  test('are closed each with its last ask, and tell whoever waits all the same', async () => {
    const [first, second, hostile] = [open('tiny'), open('tiny'), open('hostile')]
    const stream = first.stream([1])
    expect(await stream.push([259, 260])).toBe('a')
    const waiting = expect(hostile.encode(hostileText)).rejects.toThrow('the tokenizer of hostile was closed')
    await tokenizers.close()
    expect(() => open('tiny')).toThrow('the tokenizers of this peer are closed')
    second.close()
    second.close()
    expect(await stream.push([261])).toBe('b')
    first.close()
    await expect(stream.push([261])).rejects.toThrow('the tokenizer of tiny was closed')
    hostile.close()
    await waiting
  })
})
