/** Who is believed to serve what it says. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seeded } from '../../src/base/rng.ts'
import { recordsMax } from '../../src/limits.ts'
import {
  doubtMemoryMs,
  probeFailuresMax,
  probeJitterMs,
  probeMaxMs,
  probeMs,
  probeRetryMaxMs,
  probesAtOnceMax
} from '../../src/route/limits.ts'
import { answerRoute } from '../../src/route/asking.ts'
import { Proven, type ProvenEffect } from '../../src/route/proven.ts'
import type { PeerView } from '../../src/route/view.ts'
import { peer, peerId, plainModel, runs, stage } from './worlds.ts'

const me = peerId(0)
const whole = { start: 0, end: 4 }
const serves = (index: number, more: Partial<PeerView> = {}) => peer(index, 4, { stages: [stage(0, 4)], ...more })

/** A decider, and its probes in virtual time: each takes `tookMs` and is good where `isGood` says so. */
class Scene {
  readonly proven = new Proven(me, seeded(7))
  readonly asked: { readonly peer: string; readonly atMs: number; readonly deadlineMs: number }[] = []
  nowMs = 0
  under = 0
  most = 0
  #ends: { readonly atMs: number; readonly effect: ProvenEffect & { kind: 'probe' } }[] = []
  #wakes: number[] = []
  readonly #isGood: (peer: string, count: number) => boolean
  readonly #tookMs: number

  constructor(isGood: (peer: string, count: number) => boolean, tookMs = 10) {
    this.#isGood = isGood
    this.#tookMs = tookMs
  }

  view(peers: readonly PeerView[], connected = true): void {
    this.#do(this.proven.handle({ kind: 'view', peers: peers.map(view => ({ view, connected })) }, this.nowMs))
  }

  run(untilMs: number): void {
    for (;;) {
      const atMs = Math.min(...this.#ends.map(end => end.atMs), ...this.#wakes)
      if (!(atMs <= untilMs)) break
      this.nowMs = Math.max(this.nowMs, atMs)
      this.#wakes = this.#wakes.filter(wake => wake > atMs)
      const ended = this.#ends.filter(end => end.atMs <= atMs)
      this.#ends = this.#ends.filter(end => end.atMs > atMs)
      for (const { effect } of ended) {
        this.under--
        const isGood = this.#isGood(effect.peer, this.asked.filter(each => each.peer === effect.peer).length)
        const { peer: of, range } = effect
        this.#do(this.proven.handle({ kind: 'probed', peer: of, range, isGood }, this.nowMs))
      }
      if (ended.length === 0) this.#do(this.proven.handle({ kind: 'tick' }, this.nowMs))
    }
    this.nowMs = untilMs
  }

  #do(effects: readonly ProvenEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'wake') {
        expect(effect.atMs).toBeGreaterThan(this.nowMs)
        this.#wakes.push(effect.atMs)
        continue
      }
      this.under++
      this.most = Math.max(this.most, this.under)
      this.asked.push({ peer: effect.peer, atMs: this.nowMs, deadlineMs: effect.deadlineMs })
      const tookMs = Math.min(this.#tookMs, effect.deadlineMs)
      this.#ends.push({ atMs: this.nowMs + tookMs, effect })
    }
  }
}

describe('a stage', () => {
  it('is asked once within a second of its record, and is believed meanwhile', () => {
    const scene = new Scene(() => true)
    scene.view([peer(0, 4), serves(1)])
    expect(scene.asked).toEqual([])
    expect(scene.proven.isDoubtful(peerId(1))).toBe(false)
    for (let atMs = 100; atMs < 600_000; atMs += 5_000) {
      scene.run(atMs)
      scene.view([peer(0, 4), serves(1, { sessions: atMs % 3 })])
    }
    expect(scene.asked.length).toBe(1)
    expect(scene.asked[0]!.atMs).toBeLessThanOrEqual(probeJitterMs)
    expect(scene.proven.isDoubtful(peerId(1))).toBe(false)
  })

  it('is asked again when it has begun anew, and another stage of its peer is asked, too', () => {
    const scene = new Scene(() => true)
    for (const stages of [[stage(0, 4)], [], [stage(0, 4)], [stage(0, 4), stage(0, 2)]]) {
      scene.view([peer(1, 4, { stages })])
      scene.run(scene.nowMs + 5_000)
    }
    expect(scene.asked.length).toBe(3)
  })

  it('is not asked while it loads, while its peer is leaving or is not connected, nor of this peer itself', () => {
    const scene = new Scene(() => true)
    const [loading, leaving] = [peer(1, 4, { stages: [stage(0, 4, false)] }), serves(2, { leaving: true })]
    scene.view([serves(0), loading, leaving])
    scene.run(60_000)
    scene.view([serves(3)], false)
    scene.run(120_000)
    expect(scene.asked).toEqual([])
    scene.view([serves(3)])
    expect(scene.asked.length).toBe(1)
  })

  it('puts its peer in doubt within seconds when its probes fail, and is asked less and less often', () => {
    const scene = new Scene(() => false, Number.POSITIVE_INFINITY)
    scene.view([serves(1)])
    scene.run(probeJitterMs + probeMs)
    expect(scene.proven.isDoubtful(peerId(1))).toBe(false)
    scene.run(10_000)
    expect(scene.proven.isDoubtful(peerId(1))).toBe(true)
    scene.run(3_600_000)
    expect(scene.asked.length).toBeLessThan(10 + 3_600_000 / probeRetryMaxMs)
    expect(scene.asked.length).toBeGreaterThan(10)
  })

  it('is believed again as soon as it computes, in a probe or for a session', () => {
    const scene = new Scene((_, count) => count > probeFailuresMax + 1)
    scene.view([serves(1), serves(2)])
    scene.run(3_000)
    expect([1, 2].map(i => scene.proven.isDoubtful(peerId(i)))).toEqual([true, true])
    scene.proven.handle({ kind: 'worked', peer: peerId(2), range: whole }, scene.nowMs)
    expect([1, 2].map(i => scene.proven.isDoubtful(peerId(i)))).toEqual([true, false])
    scene.run(30_000)
    expect([1, 2].map(i => scene.proven.isDoubtful(peerId(i)))).toEqual([false, false])
  })

  it('does not clear its peer by another range, nor by going for a moment', () => {
    const scene = new Scene(() => false)
    scene.view([serves(1)])
    scene.run(10_000)
    for (const stages of [[stage(0, 3)], [], [stage(0, 2)]]) {
      scene.view([peer(1, 4, { stages })])
      if (stages.length > 0) expect(scene.proven.isDoubtful(peerId(1))).toBe(true)
    }
    scene.view([])
    scene.view([serves(1)])
    expect(scene.proven.isDoubtful(peerId(1))).toBe(true)
    scene.view([])
    scene.run(scene.nowMs + doubtMemoryMs)
    scene.view([])
    scene.view([serves(1)])
    expect(scene.proven.isDoubtful(peerId(1))).toBe(false)
  })

  it('is given the time that a busy or slow peer needs, but no more than the longest', () => {
    const deadline = (more: Partial<PeerView>) => {
      const scene = new Scene(() => true)
      scene.view([serves(1, more)])
      scene.run(2_000)
      return scene.asked[0]!.deadlineMs
    }
    expect(deadline({})).toBeLessThan(probeMs + 100)
    expect(deadline({ layerMs: 100, sessions: 3 })).toBeGreaterThan(probeMs + 6_000)
    expect(deadline({ layerMs: 1e9 })).toBe(probeMaxMs)
  })
})

describe('all probes', () => {
  it('are a few at once, and each stage has its turn whatever the others do', () => {
    const bad = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 20 })
    fc.assert(
      fc.property(bad, indexes => {
        const liars = new Set(indexes.map(peerId))
        const scene = new Scene(of => !liars.has(of as never), 50)
        const peers = Array.from({ length: 40 }, (_, i) => serves(i + 1))
        scene.view(peers)
        scene.run(20_000)
        expect(scene.most).toBeLessThanOrEqual(probesAtOnceMax)
        for (const { peer: id } of peers) expect(scene.proven.isDoubtful(id)).toBe(liars.has(id))
      }),
      runs(20)
    )
  })

  it('are of stages that are there: what is remembered of others is bounded', () => {
    const scene = new Scene(() => false)
    for (let i = 1; i < 2 * recordsMax; i++) {
      scene.view([serves(i)])
      scene.run(scene.nowMs + 20)
    }
    expect(scene.asked.length).toBeLessThan(2 * recordsMax)
  })
})

describe('a route', () => {
  it('takes a peer in doubt where there is no other, and only there', () => {
    const ask = (peers: readonly PeerView[]) =>
      answerRoute(peers, plainModel(4), { from: me, excluded: new Set(), inflight: new Map(), waitedMs: 0 })
    const liar = serves(1, { layerMs: 0, visitMs: 0, isDoubtful: true })
    expect(ask([liar, serves(2, { layerMs: 50 })])).toMatchObject({ hops: [{ peer: peerId(2) }] })
    expect(ask([liar])).toMatchObject({ hops: [{ peer: peerId(1) }] })
  })
})
