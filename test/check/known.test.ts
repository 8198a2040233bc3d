import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { KnownWork } from '../../src/check/known.ts'
import {
  checkCostShare,
  checkSavedMs,
  checkShare,
  doubtChecks,
  doubtedShare,
  knownChecks,
  knownPeersMax,
  newShare
} from '../../src/check/limits.ts'

const a = 'A' as PeerId

describe('how often a peer is checked: J3', () => {
  it('is often while it is new, less often once it is known, and often again where it is doubted', () => {
    const known = new KnownWork()
    expect(known.share(a)).toBe(newShare)
    for (let i = 0; i < knownChecks; i++) known.passed(a)
    expect(known.share(a)).toBe(checkShare)
    known.doubted(a, 'something')
    expect(known.share(a)).toBe(doubtedShare)
    for (let i = 0; i < doubtChecks; i++) known.passed(a)
    expect(known.share(a)).toBe(checkShare)
    known.refute(a, 'it lied')
    expect(known.share(a)).toBe(0)
  })

  it('finds who lies always within 60 of its sessions in the median, and who lies in one of ten within 600', () => {
    for (const [lies, sessions] of [
      [1, 60],
      [0.1, 600]
    ] as const) {
      expect(1 - (1 - checkShare * lies) ** sessions).toBeGreaterThan(0.5)
    }
  })

  it('costs no more than its share', () => {
    const known = new KnownWork()
    expect(known.affords).toBe(true)
    known.spent(checkSavedMs)
    expect(known.affords).toBe(false)
    known.earned(100)
    expect(known.affords).toBe(true)
    known.spent(100 * checkCostShare)
    expect(known.affords).toBe(false)
    // What is saved up has a limit.
    known.earned(1e9)
    known.spent(checkSavedMs)
    expect(known.affords).toBe(false)
  })
})

describe('what an earlier run knew', () => {
  it('counts as if it had never ended', () => {
    const before = new KnownWork()
    for (let i = 0; i < knownChecks; i++) before.passed(a)
    before.doubted('B' as PeerId, 'something')
    before.refute('C' as PeerId, 'it lied')
    const known = new KnownWork(before.entries)
    expect(known.entries).toEqual(before.entries)
    expect(known.share(a)).toBe(checkShare)
    expect(known.share('B' as PeerId)).toBe(doubtedShare)
    expect(known.refuted).toEqual(new Set(['C']))
    expect(known.refute('C' as PeerId, 'again')).toBe(false)
  })

  it('is taken no further than is known of peers at all', () => {
    const entry = {
      sessions: 1,
      checkable: 1,
      passed: 0,
      inRow: 0,
      doubt: undefined,
      refuted: undefined,
      unchecked: 'none'
    }
    const kept = Array.from({ length: knownPeersMax + 5 }, (_, i) => ({ ...entry, peer: `${i}` as PeerId }))
    const { entries } = new KnownWork(kept)
    expect(entries).toHaveLength(knownPeersMax)
    expect(entries[0]?.peer).toBe('5')
  })
})

describe('what is said of a peer', () => {
  it('is unchecked with the reason, then checked, doubted and refuted', () => {
    const known = new KnownWork()
    expect(known.status(a)).toEqual({
      state: 'unchecked',
      sessions: 0,
      checkable: 0,
      passed: 0,
      reason: 'it has computed nothing for this peer'
    })
    known.served(a, undefined)
    expect(known.status(a)).toMatchObject({
      state: 'unchecked',
      sessions: 1,
      reason: 'none of its sessions was drawn yet'
    })
    known.served(a, 'it has not committed to anything')
    expect(known.status(a)).toMatchObject({ state: 'unchecked', reason: 'it has not committed to anything' })
    known.unchecked(a, 'nobody else has its layers in its class')
    expect(known.status(a)).toMatchObject({ reason: 'nobody else has its layers in its class' })
    known.passed(a)
    expect(known.status(a)).toEqual({ state: 'checked', sessions: 2, checkable: 1, passed: 1, reason: null })
    known.doubted(a, 'why')
    expect(known.status(a)).toMatchObject({ state: 'doubted', reason: 'why' })
    expect(known.refute(a, 'what')).toBe(true)
    expect(known.refute(a, 'what else')).toBe(false)
    expect(known.status(a)).toMatchObject({ state: 'refuted', reason: 'what' })
  })

  it('is forgotten of who was heard of least lately, but not that somebody was found out', () => {
    const known = new KnownWork()
    known.refute(a, 'what')
    for (let i = 0; i < knownPeersMax + 10; i++) known.served(`Q${i}` as PeerId, undefined)
    expect(known.status(a).state).toBe('refuted')
    expect(known.status('Q0' as PeerId).sessions).toBe(0)
    expect(known.status(`Q${knownPeersMax + 9}` as PeerId).sessions).toBe(1)
  })
})
