/** A world in one thread: peers, air, prompts and faults of one scenario, decided by one seed. */
import type { CacheType } from '../src/base/cache-type.ts'
import type { PeerId } from '../src/base/ids.ts'
import { edgeSize, type Sampling } from '../src/engine/engine.ts'
import { drainMs } from '../src/peer/limits.ts'
import type { ModelShape, PeerView } from '../src/route/view.ts'
import { shapeOf } from '../src/serving/shape.ts'
import type { GenerationEvent } from '../src/session/generation.ts'
import { goodbyeMs } from '../src/swarm/limits.ts'
import { Agenda } from './agenda.ts'
import { Answers } from './answers.ts'
import { Blame } from './blame.ts'
import { drawPeerId } from './cast.ts'
import { Chance, hashText } from './chance.ts'
import { Energy } from './energy.ts'
import { Faults } from './faults.ts'
import { Fetches } from './fetches.ts'
import { Meeting } from './meeting.ts'
import { modelOf, type SimModel } from './model.ts'
import { motionOf } from './motion.ts'
import { Patience } from './patience.ts'
import { BrokenPromise, Promises } from './promises.ts'
import { Radio } from './radio.ts'
import { Rest } from './rest.ts'
import { Sampling as Samples } from './sampling.ts'
import type { FaultKind, Scenario } from './scenario-fields.ts'
import { aftermathMs, SimPeer, type WorldOfLife } from './sim-peer.ts'
import { type Sample, Stats, type Summary } from './stats.ts'
import type { ToyModel } from './toy-engine.ts'
import type { Weights } from './weights.ts'
import { Wire } from './wire.ts'

export interface WorldInit {
  readonly scenario: Scenario
  readonly seed: number
  /** Told every line of the story. */
  readonly onLine?: (line: string) => void
  /** Peers above which records are handed over as objects. @default 96 */
  readonly recordsPeersMax?: number
  /** Keeps samples for a report. @default false */
  readonly keepsSamples?: boolean
  /** Width of a hidden state in float16, where frames shall have the very bytes of a real model's. @default 12 */
  readonly hidden?: number
  /** Told what is asked, answered and done to peers, for those who do the same to real ones. */
  readonly onCourse?: (event: WorldCourse) => void
}

/** What becomes of an answer. */
export type Output = GenerationEvent | { readonly event: 'failed'; readonly message: string }

/** What happens in a world, in its own time. */
export type WorldCourse =
  | {
      readonly kind: 'ask'
      readonly atMs: number
      readonly number: number
      readonly driver: string
      readonly promptTokens: number
      readonly answerTokens: number
      readonly sampling: Sampling
      readonly cache: CacheType
    }
  | { readonly kind: 'output'; readonly atMs: number; readonly number: number; readonly output: Output }
  | {
      readonly kind: 'fault'
      readonly atMs: number
      readonly fault: FaultKind
      readonly who: readonly string[]
      readonly forMs: number | undefined
      /** It waited for an answer, see `inAnswer` of a scenario. */
      readonly isAmbush: boolean
    }

/** Within so long after it has come to itself a peer hears what happened meanwhile. */
const wakingMs = 1_000
/** Faults that a report marks. */
const marksMax = 1_000
/** Who had much to do this long ago may still be called slow. */
const strainMs = 15_000
/** First byte of a frame that is a Step: field 2, length-delimited. */
const stepTag = 0x12

export class World {
  readonly scenario: Scenario
  readonly agenda = new Agenda()
  readonly peers: SimPeer[] = []
  readonly stats: Stats
  readonly promises: Promises
  readonly shape: ModelShape
  /** Undefined where everybody has all of them. */
  readonly weights: Weights | undefined
  readonly radio: Radio
  readonly wire: Wire
  readonly samples: Sample[] = []
  /** What went wrong when, for a report. */
  readonly marks: { readonly atMs: number; readonly text: string }[] = []
  readonly seed: number
  readonly toy: ToyModel
  readonly #model: SimModel
  readonly chance: Chance
  readonly #byId = new Map<PeerId, SimPeer>()
  readonly #onLine: ((line: string) => void) | undefined
  readonly #usesRecords: boolean
  readonly keepsSamples: boolean
  readonly #onCourse: ((event: WorldCourse) => void) | undefined
  readonly answers = new Answers(this)
  readonly blame = new Blame(this)
  readonly energy = new Energy(this)
  readonly faults = new Faults(this)
  readonly #fetches = new Fetches(this)
  readonly #meeting = new Meeting(this)
  readonly #patience = new Patience(this)
  readonly #rest = new Rest(this)
  readonly #sampling = new Samples(this)
  #trace = 0x811c9dc5
  /** When a stage was last loaded or unloaded. */
  lastMoveMs = 0
  isHealed = false

  constructor({
    scenario,
    seed,
    onLine,
    recordsPeersMax = 96,
    keepsSamples = false,
    hidden = 12,
    onCourse
  }: WorldInit) {
    this.scenario = scenario
    this.seed = seed
    this.#onLine = onLine
    this.#onCourse = onCourse
    this.keepsSamples = keepsSamples
    this.chance = new Chance(seed)
    const { model } = scenario
    this.toy = {
      layers: model.layers,
      // A tail keeps masks of all ids: as many as a real model has would take more than these caches.
      vocab: scenario.workload.some(({ masksRatio }) => masksRatio > 0) ? 1009 : 32_003,
      hidden,
      edge: 'f16',
      contextMax: model.contextTokens,
      // Keys and values of one token take twice the width in float32.
      kvWidth: Math.max(1, Math.round(model.cacheBytesPerToken / 8)),
      ...windowsOf(model)
    }
    const hasAll = scenario.peers.every(({ holds }) => holds === undefined)
    this.#model = modelOf(scenario, this.toy, hasAll)
    this.weights = this.#model.weights
    this.shape = shapeOf(this.#model.stored.manifest, this.#model.footprint)
    this.promises = new Promises(this.toy, () => this.agenda.nowMs)
    this.stats = new Stats()

    const cast = this.chance.fork('cast')
    const names: string[] = []
    for (const group of scenario.peers) {
      for (let i = 0; i < group.count; i++) {
        const name = `${group.name}-${i}`
        names.push(name)
        const chance = cast.fork(name)
        const peer = new SimPeer({
          id: drawPeerId(chance),
          index: this.peers.length,
          name,
          group,
          agenda: this.agenda,
          chance,
          level: chance.between(...group.batteryLevel),
          motion: motionOf(group.motion, {
            index: i,
            count: group.count,
            area: scenario.area,
            chance: chance.fork('motion')
          })
        })
        const [start, end] = group.holds ?? [0, model.layers]
        // Who has an end of the model has what belongs to it.
        for (const file of end > start ? (this.weights?.of({ start, end }) ?? []) : []) peer.disk.put(file)
        this.peers.push(peer)
        this.#byId.set(peer.id, peer)
      }
    }
    this.#usesRecords = this.peers.length <= recordsPeersMax
    const indexOf = (name: string): number => names.indexOf(name)
    this.radio = new Radio(
      scenario.radio,
      this.peers.map(peer => ({ motion: peer.motion, isOn: () => peer.isOn })),
      scenario.radio.oneWay.map(([from, to]) => [indexOf(from), indexOf(to)] as const)
    )
    this.wire = new Wire(
      this.agenda,
      this.radio,
      this.chance.fork('wire'),
      id => this.#byId.get(id),
      this.peers.length,
      (a, b) => this.blame.noteTrouble(a, b)
    )
    for (const peer of this.peers) {
      peer.onDisconnected = other => {
        const far = this.#byId.get(other)!
        // Whom others gave up because it stood still finds that out when it wakes: the link between them was as good as ever.
        if (![peer, far].some(each => each.isFrozen || this.nowMs - each.thawedMs < wakingMs))
          this.blame.noteTrouble(peer.index, far.index)
      }
      this.agenda.at(1000 * peer.chance.between(...peer.group.startS), () => this.boot(peer))
    }
    const isLarge = this.peers.length > recordsPeersMax
    this.#every(isLarge ? 2000 : 250, () => this.#meeting.meet())
    this.#every(isLarge ? 2000 : 1000, () => this.#moveAll())
    this.#every(1000, () => this.#patience.look())
    if (!isLarge) this.#every(1000, () => this.#rest.look())
    this.#every(1000 * scenario.watch.sampleS, () => this.#sampling.take())
    this.answers.plan()
    this.faults.plan()
  }

  get nowMs(): number {
    return this.agenda.nowMs
  }

  /**
   * Lives through the scenario, then heals a core and waits for rest.
   * @throws {BrokenPromise}
   */
  async run(): Promise<Summary> {
    const startedMs = performance.now()
    const endMs = this.scenario.minutes * 60_000
    await this.live(endMs)
    this.faults.heal()
    await this.live(endMs + this.scenario.healS * 1000)
    await this.#rest.settle()
    this.#rest.check()
    this.say(`the end: ${this.agenda.events} events`)
    return this.summary(performance.now() - startedMs)
  }

  /**
   * Lives up to a moment.
   * @throws {BrokenPromise}
   */
  async live(untilMs: number): Promise<void> {
    // What nobody waits for and fails is a crash of the process that did it.
    const onUnhandled = (error: unknown): void => this.crashed(error)
    process.on('unhandledRejection', onUnhandled)
    try {
      await this.agenda.live(untilMs, () => this.promises.first !== undefined)
    } catch (error) {
      this.crashed(error)
    } finally {
      process.off('unhandledRejection', onUnhandled)
    }
    if (this.promises.first !== undefined) throw this.promises.first
  }

  /** A defect, unless it is a broken promise on its way up. */
  crashed(error: unknown): void {
    if (error instanceof BrokenPromise) return
    this.promises.first ??= new BrokenPromise('crash', this.nowMs, (error as Error)?.stack ?? String(error))
  }

  summary(wallMs: number): Summary {
    return this.stats.summary({
      scenario: this.scenario.name,
      seed: this.seed,
      peers: this.peers.length,
      virtualMs: this.nowMs,
      wallMs,
      events: this.agenda.events,
      checks: this.promises.checks,
      trace: (this.#trace >>> 0).toString(16).padStart(8, '0'),
      wireBytes: this.wireBytesSoFar(),
      joules: this.energy.joules(),
      levels: this.energy.charges()
    })
  }

  /** One line of the story. Its hash is what one seed decides. */
  say(text: string): void {
    const line = `${(this.nowMs / 1000).toFixed(3).padStart(9)} ${text}`
    this.#trace = hashText(line, this.#trace)
    this.#onLine?.(line)
  }

  // ── Peers ───────────────────────────────────────────────────────────────────────────────────────

  boot(peer: SimPeer): void {
    if (peer.life !== 0) return
    if (peer.level !== null && peer.level <= 0) return
    peer.isOn = true
    this.radio.changed()
    const world: WorldOfLife = {
      wire: this.wire,
      model: this.#model.stored,
      footprint: this.#model.footprint,
      shape: this.shape,
      toy: this.toy,
      draftsRightRatio: this.scenario.model.draftsRightRatio,
      promises: this.promises,
      usesRecords: this.#usesRecords,
      wireBytes: frame => this.#wireBytes(frame),
      isUnreachable: other => this.#meeting.isUnreachable(peer, this.peerOf(other)!),
      traffic: isWatched => this.wire.traffic(peer, isWatched),
      strained: ms => {
        peer.strainedUntilMs = Math.max(peer.strainedUntilMs, this.nowMs + ms + strainMs)
      },
      disconnect: (other, message, reason) => {
        this.say(`${peer.name} hangs up on ${this.nameOf(other)}: ${message}`)
        this.blame.silent(peer, other)
        this.wire.disconnect(peer.id, other, message, reason)
      },
      moved: (what, range) => {
        this.lastMoveMs = this.nowMs
        this.say(`${peer.name} ${what} layers ${range.start}-${range.end}`)
        if (what === 'loads') this.stats.loads++
        if (what === 'unloads') peer.sickUntilMs = Math.max(peer.sickUntilMs, this.nowMs + aftermathMs)
      },
      weights: this.weights,
      fetched: fetch => this.#fetches.told(peer, fetch),
      warned: message => this.#fetches.warned(peer, message),
      refused: (refusal, session) => {
        this.blame.refused(peer, refusal)
        if (refusal.reason === 'no-room' && session !== undefined) this.answers.refusedRoom(session)
      },
      knew: tokens => {
        this.stats.known += tokens
      },
      begun: terms => this.answers.begun(terms),
      told: (asked, event) => this.answers.told(peer, asked, event),
      failed: (asked, error) => this.answers.failed(peer, asked, error),
      accused: (other, kind, message) => this.blame.accused(peer, other, kind, message),
      violated: (session, other, message) => this.blame.violated(peer, session, other, message),
      crashed: error => this.crashed(error)
    }
    this.say(`${peer.name} starts`)
    peer.sickUntilMs = this.nowMs + aftermathMs
    peer.boot(world)
  }

  /** Its process ends; `says` whether its host is there to say so. */
  crash(peer: SimPeer, says: boolean): void {
    if (peer.life === 0) {
      if (!says) this.#powerOff(peer)
      return
    }
    this.say(`${peer.name} ${says ? 'crashes' : 'loses power'}`)
    this.answers.forget(peer)
    peer.end()
    this.wire.vanish(peer.id, says)
    if (!says) this.#powerOff(peer)
  }

  /** Leaves with a goodbye. */
  stop(peer: SimPeer): void {
    if (peer.life === 0 || peer.isFrozen || peer.isStopping) return
    const { life } = peer
    this.say(`${peer.name} says goodbye`)
    peer.isGoing = true
    peer.isStopping = true
    peer.sickUntilMs = Number.POSITIVE_INFINITY
    this.answers.forget(peer)
    peer.process!.stop()
    this.agenda.after(goodbyeMs, () => {
      if (peer.life === life) this.crash(peer, true)
    })
  }

  /** Announces that it goes, has others take over, and leaves when nothing needs it or its time is over. */
  drain(peer: SimPeer): void {
    if (peer.life === 0 || peer.isFrozen) return
    const { life } = peer
    this.say(`${peer.name} is about to go`)
    peer.isGoing = true
    peer.sickUntilMs = Number.POSITIVE_INFINITY
    void peer.process!.drain(drainMs).then(() => {
      if (peer.life === life) this.stop(peer)
    })
  }

  #powerOff(peer: SimPeer): void {
    peer.isOn = false
    this.radio.changed()
  }

  peerOf(peer: PeerId): SimPeer | undefined {
    return this.#byId.get(peer)
  }

  /** Everybody alive, as placement sees them, whoever knows whom. */
  views(): PeerView[] {
    return this.#rest.views()
  }

  /** Whoever does the same to real peers is told. */
  tell(event: WorldCourse): void {
    this.#onCourse?.(event)
  }

  nameOf(peer: PeerId): string {
    return this.#byId.get(peer)?.name ?? peer
  }

  #every(ms: number, act: () => void): void {
    const again = (): void => {
      act()
      this.agenda.after(ms, again)
    }
    this.agenda.after(ms, again)
  }

  #moveAll(): void {
    if (!this.isHealed) this.radio.move(this.nowMs)
    this.wire.changed()
    for (const peer of this.peers) this.energy.pay(peer)
  }

  wireBytesSoFar(): number {
    return [...this.wire.bytes.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  #wireBytes(frame: Uint8Array): number {
    // Only steps with hidden states weigh more than they do here.
    const row = this.toy.hidden * edgeSize(this.toy.edge)
    if (frame[0] !== stepTag || frame.length < row + 8) return frame.length
    return frame.length + Math.floor(frame.length / row) * (this.scenario.model.stepBytes - row)
  }

  named(names: readonly string[]): SimPeer[] {
    return this.peers.filter(peer => names.includes(peer.name) || names.includes(peer.group.name))
  }

  mark(text: string): void {
    if (this.keepsSamples && this.marks.length < marksMax) this.marks.push({ atMs: Math.round(this.nowMs), text })
  }
}

/** How far back each layer of the toy sees. */
function windowsOf({ layers, window }: Scenario['model']): Pick<ToyModel, 'windows' | 'rollbackTokens'> {
  if (window === undefined) return {}
  const { tokens, allEvery, rollback } = window
  const seesAll = (layer: number): boolean => allEvery > 0 && (layer + 1) % allEvery === 0
  const windows = Array.from({ length: layers }, (_, layer) => (seesAll(layer) ? undefined : tokens))
  return { windows, rollbackTokens: rollback }
}
