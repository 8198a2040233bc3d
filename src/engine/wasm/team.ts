/**
 * The threads that compute a pass together: one shared list of numbers by which they are told of a job, meet, and end.
 * How long one spins before it sleeps decides what several threads are worth: waking takes longer than a product.
 */
import { Worker } from 'node:worker_threads'
import { EngineError } from '../../errors.ts'
import { threadFile } from '../threaded.ts'
import type { Layout } from './layout.ts'
import type { Job } from './job.ts'

/** Places in the shared list. */
const place = {
  /** Raised with each job. */
  job: 0,
  kind: 1,
  rows: 2,
  segments: 3,
  segmentCount: 4,
  rotations: 5,
  scores: 6,
  scorePositions: 7,
  threads: 8,
  /** How many have come to the barrier, how often all have, and how many of them sleep there. */
  come: 9,
  met: 10,
  asleep: 11,
  /** Helpers that are ready. */
  ready: 12,
  /** One has failed: nobody waits for it any more. */
  failed: 13
} as const
const places = 16

/** Of a job, what is told as it is. */
const fields = ['rows', 'segments', 'segmentCount', 'rotations', 'scores', 'scorePositions', 'threads'] as const
const kinds = ['end', 'layers', 'head'] as const

/** Turns at a barrier before a thread sleeps, about a ms: longer than any share of a product takes the others. */
const barrierSpins = 200_000
/** Turns between two jobs, some 50 µs: the next token of a session alone comes about as soon. */
const jobSpins = 20_000
/** A thread that has not come by then has died. */
const meetingMs = 60_000
/** One end of the shared list. */
export class Meeting {
  readonly list: Int32Array<SharedArrayBuffer>
  constructor(list: Int32Array<SharedArrayBuffer> = new Int32Array(new SharedArrayBuffer(4 * places))) {
    this.list = list
  }

  /** Waits until so many threads have come. @throws {EngineError} when one does not. */
  meet(threads: number): void {
    const { list } = this
    const met = Atomics.load(list, place.met)
    if (Atomics.add(list, place.come, 1) + 1 === threads) {
      Atomics.store(list, place.come, 0)
      Atomics.add(list, place.met, 1)
      if (Atomics.load(list, place.asleep) > 0) Atomics.notify(list, place.met)
      return
    }
    for (let i = 0; i < barrierSpins; i++) if (Atomics.load(list, place.met) !== met) return
    this.#sleep(met)
  }

  #sleep(met: number): void {
    const { list } = this
    Atomics.add(list, place.asleep, 1)
    while (Atomics.load(list, place.met) === met && Atomics.load(list, place.failed) === 0) {
      if (Atomics.wait(list, place.met, met, meetingMs) === 'timed-out') Atomics.store(list, place.failed, 1)
    }
    Atomics.sub(list, place.asleep, 1)
    if (Atomics.load(list, place.failed) !== 0) throw new EngineError('a thread that computes a stage has ended')
  }

  /** Tells the others of a job; `undefined` ends them. */
  tell(job: Job | undefined): void {
    const { list } = this
    list[place.kind] = job === undefined ? 0 : kinds.indexOf(job.kind)
    if (job !== undefined) for (const name of fields) list[place[name]] = job[name]
    Atomics.add(list, place.job, 1)
    Atomics.notify(list, place.job)
  }

  /** Waits for a job other than number `seen`. */
  next(seen: number): { readonly number: number; readonly job: Job | undefined } {
    const { list } = this
    for (let i = 0; i < jobSpins && Atomics.load(list, place.job) === seen; i++);
    while (Atomics.load(list, place.job) === seen) Atomics.wait(list, place.job, seen)
    const kind = kinds[list[place.kind]!]!
    const number = Atomics.load(list, place.job)
    if (kind === 'end') return { number, job: undefined }
    const numbers = Object.fromEntries(fields.map(name => [name, list[place[name]]!])) as Record<
      (typeof fields)[number],
      number
    >
    return { number, job: { kind, ...numbers } }
  }

  ready(): void {
    Atomics.add(this.list, place.ready, 1)
    Atomics.notify(this.list, place.ready)
  }

  fail(): void {
    Atomics.store(this.list, place.failed, 1)
    Atomics.notify(this.list, place.met)
  }

  /** Waits until so many helpers are ready. */
  async gathered(helpers: number): Promise<void> {
    for (;;) {
      const ready = Atomics.load(this.list, place.ready)
      if (ready === helpers || Atomics.load(this.list, place.failed) !== 0) return
      const waiting = Atomics.waitAsync(this.list, place.ready, ready, meetingMs)
      if ((await waiting.value) === 'timed-out') this.fail()
    }
  }
}

/** What a helper is given. */
export interface HelperInit {
  readonly list: Int32Array<SharedArrayBuffer>
  readonly index: number
  readonly layout: Layout
  readonly module: WebAssemblyModule
  readonly memory: WebAssemblyMemory
}

/** A pass with more rows than that is bound by arithmetic, not by reading weights. */
const fewRowsMax = 16

type Way = 'alone' | 'together'

/** Passes after which the slower way is tried again: at first, and at most. */
const tryAgain = { first: 32, most: 1_024 } as const
/** What a pass adds to the mean of those before. */
const weight = 0.2

/**
 * Whether a thread alone is as fast as all together: on a busy machine it may be, where the others are given no processor.
 * Both ways are timed, the slower one again and again, and more rarely each time that it still is.
 */
export class Choice {
  readonly #ms: Record<Way, number | undefined> = { alone: undefined, together: undefined }
  #passes = 0
  #every: number = tryAgain.first

  get better(): Way {
    const { alone, together } = this.#ms
    return alone !== undefined && together !== undefined && alone < together ? 'alone' : 'together'
  }

  next(): Way {
    if (this.#ms.together === undefined) return 'together'
    if (this.#ms.alone === undefined) return 'alone'
    this.#passes++
    if (this.#passes < this.#every) return this.better
    this.#passes = 0
    return this.better === 'alone' ? 'together' : 'alone'
  }

  /** @param ms for each row */
  took(way: Way, ms: number): void {
    const before = this.better
    const mean = this.#ms[way]
    this.#ms[way] = mean === undefined ? ms : mean + weight * (ms - mean)
    if (way === before) return
    this.#every = this.better === before ? Math.min(2 * this.#every, tryAgain.most) : tryAgain.first
  }
}

/** The helpers of the thread that has this. */
export class Team {
  /** Undefined without helpers: a page may have no shared memory. */
  #meeting: Meeting | undefined
  readonly #workers: Worker[] = []
  /** By how many rows a pass has: what a row takes is about the same within each. */
  readonly #choices = { one: new Choice(), few: new Choice(), many: new Choice() }
  #beganMs = 0

  #choice(rows: number): Choice {
    return this.#choices[rows === 1 ? 'one' : rows <= fewRowsMax ? 'few' : 'many']
  }

  /** Starts helpers, and waits for them. @throws {EngineError} when they do not come. */
  async start(size: number, init: Omit<HelperInit, 'list' | 'index'>): Promise<void> {
    if (size === 1) return
    const meeting = new Meeting()
    this.#meeting = meeting
    for (let index = 1; index < size; index++) {
      const workerData: HelperInit = { ...init, list: meeting.list, index }
      const worker = new Worker(threadFile(import.meta.url, 'helper-worker'), { workerData, execArgv: [] })
      worker.on('error', () => meeting.fail())
      this.#workers.push(worker)
    }
    await meeting.gathered(this.#workers.length)
    // They hold the thread only until they have come: it ends when it has nothing more to do.
    for (const worker of this.#workers) worker.unref()
  }

  /** How many compute the next pass, this thread among them. */
  threadsFor({ kind, rows }: Pick<Job, 'kind' | 'rows'>): number {
    const all = 1 + this.#workers.length
    if (all === 1) return 1
    const choice = this.#choice(rows)
    return (kind === 'layers' ? choice.next() : choice.better) === 'together' ? all : 1
  }

  meet(threads: number): void {
    this.#meeting?.meet(threads)
  }

  begin(job: Job): void {
    if (job.threads > 1) this.#meeting?.tell(job)
    this.#beganMs = performance.now()
  }

  /** The pass is over. */
  done({ kind, rows, threads }: Job): void {
    if (this.#workers.length === 0 || kind !== 'layers') return
    const ms = (performance.now() - this.#beganMs) / rows
    this.#choice(rows).took(threads > 1 ? 'together' : 'alone', ms)
  }

  end(): void {
    this.#meeting?.tell(undefined)
  }
}
