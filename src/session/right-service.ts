/** Runs one prompt until nothing is known to be wrong with who has computed its answer: each time there is one peer fewer. */
import { systemClock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { SessionFailedError } from '../errors.ts'
import { Driver } from './driver-service.ts'
import type { SessionOptions } from './options.ts'
import type { Sequence, SessionParts, Timed } from './parts.ts'

/** Runs a prompt along routes until no check speaks against anybody who has computed of it. Each time there is one peer fewer. */
export async function* untilRight(
  sequence: Sequence,
  tokensMax: number,
  parts: SessionParts,
  options: SessionOptions
): AsyncGenerator<Timed> {
  for (;;) {
    const gate = new Gate(parts, options)
    yield* gate.pass(tokensMax)
    let end: Extract<Timed, { kind: 'end' }> | undefined
    let refuted: PeerId | undefined
    try {
      const driver = new Driver(parts, sequence, options)
      try {
        for await (const output of driver.outputs()) {
          // Nobody waits for a check where there is none.
          if (output.kind === 'end' && parts.check !== undefined) end = output
          else if (output.kind !== 'prompt') yield output
        }
      } finally {
        await driver.stop()
      }
      refuted = driver.refuted
    } finally {
      gate.leave()
    }
    if (end === undefined) return
    refuted ??= await checked(end, parts, options)
    if (refuted === undefined) {
      yield end
      return
    }
    yield { kind: 'refuted', peer: refuted, atMs: (parts.clock ?? systemClock).nowMs() }
  }
}

/** Who was found out by a check of this session, if it is drawn for one. */
async function checked(
  { outcome, committed, hops }: Extract<Timed, { kind: 'end' }>,
  { check }: SessionParts,
  options: SessionOptions
): Promise<PeerId | undefined> {
  // An answer that was given up, or failed, is nobody's any more.
  if (outcome.kind !== 'stopped' || committed === undefined || check === undefined) return undefined
  const computeMs = hops.reduce((sum, hop) => sum + hop.computeMs, 0)
  return check(committed, computeMs, { signal: eitherOf(options) })
}

/** What ends a session: whoever asked, or the end of this peer. */
function eitherOf({ signal, ending }: SessionOptions): AbortSignal {
  return AbortSignal.any([signal, ending].filter(each => each !== undefined))
}

/** Where a session waits for room before it begins. */
class Gate {
  readonly #parts: SessionParts
  readonly #options: SessionOptions
  #leave: (() => void) | undefined

  constructor(parts: SessionParts, options: SessionOptions) {
    this.#parts = parts
    this.#options = options
  }

  /** Says what it waits for, and ends when the session may begin. */
  async *pass(tokensMax: number): AsyncGenerator<Timed> {
    const { admit, clock = systemClock } = this.#parts
    const { waitMs, signal: given, ending } = this.#options
    if (admit === undefined) return
    const waits = Promise.withResolvers<string>()
    const signal = eitherOf(this.#options)
    const admitted = admit({ tokensMax, waitMs, signal, onWait: waits.resolve }).then(
      leave => {
        this.#leave = leave
      },
      (error: Error) => {
        if (given?.aborted !== true && ending?.aborted === true) throw new SessionFailedError(ending.reason.message, '')
        throw error
      }
    )
    const message = await Promise.race([admitted, waits.promise])
    if (message !== undefined) yield { kind: 'waiting', message, atMs: clock.nowMs() }
    await admitted
  }

  leave(): void {
    this.#leave?.()
  }
}
