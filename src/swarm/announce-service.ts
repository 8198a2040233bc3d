/** What this peer announces of itself: what others tell it to, and what it reads from its machine and its links. */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { announceDebounceMs, batteryMs, rttLookMs } from './limits.ts'
import { peerHint, type RecordContent } from './record.ts'
import { RoundTrips } from './round-trips.ts'
import type { Announcement } from './swarm.ts'

export interface AnnounceServiceInit {
  readonly content: RecordContent
  /** Where this peer is reached, as bytes, and the protocols that it speaks, as of now. */
  readonly whereAndWhat: () => Pick<RecordContent, 'addresses' | 'protocols'>
  /** Peers with a records channel. */
  readonly neighbours: () => Iterable<PeerId>
  readonly rttMs: (peer: PeerId) => number | undefined
  /** Null where there is no battery. */
  readonly readBattery: () => Promise<RecordContent['battery']>
  readonly onBattery: (battery: RecordContent['battery']) => void
  readonly say: (content: RecordContent) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class AnnounceService {
  readonly #init: AnnounceServiceInit
  readonly #clock: Clock
  readonly #roundTrips = new RoundTrips()
  readonly #looks: Timer[] = []
  #content: RecordContent
  #soon: Timer | undefined
  #running = false

  constructor(init: AnnounceServiceInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#content = init.content
  }

  /** What was or is about to be announced. */
  get content(): RecordContent {
    return this.#content
  }

  async start(): Promise<void> {
    await this.#lookAtBattery()
    this.#running = true
    this.#sayNow()
    this.#looks.push(
      this.#clock.every(batteryMs, () => void this.#lookAtBattery()).unref(),
      this.#clock.every(rttLookMs, () => this.#lookAtRoundTrips()).unref()
    )
  }

  stop(): void {
    this.#running = false
    this.#soon?.stop()
    for (const look of this.#looks) look.stop()
  }

  /** Changes what is announced. Changes within {@link announceDebounceMs} travel as one. */
  change(change: Announcement): void {
    this.#content = { ...this.#content, ...change }
    this.saySoon()
  }

  /** Something that is announced may have changed. What is the same as before is not sent again. */
  saySoon(): void {
    if (!this.#running) return
    this.#soon ??= this.#clock.after(announceDebounceMs, () => this.#sayNow()).unref()
  }

  #sayNow(): void {
    this.#soon?.stop()
    this.#soon = undefined
    this.#content = { ...this.#content, ...this.#init.whereAndWhat() }
    this.#init.say(this.#content)
  }

  async #lookAtBattery(): Promise<void> {
    const battery = await this.#init.readBattery()
    this.#content = { ...this.#content, battery }
    this.#init.onBattery(battery)
    this.saySoon()
  }

  #lookAtRoundTrips(): void {
    const measured = [...this.#init.neighbours()].map(peer => [peerHint(peer), this.#init.rttMs(peer)] as const)
    this.#content = { ...this.#content, rtts: this.#roundTrips.look(new Map(measured)) }
    this.saySoon()
  }
}

/** What a peer says before it is told what to say. */
export function firstContent(hardware: RecordContent['hardware'], agent = 'skein'): RecordContent {
  return {
    addresses: [],
    agent,
    hardware,
    budgetBytes: 0,
    models: [],
    stages: [],
    load: { sessions: 0, queuedSteps: 0 },
    battery: null,
    leaving: false
  }
}
