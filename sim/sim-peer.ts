/** A peer as a thing: a host with a processor, a radio, a disk, a battery and clocks, on which a process may run. */
import type { PeerId } from '../src/base/ids.ts'
import type { RecordContent } from '../src/swarm/record.ts'
import type { Agenda } from './agenda.ts'
import type { Chance } from './chance.ts'
import { Life, type LifeHost } from './life.ts'
import { LifeClock } from './life-clock.ts'
import type { Motion } from './motion.ts'
import type { PeerGroup } from './scenario-fields.ts'
import { Disk } from './weights.ts'
import type { Protocol } from '../src/base/protocol.ts'
import type { Station } from './station.ts'
import type { WireChannel } from './wire-channel.ts'
import type { Lie } from './witness.ts'

export interface SimPeerInit {
  readonly id: PeerId
  readonly index: number
  readonly name: string
  readonly group: PeerGroup
  readonly motion: Motion
  readonly agenda: Agenda
  readonly chance: Chance
  /** Level of its battery when the world begins. */
  readonly level: number
}

/** What of a life's host the world gives; the peer adds its own. */
export type WorldOfLife = Pick<
  LifeHost,
  | 'wire'
  | 'model'
  | 'footprint'
  | 'shape'
  | 'toy'
  | 'draftsRightRatio'
  | 'promises'
  | 'usesRecords'
  | 'isUnreachable'
  | 'disconnect'
  | 'traffic'
  | 'strained'
  | 'weights'
  | 'wireBytes'
  | 'moved'
  | 'fetched'
  | 'warned'
  | 'refused'
  | 'knew'
  | 'begun'
  | 'told'
  | 'failed'
  | 'accused'
  | 'violated'
  | 'crashed'
>

/** A fault may be noticed, and charged for, this long after it is over. */
export const aftermathMs = 20_000

export class SimPeer implements Station {
  readonly id: PeerId
  readonly index: number
  readonly name: string
  readonly group: PeerGroup
  readonly motion: Motion
  readonly chance: Chance
  readonly #agenda: Agenda
  /** What its processes find there, one after the other. */
  readonly disk = new Disk()
  /** What runs there now. */
  process: Life | undefined
  life = 0
  /** When its last process ended. */
  endedMs = 0
  #lives = 0
  /** Its host has power. */
  isOn = true
  isFrozen = false
  readonly #backlog: (() => void)[] = []
  slowFactor = 1
  /** How the peer lies, if it does. */
  lie: Lie | undefined
  /** Its heart beats, and it takes sessions, but does nothing with what they say. */
  isMute = false
  /** It is about to go, and begins nothing new. */
  isGoing = false
  /** It has said goodbye. */
  isStopping = false
  /** Its engine ends no step. */
  isHung = false
  /** What it said until then may have been a lie. */
  liedUntilMs = Number.NEGATIVE_INFINITY
  /** Of the wall's clock, in ms. */
  skewMs: number
  /** Rates of quartzes differ by some 50 ppm. */
  readonly #drift: number
  #seq = 0
  joules: number
  isCharging = false
  /** ms of computing and of radio that the battery has paid for. */
  computeMs = 0
  paidComputeMs = 0
  paidRadioMs = 0
  paidAtMs = 0
  usedJoules = 0
  /** When it last was other than healthy: what it failed then it may be charged for. */
  sickUntilMs = Number.NEGATIVE_INFINITY
  /** When it last came to itself after a freeze. */
  thawedMs = Number.NEGATIVE_INFINITY
  /** Until then it has more to do than one token needs: it may be called slow. */
  strainedUntilMs = Number.NEGATIVE_INFINITY
  onDisconnected: (peer: PeerId) => void = () => {}

  constructor(init: SimPeerInit) {
    this.id = init.id
    this.index = init.index
    this.name = init.name
    this.group = init.group
    this.motion = init.motion
    this.chance = init.chance
    this.#agenda = init.agenda
    this.skewMs = init.chance.between(-5_000, 5_000)
    this.#drift = init.chance.between(-5e-5, 5e-5)
    this.joules = (init.group.batteryWh ?? 0) * 3600 * init.level
  }

  get frameMs(): number {
    return this.group.frameMs
  }

  get openMs(): number {
    return this.group.openMs
  }

  /** 0 to 1, or null on mains. */
  get level(): number | null {
    return this.group.batteryWh === undefined ? null : Math.max(0, this.joules / (this.group.batteryWh * 3600))
  }

  get battery(): RecordContent['battery'] {
    const { level } = this
    return level === null ? null : { level: Math.min(1, Math.round(level * 100) / 100), charging: this.isCharging }
  }

  /** Its process starts; it finds its shards and its seq where they were. */
  boot(world: WorldOfLife): void {
    this.life = ++this.#lives
    this.isFrozen = false
    this.#backlog.length = 0
    const { life, group } = this
    const enter = (task: () => void): void => this.enter(life, task)
    this.process = new Life({
      ...world,
      station: this,
      name: this.name,
      clock: new LifeClock({
        agenda: this.#agenda,
        enter,
        beginMs: this.chance.between(0, 1e7),
        drift: this.#drift,
        // The year 2026, so that seqs look as they do.
        wallMs: () => 1.77e12 + this.#agenda.nowMs + this.skewMs
      }),
      seq: this.#seq,
      after: (delayMs, task) => {
        this.#agenda.after(delayMs / (1 + this.#drift), () => enter(task))
      },
      persist: seq => {
        this.#seq = seq
      },
      prefillRatio: group.prefillRatio,
      computeMs: healthyMs => {
        const ms = healthyMs * this.slowFactor
        this.computeMs += ms
        return ms * this.chance.between(0.95, 1.1)
      },
      loadMs: bytes => 50 + bytes / (group.loadMBps * 1000),
      budgetBytes: Math.floor(group.memoryMB * 1e6),
      cores: group.cores,
      measured: { visitMs: group.visitMs, layerMs: group.layerMs, numericClass: group.numericClass },
      disk: this.disk,
      rng: this.chance.next,
      battery: () => this.battery,
      lie: () => this.lie,
      isMute: () => this.isMute,
      isHung: () => this.isHung
    })
  }

  /** Its process is gone. */
  end(): void {
    this.life = 0
    this.isGoing = false
    this.isStopping = false
    this.endedMs = this.#agenda.nowMs
    this.process = undefined
    this.isFrozen = false
    this.isMute = false
    this.isHung = false
    this.#backlog.length = 0
  }

  enter(life: number, task: () => void): void {
    if (this.life !== life) return
    if (this.isFrozen || this.#backlog.length > 0) this.#backlog.push(task)
    else task()
  }

  /** Does what it has left undone, now or when it is awake. */
  resume(): void {
    this.enter(this.life, () => this.process?.resume())
  }

  freeze(): void {
    this.isFrozen = true
  }

  /** Awake again: everything that should have happened happens now, in order, each in a turn of its own. */
  thaw(): void {
    this.isFrozen = false
    this.thawedMs = this.#agenda.nowMs
    const { life } = this
    const next = (): void => {
      if (this.isFrozen || this.life !== life) return
      const [task] = this.#backlog
      if (task === undefined) return
      task()
      // What came meanwhile has waited behind it.
      this.#backlog.shift()
      this.#agenda.after(0, next)
    }
    next()
  }

  connected(peer: PeerId): void {
    this.enter(this.life, () => this.process?.swarm.connected(peer))
  }

  disconnected(peer: PeerId): void {
    this.onDisconnected(peer)
  }

  speaks(protocol: Protocol): string | undefined {
    return this.process?.links.speaks(protocol)
  }

  accept(channel: WireChannel): void {
    this.process?.links.accept(channel)
  }
}
