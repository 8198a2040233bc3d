/** Runs of graphs between peers in memory: what each end checks, whom an asker asks, and what rogues cost. */
import { afterEach, describe, expect, it } from 'vitest'
import { Agenda } from '../../sim/agenda.ts'
import { LifeClock } from '../../sim/life-clock.ts'
import { MemoryWorld } from '../../sim/memory-links.ts'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import type { GraphRun } from '../../src/engine/graph-runtime.ts'
import { EngineError, GraphRunError, NoRoomError } from '../../src/errors.ts'
import { bytesOfHeads, headsOf } from '../../src/infer/assembly.ts'
import { holdersOf, type HeardServer, isComing, serversOf } from '../../src/infer/choice.ts'
import { decodeFrame, encodeFrame } from '../../src/infer/codec.ts'
import {
  inferHeldBytesMax,
  inferHeldBytesPerPeerMax,
  inferPieceBytes,
  inferSilentMs,
  inferWayMs
} from '../../src/infer/limits.ts'
import { type InferFrame, inferProtocol, type TensorHead } from '../../src/infer/message.ts'
import { InferServer } from '../../src/infer/serve-service.ts'
import { Inferring } from '../../src/infer/service.ts'
import { graphPortsMax, tensorsBytesMax } from '../../src/model/limits.ts'
import type { GraphManifest } from '../../src/model/manifest.ts'
import type { StoredGraph } from '../../src/model/stored.ts'
import type { Tensor, Tensors } from '../../src/model/tensors.ts'
import type { Channel, Links } from '../../src/swarm/links.ts'
import type { SwarmRecord } from '../../src/swarm/record.ts'

const id = 'ab'.repeat(32) as ModelId
const peer = (name: string): PeerId => `12D3KooW${name}` as PeerId
const floats = (dims: number[], fill: (i: number) => number = i => i): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, (_, i) => fill(i))
})
const graph = {
  id,
  manifest: {
    name: 'g',
    inputs: [
      { name: 'x', type: 'float32', dims: ['n', 3] },
      { name: 'm', type: 'uint8', dims: ['n'] }
    ],
    outputs: [{ name: 'y', type: 'float32', dims: ['n', 3] }]
  } as unknown as GraphManifest
} as StoredGraph
const inputs = (n: number): Tensors => ({
  x: floats([n, 3]),
  m: { type: 'uint8', dims: [n], data: new Uint8Array(n).fill(1) }
})

type Run = (inputs: Tensors, signal: AbortSignal) => Promise<GraphRun> | GraphRun
const echo: Run = ({ x }) => ({ outputs: { y: x! }, computeMs: 1 })

let world = new MemoryWorld()
let servers: InferServer[] = []
let violations: string[] = []
let heard: HeardServer[] = []
let ours: Links | undefined
/** Of the peer that asks. */
const askerLinks = (): Links => (ours ??= world.join(peer('asker')))
afterEach(async () => {
  await Promise.all(servers.map(server => server.stop()))
  world = new MemoryWorld()
  ours = undefined
  ;[servers, violations, heard] = [[], [], []]
})

function recordOf(of: PeerId, { serving = true, sessions = 0, runMs = 10, leaving = false } = {}): SwarmRecord {
  const models = [{ model: id, held: [{ start: 0, end: 1 }], visitMs: runMs }]
  const stages = [{ model: id, start: 0, end: 1, serving, sessions }]
  return { peer: of, models, stages, leaving } as unknown as SwarmRecord
}

/** A peer that serves the graph as `run` says; the first one is expected to answer first. */
async function serve(
  name: string,
  run: Run,
  clock: Clock = systemClock,
  isServed: () => boolean = () => true
): Promise<{ links: Links; server: InferServer; runs: () => number }> {
  const links = world.join(peer(name))
  let count = 0
  const server = new InferServer({
    links,
    clock,
    served: model =>
      model !== id || !isServed()
        ? undefined
        : {
            name: 'g',
            inputs: graph.manifest.inputs,
            run: async (tensors, { signal }) => {
              count++
              return run(tensors, signal)
            }
          },
    onViolation: (of, _, message) => violations.push(`${of === peer('asker') ? 'asker' : of}: ${message}`)
  })
  await server.start()
  servers.push(server)
  heard.push({ record: recordOf(peer(name), { runMs: 10 * servers.length }), isAtHand: true, rttMs: 1 })
  return { links, server, runs: () => count }
}

function asking(clock: Clock = systemClock): Inferring {
  const links = askerLinks()
  return new Inferring({
    links,
    clock,
    heard: () => heard,
    isHere: async () => false,
    onViolation: (of, _, message) => violations.push(`${of}: ${message}`)
  })
}

const signal = (): AbortSignal => AbortSignal.timeout(20_000)
const until = (holds: () => boolean): Promise<void> => expect.poll(holds, { timeout: 10_000 }).toBe(true)

describe('an asker', () => {
  it('has its tensors back as they were, however many pieces they take', async () => {
    await serve('a', echo)
    const ask = asking()
    for (const n of [1, 5461, 5462, 50_000]) {
      const given = inputs(n)
      const { outputs, peer: by } = await ask.run(graph, given, { signal: signal() })
      expect(outputs.y!.dims).toEqual([n, 3])
      expect(Buffer.from(outputs.y!.data.buffer, outputs.y!.data.byteOffset, outputs.y!.data.byteLength)).toEqual(
        Buffer.from(given.x!.data.buffer)
      )
      expect(by).toBe(peer('a'))
    }
    await until(() => servers[0]!.running === 0)
    expect(violations).toEqual([])
  })

  it.each<[string, Run, number, number]>([
    ['has no room', () => Promise.reject(new NoRoomError('too many wait')), 1, 1],
    ['loses its process', () => Promise.reject(new EngineError('it ended (SIGFPE)')), 1, 1]
  ])('goes on to the next peer when one %s', async (_, run, first, second) => {
    const [a, b] = [await serve('a', run), await serve('b', echo)]
    const { peer: by } = await asking().run(graph, inputs(2), { signal: signal() })
    expect(by).toBe(peer('b'))
    expect([a.runs(), b.runs()]).toEqual([first, second])
  })

  it('asks nobody else when the graph cannot be run with these inputs, nor when two processes died of them', async () => {
    let error: Error = new GraphRunError('index out of range')
    const all = [
      await serve('a', () => Promise.reject(error)),
      await serve('b', () => Promise.reject(error)),
      await serve('c', echo)
    ]
    const ask = asking()
    await expect(ask.run(graph, inputs(1), { signal: signal() })).rejects.toMatchObject({
      name: 'GraphRunError',
      message: 'index out of range'
    })
    expect(all.map(({ runs }) => runs())).toEqual([1, 0, 0])
    error = new EngineError('it ended (SIGFPE)')
    await expect(ask.run(graph, inputs(1), { signal: signal() })).rejects.toThrow('it ended (SIGFPE)')
    expect(all.map(({ runs }) => runs())).toEqual([2, 1, 0])
  })

  it('says when all are busy, and when nobody serves it', async () => {
    await serve('a', () => Promise.reject(new NoRoomError('32 runs wait')))
    const ask = asking()
    await expect(ask.run(graph, inputs(1), { signal: signal() })).rejects.toMatchObject({ name: 'OverloadedError' })
    heard = []
    await expect(ask.run(graph, inputs(1), { signal: signal() })).rejects.toThrow('nobody has its file')
    heard = [{ record: recordOf(peer('a'), { serving: false }), isAtHand: true }]
    setTimeout(() => (heard = [{ record: recordOf(peer('b')), isAtHand: true }]), 300)
    await serve('b', echo)
    heard = heard.slice(0, 1)
    // Somebody is loading it: that is waited for.
    expect((await ask.run(graph, inputs(1), { signal: signal() })).peer).toBe(peer('b'))
  })

  it.each<[string, GraphRun['outputs']]>([
    ['another shape', { y: floats([1, 4]) }],
    ['another type', { y: { type: 'int32', dims: [1, 3], data: new Int32Array(3) } }],
    ['another name', { z: floats([1, 3]) }],
    ['one too many', { y: floats([1, 3]), z: floats([1]) }]
  ])('believes no output of %s: that is counted, and another peer is asked', async (_, outputs) => {
    await serve('a', () => ({ outputs, computeMs: 1 }))
    await serve('b', echo)
    expect((await asking().run(graph, inputs(1), { signal: signal() })).peer).toBe(peer('b'))
    expect(violations).toHaveLength(1)
    expect(violations[0]).toContain(peer('a'))
  })

  it.each([
    [{ deadlineMs: Number.NaN }, 'deadlineMs is a whole number of ms from 1 to 600000, not NaN'],
    [{ deadlineMs: 600_001 }, 'not 600001'],
    [{ waitMs: Number.NaN }, 'waitMs is a whole number of ms from 0 to 86400000, not NaN'],
    [{ waitMs: -1 }, 'not -1']
  ])('with %o is told what would be right', async (options, sentence) => {
    const asked = asking().run(graph, inputs(1), { signal: signal(), ...options })
    await expect(asked).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringContaining(sentence)
    })
  })

  it('that gives up ends the run at its server', async () => {
    let ended = false
    const { server } = await serve('a', async (_, given) => {
      await new Promise(resolve => given.addEventListener('abort', resolve))
      ended = true
      throw given.reason
    })
    const abort = new AbortController()
    const run = asking().run(graph, inputs(1), { signal: abort.signal })
    await until(() => server.running === 1)
    abort.abort(new Error('enough'))
    await expect(run).rejects.toThrow('enough')
    await until(() => ended && server.running === 0)
  })

  it('that loses its server in the middle asks the next one', async () => {
    await serve('a', () => new Promise(() => {}))
    await serve('b', echo)
    const run = asking().run(graph, inputs(1), { signal: signal() })
    await until(() => servers[0]!.running === 1)
    world.kill(peer('a'))
    expect((await run).peer).toBe(peer('b'))
  })
})

describe('a server', () => {
  const heads: TensorHead[] = headsOf(inputs(2))
  const ask = (change: Partial<InferFrame & { kind: 'ask' }> = {}): InferFrame => ({
    kind: 'ask',
    model: id,
    inputs: heads,
    deadlineMs: 1_000,
    ...change
  })
  const piece = (bytes: number): InferFrame => ({ kind: 'piece', data: new Uint8Array(bytes) })

  /** What a server says to some frames, and whether it broke the stream. */
  async function said(
    frames: readonly (InferFrame | Uint8Array)[]
  ): Promise<{ answers: InferFrame[]; broken: boolean }> {
    await serve('a', echo)
    const links = askerLinks()
    const channel = await links.open(peer('a'), inferProtocol, { signal: signal() })
    const answers: InferFrame[] = []
    const { promise, resolve } = Promise.withResolvers<boolean>()
    channel.receive({
      onFrame: bytes => answers.push(decodeFrame(bytes)!),
      onClose: error => resolve(error !== undefined)
    })
    for (const frame of frames) channel.send(frame instanceof Uint8Array ? frame : encodeFrame(frame))
    return { broken: await promise, answers }
  }

  // Rules N1 to N4.
  it.each<[string, (InferFrame | Uint8Array)[], string]>([
    ['bytes that are no frame', [Uint8Array.of(255, 255, 1)], 'cannot be read'],
    ['a piece before an ask', [piece(3)], 'a frame of the kind piece comes where none is due'],
    ['a second ask', [ask(), ask()], 'a frame of the kind ask comes where none is due'],
    ['an answer', [ask(), { kind: 'answer', outputs: [], computeMs: 1 }], 'a frame of the kind answer'],
    ['more bytes than it said', [ask(), piece(100)], 'more bytes come than the tensors have']
  ])('breaks a stream with %s, counts it, and serves on', async (_, frames, sentence) => {
    expect(await said(frames)).toEqual({ broken: true, answers: [] })
    expect(violations).toHaveLength(1)
    expect(violations[0]).toContain(sentence)
    await until(() => servers[0]!.running === 0)
    expect((await asking().run(graph, inputs(1), { signal: signal() })).peer).toBe(peer('a'))
  })

  it.each<[string, InferFrame, string, string]>([
    ['what it does not serve', ask({ model: 'cd'.repeat(32) as ModelId }), 'unknown', 'the graph is not served here'],
    ['other inputs', ask({ inputs: [heads[0]!] }), 'wrong', 'g takes x, m'],
    [
      'inputs of another shape',
      ask({
        inputs: [
          { name: 'x', type: 'float32', dims: [3] },
          { name: 'm', type: 'uint8', dims: [1] }
        ]
      }),
      'wrong',
      'the input x is float32 [n, 3], and has the shape [3]'
    ],
    [
      'inputs that differ in a size of one name',
      ask({
        inputs: [
          { name: 'x', type: 'float32', dims: [1, 3] },
          { name: 'm', type: 'uint8', dims: [2] }
        ]
      }),
      'wrong',
      'the input m has 2 as n, and x has 1'
    ]
  ])('refuses %s in a sentence, which is no violation', async (_, frame, reason, message) => {
    const { answers, broken } = await said([frame, piece(bytesOfHeads((frame as InferFrame & { kind: 'ask' }).inputs))])
    expect(answers).toEqual([{ kind: 'refused', reason, message }])
    expect(broken).toBe(false)
    expect(violations).toEqual([])
  })

  it('holds inputs for nobody longer than their way may take', async () => {
    const timers: { readonly ms: number; readonly task: () => void }[] = []
    const clock: Clock = {
      ...systemClock,
      after: (ms, task) => {
        timers.push({ ms, task })
        // None of them comes by itself: silence would end it, too.
        return systemClock.after(3_600_000, task)
      }
    }
    const { server } = await serve('a', echo, clock)
    const channel = await askerLinks().open(peer('a'), inferProtocol, { signal: signal() })
    const { promise: broken, resolve } = Promise.withResolvers<boolean>()
    channel.receive({ onFrame: () => {}, onClose: error => resolve(error !== undefined) })
    const wayMs = inferWayMs(bytesOfHeads(heads))
    expect(wayMs).not.toBe(inferSilentMs)
    channel.send(encodeFrame(ask()))
    channel.send(encodeFrame(piece(1)))
    await until(() => timers.some(({ ms }) => ms === wayMs))
    expect(server.running).toBe(1)
    timers.find(({ ms }) => ms === wayMs)!.task()
    expect(await broken).toBe(true)
    expect(server.running).toBe(0)
    expect(violations).toEqual([])
  })

  it('sends no refusal after an answer that is not read', async () => {
    const clock: Clock = { ...systemClock, deadline: () => AbortSignal.abort(new Error('nobody reads it')) }
    const rows = (2 << 20) / 12
    await serve('a', () => ({ outputs: { y: floats([Math.ceil(rows), 3]) }, computeMs: 1 }), clock)
    const channel = await askerLinks().open(peer('a'), inferProtocol, { signal: signal() })
    const kinds = new Set<string>()
    const { promise: broken, resolve } = Promise.withResolvers<boolean>()
    channel.receive({
      onFrame: bytes => kinds.add(decodeFrame(bytes)!.kind),
      onClose: error => resolve(error !== undefined)
    })
    channel.send(encodeFrame(ask()))
    channel.send(encodeFrame(piece(bytesOfHeads(heads))))
    expect(await broken).toBe(true)
    expect(kinds).not.toContain('refused')
    await until(() => servers[0]!.running === 0)
  })

  it('holds no more for one peer than its share, and no more for all than its memory for tensors has room for', async () => {
    await serve('a', echo)
    const rows = Math.floor(tensorsBytesMax / 13)
    const large = ask({
      inputs: headsOf({
        x: { ...floats([1, 3]), dims: [rows, 3] },
        m: { type: 'uint8', dims: [rows], data: new Uint8Array(0) }
      })
    })
    const refusals: string[] = []
    const channels: Channel[] = []
    const begin = async (links: Links, by: string): Promise<void> => {
      const channel = await links.open(peer('a'), inferProtocol, { signal: signal() })
      channel.receive({
        onFrame: bytes => {
          const frame = decodeFrame(bytes)!
          refusals.push(frame.kind === 'refused' ? `${by}: ${frame.reason}, ${frame.message}` : frame.kind)
        },
        onClose: () => {}
      })
      channel.send(encodeFrame(large))
      channels.push(channel)
    }
    const share = Math.floor(inferHeldBytesPerPeerMax / tensorsBytesMax)
    const greedy = world.join(peer('greedy'))
    for (let i = 0; i <= share; i++) await begin(greedy, 'greedy')
    const own = 'other runs of yours fill your share of the memory for inputs and outputs here'
    await expect.poll(() => refusals).toEqual([`greedy: busy, ${own}`])
    // What one peer holds is nothing to another one.
    expect((await asking().run(graph, inputs(1), { signal: signal() })).peer).toBe(peer('a'))
    const others = inferHeldBytesMax / tensorsBytesMax - share
    for (let i = 0; i < others; i++) await begin(world.join(peer(`b${i}`)), 'other')
    expect(refusals).toHaveLength(1)
    await begin(world.join(peer('last')), 'last')
    await until(() => refusals.length === 2)
    expect(refusals[1]).toBe('last: busy, others fill the memory for inputs and outputs here')
    for (const channel of channels) channel.abort(new Error('gone'))
    await until(() => servers[0]!.running === 0)
    expect((await asking().run(graph, inputs(1), { signal: signal() })).peer).toBe(peer('a'))
  })

  it('that stops says so to who waits for a run, and another one is asked', async () => {
    const { server } = await serve('a', () => new Promise(() => {}))
    await serve('b', echo)
    const run = asking().run(graph, inputs(1), { signal: signal() })
    await until(() => server.running === 1)
    await server.stop()
    expect((await run).peer).toBe(peer('b'))
    expect(server.running).toBe(0)
    await serve('c', () => new Promise(() => {}))
    heard = heard.slice(2)
    const last = asking().run(graph, inputs(1), { signal: signal() })
    await until(() => servers[2]!.running === 1)
    await servers[2]!.stop()
    await expect(last).rejects.toMatchObject({
      name: 'PeerLeavingError',
      message: expect.stringContaining('this peer is about to go')
    })
  })

  it('that does not serve the graph any more when its run fails has lost nobody', async () => {
    for (const name of ['a', 'b']) {
      let isServed = true
      const run: Run = () => {
        isServed = false
        return Promise.reject(new EngineError('it is not served here any more'))
      }
      await serve(name, run, systemClock, () => isServed)
    }
    await serve('c', echo)
    // Two that lose their process end an ask.
    const run = asking().run(graph, inputs(1), { signal: signal() })
    expect((await run).peer).toBe(peer('c'))
  })
})

describe('a slow link', () => {
  it('may take its time for tensors, which is not in the deadline of the run', { timeout: 120_000 }, async () => {
    const agenda = new Agenda()
    // One piece at a time is on its way for 105 ms: 5 Mbit/s.
    const schedule = (ms: number, task: () => void): void => void agenda.after(ms, task)
    world = new MemoryWorld({ schedule, delayMs: () => 105, highWaterBytes: inferPieceBytes })
    const clock = new LifeClock({ agenda, enter: task => task(), beginMs: 0, drift: 0, wallMs: () => 0 })
    await serve('a', echo, clock)
    const given = inputs(Math.floor(tensorsBytesMax / 13))
    const run = asking(clock).run(graph, given, { signal: signal(), deadlineMs: 1_000 })
    let isOver = false
    const over = run.then(
      () => (isOver = true),
      () => (isOver = true)
    )
    await agenda.live(600_000, () => isOver)
    await over
    expect((await run).outputs.y!.dims).toEqual(given.x!.dims)
    // Both ways, of which either is longer than the deadline by far.
    expect(agenda.nowMs).toBeGreaterThan(190_000)
    expect(agenda.nowMs).toBeLessThan(220_000)
  })
})

describe('a frame', () => {
  const frames: InferFrame[] = [
    { kind: 'ask', model: id, inputs: headsOf(inputs(2)), deadlineMs: 5 },
    { kind: 'piece', data: Uint8Array.of(1, 2) },
    { kind: 'answer', outputs: [{ name: 'y', type: 'bool', dims: [] }], computeMs: 0.5 },
    { kind: 'refused', reason: 'leaving', message: 'soon' }
  ]
  it.each(frames)('of the kind $kind is read as it was written', frame => {
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame)
  })

  const head = (change: Partial<TensorHead>): InferFrame => ({
    kind: 'answer',
    computeMs: 1,
    outputs: [{ name: 'y', type: 'float32', dims: [1], ...change }]
  })
  it.each<[string, InferFrame, string]>([
    ['too many bytes', head({ dims: [4096, 4097] }), 'over 67108864 bytes'],
    ['sizes beyond all numbers', head({ dims: new Array<number>(16).fill(2 ** 31) }), 'over 67108864 bytes'],
    ['a size of 0', head({ dims: [0, 3] }), 'has a size of 0'],
    ['a name that moves the cursor', head({ name: '\u001b[2J' }), 'control characters'],
    ['a piece of nothing', { kind: 'piece', data: new Uint8Array(0) }, 'a piece has 0 bytes'],
    ['a piece that is too long', { kind: 'piece', data: new Uint8Array(inferPieceBytes + 1) }, 'a piece has'],
    [
      'a tensor twice',
      { kind: 'answer', computeMs: 1, outputs: [0, 1].map(() => ({ name: 'y', type: 'bool' as const, dims: [] })) },
      'is there twice'
    ],
    [
      'too many tensors',
      {
        kind: 'answer',
        computeMs: 1,
        outputs: Array.from({ length: graphPortsMax + 1 }, (_, i) => ({
          name: `${i}`,
          type: 'bool' as const,
          dims: []
        }))
      },
      'cannot be read'
    ],
    ['no time', { kind: 'answer', computeMs: Number.NaN, outputs: [] }, 'computeMs is NaN']
  ])('with %s is refused', (_, frame, sentence) => {
    expect(() => decodeFrame(encodeFrame(frame))).toThrow(sentence)
  })

  it('has the names that a manifest may have', () => {
    const frame = head({ name: 'x\ue000' })
    expect(decodeFrame(encodeFrame(frame))).toEqual(frame)
  })

  it('of a later revision is ignored', () => {
    // Field 9, a message.
    expect(decodeFrame(Uint8Array.of(74, 2, 8, 1))).toBeUndefined()
  })
})

describe('who is asked', () => {
  const server = (name: string, more: object = {}, rest: object = {}): HeardServer => ({
    record: recordOf(peer(name), more),
    isAtHand: true,
    rttMs: 2,
    ...rest
  })
  it('is who is expected to answer first, of those at hand, and of those who go only the last', () => {
    const all = [
      server('far', {}, { rttMs: 500 }),
      server('busy', { sessions: 5 }),
      server('slow', { runMs: 40 }),
      server('quick'),
      server('goes', { leaving: true, runMs: 1 }),
      server('out of reach', { runMs: 1 }, { isAtHand: false }),
      server('loading', { serving: false })
    ]
    const order = ['quick', 'slow', 'busy', 'far', 'goes'].map(peer)
    expect(serversOf(all, id)).toEqual(order)
    expect(serversOf(all.toReversed(), id)).toEqual(order)
    expect(serversOf(all, 'ff'.repeat(32) as ModelId)).toEqual([])
    expect([isComing(all, id), isComing(all.slice(0, 3), id)]).toEqual([true, false])
    expect(holdersOf(all, id)).toBe(7)
  })
})
