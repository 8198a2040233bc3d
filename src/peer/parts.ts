/**
 * What a peer does in its swarm, wired together over ports: its stages, weights, models, routes and sessions. Disks, threads and
 * sockets come in from outside, so that a running peer and one of the simulator are the same parts.
 */
import type { Clock } from '../base/clock.ts'
import type { End } from '../base/ends.ts'
import type { PeerId } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import type { Verify } from '../base/signature.ts'
import type { Keeper } from '../disk/keeping.ts'
import type { EngineFactory } from '../engine/factory.ts'
import type { Store } from '../model/store.ts'
import type { Refuted, WorkChecks } from '../check/service.ts'
import { Looking } from '../route/looking-service.ts'
import { Routing } from '../route/routing-service.ts'
import { Searches } from '../route/searches.ts'
import { type ModelShape, type PeerView, viewOf, withObtainable } from '../route/view.ts'
import type { ShardFetch } from '../serving/held-shards.ts'
import { Seeker } from '../serving/seeker.ts'
import { Serving } from '../serving/serving.ts'
import type { Generation } from '../session/generation.ts'
import type { ConversationAsk, Scrub, SessionParts } from '../session/parts.ts'
import { type Asking, generate } from '../session/service.ts'
import { createStageService } from '../stage/service.ts'
import type { StageService, StageServiceInit } from '../stage/service-init.ts'
import { createSupply, type Supply, type SupplyInit } from '../supply/service.ts'
import type { StageOffer } from '../swarm/record.ts'
import type { Swarm, SwarmPeer } from '../swarm/swarm.ts'
import type { Asker, Operation, WatchedAnswer } from './answers.ts'
import type { GenerateOptions } from './api.ts'
import { Departure } from './departure.ts'
import { loadAnnounceMs } from './limits.ts'
import { KnownWorkFile } from './known-work.ts'
import { createChecks } from './own-checks.ts'
import { OwnSessions, type SessionGrammars, type SessionTokenizers } from './own-sessions.ts'
import type { KeptSessions } from './kept-sessions.ts'
import { speaksWithUs } from './status.ts'

export interface PeerPartsInit {
  readonly swarm: Swarm
  readonly store: Store
  /** What computes, in order of preference. */
  readonly engines: readonly EngineFactory[]
  /** Where engines keep what they have measured. */
  readonly dataDir: string
  readonly keeping: Keeper
  readonly tokenizers: SessionTokenizers
  readonly grammars?: SessionGrammars | undefined
  /** As with `OwnSessionsInit.scrub`. */
  readonly scrub?: ((isAsked: boolean) => Scrub | undefined) | undefined
  readonly kept: Pick<KeptSessions, 'keep'>
  /** As with `SessionParts.drafter`. */
  readonly drafter?: SessionParts['drafter']
  readonly verify: Verify
  readonly threads: number
  readonly budgetBytes: number
  readonly clock: Clock
  readonly rng: Rng
  /** Told of each answer that is asked for. @default nobody is */
  readonly watch?: (operation: Operation, signal: AbortSignal | undefined, asker: Asker) => WatchedAnswer
  /** As with `StageServiceInit.onStep`. */
  readonly onStep?: StageServiceInit['onStep']
  /** As with `SupplyInit.room`. */
  readonly room?: SupplyInit['room']
  /** As with `SupplyInit.signatures`. */
  readonly signatures?: SupplyInit['signatures']
  /** Told of each peer that was found out by a check of its work. @default nobody is checked, and stages commit to nothing */
  readonly onRefuted?: ((refuted: Refuted) => void) | undefined
  readonly onWarning: (message: string) => void
  /** A stage began or ceased to serve. */
  readonly onStage: (stage: StageOffer) => void
  /** Shards are fetched from other peers, or have come. */
  readonly onFetch: (fetch: ShardFetch) => void
  /** A peer has announced that it goes, or that it stays after all. */
  readonly onLeaving: (peer: PeerId, leaving: boolean) => void
  /** Something in the swarm has changed, and the parts know it. */
  readonly onLook: (records: readonly SwarmPeer[]) => void
}

/** Who may have sessions here: drivers, and stages to see whether a stage computes. */
function mayDriveOf(membership: Swarm['membership']): StageServiceInit['mayDrive'] {
  if (membership === undefined) return undefined
  return (driver, isProbe) => membership.may(driver, 'driver') || (isProbe && membership.may(driver, 'stage'))
}

export class PeerParts {
  readonly #init: PeerPartsInit
  readonly #generating = new AbortController()
  readonly #leaving = new Set<PeerId>()
  readonly #looking: Looking
  readonly #searches = new Searches()
  readonly #routing: Routing
  #announced = ''
  readonly stages: StageService
  readonly supply: Supply
  readonly seeker: Seeker
  readonly serving: Serving
  /** Those that this peer drives. */
  readonly sessions: OwnSessions
  readonly departure: Departure
  /** Of the work of others; undefined where nobody is checked. */
  readonly checks: WorkChecks | undefined

  /** Starts to serve stages and weights; what is begun is ended by `ends`. No model is served yet: see {@link follow}. */
  static async start(init: PeerPartsInit, ends: End[]): Promise<PeerParts> {
    const { swarm, store, clock, rng, verify } = init
    const onViolation = (peer: PeerId, kind: string, message: string): void =>
      swarm.reportViolation(peer, kind, message)
    const stages = await createStageService({
      links: swarm.links,
      retainBytesMax: 0,
      clock,
      verify,
      sign: init.onRefuted && swarm.sign,
      mayDrive: mayDriveOf(swarm.membership),
      onViolation,
      ...(init.onStep === undefined ? {} : { onStep: init.onStep })
    })
    ends.push(() => stages.stop())
    const live = (): boolean => stages.stats.sessions > 0
    const supply = await createSupply({
      links: swarm.links,
      store,
      live,
      clock,
      rng,
      onViolation,
      signatures: init.signatures,
      ...(init.room === undefined ? {} : { room: init.room })
    })
    ends.push(() => supply.stop())
    const file = init.onRefuted && (await KnownWorkFile.open(init))
    const parts = new PeerParts(init, { stages, supply, file })
    ends.push(async () => file?.stop())
    await parts.checks?.start()
    ends.push(async () => parts.checks?.stop())
    ends.push(() => parts.serving.stop())
    return parts
  }

  private constructor(
    init: PeerPartsInit,
    { stages, supply, file }: { stages: StageService; supply: Supply; file: KnownWorkFile | undefined }
  ) {
    const { swarm, clock, onWarning } = init
    this.#init = init
    this.stages = stages
    this.supply = supply
    this.#looking = new Looking(() => this.#look(), clock)
    this.#routing = new Routing({
      self: swarm.id,
      peers: model => this.#reachable(model),
      rttMs: peer => swarm.rttMs(peer),
      searches: this.#searches,
      clock
    })
    const { onRefuted } = init
    const refuted = (found: Refuted): void => {
      onRefuted?.(found)
      // Others load what it claims to serve, and routes go around it.
      this.#met()
      this.serving.changed()
    }
    this.checks = onRefuted && createChecks({ ...init, file, stages, serving: () => this.serving, onRefuted: refuted })
    const shuns = (peer: PeerId): boolean => this.checks?.refuted.has(peer) === true
    this.seeker = new Seeker({ store: init.store, swarm, supply, clock })
    this.serving = new Serving({ ...init, shuns, stages, supply, seeker: this.seeker, searches: this.#searches })
    this.sessions = new OwnSessions({
      ...init,
      routing: this.#routing,
      stages,
      supply,
      seeker: this.seeker,
      serving: this.serving,
      checks: this.checks,
      leaving: this.#leaving,
      isDraining: () => this.departure.isDraining,
      orEnding: signal => this.orEnding(signal)
    })
    this.departure = new Departure({
      swarm,
      stages,
      placementOf: model => this.serving.get(model)?.placement,
      replan: () => this.serving.changed(),
      loaded: () => this.serving.offers,
      answering: () => this.sessions.answering + this.serving.graphs.all.reduce((sum, { busy }) => sum + busy, 0),
      onWarning,
      clock
    })
  }

  /** Follows what the swarm tells from now on, until `ends`. */
  follow(ends: End[]): void {
    const { swarm, clock } = this.#init
    swarm.addEventListener('battery', ({ detail }) => this.departure.onBattery(detail.battery))
    swarm.addEventListener('record', () => this.#looking.changed())
    swarm.addEventListener('join', () => this.#met())
    swarm.addEventListener('leave', ({ detail }) => {
      this.#leaving.delete(detail.peer)
      this.#met()
    })
    ends.push(async () => this.#looking.stop())
    ends.push(async () => this.sessions.stop())
    const load = clock.every(loadAnnounceMs, () => this.#announceLoad()).unref()
    ends.push(async () => load.stop())
    this.#looking.now()
  }

  generate(prompt: string | readonly number[] | ConversationAsk, options: GenerateOptions = {}): Generation {
    const { model, client, signal, session, request, ...rest } = options
    const isText = typeof prompt === 'string' || !('messages' in prompt)
    const watcher = this.#init.watch?.(isText ? 'text_completion' : 'chat', signal, { request, client })
    const parts = async (asking: Asking): Promise<SessionParts> => {
      const found = await this.sessions.parts(
        { ...(model && { model }), ...(client && { client }), ...rest },
        { session, after: 0, classes: [] },
        { ...asking, signal: AbortSignal.any([this.orEnding(signal), asking.signal]), waitMs: rest.waitMs }
      )
      watcher?.began(found.model)
      return found
    }
    return generate(parts, prompt, { ...rest, ...this.ending(signal) }, watcher)
  }

  /** Ends all answers: the peer is about to stop. */
  endAnswers(): void {
    this.#generating.abort(new Error('the peer is stopping'))
  }

  /** What ends an answer: the one who asked, or the end of this peer, which keeps the text so far. */
  ending(signal: AbortSignal | undefined): { signal?: AbortSignal; ending: AbortSignal } {
    const ending = this.#generating.signal
    return signal === undefined ? { ending } : { signal, ending }
  }

  /** Until the signal, or the end of this peer. */
  orEnding(signal: AbortSignal | undefined): AbortSignal {
    const ending = this.#generating.signal
    return signal === undefined ? ending : AbortSignal.any([signal, ending])
  }

  /** Another peer has come or gone. */
  #met(): void {
    this.#routing.met()
    this.#looking.changed()
  }

  #look(): void {
    const { swarm, onLeaving, onLook } = this.#init
    this.serving.changed()
    this.supply.changed()
    this.#routing.changed()
    this.sessions.changed()
    const records = swarm.records()
    for (const { record } of records) {
      const { peer, leaving } = record
      if (leaving === this.#leaving.has(peer)) continue
      if (leaving) this.#leaving.add(peer)
      else this.#leaving.delete(peer)
      onLeaving(peer, leaving)
    }
    onLook(records)
  }

  /** Tells the swarm how busy this peer is, when that has changed. */
  #announceLoad(): void {
    const { sessions, queuedSteps } = this.stages.stats
    const now = `${sessions} ${queuedSteps}`
    const isAsBusy = !this.serving.sample(this.#init.clock.nowMs())
    if (now === this.#announced && isAsBusy) return
    this.#announced = now
    this.#init.swarm.announce({ load: { sessions, queuedSteps } })
    this.serving.announce()
    this.serving.changed()
  }

  #reachable(model: ModelShape): PeerView[] {
    const placement = this.serving.get(model.id)?.placement
    return withObtainable(
      this.#init.swarm.records().flatMap(({ record, connected, contact }) => {
        const isAtHand = connected || contact || record.peer === this.#init.swarm.id
        const view = isAtHand ? viewOf(record, model.id) : undefined
        if (view === undefined || !speaksWithUs(record) || this.checks?.refuted.has(record.peer) === true) return []
        return placement?.isDoubtful(view.peer) === true ? [{ ...view, isDoubtful: true }] : [view]
      })
    )
  }
}
