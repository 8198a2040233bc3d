/** What two peers say of being neighbours, on a records channel (protocols/records.md, R19). Pure. */
import { type Link, RecordsFrame } from '../../protocols/records.ts'
import { ProtocolError } from '../errors.ts'
import { connectionsMax } from './limits.ts'

export interface LinkFrame {
  /** Neighbours that the sender has. */
  readonly neighbours: number
  /** It needs what the receiver offers. */
  readonly wanted: boolean
  /** Undefined in a question, and where only `wanted` has changed. */
  readonly verdict?: 'accepted' | 'full'
}

/** Revisions in which a channel is open from its first moment on, and its smaller id opens it. The newest first. */
export const revisionsWithoutLinks: ReadonlySet<string> = new Set(['1.1.0', '1.0.0'])

const verdicts = { accepted: 1, full: 2 } as const

/** The key of `records`, with which a frame that has any begins: it has no link, and is not decoded here. */
const recordsKey = (1 << 3) | 2

export function encodeLinkFrame({ neighbours, wanted, verdict }: LinkFrame): Uint8Array {
  return RecordsFrame.encode({
    records: [],
    link: { neighbours, wanted, verdict: verdict === undefined ? 0 : verdicts[verdict] }
  })
}

/** A frame that speaks of the channel itself; undefined for one with records, or that says nothing known. @throws {ProtocolError} when it cannot be read. */
export function readLinkFrame(frame: Uint8Array): LinkFrame | undefined {
  if (frame.byteLength === 0 || frame[0] === recordsKey) return undefined
  let link: Link | undefined
  try {
    link = RecordsFrame.decode(frame, { limits: { records: 0 } }).link
  } catch (error) {
    throw new ProtocolError(`no link frame: ${(error as Error).message}`)
  }
  if (link === undefined) return undefined
  const { neighbours, wanted, verdict } = link
  return {
    // Nobody has more, whatever it says.
    neighbours: Math.min(neighbours, connectionsMax),
    wanted,
    // One that is not known is no yes.
    ...(verdict === 0 ? {} : { verdict: verdict === verdicts.accepted ? 'accepted' : 'full' })
  }
}
