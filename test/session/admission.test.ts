import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { admissionTryMs, clientWaitersMax, sessionGuessMs, waitersMax } from '../../src/session/limits.ts'
import { Admission, type Verdict } from '../../src/session/admission.ts'

/** A driver before stages with room for so many sessions; everything that is admitted has its route at once. */
class Place {
  readonly admission = new Admission()
  readonly running = new Set<number>()
  readonly admitted: string[] = []
  readonly names = new Map<number, string>()
  nowMs = 0
  capacity: number

  constructor(capacity: number) {
    this.capacity = capacity
  }

  ask(name: string, client: string, waitMs = 1e9): Verdict {
    const room = (): number => this.capacity - this.running.size
    const verdict = this.admission.ask({ client, waitMs, room }, this.nowMs)
    this.names.set(verdict.ticket, name)
    this.#note([verdict])
    return verdict
  }

  end(name: string): void {
    const [ticket] = [...this.names].find(([, each]) => each === name)!
    this.running.delete(ticket)
    this.admission.leave(ticket, this.nowMs)
    this.look()
  }

  look(): Verdict[] {
    const verdicts = this.admission.look(this.nowMs)
    this.#note(verdicts)
    return verdicts
  }

  #note(verdicts: readonly Verdict[]): void {
    for (const { kind, ticket } of verdicts) {
      if (kind !== 'admit') continue
      this.running.add(ticket)
      this.admission.routed(ticket)
      this.admitted.push(this.names.get(ticket)!)
    }
  }
}

describe('admission', () => {
  it('begins at once what fits, and has the rest wait in turn', () => {
    const place = new Place(2)
    expect(['a', 'b'].map(name => place.ask(name, 'x').kind)).toEqual(['admit', 'admit'])
    expect(place.ask('c', 'x')).toMatchObject({ kind: 'wait', ahead: 0 })
    expect(place.ask('d', 'x')).toMatchObject({ kind: 'wait', ahead: 1 })
    place.end('a')
    expect(place.admitted).toEqual(['a', 'b', 'c'])
    expect(place.admission.waiting).toBe(1)
  })

  it('a client with one ask waits for one turn of each other, however many they have', () => {
    const place = new Place(1)
    place.ask('first', 'greedy')
    for (let i = 0; i < 50; i++) place.ask(`greedy-${i}`, 'greedy')
    expect(place.ask('modest', 'modest')).toMatchObject({ kind: 'wait', ahead: 1 })
    place.end('first')
    place.end('greedy-0')
    expect(place.admitted).toEqual(['first', 'greedy-0', 'modest'])
  })

  it('refuses in advance what would wait too long, with the time to ask again', () => {
    const place = new Place(1)
    place.ask('a', 'x')
    expect(place.ask('b', 'x', sessionGuessMs).kind).toBe('wait')
    expect(place.ask('c', 'x', sessionGuessMs)).toMatchObject({ kind: 'refuse', retryAfterMs: sessionGuessMs })
    expect(place.admission.waiting).toBe(1)
  })

  it('learns how long sessions take', () => {
    const place = new Place(1)
    for (let i = 0; i < 60; i++) {
      place.ask(`s${i}`, 'x')
      place.nowMs += 100
      place.end(`s${i}`)
    }
    place.ask('a', 'x')
    const verdict = place.ask('b', 'x', 1000)
    expect(verdict).toMatchObject({ kind: 'wait' })
    expect(verdict.kind === 'wait' && verdict.aboutMs).toBeLessThan(150)
  })

  it('one that has waited too long is told so; the others wait on', () => {
    const place = new Place(1)
    place.ask('a', 'x')
    place.ask('b', 'y', 5_000)
    place.ask('c', 'z', 60_000)
    place.nowMs = 5_000
    const refused = place.look().filter(({ kind }) => kind === 'refuse')
    expect(refused).toMatchObject([{ reason: 'there was no room within 5.0 s' }])
    // The next one is first now, and may try.
    expect(place.admitted).toEqual(['a', 'c'])
  })

  it('whoever is first may try after a while, and one session may always run', () => {
    const place = new Place(0)
    expect(place.ask('a', 'x').kind).toBe('admit')
    expect(place.ask('b', 'x').kind).toBe('wait')
    expect(place.ask('c', 'x').kind).toBe('wait')
    place.nowMs += admissionTryMs - 1
    place.look()
    expect(place.admitted).toEqual(['a'])
    place.nowMs += 1
    place.look()
    expect(place.admitted).toEqual(['a', 'b'])
    place.nowMs += admissionTryMs - 1
    place.look()
    expect(place.admitted).toEqual(['a', 'b'])
  })

  it('those without a route yet count as taking room', () => {
    const admission = new Admission()
    const asking = { client: 'x', room: () => 2 }
    expect(admission.ask(asking, 0).kind).toBe('admit')
    expect(admission.ask(asking, 0).kind).toBe('admit')
    expect(admission.ask(asking, 0).kind).toBe('wait')
    admission.routed(0)
    expect(admission.look(0)).toMatchObject([{ kind: 'admit' }])
  })

  it('bounds who waits, of one client and of all', () => {
    const place = new Place(1)
    place.ask('a', 'x')
    const kinds = Array.from({ length: clientWaitersMax + 1 }, (_, i) => place.ask(`x${i}`, 'x').kind)
    expect(kinds.filter(kind => kind === 'wait')).toHaveLength(clientWaitersMax)
    for (let i = 0; place.admission.waiting < waitersMax; i++) place.ask(`y${i}`, `client ${i}`)
    expect(place.ask('z', 'z')).toMatchObject({ kind: 'refuse', reason: `${waitersMax} sessions wait already` })
  })

  it('whatever comes: never more than fit but by a try, nobody is forgotten, and turns differ by one', () => {
    const events = fc.array(
      fc.record({ client: fc.integer({ min: 0, max: 3 }), kind: fc.constantFrom('ask', 'end', 'leave', 'time') }),
      { maxLength: 120 }
    )
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 4 }), (all, capacity) => {
        const place = new Place(capacity)
        const open = new Set<string>()
        let n = 0
        let tries = 0
        for (const { client, kind } of all) {
          if (kind === 'ask') {
            const name = `${n++}`
            if (place.ask(name, `c${client}`).kind !== 'refuse') open.add(name)
          } else if (kind === 'time') {
            place.nowMs += admissionTryMs
            tries += 1
            place.look()
          } else {
            const [name] = open
            if (name === undefined) continue
            open.delete(name)
            place.end(name)
          }
          expect(place.running.size).toBeLessThanOrEqual(capacity + tries)
          expect(place.running.size + place.admission.waiting).toBe(open.size)
        }
      }),
      { numRuns: 300 }
    )
  })
})
