import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import type { Protocol } from '../../src/base/protocol.ts'
import { GuardedLinks } from '../../src/swarm/guarded-links.ts'
import type { Channel, HandleOptions, Links } from '../../src/swarm/links.ts'
import { lackingRole, withinRoles } from '../../src/swarm/member-roles.ts'
import type { SwarmRecord } from '../../src/swarm/record.ts'
import { type Role, roles } from '../../src/trust/roles.ts'
import type { ModelId } from '../../src/base/ids.ts'

const of = (...given: Role[]): ReadonlySet<Role> => new Set(given)
const protocol = (name: string): Protocol => ({ name, revisions: ['1.0.0'] })

describe('roles at channels (T15)', () => {
  it('open and serve what they are for, and nothing else', () => {
    const may = (side: 'opens' | 'serves', name: string): Role[] =>
      roles.filter(role => lackingRole(name, side, of(role)) === undefined)
    expect(may('opens', '/skein/stage')).toEqual(['driver', 'stage'])
    expect(may('opens', '/skein/infer')).toEqual(['driver'])
    expect(may('serves', '/skein/infer')).toEqual(['stage'])
    expect(may('opens', '/skein/keep')).toEqual(['driver'])
    expect(may('serves', '/skein/keep')).toEqual(['keeper'])
    expect(may('opens', '/skein/shards')).toEqual(['driver', 'stage'])
    expect(may('serves', '/skein/shards')).toEqual(['source'])
    for (const name of ['/skein/records', '/skein/alive', '/skein/trust'])
      expect(may('opens', name)).toEqual([...roles])
  })

  it('are looked at by both ends of a channel', async () => {
    const taken: Channel[] = []
    const aborted: string[] = []
    const violations: string[] = []
    let handler: (channel: Channel) => void = () => {}
    const given = new Map<string, ReadonlySet<Role>>([
      ['self', of('driver')],
      ['viewer', of('viewer')],
      ['driver', of('driver')],
      ['keeper', of('keeper')]
    ])
    const links: Links = {
      self: 'self' as PeerId,
      open: async peer => ({ remote: peer }) as Channel,
      handle: async (_: Protocol, __: HandleOptions, handle) => {
        handler = handle
      },
      unhandle: async () => {}
    }
    const guarded = new GuardedLinks({
      links,
      rolesOf: peer => given.get(peer) ?? of(),
      onViolation: (peer, kind, message) => violations.push(`${peer} ${kind} ${message}`)
    })
    await guarded.handle(protocol('/skein/keep'), { inboundMax: 1, frameBytesMax: 1 }, channel => taken.push(channel))
    const from = (remote: string): Channel =>
      ({ remote, abort: (error: Error) => aborted.push(error.message) }) as unknown as Channel
    handler(from('viewer'))
    handler(from('stranger'))
    handler(from('driver'))
    expect(taken.map(({ remote }) => remote)).toEqual(['driver'])
    expect(violations[0]).toContain('viewer wrong role viewer opened a channel of /skein/keep without the role driver')
    expect(aborted).toHaveLength(2)
    const signal = AbortSignal.timeout(1_000)
    const open = (peer: string, name: string): Promise<Channel> =>
      guarded.open(peer as PeerId, protocol(name), { signal })
    await expect(open('driver', '/skein/keep')).rejects.toThrow('driver does not have the role keeper')
    expect((await open('keeper', '/skein/keep')).remote).toBe('keeper')
    given.set('self', of('viewer'))
    await expect(open('keeper', '/skein/keep')).rejects.toThrow("this peer's certificate does not have the role driver")
  })
})

describe('a record within roles', () => {
  const record = {
    budgetBytes: 100,
    models: [
      { model: 'ab'.repeat(32) as ModelId, held: [{ start: 0, end: 2 }], embedding: true, head: true, budgetBytes: 100 }
    ],
    stages: [{ model: 'ab'.repeat(32) as ModelId, start: 0, end: 2 }]
  } as unknown as SwarmRecord

  it('has no layers, no memory and no weights of who may not have them', () => {
    expect(withinRoles(record, of('stage', 'source'))).toBe(record)
    expect(withinRoles(record, of('driver'))).toMatchObject({ budgetBytes: 0, models: [], stages: [] })
    expect(withinRoles(record, of('stage'))).toMatchObject({
      budgetBytes: 100,
      models: [{ held: [], head: false }],
      stages: [{ start: 0 }]
    })
    expect(withinRoles(record, of('source'))).toMatchObject({
      budgetBytes: 0,
      models: [{ held: [{ start: 0, end: 2 }], budgetBytes: 0 }],
      stages: []
    })
  })
})
