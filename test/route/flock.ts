/**
 * Planners in virtual time: each sees the others' announcements after random delays, loads take time, peers
 * come and go. Checks at every moment what must always hold.
 */
import { assert } from '../../src/base/assert.ts'
import type { PeerId, Range } from '../../src/base/ids.ts'
import type { Rng } from '../../src/base/rng.ts'
import { seeded } from '../../src/base/rng.ts'
import { Planner } from '../../src/route/planner.ts'
import type { PlannerEffect, PlannerEvent } from '../../src/route/planner.ts'
import { isServed } from '../../src/route/route.ts'
import type { ModelShape, PeerView } from '../../src/route/view.ts'
import { stageBytes } from '../../src/route/view.ts'

interface Member {
  fixed: PeerView
  /** Members hear only of those on their side. */
  side: number
  readonly planner: Planner
  /** Counts loads and unloads. */
  load: number
  /** What it believes of everyone, by id, with the announcement's number. */
  readonly seen: Map<PeerId, { readonly number: number; readonly view: PeerView }>
  number: number
  alive: boolean
}

export interface FlockInit {
  readonly model: ModelShape
  readonly seed: number
  /** Largest delay of one announcement to one peer, in ms. */
  readonly delayMaxMs?: number
  /** Time to load, in ms per byte. */
  readonly loadMsPerByte?: number
  /** Share of loads that fail. */
  readonly failures?: number
}

export class Flock {
  readonly members = new Map<PeerId, Member>()
  readonly loads: { readonly peer: PeerId; readonly range: Range; readonly atMs: number }[] = []
  readonly unloads: { readonly peer: PeerId; readonly range: Range; readonly atMs: number }[] = []
  /** When the last effect other than a wake came. */
  lastMoveMs = 0
  /** Times at which the model was whole and then no longer, although nobody had left. */
  pauses: number[] = []
  nowMs = 0
  readonly #model: ModelShape
  readonly #random: Rng
  readonly #init: FlockInit
  #queue: { readonly atMs: number; readonly order: number; readonly act: () => void }[] = []
  #order = 0
  #whole = false

  constructor(init: FlockInit) {
    this.#init = init
    this.#model = init.model
    this.#random = seeded(init.seed)
  }

  at(atMs: number, act: () => void): void {
    this.#queue.push({ atMs, order: this.#order++, act })
  }

  run(untilMs: number): void {
    for (;;) {
      let next = 0
      for (let index = 1; index < this.#queue.length; index++) {
        const [a, b] = [this.#queue[index]!, this.#queue[next]!]
        if (a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)) next = index
      }
      const entry = this.#queue[next]
      if (entry === undefined || entry.atMs > untilMs) break
      this.#queue.splice(next, 1)
      this.nowMs = Math.max(this.nowMs, entry.atMs)
      entry.act()
      this.#check()
    }
    this.nowMs = untilMs
  }

  join(view: PeerView, atMs: number): void {
    this.at(atMs, () => {
      const planner = new Planner(view.peer, this.nowMs)
      const member: Member = { fixed: view, planner, load: 0, seen: new Map(), number: 0, alive: true, side: 0 }
      this.members.set(view.peer, member)
      this.#announce(member)
      for (const other of this.#alive()) {
        if (other !== member) this.#tell(other, member)
      }
    })
  }

  /** Gone without a word; each other peer notices after its own time. */
  leave(peer: PeerId, atMs: number): void {
    this.at(atMs, () => {
      const member = this.members.get(peer)!
      member.alive = false
      this.#whole = false
      for (const other of this.#alive()) {
        this.at(this.nowMs + 200 + this.#random() * 800, () => {
          other.seen.set(peer, { number: Number.POSITIVE_INFINITY, view: member.fixed })
          this.#look(other)
        })
      }
    })
  }

  /** Announces that it is about to go; its stages serve on. */
  depart(peer: PeerId, atMs: number): void {
    this.at(atMs, () => {
      const member = this.members.get(peer)!
      member.fixed = { ...member.fixed, leaving: true }
      this.#announce(member)
    })
  }

  /** Parts the swarm: each peer goes on with those of its own side, and loses the others after its own time. */
  split(sideOf: (peer: PeerId) => number, atMs: number): void {
    this.at(atMs, () => {
      this.#whole = false
      for (const member of this.#alive()) member.side = sideOf(member.fixed.peer)
      for (const member of this.#alive()) {
        this.at(this.nowMs + 200 + this.#random() * 2000, () => {
          for (const peer of member.seen.keys())
            if (this.members.get(peer)?.side !== member.side) member.seen.delete(peer)
          this.#look(member)
        })
      }
    })
  }

  /** All of a side hear of one another again. @param sideOf by peer; all are on one side unless said */
  merge(atMs: number, sideOf: (peer: PeerId) => number = () => 0): void {
    this.at(atMs, () => {
      for (const member of this.#alive()) member.side = sideOf(member.fixed.peer)
      for (const member of this.#alive()) this.#announce(member)
    })
  }

  /** Whether the peers of one side serve every layer. */
  isSideWhole(side: number): boolean {
    const views = this.#alive()
      .filter(member => member.side === side)
      .map(member => this.#viewOf(member))
    return isServed(views, this.#model)
  }

  send(peer: PeerId, event: PlannerEvent): PlannerEffect[] {
    const member = this.members.get(peer)!
    const effects = member.planner.handle(event, this.nowMs)
    for (const effect of effects) this.#do(member, effect)
    return effects
  }

  views(): PeerView[] {
    return this.#alive().map(member => this.#viewOf(member))
  }

  isWhole(): boolean {
    return isServed(this.views(), this.#model)
  }

  #alive(): Member[] {
    return [...this.members.values()].filter(member => member.alive)
  }

  #viewOf(member: Member): PeerView {
    // A stage that is being dropped serves nobody any more.
    const stages = member.planner.stages
      .filter(stage => stage.state !== 'unloading')
      .map(({ range, state }) => ({ ...range, serving: state === 'serving' }))
    return { ...member.fixed, stages }
  }

  #announce(member: Member): void {
    member.number++
    member.seen.set(member.fixed.peer, { number: member.number, view: this.#viewOf(member) })
    for (const other of this.#alive()) if (other !== member) this.#tell(member, other)
    this.#look(member)
  }

  #tell(from: Member, to: Member): void {
    const { number } = from
    const view = this.#viewOf(from)
    this.at(this.nowMs + this.#random() * (this.#init.delayMaxMs ?? 300), () => {
      if (!to.alive || from.side !== to.side || (to.seen.get(view.peer)?.number ?? 0) >= number) return
      to.seen.set(view.peer, { number, view })
      this.#look(to)
    })
  }

  #look(member: Member): void {
    if (!member.alive) return
    const peers = [...member.seen.values()].filter(seen => Number.isFinite(seen.number)).map(seen => seen.view)
    this.send(member.fixed.peer, { kind: 'view', peers, model: this.#model })
  }

  #do(member: Member, effect: PlannerEffect): void {
    const { peer } = member.fixed
    const later = (delayMs: number, event: PlannerEvent) =>
      this.at(this.nowMs + delayMs, () => {
        if (!member.alive || (event.kind !== 'unloaded' && member.load !== load)) return
        this.send(peer, event)
        this.#announce(member)
      })
    if (effect.kind === 'wake') {
      assert(effect.atMs > this.nowMs, 'a wake lies ahead')
      this.at(effect.atMs, () => {
        if (member.alive) this.send(peer, { kind: 'tick' })
      })
      return
    }
    this.lastMoveMs = this.nowMs
    const { range } = effect
    // A load that is given up does not end later.
    const load = ++member.load
    if (effect.kind === 'unload') {
      this.unloads.push({ peer, range, atMs: this.nowMs })
      later(5, { kind: 'unloaded', range })
      // Others must hear of it at once.
      this.at(this.nowMs, () => {
        if (member.alive) this.#announce(member)
      })
      return
    }
    this.loads.push({ peer, range, atMs: this.nowMs })
    const loadMs = stageBytes(this.#model, range) * (this.#init.loadMsPerByte ?? 10)
    if (this.#random() < (this.#init.failures ?? 0)) later(loadMs, { kind: 'loadFailed', range, message: 'no luck' })
    else later(loadMs, { kind: 'loaded', range })
    this.at(this.nowMs, () => {
      if (member.alive) this.#announce(member)
    })
  }

  #check(): void {
    for (const member of this.#alive()) {
      const { stages } = member.planner
      const bytes = stages.reduce((sum, stage) => sum + stageBytes(this.#model, stage.range), 0)
      assert(bytes <= member.fixed.budgetBytes, `${member.fixed.peer} holds ${bytes} of ${member.fixed.budgetBytes}`)
      assert(stages.filter(stage => stage.state === 'loading').length <= 1, 'one load at a time')
    }
    const whole = this.isWhole()
    if (this.#whole && !whole) this.pauses.push(this.nowMs)
    this.#whole = whole
  }
}
