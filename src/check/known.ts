/**
 * What this peer knows of others by checks of their work: how often each is to be checked, who is doubted, and who was found out. Who is new is
 * checked more often, and so is who is doubted; who was found out is gone around for good. Pure.
 */
import type { PeerId } from '../base/ids.ts'
import {
  checkCostShare,
  checkSavedMs,
  checkShare,
  doubtChecks,
  doubtedShare,
  knownChecks,
  knownPeersMax,
  newShare
} from './limits.ts'

/** What checks say of a peer. `refuted`: it gave something else than what it should, and signed it. */
export type WorkState = 'refuted' | 'doubted' | 'checked' | 'unchecked'

/** The same for people. */
export interface WorkStatus {
  readonly state: WorkState
  /** Sessions in which it has computed a stage for this peer, to their end. */
  readonly sessions: number
  /** Those of them whose work could be checked: not where a tail drew by masks or came later, nor where nothing was signed. */
  readonly checkable: number
  /** Checks in which its work was what it should be. */
  readonly passed: number
  /** Why it is refuted, doubted or unchecked; null where there is nothing to say. */
  readonly reason: string | null
}

/** All that is known of one peer, to be kept for another start. */
export interface KnownEntry {
  readonly peer: PeerId
  readonly sessions: number
  readonly checkable: number
  readonly passed: number
  readonly inRow: number
  readonly doubt: string | undefined
  readonly refuted: string | undefined
  readonly unchecked: string
}

interface Entry {
  sessions: number
  checkable: number
  passed: number
  /** Passed since the last doubt. */
  inRow: number
  doubt: string | undefined
  refuted: string | undefined
  /** Why the last look at it was none. */
  unchecked: string
}

export class KnownWork {
  /** Who was heard of least lately comes first. */
  readonly #peers = new Map<PeerId, Entry>()
  readonly #refuted = new Set<PeerId>()
  #savedMs = checkSavedMs

  /** @param kept what an earlier run knew, as {@link entries} gave it */
  constructor(kept: readonly KnownEntry[] = []) {
    for (const { peer, ...entry } of kept.slice(-knownPeersMax)) {
      this.#peers.set(peer, entry)
      if (entry.refuted !== undefined) this.#refuted.add(peer)
    }
  }

  /** All of it, who was heard of least lately first. */
  get entries(): readonly KnownEntry[] {
    return [...this.#peers].map(([peer, entry]) => ({ peer, ...entry }))
  }

  /** Peers that were found out. */
  get refuted(): ReadonlySet<PeerId> {
    return this.#refuted
  }

  /** It has computed a stage of a session to its end. @param why it cannot be checked in it; undefined where it can */
  served(peer: PeerId, why: string | undefined): void {
    const entry = this.#entry(peer)
    entry.sessions++
    if (why === undefined) entry.checkable++
    if (why !== undefined) entry.unchecked = why
    else if (entry.passed === 0) entry.unchecked = 'none of its sessions was drawn yet'
  }

  passed(peer: PeerId): void {
    const entry = this.#entry(peer)
    entry.passed++
    entry.inRow++
    if (entry.inRow >= doubtChecks) entry.doubt = undefined
  }

  /** It was to be checked, and could not be. */
  unchecked(peer: PeerId, why: string): void {
    this.#entry(peer).unchecked = why
  }

  /** Something speaks against it, or against somebody next to it: it is checked more often. */
  doubted(peer: PeerId, why: string): void {
    const entry = this.#entry(peer)
    entry.doubt = why
    entry.inRow = 0
  }

  /** There is evidence against it. False where that was known. */
  refute(peer: PeerId, why: string): boolean {
    const entry = this.#entry(peer)
    if (entry.refuted !== undefined) return false
    entry.refuted = why
    this.#refuted.add(peer)
    return true
  }

  /** How likely a session of its is to be checked, in [0, 1]. */
  share(peer: PeerId): number {
    const entry = this.#peers.get(peer)
    if (entry?.refuted !== undefined) return 0
    if (entry?.doubt !== undefined) return doubtedShare
    return (entry?.inRow ?? 0) < knownChecks ? newShare : checkShare
  }

  status(peer: PeerId): WorkStatus {
    const entry = this.#peers.get(peer)
    if (entry === undefined)
      return {
        state: 'unchecked',
        sessions: 0,
        checkable: 0,
        passed: 0,
        reason: 'it has computed nothing for this peer'
      }
    const { sessions, checkable, passed, refuted, doubt, unchecked } = entry
    const known = { sessions, checkable, passed }
    if (refuted !== undefined) return { state: 'refuted', ...known, reason: refuted }
    if (doubt !== undefined) return { state: 'doubted', ...known, reason: doubt }
    return passed > 0
      ? { state: 'checked', ...known, reason: null }
      : { state: 'unchecked', ...known, reason: unchecked }
  }

  // ── What it may cost ────────────────────────────────────────────────────────────────────────────

  /** Hops of a session of this peer have computed for so long, in ms: a share of that is for checks. */
  earned(computeMs: number): void {
    this.#savedMs = Math.min(checkSavedMs, this.#savedMs + checkCostShare * computeMs)
  }

  /** A check has taken so long. */
  spent(ms: number): void {
    this.#savedMs -= ms
  }

  /** Another check may be made. */
  get affords(): boolean {
    return this.#savedMs > 0
  }

  #entry(peer: PeerId): Entry {
    const entry = this.#peers.get(peer) ?? {
      sessions: 0,
      checkable: 0,
      passed: 0,
      inRow: 0,
      doubt: undefined,
      refuted: undefined,
      unchecked: 'none of its sessions was drawn yet'
    }
    this.#peers.delete(peer)
    this.#peers.set(peer, entry)
    if (this.#peers.size > knownPeersMax) this.#forget()
    return entry
  }

  /** The one heard of least lately is forgotten, but who was found out stays. */
  #forget(): void {
    for (const [peer, { refuted }] of this.#peers) {
      if (refuted !== undefined && this.#refuted.size < knownPeersMax) continue
      this.#peers.delete(peer)
      this.#refuted.delete(peer)
      return
    }
  }
}
