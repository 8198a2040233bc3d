/** Asks one peer about work: for the rows that it sent in a session, or whether a hop computes what it says (protocols/check.md). */
import type { Clock } from '../base/clock.ts'
import type { PeerId, Range, SessionId } from '../base/ids.ts'
import { DeadlineError, PeerLostError, ProtocolError } from '../errors.ts'
import type { Channel, Links } from '../swarm/links.ts'
import type { WorkCase } from './case.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { type CheckFrame, checkProtocol, type VerdictFrame } from './frame.ts'
import { caseBytesMax, checkOpenMs, checkStepTokens, rowsMs, verdictMs } from './limits.ts'

export interface AskInit {
  readonly links: Links
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * What a hop sent of the tokens [0, tokens) of a session of this peer.
 *
 * @throws {PeerLostError} {DeadlineError} {ProtocolError} when they do not come; the signal's reason
 */
export async function askRows(
  init: AskInit,
  peer: PeerId,
  { session, range, tokens, rowBytes }: { session: SessionId; range: Range; tokens: number; rowBytes: number }
): Promise<Uint8Array> {
  const rows = new Uint8Array(tokens * rowBytes)
  let length = 0
  const { start, end } = range
  await talk(
    init,
    peer,
    { forMs: rowsMs },
    async (channel, done) => {
      channel.send(encodeFrame({ kind: 'rows-ask', session, start, end, tokens }))
      await done
    },
    frame => {
      if (frame.kind === 'verdict') throw new PeerLostError(peer, `${peer} has no rows: ${frame.message}`)
      if (frame.kind !== 'rows' || frame.position * rowBytes !== length || length + frame.data.length > rows.length) {
        throw new ProtocolError(`${peer} answers a question for rows with something else`)
      }
      rows.set(frame.data, length)
      length += frame.data.length
      return length === rows.length
    }
  )
  return rows
}

/**
 * Whether a hop computes what it has committed to, as another peer finds.
 *
 * @throws {PeerLostError} {DeadlineError} {ProtocolError} when it does not say; the signal's reason
 */
export async function askCase(init: AskInit, peer: PeerId, about: WorkCase): Promise<VerdictFrame> {
  let verdict: VerdictFrame | undefined
  await talk(
    init,
    peer,
    { forMs: verdictMs },
    async (channel, done) => {
      await Promise.race([sendCase(init, channel, about), done])
      await done
    },
    frame => {
      if (frame.kind !== 'verdict') throw new ProtocolError(`${peer} answers a case with something else`)
      verdict = frame
      return true
    }
  )
  return verdict!
}

async function sendCase(
  { signal }: AskInit,
  channel: Channel,
  { terms, commitment, rows, drawn }: WorkCase
): Promise<void> {
  const rowBytes = rows.length / commitment.tokens
  channel.send(encodeFrame({ kind: 'case', terms, commitment, drawn, rowBytes }))
  await sendRows(channel, rows, rowBytes, signal)
}

/** Sends rows in blocks, as fast as the other end takes them. @throws as {@link Channel.ready} */
export async function sendRows(
  channel: Channel,
  rows: Uint8Array,
  rowBytes: number,
  signal: AbortSignal
): Promise<void> {
  const block = checkStepTokens * rowBytes
  for (let at = 0; at < rows.length; at += block) {
    const data = rows.slice(at, at + block)
    if (!channel.send(encodeFrame({ kind: 'rows', position: at / rowBytes, data }))) await channel.ready({ signal })
  }
}

/** Whether so many rows are too many to be looked at. */
export function areTooMany(tokens: number, rowBytes: number): boolean {
  return tokens * rowBytes > caseBytesMax
}

/** One question on a stream of its own. @param take returns whether that was all; what it throws ends the question */
async function talk(
  { links, clock, signal: given }: AskInit,
  peer: PeerId,
  { forMs }: { readonly forMs: number },
  ask: (channel: Channel, done: Promise<void>) => Promise<void>,
  take: (frame: CheckFrame) => boolean
): Promise<void> {
  const opening = AbortSignal.any([given, clock.deadline(checkOpenMs)])
  const channel = await links.open(peer, checkProtocol, { signal: opening })
  const { promise: done, resolve, reject } = Promise.withResolvers<void>()
  done.catch(() => {})
  const late = clock.after(forMs, () => reject(new DeadlineError(`${peer} did not answer within ${forMs} ms`))).unref()
  const onAbort = (): void => reject(given.reason as Error)
  given.addEventListener('abort', onAbort, { once: true })
  channel.receive({
    onFrame: bytes => {
      try {
        const frame = decodeFrame(bytes)
        if (frame !== undefined && take(frame)) resolve()
      } catch (error) {
        reject(error as Error)
      }
    },
    onClose: error => reject(error ?? new PeerLostError(peer, `${peer} closed its stream before it had answered`))
  })
  try {
    given.throwIfAborted()
    await ask(channel, done)
  } finally {
    late.stop()
    given.removeEventListener('abort', onAbort)
    void channel.close()
  }
}
