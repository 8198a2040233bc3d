/** What bounds membership: each number with its reason. */

/** Letters of a role, power or label: `zone=` and a name of one's own. */
export const labelTextMax = 64
/** Labels of one peer: a zone, a role in the mission, a vehicle and some of an operator's own. */
export const labelsMax = 16
/** Grants in a certificate: authority → deputy → invitation → peer. */
export const grantsMax = 3
/** Bytes of a grant: two keys, a swarm, a serial and sixteen labels of 64 letters leave it below this. */
export const grantBytesMax = 2_048
/** Letters of the reason of a revocation: a sentence. */
export const reasonTextMax = 200
/** Revocations in one statement: whoever loses more at once makes several statements. */
export const revocationsMax = 64
/** Members to which one epoch's secret is sealed: as many as a swarm has records of. */
export const sealedMax = 1_024
/** Bytes of a statement: sixteen kB of revocations, and a sealed secret of 86 bytes for each of 1,024 members. */
export const statementBytesMax = 128 * 1_024
/** Certificates that are known at once: as many as there may be records, four times over for those that have been renewed. */
export const certificatesMax = 4_096
/** Statements that are known at once: a revocation a day for ten years. Nothing ever makes one go. */
export const statementsMax = 4_096
/** Statements of one deputy, and their bytes: what a stolen key can fill leaves room for all others. */
export const deputyStatementsMax = 256
export const deputyStatementBytesMax = 2 * 1_024 * 1_024
/** Certificates that one deputy has given, itself and by its invitations: a quarter of all, so that a stolen key keeps out nobody else's. */
export const deputyCertificatesMax = 1_024
/** Bytes of all statements: 256 of the largest. */
export const statementsBytesMax = 32 * 1_024 * 1_024
/** Bytes of items in one frame: what a radio of 1 Mbit/s carries within the 3 s of an admission. */
export const frameItemBytesMax = 256 * 1_024
/** Within this long after a Noise handshake both ends are admitted, or the connection ends. */
export const admissionMs = 3_000
/**
 * How long what a secret before the newest one opens stays open: a connection that was made just before, and members who hear of the new
 * epoch through others. Who comes later takes the door.
 */
export const epochGraceMs = 10_000
/** How far clocks of members may be apart without anything following from it: those of machines without a clock chip drift by minutes. */
export const clockToleranceMs = 10 * 60_000
/** How long an item is kept after its certificate has ended: for one whose clock is behind by as much. */
export const expiredKeepMs = 24 * 60 * 60_000
/** The longest life of a grant: ten years. What flies gets hours. */
export const grantLifeMaxMs = 10 * 366 * 24 * 60 * 60_000
/** Secrets in one frame: those of one epoch, which as many halves of a split swarm may have begun. */
export const secretsMax = 8
/** Signers of one model: an operator, whoever made it, and those who approved it. Their signatures are 4 kB, read whole. */
export const modelSignersMax = 32
/** Bytes of an OpenSSF bundle: 200 for each file of a model, of which there may be tens of thousands, twice over for base64. */
export const bundleBytesMax = 16 * 1_024 * 1_024
/** Files that one bundle is of: more than any model has, and what a folder that is no model's soon has. */
export const bundleFilesMax = 32_768
/** How long what the clock of somebody shows counts who is not connected: dials of one that is refused come more often. */
export const clockHeardMs = 60_000
/** Clocks that are known at once: those of all neighbours, twice. */
export const clocksHeardMax = 64
/** Registers in a bank of a TPM, 0 to 23 (PC Client Platform TPM Profile, 4.6.2). */
export const registersMax = 24
/** Sets of registers that a policy takes: one for each kind of machine and of firmware in a swarm. */
export const registerSetsMax = 64
/** Bytes of the public area of a key, and of a quote: those of P-256 with SHA-256 have 88, and 145 or a few more. */
export const tpmStructureBytesMax = 512
/** Bytes of a signature: two numbers of 32 bytes in DER take 72 at most. */
export const tpmSignatureBytesMax = 80
/** Bytes of a frame about evidence: 64 bindings, 24 registers and a quote have less than 4 kB. */
export const attestFrameBytesMax = 8 * 1_024
/** Kinds of evidence that a challenge names. */
export const evidenceKindsMax = 8
/** Letters of the name of a kind, and of a sentence that says why there is none. */
export const evidenceTextMax = 200
/**
 * How long evidence counts. What happens to a machine after it gave some is found out when the next is due: ten minutes are what a machine takes to be opened
 * and begun anew, and cost a TPM that is asked by 40 peers some twenty quotes, since one answers all who wait.
 */
export const attestedMs = 10 * 60_000
/** When a peer whose evidence counts is asked again: it has as long as that again to answer, on bad links and after a restart of its TPM. */
export const attestAgainMs = 5 * 60_000
/** When a peer is asked again that gave no evidence, or the wrong one: whoever mends it waits for that. */
export const attestRetryMs = 10_000
/**
 * How long one challenge takes at most. A TPM takes up to half a second for each of two commands, their programs as long on a slow processor, and what was
 * asked before is answered first.
 */
export const attestMs = 15_000
/** Between two quotes: whatever is asked, a TPM has half of its time for others, such as the one that opens a disk. */
export const quoteEveryMs = 1_000
/** Challenges of one peer that are answered: one in so long, and so many at once, as when two peers dial one another at the same moment. */
export const challengeEveryMs = 5_000
export const challengeBurst = 4
/** The same as a budget of each peer (rule E9). */
export const challengeBudget = { perSecond: 1000 / challengeEveryMs, burst: challengeBurst }
/** Challenges that wait for one quote: more than a peer has neighbours and contacts. */
export const challengesWaitingMax = 64
/** Channels for evidence that one peer may have open here: one question, and one more where two connections cross. */
export const attestChannelsMax = 2
/** How often it is looked at whose evidence ends, and who is asked again. */
export const attestLookMs = 1_000
