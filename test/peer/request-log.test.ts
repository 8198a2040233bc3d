/** What a peer keeps of its requests. */
import { expect, it } from 'vitest'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { loggedHappeningsMax, loggedLapsMax, loggedRequestsMax } from '../../src/peer/limits.ts'
import { RequestLog } from '../../src/peer/request-log.ts'
import type { Answer, GenerationEvent, TracedLap } from '../../src/session/generation.ts'

const [a, b] = ['12D3KooWa', '12D3KooWb'] as [PeerId, PeerId]
const route = [{ peer: a, start: 0, end: 3 }]
const lap = (position: number): TracedLap & { event: 'trace' } => ({
  event: 'trace',
  position,
  tokens: 1,
  rows: 1,
  startMs: position,
  ms: 1,
  hops: route,
  spans: []
})

function logAt(): { log: RequestLog; at: (ms: number) => void } {
  let nowMs = 1000
  const log = new RequestLog({ nowMs: () => nowMs, wallMs: () => 1e12 + nowMs })
  const at = (ms: number): void => {
    nowMs = 1000 + ms
  }
  return { log, at }
}

it('says where the time of a request went, and nothing that it says', () => {
  const { log, at } = logAt()
  const request = log.begin('r1')
  request.began({ id: 'm' as ModelId, name: 'stories' })
  const tell = (ms: number, event: GenerationEvent): void => {
    at(ms)
    request.told(event)
  }
  tell(5, { event: 'route', hops: route })
  tell(50, { event: 'token', id: 1, text: 'secret', position: 4, ms: 50 })
  tell(80, { event: 'token', id: 2, text: 'secret', position: 5, ms: 30 })
  tell(90, { event: 'lost', peer: a, hop: 0, reason: 'closed', charged: true })
  tell(190, { event: 'recovered', ms: 100.4, replayedTokens: 6, route: [{ peer: b, start: 0, end: 3 }], exact: true })
  tell(200, { event: 'token', id: 3, text: 'secret', position: 6, ms: 120 })
  tell(210, { event: 'stopped', stop: 'length', text: 'secret' })
  const hop = { ...route[0]!, steps: 3, tokens: 7, computeMs: 60, rows: 7, queueMs: 5, bytesIn: 1, bytesOut: 2 }
  const answer = { text: 'secret', promptIds: [7, 8, 9], ids: [1, 2, 3], hops: [hop] } as unknown as Answer
  tell(220, { event: 'done', ...answer })
  request.ended(undefined)
  at(999)
  const [trace] = log.list('r1')
  expect(trace).toEqual({
    request: 'r1',
    model: 'm',
    modelName: 'stories',
    startedMs: 1e12 + 1000,
    state: 'answered',
    error: null,
    promptTokens: 3,
    tokens: 3,
    firstTokenMs: 50,
    totalMs: 210,
    slowest: { ms: 120, token: 2 },
    route: [{ peer: b, start: 0, end: 3 }],
    happenings: [
      { atMs: 5, what: 'route', message: `${a} 0-3` },
      { atMs: 90, what: 'lost', message: `${a}, hop 0: closed` },
      { atMs: 190, what: 'recovered', message: 'after 100 ms, 6 tokens replayed' }
    ],
    hops: [hop],
    laps: [],
    lapsTraced: 0
  })
  expect(JSON.stringify(trace)).not.toContain('secret')
})

it('tells one that failed from one that nobody has read to its end', () => {
  const { log, at } = logAt()
  const [failed, left, running] = ['f', 'l', 'r'].map(name => log.begin(name)) as [never, never, never]
  const end = (request: ReturnType<RequestLog['begin']>, error?: Error): void => request.ended(error)
  at(70)
  end(failed, new TypeError('secret'))
  end(left)
  const states = log.list().map(({ request, state, error, totalMs }) => [request, state, error, totalMs])
  expect(states).toEqual([
    ['r', 'running', null, 70],
    ['l', 'left', null, 70],
    ['f', 'failed', 'TypeError', 70]
  ])
  expect(running).toBeDefined()
})

it('keeps so many requests, laps and happenings, the first lap and the last ones', () => {
  const { log } = logAt()
  for (let i = 0; i < loggedRequestsMax + 5; i++) log.begin(`n${i}`)
  expect(log.list()).toHaveLength(loggedRequestsMax)
  expect(log.list('n0')).toEqual([])
  const request = log.begin('long')
  for (let i = 0; i < 2 * loggedLapsMax; i++) request.told(lap(i))
  for (let i = 0; i < 2 * loggedHappeningsMax; i++) request.told({ event: 'waiting', message: `${i}` })
  const [{ laps, lapsTraced, happenings }] = log.list('long') as [ReturnType<RequestLog['list']>[0]]
  expect(laps.map(({ position }) => position)).toEqual([
    0,
    ...Array.from({ length: loggedLapsMax - 1 }, (_, i) => loggedLapsMax + 1 + i)
  ])
  expect(laps[0]).not.toHaveProperty('event')
  expect(lapsTraced).toBe(2 * loggedLapsMax)
  expect(happenings).toHaveLength(loggedHappeningsMax)
  expect(log.list()[0]).toMatchObject({ request: 'long', laps: [], lapsTraced: 2 * loggedLapsMax })
})

it('finds a request by its name, or by how it begins', () => {
  const { log } = logAt()
  for (const name of ['abc', 'ab', 'xyz']) log.begin(name)
  const named = (name: string): string[] => log.list(name).map(({ request }) => request)
  expect(named('ab')).toEqual(['ab'])
  expect(named('a')).toEqual(['ab', 'abc'])
  expect(named('x')).toEqual(['xyz'])
  expect(named('z')).toEqual([])
})

it('gives laps of one request alone', () => {
  const { log } = logAt()
  for (const name of ['same', 'same', 'sane']) log.begin(name).told(lap(1))
  const laps = (name?: string): number[] => log.list(name).map(({ laps }) => laps.length)
  expect(laps('same')).toEqual([1, 0])
  expect(laps('sa')).toEqual([1, 0, 0])
  expect(laps()).toEqual([0, 0, 0])
})
