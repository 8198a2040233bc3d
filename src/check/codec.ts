/** Bytes to frames of /skein/check/2.0.0 and back. Everything that can be said about one of them alone is checked here (promise P10). */
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { CheckFrame as Wire } from '../../protocols/check.ts'
import type { SessionId } from '../base/ids.ts'
import { ProtocolError } from '../errors.ts'
import { readCommitment } from '../stage/commitment.ts'
import { readTerms } from '../stage/terms.ts'
import type { CheckFrame, Finding } from './frame.ts'
import { caseBytesMax, verdictCharsMax } from './limits.ts'

/** Findings as numbers, as `protocols/check.proto` lists them. */
const numbers: Readonly<Record<Finding, number>> = { same: 1, differs: 2, cannot: 3 }
const findings = new Map(Object.entries(numbers).map(([name, number]) => [number, name as Finding]))

/** Bytes in an ArrayBuffer of their own kind, as the generated codecs are typed. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}

export function encodeFrame(frame: CheckFrame): Uint8Array {
  switch (frame.kind) {
    case 'rows-ask': {
      const { session, start, end, tokens } = frame
      return Wire.encode({ rowsAsk: { session: owned(hexToBytes(session)), start, end, tokens } })
    }
    case 'rows':
      return Wire.encode({ rows: { position: frame.position, data: owned(frame.data) } })
    case 'case': {
      const { terms, commitment, drawn = new Uint8Array(0), rowBytes } = frame
      return Wire.encode({
        case: {
          terms: terms.payload,
          signature: terms.signature,
          commitment: commitment.payload,
          commitmentSignature: commitment.signature,
          drawn: owned(drawn),
          rowBytes
        }
      })
    }
    case 'verdict':
      return Wire.encode({
        verdict: { verdict: numbers[frame.finding], message: frame.message.slice(0, verdictCharsMax) }
      })
  }
}

/**
 * Undefined for a kind of frame that is not known here: a later revision has it, and it is ignored (J9).
 * @throws {ProtocolError} when the bytes are no frame, or cross a limit
 */
export function decodeFrame(bytes: Uint8Array): CheckFrame | undefined {
  let wire: Wire
  try {
    wire = Wire.decode(bytes)
  } catch (error) {
    throw new ProtocolError(`a check frame of ${bytes.length} bytes does not decode: ${(error as Error).message}`)
  }
  if (wire.rowsAsk !== undefined) {
    const { session, start, end, tokens } = wire.rowsAsk
    must(session.length === 16, 'a session id has 16 bytes')
    must(start < end && end <= 65_536 && tokens >= 1, 'rows are of a range of layers, and of a token or more')
    return { kind: 'rows-ask', session: bytesToHex(session) as SessionId, start, end, tokens }
  }
  if (wire.rows !== undefined) {
    const { position, data } = wire.rows
    must(data.length > 0, 'rows have bytes')
    return { kind: 'rows', position, data }
  }
  if (wire.case !== undefined) {
    const { signature, rowBytes, drawn } = wire.case
    const terms = readTerms(wire.case.terms, signature)
    const commitment = readCommitment(wire.case.commitment, wire.case.commitmentSignature)
    must(rowBytes >= 4 && rowBytes * commitment.tokens <= caseBytesMax, `a case has at most ${caseBytesMax} bytes`)
    must(drawn.length === 0 || drawn.length === 4 * commitment.tokens, 'what was drawn has 4 bytes for each row')
    return { kind: 'case', terms, commitment, drawn: drawn.length === 0 ? undefined : drawn.slice(), rowBytes }
  }
  if (wire.verdict !== undefined) {
    const message = wire.verdict.message.slice(0, verdictCharsMax).replace(/\p{C}/gu, ' ')
    return { kind: 'verdict', finding: findings.get(wire.verdict.verdict) ?? 'cannot', message }
  }
  if (bytes.length === 0) throw new ProtocolError('a check frame is empty')
  return undefined
}

function must(condition: boolean, rule: string): void {
  if (!condition) throw new ProtocolError(`${rule}: a frame says otherwise`)
}
