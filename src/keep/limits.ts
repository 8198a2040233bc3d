/** The bounds of sessions that are kept: each has its unit in its name and its reason beside it. */

/** Other peers that keep a session: both must go, with the driver, before it is lost. */
export const keepersMax = 2
/** Tokens are sealed and sent this long after the last ones, or when so many are new. Two short frames a time. */
export const keepFlushMs = 250
export const keepFlushTokens = 64
/** Tokens of one sealed part (1 KiB): only the last part is ever sealed again, whatever the answer's length. */
export const keepPartTokens = 256
/** Peers that are named to have computed a session: a route has 64 at most, and few sessions change it. Those that came last are named. */
export const keepWorkersMax = 64
/** What is sealed is padded to a multiple of this, so that a keeper sees the length of a text in steps of 64 tokens. */
export const keepPadBytes = 256
/** Parts of an entry: as many as its bytes allow, and some for the long prompt that is one part. */
export const keepPartsMax = 1024
/** Sealed bytes of one entry: 120,000 tokens, prompt and answer. */
export const keepEntryBytesMax = 512 << 10
export const keepFrameBytesMax = keepEntryBytesMax + 16_384
/** What one peer may have others keep, and what a keeper holds of all: memory and disk, beside the budget for weights. */
export const keepPeerEntriesMax = 64
export const keepPeerBytesMax = 4 << 20
export const keepEntriesMax = 512
export const keepBytesMax = 16 << 20
/**
 * What a peer that came first keeps at a keeper, whatever comes after it: the sessions of one evening, each of 1,000 tokens. 64
 * peers fill the entries with it, 256 the bytes.
 */
export const keepFairEntries = 8
export const keepFairBytes = 64 << 10
/**
 * What one peer may put at a keeper at once and in a second, in bytes: each put goes to its disk, which wears. A session that is begun or resumed is put
 * whole once, and then a part of 1 KiB up to four times a second.
 */
export const keepPutBytesBurstMax = 2 * keepPeerBytesMax
export const keepPutBytesPerSecondMax = 64 << 10
export const keepTtlMaxMs = 24 * 3_600_000
/** Versions above this would leave no room to go on above them; clocks reach it in a quarter of a million years. */
export const keepVersionMax = 2 ** 53 - 2 ** 32
/** Streams that one peer may hold open at a keeper: one per session under way, and some that ask. */
export const keepStreamsPerPeerMax = 64
/** A stream on which nothing was asked for this long is closed; whoever needs it opens another. */
export const keepIdleMs = 120_000
/** Time to open a stream to a keeper, and for each of its answers. */
export const keepAnswerMs = 3_000
/** A peer that could not keep a session is asked again after this. */
export const keepAvoidMs = 10_000
/** How long a session that is resumed is looked for: what all reachable peers can answer. */
export const keepFetchMs = 3_000
/** A changed entry reaches the disk within this; what is lost with it is computed again. */
export const keepSaveMs = 1_000
/** One that could not be written is tried again after this: disks that are full stay so for a while. */
export const keepSaveRetryMs = 30_000
/** How often a driver looks whether the keepers of an answer that has ended are still there. */
export const keepWatchMs = 1_000
/** How often a keeper looks for what has expired. */
export const keepTickMs = 1_000
/** Tokens of one session whose logits something is added to: as many as a session may have. */
export const keptBiasesMax = 300
