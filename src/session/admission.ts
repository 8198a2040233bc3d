/**
 * Which sessions of this driver may begin, and which wait for room: so that an answer waits before it begins or is refused with
 * the time to wait, and does not fail in the middle. Clients take turns; within one, whoever came first. Pure.
 *
 * Room is what the stages of the present peers have announced, less what this driver has begun there since. It may be too little:
 * a stage has seats give way that nobody uses, which only who asks finds out. So one session may always run, and whoever
 * has waited at the front for a while may try.
 */
import { admissionTryMs, clientWaitersMax, roomWaitMs, sessionGuessMs, waitersMax } from './limits.ts'

/** Who asks for a session. */
export interface Asking {
  /** Who is served in turn with others. */
  readonly client: string
  /** Time that it may wait, in ms. @default 60 s */
  readonly waitMs?: number | undefined
  /** Sessions like it that fit now, by what peers announce; infinite where nobody says. */
  readonly room: () => number
}

export type Verdict =
  | { readonly kind: 'admit'; readonly ticket: number }
  /** `ahead`: sessions that come first; `aboutMs`: when its turn may come, by how long sessions take here. */
  | { readonly kind: 'wait'; readonly ticket: number; readonly ahead: number; readonly aboutMs: number }
  /** Too many wait, or it would wait or has waited too long; `retryAfterMs`: when it may ask again. */
  | { readonly kind: 'refuse'; readonly ticket: number; readonly reason: string; readonly retryAfterMs: number }

interface Waiter extends Asking {
  readonly ticket: number
  readonly sinceMs: number
}

export class Admission {
  /** Sessions that run → since when. */
  readonly #running = new Map<number, number>()
  /** Those of them that have no route yet: what peers announce says nothing of them. */
  readonly #unrouted = new Set<number>()
  /** By client, in the order of their turns. */
  readonly #waiting = new Map<string, Waiter[]>()
  /** How long a session takes here, smoothed. */
  #meanMs = sessionGuessMs
  #triedMs = Number.NEGATIVE_INFINITY
  #nextTicket = 0

  /** Sessions that run. */
  get running(): number {
    return this.#running.size
  }

  get waiting(): number {
    let waiters = 0
    for (const queue of this.#waiting.values()) waiters += queue.length
    return waiters
  }

  /** Asks for a session: it may begin, waits or is refused; what becomes of one that waits, {@link look} says later. */
  ask(asking: Asking, nowMs: number): Verdict {
    const ticket = this.#nextTicket++
    const waiters = this.waiting
    if (waiters === 0 && this.#fits(asking, nowMs)) return this.#admit(ticket, nowMs)
    const queue = this.#waiting.get(asking.client) ?? []
    const ahead = this.#aheadOf(asking.client, queue.length)
    const aboutMs = this.#aboutMs(ahead, asking)
    const { waitMs = roomWaitMs } = asking
    const refuse = (reason: string): Verdict => ({
      kind: 'refuse',
      ticket,
      reason,
      retryAfterMs: Math.max(1000, aboutMs - waitMs)
    })
    if (waiters >= waitersMax) return refuse(`${waiters} sessions wait already`)
    if (queue.length >= clientWaitersMax) return refuse(`${queue.length} sessions of this client wait already`)
    if (aboutMs > waitMs)
      return refuse(`its turn would come in some ${seconds(aboutMs)} s, and it may wait ${seconds(waitMs)} s`)
    queue.push({ ...asking, ticket, sinceMs: nowMs })
    this.#waiting.set(asking.client, queue)
    return { kind: 'wait', ticket, ahead, aboutMs }
  }

  /** A session that runs has a route: whoever counts room counts it from here on. */
  routed(ticket: number): void {
    this.#unrouted.delete(ticket)
  }

  /** A session has ended, or its asker waits no longer. */
  leave(ticket: number, nowMs: number): void {
    const startMs = this.#running.get(ticket)
    if (startMs !== undefined) {
      this.#running.delete(ticket)
      this.#unrouted.delete(ticket)
      this.#meanMs += (nowMs - startMs - this.#meanMs) / 8
      return
    }
    for (const [client, queue] of this.#waiting) {
      const at = queue.findIndex(waiter => waiter.ticket === ticket)
      if (at < 0) continue
      queue.splice(at, 1)
      if (queue.length === 0) this.#waiting.delete(client)
    }
  }

  /** Looks at those who wait, as room or time may have changed: who may begin, and who has waited too long. */
  look(nowMs: number): Verdict[] {
    const verdicts: Verdict[] = []
    for (const [client, queue] of [...this.#waiting]) {
      for (const waiter of [...queue]) {
        const { waitMs = roomWaitMs, sinceMs, ticket } = waiter
        if (nowMs - sinceMs < waitMs) continue
        queue.splice(queue.indexOf(waiter), 1)
        const reason = `there was no room within ${seconds(waitMs)} s`
        verdicts.push({ kind: 'refuse', ticket, reason, retryAfterMs: Math.max(1000, Math.round(this.#meanMs)) })
      }
      if (queue.length === 0) this.#waiting.delete(client)
    }
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined) return verdicts
      const [client, queue] = first
      if (!this.#fits(queue[0]!, nowMs)) return verdicts
      // Its next turn comes after everybody else's.
      this.#waiting.delete(client)
      const { ticket } = queue.shift()!
      if (queue.length > 0) this.#waiting.set(client, queue)
      verdicts.push(this.#admit(ticket, nowMs))
    }
  }

  #admit(ticket: number, nowMs: number): Verdict {
    this.#running.set(ticket, nowMs)
    this.#unrouted.add(ticket)
    this.#triedMs = nowMs
    return { kind: 'admit', ticket }
  }

  #fits({ room }: Asking, nowMs: number): boolean {
    return this.#running.size === 0 || room() - this.#unrouted.size >= 1 || nowMs - this.#triedMs >= admissionTryMs
  }

  /** How many come before the next one of a client that has so many waiting: the others' turns among them. */
  #aheadOf(client: string, own: number): number {
    let ahead = own
    for (const [other, queue] of this.#waiting) if (other !== client) ahead += Math.min(queue.length, own + 1)
    return ahead
  }

  #aboutMs(ahead: number, { room }: Asking): number {
    const places = Math.max(1, this.#running.size + Math.min(room(), this.#running.size))
    return Math.round(((ahead + 1) / places) * this.#meanMs)
  }
}

function seconds(ms: number): string {
  return ms < 10_000 ? (ms / 1000).toFixed(1) : String(Math.round(ms / 1000))
}
