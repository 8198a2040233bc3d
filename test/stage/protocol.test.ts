import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { stepDraftsMax } from '../../src/engine/limits.ts'
import * as shared from '../../src/limits.ts'
import * as model from '../../src/model/limits.ts'
import * as session from '../../src/session/limits.ts'
import * as own from '../../src/stage/limits.ts'

const limits = { ...shared, ...model, ...session, ...own }

const read = (name: string): string => readFileSync(new URL(`../../protocols/${name}`, import.meta.url), 'utf8')
const document = read('stage.md')

test('the messages in stage.md are stage.proto', () => {
  const blocks = [...document.matchAll(/```proto\n([\s\S]*?)```/g)].map(match => match[1])
  expect(blocks).toEqual([read('stage.proto')])
})

test('stage.md has the parts of a protocol document, in order', () => {
  expect([...document.matchAll(/^#+ (.*)$/gm)].map(match => match[1])).toEqual([
    'Stage',
    'Purpose',
    'Roles',
    'Diagram',
    'Messages',
    'Rules',
    'Limits',
    'Errors',
    'Security'
  ])
})

test('rules are numbered without a gap, and each one is cited by a test', () => {
  const rules = [...document.matchAll(/^- \*\*S(\d+)\.\*\*/gm)].map(match => Number(match[1]))
  expect(rules).toEqual(rules.map((_, i) => i + 1))
  const tests = [
    'stage/stage.test.ts',
    'stage/prepare.test.ts',
    'stage/standing.test.ts',
    'stage/line.test.ts',
    'stage/drafts.test.ts',
    'stage/caches.test.ts',
    'stage/trace.test.ts',
    'stage/ids.test.ts',
    'stage/filters.test.ts',
    'stage/logprobs.test.ts',
    'stage/masks.test.ts',
    'stage/commitment.test.ts',
    'session/pace.test.ts',
    'session/session.test.ts',
    'session/recovery.test.ts',
    'session/detour.test.ts'
  ]
    .map(name => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'))
    .join('\n')
  const cited = new Set(
    [...tests.matchAll(/(?:test|describe)[^\n]*?['"`]([^\n]*)/g)].flatMap(m => m[1]!.match(/S\d+/g) ?? [])
  )
  expect(rules.filter(rule => !cited.has(`S${rule}`))).toEqual([])
})

test('the limits in stage.md are those of the code', () => {
  const rows = new Map([...document.matchAll(/^\| ([^|]+) \| ([^|]+) \|$/gm)].map(match => [match[1], match[2]]))
  expect(rows.get('hops of a route')).toBe(`${limits.hopsMax}`)
  expect(rows.get('terms of an epoch')).toBe(`${limits.termsBytesMax >> 10} KiB`)
  expect(rows.get('sessions that are gone whose epochs are remembered')).toBe(`${limits.sessionMarksMax}`)
  expect(rows.get('tokens of a step')).toBe(`${limits.attentionBlock}`)
  expect(rows.get('drafts of a step')).toBe(`${stepDraftsMax}`)
  expect(rows.get('frame')).toBe(
    `${limits.stageFrameBytesMax >> 20} MiB + ${(limits.stageFrameBytesMax % (1 << 20)) / 1024} KiB`
  )
  expect(rows.get('under way without Ack, per stream')).toBe(
    `${limits.creditStepsMax} steps, ${limits.creditTokensMax} tokens`
  )
  expect(rows.get('computed steps waiting for the next hop')).toBe(`${limits.outboxStepsMax}`)
  expect(rows.get('sessions per peer')).toBe(`${limits.stageSessionsMax}`)
  expect(rows.get('streams per remote peer')).toBe(`${limits.stageStreamsPerPeerMax}`)
  expect(rows.get('opening a stream')).toBe(`${limits.stageOpenMs / 1000} s`)
  expect(rows.get('Closed from the whole route')).toContain(`${limits.stageCloseMs / 1000} s;`)
  expect(rows.get('cache without upstream')).toBe(`${limits.orphanGraceMs / 1000} s`)
  expect(rows.get('cache without upstream at a leaving peer')).toBe(`${limits.orphanLeavingMs / 1000} s`)
  expect(rows.get('lag of a stretch that has caught up')).toBe(`${limits.feedLagTokens} tokens`)
  expect(rows.get('the same, never stepped')).toBe(`${limits.sessionUnusedMs / 1000} s`)
  expect(rows.get('the same, where others need the room')).toBe(`${limits.seatYieldMs / 1000} s`)
  expect(rows.get('Ask of a driver that waits')).toBe(`every ${limits.askAliveMs / 1000} s`)
  expect(rows.get('session without a step')).toBe(`${limits.sessionIdleMs / 60_000} min`)
})
