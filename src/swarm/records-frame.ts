/** A frame of records on a channel between neighbours. Pure. */
import { RecordsFrame, SignedRecord } from '../../protocols/records.ts'
import { recordBytesMax, recordsFrameBytesMax } from './limits.ts'

/** A frame of records. */
export function encodeRecordsFrame(values: readonly Uint8Array[]): Uint8Array {
  return RecordsFrame.encode({ records: values.map(value => SignedRecord.decode(value)) })
}

/** The most that a frame of records may be long; one record always fits. */
export const recordsChannelFrameBytesMax = recordsFrameBytesMax + recordBytesMax
