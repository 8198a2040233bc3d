/** Engines in virtual time: the toy's arithmetic, in the time that a peer's processor takes, and with what is wrong with it. */
import type { PeerId, Range, SessionId } from '../src/base/ids.ts'
import type { Engine, Sampling, Step, StepOutput } from '../src/engine/engine.ts'
import type { EngineFactory, EngineInit, Measured } from '../src/engine/factory.ts'
import type { Footprint } from '../src/engine/footprint.ts'
import { type InstantEngine, type ToyModel, toyEngine } from './toy-engine.ts'

/** What an engine needs of the machine it runs on. */
export interface EngineHost {
  readonly toy: ToyModel
  readonly measured: Measured
  readonly footprint: Footprint
  /** Does a task after so many ms of this peer's clock, however short. */
  readonly after: (ms: number, task: () => void) => void
  readonly nowMs: () => number
  /** How long a step takes from now on, and how long one token does with nothing before it. */
  readonly computeMs: (range: Range, step: Step) => { readonly ms: number; readonly aloneMs: number }
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

/** Sees what engines do. */
export interface EngineWitness {
  loading(range: Range): void
  loaded(engine: TimedEngine): void
  closed(engine: TimedEngine): void
  opened(engine: TimedEngine, cache: SessionId, length: number): void
  freed(engine: TimedEngine, cache: SessionId): void
  /** A step is given to an engine; returns who is to be told that it was computed. */
  computing(engine: TimedEngine, step: Step): () => void
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

export class TimedEngine implements Engine {
  readonly start: number
  readonly end: number
  readonly hidden: number
  readonly edge: Engine['edge']
  readonly #host: EngineHost
  readonly #toy: InstantEngine
  #busyUntilMs = 0

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
    return this.#busyUntilMs - this.#host.nowMs()
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

  cacheBytes(tokensMax: number): number {
    return this.#toy.cacheBytes(tokensMax)
  }

  length(cache: SessionId): number | undefined {
    return this.#toy.length(cache)
  }

  async open(cache: SessionId, init: { tokensMax: number; sampling: Sampling }): Promise<void> {
    this.#toy.openNow(cache, init)
    this.#host.witness.opened(this, cache, this.#toy.length(cache) ?? 0)
    await this.#after(openMs)
  }

  async run(step: Step, { signal }: { signal: AbortSignal }): Promise<StepOutput> {
    signal.throwIfAborted()
    const host = this.#host
    const computed = host.witness.computing(this, step)
    const nowMs = host.nowMs()
    const { ms, aloneMs } = host.computeMs(this, step)
    const waitMs = Math.max(0, this.#busyUntilMs - nowMs)
    this.#busyUntilMs = nowMs + waitMs + ms
    if (waitMs + ms > 2 * aloneMs) host.strained(waitMs + ms)
    await this.#after(waitMs)
    // Like the real thread it takes steps in order, and none that has not started when the session ends.
    signal.throwIfAborted()
    await this.#after(ms)
    while (host.isHung()) await new Promise<void>(resolve => host.hold(resolve))
    const output = this.#toy.runNow(step)
    computed()
    return { ...(host.lies(step.session) ? this.#corrupted(output) : output), computeMs: ms }
  }

  async free(cache: SessionId): Promise<void> {
    this.#toy.freeNow(cache)
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

  async #after(ms: number): Promise<void> {
    if (ms > 0) await new Promise<void>(resolve => this.#host.after(ms, resolve))
  }
}

/** Whose cache it is, as a seat calls it in its engine. */
export function ownerOf(cache: SessionId): { readonly session: SessionId; readonly driver: PeerId } {
  const [session, driver] = cache.split(' of ') as [SessionId, PeerId]
  return { session, driver }
}
