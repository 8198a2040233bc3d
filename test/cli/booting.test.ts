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
  known: false,
  refusal: null,
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

  it('is to be waited for where its name is right, which needs no check', () => {
    expect(whyGivenUp([sought({ known: true })], modelSeekMs)?.message).toBe('nobody has it; wait for it with --wait')
  })

  it('is given up at once where it is here now and cannot be served, by what keeps it from that', () => {
    const state = "the model 'fox' is not served here: a budget of 64 kB cannot hold it"
    const refused = sought({ state, known: true, refusal: { name: 'BudgetTooSmallError', exitCode: 2 } })
    expect(whyGivenUp([sought({}), refused], 0)).toMatchObject({
      name: 'BudgetTooSmallError',
      exitCode: 2,
      message: state
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
    await writeRandomModel(at('holder'), { name: 'second', layers: 2 })
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('is waited for while that one still measures itself, be it with another one, and then served; who mistypes a name waits for nobody', async () => {
    const flags = ['--swarm', at('swarm.json'), '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json']
    const seeker = new Skein(['up', '--data', at('a'), ...flags, '--stop-with-stdin', '--model', 'second'])
    const measuring = Promise.withResolvers<void>()
    const { addresses } = (await seeker.event('up')) as { addresses: string[] }
    const startMs = performance.now()
    const bootstrap = ['--bootstrap', addresses[0]!]
    const typist = new Skein(['up', '--data', at('b'), ...flags, ...bootstrap, '--model', 'secnod'])
    const holder = createPeer({
      dataDir: at('holder'),
      swarm: at('swarm.json'),
      models: [{ model: 'random' }, { model: 'second' }],
      listen: ['/ip4/127.0.0.1/tcp/0'],
      mdns: false,
      bootstrap: addresses.slice(0, 1),
      engines: [{ ...wasmEngine, measure: async init => measuring.promise.then(() => wasmEngine.measure(init)) }]
    })
    try {
      const isTold = (): boolean => seeker.stdout.includes('is about to offer it; waiting for that')
      await expect.poll(isTold, { timeout: 15_000 }).toBe(true)
      await new Promise(resolve => setTimeout(resolve, modelSeekMs + 2_000 - (performance.now() - startMs)))
      expect({ code: seeker.child.exitCode, stderr: seeker.stderr }).toEqual({ code: null, stderr: '' })
      // Neither of the two others offers anything yet, and both have just started.
      const { code, stderr } = await typist.ended
      expect(performance.now() - startMs).toBeLessThan(modelSeekMs + 10_000)
      expect({ code, stderr }).toEqual({
        code: 3,
        stderr: expect.stringMatching(
          /the model 'secnod' is not here .*; check its name, import it, or wait for it with --wait/
        )
      })
      expect(seeker.child.exitCode).toBe(null)
      measuring.resolve()
      await seeker.event('serving')
      const small = new Skein([
        'up',
        '--data',
        at('c'),
        ...flags,
        ...bootstrap,
        '--model',
        'second',
        '--memory',
        '100kB'
      ])
      const refused = await small.ended
      expect(refused.code).toBe(2)
      expect(refused.stderr).toMatch(/the model 'second' is not served here: a budget of .*(?<!--wait)"?\}?\n$/)
    } finally {
      measuring.resolve()
      await (await holder).stop()
      expect(await seeker.end('SIGTERM')).toMatchObject({ code: 0, stderr: '' })
    }
  }, 180_000)
})
