import { describe, expect, it } from 'vitest'
import type { PeerId } from '../../src/base/ids.ts'
import { violationAgainMs, violationsToldMax } from '../../src/swarm/limits.ts'
import { Violations } from '../../src/swarm/violations.ts'

const [a, b] = ['a', 'b'] as [PeerId, PeerId]

describe('violations', () => {
  it('are all counted, and told once of each peer and kind, then with how many there were', () => {
    const violations = new Violations()
    expect(violations.take(a, 'bad frame', 'it is bad', 0)).toBe('it is bad')
    for (let ms = 1; ms <= 1_000; ms++) expect(violations.take(a, 'bad frame', 'it is bad', ms)).toBeUndefined()
    expect(violations.take(b, 'bad frame', 'so is this', 1_000)).toBe('so is this')
    expect(violations.take(a, 'impostor', 'it is another', 1_000)).toBe('it is another')
    expect(violations.take(a, 'bad frame', 'it is bad', violationAgainMs)).toBe(
      'it is bad (and 1000 times since it was told)'
    )
    expect(violations.take(a, 'bad frame', 'it is bad', 2 * violationAgainMs)).toBe('it is bad')
    expect(violations.counts()).toEqual({ 'bad frame': 1_004, impostor: 1 })
  })

  it('are remembered of so many peers and no more', () => {
    const violations = new Violations()
    expect(violations.take(a, 'bad frame', 'it is bad', 0)).toBe('it is bad')
    for (let n = 0; n < violationsToldMax; n++) violations.take(`peer ${n}` as PeerId, 'bad frame', 'it is bad', 1)
    expect(violations.take(a, 'bad frame', 'it is bad', 2)).toBe('it is bad')
  })
})
