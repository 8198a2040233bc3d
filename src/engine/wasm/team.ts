/**
 * The threads that compute a pass together: one shared list of numbers by which they are told of a job, meet, part, and end.
 * How long one spins before it sleeps decides what several threads are worth: waking takes longer than a product, and a thread
 * that spins takes a processor from those that it waits for where there are not enough.
 */
import { Worker } from 'node:worker_threads'
import { EngineError } from '../../errors.ts'
import { threadFile } from '../thread-file.ts'
import { Choices, type TeamPolicy, type Waits } from './choice.ts'
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
  failed: 13,
  /** The job that one thread finishes alone. */
  left: 14,
  /** How long a thread spins in a job before it sleeps, in µs. */
  spin: 15,
  section: 16
} as const
const places = 17

/** Of a job, what is told as it is. */
const fields = [
  'section',
  'rows',
  'segments',
  'segmentCount',
  'rotations',
  'scores',
  'scorePositions',
  'threads'
] as const
const kinds = ['end', 'layers', 'head'] as const

/** Turns between two looks at the clock, about a µs. A wait that is shorter counts as none. */
const turns = 512
/** Spinning between two jobs, in µs: the head comes right after the layers, and so may the next token of a session alone. */
const idleSpinMax = 50
/** A thread that has not come by then has died. */
const meetingMs = 60_000
/** One end of the shared list. */
export class Meeting {
  readonly list: Int32Array<SharedArrayBuffer>
  #totalMs = 0
  #longestMs = 0

  constructor(list: Int32Array<SharedArrayBuffer> = new Int32Array(new SharedArrayBuffer(4 * places))) {
    this.list = list
  }

  /** How long this thread has waited since {@link forget}. */
  get waits(): Waits {
    return { totalMs: this.#totalMs, longestMs: this.#longestMs }
  }

  forget(): void {
    this.#totalMs = 0
    this.#longestMs = 0
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
    if (!this.#staysFor(turns, place.met, met)) return
    const beganMs = performance.now()
    if (this.#spins(place.met, met, list[place.spin]!, beganMs)) this.#sleep(met)
    const ms = performance.now() - beganMs
    this.#totalMs += ms
    this.#longestMs = Math.max(this.#longestMs, ms)
  }

  /** Whether a number is the same for so many turns. */
  #staysFor(count: number, at: number, value: number): boolean {
    const { list } = this
    for (let i = 0; i < count; i++) if (Atomics.load(list, at) !== value) return false
    return true
  }

  /** Whether it is the same for so many µs. */
  #spins(at: number, value: number, us: number, beganMs: number): boolean {
    while (performance.now() - beganMs < us / 1_000) if (!this.#staysFor(turns, at, value)) return false
    return true
  }

  /** Of the thread that tells of jobs: it finishes this one alone once all have met again. */
  letGo(): void {
    Atomics.store(this.list, place.left, Atomics.load(this.list, place.job))
  }

  /** Of another thread, after all have met: whether it is done with job `number`. */
  isLetGo(number: number): boolean {
    return Atomics.load(this.list, place.left) === number
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

  /** Tells the others of a job, in which a thread spins for so many ms before it sleeps; `undefined` ends them. */
  tell(job: Job | undefined, spinMs = 0): void {
    const { list } = this
    list[place.spin] = 1_000 * spinMs
    list[place.kind] = job === undefined ? 0 : kinds.indexOf(job.kind)
    if (job !== undefined) for (const name of fields) list[place[name]] = job[name]
    Atomics.add(list, place.job, 1)
    Atomics.notify(list, place.job)
  }

  /** Waits for a job other than number `seen`. */
  next(seen: number): { readonly number: number; readonly job: Job | undefined } {
    const { list } = this
    this.#spins(place.job, seen, Math.min(idleSpinMax, list[place.spin]!), performance.now())
    while (Atomics.load(list, place.job) === seen) Atomics.wait(list, place.job, seen)
    const kind = kinds[list[place.kind]!]!
    const number = Atomics.load(list, place.job)
    if (kind === 'end') return { number, job: undefined }
    // Unsigned, as addresses are.
    const numbers = Object.fromEntries(fields.map(name => [name, list[place[name]]! >>> 0])) as Record<
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
  readonly module: WebAssemblyModule
  readonly sections: readonly { readonly layout: Layout; readonly memory: WebAssemblyMemory }[]
}

/** The helpers of the thread that has this. */
export class Team {
  /** Undefined without helpers: a page may have no shared memory. */
  #meeting: Meeting | undefined
  readonly #workers: Worker[] = []
  readonly #policy: TeamPolicy
  #beganMs = 0

  constructor(policy: TeamPolicy = new Choices()) {
    this.#policy = policy
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
  threadsFor(pass: Pick<Job, 'kind' | 'rows'>): number {
    const all = 1 + this.#workers.length
    return all > 1 && this.#policy.next(pass) === 'together' ? all : 1
  }

  meet(threads: number): void {
    this.#meeting?.meet(threads)
  }

  /** Meets the others at the edge of a layer, and gives how many go on from there: all of them or this one. */
  meetAtEdge(job: Job): number {
    const meeting = this.#meeting!
    const isLost = this.#policy.isLost(job, meeting.waits, performance.now() - this.#beganMs)
    if (isLost) meeting.letGo()
    meeting.meet(job.threads)
    return isLost ? 1 : job.threads
  }

  /** A pass begins: a job for each section that computes. */
  begin(): void {
    this.#meeting?.forget()
    this.#beganMs = performance.now()
  }

  tell(job: Job): void {
    if (job.threads > 1) this.#meeting?.tell(job, this.#policy.spinMs(job))
  }

  /** The pass is over. `threads`: that it began with. */
  done(job: Pick<Job, 'kind' | 'rows' | 'threads'>, work: number): void {
    const { waits } = this.#meeting ?? {}
    if (waits === undefined) return
    const ms = performance.now() - this.#beganMs
    this.#policy.took(job, job.threads > 1 ? 'together' : 'alone', ms, work, waits)
  }

  end(): void {
    this.#meeting?.tell(undefined)
  }
}
