/** The bounds of weights between peers: each has its unit in its name and its reason beside it. */

/** Chunks of one file: a list of their digests is 1 MiB then, the file 8 GiB. */
export const supplyChunksMax = 32_768
/** Signatures beside a manifest: 32 signers of 137 bytes each (`trust/model-signature.ts`). */
export const signaturesBytesMax = 32 * 137
/** A frame: the longest are a manifest with its signatures, and a list of digests. */
export const supplyFrameBytesMax = (1 << 20) + 4096 + signaturesBytesMax
/** Streams that one peer may hold open here: one, and one that it has not yet seen the end of. */
export const supplyStreamsPerPeerMax = 2
/** Files of which one stream is told new chunks: two models of the largest kind. */
export const supplyWatchesMax = 2_100
/** Requests that wait on one stream: one of each kind per file, and the largest window in the smallest ranges twice. */
export const supplyRequestsMax = 4_600
/** Time to open a stream, and for an answer to a question that needs no bulk. */
export const supplyOpenMs = 5_000
/** A source's stream that is not needed for this long is closed. */
export const supplyIdleMs = 10_000
/** Sources at once: each keeps a stream and a window; more do not fill a link any better. */
export const supplySourcesMax = 8
/** The least and the most that one range request asks for. On a fast link a range is a chunk. */
export const supplyRangeMinBytes = 8 << 10
/** The same, and the least window, while sessions run at either end: 6.5 ms of a link of 5 Mbit/s. */
export const supplyRangeLiveMinBytes = 4 << 10
/** Ranges are cut to what the source sends in this time, so that other streams of the connection get between them. */
export const supplyRangeMs = 10
/** Bytes asked of one source and not yet here: the least keeps a source busy, the most is one Yamux window. */
export const supplyWindowMinBytes = 16 << 10
export const supplyWindowMaxBytes = 2 << 20
/**
 * Delay that bulk may add on a link (LEDBAT's, RFC 6817): 2 MB that filled a 1 MB/s link delayed heartbeats by over
 * 700 ms. While sessions run here it is less.
 */
export const supplyQueueMs = 100
export const supplyQueueLiveMs = 15
/** What this peer sends or asks for in bulk while sessions run on it: 8 Mbit/s, and so many bytes at once. */
export const supplyLiveBytesPerMs = 1_000
export const supplyLiveBurstBytes = 64 << 10
/** The same while this peer's processor is being measured: a MB takes it some 10 ms, so this is a tenth of it. */
export const supplyGentleBytesPerMs = 10_000
/** Chunks being assembled or written. */
export const supplyBufferBytesMax = 32 << 20
/** A range is late after so many times what the source's rate promises, within these bounds; the latter before any. */
export const supplyLateFactor = 4
export const supplyLateMinMs = 1_500
export const supplyLateFirstMs = 5_000
/** A source that owes something and sent nothing for this long is given up; it may be tried again. */
export const supplySilentMs = 20_000
/** Pause before a source that was lost is tried again; doubled each time up to the second. */
export const supplyRetryMs = 500
export const supplyRetryMaxMs = 30_000
/** How often a source that had nothing of a file is asked again. */
export const supplyAskAgainMs = 2_000
/** What is coming to another fetcher is left to it for this long at least: some chunks' time on a slow link. */
export const supplyComingMs = 3_000
/** A fetch without anybody who has what is missing fails after this: sources that restart are back by then. */
export const supplyNobodyMs = 10_000
/** A fetch for which nothing came this long fails, whatever sources say that they have. */
export const supplyStallMs = 120_000
/** How often deadlines of fetches are looked at. */
export const supplyTickMs = 100
/**
 * Chunks that are read for one peer while sessions run here, at once and per second: each is read and hashed whole, whatever is asked of it. Bulk moves four a
 * second then, for all peers together (`supplyLiveBytesPerMs`).
 */
export const supplyReadsBurstMax = 16
export const supplyReadsPerSecondMax = 8
/** Chunk lists kept in memory for serving, in bytes; any can be made again from its file. */
export const supplyListsBytesMax = 8 << 20
