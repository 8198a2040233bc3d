/** `skein up --model NAME` beside peers that boot at the same time: when it gives up, and when it waits. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { modelSeekMaxMs, modelSeekMs } from '../../src/cli/limits.ts'
import { whyGivenUp } from '../../src/cli/up.ts'
import { createPeer, type ModelId, type Status, wasmEngine } from '../../src/index.ts'
import { startingMaxMs } from '../../src/serving/limits.ts'
import { writeRandomModel } from '../supply/model.ts'
import { Skein, skein } from './skein.ts'

type Fetch = Status['fetches'][number]

const sought = (more: Partial<Fetch>): Fetch => ({
  model: null,
  state: 'nobody has it',
  unclear: false,
  expected: null,
  bytes: 0,
  bytesTotal: 0,
  ...more
})

/** When it gives up, in ms, looked at every half second of ten minutes; undefined when it does not. */
function givesUpAt(fetchesAt: (nowMs: number) => readonly Fetch[]): number | undefined {
  for (let nowMs = 0; nowMs <= 600_000; nowMs += 500)
    if (whyGivenUp(fetchesAt(nowMs), nowMs) !== undefined) return nowMs
  return undefined
}

describe('a model that is not here', () => {
  it('is given up in time where nothing is expected', () => {
    expect(givesUpAt(() => [sought({})])).toBe(modelSeekMs)
    expect(whyGivenUp([sought({})], modelSeekMs)).toMatchObject({
      name: 'UnknownModelError',
      exitCode: 3,
      message: 'nobody has it; check its name, import it, or wait for it with --wait'
    })
  })

  it('is waited for as long as a neighbour may offer it, and no longer', () => {
    const silentUntil = (ms: number) => (nowMs: number) => [sought({ expected: nowMs < ms ? 'soon' : null })]
    expect(givesUpAt(silentUntil(modelSeekMs / 2))).toBe(modelSeekMs)
    expect(givesUpAt(silentUntil(60_000))).toBe(60_000)
    // Somebody has always just started.
    expect(givesUpAt(() => [sought({ expected: 'soon' })])).toBe(modelSeekMaxMs)
    // Whoever is there when nobody else would be waited for has said by then what it offers.
    expect(modelSeekMaxMs).toBeGreaterThanOrEqual(modelSeekMs + startingMaxMs)
  })

  it('is not given up while it is fetched, nor once it is known', () => {
    expect(givesUpAt(() => [sought({ expected: 'fetching' })])).toBeUndefined()
    expect(givesUpAt(() => [sought({ model: 'ab'.repeat(32) as ModelId, expected: 'fetching' })])).toBeUndefined()
    expect(givesUpAt(() => [])).toBeUndefined()
  })

  it('is given up though another one is on its way', () => {
    expect(givesUpAt(() => [sought({ expected: 'fetching' }), sought({})])).toBe(modelSeekMs)
  })

  it('is given up at once where its name is not clear', () => {
    expect(whyGivenUp([sought({}), sought({ unclear: true, expected: 'soon' })], 0)).toMatchObject({
      name: 'AmbiguousModelError',
      exitCode: 2,
      message: 'nobody has it'
    })
  })
})

describe('a model whose only holder boots at the same time', () => {
  let folder = ''
  const at = (name: string): string => join(folder, name)
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'skein-booting-'))
    await skein(['init', at('swarm.json')])
    await writeRandomModel(at('holder'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is waited for while that one still measures itself, which is said, and then served', async () => {
    const flags = ['--swarm', at('swarm.json'), '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json']
    const seeker = new Skein(['up', '--data', at('a'), ...flags, '--stop-with-stdin', '--model', 'random'])
    const measuring = Promise.withResolvers<void>()
    const { addresses } = (await seeker.event('up')) as { addresses: string[] }
    const startMs = performance.now()
    const holder = createPeer({
      dataDir: at('holder'),
      swarm: at('swarm.json'),
      model: 'random',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      bootstrap: addresses.slice(0, 1),
      engines: [{ ...wasmEngine, measure: async init => measuring.promise.then(() => wasmEngine.measure(init)) }]
    })
    try {
      const isTold = (): boolean => seeker.stdout.includes('has just started and may offer it; waiting for that')
      await expect.poll(isTold, { timeout: 15_000 }).toBe(true)
      await new Promise(resolve => setTimeout(resolve, modelSeekMs + 2_000 - (performance.now() - startMs)))
      expect({ code: seeker.child.exitCode, stderr: seeker.stderr }).toEqual({ code: null, stderr: '' })
      measuring.resolve()
      await seeker.event('serving')
    } finally {
      measuring.resolve()
      await (await holder).stop()
      expect(await seeker.end('SIGTERM')).toMatchObject({ code: 0, stderr: '' })
    }
  }, 180_000)
})
