/** Answers those who ask about work: gives a driver the rows that it asks for, and looks at cases (protocols/check.md). */
import { PeerBudgets } from '../base/budget.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { PeerId, Range, SessionId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { DeadlineError, ProtocolError } from '../errors.ts'
import { type KeptRows, rowsOf } from '../stage/committing-service.ts'
import type { Channel, Links } from '../swarm/links.ts'
import type { WorkCase } from './case.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { type CaseFrame, type CheckFrame, checkProtocol, type RowsAskFrame } from './frame.ts'
import {
  caseHeldBytesMax,
  casesPerMinuteMax,
  checkFrameBytesMax,
  checkStepTokens,
  checkStreamsPerPeerMax,
  rowsMs,
  verdictMs
} from './limits.ts'
import type { Verdict } from './recompute-service.ts'

export interface CheckServerInit {
  readonly links: Links
  readonly clock: Clock
  /** What a stage of this peer sent in a session that has ended; undefined where that is not here. */
  readonly keptRows: (driver: PeerId, session: SessionId, range: Range) => KeptRows | undefined
  /** Looks at a case that somebody sends. It does not throw. */
  readonly judge: (about: WorkCase, from: PeerId, options: { signal: AbortSignal }) => Promise<Verdict>
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
}

export class CheckServer {
  readonly #init: CheckServerInit
  readonly #open = new Set<Channel>()
  readonly #stopping = new AbortController()
  /** Of cases that are on their way here, or looked at. */
  #heldBytes = 0
  readonly #cases = new PeerBudgets({ perSecond: casesPerMinuteMax / 60, burst: casesPerMinuteMax })

  constructor(init: CheckServerInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    const options = { inboundMax: checkStreamsPerPeerMax, frameBytesMax: checkFrameBytesMax }
    await this.#init.links.handle(checkProtocol, options, channel => this.#accept(channel))
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new DeadlineError('the peer is stopping'))
    await this.#init.links.unhandle(checkProtocol)
    for (const channel of this.#open) channel.abort(new DeadlineError('the peer is stopping'))
  }

  #accept(channel: Channel): void {
    this.#open.add(channel)
    const closed = new AbortController()
    const signal = AbortSignal.any([closed.signal, this.#stopping.signal])
    let coming: Coming | undefined
    let late: Timer | undefined = this.#init.clock.after(rowsMs, () =>
      channel.abort(new DeadlineError('it was too slow'))
    )
    late.unref()
    let heldBytes = 0
    const end = (): void => {
      late?.stop()
      late = undefined
      this.#heldBytes -= heldBytes
      heldBytes = 0
      this.#open.delete(channel)
      closed.abort(new DeadlineError('the stream is closed'))
    }
    channel.receive({
      onFrame: bytes => {
        try {
          const frame = decodeFrame(bytes)
          if (frame === undefined) return
          if (frame.kind === 'rows-ask' && coming === undefined) void this.#giveRows(channel, frame, signal)
          else if (frame.kind === 'case' && coming === undefined) {
            const full = this.#whyNotNow(channel.remote, frame)
            coming = new Coming(frame)
            if (full !== undefined) this.#say(channel, { finding: 'cannot', message: full, ms: 0 })
            else this.#heldBytes += heldBytes = coming.bytes
          } else if (frame.kind === 'rows' && coming !== undefined) {
            // Refused: what was on its way is for nobody.
            if (heldBytes === 0) return
            if (!coming.push(frame)) return
            late?.stop()
            void this.#judge(channel, coming.case(), signal)
          } else throw new ProtocolError(`a frame of the kind ${frame.kind} comes where none is due`)
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
          this.#init.onViolation(channel.remote, 'check', error.message)
          channel.abort(error)
          end()
        }
      },
      onClose: end
    })
  }

  /** Why a case is not looked at now. */
  #whyNotNow(peer: PeerId, { commitment, rowBytes }: CaseFrame): string | undefined {
    if (this.#heldBytes + commitment.tokens * rowBytes > caseHeldBytesMax)
      return 'other cases fill the memory for them here'
    if (this.#cases.take(peer, this.#init.clock.nowMs())) return undefined
    return `more than ${casesPerMinuteMax} cases of yours a minute came`
  }

  async #judge(channel: Channel, about: WorkCase, signal: AbortSignal): Promise<void> {
    const limited = AbortSignal.any([signal, this.#init.clock.deadline(verdictMs)])
    const verdict = await this.#init.judge(about, channel.remote, { signal: limited })
    this.#say(channel, verdict)
  }

  #say(channel: Channel, { finding, message }: Verdict): void {
    channel.send(encodeFrame({ kind: 'verdict', finding, message }))
    void channel.close()
  }

  /** Only who drove a session is given rows of it. */
  async #giveRows(channel: Channel, { session, tokens, ...range }: RowsAskFrame, signal: AbortSignal): Promise<void> {
    const kept = this.#init.keptRows(channel.remote, session, range)
    if (kept === undefined || kept.tokens < tokens) {
      this.#say(channel, { finding: 'cannot', message: 'they are not here, or not any more', ms: 0 })
      return
    }
    try {
      for (let at = 0; at < tokens; at += checkStepTokens) {
        const data = rowsOf(kept, at, Math.min(at + checkStepTokens, tokens))
        if (!channel.send(encodeFrame({ kind: 'rows', position: at, data }))) await channel.ready({ signal })
      }
      await channel.close()
    } catch (error) {
      channel.abort(new ProtocolError(reasonOf(error)))
    }
  }
}

/** A case whose rows are on their way. */
class Coming {
  readonly #head: CaseFrame
  readonly #rows: Uint8Array
  #length = 0

  constructor(head: CaseFrame) {
    this.#head = head
    this.#rows = new Uint8Array(head.commitment.tokens * head.rowBytes)
  }

  get bytes(): number {
    return this.#rows.length
  }

  /** Whether all are here. @throws {ProtocolError} when they are none of it */
  push({ position, data }: CheckFrame & { kind: 'rows' }): boolean {
    if (position * this.#head.rowBytes !== this.#length || this.#length + data.length > this.#rows.length) {
      throw new ProtocolError('rows of a case come in order, and no more of them than it has')
    }
    this.#rows.set(data, this.#length)
    this.#length += data.length
    return this.#length === this.#rows.length
  }

  case(): WorkCase {
    const { terms, commitment, drawn } = this.#head
    return { terms, commitment, rows: this.#rows, drawn }
  }
}
