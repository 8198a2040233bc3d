/** The bounds of asking graphs: each has its unit in its name and its reason beside it. */

/** Bytes of tensors in one frame: what passes before them on the same connection, such as a hidden state, waits so long. */
export const inferPieceBytes = 64 << 10
export const inferFrameBytesMax = inferPieceBytes + 1024 + (64 << 10)
/** Streams that one peer may hold open at a server, one for each run: more than it waits for at a time. */
export const inferStreamsPerPeerMax = 16
/** Bytes of tensors that a server holds for all whom it answers, beside its budget for weights: four of the largest runs. */
export const inferHeldBytesMax = 256 << 20
/** Of these for one peer: the largest inputs and outputs of one run. Nobody fills all of it alone. */
export const inferHeldBytesPerPeerMax = inferHeldBytesMax / 2
/** Time until the next frame of an ask that has begun, or until an answer is read on: an hour of a link is not a run's. */
export const inferSilentMs = 15_000
/** The slowest way that is waited for, in bytes a ms: 4 Mbit/s, on which the largest inputs take 134 s. */
export const inferWayBytesPerMs = 500

/**
 * What tensors may take on their way, beside the run: who sends or reads a byte now and then would hold their memory for ever.
 *
 * @param bytes of all inputs or of all outputs
 * @returns ms from their first byte to their last one
 */
export function inferWayMs(bytes: number): number {
  return inferSilentMs + Math.ceil(bytes / inferWayBytesPerMs)
}

/** Time to open a stream. */
export const inferOpenMs = 5_000
/** A run, unless who asks says otherwise. */
export const inferDeadlineMs = 60_000
/** How long a server that is loading the graph is waited for: what loading a large one takes on a slow board. */
export const inferWaitMs = 60_000
/** The longest that somebody who serves it may be waited for: as with answers. */
export const inferWaitMaxMs = 24 * 3_600_000
/** How often it is looked whether somebody serves it now, besides at every record. */
export const inferLookMs = 250
/** Peers whose process died of one ask, after which nobody else is asked: it may be the ask that does it. */
export const inferLossesMax = 2
/** Characters of a sentence that a server sends. */
export const inferMessageCharsMax = 600
/** When those who are all busy may be asked again. */
export const inferBusyRetryMs = 1_000
