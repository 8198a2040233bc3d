/** Graphs that are no decoders, served by some peers of a swarm and asked from any: real peers over libp2p, the real runtime. */
import { execFileSync } from 'node:child_process'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { graphGiveUpMs } from '../../src/engine/limits.ts'
import { whyNotInstalled } from '../../src/engine/onnx/installed.ts'
import {
  importGraph,
  onnxEngine,
  type Peer,
  type PeerInit,
  type Tensor,
  type Tensors,
  wasmEngine
} from '../../src/index.ts'
import { openLibrary } from '../../src/model/library.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { embedder, found, loop, tripled } from '../model/tiny-graphs.ts'
import { readExposition, total } from '../exposition.ts'
import { needs } from '../needs.ts'
import { livePeers } from './live-peers.ts'

const live = livePeers('infer')
const shipped = join(import.meta.dirname, '../../models/stories15m')
const memoryBytes = 400e6
const floats = (dims: number[], ...values: number[]): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from(values)
})
const row = { x: floats([1, 4], 1, 2, 3, 4) }

/** A data directory that has a graph of that name. */
async function withGraph(name: string, bytes: Uint8Array, tokenizer?: string): Promise<string> {
  const dataDir = await live.folder()
  const source = join(dataDir, `${name}.onnx`)
  await writeFile(source, bytes)
  await importGraph({ source, dataDir, name, ...(tokenizer === undefined ? {} : { tokenizer }) })
  return dataDir
}

const serve = (init: Omit<PeerInit, 'dataDir'> & { dataDir?: string }): Promise<Peer> =>
  live.start({ memoryBytes, ...init })
/** A peer that holds nothing, and has no runtime of graphs. */
const asker = (swarm: PeerInit['swarm']): Promise<Peer> => live.start({ swarm, memoryBytes: 0, engines: [wasmEngine] })

/** Processes of graphs that this one has started, the oldest first. */
function workers(): number[] {
  const ps = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
  const pids = ps.split('\n').flatMap(line => (line.includes('graph-worker') ? [Number.parseInt(line, 10)] : []))
  return pids.toSorted((a, b) => a - b)
}

const servers = (peer: Peer, name: string): number =>
  peer.status().models.find(model => model.name === name)?.coverage[0] ?? 0
const served = (peer: Peer, name: string, count = 1): Promise<void> =>
  expect.poll(() => servers(peer, name), { timeout: 30_000 }).toBe(count)

describe('a graph', needs(whyNotInstalled()), () => {
  it('is asked by a peer without the runtime, fetched by another one that has it, and answered by that when the first has gone', {
    timeout: 120_000
  }, async () => {
    const swarm = newSwarm('infer')
    const first = await serve({ swarm, dataDir: await withGraph('tripled', tripled()), model: 'tripled' })
    const asking = await asker(swarm)
    await served(asking, 'tripled')
    const { outputs, peer, computeMs } = await asking.infer('tripled', row)
    expect(outputs).toEqual({ y: floats([1, 4], 3, 6, 9, 12), sum: floats([1], 30) })
    expect(peer).toBe(first.id)
    expect(computeMs).toBeGreaterThan(0)
    expect((await first.infer('tripled', row)).outputs).toEqual(outputs)

    const second = await serve({ swarm, model: 'tripled' })
    await served(asking, 'tripled', 2)
    const own = second.status().peers.find(({ self }) => self)!
    expect(own.usedBytes).toBeGreaterThan(256 << 20)
    expect(own.usedBytes).toBeLessThanOrEqual(memoryBytes)
    await first.stop()
    const again = await asking.infer('tripled', row)
    expect(again.outputs).toEqual(outputs)
    expect(again.peer).toBe(second.id)
    await second.unserve('tripled')
    await served(asking, 'tripled', 0)
    await expect(asking.infer('tripled', row)).rejects.toThrow('no peer that can be reached serves the graph tripled')
  })

  it('goes on at another peer when the one that runs it goes or its process dies in the middle', {
    timeout: 120_000
  }, async () => {
    const swarm = newSwarm('dies')
    const dataDir = await withGraph('loop', loop(500_000))
    const first = await serve({ swarm, dataDir, model: 'loop' })
    const second = await serve({ swarm, model: 'loop' })
    const asking = await asker(swarm)
    await served(asking, 'loop', 2)
    const x = floats([1], 1)
    const { outputs, peer, computeMs } = await asking.infer('loop', { x })
    expect(outputs.y!.data[0]).toBe(500_001)

    const timeOf = (id: string): number => asking.status().peers.find(each => each.id === id)!.timings[0]!.visitMs
    await expect.poll(() => timeOf(peer)).toBeGreaterThan(0)
    // Who has shown how long a run takes is expected to be slower than who has not: the next one is at the other peer.
    const other = [first, second].find(({ id }) => id !== peer)!
    const one = [first, second].find(({ id }) => id === peer)!
    const [ofFirst, ofSecond] = workers()
    const running = asking.infer('loop', { x })
    setTimeout(() => process.kill(other === first ? ofFirst! : ofSecond!, 'SIGFPE'), computeMs / 4)
    expect(await running).toMatchObject({ outputs, peer: one.id })
    expect(asking.status().peers).toHaveLength(3)
    expect(servers(asking, 'loop')).toBe(2)

    await expect.poll(() => other.status().peers.find(({ self }) => self)!.sessions).toBe(0)
    const moved = asking.infer('loop', { x })
    setTimeout(() => void one.stop(), computeMs / 2)
    expect((await moved).outputs).toEqual(outputs)
    await served(asking, 'loop', 1)
    const last = await asking.infer('loop', { x })
    expect(last).toMatchObject({ outputs, peer: other.id })
    const lost = asking.infer('loop', { x })
    setTimeout(() => void other.stop(), computeMs / 4)
    await expect(lost).rejects.toMatchObject({ name: 'PeerLeavingError' })
  })

  it('that could not be loaded anew is served again when it can be', { timeout: 120_000 }, async () => {
    const dataDir = await withGraph('tripled', tripled())
    const warnings: string[] = []
    const peer = await serve({ swarm: newSwarm('again'), dataDir, model: 'tripled' })
    peer.addEventListener('warning', ({ detail }) => warnings.push(detail.message))
    await served(peer, 'tripled')
    const store = await openLibrary(dataDir)
    const { shards } = (await store.resolve('tripled')).manifest
    const file = join(dataDir, 'models', 'shards', shards[0]!.sha256)
    await rename(file, `${file}.away`)
    process.kill(workers()[0]!, 'SIGKILL')
    await expect.poll(workers).toEqual([])
    await expect(peer.infer('tripled', row)).rejects.toThrow()
    expect(warnings[0]).toMatch(
      /^the graph tripled is not served here for now: .*\. It is loaded anew in 5 s, and then ever more rarely, until skein unserve$/
    )
    expect(servers(peer, 'tripled')).toBe(0)
    // Who asks is not kept waiting.
    await expect(peer.infer('tripled', row)).rejects.toMatchObject({ name: 'NotCoveredError' })
    await rename(`${file}.away`, file)
    await served(peer, 'tripled')
    expect((await peer.infer('tripled', row)).outputs.sum!.data[0]).toBe(30)
    expect(warnings).toHaveLength(1)
  })

  it('is ended by the one who asked, and at its deadline', { timeout: 120_000 }, async () => {
    const swarm = newSwarm('late')
    const server = await serve({ swarm, dataDir: await withGraph('loop', loop(2_000_000_000)), model: 'loop' })
    const asking = await asker(swarm)
    await served(asking, 'loop')
    const abort = new AbortController()
    const running = asking.infer('loop', { x: floats([1], 1) }, { signal: abort.signal })
    setTimeout(() => abort.abort(new Error('enough')), 300)
    await expect(running).rejects.toThrow('enough')
    // The process of the one that was given up has a moment more: until then it is no one else's turn.
    const behind = asking.infer('loop', { x: floats([1], 1) }, { deadlineMs: 100 })
    await expect(behind).rejects.toThrow('the turn of a run of loop did not come within 100 ms')
    await expect(behind).rejects.toMatchObject({ name: 'OverloadedError' })
    const late = asking.infer('loop', { x: floats([1], 1) }, { deadlineMs: 2 * graphGiveUpMs })
    await expect(late).rejects.toThrow(`a run of loop took longer than ${2 * graphGiveUpMs} ms`)
    expect(server.status().violations).toEqual({})
  })

  it('that finds nothing says so, and its server has broken no rule', { timeout: 120_000 }, async () => {
    const swarm = newSwarm('found')
    await serve({ swarm, dataDir: await withGraph('found', found()), model: 'found' })
    const asking = await asker(swarm)
    await served(asking, 'found')
    const { outputs } = await asking.infer('found', { x: floats([4], 0, 1, 0, 2) })
    expect(outputs.at).toEqual({ type: 'int64', dims: [1, 2], data: BigInt64Array.of(1n, 3n) })
    const nothing = asking.infer('found', { x: floats([4], 0, 0, 0, 0) })
    await expect(nothing).rejects.toThrow('the output at has the shape [1, 0]')
    await expect(nothing).rejects.toMatchObject({ name: 'GraphRunError' })
    expect(asking.status().violations).toEqual({})
  })

  it('says what is wrong with its inputs before anybody is asked', { timeout: 120_000 }, async () => {
    const swarm = newSwarm('wrong')
    const peer = await serve({ swarm, dataDir: await withGraph('tripled', tripled()), model: 'tripled' })
    await served(peer, 'tripled')
    const cases: [Tensors, string][] = [
      [{}, 'tripled needs x, too: it takes x (float32 [n, 4])'],
      [{ ...row, z: row.x }, 'tripled has no input "z": it takes x (float32 [n, 4])'],
      [{ x: floats([4], 1, 2, 3, 4) }, 'the input x is float32 [n, 4], and has the shape [4]'],
      [{ x: floats([1, 4], 1, 2) }, 'the input x has 2 values, and its shape [1, 4] holds 4'],
      [{ x: floats([0, 4]) }, 'the input x has the shape [0, 4]: every size of it must be a whole number from 1 on'],
      [{ x: { type: 'int32', dims: [1, 4], data: new Int32Array(4) } }, 'the input x is float32 [n, 4], not int32'],
      [
        { x: { type: 'float32', dims: [1, 4], data: new Int32Array(4) } },
        'the input x is float32 and needs its data as Float32Array'
      ],
      [{ x: { ...row.x, dims: [5_000_000, 4], data: new Float32Array(20_000_000) } }, 'at most 67108864 are taken']
    ]
    for (const [inputs, sentence] of cases) {
      await expect(peer.infer('tripled', inputs)).rejects.toThrow(sentence)
      await expect(peer.infer('tripled', inputs)).rejects.toMatchObject({ name: 'InvalidOptionError', exitCode: 2 })
    }
    const decoder = peer.infer('stories15m', row)
    await expect(decoder).rejects.toMatchObject({ name: 'WrongModelKindError' })
    await expect(decoder).rejects.toThrow(
      'stories15m continues text and is no graph: skein ask --model stories15m asks it'
    )
    const generation = peer.generate('Once', { model: 'tripled' })
    const read = (async (): Promise<void> => {
      for await (const _token of generation);
    })()
    generation.answer.catch(() => {})
    await expect(read).rejects.toThrow('tripled is a graph and continues no text: skein infer tripled asks it')
    await expect(peer.embed('tripled', ['a'])).rejects.toThrow('tripled has no tokenizer')
    await expect(peer.infer('nothing', row)).rejects.toMatchObject({ name: 'UnknownModelError' })
    const runs = readExposition(peer.metrics()).filter(({ name }) => name === 'skein_graph_requests_total')
    expect(runs.map(({ labels: { operation, model, outcome } }) => [operation, model, outcome])).toEqual(
      expect.arrayContaining([
        ['infer', 'tripled', 'InvalidOptionError'],
        ['infer', '', 'UnknownModelError']
      ])
    )
  })

  it('embeds texts by its own tokenizer, many at once', { timeout: 120_000 }, async () => {
    const store = await openLibrary(await live.folder())
    const { manifest } = await store.resolve('stories15m')
    const dataDir = await withGraph('embedder', embedder(), join(shipped, 'shards', manifest.tokenizer!.sha256))
    const peer = await serve({ swarm: newSwarm('embed'), dataDir, model: 'embedder' })
    await served(peer, 'embedder')
    const texts = ['Once upon a time', 'a', ...Array.from({ length: 40 }, (_, i) => `the number ${i}`)]
    const { vectors, tokens, cut } = await peer.embed('embedder', texts)
    expect(vectors).toHaveLength(42)
    expect(cut.every(count => count === 0)).toBe(true)
    expect(tokens[0]).toBeGreaterThan(tokens[1]!)
    for (const vector of vectors) {
      expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
      // Ids, their doubles, and the mask, which is 1 for each token that counts: padding would show in its mean.
      expect(vector[1]! / vector[0]!).toBeCloseTo(2, 4)
    }
    const [one] = (await peer.embed('embedder', ['Once upon a time'])).vectors
    expect([...vectors[0]!]).toEqual([...one!])
    await expect(peer.embed('unheard-of', texts)).rejects.toThrow('unheard-of')
    const counted = readExposition(peer.metrics())
    const embeddings = (labels: Record<string, string>): number =>
      total(counted, 'skein_graph_requests_total', { operation: 'embeddings', ...labels })
    expect(embeddings({ model: 'embedder', outcome: 'done' })).toBe(2)
    expect(embeddings({ model: '', outcome: 'UnknownModelError' })).toBe(1)
    expect(total(counted, 'skein_graph_request_seconds_count')).toBe(2)
    const asked = { gen_ai_operation_name: 'embeddings', gen_ai_request_model: 'embedder', error_type: '' }
    expect(total(counted, 'gen_ai_server_request_duration_seconds_count', asked)).toBe(2)
    expect(peer.metrics()).not.toContain('unheard-of')
  })

  it('is served where there is a runtime and room for it, whole', { timeout: 120_000 }, async () => {
    const swarm = newSwarm('room')
    const dataDir = await withGraph('tripled', tripled())
    const without = serve({ swarm, dataDir, model: 'tripled', engines: [wasmEngine] })
    await expect(without).rejects.toThrow(
      'this peer cannot run the graph tripled: none of its engines runs graphs, onnx does'
    )
    const small = serve({ swarm, dataDir, model: 'tripled', memoryBytes: 10e6 })
    await expect(small).rejects.toThrow('a budget of 10.0 MB cannot hold the graph tripled: it takes')
    const cut = serve({ swarm, dataDir, model: 'tripled', layers: { start: 0, end: 1 } })
    await expect(cut).rejects.toThrow('tripled is a graph and served whole: it goes without layers')
    const both = await serve({
      swarm,
      dataDir,
      models: [{ model: 'stories15m' }, { model: 'tripled' }],
      engines: [wasmEngine, onnxEngine]
    })
    await served(both, 'tripled')
    await expect.poll(() => servers(both, 'stories15m'), { timeout: 30_000 }).toBe(1)
    // Who names no model means the one that continues text.
    const generation = both.generate('Once upon a time', { maxTokens: 3 })
    for await (const _token of generation);
    expect((await generation.answer).ids).toHaveLength(3)
    expect((await both.infer('tripled', row)).outputs.sum!.data[0]).toBe(30)
    const draft = live.start({
      swarm: newSwarm('draft'),
      draft: 'tripled',
      memoryBytes,
      dataDir: await withGraph('tripled', tripled())
    })
    await expect(draft).rejects.toThrow('tripled is a graph and continues no text')
  })

  it('shares a budget with others that come at the same time', { timeout: 120_000 }, async () => {
    const dataDir = await withGraph('tripled', tripled())
    await writeFile(join(dataDir, 'loop.onnx'), loop(3))
    await importGraph({ source: join(dataDir, 'loop.onnx'), dataDir, name: 'loop' })
    const peer = await serve({ swarm: newSwarm('twins'), dataDir, model: 'stories15m' })
    const both = await Promise.allSettled([peer.serve('tripled'), peer.serve('loop')])
    const taken = peer.status().peers.find(({ self }) => self)!.usedBytes!
    expect(taken).toBeLessThanOrEqual(memoryBytes)
    const refused = both.filter(({ status }) => status === 'rejected')
    expect(refused).toHaveLength(1)
    const beside =
      'beside the .* of what is held whole already and the .* that stages need at least: it takes \\d{9} bytes'
    expect(refused[0]).toMatchObject({
      reason: {
        name: 'BudgetTooSmallError',
        message: expect.stringMatching(`^a budget of 400 MB cannot hold the graph (tripled|loop) ${beside}`)
      }
    })
  })
})
