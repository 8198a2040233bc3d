/** The bounds of the audit log and of reports on it: each has its unit in its name and its reason beside it. */

/** Lines after which one is signed: of what somebody cuts off at the end, no more can have been without a signature. */
export const auditSignLines = 64
/** How long a line stands without a signature after it: a signature takes 30 µs, and a minute of requests can be told by people. */
export const auditSignMs = 60_000
/** How often a log in which nothing happens is signed: one that ends longer ago, of a peer that runs, has lost its end. */
export const auditBeatMs = 3_600_000
/** Lines that wait for the disk: some 1 MB. What comes beyond is counted, and the log says how many are missing. */
export const auditWaitingMax = 1024
/** How soon what waits is written: answers that end together share a write, and a crash costs no more than this. */
export const auditFlushMs = 100
/** How often it is looked whether a signature is due, and what a disk would not take is tried again. */
export const auditLookMs = 10_000
/** Bytes after which a file is closed: some 4,000 requests, which an editor opens and a start reads in a few ms. */
export const auditFileBytesMax = 4 << 20
/** Files that are kept: 64 MiB, or some 60,000 requests. The oldest one is dropped for a new one, and the log says so. */
export const auditFilesMax = 16
/** Bytes of one line: a route of 64 hops and its changes. */
export const auditLineBytesMax = 64 << 10
/** Changes of the route of one request: an answer that loses more peers than these says how many more. */
export const auditChangesMax = 8
/** Hops of a route that are told: models have up to some hundred layers. */
export const auditHopsMax = 64
/** Characters of who asked, and of what a request is called. */
export const auditNameCharsMax = 128
/** Bytes of the file that says where a log ends. */
export const auditHeadBytesMax = 4096
/** Bytes of a file that is no longer looked at: no file of ours is larger than its bound and a batch of lines. */
export const auditReadFileBytesMax = 16 << 20
/** How often a tail that follows looks for more. */
export const auditFollowMs = 250

// ── Reports ────────────────────────────────────────────────────────────────────────────────────────

/** Tokens that one request counts at most where figures have noise: an answer has 256 unless somebody says otherwise, and noise grows with this. */
export const reportTokensMax = 512
/** The least ε: below it noise is thousands of requests. And the most: above it there is hardly any. */
export const reportEpsilonMin = 0.01
export const reportEpsilonMax = 10
/** What reports of a log may spend in a period, and how long that is: one of ε = 1 a week. */
export const reportBudgetDefault = 4
export const reportPeriodMs = 28 * 24 * 3_600_000
/** Hours of one report: a month and the hour that is not over, each with two figures. */
export const reportHoursMax = 31 * 24 + 1
/** From now back, where nobody says since when. */
export const reportSinceMs = 24 * 3_600_000
/** Models that are told of by name. */
export const reportModelsMax = 64
/** Bytes of what was spent: 50 a report, and ten a day for some years. */
export const reportBudgetBytesMax = 1 << 20
