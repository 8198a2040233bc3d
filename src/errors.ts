/**
 * Every expected failure. Errors are told apart by `err.name`, as libp2p does. `exitCode` is what the
 * CLI ends with: 2 for what the caller gave, 3 for what the data holds, 4 for what the swarm lacks,
 * 5 for what a peer or an engine did, 1 for a defect of ours.
 */
import type { PeerId, SessionId } from './base/ids.ts'
import { sentence } from './base/shown.ts'

/**
 * What every expected failure is: `name` tells which one, `message` is a sentence for a person, `exitCode` what the command line ends with.
 */
export abstract class SkeinError extends Error {
  abstract readonly exitCode: number

  /** @param message may have parts that come from files and peers: it is shown on terminals and in logs, and cleaned for them */
  constructor(message: string, options?: ErrorOptions) {
    super(sentence(message), options)
  }
}

/** Thrown when a flag, option or configuration value is wrong. */
export class InvalidOptionError extends SkeinError {
  override readonly name = 'InvalidOptionError'
  readonly exitCode = 2
}

/** Thrown when a manifest is malformed, inconsistent or of a newer format. */
export class InvalidManifestError extends SkeinError {
  override readonly name = 'InvalidManifestError'
  readonly exitCode = 3
}

/** Thrown when no model of that name or id is known here. */
export class UnknownModelError extends SkeinError {
  override readonly name = 'UnknownModelError'
  readonly exitCode = 3
}

/** Thrown when a name, or the beginning of an id, is that of more than one model: says which. */
export class AmbiguousModelError extends SkeinError {
  override readonly name = 'AmbiguousModelError'
  readonly exitCode = 2
}

/** Thrown when a model is asked for what its kind does not do: a graph continues no text, a decoder takes no tensors. */
export class WrongModelKindError extends SkeinError {
  override readonly name = 'WrongModelKindError'
  readonly exitCode = 2
}

/** Thrown when a model is to be removed that a running peer serves. */
export class ModelInUseError extends SkeinError {
  override readonly name = 'ModelInUseError'
  readonly exitCode = 3
}

/** Thrown when a shard's or the tokenizer's bytes do not have the digest that the manifest gives. */
export class CorruptShardError extends SkeinError {
  override readonly name = 'CorruptShardError'
  readonly exitCode = 3
}

/** Thrown when a model directory cannot be imported: missing or truncated files, unknown architecture or tensors. */
export class ImportError extends SkeinError {
  override readonly name = 'ImportError'
  readonly exitCode = 3
}

/** Thrown when files of a model do not fit into the disk budget, whatever gives way, or not onto the disk. */
export class DiskBudgetError extends SkeinError {
  override readonly name = 'DiskBudgetError'
  readonly exitCode = 4
}

/** Thrown when no live peer holds what is missing here of a model: its manifest, its tokenizer or a shard. */
export class NotHeldError extends SkeinError {
  override readonly name = 'NotHeldError'
  readonly exitCode = 4
}

/** Thrown when a model's files cannot be fetched from the hub: no network, refused, changed, or cut short. */
export class DownloadError extends SkeinError {
  override readonly name = 'DownloadError'
  readonly exitCode = 4
}

/** Thrown when a swarm file is malformed. */
export class InvalidSwarmError extends SkeinError {
  override readonly name = 'InvalidSwarmError'
  readonly exitCode = 3
}

/** Thrown when a data directory is in use, unreadable or was written by a newer Skein. */
export class DataDirectoryError extends SkeinError {
  override readonly name = 'DataDirectoryError'
  readonly exitCode = 3
}

/** Thrown when a sealed directory does not open: its key is missing or another one, or the directory is not sealed. */
export class SealError extends SkeinError {
  override readonly name = 'SealError'
  readonly exitCode = 3
}

/** Thrown when a file of a sealed directory was changed, cut, exchanged or not written whole. */
export class DamagedFileError extends SkeinError {
  override readonly name = 'DamagedFileError'
  readonly exitCode = 3
}

/** Thrown when another machine has this peer's identity, as a copy of its data directory has, and has run for longer. */
export class DuplicateIdentityError extends SkeinError {
  override readonly name = 'DuplicateIdentityError'
  readonly exitCode = 3
}

/** Thrown when no peer is running on a data directory whose control socket is asked. */
export class PeerNotRunningError extends SkeinError {
  override readonly name = 'PeerNotRunningError'
  readonly exitCode = 4
}

/** Thrown when a peer that is about to go is asked for an answer. */
export class PeerLeavingError extends SkeinError {
  override readonly name = 'PeerLeavingError'
  readonly exitCode = 4
}

/** Thrown when an address cannot be listened on. */
export class ListenError extends SkeinError {
  override readonly name = 'ListenError'
  readonly exitCode = 4
}

/** Thrown when the memory budget cannot hold even one layer, or a pinned range. */
export class BudgetTooSmallError extends SkeinError {
  override readonly name = 'BudgetTooSmallError'
  readonly exitCode = 2
}

/** Thrown when the live peers' stages do not cover every layer; says which layers and how many bytes are missing. */
export class NotCoveredError extends SkeinError {
  override readonly name = 'NotCoveredError'
  readonly exitCode = 4
}

/** Thrown when a prompt with its answer does not fit the model's context. */
export class PromptTooLongError extends SkeinError {
  override readonly name = 'PromptTooLongError'
  readonly exitCode = 2
}

/** Thrown when a cache budget cannot take another session. */
export class NoRoomError extends SkeinError {
  override readonly name = 'NoRoomError'
  readonly exitCode = 4
}

/** Thrown when a step starts beyond the end of the cache; `length` is where it must start at the latest (promise P2). */
export class CacheGapError extends SkeinError {
  override readonly name = 'CacheGapError'
  readonly exitCode = 5
  readonly length: number
  constructor(session: SessionId, position: number, length: number) {
    super(`session ${session.slice(0, 8)}: the step starts at ${position}, but the cache ends at ${length}`)
    this.length = length
  }
}

/** Thrown when a step would pass the number of tokens that its session reserved. */
export class ContextFullError extends SkeinError {
  override readonly name = 'ContextFullError'
  readonly exitCode = 5
}

/** Thrown when a step's input has the wrong kind, size or values. */
export class InvalidStepError extends SkeinError {
  override readonly name = 'InvalidStepError'
  readonly exitCode = 5
}

/** Thrown when an engine cannot be made or its thread has ended. */
export class EngineError extends SkeinError {
  override readonly name = 'EngineError'
  readonly exitCode = 5
}

/** Thrown when a graph cannot be run with these inputs, whoever runs it. */
export class GraphRunError extends SkeinError {
  override readonly name = 'GraphRunError'
  readonly exitCode = 2
}

/** Thrown when a peer sends what the protocol forbids: its stream ends, and it is counted (promise P10). */
export class ProtocolError extends SkeinError {
  override readonly name = 'ProtocolError'
  readonly exitCode = 5
}

/**
 * How a connection was lost. `closed`: it ended or could not be made. `silent`: the peer was silent for too long.
 * `alone`: so was everybody else, so it may be this peer that is cut off. `unheard`: one of the two hears the other, or others hear
 * it, so only the link between them is at fault.
 */
export type LossReason = 'closed' | 'silent' | 'alone' | 'unheard'

/** Thrown when a peer cannot be reached or its connection closed. */
export class PeerLostError extends SkeinError {
  override readonly name = 'PeerLostError'
  readonly exitCode = 5
  readonly peer: PeerId
  readonly reason: LossReason
  constructor(peer: PeerId, message: string, reason: LossReason = 'closed') {
    super(message)
    this.peer = peer
    this.reason = reason
  }
}

/** How a channel that ended with this error was lost. */
export function lossReason(error: unknown): LossReason {
  return error instanceof PeerLostError ? error.reason : 'closed'
}

/** Thrown before an answer begins, when others fill all the room that there is; `retryAfterMs` says when to ask again. */
export class OverloadedError extends SkeinError {
  override readonly name = 'OverloadedError'
  readonly exitCode = 4
  readonly retryAfterMs: number
  constructor(message: string, retryAfterMs: number) {
    super(message)
    this.retryAfterMs = retryAfterMs
  }
}

/** Thrown when an answer cannot be finished; `text` is what was generated until then. */
export class SessionFailedError extends SkeinError {
  override readonly name = 'SessionFailedError'
  readonly exitCode = 5
  readonly text: string
  constructor(message: string, text: string) {
    super(message)
    this.text = text
  }
}

/** Thrown when nobody reachable keeps a session of that name under that key. */
export class UnknownSessionError extends SkeinError {
  override readonly name = 'UnknownSessionError'
  readonly exitCode = 4
}

/** Thrown when a key's file, of sessions or of one who signs models, is missing, unreadable or no such key, or exists where one is to be made. */
export class InvalidKeyError extends SkeinError {
  override readonly name = 'InvalidKeyError'
  readonly exitCode = 3
}

/** Thrown when a wait passed its deadline; the message says what was waited for and how long. */
export class DeadlineError extends SkeinError {
  override readonly name = 'DeadlineError'
  readonly exitCode = 5
}

/** Thrown when the running peer knows no request of that name, or no longer. */
export class UnknownRequestError extends SkeinError {
  override readonly name = 'UnknownRequestError'
  readonly exitCode = 4
}

/** Thrown when what this machine keeps of its membership in a swarm is missing, damaged, revoked or of another swarm. */
export class InvalidMembershipError extends SkeinError {
  override readonly name = 'InvalidMembershipError'
  readonly exitCode = 3
}

/** Thrown when a key of an authority or a deputy, or an invitation, is missing, malformed, used up, or may not do what is asked of it. */
export class InvalidAuthorityError extends SkeinError {
  override readonly name = 'InvalidAuthorityError'
  readonly exitCode = 3
}

/** Thrown when the other end of a connection refuses this peer, or is refused by it: the message says why. */
export class NotAdmittedError extends SkeinError {
  override readonly name = 'NotAdmittedError'
  readonly exitCode = 4
}

/** Thrown when this machine cannot show evidence of itself: its TPM, or what speaks to it, is missing or does not do what is asked. */
export class AttestationError extends SkeinError {
  override readonly name = 'AttestationError'
  readonly exitCode = 3
}

/** Thrown when a report would tell more of requests than the budget allows that was set for all of them: says when there is room. */
export class PrivacyBudgetError extends SkeinError {
  override readonly name = 'PrivacyBudgetError'
  readonly exitCode = 4
}

/** Thrown when there is no audit log where one is to be read, or its files cannot be read. */
export class AuditError extends SkeinError {
  override readonly name = 'AuditError'
  readonly exitCode = 3
}

/** Thrown when a model is signed by no key that is trusted, or it or a signature of it was changed or cannot be read: the message says which. */
export class ModelSignatureError extends SkeinError {
  override readonly name = 'ModelSignatureError'
  readonly exitCode = 3
}
