/** The bounds of an engine: each has its unit in its name and its reason beside it. */

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

// ── What was measured ──────────────────────────────────────────────────────────────────────────────

/** Measurements that a data directory keeps: models by threads. */
export const measuredMax = 32
/** The file that keeps them: some 200 bytes each. */
export const measuredBytesMax = 64 << 10
/** They are made again after a day: one that was made on a busy machine is not to stand for ever. */
export const measuredMaxAgeMs = 86_400_000
