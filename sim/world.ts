/** A world in one thread: peers, air, prompts and faults of one scenario, decided by one seed. */
import { AssertionError } from '../src/base/assert.ts'
import type { ModelId, PeerId, SessionId } from '../src/base/ids.ts'
import { edgeSize, type Sampling } from '../src/engine/engine.ts'
import { meshMax } from '../src/limits.ts'
import { attentionBlock } from '../src/model/limits.ts'
import { drainMs, drainPollMs } from '../src/peer/limits.ts'
import { slowLinkBytesPerMs, stuckFactor, stuckMs } from '../src/session/limits.ts'
import { creditTokensMax } from '../src/stage/limits.ts'
import { goodbyeMs, recordTtlMs, redialMaxMs, redialMinMs } from '../src/swarm/limits.ts'
import { coverage } from '../src/route/coverage.ts'
import { place } from '../src/route/place.ts'
import { isServed } from '../src/route/route.ts'
import { type Hop, type ModelShape, type PeerView, withObtainable } from '../src/route/view.ts'
import type { SessionReport } from '../src/session/event.ts'
import { Agenda } from './agenda.ts'
import { aliveProtocol, recordsProtocol } from './brain.ts'
import { drawModelId, drawPeerId, drawSessionId } from './cast.ts'
import { Chance, hashText } from './chance.ts'
import { cacheBytes } from '../src/engine/onnx/cache.ts'
import { motionOf } from './motion.ts'
import { BrokenPromise, Promises } from './promises.ts'
import { Radio } from './radio.ts'
import { ambushToken, type FaultKind, type FaultSpec, type Scenario, type WorkloadSpec } from './scenario.ts'
import type { SessionRun } from './session-run.ts'
import { SimPeer, type WorldOfBrain } from './sim-peer.ts'
import { type Sample, Stats, type Summary } from './stats.ts'
import type { ToyModel } from './toy-engine.ts'
import { Weights, type WeightsFile } from './weights.ts'
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
    }
  | { readonly kind: 'output'; readonly atMs: number; readonly number: number; readonly output: SessionReport }
  | {
      readonly kind: 'fault'
      readonly atMs: number
      readonly fault: FaultKind
      readonly who: readonly string[]
      readonly forMs: number | undefined
      /** It waited for an answer, see `inAnswer` of a scenario. */
      readonly isAmbush: boolean
    }

/** Tokens of cache that placement reserves at every stage, as the real shapes do, within the context. */
const reserveTokensMax = 2048
/** What faults do that do not say how much: see `scenario.ts`. */
const slowFactorDefault = 5
const skewMsDefault = 60_000
/** A fault may be noticed, and charged for, this long after it is over. */
const aftermathMs = 20_000
/** A hop that says nothing is known, by a driver that hears the hops before it, within this, on links that are not full. */
const mutePatienceMs = 12_000
/** Within so long after it has come to itself a peer hears what happened meanwhile. */
const wakingMs = 1_000
/**
 * An answer that has ended is told to its whole route, each hop of which waits so long for the next (`stageCloseMs`); only
 * caches of which nobody hears anything more stay for longer (`orphanGraceMs`).
 */
const cachesFreeMs = 10_000
/** Whoever was gone for so long is known to nobody: its records expire, and so do those that were passed on last. */
const forgottenMs = 4 * recordTtlMs
/** Rows of peers that are kept for a report: some 5 MB of a table. */
const rowsMax = 120_000
/** Faults that a report marks. */
const marksMax = 1_000
/** Liars are found out within this, and what they claim is loaded: two probes in vain, and a load of a second or two. */
const claimHeardMs = 20_000
/** Peers among whom a report shows who sends to whom at every moment, the links it shows, and bytes that count. */
const flowsPeersMax = 64
const flowsMax = 24
const flowBytesMin = 3_000
/** Who had much to do this long ago may still be called slow. */
const strainMs = 15_000
/** Protocols on which no session waits. */
const background: ReadonlySet<string> = new Set([recordsProtocol, aliveProtocol])
/** First byte of a frame that is a Step: field 2, length-delimited. */
const stepTag = 0x12

interface Dialing {
  failures: number
  nextMs: number
  isDialing: boolean
  /** Protocols whose channel is being opened. */
  readonly opening: Set<string>
}

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
  /** Bytes per link at the last sample. */
  #carried = new Map<number, number>()
  readonly seed: number
  readonly #toy: ToyModel
  readonly #chance: Chance
  readonly #byId = new Map<PeerId, SimPeer>()
  readonly #dials = new Map<number, Dialing>()
  readonly #onLine: ((line: string) => void) | undefined
  readonly #usesRecords: boolean
  readonly #keepsSamples: boolean
  readonly #onCourse: ((event: WorldCourse) => void) | undefined
  /** Faults that wait for an answer. */
  readonly #ambushes: FaultSpec[] = []
  /** Sessions that are open, with the life of the peer that drives them. */
  readonly #open = new Map<SessionId, { readonly run: SessionRun; readonly driver: SimPeer; readonly number: number }>()
  /** Of sessions that are open: the classes of their first route, and after how many tokens some are given up. */
  readonly #classes = new Map<SessionId, readonly string[]>()
  readonly #impatient = new WeakMap<SessionRun, number>()
  /** Pairs of peers and when their link last failed either of them. */
  readonly #linkTrouble = new Map<number, number>()
  #sessions = 0
  #trace = 0x811c9dc5
  #lastMoveMs = 0
  #isHealed = false
  /** Sessions that wait for a hop that does nothing: for whom, and since when. */
  readonly #waits = new Map<SessionId, { readonly key: string; readonly sinceMs: number }>()
  #hasLied = false
  /** By kind and peer: how many faults that last there have been. */
  readonly #spells = new Map<string, number>()

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
    this.#keepsSamples = keepsSamples
    this.#chance = new Chance(seed)
    const { model } = scenario
    this.#toy = {
      layers: model.layers,
      vocab: 32_003,
      hidden,
      edge: 'f16',
      contextMax: model.contextTokens,
      // Keys and values of one token take twice the width in float32.
      kvWidth: Math.max(1, Math.round(model.cacheBytesPerToken / 8))
    }
    this.shape = shapeOf(scenario, this.#toy, drawModelId(this.#chance.fork('model')))
    const isHeld = scenario.peers.every(({ holds }) => holds === undefined)
    this.weights = isHeld ? undefined : new Weights(this.shape)
    this.promises = new Promises(this.#toy, () => this.agenda.nowMs)
    this.stats = new Stats()

    const cast = this.#chance.fork('cast')
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
      this.#chance.fork('wire'),
      id => this.#byId.get(id),
      this.peers.length,
      (a, b) => this.#noteTrouble(a, b)
    )
    for (const peer of this.peers) {
      peer.onConnected = other => this.#onConnected(peer, other)
      peer.onDisconnected = other => {
        const far = this.#byId.get(other)!
        // Whom others gave up because it stood still finds that out when it wakes: the link between them was as good as ever.
        if (![peer, far].some(each => each.isFrozen || this.nowMs - each.thawedMs < wakingMs))
          this.#noteTrouble(peer.index, far.index)
      }
      this.agenda.at(1000 * peer.chance.between(...peer.group.startS), () => this.boot(peer))
    }
    const isLarge = this.peers.length > recordsPeersMax
    this.#every(isLarge ? 2000 : 250, () => this.#meet())
    this.#every(isLarge ? 2000 : 1000, () => this.#moveAll())
    this.#every(1000, () => this.#checkPatience())
    this.#every(1000 * scenario.watch.sampleS, () => this.#sample())
    this.#planWorkload()
    this.#planFaults()
  }

  get nowMs(): number {
    return this.agenda.nowMs
  }

  /**
   * Lives through the scenario, then heals a core and waits for rest.
   * @throws {BrokenPromise}
   */
  run(): Summary {
    const startedMs = performance.now()
    const endMs = this.scenario.minutes * 60_000
    try {
      this.agenda.run(endMs)
      this.heal()
      this.agenda.run(endMs + this.scenario.healS * 1000)
      this.#checkRest()
    } catch (error) {
      if (error instanceof AssertionError) throw new BrokenPromise('crash', this.nowMs, error.stack ?? error.message)
      throw error
    }
    this.say(`the end: ${this.agenda.events} events`)
    return this.summary(performance.now() - startedMs)
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
      wireBytes: this.#wireBytesSoFar(),
      joules: this.#joulesSoFar(),
      levels: this.#chargesNow()
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
    const { group } = peer
    const world: WorldOfBrain = {
      shape: this.shape,
      toy: this.#toy,
      promises: this.promises,
      usesRecords: this.#usesRecords,
      facts: {
        budgetBytes: Math.floor(group.memoryMB * 1e6),
        visitMs: group.visitMs,
        layerMs: group.layerMs,
        numericClass: group.numericClass,
        cores: group.cores
      },
      wireBytes: frame => this.#wireBytes(frame),
      hearsPeer: other => this.wire.hears(peer.id, other),
      openChannel: (to, protocol, done) => this.wire.open(peer, to, protocol, done),
      traffic: () => this.wire.traffic(peer, background),
      strained: ms => {
        peer.strainedUntilMs = Math.max(peer.strainedUntilMs, this.nowMs + ms + strainMs)
      },
      disconnect: (other, message, reason) => {
        this.say(`${peer.name} hangs up on ${this.#nameOf(other)}: ${message}`)
        this.#checkSilence(peer, other)
        this.wire.disconnect(peer.id, other, message, reason)
      },
      moved: (what, range) => {
        this.#lastMoveMs = this.nowMs
        this.say(`${peer.name} ${what} layers ${range.start}-${range.end}`)
        if (what === 'loads') this.stats.loads++
        if (what === 'unloads') peer.sickUntilMs = Math.max(peer.sickUntilMs, this.nowMs + aftermathMs)
      },
      weights: this.weights,
      fetched: (files, tookMs, error) => this.#onFetched(peer, files, tookMs, error),
      refused: (reason, message) => this.#checkRefusal(peer, reason, message),
      told: (run, output) => this.#onOutput(peer, run, output),
      accused: (by, other, kind, message) => this.#onAccused(peer, by, other, kind, message)
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
    for (const [session, { driver }] of [...this.#open]) {
      if (driver !== peer) continue
      this.#open.delete(session)
      this.#classes.delete(session)
      this.promises.ended(session)
      this.stats.driversLost++
    }
    peer.end()
    this.wire.vanish(peer.id, says)
    if (!says) this.#powerOff(peer)
  }

  /** Leaves with a goodbye. */
  stop(peer: SimPeer): void {
    if (peer.life === 0 || peer.isFrozen) return
    const { life } = peer
    this.say(`${peer.name} says goodbye`)
    peer.sickUntilMs = Number.POSITIVE_INFINITY
    peer.brain!.leave()
    this.agenda.after(goodbyeMs, () => {
      if (peer.life === life) this.crash(peer, true)
    })
  }

  /** Announces that it goes, has others take over, and leaves when nothing needs it or its time is over. */
  drain(peer: SimPeer): void {
    if (peer.life === 0 || peer.isFrozen) return
    const { life, nowMs } = { life: peer.life, nowMs: this.nowMs }
    this.say(`${peer.name} is about to go`)
    peer.sickUntilMs = Number.POSITIVE_INFINITY
    peer.brain!.drain()
    const look = (): void => {
      if (peer.life !== life) return
      if (peer.brain!.isDrained || this.nowMs - nowMs >= drainMs) this.stop(peer)
      else this.agenda.after(drainPollMs, look)
    }
    this.agenda.after(drainPollMs, look)
  }

  #powerOff(peer: SimPeer): void {
    peer.isOn = false
    this.radio.changed()
  }

  #nameOf(peer: PeerId): string {
    return this.#byId.get(peer)?.name ?? peer
  }

  // ── Meeting ─────────────────────────────────────────────────────────────────────────────────────

  #every(ms: number, act: () => void): void {
    const again = (): void => {
      act()
      this.agenda.after(ms, again)
    }
    this.agenda.after(ms, again)
  }

  /** Peers in range find and dial one another, as discovery and the dialer have them do. */
  #meet(): void {
    const { peers, wire, nowMs } = this
    for (const peer of peers) {
      if (peer.life === 0 || peer.isFrozen) continue
      for (const index of this.radio.candidates(peer.index)) {
        const other = peers[index]!
        if (other.life === 0) continue
        const near = wire.isConnected(peer.id, other.id)
        if (near) {
          if (peer.id < other.id) this.#openServices(peer, other)
          continue
        }
        // The smaller id dials; the other one where the first believes to be connected still.
        if (peer.id > other.id && !wire.isConnected(other.id, peer.id)) continue
        if (!this.radio.joins(peer.index, index)) continue
        if (wire.degree(peer.id) >= meshMax || wire.degree(other.id) >= meshMax) continue
        const dialing = this.#dialing(peer, other)
        if (dialing.isDialing || dialing.nextMs > nowMs) continue
        dialing.isDialing = true
        wire.dial(peer, other.id, isConnected => {
          dialing.isDialing = false
          if (isConnected) {
            dialing.failures = 0
            dialing.nextMs = this.nowMs + redialMinMs
            return
          }
          dialing.failures++
          const ms = Math.min(redialMaxMs, redialMinMs * 2 ** (dialing.failures - 1))
          dialing.nextMs = this.nowMs + ms * this.#chance.between(0.75, 1.25)
        })
      }
    }
  }

  #dialing(a: SimPeer, b: SimPeer): Dialing {
    const key = a.index * this.peers.length + b.index
    let dialing = this.#dials.get(key)
    if (dialing === undefined || (dialing.isDialing && dialing.nextMs < this.nowMs - 20_000)) {
      dialing = {
        failures: 0,
        nextMs: this.nowMs + this.#chance.between(50, 600),
        isDialing: false,
        opening: new Set()
      }
      this.#dials.set(key, dialing)
    }
    return dialing
  }

  #onConnected(peer: SimPeer, other: PeerId): void {
    const far = this.#byId.get(other)!
    if (peer.id < other) this.#openServices(peer, far)
  }

  /** The smaller id opens what both ends speak on, and again when it was lost. */
  #openServices(peer: SimPeer, other: SimPeer): void {
    const brain = peer.brain!
    const open = (protocol: string, isOpen: boolean, opening: Set<string>): void => {
      if (isOpen || opening.has(protocol)) return
      const { life } = peer
      opening.add(protocol)
      const done = (): void => void opening.delete(protocol)
      this.agenda.after(5_000, done)
      this.wire.open(peer, other.id, protocol, channel => {
        done()
        if (channel === undefined) return
        if (peer.life === life) peer.brain!.opened(channel)
      })
    }
    const { opening } = this.#dialing(peer, other)
    open(recordsProtocol, brain.isConnected(other.id), opening)
    open(aliveProtocol, brain.isBeating(other.id), opening)
  }

  #noteTrouble(a: number, b: number): void {
    this.#linkTrouble.set(this.#pair(a, b), this.nowMs)
  }

  #pair(a: number, b: number): number {
    return Math.min(a, b) * this.peers.length + Math.max(a, b)
  }

  #hadTrouble(a: SimPeer, b: SimPeer): boolean {
    if (a === b) return false
    if (!this.radio.joins(a.index, b.index)) return true
    const key = this.#pair(a.index, b.index)
    if (this.nowMs - (this.#linkTrouble.get(key) ?? Number.NEGATIVE_INFINITY) < aftermathMs) return true
    return this.radio.path(a.index, b.index)!.loss > 0.06
  }

  // ── Motion and energy ───────────────────────────────────────────────────────────────────────────

  #moveAll(): void {
    if (!this.#isHealed) this.radio.move(this.nowMs)
    this.wire.changed()
    for (const peer of this.peers) this.#drain(peer)
  }

  #wireBytesSoFar(): number {
    return [...this.wire.bytes.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Of those that have a battery. */
  #chargesNow(): number[] {
    return this.peers.flatMap(({ level }) => (level === null ? [] : [level]))
  }

  #joulesSoFar(): number {
    return this.peers.reduce((sum, peer) => sum + peer.usedJoules + this.#unpaidJoules(peer), 0)
  }

  /** What a peer has used since it was looked at last. */
  #unpaidJoules(peer: SimPeer): number {
    const { watts } = peer.group
    const ms = this.nowMs - peer.paidAtMs
    return (
      ((peer.isOn ? watts.idle * ms : 0) +
        (peer.life !== 0 ? watts.motion * ms : 0) +
        watts.compute * (peer.computeMs - peer.paidComputeMs) +
        watts.radio * (this.radio.busyMs[peer.index]! - peer.paidRadioMs)) /
      1000
    )
  }

  #drain(peer: SimPeer): void {
    const { group } = peer
    const { recharge } = group
    const busyMs = this.radio.busyMs[peer.index]!
    const ms = this.nowMs - peer.paidAtMs
    const isRunning = peer.life !== 0
    const joules = this.#unpaidJoules(peer)
    peer.paidAtMs = this.nowMs
    peer.paidComputeMs = peer.computeMs
    peer.paidRadioMs = busyMs
    peer.usedJoules += joules
    if (group.batteryWh === undefined || this.#isHealed) return
    const full = group.batteryWh * 3600
    if (peer.isCharging) peer.joules = Math.min(full, peer.joules + ((recharge?.watts ?? 0) * ms) / 1000)
    else peer.joules -= joules
    const level = peer.level!
    if (
      recharge !== undefined &&
      isRunning &&
      level < recharge.below &&
      peer.sickUntilMs !== Number.POSITIVE_INFINITY
    ) {
      this.drain(peer)
    } else if (recharge !== undefined && !isRunning && peer.isOn && !peer.isCharging && level < recharge.above) {
      peer.isCharging = true
    } else if (recharge !== undefined && peer.isCharging && level >= recharge.above) {
      peer.isCharging = false
      this.agenda.after(recharge.flightS * 1000, () => this.boot(peer))
    } else if (level <= 0 && peer.isOn && !peer.isCharging) {
      this.say(`${peer.name} has a flat battery`)
      this.#mark(`flat battery: ${peer.name}`)
      this.stats.flat++
      this.crash(peer, false)
    }
    if (isRunning && Math.round(100 * level) !== peer.toldPercent) {
      peer.toldPercent = Math.round(100 * level)
      peer.brain?.announceSoon()
    }
  }

  #wireBytes(frame: Uint8Array): number {
    // Only steps with hidden states weigh more than they do here.
    const row = this.#toy.hidden * edgeSize(this.#toy.edge)
    if (frame[0] !== stepTag || frame.length < row + 8) return frame.length
    return frame.length + Math.floor(frame.length / row) * (this.scenario.model.stepBytes - row)
  }

  // ── Prompts ─────────────────────────────────────────────────────────────────────────────────────

  #planWorkload(): void {
    const endMs = this.scenario.minutes * 60_000
    for (const [i, work] of this.scenario.workload.entries()) {
      const chance = this.#chance.fork(`workload ${i}`)
      let atMs = work.fromS * 1000
      for (;;) {
        atMs += chance.wait(work.perMinute / 60_000)
        if (atMs >= Math.min(endMs, work.untilS * 1000)) break
        this.agenda.at(atMs, () => this.#prompt(work, chance))
      }
    }
  }

  #prompt({ from, promptTokens, answerTokens, temperature, cancelRatio }: WorkloadSpec, chance: Chance): void {
    const able = this.#named([from]).filter(peer => peer.life !== 0 && !peer.isFrozen)
    const length = chance.whole(...promptTokens)
    const answer = chance.whole(...answerTokens)
    if (able.length === 0) {
      this.stats.unasked++
      return
    }
    const run = this.prompt(chance.pick(able), Math.max(1, length), Math.max(1, answer), temperature, chance)
    if (cancelRatio > 0) this.#losePatience(run, cancelRatio)
  }

  /** Some of those who ask give up: while they wait for the first token, or at one that they see. */
  #losePatience(run: SessionRun, ratio: number): void {
    const chance = this.#chance.fork(`patience ${run.ask.session}`)
    if (!chance.happens(ratio)) return
    const tokens = chance.whole(0, run.ask.answerTokens - 1)
    if (tokens > 0) this.#impatient.set(run, tokens)
    else this.agenda.after(chance.between(0, 1_000), () => this.#cancel(run))
  }

  #cancel(run: SessionRun): void {
    const open = this.#open.get(run.ask.session)
    if (open?.run !== run || open.driver.isFrozen) return
    this.say(`${open.driver.name} gives ${open.number} up`)
    const { route } = run
    if (run.cancel()) this.#watchCaches(open.driver, run, route)
  }

  /** A peer asks something. @param isProbe only to see that an answer comes: no figure counts it */
  prompt(
    driver: SimPeer,
    promptTokens: number,
    answerTokens: number,
    temperature: number,
    chance: Chance,
    isProbe = false
  ): SessionRun {
    const room = this.#toy.contextMax
    const length = Math.min(promptTokens, room - 2)
    const count = Math.min(answerTokens, room - length)
    const session = drawSessionId(chance)
    const promptIds = Array.from({ length }, () => chance.whole(0, this.#toy.vocab - 1))
    const sampling = { temperature, topP: 1, topK: 0, seed: chance.whole(0, 1e9) }
    const number = ++this.#sessions
    this.say(`${driver.name} asks ${number}: ${length} tokens, ${count} to come`)
    this.promises.began(session, promptIds, sampling, count)
    if (!isProbe) this.stats.asked(number, this.nowMs)
    this.#onCourse?.({
      kind: 'ask',
      atMs: this.nowMs,
      number,
      driver: driver.name,
      promptTokens: length,
      answerTokens: count,
      sampling
    })
    const run = driver.brain!.ask({
      session,
      model: { id: this.shape.id, vocab: this.#toy.vocab },
      promptIds,
      answerTokens: count,
      sampling
    })
    if (!run.isEnded) this.#open.set(session, { run, driver, number })
    return run
  }

  #onOutput(driver: SimPeer, run: SessionRun, output: SessionReport): void {
    const { session } = run.ask
    const number = this.#open.get(session)?.number ?? this.#sessions
    this.#onCourse?.({ kind: 'output', atMs: this.nowMs, number, output })
    switch (output.kind) {
      case 'token':
        this.promises.token(session, output.position, output.id)
        this.stats.token(number, this.nowMs)
        if (output.position + 1 - run.ask.promptIds.length === this.#impatient.get(run)) {
          this.agenda.after(0, () => this.#cancel(run))
        }
        if (output.position === run.ask.promptIds.length + ambushToken) this.#spring(driver, run)
        break
      case 'lost':
        this.say(`${number} loses hop ${output.hop}, ${this.#nameOf(output.peer)}: ${output.reason}`)
        if (output.charged) this.#checkBlame(driver, run, output.peer, output.hop, output.reason)
        this.stats.lost(output.reason)
        break
      case 'route':
        this.#classes.set(session, this.#classesOf(output.hops))
        break
      case 'recovered':
        this.#checkExact(driver, session, output)
        this.say(`${number} recovers after ${output.ms.toFixed(0)} ms, ${output.replayedTokens} tokens replayed`)
        this.stats.recovered(this.nowMs, output.ms)
        break
      case 'end': {
        const { outcome } = output
        const how = outcome.kind === 'failed' ? `fails: ${outcome.message}` : outcome.kind
        this.say(`${number} ${how}`)
        this.stats.ended(number, this.nowMs, outcome.kind, this.promises.isTainted(session))
        this.#checkExact(driver, session, output)
        if (outcome.kind === 'stopped') this.#watchCaches(driver, run, output.route)
        this.promises.ended(session)
        this.#open.delete(session)
        this.#classes.delete(session)
        this.#impatient.delete(run)
        break
      }
      case 'cut':
        this.say(`${number} loses the link from ${this.#nameOf(output.peer)} to ${this.#nameOf(output.next)}`)
        this.stats.cuts++
        break
      default:
        break
    }
  }

  /** The numeric class that computes each layer. */
  #classesOf(route: readonly Hop[]): string[] {
    return route.flatMap(({ peer, start, end }) =>
      new Array<string>(end - start).fill(this.#byId.get(peer)!.group.numericClass)
    )
  }

  /** A session that calls its answer exact has had every layer computed in one class alone (promise P3). */
  #checkExact(
    driver: SimPeer,
    session: SessionId,
    { route, exact }: { readonly route: readonly Hop[]; readonly exact: boolean }
  ): void {
    this.promises.checks++
    const first = this.#classes.get(session)
    if (!exact || first === undefined) return
    const layer = this.#classesOf(route).findIndex((numericClass, at) => numericClass !== first[at])
    if (layer < 0) return
    this.promises.broken(
      'inexact',
      `${driver.name} calls an answer exact whose layer ${layer} was computed as ${first[layer]} first, and now otherwise`
    )
  }

  /** An answer is over: where nothing is wrong its caches are free long before anybody would give them up for lost. */
  #watchCaches(driver: SimPeer, { ask: { session } }: SessionRun, route: readonly Hop[]): void {
    const hops = route.map(hop => ({ hop, peer: this.#byId.get(hop.peer)! }))
    const all = [driver, ...hops.map(({ peer }) => peer)]
    const lives = all.map(({ life }) => life)
    // A cache is not freed under a step that is being computed.
    if (all.some(({ brain }) => (brain?.backlogMs ?? 0) > cachesFreeMs / 4)) return
    this.agenda.after(cachesFreeMs, () => {
      const isCalm = all.every(
        (peer, i) =>
          peer.life === lives[i] && this.#isHealthy(peer) && all.every(other => !this.#hadTrouble(peer, other))
      )
      if (!isCalm) return
      this.promises.checks++
      const left = hops.find(({ hop, peer }) => peer.brain?.hasCache(driver.id, session, hop) === true)
      if (left === undefined) return
      this.promises.broken(
        'leak',
        `${left.peer.name} keeps the cache of an answer that ended ${cachesFreeMs / 1000} s ago`
      )
    })
  }

  #onFetched(peer: SimPeer, files: readonly WeightsFile[], tookMs: number | undefined, error?: string): void {
    const what = this.weights!.names(files)
    if (tookMs === undefined) {
      this.say(`${peer.name} lacks ${what}`)
      return
    }
    this.stats.fetched(tookMs, error === undefined)
    this.say(
      `${peer.name} ${error === undefined ? 'has fetched' : 'did not get'} ${what} after ${tookMs.toFixed(0)} ms`
    )
  }

  // ── Blame ───────────────────────────────────────────────────────────────────────────────────────

  #isHealthy(peer: SimPeer): boolean {
    return (
      peer.life !== 0 &&
      peer.isOn &&
      !peer.isFrozen &&
      peer.slowFactor === 1 &&
      peer.lie === undefined &&
      !peer.isMute &&
      !peer.isHung &&
      peer.sickUntilMs < this.nowMs
    )
  }

  /** A session charges a peer: something must have been wrong with it, or with a link of its. */
  #checkBlame(driver: SimPeer, run: SessionRun, id: PeerId, hop: number, reason: string): void {
    const peer = this.#byId.get(id)!
    // Who may report a loss: the hop before, or the driver.
    const before = run.route[hop - 1]?.peer
    const reporters = before === undefined ? [driver] : [driver, this.#byId.get(before)!]
    this.promises.checks++
    if (!this.#isHealthy(peer)) return
    // A hop before that does not hear it says something of the link, not of who is on it, as long as the driver hears it.
    const isOfLink = reason === 'closed' || reason === 'silent'
    const isHeard = isOfLink && driver !== peer && this.wire.isConnected(driver.id, id)
    if ((isHeard ? [driver] : reporters).some(other => this.#hadTrouble(peer, other))) return
    if ((reason === 'slow' || reason === 'stuck') && peer.strainedUntilMs >= this.nowMs) return
    // A stage that is not there is a fact of a healthy peer, not a fault.
    const range = run.route[hop]
    if (reason === 'not-serving' && !(range !== undefined && peer.brain!.serves(range))) return
    this.promises.broken('blame', `${driver.name} charges ${peer.name}, which is healthy, with being ${reason}`)
  }

  /** Nobody waits for long for a hop that says nothing, nor for one that gets nothing done where there is another way. */
  #checkPatience(): void {
    for (const [session, { run, driver, number }] of this.#open) {
      const peers = run.route.map(({ peer }) => this.#byId.get(peer)!)
      const hop = peers.findIndex(({ isMute, isHung }) => isMute || isHung)
      const still = peers[hop]
      // Whoever else there is may be why it takes longer.
      const isPlain =
        still !== undefined &&
        still.life !== 0 &&
        !run.isRouting &&
        !driver.isFrozen &&
        [driver, ...peers].every(
          (peer, i, all) =>
            (peer === still || peer === driver || this.#isHealthy(peer)) &&
            !still.isFrozen &&
            !this.#hadTrouble(peer, all[i - 1] ?? driver) &&
            !this.#hadTrouble(peer, driver)
        ) &&
        (still.isMute || driver.brain!.hasWayAround(new Set([still.id])))
      if (!isPlain) {
        this.#waits.delete(session)
        continue
      }
      this.promises.checks++
      const key = `${still.name} ${run.sinceMs}`
      const wait = this.#waits.get(session)
      if (wait?.key !== key) this.#waits.set(session, { key, sinceMs: this.nowMs })
      else if (this.nowMs - wait.sinceMs > this.#patienceMs(run, still, hop)) {
        const s = ((this.nowMs - wait.sinceMs) / 1000).toFixed(0)
        this.promises.broken('patience', `${number} has waited for hop ${hop}, ${still.name}, for ${s} s`)
      }
    }
  }

  /** How long an answer may wait for a hop that does nothing with it. */
  #patienceMs({ ask, route }: SessionRun, { isMute, group, brain }: SimPeer, hop: number): number {
    const tokens = Math.min(creditTokensMax, ask.promptIds.length + ask.answerTokens)
    const linkMs = (tokens * this.scenario.model.stepBytes) / slowLinkBytesPerMs
    if (isMute) return mutePatienceMs + linkMs
    const { start, end } = route[hop]!
    const stepMs = group.visitMs + group.layerMs * (end - start) * Math.min(attentionBlock, tokens)
    // Others that were given up before make it more patient.
    return 4 * (Math.max(stuckMs, stuckFactor * stepMs * (2 + brain!.stages.sessions)) + linkMs) + mutePatienceMs
  }

  /** Where nobody lies no step leaves a gap, and every step can be computed. */
  #checkRefusal(peer: SimPeer, reason: string, message: string): void {
    this.promises.checks++
    if (reason !== 'gap' && reason !== 'invalid' && reason !== 'engine') return
    if (this.#hasLied) return
    this.promises.broken('two-owners', `${peer.name} says that a step cannot be computed (${reason}): ${message}`)
  }

  #checkSilence(peer: SimPeer, other: PeerId): void {
    const far = this.#byId.get(other)!
    this.promises.checks++
    if (!this.#isHealthy(far) || !this.#isHealthy(peer) || this.#hadTrouble(peer, far)) return
    this.promises.broken('blame', `${peer.name} takes ${far.name} for silent, which is healthy`)
  }

  #onAccused(peer: SimPeer, by: string, other: PeerId, kind: string, message: string): void {
    const far = this.#byId.get(other)!
    this.say(`${peer.name} finds that ${far.name} breaks the protocol of ${by}s (${kind}): ${message}`)
    this.stats.violations++
    this.promises.checks++
    if (far.lie !== undefined || far.liedUntilMs >= this.nowMs || far.sickUntilMs === Number.POSITIVE_INFINITY) return
    // A stream on which nothing came is no more than the silence of its peer.
    if (kind === 'silent' && (!this.#isHealthy(far) || !this.#isHealthy(peer) || this.#hadTrouble(peer, far))) return
    this.promises.broken('blame', `${peer.name} says that ${far.name}, which is honest, broke the protocol: ${message}`)
  }

  // ── Faults ──────────────────────────────────────────────────────────────────────────────────────

  #named(names: readonly string[]): SimPeer[] {
    return this.peers.filter(peer => names.includes(peer.name) || names.includes(peer.group.name))
  }

  #planFaults(): void {
    const chance = this.#chance.fork('faults')
    for (const spec of this.scenario.faults) {
      this.agenda.at(spec.atS * 1000, () => {
        if (spec.inAnswer) {
          this.#ambushes.push(spec)
          return
        }
        const named = this.#named(spec.who)
        const who = spec.any ? [chance.pick(named)] : named
        this.fault(spec.kind, who, {
          forMs: spec.forS === undefined ? undefined : spec.forS * 1000,
          factor: spec.factor ?? slowFactorDefault,
          ms: spec.ms ?? skewMsDefault
        })
      })
    }
    const { chaos } = this.scenario
    if (chaos === undefined) return
    const untilMs = Math.min(this.scenario.minutes * 60, chaos.untilS) * 1000
    const able = chaos.who === undefined ? this.peers : this.#named(chaos.who)
    let atMs = chaos.fromS * 1000
    for (;;) {
      atMs += chance.wait(chaos.perMinute / 60_000)
      if (atMs >= untilMs) break
      this.agenda.at(atMs, () => {
        const kind = chance.pick(chaos.kinds)
        const forMs = 1000 * chance.between(...chaos.forS)
        const count = kind === 'partition' ? chance.whole(1, Math.max(1, able.length - 1)) : kind === 'cut' ? 2 : 1
        const who = [...able]
        while (who.length > count) who.splice(Math.floor(chance.next() * who.length), 1)
        const candidates = kind === 'restart' ? this.peers.filter(peer => peer.life === 0) : who
        if (candidates.length === 0) return
        this.fault(kind, kind === 'restart' ? [chance.pick(candidates)] : candidates, {
          forMs,
          factor: chance.between(2, 20),
          ms: chance.between(-3.6e6, 3.6e6)
        })
      })
    }
  }

  /** An answer is under way: what waited for one strikes a hop of its route, not its driver. */
  #spring(driver: SimPeer, run: SessionRun): void {
    for (const spec of [...this.#ambushes]) {
      const named = this.#named(spec.who)
      const able = run.route.map(({ peer }) => this.#byId.get(peer)!).filter(peer => named.includes(peer))
      const victim = ambushed(able.filter(peer => peer !== driver))
      if (victim === undefined) continue
      this.#ambushes.splice(this.#ambushes.indexOf(spec), 1)
      const { kind, forS, factor = slowFactorDefault, ms = skewMsDefault } = spec
      const forMs = forS === undefined ? undefined : forS * 1000
      // After what this token causes, as a real fault would come.
      this.agenda.after(0, () => this.fault(kind, [victim], { forMs, factor, ms, isAmbush: true }))
      return
    }
  }

  fault(
    kind: FaultKind,
    who: readonly SimPeer[],
    {
      forMs,
      factor,
      ms,
      isAmbush = false
    }: { forMs: number | undefined; factor: number; ms: number; isAmbush?: boolean }
  ): void {
    if (this.#isHealed) return
    this.stats.faults++
    const long = forMs === undefined ? '' : ` for ${(forMs / 1000).toFixed(1)} s`
    this.#mark(`${kind}: ${who.map(({ name }) => name).join(', ')}${long}`)
    this.#onCourse?.({
      kind: 'fault',
      atMs: this.nowMs,
      fault: kind,
      who: who.map(({ name }) => name),
      forMs,
      isAmbush
    })
    const sick = (peer: SimPeer, lengthMs = 0): void => {
      peer.sickUntilMs = Math.max(peer.sickUntilMs, this.nowMs + lengthMs + aftermathMs)
    }
    /** When it is over, unless another one of its kind has followed it there. */
    const later = (act: () => void, where = ''): void => {
      const spell = `${kind} ${where}`
      const number = (this.#spells.get(spell) ?? 0) + 1
      this.#spells.set(spell, number)
      if (forMs === undefined) return
      this.agenda.after(forMs, () => {
        if (!this.#isHealed && this.#spells.get(spell) === number) act()
      })
    }
    if (kind === 'partition') {
      this.say(`${who.map(peer => peer.name).join(', ')} part from the others`)
      const sides = this.peers.map(peer => (who.includes(peer) ? 1 : 0))
      this.radio.part(sides)
      later(() => {
        this.say('all are together again')
        this.radio.part(undefined)
        // Only those who were apart may still say that they heard nothing.
        for (const a of who) for (const b of this.peers) if (!who.includes(b)) this.#noteTrouble(a.index, b.index)
        this.wire.changed()
      })
      return
    }
    if (kind === 'cut') {
      const [a, b] = who
      if (a === undefined || b === undefined) return
      this.say(`${a.name} and ${b.name} do not hear one another`)
      this.radio.cut(a.index, b.index, true)
      later(() => {
        this.radio.cut(a.index, b.index, false)
        this.#noteTrouble(a.index, b.index)
        this.wire.changed()
      }, `${this.stats.faults}`)
      return
    }
    for (const peer of who) {
      switch (kind) {
        case 'crash':
          this.crash(peer, true)
          break
        case 'power':
          this.crash(peer, false)
          break
        case 'stop':
          this.stop(peer)
          break
        case 'drain':
          this.drain(peer)
          break
        case 'restart':
          this.boot(peer)
          break
        case 'freeze': {
          if (peer.life === 0) break
          const { life } = peer
          this.say(`${peer.name} freezes`)
          sick(peer, forMs ?? 0)
          peer.freeze()
          later(() => {
            if (peer.life !== life || !peer.isFrozen) return
            this.say(`${peer.name} thaws`)
            peer.thaw()
          }, peer.name)
          break
        }
        case 'slow':
          this.say(`${peer.name} slows down ${factor.toFixed(1)} times`)
          sick(peer, forMs ?? 0)
          peer.slowFactor = factor
          later(() => {
            peer.slowFactor = 1
          }, peer.name)
          break
        case 'skew':
          this.say(`the clock of ${peer.name} jumps by ${(ms / 1000).toFixed(0)} s`)
          peer.skewMs += ms
          break
        case 'mute':
        case 'hang': {
          if (peer.life === 0) break
          const { life } = peer
          const stills = (isStill: boolean): void => {
            if (kind === 'mute') peer.isMute = isStill
            else peer.isHung = isStill
          }
          this.say(`${peer.name} ${kind === 'mute' ? 'says nothing any more' : 'has an engine that hangs'}`)
          sick(peer, forMs ?? 0)
          stills(true)
          later(() => {
            if (peer.life !== life) return
            this.say(`${peer.name} gets on again`)
            sick(peer)
            stills(false)
            peer.resume()
          }, peer.name)
          break
        }
        case 'corrupt':
        case 'garble':
        case 'claim':
        case 'steal':
        case 'hoard':
          this.say(`${peer.name} begins to lie: ${kind}`)
          peer.lie = kind
          // Who only means harm to sessions leaves no step that cannot be computed.
          this.#hasLied ||= kind !== 'steal' && kind !== 'hoard'
          if (kind === 'claim') {
            peer.brain?.announceSoon()
            this.agenda.after(claimHeardMs, () => this.#checkClaims())
          }
          later(() => {
            if (peer.lie !== kind) return
            // What it said is still on its way.
            this.agenda.after(aftermathMs, () => {
              if (peer.lie === kind) this.#repent(peer)
            })
          }, peer.name)
          break
      }
    }
  }

  /** Lies no more; what it has said is still on its way. */
  #repent(peer: SimPeer): void {
    peer.lie = undefined
    peer.brain?.confess()
    peer.liedUntilMs = this.nowMs + aftermathMs
    peer.sickUntilMs = Math.max(peer.sickUntilMs, peer.liedUntilMs)
  }

  /** While liars say that they serve everything, the others serve what their budgets can, as if nobody had said so. */
  #checkClaims(): void {
    // Where something else is wrong as well, layers may be on their way for that.
    const { faults, chaos } = this.scenario
    const liars = this.peers.filter(peer => peer.lie === 'claim')
    if (liars.length === 0 || chaos !== undefined || faults.some(({ kind }) => kind !== 'claim')) return
    this.promises.checks++
    const honest = this.#views().filter(view => liars.every(({ id }) => id !== view.peer))
    if (place(honest, this.shape).missing !== null || isServed(honest, this.shape)) return
    this.promises.broken(
      'uncovered',
      `${liars.map(({ name }) => name).join(', ')} have claimed to serve everything for ${claimHeardMs / 1000} s, and ` +
        `layers are served by ${coverage(honest, this.shape)}`
    )
  }

  // ── Rest ────────────────────────────────────────────────────────────────────────────────────────

  /** Ends all faults and gives power to those who are needed to cover the model. */
  heal(): void {
    for (const { kind, who } of this.#ambushes) {
      this.say(`${kind} waited for an answer through ${who.join(', ')}, and none came`)
    }
    this.say('everything is healed')
    this.#mark('everything is healed')
    this.#isHealed = true
    this.stats.healed({
      atMs: this.nowMs,
      wireBytes: this.#wireBytesSoFar(),
      joules: this.#joulesSoFar(),
      levels: this.#chargesNow()
    })
    this.radio.heal()
    for (const a of this.peers) {
      a.slowFactor = 1
      a.sickUntilMs = Math.max(a.sickUntilMs, this.nowMs + aftermathMs)
      if (a.isFrozen) a.thaw()
      a.isMute = false
      a.isHung = false
      a.resume()
    }
    // Lies that are on their way may arrive late.
    this.agenda.after(aftermathMs, () => {
      for (const peer of this.peers) if (peer.lie !== undefined) this.#repent(peer)
    })
    const chance = this.#chance.fork('heal')
    const isAll = chance.happens(0.5)
    for (const peer of this.peers) {
      if (peer.life !== 0) continue
      if (!isAll && place(this.#views(), this.shape).missing === null) break
      peer.isCharging = false
      peer.joules = Math.max(peer.joules, 0.8 * (peer.group.batteryWh ?? 0) * 3600)
      peer.sickUntilMs = 0
      this.boot(peer)
    }
    this.wire.changed()
    const probeMs = Math.min(45_000, this.scenario.healS * 500)
    this.agenda.after(probeMs, () => {
      const able = this.peers.filter(peer => peer.life !== 0)
      if (able.length > 0) this.prompt(chance.pick(able), 20, 10, 0, chance, true)
    })
  }

  /** Everybody alive, as placement sees them, whoever knows whom. */
  #views(): PeerView[] {
    const views = this.peers.flatMap((peer): PeerView[] => {
      const { brain, group } = peer
      if (brain === undefined) return []
      const holding = this.weights?.holding(peer.disk.has)
      return [
        {
          peer: peer.id,
          budgetBytes: Math.floor(group.memoryMB * 1e6),
          held: holding?.held ?? [{ start: 0, end: this.shape.layers }],
          holdsEmbedding: holding?.holdsEmbedding ?? true,
          holdsHead: holding?.holdsHead ?? true,
          pinned: null,
          visitMs: group.visitMs,
          layerMs: group.layerMs,
          numericClass: group.numericClass,
          stages: brain.loaded.map(({ range, engine }) => ({ ...range, serving: engine !== undefined })),
          sessions: 0,
          battery: peer.level
        }
      ]
    })
    return this.weights === undefined ? views : withObtainable(views)
  }

  /** After the healing: all sessions have ended, placement rests, nothing is left in any cache. */
  #checkRest(): void {
    const { promises, nowMs } = this
    const [first] = this.#open.values()
    if (first !== undefined) {
      promises.broken('stuck-session', `${this.#open.size} sessions are open still, ${first.number} among them`)
    }
    // Who sent wrong weights is asked no more as long as a process lives, even if nobody else has any.
    const isDistrustful = this.peers.some(({ brain }) => (brain?.liars.size ?? 0) > 0)
    if (!isDistrustful && nowMs - this.#lastMoveMs < Math.min(10_000, this.scenario.healS * 200)) {
      promises.broken('restless', `placement moved ${((nowMs - this.#lastMoveMs) / 1000).toFixed(1)} s ago`)
    }
    const views = this.#views()
    if (!isDistrustful && place(views, this.shape).missing === null && !isServed(views, this.shape)) {
      promises.broken('uncovered', `the budgets suffice, and layers are served by ${coverage(views, this.shape)}`)
    }
    for (const { brain, name } of this.peers) {
      if (brain === undefined) continue
      if (brain.stages.sessions > 0) promises.broken('leak', `${name} still has ${brain.stages.sessions} sessions`)
      if (brain.cacheBytesUsed > 0) promises.broken('leak', `${name} still has ${brain.cacheBytesUsed} bytes of caches`)
      if (brain.stages.retainBytes > 0)
        promises.broken('leak', `${name} still retains ${brain.stages.retainBytes} bytes`)
      for (const { record } of brain.known()) {
        const far = this.#byId.get(record.peer)!
        if (far.life !== 0 || nowMs - far.endedMs < forgottenMs) continue
        const goneS = ((nowMs - far.endedMs) / 1000).toFixed(0)
        promises.broken('leak', `${name} still knows ${far.name}, which has been gone for ${goneS} s`)
      }
    }
    promises.checks += 5
  }

  // ── Watching ────────────────────────────────────────────────────────────────────────────────────

  #mark(text: string): void {
    if (this.#keepsSamples && this.marks.length < marksMax) this.marks.push({ atMs: Math.round(this.nowMs), text })
  }

  /** Who has sent much to whom since the last sample. */
  #flows(): [number, number, number][] {
    const count = this.peers.length
    if (count > flowsPeersMax) return []
    const flows: [number, number, number][] = []
    for (const [key, bytes] of this.wire.bytes) {
      const since = bytes - (this.#carried.get(key) ?? 0)
      this.#carried.set(key, bytes)
      if (since >= flowBytesMin * this.scenario.watch.sampleS) flows.push([Math.floor(key / count), key % count, since])
    }
    return flows.sort((a, b) => b[2] - a[2]).slice(0, flowsMax)
  }

  #levels(): Sample['levels'] {
    const levels = this.#chargesNow().sort((a, b) => a - b)
    return levels.length === 0 ? undefined : [levels[0]!, levels[levels.length >> 1]!, levels.at(-1)!]
  }

  #sample(): void {
    const views = this.#views()
    const serving = coverage(views, this.shape)
    const least = Math.min(...serving)
    const sample = this.stats.sample(this.nowMs, least, this.peers.filter(peer => peer.life !== 0).length)
    if (!this.#keepsSamples) return
    const rows = (this.peers.length * this.scenario.minutes * 60) / this.scenario.watch.sampleS
    const isWhole = this.samples.length % Math.ceil(rows / rowsMax) === 0
    this.samples.push({
      ...sample,
      coverage: serving,
      levels: this.#levels(),
      flows: this.#flows(),
      peers: !isWhole
        ? []
        : this.peers.map(peer => ({
            x: Math.round(this.radio.positions[peer.index]!.x),
            y: Math.round(this.radio.positions[peer.index]!.y),
            state: peer.life === 0 ? (peer.isCharging ? 'charging' : 'down') : peer.isFrozen ? 'frozen' : 'up',
            level: peer.level,
            stage: peer.brain?.loaded.find(({ engine }) => engine !== undefined)?.range ?? null
          })),
      joules: this.#joulesSoFar()
    })
  }
}

/** Whom of those on a route a fault in mid-answer strikes: the one in the middle. */
export function ambushed<T>(able: readonly T[]): T | undefined {
  return able[able.length >> 1]
}

/** A model's sizes as placement sees them. */
function shapeOf({ model }: Scenario, toy: ToyModel, id: ModelId): ModelShape {
  const tokens = Math.min(model.contextTokens, reserveTokensMax)
  return {
    id,
    name: 'the model',
    layers: model.layers,
    layerBytes: new Array<number>(model.layers).fill(Math.round(model.layerMB * 1e6)),
    embeddingBytes: Math.round(model.embeddingMB * 1e6),
    headBytes: Math.round(model.headMB * 1e6),
    tiedEmbeddings: model.tied,
    cacheBytesPerLayer: cacheBytes({ layers: 1, kvHeads: 1, headDim: toy.kvWidth ?? toy.hidden }, tokens),
    cacheTokens: tokens,
    stageBytes: tokens * toy.hidden * edgeSize(toy.edge),
    stepBytes: model.stepBytes
  }
}
