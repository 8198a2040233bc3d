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

// ── Model ─────────────────────────────────────────────────────────────────────────────────────────

/** A manifest file. The largest that the schema allows (1,026 shards, a 64 KiB template) stays below 400 kB. */
export const manifestBytesMax = 1 << 20
/** A `tokenizer.json`. Those of today's 256,000-piece vocabularies are near 35 MB. */
export const tokenizerBytesMax = 64 << 20
/** `config.json` and its siblings: a few kB; a safetensors index names every tensor, some 100 bytes each. */
export const importJsonBytesMax = 16 << 20
/** A safetensors header: the format's own bound (safetensors, `MAX_HEADER_SIZE`). */
export const safetensorsHeaderBytesMax = 100_000_000
/** Weights that an import holds at once as float32, whatever the model's size; a tile of as much goes out. */
export const importChunkBytes = 16 << 20
/** Read buffer of a verification: larger ones are not faster (SHA-256 takes 1-2 ms per MiB). */
export const verifyChunkBytes = 1 << 20

// ── Swarm: channels ───────────────────────────────────────────────────────────────────────────────

/** Memory that the length prefix of a frame alone can reserve; longer frames grow by doubling as they arrive. */
export const frameReserveBytes = 1 << 20
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
/** Inbound connections per second and in the making: libp2p's default of 5 refuses a dozen peers that start at once. */
export const inboundPerSecondMax = 100
/** One dial with its handshake. A LAN answers in ms; silent addresses must not hold up the next attempt. */
export const dialTimeoutMs = 3_000
/** Time after which the less preferred of two connections to one peer is closed: both ends see both by then. */
export const duplicateGraceMs = 1_000
/** Kademlia's k. With 8, lookups missed while tables had not converged; with 20 none did. */
export const dhtBucketSize = 20
export const dhtAlpha = 3
export const dhtDisjointPaths = 2
/** How often the table is refreshed around this peer's own id. */
export const dhtQuerySelfMs = 5_000
/** A peer that vanished costs a query one dial: kad-dht's default of 5 s is far above a LAN's needs. */
export const dhtDialMinMs = 800
export const dhtDialMaxMs = 1_500
/** A departed peer's provider records disappear after this. Every peer of a swarm must use the same. */
export const providerTtlMs = 120_000
/** How often providers are swept; reads do not filter, so it adds to the time above. */
export const providerSweepMs = 10_000
/** Remaining lifetime at which this peer provides its shards again. */
export const providerRepublishMs = 60_000
/** Addresses of peers are kept this long across restarts (libp2p's default of an hour forgets a parked drone). */
export const rememberedMs = 30 * 24 * 3_600_000

// ── Stage ─────────────────────────────────────────────────────────────────────────────────────────

/** Hops of a route at most; each adds a fixed price, and 64 peers are more than one token should pass. */
export const hopsMax = 64
/** One step of 128 tokens at hidden 16,384 in float32 is 8 MiB; the rest is headroom for an Open or a Refuse. */
export const stageFrameBytesMax = (8 << 20) + 4096
/** Streams that one peer may hold open at our stages: two per session where it is both upstream and driver. */
export const stageStreamsPerPeerMax = 256
/** Sessions at the stages of one peer; caches run out long before, this bounds the book-keeping. */
export const stageSessionsMax = 512
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

// ── Session ───────────────────────────────────────────────────────────────────────────────────────

/** Time without an Ack or a Token after which a route counts as stuck. A constant until it adapts to the hops. */
export const stepTimeoutMs = 30_000
/** Time that an answer waits for a route after a loss; then it fails and keeps its text. */
export const routeWaitMs = 30_000
/** Pause between two questions for a route while there is none. */
export const routeRetryMs = 200
/** Re-routings in a row without a single new token: above this something else is wrong than lost peers. */
export const recoveriesMax = 16
/** A peer that failed a session is left out of its routes this long; then it may have come back. */
export const excludeMs = 30_000
/** Tokens of an answer when the caller names no limit. */
export const answerTokensDefault = 256
