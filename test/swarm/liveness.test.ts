/** The liveness decider in virtual time. Rule numbers are those of `protocols/alive.md`. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Alive } from '../../protocols/alive.ts'
import type { PeerId } from '../../src/base/ids.ts'
import { type Rng, seeded } from '../../src/base/rng.ts'
import {
  aliveDoubtMs,
  aliveLateFirstMs,
  aliveLateMs,
  aliveOpeningMs,
  aliveSamplesMin,
  aliveSuspectMs,
  aliveTickMs,
  aliveTickSlowMs,
  aliveUnmeasuredMs,
  beatFastMs,
  beatKeptMs,
  beatSlowMs,
  silenceMaxMs
} from '../../src/swarm/liveness-limits.ts'
import { Liveness, type LivenessEffect } from '../../src/swarm/liveness.ts'
import { Clock, type LinkQuality, TcpModel } from './tcp-model.ts'

const lan: LinkQuality = { delayMs: 0.2, jitterMs: 0.5, loss: 0 }
const bad: LinkQuality = { delayMs: 5, jitterMs: 200, loss: 0.05 }

interface Verdict {
  readonly by: string
  readonly of: string
  readonly atMs: number
  readonly alone: boolean
  /** As the one who judges knew them at that moment. */
  readonly suspects: readonly string[]
}

type Told = (a: string, b: string) => boolean

/** Peers in a full mesh over modelled TCP, in virtual time. */
class Mesh {
  readonly clock = new Clock()
  readonly verdicts: Verdict[] = []
  readonly unheard: { by: string; from: string; isUnheard: boolean; atMs: number }[] = []
  readonly #rng: Rng
  readonly #peers = new Map<string, Liveness>()
  /** `from>to` */
  readonly #wires = new Map<string, TcpModel>()
  readonly #stopped = new Map<string, number>()
  readonly #watched: Told
  readonly #kept: Told
  frames = 0

  constructor(
    names: readonly string[],
    quality: LinkQuality,
    { seed = 1, watched = () => true, kept = () => false }: { seed?: number; watched?: Told; kept?: Told } = {}
  ) {
    this.#kept = kept
    this.#rng = seeded(seed)
    this.#watched = watched
    for (const from of names) {
      for (const to of names) {
        if (from === to) continue
        const wire = new TcpModel(this.clock, this.#rng, quality, frame => {
          // A stopped process reads what its kernel kept when it runs again.
          const resume = (): void => {
            const untilMs = this.#stopped.get(to) ?? 0
            if (untilMs > this.clock.nowMs) this.clock.at(untilMs + 1, resume)
            else
              this.#do(
                to,
                this.#peers.get(to)!.handle({ kind: 'frame', peer: from as PeerId, frame }, this.clock.nowMs)
              )
          }
          resume()
        })
        this.#wires.set(`${from}>${to}`, wire)
      }
    }
    for (const name of names) {
      const liveness = new Liveness()
      this.#peers.set(name, liveness)
      const others = names.filter(other => other !== name)
      const tick = (): void => {
        const { nowMs } = this.clock
        const untilMs = this.#stopped.get(name) ?? 0
        // A late timer fires before what has come is read.
        if (untilMs > nowMs) {
          if (Number.isFinite(untilMs)) this.clock.at(untilMs, tick)
          return
        }
        const links = others
          .filter(other => !this.#parted(name, other))
          .map(other => ({
            peer: other as PeerId,
            bytesIn: this.wire(other, name).bytesIn,
            bytesOut: this.wire(name, other).bytesOut,
            watched: this.#watched(name, other),
            kept: this.#kept(name, other)
          }))
        this.#do(name, liveness.handle({ kind: 'tick', links }, nowMs))
        this.clock.after(liveness.tickMs + this.#rng() * 2, tick)
      }
      this.clock.after(this.#rng() * 20, tick)
    }
  }

  wire(from: string, to: string): TcpModel {
    return this.#wires.get(`${from}>${to}`)!
  }

  /** The process does not run for so long; its kernel does. */
  stop(name: string, ms: number): void {
    this.#stopped.set(name, this.clock.nowMs + ms)
  }

  cut(name: string): void {
    for (const [way, wire] of this.#wires) if (way.split('>').includes(name)) wire.down = true
  }

  suspects(by: string): string[] {
    return [...this.#peers.get(by)!.suspects].sort()
  }

  rttMs(by: string, of: string): number | undefined {
    return this.#peers.get(by)!.rttMs(of as PeerId)
  }

  /** The one that gave the other up reset their connection, which the other notices if the reset gets through. */
  #parted(name: string, other: string): boolean {
    return this.verdicts.some(
      ({ by, of }) => (by === name && of === other) || (by === other && of === name && !this.wire(other, name).down)
    )
  }

  #do(name: string, effects: LivenessEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') {
        this.frames += 1
        this.wire(name, effect.peer).send(effect.frame)
      } else if (effect.kind === 'silent') {
        const suspects = this.suspects(name)
        this.verdicts.push({ by: name, of: effect.peer, atMs: this.clock.nowMs, alone: effect.alone, suspects })
      } else if (effect.kind === 'unheard') {
        this.unheard.push({ by: name, from: effect.peer, isUnheard: effect.isUnheard, atMs: this.clock.nowMs })
      } else throw new Error(effect.message)
    }
  }
}

describe('L1, L2: beats', () => {
  test.each([
    ['watched', 'watched', 1000 / (beatFastMs + aliveTickMs), 1000 / beatFastMs],
    ['kept', 'kept', 1000 / (beatKeptMs + aliveTickSlowMs), 1000 / beatKeptMs],
    ['idle', undefined, 1000 / (beatSlowMs + aliveTickSlowMs), 1000 / beatSlowMs]
  ] as const)('%s links carry no more than they need', (_, need, least, most) => {
    const mesh = new Mesh(['a', 'b'], lan, { watched: () => need === 'watched', kept: () => need === 'kept' })
    mesh.clock.run(10_000)
    mesh.frames = 0
    mesh.clock.run(70_000)
    const perSecond = mesh.frames / 60 / 2
    expect(perSecond).toBeGreaterThan(least * 0.9)
    // Every round trip that is measured costs a frame more.
    expect(perSecond).toBeLessThan(most * 1.3)
    expect(mesh.verdicts).toEqual([])
  })

  test('who sends anyway sends no beats', () => {
    const liveness = new Liveness()
    let frames = 0
    for (let ms = 0; ms < 10_000; ms += aliveTickMs) {
      const links = [{ peer: 'b' as PeerId, bytesIn: ms, bytesOut: ms, watched: true }]
      for (const effect of liveness.handle({ kind: 'tick', links }, ms)) {
        if (effect.kind !== 'send') continue
        frames += 1
        const { ping, dueMs } = Alive.decode(effect.frame)
        if (ping === undefined) continue
        liveness.handle({ kind: 'frame', peer: 'b' as PeerId, frame: Alive.encode({ dueMs, pong: ping }) }, ms + 1)
      }
    }
    // The first says how soon the next comes, and asks; then a round trip is measured only when a beat is owed.
    expect(frames).toBeLessThanOrEqual(2)
  })

  test('L3: a ping is answered with its own value, but not as often as anybody likes', () => {
    const liveness = new Liveness()
    const links = [{ peer: 'b' as PeerId, bytesIn: 0, bytesOut: 0, watched: false }]
    liveness.handle({ kind: 'tick', links }, 0)
    const ping = Alive.encode({ dueMs: 1000, ping: 4_000_000_000 })
    const effects = Array.from({ length: 100 }, () =>
      liveness.handle({ kind: 'frame', peer: 'b' as PeerId, frame: ping }, 10)
    )
    const sent = effects.flat()
    expect(sent.length).toBe(1)
    expect(sent[0]?.kind === 'send' && Alive.decode(sent[0].frame).pong).toBe(4_000_000_000)
  })

  test('L7: what is no frame is a violation, and no reason to stop', () => {
    const liveness = new Liveness()
    liveness.handle({ kind: 'tick', links: [{ peer: 'b' as PeerId, bytesIn: 0, bytesOut: 0, watched: true }] }, 0)
    const effects = liveness.handle({ kind: 'frame', peer: 'b' as PeerId, frame: Uint8Array.of(255) }, 1)
    expect(effects).toMatchObject([{ kind: 'violation', peer: 'b' }])
    expect(liveness.handle({ kind: 'frame', peer: 'c' as PeerId, frame: Uint8Array.of(255) }, 1)).toEqual([])
  })
})

describe('L4: silence', () => {
  // Two more ticks until it is sure, each of which may be a little late.
  const limitMs = beatFastMs + aliveTickMs + aliveLateMs + 2 * aliveTickMs + 20

  test('on a LAN a watched peer is missed within a second, whenever it falls silent', () => {
    const latencies: number[] = []
    for (let seed = 1; seed <= 200; seed++) {
      const mesh = new Mesh(['a', 'b', 'c'], lan, { seed })
      const atMs = 5000 + seed * 7.3
      mesh.clock.run(atMs)
      mesh.cut('b')
      mesh.clock.run(atMs + 3000)
      expect(mesh.verdicts.filter(v => v.of !== 'b' && v.by !== 'b')).toEqual([])
      for (const verdict of mesh.verdicts) if (verdict.of === 'b') latencies.push(verdict.atMs - atMs)
    }
    expect(latencies.length).toBe(400)
    expect(Math.max(...latencies)).toBeLessThan(limitMs)
    expect(Math.max(...latencies)).toBeLessThan(1000)
  })

  test('one that nobody watches is missed within two', () => {
    const mesh = new Mesh(['a', 'b', 'c'], lan, { watched: () => false })
    mesh.clock.run(20_000)
    mesh.cut('b')
    mesh.clock.run(30_000)
    const own = mesh.verdicts.filter(v => v.of === 'b')
    expect(own.length).toBe(2)
    for (const { atMs } of own) expect(atMs - 20_000).toBeLessThan(2250)
  })

  test('one that begins to be watched was silent from then on at most', () => {
    let watched = false
    const mesh = new Mesh(['a', 'b'], lan, { watched: () => watched })
    mesh.clock.run(20_900)
    watched = true
    mesh.clock.run(60_000)
    expect(mesh.verdicts).toEqual([])
  })

  test('L5: who hears nobody any more blames nobody', () => {
    const mesh = new Mesh(['a', 'b', 'c', 'd'], lan, { watched: (a, b) => (a < b ? `${a}${b}` : `${b}${a}`) === 'ab' })
    mesh.clock.run(20_000)
    mesh.cut('a')
    mesh.clock.run(25_000)
    const ofA = mesh.verdicts.filter(v => v.of === 'a')
    const byA = mesh.verdicts.filter(v => v.by === 'a')
    expect(ofA.map(v => v.alone)).toEqual([false, false, false])
    expect(byA.map(v => v.alone)).toEqual([true, true, true])
    expect(mesh.verdicts.length).toBe(6)
  })

  test.each([
    [false, aliveOpeningMs],
    // Who depends on it cannot wait as long.
    [true, aliveUnmeasuredMs]
  ])('a peer that never speaks is given the time to start (watched: %s)', (watched, limitMs) => {
    const liveness = new Liveness()
    const links = [{ peer: 'b' as PeerId, bytesIn: 5, bytesOut: 0, watched }]
    let silentMs: number | undefined
    for (let ms = 0; silentMs === undefined; ms += aliveTickMs) {
      if (liveness.handle({ kind: 'tick', links }, ms).some(e => e.kind === 'silent')) silentMs = ms
    }
    expect(silentMs).toBeGreaterThanOrEqual(limitMs)
    expect(silentMs).toBeLessThan(limitMs + beatSlowMs + 2 * aliveTickSlowMs)
  })

  test('a link that is busy from its first moment on is measured all the same, and missed as soon as any', () => {
    const liveness = new Liveness()
    const link = { peer: 'b' as PeerId, bytesIn: 0, bytesOut: 0, watched: true }
    let pings = 0
    let ms = 0
    const run = (untilMs: number, answers: boolean): void => {
      for (; ms < untilMs; ms += aliveTickMs) {
        link.bytesIn += 600
        link.bytesOut += 600
        for (const effect of liveness.handle({ kind: 'tick', links: [link] }, ms)) {
          const { ping, dueMs } = effect.kind === 'send' ? Alive.decode(effect.frame) : {}
          if (ping === undefined) continue
          pings += 1
          if (answers)
            liveness.handle({ kind: 'frame', peer: link.peer, frame: Alive.encode({ dueMs, pong: ping }) }, ms + 1)
        }
      }
    }
    // What is asked before its alive channel is open goes nowhere.
    run(1_000, false)
    expect(pings).toBeGreaterThanOrEqual(5)
    expect(liveness.rttMs(link.peer)).toBeUndefined()
    run(2_000, true)
    expect(liveness.rttMs(link.peer)).toBeLessThan(aliveTickMs)
    const fromMs = ms
    while (!liveness.handle({ kind: 'tick', links: [link] }, ms).some(e => e.kind === 'silent')) ms += aliveTickMs
    expect(ms - fromMs).toBeLessThan(1_000)
  })

  test('whatever a link has shown, its limit has a limit', () => {
    const liveness = new Liveness()
    const link = { peer: 'b' as PeerId, bytesIn: 0, bytesOut: 0, watched: true }
    const frame = Alive.encode({ dueMs: 1e9, pong: 5 })
    let ms = 0
    // It is late by nine seconds, time and again, and lies about everything.
    for (let i = 0; i < 20; i++) {
      for (let end = ms + 9000; ms < end; ms += aliveTickMs) liveness.handle({ kind: 'tick', links: [link] }, ms)
      liveness.handle({ kind: 'frame', peer: link.peer, frame }, ms)
    }
    let silentMs = ms
    while (!liveness.handle({ kind: 'tick', links: [link] }, silentMs).some(e => e.kind === 'silent'))
      silentMs += aliveTickMs
    expect(silentMs - ms).toBeLessThan(silenceMaxMs + 1500)
  })
})

describe('L9: a link on which one end hears the other, and not the other way round', () => {
  test.each([
    ['watched', true],
    ['idle', false]
  ])('%s: who is not heard is told before it is given up', (_, watched) => {
    const mesh = new Mesh(['a', 'b', 'c'], lan, { watched: () => watched })
    mesh.clock.run(20_000)
    expect(mesh.unheard).toEqual([])
    const cutMs = mesh.clock.nowMs
    mesh.wire('a', 'b').down = true
    mesh.clock.run(cutMs + 5_000)
    const [first] = mesh.unheard
    expect(first).toMatchObject({ by: 'a', from: 'b', isUnheard: true })
    const verdict = mesh.verdicts.find(({ by, of }) => by === 'b' && of === 'a')!
    // In time for a record to come by another way.
    expect(verdict.atMs - first!.atMs).toBeGreaterThan(100)
    expect(mesh.unheard.every(({ by, from }) => by === 'a' && from === 'b')).toBe(true)
    expect(mesh.verdicts.filter(({ of }) => of === 'c')).toEqual([])
  })

  test('a burst of losses that ends is told, too, and taken back', () => {
    const mesh = new Mesh(['a', 'b', 'c'], lan)
    mesh.clock.run(20_000)
    const cutMs = mesh.clock.nowMs
    mesh.wire('a', 'b').down = true
    mesh.clock.run(cutMs + 550)
    expect(mesh.unheard.map(({ isUnheard }) => isUnheard)).toEqual([true])
    mesh.wire('a', 'b').down = false
    mesh.clock.run(cutMs + 5_000)
    expect(mesh.verdicts).toEqual([])
    expect(mesh.unheard.map(({ isUnheard }) => isUnheard)).toEqual([true, false])
  })

  test('P10: nobody changes its mind about it more than once a second', () => {
    const liveness = new Liveness()
    let changes = 0
    for (let ms = 0; ms < 10_000; ms += 10) {
      if (ms % 50 === 0) {
        liveness.handle({ kind: 'tick', links: [{ peer: 'b' as PeerId, bytesIn: ms, bytesOut: 0, watched: true }] }, ms)
      }
      const frame = Alive.encode({ dueMs: 200, ...(ms % 20 === 0 ? { unheardMs: 1 } : {}) })
      for (const { kind } of liveness.handle({ kind: 'frame', peer: 'b' as PeerId, frame }, ms))
        if (kind === 'unheard') changes++
    }
    expect(changes).toBeLessThan(25)
    expect(changes).toBeGreaterThan(2)
  })
})

describe('L8: suspects', () => {
  test('who falls silent is suspect long before it is given up, and two at once are so together', () => {
    const mesh = new Mesh(['a', 'b', 'c', 'd'], lan)
    mesh.clock.run(20_000)
    expect(mesh.suspects('a')).toEqual([])
    mesh.cut('b')
    mesh.cut('c')
    mesh.clock.run(20_000 + beatFastMs + aliveTickMs + 2 * aliveDoubtMs + aliveSuspectMs + 3 * aliveTickMs)
    expect(mesh.verdicts).toEqual([])
    expect(mesh.suspects('a')).toEqual(['b', 'c'])
    mesh.clock.run(22_000)
    // At the moment of the first verdict the second was known.
    expect(mesh.verdicts.find(({ by }) => by === 'a')?.suspects).toEqual(['b', 'c'])
  })

  test('one that nobody watches is asked when another is in doubt: who falls silent with it is suspect in time', () => {
    const mesh = new Mesh(['a', 'b', 'c'], lan, { watched: (x, y) => [x, y].sort().join('') === 'ab' })
    mesh.clock.run(20_000)
    mesh.cut('b')
    mesh.cut('c')
    mesh.clock.run(22_000)
    expect(mesh.verdicts.find(({ by, of }) => by === 'a' && of === 'b')?.suspects).toEqual(['b', 'c'])
  })

  test('who answers again is suspect no more, and one that did not run suspects nobody', () => {
    const mesh = new Mesh(['a', 'b', 'c'], lan)
    mesh.clock.run(20_000)
    mesh.stop('b', 500)
    mesh.clock.run(20_450)
    expect(mesh.suspects('a')).toEqual(['b'])
    mesh.clock.run(21_000)
    expect(mesh.suspects('a')).toEqual([])
    mesh.stop('a', 450)
    mesh.clock.run(21_460)
    expect(mesh.suspects('a')).toEqual([])
    mesh.clock.run(30_000)
    expect(mesh.verdicts).toEqual([])
  })
})

describe('L4: no false alarm', () => {
  test.each([1, 2, 3])('an hour at 5 % loss and 200 ms jitter evicts nobody (seed %i)', seed => {
    const mesh = new Mesh(['a', 'b'], bad, { seed })
    mesh.clock.run(3_600_000)
    expect(mesh.verdicts).toEqual([])
    expect(mesh.rttMs('a', 'b')).toBeGreaterThan(100)
  })

  test('nor does any other mixture of loss, delay and jitter that TCP gets through, from the first moment on', () => {
    const qualities = fc.record({
      seed: fc.nat(),
      delayMs: fc.double({ min: 0, max: 60, noNaN: true }),
      jitterMs: fc.double({ min: 0, max: 200, noNaN: true }),
      loss: fc.double({ min: 0, max: 0.05, noNaN: true }),
      watched: fc.boolean()
    })
    fc.assert(
      fc.property(qualities, ({ seed, watched, ...quality }) => {
        const mesh = new Mesh(['a', 'b'], quality, { seed, watched: () => watched })
        mesh.clock.run(300_000)
        expect(mesh.verdicts).toEqual([])
      }),
      { numRuns: 60 }
    )
  })

  test('a perfect link that turns bad at once is seldom mistaken while it shows it', () => {
    let blamed = 0
    for (let seed = 1; seed <= 100; seed++) {
      const mesh = new Mesh(['a', 'b'], lan, { seed })
      mesh.clock.run(30_000)
      mesh.wire('a', 'b').quality = bad
      mesh.wire('b', 'a').quality = bad
      mesh.clock.run(90_000)
      blamed += mesh.verdicts.length
    }
    // A limit below a second cannot know what comes: 5 of 400.
    expect(blamed).toBeLessThanOrEqual(3)
  })

  test('L6: a process that did not run for a while blames nobody', () => {
    const mesh = new Mesh(['a', 'b'], lan, { watched: () => true })
    mesh.clock.run(10_000)
    // Below what the others put up with, so that only its own judgement counts.
    for (let i = 0; i < 20; i++) {
      mesh.stop('a', 450)
      mesh.clock.run(mesh.clock.nowMs + 2000)
    }
    expect(mesh.verdicts).toEqual([])
    mesh.stop('a', 20_000)
    mesh.clock.run(mesh.clock.nowMs + 30_000)
    expect(mesh.verdicts.map(v => v.by)).toEqual(['b'])
  })

  test('L6: it forgives what it missed, and goes on to notice a silence that began meanwhile', () => {
    const liveness = new Liveness()
    const link = { peer: 'b' as PeerId, bytesIn: 0, bytesOut: 0, watched: true }
    let ms = 0
    for (let i = 0; i < 2 * aliveSamplesMin; i++, ms += aliveTickMs) {
      liveness.handle({ kind: 'tick', links: [link] }, ms)
      const frame = Alive.encode({ dueMs: beatFastMs + aliveTickMs, pong: ms })
      liveness.handle({ kind: 'frame', peer: link.peer, frame }, ms)
    }
    ms += 60_000
    expect(liveness.handle({ kind: 'tick', links: [link] }, ms).map(e => e.kind)).not.toContain('silent')
    const resumedMs = ms
    while (!liveness.handle({ kind: 'tick', links: [link] }, ms).some(e => e.kind === 'silent')) ms += aliveTickMs
    expect(ms - resumedMs).toBeLessThan(aliveLateFirstMs)
    expect(ms - resumedMs).toBeGreaterThan(aliveLateMs - aliveDoubtMs)
  })

  test('bytes of any kind are life: a bulk transfer that delays beats by seconds is one', () => {
    const liveness = new Liveness()
    const link = { peer: 'b' as PeerId, bytesIn: 0, bytesOut: 0, watched: true }
    for (let ms = 0; ms < 60_000; ms += aliveTickMs) {
      link.bytesIn += 1400
      expect(liveness.handle({ kind: 'tick', links: [link] }, ms).some(e => e.kind === 'silent')).toBe(false)
    }
  })
})
