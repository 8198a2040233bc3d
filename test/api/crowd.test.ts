/** Which connection gives way in a crowd. */
import { describe, expect, it } from 'vitest'
import { Crowd, placeOf } from '../../src/api/crowd.ts'
import { Doors } from '../../src/api/doors.ts'

const crowd = (): Crowd => new Crowd({ connectionsMax: 6, perPlaceMax: 4, silentPerPlaceMax: 2 })
/** So many connections of an address; what gave way to each. */
function come(to: Crowd, address: string, count: number, running = false): (string | undefined)[] {
  return Array.from({ length: count }, (_, i) => {
    const key = `${address} ${to.size} ${i}`
    const { out } = to.enter(key, address)
    if (running && out !== key) to.runs(key, 1)
    return out === key ? 'itself' : out?.replace(/ .*/, '')
  })
}

describe('a crowd', () => {
  it('keeps so many silent ones of a remote address: the one that has been silent longest gives way', () => {
    const all = crowd()
    for (const key of ['a', 'b']) expect(all.enter(key, '10.0.0.1')).toEqual({ out: undefined })
    all.runs('a', 1)
    expect(all.enter('c', '10.0.0.1')).toEqual({ out: undefined })
    all.runs('a', -1)
    // It was answered a moment ago.
    expect(all.enter('d', '10.0.0.1')).toEqual({ out: 'b' })
    expect(all.enter('e', '10.0.0.2')).toEqual({ out: undefined })
    expect(all.size).toBe(4)
  })

  it('keeps so many of a remote address at all, and none with a request gives way', () => {
    const all = crowd()
    expect(come(all, '10.0.0.1', 5, true)).toEqual([undefined, undefined, undefined, undefined, 'itself'])
    expect(come(all, '10.0.0.2', 1)).toEqual([undefined])
  })

  it('lets programs of this machine have all places, and takes them from whoever has the most silent ones', () => {
    const all = crowd()
    expect(come(all, '127.0.0.1', 7)).toEqual([...new Array(6).fill(undefined), '127.0.0.1'])
    expect(come(all, '::1', 1)).toEqual(['127.0.0.1'])
    expect(come(all, '10.0.0.1', 1)).toEqual(['127.0.0.1'])
    const busy = crowd()
    come(busy, '127.0.0.1', 6, true)
    expect(come(busy, '127.0.0.1', 1)).toEqual(['itself'])
    expect(come(busy, '10.0.0.1', 1)).toEqual(['itself'])
  })

  it('forgets who has gone', () => {
    const all = crowd()
    for (const key of ['a', 'b']) all.enter(key, '10.0.0.1')
    all.leave('a')
    all.runs('a', -1)
    expect(all.enter('c', '10.0.0.1')).toEqual({ out: undefined })
  })

  it.each([
    ['127.0.0.1', ''],
    ['::ffff:127.0.0.1', ''],
    ['::1', ''],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['10.1.2.3', '10.1.2.3'],
    ['2001:db8:0:7:1:2:3:4', '2001:db8:0:7'],
    ['2001:DB8::7:1:2:3:4', '2001:db8:0:7'],
    ['2001:db8::9', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0']
  ])('takes %s for a part of %j', (address, place) => expect(placeOf(address)).toBe(place))
})

describe('a page of another site', () => {
  const knock = (fetch: object, more: object = {}): object => ({
    host: '127.0.0.1:8420',
    address: '::1',
    fetch,
    ...more
  })
  const isLetIn = (knocked: object, doors = new Doors('127.0.0.1', undefined)): boolean => {
    try {
      doors.checkPlace(knocked as never)
      return true
    } catch (error) {
      expect(error).toMatchObject({ status: 403, body: { error: { code: 'foreign_origin' } } })
      return false
    }
  }

  it.each([
    ['an image or a script of it', { site: 'cross-site', mode: 'no-cors', dest: 'image' }, false],
    ['a frame of it', { site: 'cross-site', mode: 'navigate', dest: 'iframe' }, false],
    ['a link on it', { site: 'cross-site', mode: 'navigate', dest: 'document' }, true],
    ['another program of this machine', { site: 'same-site', mode: 'no-cors', dest: 'empty' }, true],
    ['the page itself', { site: 'same-origin', mode: 'cors', dest: 'empty' }, true],
    ['what somebody types', { site: 'none', mode: 'navigate', dest: 'document' }, true],
    ['no browser', {}, true]
  ])('%s: where no key protects the peer', (_, fetch, expected) => {
    expect(isLetIn(knock(fetch))).toBe(expected)
  })

  it('may ask where a key protects the peer', () => {
    const doors = new Doors('127.0.0.1', { nameOf: () => 'ann' } as never)
    expect(isLetIn(knock({ site: 'cross-site', mode: 'no-cors', dest: 'image' }), doors)).toBe(true)
  })
})
