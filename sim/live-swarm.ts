/**
 * The real peers of one live run: started, waited for until they serve the model, asked and struck at the times at which the
 * simulated ones were, and stopped. What comes of it is a course, as the simulator's is.
 */
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Chance } from './chance.ts'
import { ambushed } from './faults.ts'
import { Air } from './live-air.ts'
import { type CourseEvent, type Spread, spreadOf } from './live-course.ts'
import { type LiveModel, storyOf } from './live-model.ts'
import { LivePeer, type LiveEvent, type LiveStatus } from './live-peer.ts'
import type { LiveBudgets, LiveTimings } from './live-plan.ts'
import { ambushToken } from './scenario-fields.ts'
import type { World, WorldCourse } from './world.ts'

/** Thrown when real peers cannot live it here, or do not come to serve; the message says why. */
export class LiveError extends Error {
  override readonly name = 'LiveError'
}

/** Bytes are counted from then on: simulated peers meet and load in the first seconds, real ones have done so before. */
export const airFromMs = 5_000
/** Where a peer keeps what it has measured of its processor. */
const measuredFile = 'measured.json'
/** Real peers have so long to find one another and to load the model. */
const settleMs = 120_000
/** They have settled when nothing has moved for so long. */
const calmMs = 2_000
/** Answers that are open at the end have so long. */
const finishMs = 60_000

export interface LiveSwarmInit {
  readonly cast: World
  readonly folder: string
  readonly budgets: LiveBudgets
  readonly print: (line: string) => void
  readonly signal: AbortSignal
}

/** The real peers of one run. */
export class LiveSwarm {
  readonly #init: LiveSwarmInit
  readonly #peers: LivePeer[] = []
  readonly #course: CourseEvent[] = []
  readonly #open = new Set<Promise<void>>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #ambushes: AmbushSpec[] = []
  /** Prompts, by the numbers of those who are asked. */
  readonly #stories = new Map<number, string>()
  #air!: Air
  /** Bytes that the air had been handed when counting began, and when it ended. */
  #airBytes: [number, number] = [0, 0]
  #partitions = 0
  #startedMs = 0
  #timings: readonly LiveTimings[] = []

  constructor(init: LiveSwarmInit) {
    this.#init = init
  }

  /** Since the simulated peers, too, had met. */
  get airBytesPerSecond(): number {
    const [from, until] = this.#airBytes
    return ((until - from) * 1000) / (this.#init.cast.scenario.minutes * 60_000 - airFromMs)
  }

  get airLateMs(): Spread {
    return spreadOf(this.#air.lateMs)
  }

  /** Announced by the peers of each group: the median. */
  timings(): readonly LiveTimings[] {
    return this.#timings
  }

  /** Starts every peer and waits until the model is covered and nothing moves. */
  async start(): Promise<void> {
    const { cast, folder, budgets, print, signal } = this.#init
    for (const [i, peer] of cast.peers.entries()) {
      // The radio of the cast asks this whether a station is on.
      Object.defineProperty(peer, 'isOn', { get: () => this.#air.isOn(i) })
    }
    this.#air = await Air.open({ radio: cast.radio, chance: new Chance(this.#seed).fork('live air') })
    const swarm = join(folder, 'swarm.json')
    const secret = randomBytes(32).toString('base64url')
    await writeFile(swarm, JSON.stringify({ format: 1, name: 'live', secret }), { mode: 0o600 })
    const { peers: groups } = cast.scenario
    for (const [station, { name, group }] of cast.peers.entries()) {
      const peer = new LivePeer({
        name,
        station,
        airPort: this.#air.port,
        dataDir: join(folder, name),
        temporaryDir: folder,
        swarm,
        memoryBytes: budgets.bytes[groups.indexOf(group)]!,
        onPort: port => this.#air.register(station, port)
      })
      this.#peers.push(peer)
      // The first one measures the processor while it is alone; the others find its file and need not: with peers
      // that load models beside them they would measure one another.
      if (station > 0) {
        await mkdir(peer.init.dataDir, { recursive: true, mode: 0o700 })
        await copyFile(join(this.#peers[0]!.init.dataDir, measuredFile), join(peer.init.dataDir, measuredFile))
      }
      peer.start()
      await this.#until(`${name} to say what it can do`, async () => {
        const status = await peer.status()
        return status?.peers.some(each => each.self && each.timings.length > 0) === true
      })
    }
    print(`${this.#peers.length} peers run`)
    let calm = ''
    let sinceMs = 0
    await this.#until('the peers to serve the model', async () => {
      const seen = await this.#statuses()
      const state = seen === undefined ? '' : stateOf(seen)
      if (state === '' || state !== calm) {
        calm = state
        sinceMs = performance.now()
        return false
      }
      return performance.now() - sinceMs >= calmMs
    })
    const statuses = (await this.#statuses())!
    this.#timings = groups.map(group => {
      const own = statuses.flatMap(({ peers }, i) => {
        const timing = peers.find(({ self }) => self)?.timings[0]
        return cast.peers[i]!.group === group && timing !== undefined ? [timing] : []
      })
      const middle = (pick: (each: LiveTimings) => number): number =>
        own.map(pick).sort((a, b) => a - b)[own.length >> 1]!
      return { visitMs: middle(each => each.visitMs), layerMs: middle(each => each.layerMs) }
    })
    for (const [i, { peers }] of statuses.entries()) {
      const stages = peers.find(({ self }) => self)!.stages.map(({ start, end }) => `${start}-${end}`)
      print(`${this.#peers[i]!.name} serves layers ${stages.join(', ') || 'none'}`)
    }
    signal.throwIfAborted()
  }

  get #seed(): number {
    return this.#init.cast.seed
  }

  get #nowMs(): number {
    return performance.now() - this.#startedMs
  }

  /** What everybody sees; undefined while somebody is not ready: connected with who is in range, loading nothing. */
  async #statuses(): Promise<LiveStatus[] | undefined> {
    const { cast } = this.#init
    const found: LiveStatus[] = []
    for (const [i, peer] of this.#peers.entries()) {
      if (!peer.isRunning) throw new LiveError(`${peer.name} has ended by itself:\n${peer.lastWords}`)
      const status = await peer.status()
      if (status === undefined) return undefined
      const connected = status.peers.filter(({ connected }) => connected).map(({ id }) => id)
      const isAlone = this.#peers.some(
        (other, j) => j !== i && cast.radio.joins(i, j) && (other.id === undefined || !connected.includes(other.id))
      )
      if (isAlone) return undefined
      found.push(status)
    }
    return found
  }

  /** @throws {LiveError} when it takes too long, or a peer ends. */
  async #until(what: string, isThere: () => Promise<boolean>): Promise<void> {
    const { signal } = this.#init
    for (const untilMs = performance.now() + settleMs; performance.now() < untilMs; ) {
      signal.throwIfAborted()
      const ended = this.#peers.find(peer => !peer.isRunning)
      if (ended !== undefined) throw new LiveError(`${ended.name} has ended by itself:\n${ended.lastWords}`)
      if (await isThere()) return
      await delay(150, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
    const words = this.#peers.map(({ name, lastWords }) => `── ${name}\n${lastWords}`).join('\n')
    throw new LiveError(`waited ${settleMs / 1000} s for ${what}:\n${words}`)
  }

  /** Asks and does what was asked and done in the simulator, at the same times; returns what happened. */
  async live(events: readonly WorldCourse[], model: LiveModel): Promise<readonly CourseEvent[]> {
    const { cast, signal } = this.#init
    const endMs = cast.scenario.minutes * 60_000
    // Before time begins: it keeps this process, and with it the air, from other work.
    for (const event of events) {
      if (event.kind !== 'ask' || event.atMs > endMs) continue
      this.#stories.set(event.number, storyOf(model.tokenizer, event.promptTokens, event.number * 7))
    }
    this.#startedMs = performance.now()
    const move = setInterval(() => {
      cast.radio.move(this.#nowMs)
      this.#air.changed()
    }, 1000)
    this.#timers.add(move)
    for (const event of events) {
      if (event.atMs > endMs) continue
      if (event.kind === 'ask') this.#at(event.atMs, () => this.#ask(event))
      else if (event.kind === 'fault' && !event.isAmbush) {
        this.#at(event.atMs, () => this.#fault(event, this.#named(event.who)))
      }
    }
    for (const spec of cast.scenario.faults) {
      if (!spec.inAnswer) continue
      const { kind: fault, who, forS } = spec
      const ambush = { fault, who, forMs: forS === undefined ? undefined : forS * 1000 }
      this.#at(spec.atS * 1000, () => this.#ambushes.push(ambush))
    }
    this.#at(airFromMs, () => {
      this.#airBytes = [this.#air.bytes, this.#air.bytes]
    })
    await delay(endMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    this.#airBytes[1] = this.#air.bytes
    const deadline = delay(finishMs, undefined, { signal, ref: false }).catch(() => signal.throwIfAborted())
    await Promise.race([Promise.all(this.#open), deadline])
    return this.#course
  }

  #at(atMs: number, act: () => void): void {
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer)
        act()
      },
      Math.max(0, atMs - this.#nowMs)
    )
    this.#timers.add(timer)
  }

  #say(text: string): void {
    this.#init.print(`${(this.#nowMs / 1000).toFixed(3).padStart(9)} ${text}`)
  }

  #named(names: readonly string[]): LivePeer[] {
    const { cast } = this.#init
    return this.#peers.filter((peer, i) => names.includes(peer.name) || names.includes(cast.peers[i]!.group.name))
  }

  #ask(asked: Extract<WorldCourse, { kind: 'ask' }>): void {
    const { number, promptTokens, answerTokens, sampling, cache } = asked
    const driver = this.#peers.find(({ name }) => name === asked.driver)!
    if (!driver.isRunning) {
      this.#say(`${driver.name} is not there to ask ${number}`)
      return
    }
    const prompt = this.#stories.get(number)!
    const askedMs = this.#nowMs
    this.#say(`${driver.name} asks ${number}: ${promptTokens} tokens, ${answerTokens} to come`)
    this.#course.push({ kind: 'ask', atMs: askedMs, number })
    let atMs = askedMs
    let tokens = 0
    let route: readonly { readonly peer: string }[] = []
    const hear = (event: LiveEvent): void => {
      switch (event.event) {
        case 'route':
          route = event.hops
          break
        case 'token':
          // On the driver's own clock: what this process does meanwhile moves nothing.
          atMs += event.ms
          this.#course.push({ kind: 'token', atMs, number })
          if (tokens++ === ambushToken) this.#spring(driver, route)
          break
        case 'lost': {
          const name = this.#peers.find(({ id }) => id === event.peer)?.name ?? event.peer
          this.#say(`${number} loses hop ${event.hop}, ${name}: ${event.reason}`)
          this.#course.push({ kind: 'lost', number, reason: event.reason })
          break
        }
        case 'recovered':
          route = event.route
          this.#say(`${number} recovers after ${event.ms.toFixed(0)} ms`)
          break
        case 'done': {
          const bytes = event.bytesPerToken * event.ids.length
          this.#course.push({ kind: 'end', number, outcome: 'answered', hops: event.hops, bytes })
          break
        }
      }
    }
    const { temperature, seed, presencePenalty, frequencyPenalty, repetitionPenalty, minP, logitBias } = sampling
    const drawn = { presencePenalty, frequencyPenalty, repetitionPenalty, minP, logitBias }
    const work = driver
      .ask({ prompt, maxTokens: answerTokens, temperature, cache, seed, ...drawn }, this.#init.signal, hear)
      .catch((error: Error) => {
        this.#say(`${number} fails: ${error.message}`)
        this.#course.push({ kind: 'end', number, outcome: 'failed', hops: [], bytes: 0 })
      })
      .finally(() => this.#open.delete(work))
    this.#open.add(work)
  }

  /** An answer is under way: what waited for one strikes a hop of its route, not its driver. */
  #spring(driver: LivePeer, route: readonly { readonly peer: string }[]): void {
    for (const ambush of this.#ambushes) {
      const named = this.#named(ambush.who)
      const able = route.flatMap(hop => named.filter(({ id }) => id === hop.peer))
      const victim = ambushed(able.filter(peer => peer !== driver))
      if (victim === undefined) continue
      this.#ambushes.splice(this.#ambushes.indexOf(ambush), 1)
      this.#fault(ambush, [victim])
      return
    }
  }

  #fault({ fault, forMs }: AmbushSpec, who: readonly LivePeer[]): void {
    const { cast } = this.#init
    const names = who.map(({ name }) => name).join(', ')
    this.#say(`${fault}: ${names}`)
    const later = (act: () => void): void => {
      if (forMs !== undefined) this.#at(this.#nowMs + forMs, act)
    }
    if (fault === 'partition') {
      cast.radio.part(this.#peers.map(peer => (who.includes(peer) ? 1 : 0)))
      this.#air.changed()
      const number = ++this.#partitions
      later(() => {
        if (number !== this.#partitions) return
        this.#say('all are together again')
        cast.radio.part(undefined)
        this.#air.changed()
      })
      return
    }
    if (fault === 'cut') {
      const [a, b] = who.map(({ init }) => init.station)
      if (a === undefined || b === undefined) return
      cast.radio.cut(a, b, true)
      later(() => {
        cast.radio.cut(a, b, false)
        this.#air.changed()
      })
      return
    }
    for (const peer of who) {
      const { station } = peer.init
      switch (fault) {
        case 'crash':
          peer.kill()
          break
        case 'power':
          this.#air.powerOff(station)
          peer.kill()
          break
        case 'restart':
          if (peer.isRunning) break
          this.#air.powerOn(station)
          peer.start()
          break
        case 'freeze':
          peer.freeze()
          later(() => peer.thaw())
          break
        case 'drain':
          peer.drain()
          break
        case 'stop':
          peer.leave()
          break
        default:
          throw new LiveError(`${fault} cannot be done to real peers`)
      }
    }
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer)
    await Promise.all(this.#peers.map(peer => peer.stop()))
    await Promise.allSettled(this.#open)
    await this.#air?.close()
  }
}

/** What a fault does to whom. */
type AmbushSpec = Pick<Extract<WorldCourse, { kind: 'fault' }>, 'fault' | 'who' | 'forMs'>

/** Who serves what, by everybody's own word; empty while something is being loaded or somebody sees a layer that nobody serves. */
function stateOf(seen: readonly LiveStatus[]): string {
  const own = seen.map(({ peers }) => peers.find(({ self }) => self)!.stages)
  if (own.flat().some(({ serving }) => !serving)) return ''
  const layers = Math.max(...own.flat().map(({ end }) => end))
  for (const { peers } of seen) {
    const stages = peers.filter(({ connected }) => connected).flatMap(each => each.stages)
    for (let layer = 0; layer < layers; layer++) {
      if (!stages.some(({ start, end, serving }) => serving && start <= layer && layer < end)) return ''
    }
  }
  return JSON.stringify(own)
}
