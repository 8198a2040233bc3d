/** The bounds of sessions: each has its unit in its name and its reason beside it. */

/**
 * Tokens after which hops commit to what they computed so far: who leaves before the session ends has signed all but the last of them. It costs each
 * hop a signature (30 µs), and two small frames.
 */
export const commitEveryTokens = 64
/** Epochs of a session of which commitments are kept: the latest, each of 64 hops at most. */
export const commitEpochsMax = 8
/** So long after its last token a driver asks, whatever else comes back: its hops know that it still waits. */
export const askAliveMs = 2_000
/** A driver to which nothing has come from its route for this long asks how far everybody has come. */
export const askAfterMs = 1_000
/**
 * A head that has not answered a question for this long is left out: its answer takes no more than a turn of its loop and a
 * round trip, and a loop or a link that stands still for longer is known by its silence.
 */
export const muteHeadMs = 4_000
/** A hop that was left out for saying nothing, or getting nothing done, is done without for so long where that is possible. */
export const muteExcludeMs = 60_000
/** Whoever waits for an answer is told about a hop that has not answered a question for this long. */
export const muteTellMs = 2_000
/**
 * A hop that answers and gets nothing done is left out after this, where there is a way around it: an engine that reads its
 * weights from a slow disk for the first time takes several seconds.
 */
export const stuckMs = 10_000
/** But not before so many times what its step takes as announced: others may use its processor. */
export const stuckFactor = 4
/** It is given twice as long after each hop that was left out in vain: where all are slower than they say, one gets there. */
export const stuckDoublingsMax = 5
/** And where there is no way around it, after so many times as long: the same peers are then asked anew. */
export const stuckAnewFactor = 4
/** What a token takes a stage of which nobody knows how fast it is: a weak device reads a prompt at 4 tokens a second. */
export const stepTokenMs = 250
/** Rate of the slowest link that hidden states pass, in bytes per ms: 1 Mbit/s. */
export const slowLinkBytesPerMs = 125
/**
 * A driver that has not run for this long may have been given up by all others, whose patience with a peer that they have
 * always heard on time is no longer (`aliveLateMs`): what it finds closed is of its own making.
 */
export const standstillMs = 500
/** How often a peer looks whether it has stood still. */
export const standstillLookMs = 250
/** So long after it has come to itself: until it is connected again and knows who serves what, 3 to 4 s after a long pause. */
export const standstillGraceMs = 5_000
/** Tokens between which a route shows what it needs; before that nothing is slow but what is stuck. */
export const paceTokensMin = 8
/** A token is late after the mean and so many mean deviations (RFC 6298), but not before this many means, and ms. */
export const paceDeviations = 4
export const paceFactor = 2.5
export const paceLateMs = 500
/**
 * A hop is slow when so many tokens in a row took that many means, and so much longer than the mean, because of it; or
 * when it has one for too long in two answers that follow one another. Two cores that many processes share stall
 * a step by 100 ms now and then, but seldom six in a row.
 */
export const paceStrikes = 6
export const paceSlowMs = 100
/** What part of the time that a token takes longer must lie with the hop that is taken for slow. */
export const paceShare = 0.5
/** A driver that waits for a late token asks its hops this often. */
export const askEveryMs = 500
/** Time that an answer waits for a route after a loss; then it fails and keeps its text. */
export const routeWaitMs = 30_000
/** The longest such time that may be asked for: timers take no more than 2^31 ms, and a day is more than a flight. */
export const routeWaitMsMax = 24 * 3_600_000
/** An answer that has waited this long for a route says so, and what is missing: most waits are over sooner. */
export const waitTellMs = 1_000
/** Pause between two questions for a route while there is none. */
export const routeRetryMs = 200
/** Re-routings in a row without a single new token: above this something else is wrong than lost peers. */
export const recoveriesMax = 16
/** So many of them ask for a route without a pause: enough for every hop of a short route to be lost at once. */
export const recoveriesAtOnce = 4
/**
 * A session that finds no room tries again after a random half to the whole of this, twice as long each time up to the second:
 * longer than it takes until the caches that another one has left give way to it.
 */
export const roomRetryMs = 600
export const roomRetryMaxMs = 5_000
/** Sessions that wait at one driver for room, of all clients and of one: more would wait for minutes, and are told so at once. */
export const waitersMax = 1024
export const clientWaitersMax = 256
/** What a session takes until some have shown it. */
export const sessionGuessMs = 5_000
/** Whoever is first in the line may try after this, whatever is announced: stages have seats give way that nobody uses. */
export const admissionTryMs = 2_000
/** How often those who wait are looked at, besides at each record and end. */
export const admissionLookMs = 250
/** Time that a session waits for room while its place in a line does not get on, or there is no line; others' answers take seconds. */
export const roomWaitMs = 60_000
/** And altogether, however its place gets on: whoever asked has long gone. */
export const roomWaitMaxMs = 600_000
/**
 * A session in line at one hop whose place has not got on for between this and twice this lets go of the room that hops before
 * hold for it: longer than a turn of others takes (`turnMs`), and two that hold what the other one waits for do not let go at once.
 */
export const lineHoldMs = 20_000
/** How often one that waits in line looks for another way. */
export const lineLookMs = 5_000
/** Until a hop of which only its neighbour says that it is lost is known to live: longer than silence takes to be noticed. */
export const cutSettleMs = 1_500
/** Times that a route through a cut is asked for anew without its other end: two cuts, both ends of each. */
export const cutTurnsMax = 4
/** A way around a leaving peer must be ready within this; it says itself how long it stays. */
export const detourMs = 30_000
/** Pause before another one is tried. */
export const detourRetryMs = 500
/** A peer that failed a session is left out of its routes this long; then it may have come back. */
export const excludeMs = 10_000
/** A stage that does not know what a session needs is left out this long: its peer would have to start anew with another version. */
export const unsupportedMs = 300_000
/** Tokens of an answer when the caller names no limit. */
export const answerTokensDefault = 256

// ── Model: threads ─────────────────────────────────────────────────────────────────────────────────

/** Characters (UTF-16 units) of a prompt, whatever the model's context is: 128k tokens of English have 0.6 million. */
export const promptCharsMax = 4 << 20

// ── Drafts ─────────────────────────────────────────────────────────────────────────────────────────

/** Tokens that are taken into the index of a text at each token, some ms at most: a prompt may have 100,000. */
export const indexedTokensMax = 2_048
/** Whether more tokens than these were the same before says nothing more of what comes next. */
export const matchTokensMax = 16
/** Drafts are sent where they are expected to give so many times the tokens: what is less is lost in what is not known. */
export const draftGainMin = 1.1
/** Laps without drafts that show what one takes. */
export const draftLapsFirst = 3
/** What a draft is taken to add to a lap before some have shown it: what a row adds to a pass, with nothing on the way. */
export const draftMoreGuess = 0.3
/** And what it adds at least and at most: a row costs something everywhere, and never more than the first. */
export const draftMoreMin = 0.01
export const draftMoreMax = 1
/** A lap that takes longer than so many times what is expected counts as that long: somebody was given no processor. */
export const draftSurpriseMax = 3
/** After so many laps with drafts there is one without, since what that takes changes; sooner where drafts gain little. */
export const draftPlainLaps = 32
export const draftPlainLapsLittle = 8
export const draftsLittleGain = 1.5
/** After so many without there is one with a single draft, if drafts could gain anything: it takes 1/32 of the time at most. */
export const draftTrialLaps = 32
/** What a draft model takes for a token is taken for this at least where it took longer than that: a clock may show nothing. */
export const draftTokenMsMin = 0.05
/** And what a draft model takes to be looked at so may be this share of the time since the last look. */
export const draftLookShare = 0.05
/** What a token that is there adds to a pass of a draft model, as a share of a pass: it reads its weights once for many. */
export const draftFeedShare = 0.3
/** A draft model that lacks more tokens than this of a text catches up beside laps: no step waits for that. */
export const draftLagTokens = 16
/** Catching up must be worth so many times what it takes, over the rest of the answer. */
export const draftCatchUpFactor = 2
/** A step waits for a draft model so many times as long as that is expected to take, and this much, as timers are good to a ms. */
export const draftWaitFactor = 2
export const draftWaitSlackMs = 1
/** A draft model works ahead where all drafts of a step, and the token after them, are right this often: else it works for nothing. */
export const draftAheadShare = 0.5
/**
 * Tokens of a step of a prompt of which it is told what the model makes of it (rule S39): after each row the tail computes the head of
 * the model, some 30 ms where a vocabulary has 150,000 tokens, and nobody is to take it for stuck meanwhile.
 */
export const scoredStepTokens = 32
