/**
 * Has the work of others checked (protocols/check.md): draws some of the sessions of this peer once their hops have committed to what they
 * computed, has one stage computed again where its layers are loaded, and tells of who was found out. Here, too, cases of others are looked at.
 */
import type { Clock } from '../base/clock.ts'
import type { ModelId, PeerId, Range, SessionId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { drawSessionId, type Rng } from '../base/rng.ts'
import type { Verify } from '../base/signature.ts'
import type { Engine } from '../engine/engine.ts'
import { needsText } from '../engine/penalties.ts'
import { type Digest, idBytes, isCommittedBy, type SignedCommitment } from '../stage/commitment.ts'
import { allRowsOf, type KeptRows } from '../stage/committing-service.ts'
import type { Links } from '../swarm/links.ts'
import { areTooMany, askCase, askRows } from './ask-service.ts'
import { accusedOf, hopOf, type WorkCase, whyNoCase } from './case.ts'
import { type EndedSession, type Findings, findingsOf, partsOf, whyNoCommitment } from './findings.ts'
import { type KnownEntry, KnownWork, type WorkStatus } from './known.ts'
import { checkersMax, checkersNeeded, evidencePeersMax } from './limits.ts'
import { cannot, recompute, type Verdict } from './recompute-service.ts'
import { CheckServer } from './serve-service.ts'

/** A peer that was found out: it has signed that it gave what it should not have given. */
export interface Refuted {
  readonly peer: PeerId
  readonly model: ModelId
  readonly range: Range
  /** Who drove the session. */
  readonly driver: PeerId
  /** Where it differs, in one sentence. */
  readonly message: string
}

/** A session, or a part of one, with what can be seen of it. */
interface Found {
  readonly session: EndedSession
  readonly findings: Findings
}

/** The hop of it that is checked. */
interface Drawn extends Found {
  readonly hop: number
}

const nobodyElse = 'nobody else has its layers in its class'
const disputed = 'it and who is next to it have signed different rows'

export interface WorkChecksInit {
  readonly links: Links
  readonly clock: Clock
  readonly rng: Rng
  readonly verify: Verify
  readonly digest: Digest
  readonly keptRows: (driver: PeerId, session: SessionId, range: Range) => KeptRows | undefined
  /** Layers that are loaded here, in their numeric class. */
  readonly engineOf: (
    model: ModelId,
    range: Range
  ) => { readonly engine: Engine; readonly numericClass: string } | undefined
  /** The numeric class that a peer has announced for a model; undefined where nothing is known of it. */
  readonly classOf: (peer: PeerId, model: ModelId) => string | undefined
  /** Others that have these layers loaded, and can be asked. */
  readonly holdersOf: (model: ModelId, range: Range) => readonly PeerId[]
  /** Peers at hand that are told of evidence. */
  readonly peers: () => readonly PeerId[]
  /** What an earlier run knew of others. @default nothing */
  readonly known?: readonly KnownEntry[]
  /** Something else is known of others. @default nobody is told */
  readonly onKnown?: (change: { readonly isUrgent: boolean }) => void
  /** Sessions wait for what a check takes. */
  readonly givesWay: () => boolean
  readonly onRefuted: (refuted: Refuted) => void
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
}

/** Stages of a session one end of whose links is disputed, by their layers. */
function oddStages({ session, findings }: Found): ReadonlySet<string> {
  return new Set(findings.hops.flatMap(({ isDisputed }, hop) => (isDisputed ? [nameOf(session, hop)] : [])))
}

function nameOf({ terms }: EndedSession, hop: number): string {
  const { start, end } = terms.route[hop]!
  return `${start}-${end}`
}

export class WorkChecks {
  readonly #init: WorkChecksInit
  readonly #known: KnownWork
  readonly #server: CheckServer
  readonly #stopping = new AbortController()
  /** A check of a session of this peer is under way: there is one at a time. */
  #isChecking = false
  /** Cases are computed one after the other; how many wait, streams and cases of each peer bound. */
  #computing: Promise<void> = Promise.resolve()

  constructor(init: WorkChecksInit) {
    this.#init = init
    this.#known = new KnownWork(init.known)
    const { links, clock, keptRows, onViolation } = init
    const judge = (about: WorkCase, from: PeerId, options: { signal: AbortSignal }): Promise<Verdict> =>
      this.#asked(about, from, options)
    this.#server = new CheckServer({ links, clock, keptRows, judge, onViolation })
  }

  start(): Promise<void> {
    return this.#server.start()
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the peer is stopping'))
    await this.#server.stop()
  }

  /** Peers that were found out. No session of this peer runs through them. */
  get refuted(): ReadonlySet<PeerId> {
    return this.#known.refuted
  }

  /** All that is known of others, to be kept for another start. */
  get known(): readonly KnownEntry[] {
    return this.#known.entries
  }

  status(peer: PeerId): WorkStatus {
    return this.#known.status(peer)
  }

  /**
   * A session has ended, and its hops have committed to what they computed. It is soon over where nobody is drawn to be checked.
   *
   * @param computeMs of all its hops, in ms
   * @returns who was found out, if anybody. It does not throw.
   */
  async ended(
    session: EndedSession,
    computeMs: number,
    { signal: given }: { signal: AbortSignal }
  ): Promise<Refuted | undefined> {
    const { links, verify, digest, classOf } = this.#init
    const { model } = session.terms
    this.#known.earned(computeMs)
    const found = [session, ...partsOf(session)].map(
      (each): Found => ({
        session: each,
        findings: findingsOf(each, { verify, digest, classOf: peer => classOf(peer, model) })
      })
    )
    const odd = oddStages(found[0]!)
    const seen = new Set<PeerId>([links.self])
    for (const { session: each, findings } of found) {
      for (const [hop, { peer, why, isDisputed, commitment }] of findings.hops.entries()) {
        // Who came in the place of a liar gives other rows than the next one was given before: it may be any of the three.
        const isOdd = isDisputed || (each !== session && commitment !== undefined && odd.has(nameOf(each, hop)))
        if (isOdd && peer !== links.self) this.#known.doubted(peer, disputed)
        // Who has been there to the end, and who has gone and said what it did until then.
        if (seen.has(peer) || (each !== session && commitment === undefined)) continue
        seen.add(peer)
        this.#known.served(peer, why)
      }
    }
    this.#init.onKnown?.({ isUrgent: false })
    const drawn = this.#draw(found)
    if (drawn === undefined || this.#isChecking || !this.#known.affords) return undefined
    this.#isChecking = true
    try {
      return await this.#check(drawn, AbortSignal.any([given, this.#stopping.signal]))
    } catch (error) {
      this.#known.unchecked(drawn.findings.hops[drawn.hop]!.peer, reasonOf(error))
      return undefined
    } finally {
      this.#isChecking = false
      this.#init.onKnown?.({ isUrgent: false })
    }
  }

  /** A hop that is checked in this session; undefined for most sessions. */
  #draw(found: readonly Found[]): Drawn | undefined {
    const { rng, links } = this.#init
    const before = new Set<PeerId>([links.self])
    const drawn = found.flatMap(each => {
      const hops = each.findings.hops.flatMap(({ peer, why }, hop) =>
        why === undefined && !before.has(peer) ? [{ ...each, hop, peer }] : []
      )
      for (const { peer } of hops) before.add(peer)
      return hops.filter(({ peer }) => rng() < this.#known.share(peer))
    })
    // Several may be drawn: none of them is always passed over for another one.
    return drawn[Math.floor(rng() * drawn.length)]
  }

  async #check({ session, findings, hop }: Drawn, signal: AbortSignal): Promise<Refuted | undefined> {
    const { terms } = session
    const { peer, commitment } = findings.hops[hop]!
    if (!isCommittedBy(peer, commitment!, this.#init.verify)) {
      // Whoever passed it on may have spoilt it: nobody is doubted for that.
      this.#known.unchecked(peer, whyNoCommitment)
      return undefined
    }
    if (!this.#canJudge(session, commitment!)) throw new Error(nobodyElse)
    const rows = await this.#rows(session, findings, hop, signal)
    const drawn = hop === terms.route.length - 1 ? findings.drawn : undefined
    const about: WorkCase = { terms, commitment: commitment!, rows, drawn }
    const wrong = whyNoCase(about, this.#init)
    if (wrong !== undefined) {
      this.#known.doubted(peer, wrong)
      return undefined
    }
    const verdict = await this.#judge(about, [], { signal })
    this.#known.spent(verdict.ms)
    if (verdict.finding === 'same') this.#known.passed(peer)
    else if (verdict.finding === 'cannot') this.#known.unchecked(peer, verdict.message)
    return verdict.finding === 'differs' ? this.#refute(about, verdict, []) : undefined
  }

  /** What a hop was given: the driver has it of the head, the hop before it of every other one. */
  async #rows(
    { terms, rowBytes: stateBytes }: EndedSession,
    { headRows, hops }: Findings,
    hop: number,
    signal: AbortSignal
  ): Promise<Uint8Array> {
    if (hop === 0) return headRows
    const { links, clock, keptRows } = this.#init
    const { tokens } = hops[hop]!.commitment!
    const { peer, ...range } = terms.route[hop - 1]!
    const rowBytes = stateBytes + (needsText(terms.sampling) ? idBytes : 0)
    if (areTooMany(tokens, rowBytes)) throw new Error('the session is too long to be checked')
    if (peer !== links.self) {
      return askRows({ links, clock, signal }, peer, { session: terms.session, range, tokens, rowBytes })
    }
    const kept = keptRows(peer, terms.session, range)
    if (kept === undefined) throw new Error('what was sent to it is not here any more')
    return allRowsOf(kept, tokens)
  }

  // ── Verdicts ────────────────────────────────────────────────────────────────────────────────────

  /** Somebody asks about a case, or tells of evidence. Only what is computed here, or found by several, is believed. It does not throw. */
  async #asked(about: WorkCase, from: PeerId, { signal }: { signal: AbortSignal }): Promise<Verdict> {
    try {
      const wrong = whyNoCase(about, this.#init)
      if (wrong !== undefined) {
        this.#init.onViolation(from, 'check', `a case is none: ${wrong}`)
        return cannot(wrong, 0)
      }
      const accused = accusedOf(about)
      if (accused === this.#init.links.self) return cannot('nobody judges his own work', 0)
      if (this.#known.refuted.has(accused)) return { finding: 'differs', message: 'that is known', ms: 0 }
      const verdict = await this.#judge(about, [from], { signal: AbortSignal.any([signal, this.#stopping.signal]) })
      if (verdict.finding === 'differs') this.#refute(about, verdict, [from])
      return verdict
    } catch (error) {
      return cannot(reasonOf(error), 0)
    }
  }

  /** Somebody could compute it: else nobody needs to send what it was given. */
  #canJudge({ terms }: Pick<WorkCase, 'terms'>, commitment: SignedCommitment): boolean {
    const own = this.#init.engineOf(terms.model, hopOf({ terms, commitment }))
    return own?.numericClass === commitment.numericClass || this.#checkers({ terms, commitment }, []).length > 0
  }

  /** Computes a case here, or where its layers are loaded; then two others must find the same. @param but who is not asked */
  async #judge(about: WorkCase, but: readonly PeerId[], { signal }: { signal: AbortSignal }): Promise<Verdict> {
    const { commitment, terms } = about
    const own = this.#init.engineOf(terms.model, hopOf(about))
    if (own?.numericClass === commitment.numericClass) return this.#compute(own.engine, about, signal)
    const { links, clock } = this.#init
    const beginMs = clock.nowMs()
    const holders = this.#checkers(about, but)
    if (holders.length === 0) return cannot(nobodyElse, 0)
    const said = { same: 0, differs: [] as string[] }
    let why = 'nobody who could has looked at it'
    for (const peer of holders) {
      const { finding, message } = await askCase({ links, clock, signal }, peer, about).catch((error: unknown) => {
        signal.throwIfAborted()
        return { finding: 'cannot' as const, message: reasonOf(error) }
      })
      const ms = clock.nowMs() - beginMs
      if (finding === 'same') said.same++
      else if (finding === 'differs') said.differs.push(message)
      else why = message
      if (said.differs.length >= checkersNeeded) return { finding: 'differs', message: said.differs[0]!, ms }
      // Of those who do not agree one is wrong: it takes a second one of either kind.
      if (said.same >= (said.differs.length === 0 ? 1 : checkersNeeded)) return { finding: 'same', message, ms }
    }
    const ms = clock.nowMs() - beginMs
    if (said.differs.length === 0) return cannot(why, ms)
    if (said.same > 0) return cannot('those who have looked at it do not agree', ms)
    this.#known.doubted(accusedOf(about), 'one peer says that it computes something else, and no second one could look')
    return cannot('only one peer could look at it', ms)
  }

  async #compute(engine: Engine, about: WorkCase, signal: AbortSignal): Promise<Verdict> {
    const before = this.#computing
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#computing = promise
    const { digest, givesWay, rng } = this.#init
    try {
      await before
      signal.throwIfAborted()
      if (this.refuted.has(accusedOf(about))) return { finding: 'differs', message: 'that is known', ms: 0 }
      return await recompute(engine, about, { digest, givesWay, signal, session: drawSessionId(rng) })
    } finally {
      resolve()
    }
  }

  /** Others that could compute a case: never the one it is about, nor those whose word counts for nothing. */
  #checkers(about: Pick<WorkCase, 'terms' | 'commitment'>, but: readonly PeerId[]): readonly PeerId[] {
    const { model } = about.terms
    const { numericClass } = about.commitment
    const { links, holdersOf, classOf, rng } = this.#init
    return (
      holdersOf(model, hopOf(about))
        .filter(
          peer =>
            peer !== links.self &&
            peer !== accusedOf(about) &&
            !but.includes(peer) &&
            !this.refuted.has(peer) &&
            classOf(peer, model) === numericClass
        )
        // By chance: nobody can know that he will be asked first.
        .map(peer => ({ peer, at: rng() }))
        .sort((a, b) => a.at - b.at)
        .slice(0, checkersMax)
        .map(({ peer }) => peer)
    )
  }

  /** There is evidence against a peer: everybody is told who can look for himself. */
  #refute(about: WorkCase, { message }: Verdict, from: readonly PeerId[]): Refuted {
    const { links, clock, peers, onRefuted } = this.#init
    const { peer, ...range } = hopOf(about)
    const { model, driver } = about.terms
    const refuted = { peer, model, range, driver, message }
    if (!this.#known.refute(peer, message)) return refuted
    this.#init.onKnown?.({ isUrgent: true })
    onRefuted(refuted)
    const told = peers().filter(each => each !== peer && each !== links.self && !from.includes(each))
    for (const each of told.slice(0, evidencePeersMax)) {
      // Whoever does not hear it now finds out by checks of its own.
      void askCase({ links, clock, signal: this.#stopping.signal }, each, about).catch(() => {})
    }
    return refuted
  }
}
