/** The bounds of stages: each has its unit in its name and its reason beside it. */

/** The terms of an epoch: 64 hops take some 3 kB, and fields of later revisions are passed on. */
export const termsBytesMax = 16 << 10
/** Hidden states of one frame: 128 tokens at hidden 16,384 in float32. Wider ones travel fewer to a frame. */
export const stepBytesMax = 8 << 20
/** The rest is headroom for the fields around them, and for an Open or a Refuse. */
export const stageFrameBytesMax = stepBytesMax + 4096
/** Names of what terms need: each later kind of session has one or two. */
export const termsNeedsMax = 16
/** Streams that one peer may hold open at our stages: two per session where it is both upstream and driver. */
export const stageStreamsPerPeerMax = 256
/** Sessions at the stages of one peer; caches run out long before, this bounds the book-keeping. */
export const stageSessionsMax = 512
/**
 * Sessions of which a peer remembers the newest epoch when they are gone, so that their terms open nothing again; whose
 * driver has most of them is forgotten first. Some 200 bytes each.
 */
export const sessionMarksMax = 4096
/** Steps in flight on one stream without an Ack. At decode only every half window is acknowledged: 8 tokens. */
export const creditStepsMax = 16
/** Tokens in flight on one stream without an Ack: four full steps keep every hop of a prefill busy. */
export const creditTokensMax = 512
/** Computed steps that wait for the next hop; a stage computes no further ahead than this. */
export const outboxStepsMax = 4
/** Hidden states that a stage sent are kept in blocks of this many tokens; replay goes out in the same blocks. */
export const retainBlockTokens = 128
/** A cache whose upstream vanished waits this long for a newer epoch: longer than detection plus re-routing takes. */
export const orphanGraceMs = 15_000
/**
 * After so long a cache without upstream gives way to a new session that finds no room. Most recoveries come back in
 * less than half of it, a later one costs a replay; what a route was led around, or who was stopped and woken, kept
 * budgets of one session full for 15 s and still for the next question after 1 s (churn suite).
 */
export const orphanYieldMs = 250
/**
 * After so long without a step, or a word of its driver's that it waits for one, a session gives way to one that finds no
 * room: its driver asks more often than twice in this time (`askAliveMs`).
 */
export const seatYieldMs = 5_000
/** Sessions that wait for room at one stage, and of one driver: a waiting one holds a stream and up to 512 tokens of steps. */
export const stageWaitersMax = 256
export const driverWaitersMax = 64
/** A session that was refused room, and will come again, keeps its place so long: it comes every 5 s at least (`roomRetryMaxMs`). */
export const callerGraceMs = 6_000
/**
 * Room that is free is kept for who is first and will come again only once it has come so often: most sessions that are refused
 * find room elsewhere, and those that do not come here again would have the stage stand still while others wait.
 */
export const callerHoldCalls = 3
/**
 * A session has room for so long at least once its answer goes on, though others wait: some hundred tokens, where what it
 * costs to compute them again later is tens of ms.
 */
export const turnMs = 15_000
/**
 * A session whose answer does not go on yet gives way to those who wait where nothing new is computed for so long: 128 tokens
 * of 4 kB take a radio link of 1 Mbit/s 4 s, and several share it.
 */
export const turnStalledMs = 20_000
/** And in any case after this: a prompt of 8k tokens takes a weak stage as long. */
export const turnUnsampledMs = 120_000
/** What a turn takes until some have shown it. */
export const turnGuessMs = 5_000
/** A session that has never stepped, and of which so long nothing is heard, is over whoever needs its room. */
export const sessionUnusedMs = 30_000
/** A session that neither steps nor closes is given up: longer than any step, shorter than a forgotten one costs. */
export const sessionIdleMs = 300_000
/** Time to open a stream to the next hop, and for a new stream to say what it wants. */
export const stageOpenMs = 5_000
/** Time for Closed to come back from the whole route; hops nearer to the tail give up sooner, in proportion. */
export const stageCloseMs = 2_000
/** How often deadlines of sessions are looked at. None of them needs to be sharper. */
export const stageTickMs = 250
/**
 * Masks that a tail keeps of a session, to be named by their slot: twice what one step has, and more than JSON comes upon again and
 * again. A vocabulary of 151,936 ids makes that 304 kB.
 */
export const maskSlots = 16
/** A commitment: three digests, two numbers and the name of a class take some 130 bytes. */
export const commitmentBytesMax = 512
/**
 * Rows that are digested at once: SHA-256 takes 0.9 µs for a call and 0.4 µs for a row of 576 bytes. More would hold more memory: two blocks of
 * what a hop is given and of what it gives, 512 kB of a session whose rows have 8 kB. It is more than a step's drafts, which may all be cut off.
 */
export const chainBlockRows = 16
/** A hop commits so often before a session ends, and once for each so many tokens: a signature takes 30 µs, and a driver may ask with each frame. */
export const commitsFree = 4
export const commitTokensMin = 32
/** Name of a numeric class, as records have it. */
export const classCharsMax = 64
/**
 * What a stage sent is kept so long after its session has ended, for a check of the next stage: its driver draws one at once, and asks
 * within a round trip.
 */
export const rowsKeptMs = 20_000
/** And no more than this of all sessions together: 100 answers of 250 tokens at hidden 320 in float32; the oldest go first. */
export const rowsKeptBytesMax = 32 << 20
/** Characters of the sentence in a Refuse; it is shown to a person, never parsed. */
export const refuseMessageCharsMax = 300

/** A stand-in that is fed counts as ready when no more than this is missing: one step of it takes some ms. */
export const feedLagTokens = 4
/** Time that a leaving peer keeps a cache without upstream: its session has moved on, or tries it once more at once. */
export const orphanLeavingMs = 1_000

// ── Session ────────────────────────────────────────────────────────────────────────────────────────

/** A hop answers no more often than this. */
export const askMinMs = 20
