/** The bounds of an engine: each has its unit in its name and its reason beside it. */

/** Tokens of one step; a longer replay is several steps. At 4,096 wide float32 one input is 32 MiB. */
export const stepTokensMax = 2048
/** Drafts of one step: with the token before them as many rows as go on in one piece (`shortTokensMax`). */
export const stepDraftsMax = 7
/** Of presence and frequency penalties, either way: OpenAI's range, beyond which texts fall apart. */
export const penaltyMax = 2
/** The likeliest tokens that are told of with a token: OpenAI's number, which keeps a vocabulary off the wire. */
export const logprobsMax = 20
/** Of what is added to a token's logit, either way: OpenAI's range, whose ends forbid a token or leave no other one. */
export const biasMax = 100
/** Tokens of one session that something is added to: some 15 bytes each in the terms of an epoch, which are to have room for a long route. */
export const biasesMax = 300
/** Of repetition penalties. CTRL found 1.2 good; a tenth or ten times of a logit leaves nothing of what a model says. */
export const repetitionPenaltyMin = 0.1
export const repetitionPenaltyMax = 10
/**
 * A cache of which a layer has a window can be cut by so many tokens: two steps of a wire, or a block of a prefix and what is drawn
 * after it. Who goes back further is served from the beginning (rule S6).
 */
export const rollbackTokens = 256
/** Requests that wait for one engine: more than the sessions that any cache budget of today holds. */
export const engineQueueMax = 1024
/**
 * From starting an engine's thread to its weights being ready: to start, compile and check on a slow machine, and so much more for
 * what is read. A card gives 10 MB/s; ONNX Runtime packs float32 at about 1 GB/s.
 */
export const engineLoadMs = 180_000
export const engineLoadBytesPerMs = 10_000
/** One request of an engine's thread: the longest step on a slow processor takes minutes; a hang is forever. */
export const engineRequestTimeoutMs = 600_000
/**
 * A thread that is told that something is about to come spins for it so long: waking takes some 50 µs, and longer what is to be
 * done until it comes. And how many announcements are left out at most after it has waited in vain, as where there is no processor.
 */
export const announcedMs = 0.3
export const announcedSkipMax = 1024
/** How often it is looked whether a request has been answered in time. */
export const engineWatchMs = 1_000
/** From `close()` until the thread is ended, running step or not. */
export const engineCloseTimeoutMs = 30_000
/**
 * One measurement of this machine's processor, before which a peer serves nothing. It takes 1.3 s of processor time; beside ten busy
 * processes on two cores it was seen to take 13 s, and twice over 30.
 */
export const measureTimeoutMs = 180_000

/** From the start of a thread that compares weights to its first layer: to start, on a slow machine. */
export const comparisonStartMs = 30_000
/** It waits for a layer to be written in float32, which a slow disk takes minutes for. */
export const comparisonIdleMs = 600_000
/** One layer, both ways, and the output matrix of the largest vocabularies: some seconds here. */
export const comparisonLayerMs = 600_000

// ── Kernels ────────────────────────────────────────────────────────────────────────────────────────

/** Modules of kernels that a process keeps, some 300 kB each: one for each shape of the models that a peer serves, and more. */
export const checkedModulesMax = 16

// ── Weights ────────────────────────────────────────────────────────────────────────────────────────

/**
 * What Node's own four threads read of a stage while its kernels are compiled, which takes about as long. They do the peer's other work
 * with files, too, which may so wait for two seconds of a slow disk.
 */
export const aheadBytesMax = 128 << 20

/**
 * Memories that large pages are asked for: less stays in a processor's caches from token to token, and to ask takes 11 ms and 8 MB
 * of a process.
 */
export const largePagesBytesMin = 32 << 20

// ── What was measured ──────────────────────────────────────────────────────────────────────────────

/** Measurements that a data directory keeps: models by threads. */
export const measuredMax = 32
/** The file that keeps them: some 200 bytes each. */
export const measuredBytesMax = 64 << 10
/** They are made again after a day: one that was made on a busy machine is not to stand for ever. */
export const measuredMaxAgeMs = 86_400_000

// ── Passes ─────────────────────────────────────────────────────────────────────────────────────────

/** Tokens of a step of a session that answers: one, or a draft of some. */
export const shortTokensMax = 8
/** What parts of longer steps may add to a pass while others answer: nobody reads their tokens faster than ten a second. */
export const partMs = 100
/** Who had a step within this answers, and long steps take others into account: a lap over slow links takes seconds. */
export const sharedMs = 10_000
/** More groups of sessions must make a lap so much shorter: each of them reads the weights once more. */
export const groupsSlackRatio = 0.05
/** A session that is back later than after so many times its usual way, and so much, is not waited for. */
export const lapOverdue = 1.5
export const lapSlackMs = 1
/** A pass waits for who is about to come for this share of what that saves: it may not come. */
export const gatherShare = 0.5

/**
 * Time that the sessions of one driver may have beyond an equal part before others come first: what a prompt of some thousand tokens takes. And
 * the most that is remembered of it, so that whoever took all for an hour is not made to wait for one.
 */
export const debtBurstMs = 2_000
export const debtMaxMs = 3_000
/**
 * What a row costs that was known and only copied, beside one that is computed: its states go on to the next hop all the same. One driver that had the same
 * prompt of 128 tokens looked up without end took half of the speed of four others, and owed nothing.
 */
export const knownRowRatio = 1 / 8
/** And no more than this: a row of 1,152 bytes took 0.03 ms of its peer's loop to go on, and a larger model's takes longer to compute and not to send. */
export const knownRowMsMax = 0.05
/**
 * Whoever has had more than its part waits so long for those that were here just now, to be computed for beside them: the time between two tokens of an
 * answer over a LAN. Without it 16 sessions of one driver filled each moment in which four others had no step here, and had those wait for the end of each.
 */
export const overHoldMs = 30
/** A driver without a step for this long has no part now: a lap over slow links takes a second. */
export const debtAwayMs = 2_000
/** In this time half of what one has had too much is forgotten: who has 4 % more than an equal part all the time owes nothing. */
export const debtHalfLifeMs = 60_000

// ── The thread ─────────────────────────────────────────────────────────────────────────────────────

/**
 * Memory that an engine shares with its thread, for each way: sixteen rows of 4,096 wide float32 states. Longer passes go by message,
 * where what that costs is little of what they take.
 */
export const shareBytesMax = 288 << 10

// ── Prefixes ───────────────────────────────────────────────────────────────────────────────────────

/**
 * What an engine keeps of the beginnings of sessions, whatever its budget leaves: some 20,000 tokens of a whole model of
 * 1.1B parameters. Who comes back after so many others computes as if nothing were kept.
 */
export const prefixBytesMax = 1 << 30

// ── Graphs ─────────────────────────────────────────────────────────────────────────────────────────

/** From the start of a graph's process until it can run: some, and so much for its bytes, which are optimised on the way. */
export const graphLoadMs = 60_000
export const graphLoadBytesPerMs = 10_000
/** Runs of one graph that are under way or wait: at a tenth of a second each, who comes then waits three seconds. */
export const graphRunsMax = 32
/** One run, at most: a large image on a slow board takes tens of seconds. */
export const graphRunMaxMs = 600_000
/**
 * A run for which nobody waits any more, or that has passed its deadline, may end in this time, or in twice what the longest one took;
 * then its process is ended, which takes as long to load anew.
 */
export const graphGiveUpMs = 2_000
/** Memory of a graph beside its file, twice: 90 MB for the process and the runtime, the rest for what a run computes. */
export const graphWorkBytes = 256 << 20
/** How often it is looked whether a graph's process takes more than that. */
export const graphMemoryLookMs = 500
