/** Sessions whose caches are of another type than usual: what their terms say, and who takes them. */
import { describe, expect, test } from 'vitest'
import { Terms as WireTerms } from '../../protocols/stage.ts'
import { ProtocolError } from '../../src/errors.ts'
import type { Frame } from '../../src/stage/frame.ts'
import { readTerms } from '../../src/stage/terms.ts'
import { type Change, facts, Kit, open, peer, type Seen, seatOf, terms } from './kit.ts'

const sent = (seen: readonly Seen[], channel: number): Frame[] =>
  seen.flatMap(effect => (effect.kind === 'send' && effect.channel === channel ? [effect.frame] : []))

/** B, whose engine has these types of caches, gets an Open from A. */
function opened(change: Change, cacheTypes?: readonly ('f32' | 'i8')[]): { kit: Kit; seen: Seen[] } {
  const kit = new Kit('B')
  kit.do({ kind: 'add', stage: { ...facts(2, 4), ...(cacheTypes === undefined ? {} : { cacheTypes }) } })
  kit.do({ kind: 'accepted', channel: 1, remote: peer('A') })
  return { kit, seen: kit.frame(1, open(1, change)) }
}

/** The bytes of terms as another driver would have written them. */
function changed(fields: Partial<WireTerms>) {
  const { payload, signature } = terms({ cache: 'i8' })
  return readTerms(WireTerms.encode({ ...WireTerms.decode(payload), ...fields }), signature)
}

describe('S33: the terms of a session with caches of int8', () => {
  test('say so, and that hops must know of it; others say nothing of caches', () => {
    const { payload, signature } = terms({ cache: 'i8', needs: ['drafts'] })
    expect(WireTerms.decode(payload)).toMatchObject({ cacheType: 1, needs: ['drafts', 'cache'] })
    expect(readTerms(payload, signature)).toMatchObject({ cache: 'i8', needs: ['drafts', 'cache'] })
    for (const usual of [terms(), terms({ cache: 'f32' })]) {
      expect(WireTerms.decode(usual.payload)).toMatchObject({ cacheType: 0, needs: [] })
      expect(readTerms(usual.payload, usual.signature)).not.toHaveProperty('cache')
    }
  })

  test('that do not need what they have are no terms; a type of a later time is one more thing that they need', () => {
    expect(() => changed({ needs: ['drafts'] })).toThrow(ProtocolError)
    expect(changed({ cacheType: 7 })).toMatchObject({ needs: ['cache', 'cache-7'] })
    expect(changed({ cacheType: 7 })).not.toHaveProperty('cache')
  })

  test('open a cache of that type', () => {
    const { seen } = opened({ cache: 'i8' }, ['f32', 'i8'])
    expect(seen).toMatchObject([{ kind: 'open-engine', cacheType: 'i8' }])
    expect(opened({}, ['f32', 'i8']).seen).toMatchObject([{ kind: 'open-engine', cacheType: undefined }])
  })

  test('are refused with UNSUPPORTED where the engine has no such caches', () => {
    for (const types of [undefined, ['f32'] as const]) {
      const { kit, seen } = opened({ cache: 'i8' }, types)
      const message = "the session's caches are of i8, and the engine here has caches of f32 alone"
      expect(sent(seen, 1)).toMatchObject([{ kind: 'refuse', reason: 'unsupported', hop: 1, message }])
      expect(kit.stages.sessions).toBe(0)
    }
  })

  test('S10: keep their type in every epoch', () => {
    const { kit } = opened({ cache: 'i8' }, ['f32', 'i8'])
    kit.do({ kind: 'opened', seat: seatOf(2, 4), length: 0 })
    kit.do({ kind: 'accepted', channel: 2, remote: peer('A') })
    const refused = kit.frame(2, open(1, { epoch: 1, keep: 1 }))
    expect(sent(refused, 2)).toMatchObject([
      { kind: 'refuse', reason: 'invalid', message: 'a session keeps the type of its caches' }
    ])
    kit.do({ kind: 'accepted', channel: 3, remote: peer('A') })
    expect(sent(kit.frame(3, open(1, { epoch: 1, keep: 1, cache: 'i8' })), 3)).toMatchObject([
      { kind: 'ack', epoch: 1 }
    ])
  })
})
