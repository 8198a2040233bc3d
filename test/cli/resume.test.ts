/** Drivers that die in mid-answer, as processes of their own, and whoever has the key going on. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Status } from '../../src/index.ts'
import { filesUnder } from '../files-under.ts'
import { expectFailure, Skein, skein } from './skein.ts'

const prompt = 'Once upon a time'
const maxTokens = 180
let folder = ''
const peers: Skein[] = []
/** [name] the process that is the peer now. */
const running = new Map<string, Skein>()
const at = (name: string): string => join(folder, name)

/** @param layers `none` for a peer that only asks */
async function up(name: string, layers: string): Promise<Skein> {
  const serves = layers === 'none' ? ['--memory', '0'] : ['--layers', layers]
  const peer = new Skein([
    ...['up', '--data', at(name), '--swarm', at('swarm.json'), ...serves],
    ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
  ])
  peers.push(peer)
  running.set(name, peer)
  await peer.event(layers === 'none' ? 'up' : 'serving')
  return peer
}

/** Waits until a peer is connected to two others. */
async function meets(name: string): Promise<void> {
  const deadline = AbortSignal.timeout(20_000)
  for (;;) {
    const { stdout } = await skein(['status', '--data', at(name), '--json'])
    const { peers }: Status = JSON.parse(stdout)
    if (peers.filter(({ connected, self }) => connected && !self).length === 2) return
    if (deadline.aborted) throw new Error(`${name} never met two others: ${stdout}`)
  }
}

async function idOf(name: string): Promise<string> {
  const { stdout } = await skein(['status', '--data', at(name), '--json'])
  return (JSON.parse(stdout) as Status).self
}

const ask = (name: string, ...args: string[]): Skein => new Skein(['ask', ...args, '--data', at(name), '--json'])

/** The events of an answer that came to its end. */
async function whole(run: Skein): Promise<Skein['events']> {
  const { code, stderr } = await run.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return run.events
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-resume-'))
  await skein(['init', at('swarm.json')])
  expect((await skein(['key', at('session.key')])).code).toBe(0)
  await Promise.all([up('b', '0-3'), up('c', '3-6')])
}, 120_000)

afterAll(async () => {
  for (const { child } of peers) if (child.exitCode === null) child.kill('SIGTERM')
  const late = setTimeout(() => peers.forEach(({ child }) => void child.kill('SIGKILL')), 8000)
  await Promise.all(peers.map(peer => peer.ended))
  clearTimeout(late)
  rmSync(folder, { recursive: true, force: true })
}, 20_000)

describe('a driver that dies in the middle of three answers', () => {
  const sampled = ['--temperature', '0.9', '--top-p', '0.95', '--seed', '11']
  const key = (): string[] => ['--key', at('session.key')]
  const length = ['--max-tokens', String(maxTokens)]
  let told: Skein['events'][] = []

  beforeAll(async () => {
    const driver = await up('a', '0-6')
    await meets('a')
    const runs = [
      ask('a', prompt, ...length, '--session', 'likeliest', ...key()),
      ask('a', prompt, ...length, '--session', 'sampled tokens', ...key(), ...sampled),
      ask('a', prompt, ...length, '--session', 'mine')
    ]
    await Promise.all(runs.map(run => run.event('token', { times: 70 })))
    expect(await driver.end('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
    for (const run of runs) {
      expect((await run.ended).code).toBe(4)
      expect(run.events.filter(({ event }) => event === 'warning')).toEqual([])
    }
    told = runs.map(run => run.events.filter(({ event }) => event === 'token'))
  }, 120_000)

  it.each([
    ['likeliest', [], 0],
    ['sampled tokens', sampled, 1]
  ] as const)('costs nothing to who has the key: %s', async (name, sampling, which) => {
    // Log-probabilities are of what comes: those of the rest were not kept.
    const events = await whole(ask('b', '--resume', name, ...key(), '--logprobs', '2'))
    const [resumed, warning, route, ...tokens] = events.slice(0, -2)
    expect(events.at(-2)).toMatchObject({ event: 'stopped', stop: events.at(-1)!.stop })
    const done = events.at(-1)!
    const undisturbed = (await whole(ask('c', prompt, ...length, ...sampling))).at(-1)!
    expect(resumed).toMatchObject({ event: 'resumed', tokens: expect.any(Number), text: expect.any(String) })
    expect(resumed!.tokens).toBeGreaterThan(0)
    // With the driver gone there is only one other peer.
    expect(warning).toMatchObject({ event: 'warning', message: expect.stringContaining('1 other peer only') })
    expect(route).toMatchObject({ event: 'route', hops: [{ start: 0 }, { start: 3 }] })
    expect(tokens).toHaveLength((done.ids as number[]).length - (resumed!.tokens as number))
    expect(done).toMatchObject({ event: 'done', exact: true })
    for (const { logprob, bytes, top, text } of tokens) {
      expect(logprob).toBeLessThanOrEqual(0)
      expect(top).toHaveLength(2)
      if (text !== '') expect(Buffer.from(bytes as number[]).toString()).toContain(text as string)
    }
    expect({ ids: done.ids, text: done.text, stop: done.stop }).toEqual({
      ids: undisturbed.ids,
      text: undisturbed.text,
      stop: undisturbed.stop
    })
    const before = told[which]!
    expect((undisturbed.ids as number[]).slice(0, before.length)).toEqual(before.map(({ id }) => id))
    expect(`${resumed!.text}${tokens.map(({ text }) => text).join('')}`).toBe(done.text)

    // It is complete now: whoever resumes it again is shown it, by any peer and without a step.
    const again = await whole(ask('c', '--resume', name, ...key()))
    expect(again.map(({ event }) => event)).toEqual(['resumed', 'done'])
    expect(again[1]).toMatchObject({ ids: done.ids, text: done.text, hops: [] })
    const { stdout, stderr } = await skein(['ask', '--resume', name, ...key(), '--data', at('b')])
    expect({ stdout, stderr }).toEqual({ stdout: `${done.text}\n`, stderr: '' })
  })

  it('goes on by itself after a restart, without a key file, and then longer', async () => {
    await expectFailure(skein(['ask', '--resume', 'mine', '--data', at('b')]), 4, 'there is no session mine')
    await up('a', '0-6')
    await meets('a')
    const done = (await whole(ask('a', '--resume', 'mine'))).at(-1)!
    const longer = (await whole(ask('a', '--resume', 'mine', '--max-tokens', String(maxTokens + 20)))).at(-1)!
    const undisturbed = (await whole(ask('c', prompt, '--max-tokens', String(maxTokens + 20)))).at(-1)!
    expect(done.ids).toEqual((undisturbed.ids as number[]).slice(0, maxTokens))
    expect(longer.ids).toEqual(undisturbed.ids)
    const { code, stdout } = await skein(['forget', 'mine', '--data', at('a')])
    expect({ code, stdout }).toEqual({ code: 0, stdout: '2 peers have removed session mine\n' })
    await expectFailure(skein(['ask', '--resume', 'mine', '--data', at('a')]), 4, 'there is no session mine')
  })

  it('refuses in a sentence what cannot be resumed', async () => {
    const resume = (...args: string[]) => skein(['ask', '--resume', 'x', '--data', at('b'), ...args])
    await expectFailure(resume(), 4, 'there is no session x for this key')
    await expectFailure(resume('--key', at('none.key')), 3, 'there is no key file')
    await expectFailure(resume('--key', at('swarm.json')), 3, 'is no session key: it should have 32 bytes')
  })
}, 120_000)

it('costs an answer that must fit a schema nothing either, though a stage dies, too, while it goes on', async () => {
  const schema = { properties: { tale: { type: 'string', minLength: 150, maxLength: 200 } }, required: ['tale'] }
  writeFileSync(at('schema.json'), JSON.stringify({ ...schema, type: 'object', additionalProperties: false }))
  const asked = [prompt, '--max-tokens', '240', '--json-schema', at('schema.json'), '--temperature', '1', '--seed', '4']
  const undisturbed = (await whole(ask('b', ...asked))).at(-1)!
  expect(JSON.parse(undisturbed.text as string)).toEqual({ tale: expect.stringMatching(/^.{150,200}$/su) })
  for (const name of ['d', 'e']) await up(name, '0-6')
  const stages = new Map<string, Skein>()
  for (const [name, peer] of running) if (name !== 'b') stages.set(await idOf(name), peer)
  const driver = await up('f', 'none')
  const key = ['--session', 'form', '--key', at('session.key')]
  const run = ask('f', ...asked, ...key)
  await run.event('token', { times: 25 })
  expect(await driver.end('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
  expect((await run.ended).code).toBe(4)

  const resumed = ask('b', '--resume', 'form', '--key', at('session.key'))
  await resumed.event('token', { times: 10 })
  const hops = resumed.events.findLast(({ event }) => event === 'route')!.hops as { peer: string }[]
  const lost = hops.flatMap(({ peer }) => stages.get(peer) ?? [])
  expect(await lost[0]!.end('SIGKILL')).toMatchObject({ signal: 'SIGKILL' })
  const events = await whole(resumed)
  expect(events.filter(({ event }) => event === 'recovered')).not.toEqual([])
  const { ids, text, stop } = undisturbed
  expect(events.at(-1)).toMatchObject({ event: 'done', ids, text, stop, exact: true })
}, 120_000)

it('leaves no word, token, name or key with its keepers', async () => {
  const key = readFileSync(at('session.key'))
  const text = 'there was a little girl named Lily'
  const printed = peers.map(({ stdout, stderr }) => stdout + stderr).join('')
  for (const secret of [
    key.toString('hex'),
    key.toString('base64'),
    key.toString('base64url'),
    text,
    'sampled tokens'
  ]) {
    expect(printed).not.toContain(secret)
  }
  for (const name of ['b', 'c']) {
    const files = (await filesUnder(at(name))).filter(({ path }) => !/models|shards/.test(path))
    expect(files.filter(({ path, bytes }) => path.startsWith('keep') && bytes.length > 0).length).toBeGreaterThan(0)
    for (const { path, bytes } of files) {
      for (const secret of [key, Buffer.from(text), Buffer.from('Once upon'), Buffer.from('sampled tokens')]) {
        expect(bytes.includes(secret), `${name}/${path}`).toBe(false)
      }
    }
  }
})
