/** Graphs in ONNX Runtime, each in a process of its own: what they give, and what becomes of those that fail, hang or die. */
import { type ChildProcess, execFileSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { GraphRun, LoadedGraph } from '../../src/engine/graph-runtime.ts'
import { graphGiveUpMs, graphRunsMax } from '../../src/engine/limits.ts'
import { GraphProcess } from '../../src/engine/onnx/graph-process.ts'
import { onnxGraphs } from '../../src/engine/onnx/graphs.ts'
import { whyNotInstalled } from '../../src/engine/onnx/installed.ts'
import type { GraphManifest } from '../../src/model/manifest.ts'
import type { Tensor } from '../../src/model/tensors.ts'
import { embedder, hungry, loop, outside, tripled } from '../model/tiny-graphs.ts'
import { needs } from '../needs.ts'

const signal = new AbortController().signal
const deadlineMs = 30_000
let folder = ''
const loaded: LoadedGraph[] = []

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'skein-graphs-'))
})
afterEach(async () => {
  for (const graph of loaded.splice(0)) await graph.close()
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function graph(bytes: Uint8Array, bytesMax?: number): Promise<GraphProcess> {
  const file = path.join(folder, 'graph.onnx')
  await writeFile(file, bytes)
  const manifest = { name: 'g', shards: [{ bytes: bytes.length }] } as unknown as GraphManifest
  const init = { manifest, file, threads: 1, bytesMax: bytesMax ?? onnxGraphs.footprint(manifest) }
  const made = await GraphProcess.load(init, signal)
  loaded.push(made)
  return made
}

const floats = (dims: number[], ...values: number[]): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from(values)
})
const one = { x: floats([1], 1) }

/** Processes that this one has started. */
function children(): number[] {
  const text = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], { encoding: 'utf8' })
  return text
    .split('\n')
    .filter(line => line.includes('graph-worker'))
    .map(line => Number.parseInt(line, 10))
}

/** Ends the one that there is, and gives this process a moment to hear of it. */
async function killed(): Promise<void> {
  process.kill(children()[0]!, 'SIGKILL')
  await expect.poll(children).toEqual([])
  await delay(200)
}

describe('a graph', needs(whyNotInstalled()), () => {
  it('gives each output with its type and shape, whatever sizes are open', async () => {
    const g = await graph(tripled())
    for (const n of [1, 3]) {
      const values = Array.from({ length: 4 * n }, (_, i) => i)
      const { outputs, computeMs } = await g.run({ x: floats([n, 4], ...values) }, { deadlineMs, signal })
      expect(outputs.y).toEqual(floats([n, 4], ...values.map(value => 3 * value)))
      expect(outputs.sum!.dims).toEqual([n])
      expect(computeMs).toBeGreaterThan(0)
    }
  })

  it('takes integers of 64 bits', async () => {
    const g = await graph(embedder())
    const ids = (values: bigint[]): Tensor => ({ type: 'int64', dims: [1, 2], data: BigInt64Array.from(values) })
    const inputs = { input_ids: ids([5n, 6n]), attention_mask: ids([1n, 0n]) }
    const { outputs } = await g.run(inputs, { deadlineMs, signal })
    expect(outputs.last_hidden_state).toEqual(floats([1, 2, 3], 5, 10, 1, 6, 12, 0))
  })

  it('that refuses its inputs says so in one line, and runs the next ones', async () => {
    const g = await graph(tripled())
    const refused = g.run({ x: floats([2, 3], 1, 2, 3, 4, 5, 6) }, { deadlineMs, signal })
    await expect(refused).rejects.toThrow(/^the graph g cannot be run with these inputs: [^\n]*$/)
    await expect(refused).rejects.toMatchObject({ name: 'GraphRunError', exitCode: 2 })
    expect((await g.run({ x: floats([1, 4], 1, 2, 3, 4) }, { deadlineMs, signal })).outputs.y!.data[3]).toBe(12)
  })

  it('runs for several, one after the other, and says when too many wait', async () => {
    const g = await graph(loop(10_000))
    const runs = Array.from({ length: graphRunsMax + 1 }, () => g.run(one, { deadlineMs, signal }))
    expect(g.busy).toBe(graphRunsMax + 1)
    await expect(g.run(one, { deadlineMs, signal })).rejects.toMatchObject({ name: 'NoRoomError' })
    for (const { outputs } of await Promise.all(runs)) expect(outputs.y!.data[0]).toBe(10_001)
    expect(g.busy).toBe(0)
  })

  it('keeps neither a place nor tensors for those who wait no more', async () => {
    const g = await graph(loop(2_000_000_000))
    const ends = [expect(g.run(one, { deadlineMs, signal })).rejects.toThrow('not served here any more')]
    const abort = new AbortController()
    for (let i = 0; i < graphRunsMax; i++) {
      ends.push(expect(g.run(one, { deadlineMs, signal: abort.signal })).rejects.toThrow('enough'))
    }
    expect(g.busy).toBe(graphRunsMax + 1)
    abort.abort(new Error('enough'))
    expect(g.busy).toBe(1)
    ends.push(expect(g.run(one, { deadlineMs, signal })).rejects.toThrow('not served here any more'))
    await g.close()
    await Promise.all(ends)
  })

  it('that never ends is ended a moment after its deadline, and the next run has another process', {
    timeout: 120_000
  }, async () => {
    const g = await graph(loop(2_000_000_000))
    const [before] = children()
    const late = g.run(one, { deadlineMs: 500, signal })
    const turn = g.run(one, { deadlineMs: 1_000, signal })
    const behind = g.run(one, { deadlineMs, signal })
    await expect(late).rejects.toThrow('a run of g took longer than 500 ms')
    await expect(late).rejects.toMatchObject({ name: 'DeadlineError' })
    // Its process has a moment more, and whose turn does not come by then is told so.
    await expect(turn).rejects.toThrow('the turn of a run of g did not come within 1000 ms')
    await expect(turn).rejects.toMatchObject({ name: 'NoRoomError' })
    expect(children()).toEqual([before])
    await expect.poll(children, { timeout: 2 * graphGiveUpMs }).not.toContain(before)
    // It is made for who waits behind it.
    await expect.poll(children, { timeout: 10_000 }).toHaveLength(1)
    const ends = expect(behind).rejects.toThrow('not served here any more')
    await g.close()
    await ends
  })

  it('keeps its process where a run is given less time than it takes, and where who asked goes', {
    timeout: 120_000
  }, async () => {
    const g = await graph(loop(500_000))
    const before = children()
    for (let i = 0; i < 3; i++) {
      await expect(g.run(one, { deadlineMs: 1, signal })).rejects.toThrow(
        /of g (took longer than|did not come within) 1 ms/
      )
    }
    const abort = new AbortController()
    const abandoned = g.run(one, { deadlineMs, signal: abort.signal })
    setTimeout(() => abort.abort(new Error('enough')), 20)
    await expect(abandoned).rejects.toThrow('enough')
    expect((await g.run(one, { deadlineMs, signal })).outputs.y!.data[0]).toBe(500_001)
    expect(children()).toEqual(before)
  })

  it('whose process cannot be talked to any more leaves none behind', async () => {
    const started: ChildProcess[] = []
    const onStart = (message: unknown): void => void started.push((message as { process: ChildProcess }).process)
    subscribe('child_process', onStart)
    const g = await graph(tripled()).finally(() => unsubscribe('child_process', onStart))
    const worker = started.find(({ spawnargs }) => spawnargs.some(each => each.includes('graph-worker')))!
    // It stands still, and hears nothing of its end of the pipe.
    process.kill(worker.pid!, 'SIGSTOP')
    worker.disconnect()
    const run = g.run({ x: floats([1, 4], 1, 2, 3, 4) }, { deadlineMs, signal })
    await expect(run).rejects.toThrow('what runs the graph g ended')
    await expect.poll(children).toEqual([])
    expect((await g.run({ x: floats([1, 4], 1, 2, 3, 4) }, { deadlineMs, signal })).outputs.y!.data[3]).toBe(12)
  })

  it('whose process dies costs the run that was under way, and this process nothing', async () => {
    const g = await graph(loop(500_000))
    const run = g.run(one, { deadlineMs, signal })
    const [pid] = children()
    setTimeout(() => process.kill(pid!, 'SIGFPE'), 200)
    await expect(run).rejects.toThrow('what runs the graph g ended (SIGFPE)')
    await expect(run).rejects.toMatchObject({ name: 'EngineError' })
    await expect(g.run(one, { deadlineMs, signal })).resolves.toMatchObject({ outputs: { y: { dims: [1] } } })
    expect(g.isLost).toBe(false)
  })

  it('is loaded to the end for those who come next, where the one for whom it is loaded anew waits no more', {
    timeout: 120_000
  }, async () => {
    const g = await graph(tripled())
    const [before] = children()
    process.kill(before!, 'SIGKILL')
    await expect.poll(children, { timeout: 10_000 }).toEqual([])
    // Until its end has been told.
    await delay(200)
    const abort = new AbortController()
    const row = { x: floats([1, 4], 1, 2, 3, 4) }
    const abandoned = g.run(row, { deadlineMs, signal: abort.signal })
    const next = g.run(row, { deadlineMs, signal })
    // It stands still, as if loading took long.
    const [pid] = children()
    process.kill(pid!, 'SIGSTOP')
    abort.abort(new Error('enough'))
    await expect(abandoned).rejects.toThrow('enough')
    await delay(1.5 * graphGiveUpMs)
    expect(children()).toEqual([pid])
    process.kill(pid!, 'SIGCONT')
    expect((await next).outputs.y!.data[3]).toBe(12)
    expect(children()).toEqual([pid])
    expect(g.isLost).toBe(false)
  })

  it('that takes more memory than it may have is ended, with what would help', async () => {
    await expect(graph(loop(3), 1 << 20)).rejects.toThrow(/^the graph g took .* MB of memory, and may have 1.0 MB$/)
    const g = await graph(hungry())
    const ask = (n: bigint): Promise<GraphRun> =>
      g.run({ n: { type: 'int64', dims: [1], data: BigInt64Array.of(n) } }, { deadlineMs, signal })
    expect((await ask(3n)).outputs.y!.data[0]).toBe(3 * 4096)
    await expect(ask(40_000n)).rejects.toThrow(
      /^the graph g took .* MB of memory, and may have .* MB: ask with less at once$/
    )
    expect((await ask(3n)).outputs.y!.data[0]).toBe(3 * 4096)
  })

  it('that cannot be loaded says why', async () => {
    await writeFile(path.join(folder, 'secret'), new Float32Array([7]))
    await expect(graph(outside('secret'))).rejects.toThrow('it keeps the weights of secret in another file')
    await expect(graph(tripled().subarray(0, 100))).rejects.toMatchObject({ name: 'EngineError' })
    expect(children()).toEqual([])
  })

  it('that cannot be loaded anew is lost, and says to whoever asks not where its file lies', async () => {
    const g = await graph(tripled())
    await rm(path.join(folder, 'graph.onnx'))
    await killed()
    const run = g.run({ x: floats([1, 4], 1, 2, 3, 4) }, { deadlineMs, signal })
    const sentence: string = await run.then(
      () => '',
      (error: Error) => error.message
    )
    expect(sentence).toMatch(/^the graph g cannot be loaded: .*no such file/)
    expect(sentence).not.toContain(folder)
    expect(g.isLost).toBe(true)
  })

  it('that is closed leaves no process and nobody waiting', async () => {
    const g = await graph(loop(2_000_000_000))
    const runs = [g.run(one, { deadlineMs, signal }), g.run(one, { deadlineMs, signal })]
    const ends = Promise.all(runs.map(run => expect(run).rejects.toThrow('not served here any more')))
    await g.close()
    await ends
    await expect(g.run(one, { deadlineMs, signal })).rejects.toThrow('not served here any more')
    expect(children()).toEqual([])
  })
})
