/** What of the events of an answer comes into the audit log. */
import { expect, it } from 'vitest'
import type { AuditRequest } from '../../src/audit/entry.ts'
import type { ModelId, PeerId } from '../../src/base/ids.ts'
import { answerDigest, AuditedRequest, AuditedRun } from '../../src/peer/audited-request.ts'
import { RequestLog } from '../../src/peer/request-log.ts'
import type { Answer, GenerationEvent } from '../../src/session/generation.ts'

const [a, b] = ['12D3KooWa', '12D3KooWb'] as [PeerId, PeerId]
const model = 'f'.repeat(64) as ModelId
const classOf = (peer: PeerId): string | null => (peer === a ? 'one' : null)

function audited(tell: (told: (ms: number, event: GenerationEvent) => void) => void, outcome: string): AuditRequest {
  let nowMs = 0
  const logged = new RequestLog({ nowMs: () => nowMs, wallMs: () => 0 }).begin('r1')
  const found: AuditRequest[] = []
  const audit = { add: (request: AuditRequest) => found.push(request), classOf }
  const request = new AuditedRequest({ operation: 'chat', client: 'alice', logged, audit })
  logged.began({ id: model, name: 'stories' })
  request.began({ id: model, precision: 'q8' })
  tell((ms, event) => {
    nowMs = ms
    logged.told(event)
    request.told(event)
  })
  request.ended(outcome)
  expect(found).toHaveLength(1)
  return found[0]!
}

it('has the first route and its changes with the classes of then, and a digest of the ids that came', () => {
  const request = audited(tell => {
    tell(2, { event: 'conversation', tokens: 9, droppedTurns: 0 })
    tell(5, { event: 'route', hops: [{ peer: a, start: 0, end: 3 }] })
    tell(50, { event: 'token', id: 1, text: 'secret', position: 9, ms: 45 })
    tell(90, { event: 'lost', peer: a, hop: 0, reason: 'closed', charged: true })
    tell(190, { event: 'recovered', ms: 100, replayedTokens: 10, route: [{ peer: b, start: 0, end: 3 }], exact: true })
    tell(200, { event: 'token', id: 70_000, text: 'secret', position: 10, ms: 10 })
    tell(210, { event: 'stopped', stop: 'eos', text: 'secret' })
    tell(211, {
      event: 'done',
      text: 'secret',
      promptIds: [7, 8, 9],
      ids: [1, 70_000],
      hops: []
    } as unknown as Answer & {
      event: 'done'
    })
  }, 'stop')
  expect(request).toEqual({
    ...{ request: 'r1', operation: 'chat', client: 'alice', model, modelName: 'stories', precision: 'q8' },
    route: [{ peer: a, start: 0, end: 3, class: 'one' }],
    changes: [{ atMs: 190, route: [{ peer: b, start: 0, end: 3, class: null }] }],
    ...{ promptTokens: 3, tokens: 2, outcome: 'stop', ms: 210, answer: answerDigest([1, 70_000]) }
  })
  // SHA-256 of 01000000 70110100, as sha256sum has it.
  expect(request.answer).toBe('0ba3781d15536a133fa930b7db07684563795c35520f7afc24ebade9daab7866')
  expect(JSON.stringify(request)).not.toContain('secret')
})

it('has what came of one that broke off, and nothing of one that never began', () => {
  const broken = audited(tell => {
    tell(5, { event: 'route', hops: [{ peer: a, start: 0, end: 3 }] })
    tell(50, { event: 'token', id: 5, text: 'secret', position: 3, ms: 45 })
  }, 'SessionFailedError')
  expect(broken).toMatchObject({
    tokens: 1,
    promptTokens: null,
    outcome: 'SessionFailedError',
    answer: answerDigest([5])
  })
  expect(audited(() => {}, 'NotCoveredError')).toMatchObject({ tokens: 0, route: [], changes: [], answer: null })
})

it('has each peer that ran a graph', () => {
  const run = new AuditedRun({ operation: 'embeddings', number: 3, classOf })
  run.found({ id: model, manifest: { name: 'minilm' } })
  for (const peer of [a, b, a]) run.ranAt(peer)
  expect(run.ended('done', 12.4)).toMatchObject({
    ...{
      request: 'embeddings-3',
      client: 'local',
      model,
      modelName: 'minilm',
      outcome: 'done',
      ms: 12,
      tokens: 0,
      answer: null
    },
    route: [{ peer: a, start: 0, end: 1, class: 'one' }],
    changes: [{ route: [{ peer: b, start: 0, end: 1, class: null }] }]
  })
})
