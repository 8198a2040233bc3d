/** The bounds of what is said and kept about members: each has its unit in its name and its reason beside it. */

/** `member.json`: two keys, a certificate of three grants, and eight secrets at most. */
export const memberFileBytesMax = 64 * 1_024
/** Key files of an authority or a deputy: as that. */
export const authorityFileBytesMax = 64 * 1_024
/** What is known of members: 4,096 certificates of some 500 bytes, and as many statements. */
export const ledgerFileBytesMax = 64 * 1_024 * 1_024
/** How often certificates of those who are connected are looked at, since they end by themselves. */
export const membershipLookMs = 1_000
/** How often what time it is goes to disk: a machine without a clock chip starts from there, at most so far behind. */
export const membershipKeepMs = 10 * 60_000
/** Channels about members that one peer may have open here: one, and one that it opens anew. */
export const trustChannelsMax = 2
/** Items of 256 KiB in one frame, or the names of 8,192 items, with room for what is around them. */
export const trustFrameBytesMax = 512 * 1_024
/** Frames that one end of an admission reads at most: it takes five for both. */
export const admissionFramesMax = 4
/**
 * Frames about members of one peer, at once and per second: all that can be known takes 128 frames, and each may cost a signature check of 0.1 ms for
 * nothing. News come one by one, a revocation a day.
 */
export const trustFramesBurstMax = 192
export const trustFramesPerSecondMax = 16
/** How long who has been refused has to read why, before the connection ends: a round trip of a slow radio. */
export const admissionPartingMs = 300
/** Records that wait for a certificate: as many as neighbours tell of at once; one that is lost comes again within a third of its life. */
export const awaitedRecordsMax = 64
/** Peers that were not admitted of whom status tells: the last few, since anybody can come to the door. */
export const refusalsToldMax = 8
/** How soon what is new of members is on disk: what comes together is written once, and a command that reads it finds it. */
export const membershipWriteMs = 100
