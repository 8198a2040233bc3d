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
