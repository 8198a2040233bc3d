/** `skein chat` as a person has it: on a terminal, where keys are typed and Ctrl-C is one of them. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PromptTooLongError } from '../../src/errors.ts'
import { needs } from '../needs.ts'
import { keys, Terminal, whyNoTerminal } from './pty.ts'
import { ScriptedChat } from './scripted-chat.ts'
import { skein } from './skein.ts'

let folder = ''
let peer: ScriptedChat
const terminals: Terminal[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-terminal-'))
})
afterEach(async () => {
  for (const { child } of terminals.splice(0)) child.kill('SIGKILL')
  await peer.close()
  rmSync(folder, { recursive: true, force: true })
})

function chat(...args: string[]): Terminal {
  const terminal = new Terminal(['chat', '--data', folder, ...args])
  terminals.push(terminal)
  return terminal
}

const within = { timeout: 60_000 }

describe('on a terminal', { timeout: 180_000, ...needs(whyNoTerminal()) }, () => {
  it('a conversation has its history, is forgotten, saved and ended by commands', async () => {
    peer = await ScriptedChat.serve(folder, ({ messages }) => `to ${messages.length}`)
    const terminal = chat('--system', 'brief')
    await expect.poll(() => terminal.shown, within).toContain('> ')
    terminal.type(`one${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('to 2\n')
    terminal.type(`two${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('to 4\n')
    const file = join(folder, 'talk.json')
    terminal.type(`/save ${file}${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('2 turns are in')
    terminal.type(`/reset${keys.enter}`)
    // The line before the last one is typed again.
    terminal.type(`three${keys.enter}`)
    await expect.poll(() => terminal.shown.match(/to 2\n/g)?.length, within).toBe(2)
    terminal.type(`/save ${file}${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('1 turn is in')
    terminal.type(`/quit${keys.enter}`)
    expect(await terminal.ended).toBe(0)
    const say = (role: string, content: string): object => ({ role, content })
    expect(peer.asked.map(({ messages }) => messages)).toEqual([
      [say('system', 'brief'), say('user', 'one')],
      [say('system', 'brief'), say('user', 'one'), say('assistant', 'to 2'), say('user', 'two')],
      [say('system', 'brief'), say('user', 'three')]
    ])
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
      messages: [say('system', 'brief'), say('user', 'three'), say('assistant', 'to 2')]
    })
  })

  it('nothing need be typed to hear that no peer runs', async () => {
    peer = await ScriptedChat.serve(folder, () => 'yes')
    const terminal = new Terminal(['chat', '--data', join(folder, 'none')])
    terminals.push(terminal)
    expect(await terminal.ended).toBe(4)
    expect(terminal.shown).toContain('no peer is running on')
    expect(terminal.shown).not.toContain('> ')
  })

  it('Ctrl-C stops an answer and not the talk, drops what is typed, and ends if pressed twice', async () => {
    let isStuck = true
    peer = await ScriptedChat.serve(folder, async function* ({ signal }) {
      yield 'Once'
      if (isStuck) await once(signal, 'abort')
      else yield ' more'
    })
    const terminal = chat()
    terminal.type(`one${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('Once')
    terminal.type(keys.ctrlC)
    await expect.poll(() => terminal.shown, within).toMatch(/Once\n[\s\S]*> $/)
    isStuck = false
    // Though Ctrl-C was pressed since the last line.
    terminal.type('never said')
    await expect.poll(() => terminal.shown, within).toMatch(/> never said$/)
    terminal.type(keys.ctrlC)
    await expect.poll(() => terminal.shown, within).toContain('(Ctrl-C again ends the conversation)')
    terminal.type(`two${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('Once more\n')
    expect(peer.asked.map(({ messages }) => messages.map(({ content }) => content))).toEqual([
      ['one'],
      ['one', 'Once', 'two']
    ])
    terminal.type(keys.ctrlC)
    await expect.poll(() => terminal.shown.match(/again ends/g)?.length, within).toBe(2)
    terminal.type(keys.ctrlC)
    expect(await terminal.ended).toBe(130)
  })

  it('an answer that fails is told of, and the talk goes on; Ctrl-D ends it', async () => {
    let isFirst = true
    peer = await ScriptedChat.serve(folder, async function* () {
      if (isFirst) {
        isFirst = false
        throw new PromptTooLongError('too long')
      }
      yield 'fine'
    })
    const terminal = chat()
    terminal.type(`one${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('skein: too long\n')
    terminal.type(`/shout${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('there is no /shout')
    // What did not come counts as not said; the line can be had again by a key.
    terminal.type(`${keys.up}${keys.up}${keys.enter}`)
    await expect.poll(() => terminal.shown, within).toContain('fine\n')
    expect(peer.asked.at(-1)!.messages).toEqual([{ role: 'user', content: 'one' }])
    terminal.type(keys.ctrlD)
    expect(await terminal.ended).toBe(0)
  })
})

describe('what the template is given', { timeout: 120_000 }, () => {
  it('comes from flags, of a conversation and of one message', async () => {
    peer = await ScriptedChat.serve(folder, () => 'yes')
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }]
    const file = join(folder, 'tools.json')
    writeFileSync(file, JSON.stringify(tools))
    const flags = ['--tools', file, '--template-var', 'enable_thinking=false', '--template-var', 'date=30 Nov 2026']
    const asked = await skein(['ask', '--data', folder, '--chat', 'Hi', ...flags])
    expect(asked).toMatchObject({ code: 0, stdout: 'yes\n' })
    const given = { tools, variables: { enable_thinking: false, date: '30 Nov 2026' } }
    expect(peer.asked.at(-1)!.options).toMatchObject(given)
    const run = await skein(['chat', '--data', folder, ...flags], { stdin: 'Hi\n' })
    expect(run.code).toBe(0)
    expect(peer.asked.at(-1)!.options).toMatchObject(given)
  })

  it('is refused in a sentence where it is none', async () => {
    peer = await ScriptedChat.serve(folder, () => 'yes')
    const file = join(folder, 'tools.json')
    writeFileSync(file, '{"type":"function"}')
    const text = join(folder, 'tools.txt')
    writeFileSync(text, 'weather')
    for (const [flags, sentence] of [
      [
        ['--chat', '--template-var', 'thinking'],
        "--template-var takes name=value, such as enable_thinking=false, not 'thinking'"
      ],
      [['--chat', '--template-var', 'a=1', '--template-var', 'a=2'], '--template-var has two values of a'],
      [['--chat', '--tools', file], `${file} holds something else`],
      [['--chat', '--tools', text], `${text} is not JSON`],
      [['--chat', '--tools', join(folder, 'none')], 'cannot be read: ENOENT'],
      [['--template-var', 'a=1'], '--template-var goes with --chat: a text that is continued has no template']
    ] as const) {
      const { code, stderr } = await skein(['ask', '--data', folder, 'Hi', ...flags])
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(sentence) })
    }
    expect(peer.asked).toEqual([])
  })
})
