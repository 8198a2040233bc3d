import { describe, expect, it } from 'vitest'
import { Batches, type BatchPart, computedRows, partsDone, type Turn } from '../../src/engine/batch.ts'
import { debtAwayMs, debtBurstMs, debtMaxMs, partMs } from '../../src/engine/limits.ts'

/** Time of a pass in this machine: a row alone, and what each further one takes. */
interface Machine {
  readonly firstMs: number
  readonly furtherMs: number
}

/** Drives a decider in virtual time: one pass at a time. */
class Bench {
  readonly batches: Batches
  readonly #machine: Machine
  readonly sessions = new Map<number, string>()
  readonly gatherMs = new Map<number, number>()
  readonly #left = new Map<number, number>()
  nowMs = 0
  #next = 0
  #coming: { readonly session: string; readonly atMs: number }[] = []

  constructor({ machine = { firstMs: 10, furtherMs: 3 }, rowsMax = 128, shares = true } = {}) {
    this.batches = new Batches({ rowsMax, shares })
    this.#machine = machine
  }

  push(session: string, tokens = 1, owner?: string): number {
    const id = this.#next++
    this.sessions.set(id, session)
    this.#left.set(id, tokens)
    this.batches.push({ id, session, tokens, owner }, this.nowMs)
    return id
  }

  /** What is next, by session and tokens. */
  peek(): string[] | string | undefined {
    const turn = this.batches.next(this.nowMs)
    if (turn?.kind === 'alone') return `alone ${this.sessions.get(turn.id)}`
    if (turn?.kind === 'gather') return 'gather'
    return turn === undefined ? undefined : turn.parts.map(({ id, tokens }) => `${this.sessions.get(id)} ${tokens}`)
  }

  /** A step of a session comes then. */
  comes(session: string, atMs: number): void {
    this.#coming.push({ session, atMs })
    this.#coming.sort((a, b) => a.atMs - b.atMs)
  }

  /** What comes until then has come. */
  pass(untilMs: number): void {
    while (this.#coming[0] !== undefined && this.#coming[0].atMs <= untilMs) {
      const { session, atMs } = this.#coming.shift()!
      this.nowMs = Math.max(this.nowMs, atMs)
      this.push(session)
    }
    this.nowMs = Math.max(this.nowMs, untilMs)
  }

  msOf(rows: number): number {
    return this.#machine.firstMs + (rows - 1) * this.#machine.furtherMs
  }

  /** Does what is next, and waits for it. Returns who is done. */
  step(): { readonly turn: Turn; readonly ms: number; readonly done: string[] } {
    let turn = this.batches.next(this.nowMs)
    while (turn === undefined || turn.kind === 'gather') {
      const comesMs = this.#coming[0]?.atMs ?? Number.POSITIVE_INFINITY
      this.pass(Math.min(comesMs, turn?.untilMs ?? comesMs))
      turn = this.batches.next(this.nowMs)
    }
    if (turn.kind === 'alone') {
      this.batches.over(turn.id, this.nowMs)
      return { turn, ms: 0, done: [this.sessions.get(turn.id)!] }
    }
    const { parts } = turn
    this.batches.began(parts, this.nowMs)
    for (const { id } of parts) this.gatherMs.set(id, this.batches.gatherMs(id))
    const ms = this.msOf(rowsOf(parts))
    this.pass(this.nowMs + ms)
    this.batches.ended(parts, ms, this.nowMs)
    const done: string[] = []
    for (const { id, tokens } of parts) {
      const left = this.#left.get(id)! - tokens
      this.#left.set(id, left)
      if (left > 0) continue
      this.batches.over(id, this.nowMs)
      done.push(this.sessions.get(id)!)
    }
    return { turn, ms, done }
  }

  /** So many passes in which whoever is done comes again at once. */
  loop(passes: number): void {
    for (let i = 0; i < passes; i++) for (const session of this.step().done) this.push(session)
  }
}

const rowsOf = (parts: readonly BatchPart[]): number => parts.reduce((sum, { tokens }) => sum + tokens, 0)

describe('what is computed next', () => {
  it('is nothing where nothing waits', () => {
    expect(new Bench().peek()).toBeUndefined()
  })

  it('is every lone token at once, a session one at a time', () => {
    const bench = new Bench()
    for (const session of ['a', 'b', 'b', 'c', 'a']) bench.push(session)
    expect(bench.peek()).toEqual(['a 1', 'b 1', 'c 1'])
    expect(bench.step().done).toEqual(['a', 'b', 'c'])
    expect(bench.peek()).toEqual(['b 1', 'a 1'])
  })

  it('is every draft at once, too, where they take no longer than they may', () => {
    const bench = new Bench()
    bench.push('a')
    bench.step()
    for (const session of 'abc') bench.push(session, 3)
    bench.push('d')
    expect(bench.peek()).toEqual(['d 1', 'a 3', 'b 3', 'c 3'])
  })

  it('is a cache to open or to free before all steps, but not before those of its session', () => {
    const bench = new Bench()
    bench.push('a')
    bench.push('a', 0)
    bench.push('b', 0)
    expect(bench.peek()).toBe('alone b')
    bench.step()
    expect(bench.peek()).toEqual(['a 1'])
    bench.step()
    expect(bench.peek()).toBe('alone a')
  })

  it('is no more than a pass holds', () => {
    const bench = new Bench({ rowsMax: 4 })
    for (const session of 'abcdef') bench.push(session)
    expect(bench.peek()).toEqual(['a 1', 'b 1', 'c 1', 'd 1'])
    bench.step()
    expect(bench.peek()).toEqual(['e 1', 'f 1'])
  })

  it('is a long step as a whole while nobody else answers', () => {
    const bench = new Bench()
    bench.push('a', 300)
    expect(bench.peek()).toEqual(['a 128'])
    bench.loop(2)
    expect(bench.peek()).toEqual(['a 44'])
  })

  it('is what was not dropped', () => {
    const bench = new Bench()
    const id = bench.push('a')
    bench.push('b')
    bench.batches.over(id, 0)
    expect(bench.peek()).toEqual(['b 1'])
    expect(bench.batches.length).toBe(1)
  })
})

describe('a long step beside others', () => {
  it.each([
    { name: 'a fast machine', machine: { firstMs: 5, furtherMs: 1.5 } },
    { name: 'a slow one', machine: { firstMs: 60, furtherMs: 25 } },
    { name: 'one that takes longer for a row than it may', machine: { firstMs: 300, furtherMs: 120 } }
  ])('delays their tokens by no more than the time, or one row: $name', ({ machine }) => {
    const bench = new Bench({ machine })
    for (const session of 'abc') bench.push(session)
    bench.loop(20)
    bench.push('long', 2_000)
    const allowedMs = Math.max(partMs, machine.furtherMs)
    let rows = 0
    for (let pass = 0; pass < 40; pass++) {
      const { turn, ms, done } = bench.step()
      for (const session of done) bench.push(session)
      const parts = turn.kind === 'pass' ? turn.parts : []
      const own = parts.filter(({ id }) => bench.sessions.get(id) === 'long')
      rows += rowsOf(own)
      expect(ms - bench.msOf(rowsOf(parts) - rowsOf(own))).toBeLessThanOrEqual(allowedMs * 1.1)
      // Nobody who answers is left out of it.
      expect(parts.length).toBe(4)
    }
    // And it makes use of what it has.
    expect(rows).toBeGreaterThanOrEqual(40 * Math.max(1, (0.5 * partMs) / machine.furtherMs))
  })

  it('keeps its parts small for those who answered a moment ago and are on their way', () => {
    const bench = new Bench()
    bench.push('a')
    bench.step()
    bench.nowMs += 3_000
    bench.push('long', 500)
    const [part] = bench.peek() as string[]
    expect(Number(part!.split(' ')[1])).toBeLessThan(60)
    bench.batches.forget('a')
    expect(bench.peek()).toEqual(['long 128'])
  })

  it('takes turns with other long ones', () => {
    const bench = new Bench({ machine: { firstMs: 20, furtherMs: 10 } })
    for (const session of ['a', 'b', 'c']) bench.push(session, 1_000)
    const rows = new Map<string, number>()
    for (let i = 0; i < 30; i++) {
      const { turn } = bench.step()
      for (const { id, tokens } of turn.kind === 'pass' ? turn.parts : []) {
        const session = bench.sessions.get(id)!
        rows.set(session, (rows.get(session) ?? 0) + tokens)
      }
    }
    const counts = [...rows.values()]
    expect(counts.length).toBe(3)
    expect(Math.max(...counts)).toBeLessThan(1.5 * Math.min(...counts))
  })
})

describe('sessions that come again and again', () => {
  /** Laps of `count` sessions, each away for so long after each token; passes of the last laps, by their rows. */
  function laps(count: number, awayMs: number, machine: Machine): { readonly rows: number[]; readonly perMs: number } {
    const bench = new Bench({ machine })
    // Not all at the same time.
    for (let i = 0; i < count; i++) bench.comes(`${i}`, i * 1.7)
    const rows: number[] = []
    let tokens = 0
    let sinceMs = 0
    for (let pass = 0; pass < 400; pass++) {
      if (pass === 200) sinceMs = bench.nowMs
      const { turn, done } = bench.step()
      for (const session of done) bench.comes(session, bench.nowMs + awayMs)
      if (pass < 200) continue
      rows.push(rowsOf(turn.kind === 'pass' ? turn.parts : []))
      tokens += done.length
    }
    return { rows, perMs: tokens / (bench.nowMs - sinceMs) }
  }
  const machine = { firstMs: 6, furtherMs: 1.6 }

  it.each([2, 3, 8])('share every pass where they are back at once: %i of them', count => {
    const { rows, perMs } = laps(count, 0.8, machine)
    expect(Math.min(...rows)).toBe(count)
    expect(perMs).toBeGreaterThan((0.99 * count) / (6 + (count - 1) * 1.6 + 0.8))
  })

  it('are computed in groups where others compute them meanwhile', () => {
    // As long away as a pass of four takes: two stages of the same speed.
    const { rows, perMs } = laps(8, 10.8, machine)
    expect(new Set(rows)).toEqual(new Set([4]))
    expect(perMs).toBeGreaterThan(0.99 * (8 / 21.6))
  })

  it('are not waited for where they are away for long', () => {
    const { perMs } = laps(2, 60, machine)
    expect(perMs).toBeGreaterThan(0.97 * (2 / 66))
  })
})

it('waits no longer for one that does not come back than what it would save', () => {
  const bench = new Bench()
  for (const session of 'ab') bench.push(session)
  for (let i = 0; i < 10; i++) {
    for (const session of bench.step().done) {
      bench.nowMs += 0.5
      bench.push(session)
    }
  }
  bench.step()
  bench.nowMs += 0.5
  const cameMs = bench.nowMs
  const id = bench.push('a')
  expect(bench.peek()).toBe('gather')
  const { turn } = bench.step()
  const waitedMs = bench.nowMs - bench.msOf(1) - cameMs
  expect(waitedMs).toBeLessThan(5)
  expect(turn).toMatchObject({ parts: [{ id }] })
  expect(bench.gatherMs.get(id)).toBeCloseTo(waitedMs)
})

describe('an engine that computes one session at a time', () => {
  it('takes them by turns, long ones in parts', () => {
    const bench = new Bench({ shares: false, machine: { firstMs: 10, furtherMs: 10 } })
    bench.push('a')
    bench.loop(20)
    bench.push('long', 100)
    const seen = Array.from({ length: 6 }, () => {
      const next = bench.peek() as string[]
      for (const session of bench.step().done) bench.push(session)
      return next
    })
    expect(seen.map(each => each.length)).toEqual([1, 1, 1, 1, 1, 1])
    expect(seen.map(([each]) => each!.split(' ')[0])).toEqual(['a', 'long', 'a', 'long', 'a', 'long'])
    for (const [each] of seen) expect(Number(each!.split(' ')[1])).toBeLessThanOrEqual(partMs / 10)
  })
})

describe('a step that another one computes', () => {
  const pass = (bench: Bench): string[] => bench.peek() as string[]
  const turn = (batches: Batches): readonly BatchPart[] => {
    const next = batches.next(0)
    if (next?.kind !== 'pass') throw new Error('there is a pass')
    batches.began(next.parts, 0)
    return next.parts
  }

  it('takes no turn until that is over, and then its own', () => {
    const bench = new Bench({ rowsMax: 100 })
    const { batches } = bench
    const [a, b, c] = [bench.push('a', 128), bench.push('b', 128), bench.push('c', 128)]
    batches.ended(turn(batches), 1, 0)
    expect(pass(bench)).toEqual(['b 100'])
    batches.ended(partsDone(turn(batches), [{ reused: 0, waitsFor: 'a' }]), 1, 0)
    // Others are not held up.
    expect(pass(bench)).toEqual(['c 100'])
    batches.ended(turn(batches), 1, 0)
    // A first pass takes one row of it, since nothing is known of how long that is.
    expect(pass(bench)).toEqual(['a 100'])
    batches.over(a, 0)
    expect(pass(bench)).toEqual(['b 100'])
    // All of it is known now.
    const done = partsDone(turn(batches), [{ reused: 128 }])
    expect(done).toEqual([{ id: b, done: 0, tokens: 128, known: true }])
    expect(computedRows(done)).toBe(0)
    batches.ended(done, 1, 0)
    batches.over(b, 0)
    batches.over(c, 0)
    expect(bench.peek()).toBeUndefined()
  })

  it('waits for nobody who is gone', () => {
    const bench = new Bench({ rowsMax: 100 })
    const { batches } = bench
    bench.push('b', 128)
    batches.ended(partsDone(turn(batches), [{ reused: 0, waitsFor: 'a' }]), 1, 0)
    expect(pass(bench)).toEqual(['b 100'])
  })
})

describe('a driver that has had more than its part', () => {
  /** Passes of `heavy`, which has so many sessions that always wait, beside sessions of others, each of which comes again when it was computed. */
  function run(others: number, heavySessions: number, untilMs: number, tokens = 1) {
    const bench = new Bench()
    const owners = new Map<string, string>()
    for (let i = 0; i < heavySessions; i++) owners.set(`heavy-${i}`, 'heavy')
    for (let i = 0; i < others; i++) owners.set(`other-${i}`, `other-${i}`)
    for (const [session, owner] of owners) bench.push(session, session.startsWith('heavy') ? tokens : 1, owner)
    const had = new Map<string, number>()
    const rows: number[] = []
    while (bench.nowMs < untilMs) {
      const { turn, ms, done } = bench.step()
      if (turn.kind !== 'pass') continue
      if (bench.nowMs > untilMs / 2) {
        const all = turn.parts.reduce((sum, part) => sum + part.tokens, 0)
        rows.push(all)
        for (const part of turn.parts) {
          const owner = owners.get(bench.sessions.get(part.id)!)!
          had.set(owner, (had.get(owner) ?? 0) + (ms * part.tokens) / all)
        }
      }
      for (const session of done) bench.push(session, session.startsWith('heavy') ? tokens : 1, owners.get(session))
    }
    const sum = [...had.values()].reduce((a, b) => a + b, 0)
    return { share: (had.get('heavy') ?? 0) / sum, rows }
  }

  it('has an equal part of the time, however many sessions it has', () => {
    expect(run(4, 32, 60_000).share).toBeCloseTo(1 / 5, 1)
    expect(run(1, 32, 60_000).share).toBeCloseTo(1 / 2, 1)
  })

  it('has no more with prompts without end', () => {
    expect(run(4, 2, 60_000, 128).share).toBeCloseTo(1 / 5, 1)
  })

  it('has all of it, in whole passes, where nobody else is there', () => {
    const { share, rows } = run(0, 32, 10_000)
    expect(share).toBe(1)
    expect(Math.min(...rows)).toBe(32)
  })

  it('has no more of what is known, which is copied and goes on to the next hop all the same', () => {
    const bench = new Bench()
    const known = { reused: 128 }
    let [copied, others] = [0, 0]
    bench.push('heavy', 128, 'heavy')
    for (let i = 0; i < 4; i++) bench.push(`other-${i}`, 1, `other-${i}`)
    while (bench.nowMs < 120_000) {
      const turn = bench.batches.next(bench.nowMs)
      if (turn?.kind !== 'pass') {
        bench.nowMs = turn?.kind === 'gather' ? turn.untilMs : bench.nowMs + 1
        continue
      }
      bench.batches.began(turn.parts, bench.nowMs)
      const isHeavy = ({ id }: BatchPart): boolean => bench.sessions.get(id) === 'heavy'
      const done = partsDone(
        turn.parts,
        turn.parts.map(part => (isHeavy(part) ? known : {}))
      )
      const ms = bench.msOf(Math.max(1, computedRows(done)))
      bench.nowMs += ms
      bench.batches.ended(done, ms, bench.nowMs)
      for (const part of done) {
        const session = bench.sessions.get(part.id)!
        if (bench.nowMs > 60_000) {
          if (isHeavy(part)) copied += part.tokens
          else others += part.tokens
        }
        bench.batches.over(part.id, bench.nowMs)
        bench.push(session, isHeavy(part) ? 128 : 1, session)
      }
    }
    // Of rows that count for an eighth, and come 128 at a time: once in four passes, in which it has four fifths of the time.
    expect(copied / 8 / (others / 4)).toBeLessThan(5)
    expect(copied).toBeGreaterThan(0)
  })

  it('costs others little between two of their tokens: it waits to be computed for beside them', () => {
    const tokens = (heavySessions: number): number => {
      const bench = new Bench({ machine: { firstMs: 1.2, furtherMs: 0.2 } })
      for (let i = 0; i < heavySessions; i++) bench.push(`heavy-${i}`, 1, 'heavy')
      for (let i = 0; i < 4; i++) bench.comes(`other-${i}`, i)
      let computed = 0
      while (bench.nowMs < 30_000) {
        const { done } = bench.step()
        for (const session of done) {
          if (session.startsWith('heavy')) bench.push(session, 1, 'heavy')
          else bench.comes(session, bench.nowMs + 5)
          if (session.startsWith('other') && bench.nowMs > 15_000) computed += 1
        }
        // What has come meanwhile is there for the next pass.
        bench.pass(bench.nowMs)
      }
      return computed
    }
    expect(tokens(16) / tokens(0)).toBeGreaterThan(0.86)
  })

  it('is computed for in short passes while others are away for a moment, and in whole ones once they have gone', () => {
    const bench = new Bench()
    const again = (): { readonly rows: number; readonly done: string[] } => {
      const { turn, done } = bench.step()
      for (const session of done) if (session !== 'other') bench.push(session, 1, 'heavy')
      return { rows: turn.kind === 'pass' ? turn.parts.length : 0, done }
    }
    for (let i = 0; i < 32; i++) bench.push(`heavy-${i}`, 1, 'heavy')
    while (bench.nowMs < 2 * debtBurstMs + debtMaxMs) {
      bench.push('other', 1, 'other')
      while (!again().done.includes('other'));
    }
    expect(again().rows).toBeLessThan(8)
    bench.nowMs += debtAwayMs + 1
    expect(again().rows).toBe(32)
  })
})
