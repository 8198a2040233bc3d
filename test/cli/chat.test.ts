/** `skein chat` as a process: over a control socket whose answers are scripted, and once over a peer of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ControlledPeer, type ControlServer, serveControl } from '../../src/cli/control-server.ts'
import type { ChatMessage, ChatOptions, GenerationEvent } from '../../src/index.ts'
import { PromptTooLongError } from '../../src/errors.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
let server: ControlServer | undefined
const children: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-chat-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await server?.close()
  server = undefined
  rmSync(folder, { recursive: true, force: true })
})

type Script = (messages: readonly ChatMessage[], options: ChatOptions) => AsyncIterable<GenerationEvent>

/** A peer whose answers are scripted, and what it was asked. */
async function serve(script: Script): Promise<{ messages: readonly ChatMessage[]; options: ChatOptions }[]> {
  const asked: { messages: readonly ChatMessage[]; options: ChatOptions }[] = []
  const chat = (messages: readonly ChatMessage[], options: ChatOptions) => {
    const { signal: _, ...rest } = options
    asked.push({ messages, options: rest })
    return { events: () => script(messages, options), answer: Promise.reject(new Error('unused')) }
  }
  server = await serveControl({ chat } as unknown as ControlledPeer, folder)
  return asked
}

const token = (text: string): GenerationEvent => ({ event: 'token', id: 1, text, position: 1, ms: 1 })
const begun = (droppedTurns = 0): GenerationEvent => ({ event: 'conversation', tokens: 5, droppedTurns })
const stopped: GenerationEvent = { event: 'stopped', stop: 'eos', text: '' }

async function* answer(text: string, dropped = 0): AsyncGenerator<GenerationEvent> {
  yield begun(dropped)
  for (const word of text.split(/(?= )/)) yield token(word)
  yield stopped
  yield {
    event: 'done',
    text,
    promptIds: [],
    ids: [],
    stop: 'eos',
    timing: { firstTokenMs: 1, totalMs: 1, tokensPerSecond: 1 },
    bytesPerToken: 1,
    exact: true,
    hops: [],
    drafts: { proposed: 0, taken: 0 }
  }
}

const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })
const system = { role: 'system', content: 'brief' }

describe('lines that are piped', { timeout: 60_000 }, () => {
  it('are messages of one conversation, and commands', async () => {
    const asked = await serve(messages => answer(`to ${messages.length}`, messages.length === 6 ? 2 : 0))
    const file = join(folder, 'talk.json')
    const stdin = `one\n\ntwo\r\n/save ${file}\n//three\nfour\n/reset\nfive`
    const run = new Skein(['chat', '--data', folder, '--system', 'brief', '--keep', '2', '--seed', '4'], { stdin })
    const { code, stdout, stderr } = await run.ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'to 2\nto 4\nto 6\nto 4\nto 2\n' })
    expect(stderr).toContain('the oldest 2 turns of the conversation are left out')
    const [one, two, three] = [
      [user('one'), assistant('to 2')],
      [user('two'), assistant('to 4')],
      [user('/three'), assistant('to 6')]
    ]
    expect(asked.map(({ messages }) => messages)).toEqual([
      [system, user('one')],
      [system, ...one!, user('two')],
      [system, ...one!, ...two!, user('/three')],
      [system, ...three!, user('four')],
      [system, user('five')]
    ])
    expect(asked[0]!.options).toEqual({ temperature: 0, topP: 1, topK: 0, seed: 4, keepTurns: 2 })
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ messages: [system, ...one!, ...two!] })
  })

  it('are text, or end it', async () => {
    const asked = await serve(() => answer('yes'))
    const broken = skein(['chat', '--data', folder], { stdin: Buffer.from('caf\u00e9\n', 'latin1') })
    await expectFailure(broken, 2, 'a line on stdin is no text: its bytes are not UTF-8')
    expect(asked).toEqual([])
    const whole = await skein(['chat', '--data', folder], { stdin: '\ufeffcaf\u00e9 👩‍🚀' })
    expect(whole).toMatchObject({ code: 0, stdout: 'yes\n' })
    expect(asked.at(-1)!.messages).toEqual([{ role: 'user', content: '\ufeffcaf\u00e9 👩‍🚀' }])
  })

  it('are answered with events as JSON, and a failure is the last of them', async () => {
    let asks = 0
    await serve(async function* () {
      yield begun()
      if (++asks === 2) throw new PromptTooLongError('too long')
      yield* answer('yes')
    })
    const { code, stdout } = await skein(['chat', '--data', folder, '--json'], { stdin: 'one\n/help\ntwo\n' })
    const events = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { event: string; text?: string })
    expect(events.find(({ event }) => event === 'token')?.text).toBe('yes')
    expect(events.at(-1)).toEqual({ event: 'error', name: 'PromptTooLongError', message: 'too long' })
    expect(code).toBe(2)
  })

  it('end with the first that fails, and its exit code', async () => {
    const asked = await serve(async function* () {
      yield begun()
      throw new PromptTooLongError('too long')
    })
    const run = new Skein(['chat', '--data', folder], { stdin: 'one\ntwo\n' })
    expect(await run.ended).toMatchObject({ code: 2, stdout: '', stderr: 'skein: too long\n' })
    expect(asked).toHaveLength(1)
    expect((await skein(['chat', '--data', join(folder, 'none')])).code).toBe(0)
    const nobody = new Skein(['chat', '--data', join(folder, 'none')], { stdin: 'Hi' })
    expect(await nobody.ended).toMatchObject({ code: 4, stderr: expect.stringContaining('no peer is running on') })
    for (const [stdin, sentence] of [
      ['/shout', 'there is no /shout'],
      [`/save ${join(folder, 'empty.json')}`, 'nothing has been said: there is nothing to save in'],
      ['x'.repeat((1 << 20) + 1), 'a line on stdin is longer than 1048576 bytes']
    ] as const) {
      const wrong = new Skein(['chat', '--data', folder], { stdin })
      expect(await wrong.ended).toMatchObject({ code: 2, stderr: expect.stringContaining(sentence) })
    }
  })

  it('are not saved over a file of somebody', async () => {
    await serve(() => answer('yes'))
    const run = new Skein(['chat', '--data', folder], { stdin: `Hi\n/save ${folder}\n` })
    expect(await run.ended).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        / cannot be saved in .*: it is there already, and is not overwritten: take another name\n$/
      )
    })
  })

  it('that are more than a peer takes let the oldest turns go, or say what would', async () => {
    const asked = await serve(() => answer('yes'))
    const line = 'x'.repeat(600_000)
    const stdin = `${line}\n${line}y\n`
    const refused = (sentence: string): object => ({
      code: 2,
      stdout: 'yes\n',
      stderr: expect.stringContaining(sentence)
    })
    const whole = new Skein(['chat', '--data', folder], { stdin })
    expect(await whole.ended).toMatchObject(
      refused('and a peer takes at most 1048576: begin a new one, or let its oldest turns go (--keep)')
    )
    const kept = new Skein(['chat', '--data', folder, '--keep', '1'], { stdin })
    const { code, stdout, stderr } = await kept.ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'yes\nyes\n' })
    expect(stderr).toContain('the oldest turn of the conversation is left out')
    expect(asked.map(({ messages }) => messages.map(({ content }) => content.length))).toEqual([
      [600_000],
      [600_000],
      [600_001]
    ])
    const few = new Skein(['chat', '--data', folder, '--keep', '2'], { stdin })
    expect(await few.ended).toMatchObject(refused('say less, or keep fewer'))
  })

  it('go on after Ctrl-C has stopped an answer, of which what came counts, and end with Ctrl-C when nothing is answered', async () => {
    const asked = await serve(async function* (messages, { signal }) {
      yield begun()
      yield token('Once')
      if (messages.length === 1) await once(signal!, 'abort')
      else yield* answer(' more')
    })
    const bin = fileURLToPath(new URL('../../bin/skein.js', import.meta.url))
    const child = spawn(process.execPath, [bin, 'chat', '--data', folder], { stdio: 'pipe' })
    children.push(child)
    let shown = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      shown += text
    })
    child.stdin.write('one\n')
    await expect.poll(() => shown, { timeout: 20_000 }).toBe('Once')
    child.kill('SIGINT')
    await expect.poll(() => shown).toBe('Once\n')
    child.stdin.write('two\n')
    await expect.poll(() => shown).toBe('Once\nOnce more\n')
    expect(asked[1]!.messages).toEqual([user('one'), assistant('Once'), user('two')])
    child.kill('SIGINT')
    expect(await once(child, 'close')).toEqual([130, null])
  })
})

it('converse with a peer, and ask it once, by the template of its model', { timeout: 120_000 }, async () => {
  const at = (name: string): string => join(folder, name)
  await writeStoryChat(at('a'))
  await skein(['init', at('swarm.json')])
  const peer = new Skein([
    ...['up', '--data', at('a'), '--swarm', at('swarm.json'), '--model', 'storychat', '--memory', '128MB'],
    ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
  ])
  children.push(peer.child)
  await peer.event('serving')
  const asked = ['--data', at('a'), '--max-tokens', '12']
  const file = at('talk.json')
  const talk = new Skein(['chat', ...asked], { stdin: `Tell me </s> of a cat.\nAnd then?\n/save ${file}\n` })
  expect(await talk.ended).toMatchObject({ code: 0 })
  const { messages } = JSON.parse(readFileSync(file, 'utf8')) as { messages: ChatMessage[] }
  expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
  expect(talk.stdout).toBe(`${messages[1]!.content}\n${messages[3]!.content}\n`)

  const once = await skein(['ask', ...asked, '--chat', 'Tell me </s> of a cat.'])
  expect(once).toMatchObject({ code: 0, stdout: `${messages[1]!.content}\n` })
  const plain = new Skein(['ask', ...asked, '--chat', '-', '--json'], { stdin: 'Tell me </s> of a cat.' })
  await plain.ended
  expect(plain.events[0]).toMatchObject({ event: 'conversation', droppedTurns: 0 })
  expect(plain.events.at(-1)).toMatchObject({ event: 'done', text: messages[1]!.content })
  expect(await skein(['ask', ...asked, '--chat', '--special', 'Hi'])).toMatchObject({ code: 2 })
  expect(await skein(['ask', ...asked, '--model', 'stories15m', '--chat', 'Hi'])).toMatchObject({
    code: 2,
    stderr: 'skein: stories15m has no chat template: it only continues a text, give it a prompt\n'
  })
})
