/** Virtual time: what happens when, in an order that one seed decides. */

/** Something that will happen. */
export interface Appointment {
  readonly atMs: number
  readonly order: number
  /** Undefined once it was cancelled. */
  act: (() => void) | undefined
}

/**
 * What a delay moves the clock by where it is smaller than the clock can tell. A peer's clock, which began later, tells smaller ones
 * apart: one that waits until a time which is not there yet would ask again at the same time, for ever.
 */
const delayMsMin = 1e-6

/** Appointments at one time, above which nothing is waited for any more, it goes around in a circle. A busy world has some thousands. */
const eventsAtOnceMax = 1_000_000

/** Turns of the process's loop that are asked for together: each round of the loop looks at its sockets, which takes longer than a turn. */
const turnsAtOnce = 256

/** A heap of appointments; those of equal time happen in the order in which they were made. */
export class Agenda {
  /** Virtual ms since the world began. */
  nowMs = 0
  /** Appointments kept so far: what a world costs. */
  events = 0
  #heap: Appointment[] = []
  #order = 0
  /** Appointments kept when time moved last. */
  #eventsBefore = 0

  get length(): number {
    return this.#heap.length
  }

  at(atMs: number, act: () => void): Appointment {
    const entry: Appointment = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, act }
    const heap = this.#heap
    let child = heap.length
    heap.push(entry)
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[child] = heap[parent]!
      child = parent
    }
    heap[child] = entry
    return entry
  }

  after(delayMs: number, act: () => void): Appointment {
    const atMs = this.nowMs + delayMs
    return this.at(delayMs > 0 && atMs === this.nowMs ? atMs + delayMsMin : atMs, act)
  }

  /** Lets time pass up to `untilMs`, what is due then included, or until `stop` says so. */
  run(untilMs: number, stop: () => boolean = () => false): void {
    while (this.#next(untilMs)) if (stop()) return
    this.nowMs = untilMs
  }

  /**
   * Lets time pass like {@link run}, for those whose work goes on in promises: whatever an appointment has begun is done, as far
   * as it goes without time, before the next one comes. Rejects with what an appointment throws.
   */
  async live(untilMs: number, stop: () => boolean = () => false): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let isOver = false
    // Node does all that promises have to do between two immediates (`process.nextTick` and microtasks), however deep it goes.
    const turn = (): void => {
      if (isOver) return
      try {
        isOver = stop() || !this.#next(untilMs)
        if (isOver) resolve()
      } catch (error) {
        isOver = true
        reject(error)
      }
    }
    const turns = (): void => {
      if (isOver) return
      for (let i = 0; i < turnsAtOnce; i++) setImmediate(turn)
      setImmediate(turns)
    }
    turns()
    await promise
    if (!stop()) this.nowMs = Math.max(this.nowMs, untilMs)
  }

  /** The next appointment up to `untilMs`; whether there was one. */
  #next(untilMs: number): boolean {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= untilMs) {
      const { atMs, act } = this.#pop()
      if (act === undefined) continue
      if (atMs > this.nowMs) this.#eventsBefore = this.events
      else if (this.events - this.#eventsBefore > eventsAtOnceMax) {
        throw new Error(
          `time stands still at ${atMs} ms: ${eventsAtOnceMax} appointments were kept without its moving on`
        )
      }
      this.nowMs = atMs
      this.events++
      act()
      return true
    }
    return false
  }

  #pop(): Appointment {
    const heap = this.#heap
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let parent = 0
    for (;;) {
      let child = 2 * parent + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[parent] = heap[child]!
      parent = child
    }
    heap[parent] = last
    return first
  }
}

function before(a: Appointment, b: Appointment): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
