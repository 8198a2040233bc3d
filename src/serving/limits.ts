/** The bounds of what a peer serves: each has its unit in its name and its reason beside it. */

/** Models that one peer serves at once: each offers itself in every record, which holds as many offers. */
export const servedModelsMax = 8
/** What demand counts for at most when a budget is shared out: a model that nobody asks for keeps a quarter of its weight. */
export const demandWeightMax = 4
/** Time in which a session counts half as much as demand: longer than a conversation's pauses, shorter than a mission's parts. */
export const demandHalfLifeMs = 300_000
/** Models whose demand a peer remembers; it drives sessions of few. */
export const demandModelsMax = 64
/** A share of the budget follows demand where it moves by this much: less is not worth a stage's move. */
export const shareChangeRatio = 0.25
/** Pause after a change of shares before demand may change them again: some moves of stages over a slow link. */
export const shareChangeMs = 120_000

// ── Engine ─────────────────────────────────────────────────────────────────────────────────────────

/**
 * Tokens of cache, and of retained hidden states, that placement reserves at every stage: one session of the
 * model's whole context up to this. What a budget has left over holds more sessions.
 */
export const cacheReserveTokens = 2048

/** Tokens by which it is found out how fast a draft model is here: the quickest counts, and the first ones compile. */
export const draftTimedTokens = 16
/** How often a draft model looks whether stages have let go of what it takes: sessions on them take seconds to go. */
export const draftRoomLookMs = 250

/** Time until a graph that could not be loaded anew is tried again; twice as long each time, up to the second. */
export const graphReloadMs = 5_000
export const graphReloadMaxMs = 300_000
/** Runs of a graph whose mean is announced as what one takes: the last ones count most. */
export const graphMeanRuns = 8
/** It is announced anew where it has changed by this much: runs differ by what they are given. */
export const graphAnnounceRatio = 1.5

// ── Supply ─────────────────────────────────────────────────────────────────────────────────────────

/** How often it is looked whether records name a holder of what is missing here, and from when on the DHT is asked again. */
export const holdersLookMs = 500
export const holdersAgainMinMs = 2_000
export const holdersAgainMaxMs = 30_000
/** Looks in a row without a source that has it until a file counts as held by nobody whom records name. */
export const holdersLooks = 6
/** How often a peer without its model looks whether somebody offers it, besides at every record. */
export const seekRetryMs = 2_000
/**
 * A neighbour that has run for less and offered nothing may still do so: it measures itself with a model before it offers it, which
 * takes seconds, and over 20 s on a board that boots with all else; its self-test alone may take 30 s (`engine/limits.ts`).
 */
export const startingMaxMs = 120_000
/** Whoever asks for a model that nobody offers yet is told so after this: most are offered sooner. */
export const askTellMs = 1_000
/** From the first offer of a model that is looked for by name until it is taken: records cross a LAN in tens of ms. */
export const seekSettleMs = 400
/** How often, at most, it is announced that more shards of a fetch have come: every one would have all peers plan anew. */
export const heldTellMs = 20_000
