/** The bounds of a whole peer: each has its unit in its name and its reason beside it. */

/** The least memory that a peer can be told to give; what a model needs is far more, and said when it is known. */
export const minBudgetBytes = 1 << 16
/** Other models of the served one's name that a peer warns of, once each: more are somebody's flood. */
export const namesakesMax = 16
/** How often a changed load is announced: routers count their own sessions at once, and others' need no more. */
export const loadAnnounceMs = 1_000

/** How long a peer that is told to go waits for others and for sessions: loading a stage takes seconds. */
export const drainMs = 60_000
/** How often it looks whether it may. */
export const drainPollMs = 100

/** Bytes of a person's key in PEM: one of P-521 has 400, with what openssl writes around it. */
export const pemBytesMax = 65_536
/** What is read at once of a file that is signed as it lies: a disk gives its most from a megabyte on. */
export const folderReadBytes = 1 << 22

// ── Keep ───────────────────────────────────────────────────────────────────────────────────────────

/** How long a session is kept after its last token when nobody says otherwise, at most, and at least. */
export const keepTtlDefaultMs = 3_600_000
export const keepTtlMinMs = 1_000
/** Characters of a session's name. */
export const keepNameCharsMax = 128
/** How often what is needed is noted as used: so much of the order of uses is lost when a process is killed. */
export const diskLookMs = 600_000
/** From the start until more than the budget allows gives way: by then the records of those who are there have come. */
export const diskTrimMs = 30_000
/** A status shows a disk that was looked at no longer ago than this, or has it looked at: some ms for a thousand files. */
export const diskStatusMs = 5_000
/** The least disk budget: a model of a few layers. */
export const minDiskBytes = 1_000_000
/** Models of which a peer remembers whether its draft model has their tokens; it drives sessions of few. */
export const draftModelsMax = 64

/** Texts that are embedded at a time: at some ms each they take seconds. */
export const embedTextsMax = 1024
/** Requests whose traces a peer keeps: those that somebody may still ask about. */
export const loggedRequestsMax = 32
/** Laps of one of them: some 2 kB each over three hops, so that all take 8 MB at most. */
export const loggedLapsMax = 128
/** Routes, losses and pauses of one of them. */
export const loggedHappeningsMax = 64
/** Characters of what is said of one: why an answer waits names layers and peers. */
export const happeningCharsMax = 512
/** What a request may be called. */
export const requestNameCharsMax = 128

/** What is known of the work of 4,096 peers takes some 1.5 MB with the longest sentences, and 0.7 MB without. */
export const knownWorkBytesMax = 8 << 20
/** So long after it has changed it is written; at once where somebody was found out. */
export const knownWorkWriteMs = 60_000
/** How often a peer looks whether the signers of what it serves are still believed: some 100 µs for each model. */
export const signersLookMs = 2_000

/** How often meters of energy are read: at 1,000 W they go round in 4 minutes. */
export const meterReadMs = 30_000
/** Bytes of one of their files, and meters of one machine: one for each processor, and one of the whole. */
export const meterBytesMax = 256
export const metersMax = 64
/** Files beside a peer's data that are looked at for keys that do not belong there: a folder of a user may have many others. */
export const authorityFilesMax = 64
/** A certificate that ends within this is told of at the start: time to renew it before a flight. */
export const certificateEndsSoonMs = 60 * 60_000
/** What `skein attest show` waits for: three commands of a TPM, each of which may take seconds where others ask it, too. */
export const attestationShowMs = 60_000
