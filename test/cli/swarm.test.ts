/** Real peers in processes of their own, as people run them: loopback only, one shipped model. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Status } from '../../src/index.ts'
import { expectFailure, Skein, skein } from './skein.ts'

const story = 'there was a little girl named Lily'
const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
let folder = ''
const peers: Skein[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-swarm-'))
  for (const name of ['swarm', 'other']) {
    const { code, stderr } = await skein(['init', at(`${name}.json`)])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  }
})

afterAll(async () => {
  for (const { child } of peers) if (child.exitCode === null) child.kill('SIGTERM')
  const ended = Promise.all(peers.map(peer => peer.ended))
  const late = setTimeout(() => peers.forEach(({ child }) => void child.kill('SIGKILL')), 8000)
  await ended
  clearTimeout(late)
  rmSync(folder, { recursive: true, force: true })
}, 20_000)

const at = (name: string): string => join(folder, name)

/** Starts a peer that serves the given layers. */
function up(name: string, layers: string, swarm = 'swarm.json', more: string[] = []): Skein {
  const peer = new Skein(['up', '--data', at(name), '--swarm', at(swarm), '--layers', layers, ...loopback, ...more])
  peers.push(peer)
  return peer
}

async function statusOf(name: string): Promise<Status> {
  const { code, stdout, stderr } = await skein(['status', '--data', at(name), '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout)
}

describe('three peers that were started by hand', () => {
  beforeAll(async () => {
    // The tail first, the head late: order must not matter.
    const tail = up('c', '4-6')
    const middle = up('b', '2-4')
    await Promise.all([tail.event('serving'), middle.event('serving')])
    const head = up('a', '0-2')
    await Promise.all([head, middle, tail].map(peer => peer.event('covered')))
  }, 90_000)

  it('see one another, and every layer covered once', async () => {
    const status = await statusOf('b')
    expect(status.peers.map(({ self }) => self).filter(Boolean)).toHaveLength(1)
    expect(status.peers.find(({ self }) => self)?.id).toBe(status.self)
    const stages = status.peers.flatMap(peer => peer.stages.map(({ start, end }) => `${start}-${end}`))
    expect(stages.sort()).toEqual(['0-2', '2-4', '4-6'])
    expect(status.models).toMatchObject([{ name: 'stories15m', layers: 6, coverage: [1, 1, 1, 1, 1, 1] }])
    for (const { hardware } of status.peers) expect(hardware.cores).toBeGreaterThan(0)
    const { code, stdout } = await skein(['status', '--data', at('b')])
    expect(code).toBe(0)
    expect(stdout).toContain('stories15m  111111  every layer is covered')
    expect(stdout).toContain('this one')
  })

  it('answer a prompt from any of the three with the same story', async () => {
    const texts = new Set<string>()
    for (const name of ['a', 'b', 'c']) {
      const { code, stdout, stderr } = await skein([
        'ask',
        'Once upon a time',
        '--data',
        at(name),
        '--max-tokens',
        '30'
      ])
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toContain(story)
      expect(stdout.endsWith('\n')).toBe(true)
      texts.add(stdout)
    }
    expect(texts.size).toBe(1)
  })

  it('tell a program what happens, one object a line', async () => {
    const run = new Skein(['ask', '-', '--data', at('a'), '--max-tokens', '12', '--json'], {
      stdin: 'Once upon a time'
    })
    expect((await run.ended).code).toBe(0)
    const [route, ...rest] = run.events
    const done = rest.pop()
    expect(rest.pop()).toMatchObject({ event: 'stopped', stop: 'length', text: '' })
    expect(route).toMatchObject({
      event: 'route',
      hops: [
        { start: 0, end: 2 },
        { start: 2, end: 4 },
        { start: 4, end: 6 }
      ]
    })
    expect(rest.every(({ event }) => event === 'token')).toBe(true)
    expect(rest).toHaveLength(12)
    const promptIds = done!.promptIds as number[]
    expect(rest.map(({ position }) => position)).toEqual(rest.map((_, i) => promptIds.length + i))
    expect(done).toMatchObject({
      event: 'done',
      text: rest.map(({ text }) => text).join(''),
      ids: rest.map(({ id }) => id),
      stop: 'length',
      timing: { firstTokenMs: expect.any(Number), totalMs: expect.any(Number), tokensPerSecond: expect.any(Number) },
      bytesPerToken: expect.any(Number)
    })
  })

  it('read a prompt from stdin byte for byte', async () => {
    const ids = async (stdin: string): Promise<readonly number[]> => {
      const run = new Skein(['ask', '-', '--data', at('a'), '--max-tokens', '1', '--json'], { stdin })
      expect((await run.ended).code).toBe(0)
      return run.events.find(({ event }) => event === 'done')!.promptIds as number[]
    }
    const plain = await ids('Once upon a time')
    // 13 is llama's byte 0x0A, 30004 its piece for a carriage return.
    expect(await ids('Once upon a time\n')).toEqual([...plain, 13])
    expect(await ids('Once upon a time\r\n')).toEqual([...plain, 30004, 13])
  })

  it('say where the time of each token went: on stderr, and in a file with a track for each hop', async () => {
    const file = at('trace.json')
    const asked = ['--data', at('a'), '--max-tokens', '12', '--no-drafts']
    const scored = await skein(['ask', ...asked, '--logprobs', '1', 'Once upon a time'])
    expect(scored.stderr).toMatch(
      /probability +token +likely, too\n(?:\d+\.\d\d % +".+" *.*\n){12}mean log-probability -\d/
    )
    const shown = await skein(['ask', ...asked, '--trace', 'Once upon a time'])
    const written = await skein(['ask', ...asked, '--trace', file, 'Once upon a time'])
    for (const { code, stdout } of [shown, written]) {
      expect(code).toBe(0)
      expect(stdout).toBe(shown.stdout)
    }
    expect(shown.stderr).toContain('11 laps of 12 over 3 hops')
    for (const row of [
      /^driver +send /m,
      /^to hop 2 +wire /m,
      /^hop 1 .+ layers 2-4 +read /m,
      /^ +sample /m,
      /^ +lap /m
    ])
      expect(shown.stderr).toMatch(row)
    expect(written.stderr).toContain(`12 laps traced in ${file}`)
    const { traceEvents } = JSON.parse(readFileSync(file, 'utf8'))
    const tracks = traceEvents.filter(({ name }: { name: string }) => name === 'thread_name')
    expect(tracks).toHaveLength(4)
    const spans = traceEvents.filter(({ ph }: { ph: string }) => ph === 'X')
    for (let hop = 0; hop < 3; hop++) {
      const { tid } = tracks[hop + 1]
      const names = new Set(
        spans.flatMap((span: { tid: number; name: string }) => (span.tid === tid ? [span.name] : []))
      )
      for (const name of ['out', 'compute', 'back', 'send']) expect(names).toContain(name)
      expect(names.has('sample')).toBe(hop === 2)
    }
    for (const [wrong, why] of [
      [at('none/trace.json'), 'cannot write'],
      [folder, 'whose name ends in .json']
    ]) {
      await expectFailure(skein(['ask', ...asked, '--trace', wrong!, 'Once']), 2, why!)
    }
  })

  it('free every cache when the question is cancelled', async () => {
    const ask = new Skein([
      'ask',
      'Once upon a time',
      '--data',
      at('b'),
      '--json',
      '--max-tokens',
      '200',
      '--temperature',
      '1'
    ])
    await ask.event('token', { times: 3 })
    expect(await ask.end('SIGINT')).toMatchObject({ code: 130, signal: null, stderr: '' })
    for (const name of ['a', 'b', 'c']) {
      const sessions = async (): Promise<number[]> => {
        const status = await statusOf(name)
        return status.peers.filter(({ self }) => self).map(peer => peer.sessions)
      }
      await expect.poll(sessions, { timeout: 10_000, interval: 100 }).toEqual([0])
    }
  })

  it('refuse in a sentence what cannot be answered', async () => {
    const ask = (...args: string[]) => skein(['ask', ...args, '--data', at('a')])
    await expectFailure(ask('x', '--model', 'nobody-has-it'), 3, /nobody-has-it/)
    await expectFailure(ask('word '.repeat(2000)), 2, /context|tokens/)
    expect((await ask('Once upon a time', '--max-tokens', '8')).code).toBe(0)
  })

  it('keep out who has another secret', async () => {
    const stranger = up('d', '0-2', 'other.json')
    await stranger.event('serving')
    // Long enough for every way of discovery to have had its first turns.
    await new Promise(resolve => setTimeout(resolve, 3000))
    const seen = await statusOf('d')
    expect(seen.peers).toHaveLength(1)
    expect(seen.models[0]?.coverage).toEqual([1, 1, 0, 0, 0, 0])
    const pinned = /cannot answer: layers 2-6 are served by nobody: --layers keeps the one peer to layers 0-2\n$/
    await expectFailure(skein(['ask', 'Once upon a time', '--data', at('d')]), 4, pinned)
    expect((await skein(['status', '--data', at('d')])).stdout).toContain(
      'nobody may load layers 2-6, as --layers keeps'
    )
    expect((await statusOf('a')).peers).toHaveLength(3)
    expect(stranger.events.filter(({ event }) => event === 'found')).toEqual([])
    // Told to wait, an answer says what is missing, and goes on as soon as somebody brings it.
    const patient = new Skein(['ask', 'Once upon a time', '--data', at('d'), '--wait', '2m', '--json'])
    const { message } = (await patient.event('waiting')) as { message?: string }
    expect(message).toContain('layers 2-6')
    const rest = up('f', '2-6', 'other.json')
    expect(await patient.ended).toMatchObject({ code: 0 })
    expect(patient.events.at(-1)).toMatchObject({ event: 'done', text: expect.stringContaining(story) })
    expect(await rest.end('SIGINT')).toMatchObject({ code: 0 })
    expect(await stranger.end('SIGINT')).toMatchObject({ code: 0, signal: null })
  })

  it('keep their directory and port to themselves', async () => {
    const again = ['up', '--data', at('a'), '--swarm', at('swarm.json'), ...loopback]
    const second = new Skein(again)
    peers.push(second)
    await expectFailure(second, 3, at('a'))
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const taken = new Skein([
      ...['up', '--data', at('e'), '--swarm', at('swarm.json'), '--no-mdns', '--json', '--stop-with-stdin'],
      ...['--listen', `/ip4/127.0.0.1/tcp/${port}`]
    ])
    peers.push(taken)
    await expectFailure(taken, 4, String(port))
    server.close()
    expect((await statusOf('a')).peers).toHaveLength(3)
  })

  it('say goodbye, so that the others know at once', async () => {
    const [tail, middle] = peers
    expect(await tail!.end('SIGTERM')).toMatchObject({ code: 0, signal: null, stderr: '' })
    await middle!.event('lost', { withinMs: 15_000 })
    await middle!.event('uncovered', { withinMs: 15_000 })
    await expectFailure(skein(['ask', 'Once upon a time', '--data', at('b')]), 4, /layer/)
    expect(() => statSync(join(at('c'), 'control.sock'))).toThrow('ENOENT')
  })
}, 120_000)

describe('bad input to a peer', () => {
  it.each<[string, string[], number, RegExp]>([
    ['no swarm file', ['--swarm', 'missing.json'], 3, /missing\.json/],
    ['a swarm file that is none', ['--swarm', 'garbage.json'], 3, /garbage\.json/],
    ['a budget too small', ['--memory', '1kB'], 2, /kB|MB|byte/],
    ['layers that the model has not', ['--layers', '4-9'], 2, /4-9|\[4, 9\)|6 layers/]
  ])('%s', async (_, args, code, sentence) => {
    writeFileSync(at('garbage.json'), '{"secret":')
    const paths = args.map(arg => (arg.endsWith('.json') ? at(arg) : arg))
    const swarm = args.includes('--swarm') ? [] : ['--swarm', at('swarm.json')]
    const peer = new Skein(['up', '--data', at('bad'), ...swarm, ...loopback, ...paths])
    peers.push(peer)
    await expectFailure(peer, code, sentence)
  })

  it('a model that nobody has', async () => {
    const peer = new Skein(['up', '--data', at('bad'), '--swarm', at('swarm.json'), ...loopback, '--model', 'nothing'])
    peers.push(peer)
    const { code, stderr } = await peer.ended
    expect(stderr).toMatch(/^skein: the model 'nothing' is not here and no live peer offers it.*--wait\n$/)
    expect(code).toBe(3)
  }, 120_000)

  it('a model that nobody has is waited for when told to, and said to be', async () => {
    const flags = ['--swarm', at('swarm.json'), ...loopback, '--model', 'nothing', '--wait']
    const peer = new Skein(['up', '--data', at('bad'), ...flags])
    peers.push(peer)
    const { message } = await peer.event('warning')
    expect(message).toBe("the model 'nothing' is not here and no live peer offers it: waiting for one that does")
    const { stdout } = await skein(['status', '--data', at('bad')])
    expect(stdout).toContain(message)
    expect(await peer.end('SIGINT')).toMatchObject({ code: 0, signal: null, stderr: '' })
  })

  it('a directory from a newer version', async () => {
    mkdirSync(at('newer'))
    writeFileSync(join(at('newer'), 'skein.json'), '{"format":99}')
    const peer = new Skein(['up', '--data', at('newer'), '--swarm', at('swarm.json'), ...loopback])
    peers.push(peer)
    await expectFailure(peer, 3, /newer/)
    expect(readFileSync(join(at('newer'), 'skein.json'), 'utf8')).toBe('{"format":99}')
  })
}, 120_000)
