/**
 * Follows the plan for one model: feeds the planner with what the swarm announces, and has this peer's stages
 * loaded and unloaded as it says.
 */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import { systemRng } from '../base/entropy.ts'
import type { PeerId, Range } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import type { Rng } from '../base/rng.ts'
import { lackIsByPins } from './explain.ts'
import { Overdue, withoutAwaited } from './overdue.ts'
import type { Missing } from './place.ts'
import { Planner, type PlannerEffect, type PlannerEvent } from './planner.ts'
import { Presence, type SeenPeer } from './presence.ts'
import { Proven, type ProvenEvent } from './proven.ts'
import { isServed } from './route.ts'
import { type Search, Searches } from './searches.ts'
import { type Hop, type ModelShape, type PeerView, sameRange, withObtainable } from './view.ts'

/** What the present peers lack to cover a model. */
export interface Lack extends Missing {
  /** Their budgets would suffice if nobody had been told which layers to serve. */
  readonly pinned: boolean
}

export interface PlacementInit {
  readonly self: PeerId
  readonly model: ModelShape
  /** The live peers that offer the model, this one included. */
  readonly peers: () => readonly SeenPeer[]
  /**
   * Loads a stage of this peer; it serves when the promise resolves. The signal aborts when the plan does without it, or
   * the peer stops.
   */
  readonly load: (range: Range, options: { signal: AbortSignal }) => Promise<void>
  readonly unload: (range: Range) => Promise<void>
  /** Sessions that run on one of this peer's stages. */
  readonly sessions: (range: Range) => number
  /** These stages are about to go, and no others: sessions that run through them had better move on. @default nobody is told */
  readonly onGoing?: (ranges: readonly Range[]) => void
  /** Asks a stage of another peer for one step; whether it came before the signal aborts. @default nobody is asked or doubted */
  readonly probe?: (peer: PeerId, range: Range, options: { signal: AbortSignal }) => Promise<boolean>
  readonly onWarning: (message: string) => void
  /** @default its own: nobody shares what it finds */
  readonly searches?: Searches
  /** @default the machine's */
  readonly clock?: Clock
  /** Spreads probes over time. @default the machine's */
  readonly rng?: Rng
}

export class Placement {
  readonly #init: PlacementInit
  readonly #searches: Searches
  readonly #clock: Clock
  readonly #planner: Planner
  readonly #abort = new AbortController()
  readonly #work = new Set<Promise<void>>()
  readonly #presence: Presence
  readonly #proven: Proven
  readonly #overdue: Overdue
  /** What ends the load under way. */
  #loading: { readonly range: Range; readonly abort: AbortController } | undefined
  #going = ''
  /** Whether what is lacking is so because of pins, as was found last. */
  #isByPins: boolean | undefined
  #wakeAtMs = Number.POSITIVE_INFINITY
  #timer: Timer | undefined

  constructor(init: PlacementInit) {
    this.#init = init
    this.#searches = init.searches ?? new Searches()
    this.#clock = init.clock ?? systemClock
    this.#presence = new Presence(init.self)
    this.#proven = new Proven(init.self, init.rng ?? systemRng)
    this.#overdue = new Overdue(init.self)
    this.#planner = new Planner(init.self, this.#clock.nowMs(), this.#searches)
  }

  /** To be called when a record, a connection or the number of sessions has changed. */
  changed(): void {
    if (this.#abort.signal.aborted) return
    for (const { range, sessions } of this.#planner.stages) {
      const count = this.#init.sessions(range)
      if (sessions !== count) this.#feed({ kind: 'sessions', range, count })
    }
    this.#feed({ kind: 'view', peers: this.#present(), model: this.#init.model })
  }

  /** Whether a peer's stages have failed their probes. */
  isDoubtful(peer: PeerId): boolean {
    return this.#proven.isDoubtful(peer)
  }

  /** To be called when a stage has computed for a session of this peer's. */
  worked({ peer, start, end }: Hop): void {
    this.#prove({ kind: 'worked', peer, range: { start, end } })
  }

  /**
   * What the present peers lack to cover the model, or null. While it is too early to search again: what the plan lacks that
   * this peer follows, unless peers that stay serve the model by now.
   */
  missing(): Lack | null {
    const search: Search = (views, model) => this.#searches.planSoon(views, model, this.#clock.nowMs())
    const present = this.#present()
    const found = search(present, this.#init.model)
    const missing = found === undefined ? this.#lackingSince(present) : found.missing
    this.#isByPins =
      missing === null
        ? undefined
        : (lackIsByPins(present, this.#init.model, search) ?? this.#isByPins ?? this.#findPins(present))
    return missing === null ? null : { ...missing, pinned: this.#isByPins === true }
  }

  /** What the followed plan lacks; it may be of a time before those came that serve now. */
  #lackingSince(present: readonly PeerView[]): Missing | null {
    const missing = this.#planner.plan?.missing ?? null
    const staying = present.filter(({ leaving }) => leaving !== true)
    return missing !== null && isServed(staying, this.#init.model) ? null : missing
  }

  #findPins(present: readonly PeerView[]): boolean | undefined {
    return lackIsByPins(present, this.#init.model, (views, model) =>
      this.#searches.plan(views, model, this.#clock.nowMs())
    )
  }

  /** Stops planning, aborts a load under way and waits for its end. Stages that are loaded stay the caller's. */
  async stop(): Promise<void> {
    this.#abort.abort(new Error('the peer is stopping'))
    this.#timer?.stop()
    await Promise.allSettled(this.#work)
  }

  #present(): PeerView[] {
    const peers = this.#init.peers()
    this.#prove({ kind: 'view', peers })
    const { views, wakeAtMs } = this.#presence.look(peers, this.#clock.nowMs())
    if (wakeAtMs !== null) this.#wake(wakeAtMs)
    // What the others have on disk is verified when it comes.
    const present = withObtainable(views).filter(({ peer }) => !this.#proven.isDoubtful(peer))
    const dueAtMs = this.#overdue.look(present, this.#planner.plan?.stages, this.#init.model, this.#clock.nowMs())
    if (dueAtMs !== null) this.#wake(dueAtMs)
    return present.map(view => (this.#overdue.isStuck(view.peer) ? withoutAwaited(view) : view))
  }

  #prove(event: ProvenEvent): void {
    const { probe } = this.#init
    if (probe === undefined || this.#abort.signal.aborted) return
    for (const effect of this.#proven.handle(event, this.#clock.nowMs())) {
      if (effect.kind === 'wake') this.#wake(effect.atMs)
      else {
        const { peer, range, deadlineMs } = effect
        const work = this.#probed(probe(peer, range, { signal: this.#within(deadlineMs) }), peer, range)
        this.#work.add(work)
        void work.finally(() => this.#work.delete(work))
      }
    }
  }

  #within(deadlineMs: number): AbortSignal {
    return AbortSignal.any([this.#abort.signal, this.#clock.deadline(Math.ceil(deadlineMs))])
  }

  async #probed(answer: Promise<boolean>, peer: PeerId, range: Range): Promise<void> {
    const isGood = await answer
    const before = this.#proven.isDoubtful(peer)
    this.#prove({ kind: 'probed', peer, range, isGood })
    if (this.#proven.isDoubtful(peer) !== before) this.changed()
  }

  #feed(event: PlannerEvent): void {
    const effects = this.#planner.handle(event, this.#clock.nowMs())
    const { going } = this.#planner
    const now = going.map(({ start, end }) => `${start}-${end}`).join()
    if (now !== this.#going) {
      this.#going = now
      this.#init.onGoing?.(going)
    }
    for (const effect of effects) this.#perform(effect)
  }

  #perform(effect: PlannerEffect): void {
    if (effect.kind === 'wake') {
      this.#wake(effect.atMs)
      return
    }
    const { range } = effect
    const work = effect.kind === 'load' ? this.#load(range) : this.#unload(range)
    this.#work.add(work)
    void work.finally(() => this.#work.delete(work))
  }

  async #load(range: Range): Promise<void> {
    const { signal: stopping } = this.#abort
    const abort = new AbortController()
    const signal = AbortSignal.any([stopping, abort.signal])
    const loading = { range, abort }
    this.#loading = loading
    // Before the planner hears how it ended: it may have the next one loaded at once.
    const end = (): void => {
      if (this.#loading === loading) this.#loading = undefined
    }
    try {
      await this.#init.load(range, { signal })
      end()
    } catch (error) {
      end()
      if (stopping.aborted) return
      if (abort.signal.aborted) {
        this.#feed({ kind: 'unloaded', range })
        return
      }
      const message = reasonOf(error)
      this.#init.onWarning(`layers ${range.start}-${range.end} could not be loaded: ${message}`)
      this.#feed({ kind: 'loadFailed', range, message })
      return
    }
    if (stopping.aborted) return
    // It was there before it heard that nobody wants it.
    if (abort.signal.aborted) await this.#unload(range)
    else this.#feed({ kind: 'loaded', range })
  }

  async #unload(range: Range): Promise<void> {
    if (this.#loading !== undefined && sameRange(this.#loading.range, range)) {
      this.#loading.abort.abort(new Error('the plan does without it'))
      return
    }
    await this.#init.unload(range)
    if (!this.#abort.signal.aborted) this.#feed({ kind: 'unloaded', range })
  }

  /** One timer for the earliest wake: it looks at everything again. */
  #wake(atMs: number): void {
    if (this.#abort.signal.aborted || (this.#timer !== undefined && this.#wakeAtMs <= atMs)) return
    this.#timer?.stop()
    this.#wakeAtMs = atMs
    const waitMs = Math.max(0, Math.ceil(atMs - this.#clock.nowMs()))
    this.#timer = this.#clock
      .after(waitMs, () => {
        this.#timer = undefined
        this.#wakeAtMs = Number.POSITIVE_INFINITY
        this.changed()
      })
      .unref()
  }
}
