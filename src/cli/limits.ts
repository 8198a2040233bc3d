/**
 * The bounds of this room. They are here and not in `../limits.ts` because the command line knows nothing
 * of the house but its public surface.
 */

/** Tensors of one run, in Base64 on one line: the largest that the protocol takes have 64 MiB. Vectors of 1,024 texts, of 4,096 numbers. */
export const controlTensorsBytesMax = 96 << 20
/** A file of an input, or stdin: numbers as text take three times their bytes. */
export const inferFileBytesMax = 256 << 20
/** Longest request line on a control socket: a prompt of a million characters is beyond any context that we run. */
export const controlRequestBytesMax = 1 << 20
/** Longest response line: the status of hundreds of peers, or an answer with all of its ids. */
export const controlResponseBytesMax = 1 << 24
/** Commands that talk to one peer at the same time; each is one local process. */
export const controlConnectionsMax = 64
/** A client writes its request at once; one that has not is no `skein`. */
export const controlRequestMs = 10_000
/** How long a reader may leave its socket full before its answer is cancelled: caches are held meanwhile. */
export const controlDrainMs = 60_000
/** A status is made from memory; a peer that takes longer than this hangs. */
export const controlStatusMs = 15_000
/** Characters of a wrong flag that a message repeats: it may be a whole prompt. */
export const misuseCharsMax = 60
/** Removing a model's files: a slow card takes seconds for a thousand large ones. */
export const controlRemoveMs = 60_000
/** How often a peer says that it works on what it was asked: a long prompt takes a small machine many minutes until the first token. */
export const controlPulseMs = 60_000
/** Longest silence of a peer that was asked something: of one that does not even say that it works. */
export const controlSilenceMs = 5 * controlPulseMs
/** Bytes of a Unix socket's path that Linux takes (sun_path is 108 with its final zero). */
export const socketPathBytesMax = 107
/** How long a session may be kept: the peer's own bounds, said at the door. */
export const sessionTtlMinMs = 1_000
export const sessionTtlMaxMs = 24 * 3_600_000
/** The longest that an answer may be told to wait for a route: the session's own bound, said at the door. */
export const waitMaxMs = 24 * 3_600_000
/** Lines that the arrow keys bring back in a conversation: more than anybody goes through. */
export const chatLinesMax = 1000
/** How often a running peer is looked at for what has no event: stages that load, ways of discovery. */
export const watchMs = 250
/** What Ctrl-C or SIGTERM leaves for handing over: whoever stops a service counts to ten before it kills. */
export const stopDrainMs = 5_000
/** How long a peer may take to say goodbye before the process ends without. */
export const stopMs = 10_000
/** What keeps a process alive after its command has ended is not worth more than this. */
export const lingerMs = 1_000
/** Peers in one demo: each is a process with its own engine, and more than this stops being a demo. */
export const demoPeersMax = 16
/** From the first process to the last layer covered. Loading takes a second or two; slow boards take longer. */
export const demoReadyMs = 120_000
/** The token of the story after which `demo --kill` kills a peer: well into it, and most of it still to come. */
export const demoKillToken = 40
/** How often the demo asks whether everything is covered. */
export const demoPollMs = 200
/** A file of flags: a dozen of them, or a long list of addresses. */
export const configBytesMax = 1 << 16
/** Having a peer serve a model, until it has measured itself with it; or drop one, until its sessions have let go. */
export const controlServeMs = 60_000
/** How much of a failed process's last words the demo keeps to show. */
export const demoComplaintBytesMax = 4096
/** `up` gives up a model that neither it nor any peer has after this, unless told to wait: names are mistyped. */
export const modelSeekMs = 20_000
/**
 * The same where a peer that has just started may still offer it: those that were there when the time above was over have said by
 * then what they offer (`startingMaxMs` in `serving/limits.ts`), and of those that come after them one may always be next.
 */
export const modelSeekMaxMs = 140_000
/** How often `up` looks whether that is so. */
export const modelLookMs = 500
/** Pieces of a download over whose pace the time to go is reckoned: some seconds of a slow line, and none that jumps. */
export const barStepsMax = 200
/** Between two lines that tell a log how far a fetch is: an hour of it has 240. */
export const plainProgressMs = 15_000
/** How long the doctor waits for the running peer: it answers from memory, and one that does not is what the doctor is asked about. */
export const doctorAskMs = 3_000
/** How often `status --watch` asks and draws: a person reads no faster, and an idle peer makes a status in a millisecond. */
export const statusLookMs = 500
/** Letters of an item about members in base64: a statement of 128 KiB. */
export const controlItemCharsMax = 256 * 1_024
/** An invitation: a line of some 2,000 letters. */
export const invitationBytesMax = 64 * 1_024
/** A certificate lives for a second at least: tests. */
export const grantLifeMinMs = 1_000
/** And for ten years at most, as `trust/limits.ts` has it. */
export const grantLifeMaxMs = 10 * 366 * 24 * 3_600_000

/** Lines of an audit log that are shown at a time. */
export const auditLinesMax = 10_000

export const hourMs = 3_600_000
/** Hours of one report are those of a month. */
export const reportSinceMaxMs = 31 * 24 * hourMs
/** A budget is for some years at most: by then a log has nothing of its beginning. */
export const reportPeriodMaxMs = 3660 * 24 * hourMs
