import { Buffer } from 'node:buffer'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { controlVersion, encodeLine, LineReader, readRequest, readResponse } from '../../src/cli/control.ts'
import {
  askDrain,
  askEmbed,
  askForget,
  askGenerate,
  askRemoveModel,
  askResume,
  askStatus,
  askTraces,
  reachable
} from '../../src/cli/control-client.ts'
import { type ControlServer, serveControl } from '../../src/cli/control-server.ts'
import { controlPulseMs, controlRequestBytesMax, controlSilenceMs } from '../../src/cli/limits.ts'
import {
  type DrainReport,
  type GenerateOptions,
  type Generation,
  type GenerationEvent,
  type RequestTrace,
  type ModelId,
  NotCoveredError,
  SessionFailedError,
  type Status,
  UnknownModelError
} from '../../src/index.ts'

const signal = (): AbortSignal => AbortSignal.timeout(10_000)
const seen = { self: 'me', swarm: 'test', peers: [], models: [], discovery: [], violations: {} } as unknown as Status

let folder = ''
let servers: ControlServer[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-control-'))
})

afterEach(async () => {
  await Promise.all(servers.map(server => server.close()))
  servers = []
  await rm(folder, { recursive: true, force: true })
})

const drained: DrainReport = {
  handedOver: [],
  notTaken: [],
  sessions: 2,
  sessionsLeft: 0,
  answersLeft: 0,
  ms: 12
}

const traced: RequestTrace = {
  request: '7',
  model: null,
  modelName: 'stories',
  startedMs: 0,
  state: 'answered',
  error: null,
  promptTokens: 4,
  tokens: 2,
  firstTokenMs: 10,
  totalMs: 30,
  slowest: { ms: 20, token: 1 },
  route: [],
  happenings: [],
  hops: [],
  laps: [],
  lapsTraced: 0
}

type Script = (prompt: string, options: GenerateOptions) => AsyncIterable<GenerationEvent>

/** Serves scripted answers: what a socket does when answers never end or fail is not up to a real peer. */
async function serve(script: Script, dataDir = folder): Promise<ControlServer> {
  const server = await serveControl(
    {
      status: () => seen,
      traces: name => (name === undefined || name === traced.request ? [traced] : []),
      graph: async name => {
        throw new UnknownModelError(`no graph ${name}`)
      },
      infer: async (_, inputs) => ({ outputs: inputs, computeMs: 1, peer: seen.self }),
      embed: async (_, texts) => ({
        vectors: texts.map(text =>
          text === 'wide' ? new Float32Array(1_000_000).fill(Math.PI) : Float32Array.of(text.length)
        ),
        tokens: texts.map(({ length }) => length),
        cut: texts.map(() => 0)
      }),
      generate: (prompt, options = {}) =>
        ({
          events: () => script(String(prompt), options),
          answer: Promise.reject(new Error('unused'))
        }) as unknown as Generation,
      chat: (messages, options = {}) =>
        ({
          events: () => script(`chat ${JSON.stringify(messages)}`, options),
          answer: Promise.reject(new Error('unused'))
        }) as unknown as Generation,
      resume: (name, options = {}) =>
        ({
          events: () => script(`resume ${name}`, options as GenerateOptions),
          answer: Promise.reject(new Error('unused'))
        }) as unknown as Generation,
      forget: async ({ name, key }) => (name === 'known' && key === '/k' ? 2 : 0),
      drain: async () => drained,
      removeModel: async name => {
        if (name !== 'known') throw new UnknownModelError(`no model '${name}'`)
        return { id: '0123abcd' as ModelId, name, bytesFreed: 5, unreadable: [] }
      },
      makeRoom: async () => {},
      serve: async (name, { layers } = {}) => name === 'known' && layers?.end === 2,
      learnMembers: () => 0,
      unserve: async name => {
        if (name !== 'known') throw new UnknownModelError(`no model '${name}'`)
      }
    },
    dataDir
  )
  servers.push(server)
  return server
}

const token = (position: number, text = 'x'): GenerationEvent => ({ event: 'token', id: 1, text, position, ms: 1 })

async function raw(dataDir = folder): Promise<Socket> {
  const socket = createConnection(join(dataDir, 'control.sock'))
  await once(socket, 'connect')
  return socket
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

describe('lines', () => {
  it('are cut wherever the chunks end', () => {
    const text = Buffer.from('one\ntwö\n\nthree\n')
    for (let size = 1; size <= text.length; size++) {
      const reader = new LineReader(16)
      const lines: string[] = []
      for (let at = 0; at < text.length; at += size) lines.push(...reader.push(text.subarray(at, at + size))!)
      expect(lines).toEqual(['one', 'twö', '', 'three'])
    }
  })

  it('are refused when too long, ended or not', () => {
    expect(new LineReader(4).push(Buffer.from('1234\n'))).toEqual(['1234'])
    expect(new LineReader(4).push(Buffer.from('12345\n'))).toBeUndefined()
    const reader = new LineReader(4)
    expect(reader.push(Buffer.from('123'))).toEqual([])
    expect(reader.push(Buffer.from('45'))).toBeUndefined()
  })
})

describe('messages', () => {
  it.each([
    ['hello', 'no JSON object'],
    ['[]', 'no JSON object'],
    ['{"op":"status"}', 'no JSON object with a version'],
    ['{"v":99,"op":"status"}', 'control version 1, this command version 99'],
    ['{"v":1,"op":"stop"}', 'op'],
    ['{"v":1,"op":"status","more":1}', 'more'],
    ['{"v":1,"op":"generate","options":{}}', 'prompt'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"maxTokens":0}}', 'maxTokens'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"topP":0}}', 'topP'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"temperature":-1}}', 'temperature'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"seed":1.5}}', 'seed'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"special":"yes"}}', 'special'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"cache":"i4"}}', 'cache'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"__proto__":{"a":1}}}', '__proto__'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"session":"n"}}', 'session'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"session":{"name":""}}}', 'session.name'],
    ['{"v":1,"op":"generate","prompt":"x","options":{"session":{"name":"n","ttlMs":0}}}', 'ttlMs'],
    ['{"v":1,"op":"resume","session":{}}', 'session.name'],
    ['{"v":1,"op":"resume","session":{"name":"n","key":"relative"}}', 'absolute'],
    ['{"v":1,"op":"resume","session":{"name":"n","seed":1}}', 'seed'],
    ['{"v":1,"op":"forget","session":{"name":"n","ttlMs":1}}', 'ttlMs']
  ])('refuse %s', (line, part) => {
    expect((readRequest(line) as { refused: string }).refused).toContain(part)
  })

  it('have the type of caches that is asked for', () => {
    const request = { v: controlVersion, op: 'generate', prompt: 'x', options: { cache: 'i8' } }
    expect(readRequest(JSON.stringify(request))).toEqual(request)
  })

  it('have the penalties that are asked for', () => {
    const options = { presencePenalty: -0.5, frequencyPenalty: 1, repetitionPenalty: 1.1 }
    const request = { v: controlVersion, op: 'generate', prompt: 'x', options }
    expect(readRequest(JSON.stringify(request))).toEqual(request)
  })

  it('have the filters that are asked for, of tokens that are named by their ids', () => {
    const request = (logitBias: object) => ({
      ...{ v: controlVersion, op: 'generate', prompt: 'x' },
      options: { minP: 0.1, logitBias }
    })
    expect(readRequest(JSON.stringify(request({ 5: -100 })))).toEqual(request({ 5: -100 }))
    expect((readRequest(JSON.stringify(request({ five: 1 }))) as { refused: string }).refused).toContain('logitBias')
  })

  it('keep the fields that a later version adds to an event', () => {
    const line = JSON.stringify({ kind: 'event', event: { event: 'token', id: 3, news: [1] }, at: 5 })
    expect(readResponse(line)).toMatchObject({ kind: 'event', event: { event: 'token', id: 3, news: [1] } })
    expect(readResponse('{"kind":"event","event":{}}')).toBeUndefined()
    expect(readResponse('{"kind":"error","error":{"name":"E","message":"m","exitCode":0}}')).toBeUndefined()
  })
})

describe('the control socket', () => {
  it('answers a status, for its owner alone', async () => {
    await serve(async function* () {})
    expect(await askStatus(folder, { signal: signal() })).toEqual(seen)
    expect((await stat(join(folder, 'control.sock'))).mode & 0o777).toBe(0o600)
  })

  it('answers with traces of requests, all or one', async () => {
    await serve(async function* () {})
    expect(await askTraces(folder, {}, { signal: signal() })).toEqual([traced])
    expect(await askTraces(folder, { request: '8' }, { signal: signal() })).toEqual([])
  })

  it('hands over the prompt and only the options that were given', async () => {
    const asked: unknown[] = []
    await serve(async function* (prompt, { signal: _, ...options }) {
      asked.push(prompt, options)
      yield token(0, 'ö\n"')
    })
    const events: GenerationEvent[] = []
    const options = { maxTokens: 3, temperature: 0.5, seed: 7, special: true }
    for await (const event of askGenerate(folder, 'Ünce\nupon', options, { signal: signal() })) events.push(event)
    expect(asked).toEqual(['Ünce\nupon', options])
    expect(events).toEqual([token(0, 'ö\n"')])
  })

  it('hands over which session is kept, resumed and forgotten', async () => {
    const asked: unknown[] = []
    await serve(async function* (prompt, { signal: _, ...options }) {
      asked.push(prompt, options)
      yield { event: 'resumed', tokens: 1, text: 'x' }
    })
    const events: GenerationEvent[] = []
    const session = { name: 'n', key: '/k', ttlMs: 5000 }
    for await (const event of askGenerate(folder, 'x', { session }, { signal: signal() })) events.push(event)
    for await (const event of askResume(folder, { name: 'n' }, { signal: signal() })) events.push(event)
    const more = { name: 'n', key: '/k', ttlMs: 5000, maxTokens: 9 }
    for await (const event of askResume(folder, more, { signal: signal() })) events.push(event)
    const { name: _, ...rest } = more
    expect(asked).toEqual(['x', { session }, 'resume n', {}, 'resume n', rest])
    expect(events).toEqual(new Array(3).fill({ event: 'resumed', tokens: 1, text: 'x' }))
    expect(await askDrain(folder, { signal: signal() })).toEqual(drained)
    expect(await askForget(folder, { name: 'known', key: '/k' }, { signal: signal() })).toBe(2)
    expect(await askForget(folder, { name: 'known' }, { signal: signal() })).toBe(0)
  })

  it('is told every minute that the peer works on an answer that has not begun', async () => {
    const asked = Promise.withResolvers<void>()
    const begin = Promise.withResolvers<void>()
    await serve(async function* () {
      asked.resolve()
      await begin.promise
      yield token(0)
    })
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    try {
      const socket = await raw()
      socket.write(encodeLine({ v: controlVersion, op: 'generate', prompt: 'x', options: {} }))
      await asked.promise
      // Longer than a client bears silence.
      for (let ms = 0; ms <= controlSilenceMs; ms += controlPulseMs) vi.advanceTimersByTime(controlPulseMs)
      begin.resolve()
      const kinds = (await readAll(socket)).trimEnd().split('\n')
      expect(kinds.map(line => readResponse(line)?.kind)).toEqual([...new Array(6).fill('working'), 'event', 'end'])
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  it('carries as many numbers of vectors as texts may have', async () => {
    await serve(async function* () {})
    const { vectors } = await askEmbed(folder, { model: 'g', texts: ['wide', 'one'] }, { signal: signal() })
    expect(vectors.map(({ length }) => length)).toEqual([1_000_000, 1])
  })

  it('removes a model, or says why not', async () => {
    await serve(async function* () {})
    const removed = { id: '0123abcd', name: 'known', bytesFreed: 5, unreadable: [] }
    expect(await askRemoveModel(folder, 'known', { signal: signal() })).toEqual(removed)
    await expect(askRemoveModel(folder, 'other', { signal: signal() })).rejects.toMatchObject({
      name: 'UnknownModelError',
      message: "no model 'other'",
      exitCode: 3
    })
  })

  it('carries an error with its name, sentence, exit code and text', async () => {
    await serve(async function* (prompt) {
      yield token(0)
      throw prompt === 'a'
        ? new SessionFailedError('the tail was lost', 'so far')
        : new NotCoveredError('layer 3: 5 MB')
    })
    const run = async (prompt: string): Promise<void> => {
      for await (const _ of askGenerate(folder, prompt, {}, { signal: signal() })) void _
    }
    await expect(run('a')).rejects.toMatchObject({
      name: 'SessionFailedError',
      message: 'the tail was lost',
      exitCode: 5,
      text: 'so far'
    })
    await expect(run('b')).rejects.toMatchObject({ name: 'NotCoveredError', exitCode: 4, message: 'layer 3: 5 MB' })
  })

  it.each(['leaving the loop', 'the signal', 'a killed process'])('cancels the answer on %s', async way => {
    const cancelled = Promise.withResolvers<void>()
    let closed = false
    await serve(async function* (_, options) {
      options.signal!.addEventListener('abort', () => cancelled.resolve())
      try {
        for (let i = 0; ; i++) {
          yield token(i)
          await new Promise(resolve => setImmediate(resolve))
        }
      } finally {
        closed = true
      }
    })
    if (way === 'a killed process') {
      const socket = await raw()
      socket.write(encodeLine({ v: controlVersion, op: 'generate', prompt: 'x', options: {} }))
      await once(socket, 'data')
      socket.destroy()
    } else {
      const stop = new AbortController()
      const run = async (): Promise<void> => {
        for await (const _ of askGenerate(folder, 'x', {}, { signal: stop.signal })) {
          if (way === 'leaving the loop') break
          stop.abort(new Error('enough'))
        }
      }
      if (way === 'the signal') await expect(run()).rejects.toThrow('enough')
      else await run()
    }
    await cancelled.promise
    await expect.poll(() => closed).toBe(true)
  })

  it('generates no further than a slow reader reads', async () => {
    let made = 0
    await serve(async function* () {
      for (;;) yield token(made++, 'x'.repeat(1000))
    })
    const socket = await raw()
    socket.pause()
    socket.write(encodeLine({ v: controlVersion, op: 'generate', prompt: 'x', options: {} }))
    let before = -1
    while (made === 0 || made !== before) {
      before = made
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    // The two ends' socket buffers hold some hundreds of kilobytes; the test would not end if nothing held back.
    expect(made).toBeLessThan(5000)
    socket.destroy()
  })

  it('refuses garbage, a second version and endless requests, and goes on', async () => {
    await serve(async function* () {})
    for (const line of ['garbage\n', '{"v":2,"op":"status"}\n', `${'x'.repeat(controlRequestBytesMax + 1)}\n`]) {
      const socket = await raw()
      socket.on('error', () => {})
      socket.write(line)
      const response = readResponse((await readAll(socket)).trim())
      expect(response).toMatchObject({ kind: 'error', error: { name: 'InvalidOptionError', exitCode: 2 } })
    }
    const mute = await raw()
    mute.destroy()
    expect(await askStatus(folder, { signal: signal() })).toEqual(seen)
  })

  it('says that no peer is running: no folder, no socket, or one that a dead peer left', async () => {
    const message = `no peer is running on ${folder}: start one with skein up --data ${folder} --swarm FILE, without --swarm where it has joined by an invitation`
    await expect(askStatus(folder, { signal: signal() })).rejects.toMatchObject({
      name: 'PeerNotRunningError',
      message
    })
    await expect(askStatus(join(folder, 'none'), { signal: signal() })).rejects.toThrow('no peer is running on')
    await leaveStaleSocket(folder)
    await expect(askStatus(folder, { signal: signal() })).rejects.toMatchObject({ message, exitCode: 4 })
  })

  it('replaces what a dead peer left, and never a live peer', async () => {
    await leaveStaleSocket(folder)
    await serve(async function* () {})
    await expect(serve(async function* () {})).rejects.toMatchObject({ name: 'DataDirectoryError', exitCode: 3 })
    expect(await askStatus(folder, { signal: signal() })).toEqual(seen)
  })

  it('works in a directory deeper than a socket path may be long', async () => {
    const deep = join(folder, 'd'.repeat(100), 'e'.repeat(100))
    await mkdir(deep, { recursive: true })
    expect(await reachable(deep)).toBe(false)
    const server = await serve(async function* () {
      yield token(0)
    }, deep)
    expect((await stat(join(deep, 'control.sock'))).isSocket()).toBe(true)
    expect(await askStatus(deep, { signal: signal() })).toEqual(seen)
    await server.close()
    expect(await reachable(deep)).toBe(false)
    await expect(stat(join(deep, 'control.sock'))).rejects.toThrow('ENOENT')
  })

  it('tells who waits for an answer that the peer stops, and removes the socket', async () => {
    const server = await serve(async function* (_, options) {
      yield token(0)
      await new Promise((_, reject) => options.signal!.addEventListener('abort', () => reject(options.signal!.reason)))
    })
    const run = async (): Promise<void> => {
      for await (const _ of askGenerate(folder, 'x', {}, { signal: signal() })) void server.close()
    }
    await expect(run()).rejects.toMatchObject({ name: 'PeerNotRunningError', exitCode: 4 })
    await server.close()
    await expect(stat(join(folder, 'control.sock'))).rejects.toThrow('ENOENT')
  })

  it('says when what answers is no peer', async () => {
    const other = createServer(socket => {
      socket.on('error', () => {})
      socket.end('HTTP/1.1 400 Bad Request\n')
    })
    other.listen(join(folder, 'control.sock'))
    await once(other, 'listening')
    await expect(askStatus(folder, { signal: signal() })).rejects.toThrow('is no Skein peer')
    other.close()
  })
})

/** A socket file without anybody behind it, as a killed process leaves. */
async function leaveStaleSocket(dataDir: string): Promise<void> {
  const path = join(dataDir, 'control.sock')
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
  expect((await stat(path)).isSocket()).toBe(true)
}
