/** The bounds of the front door, each with its unit in its name and its reason beside it. */

/** Bytes of a request: the longest prompt that a peer takes, in characters of one or two bytes, and as much again for JSON. */
export const requestBytesMax = 16 << 20
/** Of all requests that are being read at a time: some of the longest, or thousands of usual ones. */
export const bodiesBytesMax = 64 << 20
/** Who was refused for that asks again after this: by then one of them has been read. */
export const bodiesRetryMs = 1_000
/** Objects and arrays of a request that stand in one another: schemas of tools have some ten. Whatever walks through it calls itself. */
export const jsonDepthMax = 64
/** Objects, arrays and strings of a request: 13,000 messages. Checking so many takes a fifth of a second, in which nothing else runs. */
export const jsonThingsMax = 65_536
/** Connections at a time; each holds a socket and a request. */
export const connectionsMax = 512
/** Of one remote address: a proxy in front may need many, and no address has all. Programs of this machine may have all together. */
export const perAddressMax = 256
/** Of these, those without a request under way: a proxy's pool. Who has no key never has more, since a request without one ends at once. */
export const silentPerAddressMax = 64
/** That the runtime takes before it closes more unseen: those that have just given way are among them. */
export const acceptedMax = 2 * connectionsMax
/** Requests of one connection that are sent before the first has its answer. Few clients send two. */
export const pipelinedMax = 64
/** A client that has connected has sent its headers by then, and by the second its whole request: slow radio included. */
export const headersMs = 20_000
export const requestMs = 120_000
/** Pooled clients keep a connection for a minute: one that the server closes first loses them a request. */
export const keepAliveMs = 75_000
/**
 * A stream's status is sent with its first token or after this, whichever is sooner: what is found wrong by then has its own status,
 * and no client waits longer than this for a sign of life.
 */
export const statusMs = 2_000
/** Tokens of a prompt that a stage knows from an earlier one come in blocks of so many: of shorter prompts it knows none. */
export const knownBlockTokens = 128
/** After the last token of a longer one, what its hops knew is waited for so long: it takes their round trips. */
export const knownWaitMs = 150
/** A stream says that it lives this often while no token comes: proxies and clients give up after some tens of seconds. */
export const pingMs = 5_000
/** How long a reader may leave its socket full before its answer is cancelled: caches are held meanwhile. */
export const stallMs = 60_000
/** From telling those who are being answered that the peer stops, to closing their sockets. */
export const lingerMs = 1_000

/** Answers of one request, `n` of each prompt together: OpenAI's own bound of `n`. */
export const choicesMax = 128
/** Of them, those that run at a time: others of the same client have their turns between. */
export const choicesAtOnce = 4
/** Prompts of one request: evaluations send some hundred. */
export const promptsMax = 1_024
/** Strings that end an answer, and the characters of one: each token is compared with all. */
export const stopsMax = 64
export const stopCharsMax = 1_024
/** Tokens of a chat's answer where its request names no limit, if the context leaves as many: caches are reserved for all. */
export const chatTokensUsual = 2_048
/** The same of a completion, as OpenAI has it. */
export const completionTokensUsual = 16
/** Characters of a tool call that is being written: more is no call. */
export const callCharsMax = 1 << 20
/** Of the likeliest tokens, those that are told of with each token: the peer's own bound. */
export const scoresMax = 20
/** Characters of a token that begins or ends texts, as it is spelt: of those that models have, none has half as many. */
export const markCharsMax = 64
/** Functions that a request may offer. */
export const toolsMax = 128
/** Characters of a wrong value that a message repeats. */
export const shownCharsMax = 60
/** Characters of a client's own request id. */
export const requestIdCharsMax = 128
/** A file of keys: thousands of them. */
export const keyFileBytesMax = 1 << 20
/** Characters of a key: guessing fewer takes no time. */
export const keyCharsMin = 16
/** After this a client may ask again where nobody knows better. */
export const retryAfterMs = 5_000
/** Names of models that the error about an unknown one lists. */
export const unknownModelsShown = 20

// ── The window ─────────────────────────────────────────────────────────────────────────────────────

/** How often the window is told of answers, in ms. */
export const windowTickMs = 100
/** How often the swarm is looked at for it: with 50 peers that takes some ms. */
export const windowSwarmMs = 1_000
/** Pages of one peer that may be open. */
export const windowPagesMax = 16
/** News that wait for a page; what comes after them is only counted. */
export const windowNewsMax = 64
/** A page to which nothing was said for this long is written a comment. */
export const windowSilentMs = 10_000
/** A page that takes nothing for this long is given up. */
export const windowStalledMs = 30_000
/** Messages of a conversation in the window, and tokens of one answer. */
export const windowMessagesMax = 512
export const windowTokensMax = 1 << 20

// ── What is told of requests ───────────────────────────────────────────────────────────────────────

/** From a request's end to its being told: what its hops did has come by then. */
export const requestToldMs = 250
/** Models whose types of weights are remembered for that. */
export const knownWeightsMax = 64
/** How often spans are sent, how many in one piece, and how long that may take. */
export const spansSendMs = 2_000
export const spansAtOnceMax = 512
export const spansPostMs = 5_000
/** Spans that wait for a collector; what comes after them is dropped. */
export const spansWaitingMax = 8_192
/** Laps of an answer whose spans are sent: each has some ten for each hop. */
export const spanLapsMax = 32
/** A door that closes waits so long for the last of them. */
export const spansLastMs = 1_000
/** Calls that an answer has at most where it must have one: small models go on with calls once they have begun. */
export const callsForcedMax = 8
