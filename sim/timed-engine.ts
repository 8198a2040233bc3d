/**
 * Engines in virtual time: the toy's arithmetic, in passes that the real decider makes of the steps that wait, in the time that a
 * peer's processor takes for them, and with what is wrong with it.
 */
import type { PeerId, Range, SessionId } from '../src/base/ids.ts'
import { Batches, type BatchPart } from '../src/engine/batch.ts'
import type { CacheType } from '../src/base/cache-type.ts'
import type { Engine, OpenInit, PrefixStats, Step, StepOutput } from '../src/engine/engine.ts'
import type { EngineFactory, EngineInit, Measured } from '../src/engine/factory.ts'
import type { Footprint } from '../src/engine/footprint.ts'
import { partMs, shortTokensMax } from '../src/engine/limits.ts'
import { attentionBlock } from '../src/model/limits.ts'
import { Parts } from './parts.ts'
import { type InstantEngine, type ToyModel, toyEngine } from './toy-engine.ts'

/** What an engine needs of the machine it runs on. */
export interface EngineHost {
  readonly toy: ToyModel
  readonly measured: Measured
  readonly footprint: Footprint
  /** Does a task after so many ms of this peer's clock, however short. */
  readonly after: (ms: number, task: () => void) => void
  readonly nowMs: () => number
  /** How long a pass takes from now on. */
  readonly computeMs: (range: Range, pass: Pass) => number
  /** And how long where nothing is wrong. */
  readonly healthyMs: (range: Range, pass: Pass) => number
  readonly loadMs: (range: Range) => number
  /** It ends no step now. */
  readonly isHung: () => boolean
  /** Has a task done once it ends steps again. */
  readonly hold: (task: () => void) => void
  /** A step takes so much longer than one token does with nothing before it. */
  readonly strained: (ms: number) => void
  readonly lies: (cache: SessionId) => boolean
  readonly witness: EngineWitness
}

/** What a pass computes: rows of the hidden state, and how many of them sample. */
export interface Pass {
  readonly rows: number
  readonly samples: number
}

/** Sees what engines do. */
export interface EngineWitness {
  loading(range: Range): void
  loaded(engine: TimedEngine): void
  closed(engine: TimedEngine): void
  opened(engine: TimedEngine, cache: SessionId, length: number): void
  freed(engine: TimedEngine, cache: SessionId): void
  /** A step is given to an engine; returns who is to be told that it was computed. */
  computing(engine: TimedEngine, step: Step): () => void
  /** A block of a cache is full. `hash`: of all its tokens; `isKnown`: it was not computed for this cache. */
  filled(engine: TimedEngine, cache: SessionId, hash: string, isKnown: boolean): void
  /** So many tokens of a step need not be computed. */
  knew(tokens: number): void
  /** Lone tokens take so much longer because a pass has parts of longer steps, which may not add more than `allowedMs`. */
  delayed(engine: TimedEngine, ms: number, allowedMs: number): void
  /** A driver has had so much more than its part of the engine while others waited. */
  hadMore(engine: TimedEngine, driver: PeerId, ms: number): void
}

/** What a session's cache takes to be reserved, and an engine's answer. */
const openMs = 0.2

export function timedEngines(host: EngineHost): EngineFactory {
  const { toy, measured, footprint } = host
  return {
    name: 'toy',
    exactness: 'class',
    supports: () => undefined,
    footprint: () => footprint,
    measure: async () => measured,
    create: async ({ start, end, cacheBytesMax, signal }: EngineInit): Promise<Engine> => {
      signal.throwIfAborted()
      host.witness.loading({ start, end })
      await new Promise<void>(resolve => host.after(host.loadMs({ start, end }), resolve))
      signal.throwIfAborted()
      const engine = new TimedEngine(host, toyEngine({ model: toy, start, end, cacheBytesMax }))
      host.witness.loaded(engine)
      return engine
    }
  }
}

/** A step, and whoever waits for it. */
interface Job {
  readonly step: Step
  readonly cameMs: number
  /** Tells that it was computed. */
  readonly computed: () => void
  readonly resolve: (output: StepOutput) => void
  readonly reject: (error: unknown) => void
  readonly stopListening: () => void
  begun: boolean
  /** What it gives is being computed for another session at this moment. */
  isWaiting?: boolean
  /** Of its passes so far. */
  computeMs: number
  rows: number
}

/** A pass of one step. */
function passOf(step: Step): Pass {
  return { rows: step.tokens, samples: samplesOf(step) }
}

/** After so many of its rows a token may be drawn. */
function samplesOf({ sample, drafts = [] }: Step): number {
  return sample ? 1 + drafts.length : 0
}

export class TimedEngine implements Engine {
  readonly start: number
  readonly end: number
  readonly hidden: number
  readonly edge: Engine['edge']
  readonly #host: EngineHost
  readonly #toy: InstantEngine
  readonly #batches = new Batches({ rowsMax: attentionBlock, shares: true })
  readonly #parts = new Parts()
  /** What waits or is under way, by number. */
  readonly #jobs = new Map<number, Job>()
  #nextId = 0
  /** When the pass that runs is over; undefined while none does. */
  #busyUntilMs: number | undefined

  constructor(host: EngineHost, toy: InstantEngine) {
    this.#host = host
    this.#toy = toy
    this.start = toy.start
    this.end = toy.end
    this.hidden = toy.hidden
    this.edge = toy.edge
  }

  /** Computing that it still has before it. */
  get backlogMs(): number {
    let ms = Math.max(0, (this.#busyUntilMs ?? 0) - this.#host.nowMs())
    for (const { step, begun } of this.#jobs.values()) if (!begun) ms += this.#host.healthyMs(this, passOf(step))
    return ms
  }

  get cacheBytesUsed(): number {
    return this.#toy.cacheBytesUsed
  }

  get cacheBytesMax(): number {
    return this.#toy.cacheBytesMax
  }

  set cacheBytesMax(bytes: number) {
    this.#toy.cacheBytesMax = bytes
  }

  get heldBytes(): number {
    return this.#toy.heldBytes
  }

  get prefixes(): PrefixStats {
    return this.#toy.prefixes
  }

  get cacheTypes(): readonly CacheType[] {
    return this.#toy.cacheTypes ?? []
  }

  cacheBytes(tokensMax: number, type?: CacheType): number {
    return this.#toy.cacheBytes(tokensMax, type)
  }

  length(cache: SessionId): number | undefined {
    return this.#toy.length(cache)
  }

  floor(cache: SessionId): number {
    return this.#toy.floor?.(cache) ?? 0
  }

  async open(cache: SessionId, init: OpenInit): Promise<void> {
    this.#toy.openNow(cache, init)
    this.#host.witness.opened(this, cache, this.#toy.length(cache) ?? 0)
    await new Promise<void>(resolve => this.#host.after(openMs, resolve))
  }

  run(step: Step, { signal }: { signal: AbortSignal }): Promise<StepOutput> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const id = this.#nextId++
      const abort = (): void => {
        this.#over(id)
        reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#jobs.set(id, {
        step,
        cameMs: this.#host.nowMs(),
        computed: this.#host.witness.computing(this, step),
        resolve,
        reject,
        stopListening: () => signal.removeEventListener('abort', abort),
        begun: false,
        computeMs: 0,
        rows: 0
      })
      const { session, tokens } = step
      this.#batches.push({ id, session, tokens, owner: ownerOf(session).driver }, this.#host.nowMs())
      this.#next()
    })
  }

  /** Begins a pass, unless one runs. */
  #next(): void {
    if (this.#busyUntilMs !== undefined) return
    const nowMs = this.#host.nowMs()
    const turn = this.#batches.next(nowMs)
    if (turn?.kind === 'gather') this.#host.after(turn.untilMs - nowMs, () => this.#next())
    if (turn?.kind !== 'pass') return
    this.#batches.began(turn.parts, nowMs)
    const parts = turn.parts.map((part): BatchPart => {
      const job = this.#jobs.get(part.id)!
      if (job.begun && !job.isWaiting) return part
      // Like in the real thread nothing ends a step that has begun.
      job.stopListening()
      job.begun = true
      const known = this.#toy.begin(job.step)
      job.isWaiting = typeof known === 'string'
      if (typeof known === 'string') return { ...part, tokens: 0, known: true, waitsFor: known }
      return known === 0 ? part : { ...part, tokens: known, known: true }
    })
    const pass = { rows: 0, samples: 0 }
    for (const { id, tokens, done, known } of parts) {
      const job = this.#jobs.get(id)!
      if (known === true) continue
      pass.rows += tokens
      if (done + tokens === job.step.tokens) pass.samples += samplesOf(job.step)
    }
    const ms = this.#host.computeMs(this, pass)
    this.#lookAtParts(parts, ms)
    this.#busyUntilMs = nowMs + ms
    this.#look(parts, pass, ms)
    this.#host.after(ms, () => this.#ended(parts, pass, ms))
  }

  #lookAtParts(parts: readonly BatchPart[], ms: number): void {
    const driverOf = (id: number): PeerId => ownerOf(this.#jobs.get(id)!.step.session).driver
    const rows = new Map<PeerId, number>()
    for (const { id, tokens, known } of parts) {
      if (known !== true) rows.set(driverOf(id), (rows.get(driverOf(id)) ?? 0) + tokens)
    }
    const more = this.#parts.pass(ms, rows, new Set([...this.#jobs.keys()].map(driverOf)), this.#host.nowMs())
    if (more !== undefined) this.#host.witness.hadMore(this, more.driver, more.beyondMs)
  }

  /** Tells what others see of a pass: who waits longer than a token alone takes, and for whom. */
  #look(parts: readonly BatchPart[], pass: Pass, ms: number): void {
    const host = this.#host
    const nowMs = host.nowMs()
    const alone = host.healthyMs(this, { rows: 1, samples: pass.samples > 0 ? 1 : 0 })
    const waitMs = Math.max(...[...this.#jobs.values()].map(({ cameMs }) => nowMs - cameMs))
    if (waitMs + ms > 2 * alone) host.strained(ms)
    // A token comes with its drafts: they are no part of a prompt.
    const isLong = ({ id, known }: BatchPart): boolean =>
      known !== true && this.#jobs.get(id)!.step.tokens > shortTokensMax
    const long = parts.filter(isLong).reduce((sum, { tokens }) => sum + tokens, 0)
    if (long === 0 || long === pass.rows) return
    const beside = { ...pass, rows: pass.rows - long }
    const row = host.healthyMs(this, { ...beside, rows: beside.rows + 1 }) - host.healthyMs(this, beside)
    host.witness.delayed(this, host.healthyMs(this, pass) - host.healthyMs(this, beside), Math.max(partMs, row))
  }

  #ended(parts: readonly BatchPart[], { rows }: Pass, ms: number): void {
    if (this.#host.isHung()) {
      this.#host.hold(() => this.#ended(parts, { rows, samples: 0 }, ms))
      return
    }
    this.#busyUntilMs = undefined
    this.#batches.ended(parts, ms, this.#host.nowMs())
    for (const { id, tokens, done } of parts) {
      const job = this.#jobs.get(id)!
      if (job.isWaiting) continue
      job.computeMs += ms
      job.rows += rows
      if (done + tokens === job.step.tokens) this.#finish(id, job)
    }
    this.#next()
  }

  #finish(id: number, { step, computed, resolve, reject, computeMs, rows }: Job): void {
    const gatherMs = this.#batches.gatherMs(id)
    this.#over(id)
    try {
      const output = this.#toy.runNow(step)
      this.#lookAtBlocks(step, output)
      computed()
      resolve({ ...(this.#host.lies(step.session) ? this.#corrupted(output) : output), computeMs, rows, gatherMs })
    } catch (error) {
      reject(error)
    }
  }

  #lookAtBlocks({ session, position, tokens }: Step, { reused }: StepOutput): void {
    this.#host.witness.knew(reused)
    for (let end = nextBorder(position); end <= position + tokens; end += attentionBlock) {
      const begins = end - attentionBlock
      const isKnown = begins >= position && begins < position + reused
      this.#host.witness.filled(this, session, this.#toy.hashAt(session, end - 1)!, isKnown)
    }
  }

  #over(id: number): void {
    this.#jobs.delete(id)
    this.#batches.over(id, this.#host.nowMs())
  }

  async free(cache: SessionId): Promise<void> {
    this.#toy.freeNow(cache)
    this.#batches.forget(cache)
    this.#host.witness.freed(this, cache)
  }

  async close(): Promise<void> {
    await this.#toy.close()
    this.#host.witness.closed(this)
  }

  /** Something else than what was computed. */
  #corrupted(output: StepOutput): StepOutput {
    if (output.kind === 'tokens') {
      const last = (output.ids.at(-1)! + 1) % this.#host.toy.vocab
      return { ...output, ids: [...output.ids.slice(0, -1), last] }
    }
    if (output.kind === 'hidden') output.bytes[4] = output.bytes[4]! ^ 1
    return output
  }
}

function nextBorder(position: number): number {
  return (Math.floor(position / attentionBlock) + 1) * attentionBlock
}

/** Whose cache it is, as a seat calls it in its engine. */
export function ownerOf(cache: SessionId): { readonly session: SessionId; readonly driver: PeerId } {
  const [session, driver] = cache.split(' of ') as [SessionId, PeerId]
  return { session, driver }
}
