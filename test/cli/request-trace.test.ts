/** `skein trace`: a peer that runs says where the time of its requests went. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeTrace } from '../../src/cli/request-trace.ts'
import type { PeerId, RequestTrace } from '../../src/index.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
let peer: Skein
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-traces-'))
  await skein(['init', join(folder, 'swarm.json')])
  const where = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
  peer = new Skein([
    'up',
    '--swarm',
    join(folder, 'swarm.json'),
    '--data',
    join(folder, 'data'),
    '--memory',
    '100MB',
    '--trace-every',
    '3',
    ...where
  ])
  await peer.event('covered')
})
afterAll(async () => {
  await peer.end()
  rmSync(folder, { recursive: true, force: true })
})

it('of any request by hops, of one that was traced span by span, and for Perfetto', async () => {
  const data = ['--data', join(folder, 'data')]
  await expectFailure(skein(['trace', ...data]), 4, 'the peer has answered no request yet')
  for (const more of [[], [], ['--trace', '--json']]) {
    expect((await skein(['ask', 'Once upon a time', '--max-tokens', '12', ...more, ...data])).code).toBe(0)
  }
  const list = (await skein(['trace', '--list', ...data])).stdout.split('\n')
  expect(list[1]).toMatch(/^3 +stories15m +\d\d:\d\d:\d\d +answered +12 .* yes$/)
  expect(list[2]).toMatch(/^2 +stories15m +\d\d:\d\d:\d\d +answered +12 .*ms$/)
  // The peer traces the first one of three, whatever is asked.
  expect(list[3]).toMatch(/^1 +.* yes$/)

  const plain = (await skein(['trace', '2', ...data])).stdout
  expect(plain).toMatch(
    /^request 2 of stories15m, \d\d:\d\d:\d\d: answered\n\d+ \+ 12 tokens in .*, the first after .* each; the slowest took/
  )
  expect(plain).toMatch(/ms +route +…\w{8} 0-6/)
  expect(plain).toMatch(/…\w{8} layers 0-6 +wait +\d/)
  expect(plain).toMatch(/ compute +\d+\.\d +\d+\.\d % +█/)
  expect(plain).not.toContain('Once')

  const file = join(folder, 'trace.json')
  const traced = await skein(['trace', '--perfetto', file, ...data])
  expect(traced.stdout).toMatch(/11 laps of 12 over 1 hop/)
  expect(traced.stdout).toMatch(/hop 0 …\w{8} layers 0-6 +\w+ +\d/)
  const { traceEvents } = JSON.parse(readFileSync(file, 'utf8')) as {
    traceEvents: { ph: string; name: string; dur: number }[]
  }
  expect(traceEvents.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['compute', 'first token', 'answer', 'route'])
  )
  for (const { ph, dur } of traceEvents) if (ph === 'X') expect(dur).toBeGreaterThanOrEqual(0)

  const json = JSON.parse((await skein(['trace', '--json', ...data])).stdout) as RequestTrace
  expect(json).toMatchObject({ request: '3', state: 'answered', tokens: 12, lapsTraced: 12 })
  expect(json.laps).toHaveLength(12)
  await expectFailure(skein(['trace', '99', ...data]), 4, "the peer knows no request '99'; skein trace --list shows")
})

it('of a request that fails says what happened until then', () => {
  const peer = `12D3KooW${'a'.repeat(44)}` as PeerId
  const text = describeTrace({
    request: 'abc',
    model: null,
    modelName: null,
    startedMs: 0,
    state: 'failed',
    error: 'NotCoveredError',
    promptTokens: null,
    tokens: 0,
    firstTokenMs: null,
    totalMs: 1500,
    slowest: null,
    route: [],
    happenings: [{ atMs: 12.4, what: 'lost', message: `${peer}, hop 1: closed` }],
    hops: [],
    laps: [],
    lapsTraced: 0
  })
  expect(text[0]).toMatch(/^request abc of a model that is not known, .*: failed \(NotCoveredError\)$/)
  expect(text[1]).toBe('0 tokens in 1500 ms, none of them yet')
  expect(text.join('\n')).toMatch(/ 12 ms +lost +…aaaaaaaa, hop 1: closed\n\nwhat its hops did is not known/)
})
