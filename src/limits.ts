/**
 * Every number that bounds something: its unit is in its name, its reason beside it. Units last: Ms, Bytes.
 * A file that needs a new bound adds it here, not at the place of use.
 */

// ── Engine ────────────────────────────────────────────────────────────────────────────────────────

/**
 * Tokens per attention block. Keys are cut at absolute multiples of it, so a token's bits do not depend
 * on how many tokens share its pass; one step never crosses a border. 32 and 64 cost the same at decode
 * but more passes at prefill (up to 1.36 times in float32).
 */
export const attentionBlock = 128

/** Tokens of one step; a longer replay is several steps. At 4,096 wide float32 one input is 32 MiB. */
export const stepTokensMax = 2048
/** Requests that wait for one engine: more than the sessions that any cache budget of today holds. */
export const engineQueueMax = 1024
/** From starting an engine's thread to its weights being ready: float32 prepacks about 1 GB/s, disks may be slow. */
export const engineLoadTimeoutMs = 180_000
/** One request of an engine's thread: the longest step on a slow processor takes minutes; a hang is forever. */
export const engineRequestTimeoutMs = 600_000
/** From `close()` until the thread is ended, running step or not. */
export const engineCloseTimeoutMs = 30_000
/** One measurement of this machine's processor; it takes well under a second on a slow one. */
export const measureTimeoutMs = 30_000
/**
 * Tokens of cache, and of retained hidden states, that placement reserves at every stage: one session of the
 * model's whole context up to this. What a budget has left over holds more sessions.
 */
export const cacheReserveTokens = 2048

// ── Serving ───────────────────────────────────────────────────────────────────────────────────────

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

// ── Model ─────────────────────────────────────────────────────────────────────────────────────────

/** A manifest file. The largest that the schema allows (1,026 shards, a 64 KiB template) stays below 400 kB. */
export const manifestBytesMax = 1 << 20
/** A `tokenizer.json`. Those of today's 256,000-piece vocabularies are near 35 MB. */
export const tokenizerBytesMax = 64 << 20
/** `config.json` and its siblings: a few kB; a safetensors index names every tensor, some 100 bytes each. */
export const importJsonBytesMax = 16 << 20
/** Layers of a model: eight times those of the largest llama. */
export const modelLayersMax = 1024
/** Tensors of one safetensors file, or of an index: a llama of so many layers has 10 each, and 3. */
export const safetensorsTensorsMax = 10 * modelLayersMax + 16
/** A safetensors header: 1.5 kB for each of so many tensors, of which 120 bytes are usual. The format allows 100 MB. */
export const safetensorsHeaderBytesMax = 16 << 20
/** Files that one index names, each of which stays open: the largest models have 200. */
export const safetensorsFilesMax = 512
/** Weights that an import holds at once as float32, whatever the model's size; a tile of as much goes out. */
export const importChunkBytes = 16 << 20
/** A request to the hub until its headers are there, and the longest pause within a body. */
export const hubStallTimeoutMs = 30_000
/** A file that keeps breaking off is asked for this many times, each time from where it ended. */
export const hubAttemptsMax = 5
/** Pause before the n-th further attempt is n times this. */
export const hubRetryDelayMs = 1000
/** The hub redirects twice: to the renamed repository and to its storage. */
export const hubRedirectsMax = 5
/** The ETag of a file, which is kept beside it: a digest in hex, elsewhere any short text. */
export const hubTagBytesMax = 4096
/** Read buffer of a verification: larger ones are not faster (SHA-256 takes 1-2 ms per MiB). */
export const verifyChunkBytes = 1 << 20

/**
 * Bytes of a chunk, the unit in which files of a model are checked while they travel. Part of the manifest format, so
 * it never changes. Lists of digests take 1/8192 of the weights, and a chunk takes 0.1 s at 20 Mbit/s.
 */
export const chunkBytes = 256 << 10

// ── Model: threads ────────────────────────────────────────────────────────────────────────────────

/** Requests that wait for one thread: more than the answers that one peer drives at a time. */
export const threadQueueMax = 1024
/** A deadline is counted in so many ticks, so that a process that stood still loses no more than one of them. */
export const threadDeadlineTicks = 10
/** What nobody waits for any more may end in this time; then its thread does. Starting it anew takes about as long. */
export const threadGiveUpMs = 250
/**
 * The heap of a thread, beside what its file needs: 900,000 characters in one word took 430 MB to encode. A file that
 * needs more ends its thread, not the process.
 */
export const threadHeapBytes = 512 << 20
/** Its nursery: with V8's default of up to 48 MB a thread takes 6 MB more and is not faster. */
export const threadYoungHeapBytes = 4 << 20
/** From the start of the thread that hashes files to its first one: 40 ms here. */
export const hashStartMs = 30_000
/** It ends when nothing was hashed for so long: it takes 12 MB. */
export const hashIdleMs = 5_000
/** One file: so long, and so much more per kB, which is what a card of 1 MB/s gives. */
export const hashMs = 60_000
export const hashMsPerKilobyte = 1
/** Files that wait to be hashed: all of four models of the largest kind, each half fetched. */
export const hashQueueMax = 4_104
/** Heap per byte of a `tokenizer.json`: 22 were measured with 32,000 pieces. */
export const tokenizerHeapFactor = 32
/** From the start of a tokenizer's thread to its first request: 0.1 s with 32,000 pieces; 64 MiB on a slow board. */
export const tokenizerStartMs = 60_000
/** One text or some tokens: a megabyte of English takes 0.2 s here; an expression that backtracks takes for ever. */
export const tokenizerMs = 10_000
/** A tokenizer's thread that is not asked for this long ends: it holds 40 MB (32,000 pieces), and is read in 0.1 s. */
export const tokenizerIdleMs = 60_000
/** Models that one peer asks about at a time, and whose tokenizers it holds: each takes a thread. */
export const tokenizersMax = 8
/** Characters (UTF-16 units) of a prompt, whatever the model's context is: 128k tokens of English have 0.6 million. */
export const promptCharsMax = 4 << 20

// ── Supply ────────────────────────────────────────────────────────────────────────────────────────

/** Chunks of one file: a list of their digests is 1 MiB then, the file 8 GiB. */
export const supplyChunksMax = 32_768
/** A frame: the longest are a manifest and a list of digests. */
export const supplyFrameBytesMax = (1 << 20) + 4096
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
/** Chunk lists kept in memory for serving, in bytes; any can be made again from its file. */
export const supplyListsBytesMax = 8 << 20
/** How often a peer without its model looks whether somebody offers it, besides at every record. */
export const seekRetryMs = 2_000
/** From the first offer of a model that is looked for by name until it is taken: records cross a LAN in tens of ms. */
export const seekSettleMs = 400

// ── Swarm: channels ───────────────────────────────────────────────────────────────────────────────

/** Memory that the length prefix of a frame alone can reserve; longer frames grow by doubling as they arrive. */
export const frameReserveBytes = 1 << 20
/**
 * Memory for frames that have begun to arrive, for one peer and for all: four and sixteen of the largest. Frames up to the
 * first of these are not counted: a thousand streams of them are 16 MiB, and single tokens never wait. One member can keep
 * out nobody but itself, and it takes four to keep out all.
 */
export const unfinishedFreeBytes = 16 << 10
export const unfinishedPeerBytesMax = 32 << 20
export const unfinishedHostBytesMax = 128 << 20
/** Channels of one peer that wait for such memory, each with a window of up to 2 MiB unread; one more ends the oldest. */
export const unfinishedWaitingMax = 32
/** A frame on a protocol that this peer opens but does not itself handle. */
export const frameBytesDefaultMax = 16 << 20
/** Bytes queued in a channel above which `send` says to wait: some round trips at 1 Gbit/s, few enough to hold per hop. */
export const channelHighWaterBytes = 1 << 20
/** Bytes of whole frames kept while a channel has no receiver yet; above it reading pauses. */
export const channelPendingBytesMax = 1 << 20
/**
 * Window per Yamux stream. It must stay below libp2p's read buffer (4 MiB): with its default of 16 MiB a paused
 * stream under a fast sender is reset.
 */
export const streamWindowBytesMax = 2 << 20
/** Time for what is queued to leave when a channel closes; after it the channel is aborted. */
export const channelCloseMs = 5_000
/** Outbound channels per protocol and connection: as many as sessions may pass one hop, with room. */
export const channelsOutMax = 1024

// ── Swarm: host ───────────────────────────────────────────────────────────────────────────────────

/** Connections that libp2p holds before it prunes: a full mesh of 32 peers twice over, for duplicates in passing. */
export const connectionsMax = 64
/** Connections with one peer: one, duplicates in passing, and one that the other end has not yet seen the end of. */
export const connectionsPerPeerMax = 4
/**
 * Time of an inbound handshake: it takes 4 round trips and some ms of either processor. Whoever is slower tries again; whoever
 * opens connections and says nothing holds each of them for no longer.
 */
export const handshakeMs = 2_000
/**
 * Handshakes at once, and of one address. Peers that share an address (a host, a NAT) start at once: a full mesh of 32 on one host
 * has 31 with one of them, twice where both ends dial. At 12 kB each all of them are 3 MB.
 */
export const handshakesMax = 256
export const handshakesPerAddressMax = 64
/**
 * Connections that one address may begin, at once and per second; others are not counted with it. At this rate the places of one
 * address last each connection 125 ms, and a handshake takes some 15, so members that share the address still get in; above it they
 * are refused as often as whoever hurries. With 128 a second two of three were, beside a stranger's 750.
 */
export const inboundBurstMax = 1_024
export const inboundPerSecondMax = 512
/** Addresses whose bursts are remembered. One without a handshake that is forgotten has a full burst again. */
export const doorwayAddressesMax = 1_024
/** Addresses of one peer that an attempt has time for when all of them are silent. */
export const silentAddressesMax = 5
/** Of these, addresses that nobody signed, where there are signed ones. */
export const silentUnsignedMax = 2
/** One dial with its handshake. A LAN answers in ms; silent addresses must not hold up the next attempt. */
export const dialTimeoutMs = 3_000
/** Time after which the less preferred of two connections to one peer is closed: both ends see both by then. */
export const duplicateGraceMs = 1_000
/** Kademlia's k. With 8, lookups missed while tables had not converged; with 20 none did. */
export const dhtBucketSize = 20
export const dhtAlpha = 3
export const dhtDisjointPaths = 2
/**
 * How often the table is refreshed around this peer's own id. Whoever connects enters it at once, so this is for
 * swarms beyond a full mesh; 5 s cost a third of all idle bytes among 8 peers (10.2 instead of 6.8 kB/s and peer).
 */
export const dhtQuerySelfMs = 30_000
/** A peer that vanished costs a query one dial: kad-dht's default of 5 s is far above a LAN's needs. */
export const dhtDialMinMs = 800
export const dhtDialMaxMs = 1_500
/**
 * Lifetime of provider records; every peer of a swarm must use the same. Who departed is known by its record, so a
 * short life would only cost bytes: every repetition is a query per shard.
 */
export const providerTtlMs = 3_600_000
/** Remaining lifetime at which this peer provides its shards again. */
export const providerRepublishMs = 1_800_000
/**
 * Provider records that this peer keeps for others: of one peer (every shard of two models of the largest kind), of one
 * shard (a query is content with 20), and of all. An entry takes some 0.4 kB.
 */
export const providersPerPeerMax = 2_100
export const providersPerShardMax = 32
export const providersMax = 8_192
/** How often providers are swept; reads do not filter, so it adds to their lifetime. */
export const providerSweepMs = 60_000
/**
 * What libp2p's peer store keeps: peers, addresses that a peer certified, and others of it. Any member may name any peer in the DHT.
 */
export const storedPeersMax = 1_024
export const storedCertifiedMax = 16
export const storedHearsayMax = 4
/** Addresses of peers are kept this long across restarts (libp2p's default of an hour forgets a parked drone). */
export const rememberedMs = 30 * 24 * 3_600_000

// ── Stage ─────────────────────────────────────────────────────────────────────────────────────────

/** Hops of a route at most; each adds a fixed price, and 64 peers are more than one token should pass. */
export const hopsMax = 64
/**
 * Ways to one stage, by as many hops, that a search for a route keeps because they differ in who may not come again: peers
 * that move serve two stages for a while, a few at a time. A way that is not kept costs a route only if all kept ones fail.
 */
export const routeVariantsMax = 8
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
/** Characters of the sentence in a Refuse; it is shown to a person, never parsed. */
export const refuseMessageCharsMax = 300

/** A stand-in that is fed counts as ready when no more than this is missing: one step of it takes some ms. */
export const feedLagTokens = 4
/** Time that a leaving peer keeps a cache without upstream: its session has moved on, or tries it once more at once. */
export const orphanLeavingMs = 1_000

// ── Engine: what was measured ─────────────────────────────────────────────────────────────────────

/** Measurements that a data directory keeps: models by threads. */
export const measuredMax = 32
/** The file that keeps them: some 200 bytes each. */
export const measuredBytesMax = 64 << 10
/** They are made again after a day: one that was made on a busy machine is not to stand for ever. */
export const measuredMaxAgeMs = 86_400_000

// ── Session ───────────────────────────────────────────────────────────────────────────────────────

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
/** A hop answers no more often than this. */
export const askMinMs = 20
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
/** Time that a session waits for room at one stage or another; others' answers take seconds. */
export const roomWaitMs = 60_000
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
/** Tokens of an answer when the caller names no limit. */
export const answerTokensDefault = 256

// ── Keep ──────────────────────────────────────────────────────────────────────────────────────────

/** Other peers that keep a session: both must go, with the driver, before it is lost. */
export const keepersMax = 2
/** Tokens are sealed and sent this long after the last ones, or when so many are new. Two short frames a time. */
export const keepFlushMs = 250
export const keepFlushTokens = 64
/** Tokens of one sealed part (1 KiB): only the last part is ever sealed again, whatever the answer's length. */
export const keepPartTokens = 256
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
/** How long a session is kept after its last token when nobody says otherwise, at most, and at least. */
export const keepTtlDefaultMs = 3_600_000
export const keepTtlMaxMs = 24 * 3_600_000
export const keepTtlMinMs = 1_000
/** Versions above this would leave no room to go on above them; clocks reach it in a quarter of a million years. */
export const keepVersionMax = 2 ** 53 - 2 ** 32
/** Characters of a session's name. */
export const keepNameCharsMax = 128
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

// ── Route: cost ───────────────────────────────────────────────────────────────────────────────────

/** Round trip of a link nobody has measured: a quiet Wi-Fi LAN (wired is below 1 ms, mesh radios 5-30 ms per hop). */
export const linkRttDefaultMs = 4
/** Rate of a link nobody has measured, in bytes per ms: 20 Mbit/s, the middle of what mesh radios give. */
export const linkBytesPerMsDefault = 2_500
/** What one token's step carries when the model does not say: 4,096 wide in float16, and a header. */
export const stepBytesDefault = 8_256
/**
 * What two peers must win in predicted time over one that can answer alone, as a share: one peer needs no network, loses
 * less often, and predictions are no better than that. Each further hop must win a fifth of the one before it.
 */
export const hopMarginRatio = 0.04
/** All hops together: whatever they save, a route is never predicted to be slower than the fastest by more than this. */
export const hopsMarginRatio = 0.05
/**
 * How much slower than the fastest a plan or a route may be predicted to be so that the first battery to be flat lasts
 * longer.
 */
export const flightSlackRatio = 0.1
/** A longer flight is looked for in steps of this ratio: gauges of batteries are no better. */
export const flightStepRatio = 1.05
/** What a plan must lengthen the flight by, as a factor, before it moves serving peers. */
export const flightMoveRatio = 1.3
/** Watts of a board that waits, and what computing and the radio add (Orin Nano class: 1.5 W idle, 9 to 25 W busy). */
export const flightIdleWatts = 3
export const flightComputeWatts = 12
export const flightRadioWatts = 2

// ── Peer ──────────────────────────────────────────────────────────────────────────────────────────

/** The least memory that a peer can be told to give; what a model needs is far more, and said when it is known. */
export const minBudgetBytes = 1 << 16
/** Other models of the served one's name that a peer warns of, once each: more are somebody's flood. */
export const namesakesMax = 16
/** How often a changed load is announced: routers count their own sessions at once, and others' need no more. */
export const loadAnnounceMs = 1_000
/** What a session takes has been announced by then: a look of its peer's, and a second for the record to come. */
export const roomHeardMs = 2_000

/** How long a peer that is told to go waits for others and for sessions: loading a stage takes seconds. */
export const drainMs = 60_000
/** How often it looks whether it may. */
export const drainPollMs = 100

// ── Route: service ────────────────────────────────────────────────────────────────────────────────

/**
 * A peer looks at what records and connections have changed this long after the first of them: those of one burst count as
 * one change.
 */
export const lookMs = 5
/** After a look it waits for so many times what that took, up to the second: records may come faster than they are weighed. */
export const lookShare = 4
export const lookMaxMs = 1_000
/** A route that is waited for is looked for again this often, besides at every change: batteries and loads drift. */
export const routePollMs = 500
/**
 * A peer whose connection closed stays in the plans this long: the first reconnect takes less, and moving stages costs more.
 * With 2 s placement rested 5.4 s after the silent loss of an idle peer, of which its silence is 1.9 s.
 */
export const disconnectedGraceMs = 1_500
/** A peer that fell out of the plans this often within this time comes back only after it has stayed this long. */
export const flapsMax = 3
export const flapMemoryMs = 60_000
export const flapHoldMs = 10_000
/** A session without a way around a peer that failed it asks that peer again after this, if it is still connected. */
export const excludedGraceMs = 1_000
/** Time that an answer waits for more peers where the present budgets cannot cover the model. */
export const missingGraceMs = 2_500
/**
 * While this peer is younger than this, or has met or lost another one more lately, it does not say that the budgets of the
 * swarm cannot cover a model: more peers may be coming. Finding one another takes some 100 ms, and took over 3 s where
 * two cores were shared by thirteen busy processes.
 */
export const gatheringMs = 10_000

// ── Route: placement ──────────────────────────────────────────────────────────────────────────────

/**
 * What a plan that makes serving peers reload must win in predicted time per token. Measured speeds of one
 * machine vary by 10-15 % between runs, and Petals needs 25 % to move.
 */
export const moveMarginRatio = 0.22
/** Charge (0..1) below which a battery counts as weak: its peer is the last choice. */
export const batteryWeakRatio = 0.15
/** A peer without a stage is weak below this: one that recharges must not flap around the bound above. */
export const batteryWeakIdleRatio = 0.2
/** Peers that one search for a tiling weighs at most; more are first sorted by what they can hold. Two 24-bit sets. */
export const tilingPeersMax = 48
/** Partial tilings extended in one search, some 10-20 ms: exact to about 8 peers, a beam search above. */
export const tilingWorkMax = 300_000
/** Partial tilings kept for one border of layers, however small the swarm: every set of 9 peers. */
export const tilingBeamMax = 512
/** Ways that the search for the fastest tiling looks on from at one border; it knows which ones are promising. */
export const fastestBeamMax = 128
/** Steps of that search, some 20 ns each. */
export const fastestWorkMax = 120_000
/** Sets of peers per hop count in the search for the fewest hops: every set of 16 (at most 12,870). */
export const hopSetsMax = 13_000
/** The same for more than 16 peers, where only a sample of the sets can be looked at. */
export const hopSetsLargeMax = 400

// ── Swarm: records ────────────────────────────────────────────────────────────────────────────────

/** A signed record: a peer with two models and a few stages needs some 500 bytes. */
export const recordBytesMax = 16 << 10
export const recordAddressesMax = 16
/** Binary multiaddr of an IPv6 address and a TCP port: 20 bytes; names of hosts are longer. */
export const recordAddressBytesMax = 128
/** Protocols that a record names: each of ours in a few revisions, and those of times to come. */
export const recordProtocolsMax = 32
/** Models, and stages, in one record. */
export const recordOffersMax = 32
/** Runs of held layers per model. */
export const recordRangesMax = 64
/** Characters of a name or a processor's description. */
export const recordTextMax = 96
export const recordNeighboursMax = 256
/** How long a record counts after it arrived. A vanished peer is seen by its silence long before. */
export const recordTtlMs = 30_000
/** Nobody may claim a longer life for a record: every peer says 30 s today, and what is invented lives as long. */
export const recordTtlMaxMs = 60_000
/** The scale of announced round trips: its shortest, the ratio of its steps, and how many there are: up to a minute. */
export const rttStepLeastMs = 0.25
export const rttStepRatio = 1.25
export const rttStepsMax = 56
/**
 * A link is announced anew when it was beyond its step by this ratio at so many looks in a row. Round trips under the load of
 * an answer vary by a third, and each change is a record of some 400 bytes to everybody.
 */
export const rttHoldRatio = 1.5
export const rttHoldLooks = 2
/** How often round trips are looked at for the record; each link is measured as often (`alivePingMs`). */
export const rttLookMs = 5_000
/** Live peers known: the aim is hundreds; 1,024 records are at most 16 MiB. */
export const recordsMax = 1024
/**
 * Live peers among them that are neither connected nor named by a peer that is, and how many of these one neighbour may
 * have passed on. Identities cost nothing to invent; a swarm of a hundred peers whose members have 8 links each has some
 * 40 to 60 such.
 */
export const recordsHearsayMax = 256
export const recordsHearsayShareMax = 128
/** New ones of them that one neighbour may pass on in a second, beyond as many at once as its share. */
export const recordsHearsayPerSecondMax = 8
/**
 * Two processes with one identity that have not found out in this time which of them is the younger go by their runs: they
 * started within the time that a record takes, which is up to 5 s where both are connected with the same peers.
 */
export const twinTieMs = 5_000
/** From finding out that it yields to its stop: the other one's channels come back within a second. */
export const yieldMs = 3_000
/** An address at which the own id is said to be is looked at this often, and so many of them in that time. */
export const twinLookMs = 30_000
export const twinsMax = 16
/** After this a status does not speak of a second machine any more that was not heard again. */
export const twinForgetMs = 60_000
/** Highest seqs remembered of peers that left, so that a replayed record does not bring them back. */
export const recordMarksMax = 4096
/** A frame of /skein/records; what is known goes to a newcomer in as many as it takes. */
export const recordsFrameBytesMax = 64 << 10
/** Records per second that one neighbour may send, and in one go when it connects. A signature check takes 0.1 ms. */
export const recordsPerSecondMax = 256
export const recordsBurstMax = 2048
/** The records decider looks at the time this often. */
export const recordsTickMs = 250
/** A changed record goes to the DHT at most this often: pushes are what makes records fast. */
export const publishMs = 10_000
/** An unchanged one is put again this often, for peers that joined and holders that left. */
export const publishRefreshMs = 60_000
/** One DHT query or one attempt to open a records channel. */
export const dhtQueryMs = 5_000
/** A records channel that takes nothing for this long is ended. */
export const congestedMs = 10_000
/** How often the battery is read. */
export const batteryMs = 30_000
/** Charge (0..1) below which a peer hands over what it serves, and from which it serves again. */
export const batteryLeaveRatio = 0.07
export const batteryReturnRatio = 0.12
/** Readings in a row that it takes to believe either. */
export const batteryLeaveReadings = 2
/** Time that a stopping peer gives its goodbye. */
export const goodbyeMs = 500
/** From the first connection until the DHT has the new peer in its table. */
export const provideSettleMs = 1_500
/** Changes of the own record within this time become one. */
export const announceDebounceMs = 30
/** A byte that must be fetched counts so much more than one that is read from disk: links are slower than disks. */
export const fetchWeight = 8
/** Copies of each layer that placement aims at before idle peers simply copy stages: one loss leaves a stand-in. */
export const placementCopies = 2

// ── Swarm: liveness ───────────────────────────────────────────────────────────────────────────────

/**
 * A peer that has sent nothing to another for this long sends a beat: between peers that share a session or a
 * transfer, and between all others. Measured with 8 peers on two busy cores (`test/bench/alive.ts`), everything that
 * idle peers do included: 0.2 kB/s of TCP's payload and 0.6 ms/s of a processor per link end, 0.9 kB/s and 1.4 ms/s
 * when watched. So a full mesh of 32 idle peers costs each of them 6 kB/s and 2 % of a core.
 */
export const beatFastMs = 150
export const beatSlowMs = 1_000
/** How often silence is looked at while any link beats fast or is in doubt, and while none is. */
export const aliveTickMs = 50
export const aliveTickSlowMs = 250
/**
 * A beat that is late by this much puts its peer in doubt: it is asked, and asked again this often, so that TCP sees
 * what got lost by what came after it and need not wait for its timeout.
 */
export const aliveDoubtMs = 50
/**
 * A question that is unanswered for so much longer than its round trip makes a peer suspect: a session that needs a way
 * around somebody else goes around this one, too, where it can. It is asked for twice in that time.
 */
export const aliveSuspectMs = 100
/**
 * A peer whose next byte is late by this much is silent, on a link that has never been late by a fourth of it. On two
 * cores under eight spinning processes beats 250 ms apart came 292 ms apart at most.
 */
export const aliveLateMs = 500
/** The same before a link has shown anything: eight round trips. */
export const aliveLateFirstMs = 1_000
export const aliveSamplesMin = 8
/**
 * A link is given so many times the third longest delay it has shown, which is forgotten by half in this time. With three and
 * a minute there was one false alarm in 15 modelled hours at 5 % loss and 200 ms jitter; with these none in 60.
 */
export const aliveLateFactor = 4
export const aliveMemoryMs = 120_000
/**
 * A link is also given so many times its round trip and four deviations: that many segments in a row may be lost, or late.
 * With three, one healthy peer in an hour was given up over a link with 5 % loss and 200 ms of jitter that reorders
 * (`npm run churn:hour`); at a round trip of 20 ms five are still less than the half second that every link has.
 */
export const aliveRttFactor = 5
/**
 * Before its first round trip nothing is known of a link. Most are measured within milliseconds of the connection. Once, over
 * 200 ms of jitter and 5 % loss and at a load of 29, a healthy one was quiet for 1.9 s; but with 3 s here a tenth of all silent
 * losses in `npm run churn` cost 3.3 s, so this is what a silent loss may cost.
 */
export const aliveUnmeasuredMs = 1_500
/** No link is given longer, whatever it has shown. */
export const silenceMaxMs = 10_000
/** Until the first frame of a peer: it may still be starting. */
export const aliveOpeningMs = 4_000
/** How often a round trip is measured where nothing is in doubt: on watched links, and on all others. */
export const alivePingFastMs = 1_000
export const alivePingMs = 5_000
/** One dial to a peer that fell silent and has not been heard since, when something is to be opened to it. */
export const silentDialMs = 500
/** Peers that are asked as well when one is in doubt, to tell its silence from the own isolation. */
export const aliveWitnessesMax = 3
/** An alive frame: three numbers. */
export const aliveFrameBytesMax = 64

// ── Swarm: discovery ──────────────────────────────────────────────────────────────────────────────

/** Peers that the dialer keeps addresses of, and addresses per peer and way. */
export const candidatesMax = 512
export const candidateAddressesMax = 16
/** The same of what the peer itself did not sign: a host seldom has more than a few links. */
export const unsignedAddressesMax = 8
/** Peers of which there is only hearsay: how many, dials to them at once, and attempts until they are forgotten. */
export const hearsayCandidatesMax = 64
export const hearsayDialsMax = 2
export const hearsayFailuresMax = 3
/** Dials at once, over all peers. */
export const dialsMax = 8
/** Peers beyond this many are not dialled any more: a full mesh of 32 costs each end some 6 MB. */
export const meshMax = 31
/** The larger of two ids waits this long before it dials, so that seldom both dial at once. */
export const dialTieBreakMs = 300
/** First and longest wait between attempts to dial one peer; it doubles in between. */
export const redialMinMs = 500
export const redialMaxMs = 30_000
/** How often the folder of neighbours on this machine is read; changes are usually told at once. */
export const neighboursPollMs = 1_000
/** How often a peer says in that folder that it is alive, and how old its file may be. */
export const neighboursRefreshMs = 10_000
export const neighboursStaleMs = 35_000
export const neighbourFileBytesMax = 4096
export const neighbourFilesMax = 256
/** Names that are looked at in the folder: anybody may put files there. */
export const neighbourNamesMax = 4_096
/** How long a listing of this machine's interfaces counts: it takes 0.1 ms, and addresses are asked for often. */
export const interfacesFreshMs = 500
/** Links on which an IPv6 link-local address that names none is tried. */
export const linkLocalZonesMax = 4
/** How often mDNS asks again: it matters for lost packets only, a newcomer asks at once. */
export const mdnsIntervalMs = 10_000
/** A link is answered at most this often, any number of questions at once (RFC 6762 would have a second). */
export const mdnsAnswerMs = 250
/** A packet: what RFC 6762 allows. An answer with 16 addresses has 3 kB. */
export const mdnsPacketBytesMax = 9_000
/**
 * Packets of this swarm's service that are read, at once and per second: of one address, where a host of 32 peers sends some 100 a
 * second at most, and of all. Reading one takes some 50 µs.
 */
export const mdnsSourceBurstMax = 256
export const mdnsSourcePerSecondMax = 128
export const mdnsBurstMax = 1_024
export const mdnsPerSecondMax = 512
/** Addresses whose packets are counted. */
export const mdnsSourcesMax = 256
/** A vouched answer that differs from the last one of that peer counts at most this often: it may be an old one, repeated. */
export const mdnsNewsMs = 1_000
/** How long an answer that nobody vouched for waits for a better one, and how long it is then the last of that peer. */
export const mdnsDoubtMs = 2_000
export const mdnsRumourMs = 30_000
/** Peers of whom there are such answers. */
export const mdnsRumoursMax = 32
/** Interfaces on each of which there is a socket per family: Linux lets a socket join 20 groups. */
export const mdnsLinksMax = 16
/** How often mDNS looks for interfaces that came or went, and tries those again that failed. */
export const mdnsLookMs = 1_000

// ── Swarm: files ──────────────────────────────────────────────────────────────────────────────────

/** Peers of which libp2p's peer store keeps an entry: as many as can be known. One has addresses, protocols and a key: 1 kB. */
export const peerEntriesMax = recordsMax
export const peerEntryBytesMax = 16 << 10
/** The file of peers that were met: each takes 1 kB there, and the newest are worth most. */
export const peersFileBytesMax = 2 << 20
/** A new peer is in that file within this; what else changes, at every stream, within the second, since flash wears. */
export const peersSaveNewMs = 2_000
export const peersSaveMs = 60_000

/** `/proc/self/mountinfo` has a line of some 150 bytes per mount; container hosts have thousands. */
export const memoryLimitFileBytesMax = 4 << 20
/** A file of the data directory that holds one thing: a key, a format, a number. */
export const ownFileBytesMax = 4096
/** A swarm file has three short fields. */
export const swarmFileBytesMax = 4096

// ── Route: what stages have shown ───────────────────────────────────────────────────────────────────

/** A stage is asked for a probe step within this after its record: not by everybody at the same moment. */
export const probeJitterMs = 1_000
/**
 * A probe step fails after this, and so many steps at the speed that its peer announces for each session and step that wait
 * there; after the last at the latest, whatever it announces.
 */
export const probeMs = 3_000
export const probeStepsMax = 4
export const probeMaxMs = 15_000
/** Probes in a row that fail before a peer is in doubt: one may be lost with its connection. */
export const probeFailuresMax = 2
/** From a failed probe to the next, doubled with every failure in a row up to the second. */
export const probeRetryMs = 1_000
export const probeRetryMaxMs = 30_000
/** Probes of one peer under way: a swarm of 32 that starts is asked within seconds, and few steps are computed at once. */
export const probesAtOnceMax = 4
/** Who failed is remembered for so long after it went: it may come back at once. */
export const doubtMemoryMs = 60_000

// ── Route: planner ────────────────────────────────────────────────────────────────────────────────

/**
 * While what placement reads goes on changing, a plan that somebody can wait for is searched for this often: a search over
 * hundreds of peers takes 100 ms.
 */
export const planSearchMs = 500
/** Plans that are remembered, with the views that they follow from: what the planner sees, and what a few sessions do. */
export const searchesMax = 8
/** Quiet time of the view before a peer acts on a plan: records cross a LAN in tens of ms, peers start at once. */
export const planSettleMs = 400
/** Where the view never gets quiet, a peer acts after this all the same. */
export const planSettleMaxMs = 2_000
/** A peer that sees nobody waits this long after its start for others: discovery on one host or LAN takes below 1 s. */
export const planAloneMs = 1_500
/** Running sessions hold up the unloading of a surplus stage for this long; then they move on by replay. */
export const planDrainMs = 30_000
/** After a failed load: first wait, doubled with every failure in a row up to the second. */
export const planRetryMs = 1_000
export const planRetryMaxMs = 60_000
