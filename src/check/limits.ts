/** The bounds of checking what others compute: each has its unit in its name and its reason beside it. */

// ── How often ───────────────────────────────────────────────────────────────────────────────────────

/**
 * Of the sessions that a peer computes a stage of, those in which it is checked: who falsifies everything is found after 35 of them in the
 * median (1 - (1 - 1/50)^35 = 0.5), who falsifies one in ten after 346, where every check comes to an end. With 1/80 it was 83 and 544 in worlds where some withhold
 * rows or slander. A check takes a third to a sixth of what the stage has taken in the session: 0.7 % of all that is computed.
 */
export const checkShare = 1 / 50
/** The same of a peer that has not been seen to be right so often yet: a newcomer with a certificate of another one's is found within some answers. */
export const newShare = 1 / 10
/** Checks passed in a row, until a peer is known. */
export const knownChecks = 3
/** The same of a peer that is doubted. */
export const doubtedShare = 1 / 2
/** Checks passed in a row that end a doubt. */
export const doubtChecks = 3
/**
 * What checks may take of all that sessions of this peer take: a share of the time that their hops have computed. It is saved up while
 * nobody is checked, up to this much.
 */
export const checkCostShare = 0.015
export const checkSavedMs = 2_000

// ── How much ────────────────────────────────────────────────────────────────────────────────────────

/** Rows of one case: 4,000 tokens of a hidden state of 4,096 in float16. A session that is longer is not checked. */
export const caseBytesMax = 32 << 20
/** Of all cases that others send here at once. */
export const caseHeldBytesMax = 64 << 20
/** A frame has one block of rows (128 tokens) of at most 8 MiB, as steps do; terms take 16 KiB. */
export const checkFrameBytesMax = (8 << 20) + (32 << 10)
/** Questions of one peer at once: its rows are asked for by one driver and a case comes from another. */
export const checkStreamsPerPeerMax = 4
/**
 * Cases of one peer that are computed here at once and in a minute, one after the other: a busy driver of 20 sessions a second that knows its peers draws 24
 * for each of its stages. Whoever sends more takes the processor from others.
 */
export const casesPerMinuteMax = 30
/** Until a stream is open. */
export const checkOpenMs = 5_000
/** Until the rows of a session are here: 32 MiB take 27 s at 10 Mbit/s, and nobody waits for longer than that. */
export const rowsMs = 20_000
/** Until a case is computed by another peer, its rows' way included. */
export const verdictMs = 30_000
/** Peers that are asked where this one cannot compute a case: two must say the same for a peer to be charged. */
export const checkersMax = 3
export const checkersNeeded = 2
/** Peers that are told of evidence, each of which computes it itself. */
export const evidencePeersMax = 16
/** Peers of which something is known. */
export const knownPeersMax = 4096
/** Cases that were computed here, so that the same evidence is not computed twice. */
export const casesKnownMax = 256
/** Characters of the sentence in a Verdict; it is shown to a person, never parsed. */
export const verdictCharsMax = 300
/** Tokens of one step of a check: what the head of a session sends at once. */
export const checkStepTokens = 128
