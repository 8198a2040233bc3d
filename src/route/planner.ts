/**
 * The planner turns one peer's views over time into what this peer loads and unloads. It lets views settle
 * before it acts on a plan, loads one stage at a time, makes the new stage before it breaks the old one
 * where the budget holds both, and never breaks what somebody still needs. A load that the plan has come to
 * do without is given up: over a slow link it may have minutes to go.
 */
import type { PeerId, Range } from '../base/ids.ts'
import {
  batteryWeakIdleRatio,
  batteryWeakRatio,
  planAloneMs,
  planDrainMs,
  planRetryMaxMs,
  planRetryMs,
  planSettleMaxMs,
  planSettleMs
} from './limits.ts'
import { type Plan, planned } from './place.ts'
import { isServed } from './route.ts'
import { placementKey, Searches } from './searches.ts'
import type { ModelShape, PeerView, StageView } from './view.ts'
import { canHold, sameRange, shapeAt, stageBytes } from './view.ts'

export type PlannerEvent =
  /** What this peer sees now, itself included; its own stages are taken from the events below instead. */
  | { readonly kind: 'view'; readonly peers: readonly PeerView[]; readonly model: ModelShape }
  | { readonly kind: 'loaded'; readonly range: Range }
  | { readonly kind: 'loadFailed'; readonly range: Range; readonly message: string }
  | { readonly kind: 'unloaded'; readonly range: Range }
  /** How many sessions run on an own stage. */
  | { readonly kind: 'sessions'; readonly range: Range; readonly count: number }
  | { readonly kind: 'tick' }

export type PlannerEffect =
  | { readonly kind: 'load'; readonly range: Range }
  /** Of a stage that is still being loaded, it ends the loading. Its answer is `unloaded` in either case. */
  | { readonly kind: 'unload'; readonly range: Range }
  /** Send a `tick` then; a later wake does not cancel an earlier one. */
  | { readonly kind: 'wake'; readonly atMs: number }

/** One stage of this peer. */
export interface OwnStage {
  readonly range: Range
  readonly state: 'loading' | 'serving' | 'unloading'
  readonly sessions: number
}

interface Own extends OwnStage {
  /** When its sessions no longer hold it, once it is wanted gone. */
  readonly leaveAtMs: number | null
}

interface Failure {
  readonly count: number
  readonly message: string
  readonly retryAtMs: number
}

export class Planner {
  readonly #self: PeerId
  readonly #searches: Searches
  readonly #startedAtMs: number
  #view: { readonly peers: readonly PeerView[]; readonly model: ModelShape } | null = null
  /** What a change of the view is waited for to settle: all that placement reads but this peer's stages, speeds and charges. */
  #content = ''
  /** All that placement reads of the view but which stages this peer has. */
  #key = ''
  #changedAtMs = 0
  /** Since when a change waits to be acted on. */
  #pendingSinceMs: number | null = null
  #seenOthers = false
  readonly #own = new Map<string, Own>()
  /** At most one per range that was tried; cleared when the view changes the plan. */
  readonly #failures = new Map<string, Failure>()
  #plan: Plan | null = null
  /** The view has changed since the plan was searched for. */
  #isStale = false
  #searchedMs = Number.NEGATIVE_INFINITY
  /** The plan that a stage of this peer is unloaded for, and what was seen then. */
  #begun: { readonly plan: Plan; readonly content: string } | null = null

  /** @param searches @default its own: nobody shares what it finds */
  constructor(self: PeerId, nowMs: number, searches = new Searches()) {
    this.#self = self
    this.#startedAtMs = nowMs
    this.#searches = searches
  }

  /** The latest plan that this peer follows, or null before the first. */
  get plan(): Plan | null {
    return this.#plan
  }

  get stages(): readonly OwnStage[] {
    return [...this.#own.values()].map(({ range, state, sessions }) => ({ range, state, sessions }))
  }

  /** Own stages that go as soon as no session needs them any more, or their time is over. */
  get going(): readonly Range[] {
    // Of a peer that is about to go everybody knows it.
    if (this.#view?.peers.find(view => view.peer === this.#self)?.leaving === true) return []
    return [...this.#own.values()].flatMap(({ range, leaveAtMs }) => (leaveAtMs === null ? [] : [range]))
  }

  /** Why the planned stage does not load, or null. */
  get failure(): { readonly range: Range; readonly message: string } | null {
    const target = this.#plan?.stages.get(this.#self) ?? null
    const failure = target === null ? undefined : this.#failures.get(keyOf(target))
    return target === null || failure === undefined ? null : { range: target, message: failure.message }
  }

  handle(event: PlannerEvent, nowMs: number): PlannerEffect[] {
    this.#note(event, nowMs)
    return this.#decide(nowMs)
  }

  #note(event: PlannerEvent, nowMs: number): void {
    if (event.kind === 'view') {
      const before = this.#view
      this.#view = { peers: event.peers, model: event.model }
      if (before?.model === event.model && isSameView(before.peers, event.peers)) return
      const content = this.#contentOf(event.peers, event.model)
      const key = [event.model.id, placementKey(this.#withoutOwn(event.peers)), this.#ownLoads(event.peers)].join(' ')
      if (key !== this.#key) this.#isStale = true
      this.#key = key
      if (event.peers.some(view => view.peer !== this.#self)) this.#seenOthers = true
      if (content === this.#content) return
      this.#content = content
      this.#changedAtMs = nowMs
      this.#pendingSinceMs ??= nowMs
      return
    }
    if (event.kind === 'tick') return
    const key = keyOf(event.range)
    const own = this.#own.get(key)
    if (event.kind === 'sessions') {
      if (own !== undefined) this.#own.set(key, { ...own, sessions: event.count })
      return
    }
    // Its load ended just when it was given up: `unloaded` follows.
    if (event.kind !== 'unloaded' && own?.state !== 'loading') return
    this.#plan = null
    if (event.kind === 'loaded') {
      this.#failures.delete(key)
      this.#own.set(key, { range: event.range, state: 'serving', sessions: 0, leaveAtMs: null })
    } else {
      this.#own.delete(key)
      if (event.kind === 'loadFailed') {
        const count = (this.#failures.get(key)?.count ?? 0) + 1
        const retryAtMs = nowMs + Math.min(planRetryMaxMs, planRetryMs * 2 ** (count - 1))
        // Other ranges have had their turn: only what failed last is remembered.
        this.#failures.clear()
        this.#failures.set(key, { count, message: event.message, retryAtMs })
      }
    }
  }

  #decide(nowMs: number): PlannerEffect[] {
    if (this.#view === null) return []
    const { model } = this.#view
    const self = this.#view.peers.find(view => view.peer === this.#self)
    if (self === undefined) return []
    // One thing at a time: its end is an event.
    const busy = [...this.#own.values()].find(stage => stage.state !== 'serving')
    if (busy !== undefined && (busy.state === 'unloading' || this.#pendingSinceMs === null)) return []
    const dueAtMs = this.#dueAtMs(self, model)
    if (nowMs < dueAtMs) return [{ kind: 'wake', atMs: dueAtMs }]
    // Speeds and charges are not waited for to settle, but they may change without end.
    const searchAtMs = this.#searchedMs + planSettleMs
    const isTooEarly = this.#plan !== null && this.#pendingSinceMs === null && nowMs < searchAtMs
    this.#pendingSinceMs = null

    const peers = this.#peers()
    // Without the stage it has dropped for a plan, this peer would find another one, in which others keep what they are
    // about to drop for the same plan. If all seen is as it was, it goes on with the one that it has begun.
    if (this.#begun?.content === this.#content) this.#plan = this.#begun.plan
    else if (this.#isStale && !isTooEarly) this.#plan = null
    this.#begun = null
    if (this.#plan === null) {
      this.#plan = this.#searches.plan(peers, model, nowMs)
      this.#searchedMs = nowMs
      this.#isStale = false
    }
    const effects = this.#follow(this.#plan, peers, busy, nowMs)
    const isResting = effects.every(effect => effect.kind === 'wake')
    if (!this.#isStale || !isResting) return effects
    return [...effects, { kind: 'wake', atMs: searchAtMs > nowMs ? searchAtMs : nowMs + planSettleMs }]
  }

  /** What this peer does for a plan now. */
  #follow(plan: Plan, peers: readonly PeerView[], busy: Own | undefined, nowMs: number): PlannerEffect[] {
    const { model } = this.#view!
    const self = peers.find(view => view.peer === this.#self)!
    const own = [...this.#own.values()]
    const target = plan.stages.get(this.#self) ?? null
    if (busy !== undefined) {
      if (target !== null && sameRange(busy.range, target)) return []
      return this.#unload(busy)
    }
    const others = own.filter(stage => target === null || !sameRange(stage.range, target))
    if (target !== null && others.length === own.length) {
      const failure = this.#failures.get(keyOf(target))
      if (failure !== undefined && nowMs < failure.retryAtMs) return [{ kind: 'wake', atMs: failure.retryAtMs }]
      const shape = shapeAt(self, model)
      const bytes = [target, ...own.map(stage => stage.range)].reduce((sum, range) => sum + stageBytes(shape, range), 0)
      if (bytes <= self.budgetBytes) {
        this.#own.set(keyOf(target), { range: target, state: 'loading', sessions: 0, leaveAtMs: null })
        return [{ kind: 'load', range: target }]
      }
    }
    const effects: PlannerEffect[] = []
    for (const stage of own) if (!others.includes(stage)) this.#stay(stage)
    for (const stage of others) {
      const freeAtMs = this.#freeAtMs(stage, peers, nowMs)
      if (freeAtMs === null) {
        this.#stay(stage)
        continue
      }
      if (freeAtMs <= nowMs) return this.#unload(stage)
      this.#own.set(keyOf(stage.range), { ...stage, leaveAtMs: freeAtMs })
      effects.push({ kind: 'wake', atMs: freeAtMs })
    }
    return effects
  }

  #unload(stage: Own): PlannerEffect[] {
    const target = this.#plan?.stages.get(this.#self) ?? null
    const isForAnother = target !== null && !this.#own.has(keyOf(target))
    this.#begun = isForAnother ? { plan: this.#plan!, content: this.#content } : null
    this.#own.set(keyOf(stage.range), { ...stage, state: 'unloading' })
    return [{ kind: 'unload', range: stage.range }]
  }

  /** A stage that was to go is needed after all. */
  #stay(stage: Own): void {
    if (stage.leaveAtMs !== null) this.#own.set(keyOf(stage.range), { ...stage, leaveAtMs: null })
  }

  /** When to act on the latest change: once the view is quiet, and not before others had time to appear. */
  #dueAtMs(self: PeerView, model: ModelShape): number {
    const settled =
      this.#pendingSinceMs === null
        ? Number.NEGATIVE_INFINITY
        : Math.min(this.#changedAtMs + planSettleMs, this.#pendingSinceMs + planSettleMaxMs)
    // It can answer alone until others come; a pinned peer does the same whoever does.
    const whole = { start: 0, end: model.layers }
    if (!this.#seenOthers && (self.pinned !== null || canHold(self, model, whole))) return Number.NEGATIVE_INFINITY
    return this.#seenOthers ? settled : Math.max(settled, this.#startedAtMs + planAloneMs)
  }

  /** How busy this peer's stages are, as its record says it. */
  #ownLoads(peers: readonly PeerView[]): string {
    const stages = peers.find(view => view.peer === this.#self)?.stages ?? []
    return JSON.stringify(
      stages.map(({ start, end, load, peak }) => (load === undefined ? [] : [start, end, load, peak]))
    )
  }

  #withoutOwn(peers: readonly PeerView[]): PeerView[] {
    return peers.map(view => (view.peer === this.#self ? { ...view, stages: [] } : view))
  }

  /** The view with this peer's stages as they are now. */
  #peers(): PeerView[] {
    return this.#view!.peers.map(view => {
      if (view.peer !== this.#self) return view
      const stages = [...this.#own.values()].map(({ range, state }) => {
        // How busy it is everybody knows from its record.
        const { load, peak } = view.stages.find(stage => sameRange(stage, range)) ?? {}
        const busy = { ...(load === undefined ? {} : { load }), ...(peak === undefined ? {} : { peak }) }
        return { ...range, serving: state === 'serving', ...busy }
      })
      return { ...view, stages }
    })
  }

  /**
   * When an own stage may go: null while somebody needs it, now where nothing can serve the model anyway, else
   * when its sessions have ended or had their time.
   */
  #freeAtMs(stage: Own, peers: readonly PeerView[], nowMs: number): number | null {
    const { model } = this.#view!
    // Stages on their way count here: a view may not yet know that they serve.
    const soon = peers.map(view => ({ ...view, stages: view.stages.map(each => ({ ...each, serving: true })) }))
    if (!isServed(soon, model)) return nowMs
    // Two must not rely on each other: whatever peers of lower ids can drop now counts as gone.
    const self = peers.find(view => view.peer === this.#self)!
    if (!this.#droppedBy(self, peers).some(range => sameRange(range, stage.range))) return null
    let rest = peers
    for (const view of [...peers].sort((a, b) => (a.peer < b.peer ? -1 : 1))) {
      if (view.peer >= this.#self) break
      for (const dropped of this.#droppedBy(view, peers)) {
        const without = drop(rest, view.peer, dropped)
        if (isServed(without, model)) rest = without
      }
    }
    if (!isServed(drop(rest, this.#self, stage.range), model)) return null
    return stage.sessions === 0 ? nowMs : (stage.leaveAtMs ?? nowMs + planDrainMs)
  }

  /**
   * The stages that a peer drops by the plan, if nobody needs them: to make room for its part, or because the
   * plan serves without them. Before it does, even a stage that is not in the plan may be what lets others move.
   */
  #droppedBy(view: PeerView, peers: readonly PeerView[]): Range[] {
    const target = this.#plan?.stages.get(view.peer) ?? null
    const others = view.stages.filter(stage => target === null || !sameRange(stage, target))
    if (target === null || others.length < view.stages.length) return this.#planServes(peers) ? others : []
    const shape = shapeAt(view, this.#view!.model)
    const bytes = [target, ...view.stages].reduce((sum, range) => sum + stageBytes(shape, range), 0)
    return bytes > view.budgetBytes ? others : []
  }

  /** Whether those stages that the plan asks for and that serve already make a route. */
  #planServes(peers: readonly PeerView[]): boolean {
    return this.#plan !== null && isServed(planned(peers, this.#plan.stages), this.#view!.model)
  }

  #contentOf(peers: readonly PeerView[], model: ModelShape): string {
    const rows = peers.map(view => {
      if (view.peer === this.#self) return contentRow(view, [])
      let row = contentRows.get(view)
      if (row === undefined) {
        row = contentRow(view, view.stages)
        contentRows.set(view, row)
      }
      return row
    })
    return [model.id, ...rows.sort()].join('\n')
  }
}

/** Of others: views are looked at many times, and do not change. */
const contentRows = new WeakMap<PeerView, string>()

function contentRow(view: PeerView, stages: readonly StageView[]): string {
  const bound = view.stages.length > 0 ? batteryWeakRatio : batteryWeakIdleRatio
  const { peer, budgetBytes, held, holdsEmbedding, holdsHead, pinned } = view
  const weak = view.battery !== null && view.battery < bound
  const announced = stages.map(stage => [stage.start, stage.end, stage.serving])
  return JSON.stringify([peer, budgetBytes, held, holdsEmbedding, holdsHead, pinned, weak, view.leaving, announced])
}

/** Whether nothing that is seen is another thing than before. */
function isSameView(before: readonly PeerView[], peers: readonly PeerView[]): boolean {
  return before.length === peers.length && before.every((view, i) => view === peers[i])
}

function keyOf({ start, end }: Range): string {
  return `${start}-${end}`
}

/** The views without one stage of one peer. */
function drop(peers: readonly PeerView[], peer: PeerId, range: Range): readonly PeerView[] {
  return peers.map(view =>
    view.peer === peer ? { ...view, stages: view.stages.filter(stage => !sameRange(stage, range)) } : view
  )
}
