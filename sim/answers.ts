/** What is asked in a world, and what becomes of it. */
import { usualCache } from '../src/base/cache-type.ts'
import { AssertionError } from '../src/base/assert.ts'
import type { SessionId } from '../src/base/ids.ts'
import { attentionBlock } from '../src/model/limits.ts'
import type { Hop } from '../src/route/view.ts'
import type { GenerationEvent } from '../src/session/generation.ts'
import type { SignedTerms } from '../src/stage/terms.ts'
import type { Chance } from './chance.ts'
import type { Asked } from './asked.ts'
import { ambushToken, type WorkloadSpec } from './scenario-fields.ts'
import type { SimPeer } from './sim-peer.ts'
import type { World } from './world.ts'

/**
 * An answer that has ended is told to its whole route, each hop of which waits so long for the next (`stageCloseMs`); only
 * caches of which nobody hears anything more stay for longer (`orphanGraceMs`).
 */
const cachesFreeMs = 10_000
/** A refusal and the end of an answer may pass each other on their way within this. */
const crossingMs = 2_000
/** Sessions of which refusals are remembered. */
const refusedMax = 1_000

export class Answers {
  readonly #world: World
  /** Those that are not complete, with the peer that drives them. */
  readonly open = new Map<number, { readonly asked: Asked; readonly driver: SimPeer; readonly give: AbortController }>()
  readonly #bySession = new Map<SessionId, Asked>()
  /** Of answers that are open: the classes of their first route, and after how many tokens some are given up. */
  readonly #classes = new Map<number, readonly string[]>()
  readonly #impatient = new Map<number, number>()
  #sessions = 0
  /** When a hop last had no room for a session. */
  readonly #refusedMs = new Map<SessionId, number>()

  constructor(world: World) {
    this.#world = world
  }

  plan(): void {
    const endMs = this.#world.scenario.minutes * 60_000
    for (const [i, work] of this.#world.scenario.workload.entries()) {
      const chance = this.#world.chance.fork(`workload ${i}`)
      let atMs = work.fromS * 1000
      for (;;) {
        atMs += chance.wait(work.perMinute / 60_000)
        if (atMs >= Math.min(endMs, work.untilS * 1000)) break
        this.#world.agenda.at(atMs, () => this.#prompt(work, chance))
      }
    }
  }

  #prompt(work: WorkloadSpec, chance: Chance): void {
    const { from, promptTokens, answerTokens, temperature, cancelRatio, texts } = work
    const { i8Ratio, penaltiesRatio, scoresRatio, masksRatio } = work
    const able = this.#world.named([from]).filter(peer => peer.life !== 0 && !peer.isFrozen && !peer.isGoing)
    const length = chance.whole(...promptTokens)
    const answer = chance.whole(...answerTokens)
    if (able.length === 0) {
      this.#world.stats.unasked++
      return
    }
    const driver = chance.pick(able)
    const asked = this.prompt(driver, Math.max(1, length), Math.max(1, answer), temperature, chance, {
      texts,
      i8Ratio,
      penaltiesRatio,
      scoresRatio,
      masksRatio
    })
    if (cancelRatio > 0) this.#losePatience(asked, cancelRatio)
  }

  /** Some of those who ask give up: while they wait for the first token, or at one that they see. */
  #losePatience(asked: Asked, ratio: number): void {
    const { number, answerTokens } = asked
    const chance = this.#world.chance.fork(`patience ${number}`)
    if (!chance.happens(ratio)) return
    const tokens = chance.whole(0, answerTokens - 1)
    if (tokens > 0) this.#impatient.set(number, tokens)
    else this.#world.agenda.after(chance.between(0, 1_000), () => this.#cancel(asked))
  }

  #cancel({ number }: Asked): void {
    const open = this.open.get(number)
    if (open === undefined || open.driver.isFrozen || open.give.signal.aborted) return
    this.#world.say(`${open.driver.name} gives ${number} up`)
    open.give.abort(new Error('it is given up'))
  }

  /**
   * A peer asks something.
   *
   * @param isProbe only to see that an answer comes: no figure counts it
   * @param texts that the prompt is put together from; with 0 each of its tokens is drawn
   * @param i8Ratio how likely it has caches of int8
   * @param penaltiesRatio how likely it has penalties
   * @param scoresRatio how likely it asks for log-probabilities, of prompt and answer
   * @param masksRatio how likely its answer follows a grammar
   */
  prompt(
    driver: SimPeer,
    promptTokens: number,
    answerTokens: number,
    temperature: number,
    chance: Chance,
    { isProbe = false, texts = 0, i8Ratio = 0, penaltiesRatio = 0, scoresRatio = 0, masksRatio = 0 } = {}
  ): Asked {
    const room = this.#world.toy.contextMax
    const length = Math.min(promptTokens, room - 2)
    const count = Math.min(answerTokens, room - length)
    const promptIds = drawPrompt(chance, { length, texts, vocab: this.#world.toy.vocab })
    const number = ++this.#sessions
    // By its seed a session is known for the answer that it is of, once it begins.
    const plain = { temperature, topP: 1, topK: 0, seed: seedOf(number, chance) }
    const isPenalised = penaltiesRatio > 0 && this.#world.chance.fork(`penalties ${number}`).happens(penaltiesRatio)
    const isScored = scoresRatio > 0 && this.#world.chance.fork(`scores ${number}`).happens(scoresRatio)
    const isMasked = masksRatio > 0 && this.#world.chance.fork(`masks ${number}`).happens(masksRatio)
    const sampling = {
      ...plain,
      ...(isMasked ? { masked: true } : {}),
      ...(isPenalised ? somePenalties : {}),
      ...(isScored ? someScores : {}),
      ...(isPenalised || isScored ? { promptTokens: length } : {})
    }
    const cache = i8Ratio > 0 && this.#world.chance.fork(`caches ${number}`).happens(i8Ratio) ? 'i8' : usualCache
    this.#world.say(`${driver.name} asks ${number}: ${length} tokens, ${count} to come`)
    this.#world.promises.began(number, { prompt: promptIds, sampling, cache }, count)
    if (!isProbe) this.#world.stats.asked(number, this.#world.nowMs)
    this.#world.tell({
      kind: 'ask',
      atMs: this.#world.nowMs,
      number,
      driver: driver.name,
      promptTokens: length,
      answerTokens: count,
      sampling,
      cache
    })
    const give = new AbortController()
    const asked: Asked = {
      number,
      promptIds,
      answerTokens: count,
      sampling,
      cache,
      grammar: isMasked ? { kind: 'json' } : undefined,
      signal: give.signal,
      session: undefined,
      route: [],
      isRouting: true,
      sinceMs: this.#world.nowMs,
      tokenMs: undefined,
      lost: [],
      isEnded: false
    }
    this.open.set(number, { asked, driver, give })
    driver.process!.ask(asked)
    return asked
  }

  /** A session of a peer begins an epoch. */
  begun({ session, route, sampling }: SignedTerms): void {
    const asked = this.open.get(numberOf(sampling.seed))?.asked
    if (asked === undefined) return
    if (asked.session === undefined) {
      asked.session = session
      this.#bySession.set(session, asked)
      this.#world.promises.named(asked.number, session)
    }
    asked.route = route
    asked.isRouting = false
    asked.sinceMs = this.#world.nowMs
  }

  /** A hop has no room for a session, or none any more. */
  refusedRoom(session: SessionId): void {
    this.#refusedMs.delete(session)
    this.#refusedMs.set(session, this.#world.nowMs)
    if (this.#refusedMs.size > refusedMax) this.#refusedMs.delete(this.#refusedMs.keys().next().value!)
  }

  /** Whether an answer that is not complete has got on lately. @param ms how lately */
  getOn(ms: number): boolean {
    for (const { asked } of this.open.values()) {
      if (asked.tokenMs !== undefined && this.#world.nowMs - asked.tokenMs < ms) return true
    }
    return false
  }

  ofSession(session: SessionId): Asked | undefined {
    return this.#bySession.get(session)
  }

  told(driver: SimPeer, asked: Asked, event: GenerationEvent): void {
    const { number } = asked
    if (!this.open.has(number)) return
    this.#world.tell({ kind: 'output', atMs: this.#world.nowMs, number, output: event })
    switch (event.event) {
      case 'prompt':
        this.#world.promises.prompt(number, event.tokens)
        break
      case 'token':
        this.#world.promises.token(number, event.position, event.id, event)
        this.#world.stats.token(number, this.#world.nowMs)
        asked.sinceMs = this.#world.nowMs
        asked.tokenMs = this.#world.nowMs
        if (event.position + 1 - asked.promptIds.length === this.#impatient.get(number)) {
          this.#world.agenda.after(0, () => this.#cancel(asked))
        }
        if (event.position === asked.promptIds.length + ambushToken) this.#world.faults.spring(driver, asked)
        break
      case 'lost':
        asked.lost.push(event.peer)
        asked.isRouting = true
        this.#world.say(`${number} loses hop ${event.hop}, ${this.#world.nameOf(event.peer)}: ${event.reason}`)
        if (event.charged) this.#world.blame.charged(driver, asked, event)
        this.#world.stats.lost(event.reason)
        break
      case 'route':
        this.#classes.set(number, this.#classesOf(event.hops))
        break
      case 'recovered':
        this.#checkExact(driver, number, event)
        this.#world.say(`${number} recovers after ${event.ms.toFixed(0)} ms, ${event.replayedTokens} tokens replayed`)
        this.#world.stats.recovered(this.#world.nowMs, event.ms)
        break
      case 'cut':
        asked.isRouting = true
        this.#world.say(
          `${number} loses the link from ${this.#world.nameOf(event.peer)} to ${this.#world.nameOf(event.next)}`
        )
        this.#world.stats.cuts++
        break
      case 'done':
        this.#world.say(`${number} stopped`)
        this.#world.stats.ended(number, this.#world.nowMs, 'stopped', this.#world.promises.isTainted(number))
        this.#checkExact(driver, number, { route: asked.route, exact: event.exact })
        this.#watchCaches(driver, asked)
        this.#close(asked)
        break
      default:
        break
    }
  }

  failed(driver: SimPeer, asked: Asked, error: Error): void {
    const { number } = asked
    const open = this.open.get(number)
    if (open === undefined) return
    if (error instanceof AssertionError || !(error instanceof Error && 'exitCode' in error)) {
      if (!open.give.signal.aborted) this.#world.crashed(error)
    }
    const { message } = error
    const isGivenUp = open.give.signal.aborted
    this.#world.tell({ kind: 'output', atMs: this.#world.nowMs, number, output: { event: 'failed', message } })
    this.#world.say(`${number} ${isGivenUp ? 'cancelled' : `fails: ${message}`}`)
    this.#world.stats.ended(
      number,
      this.#world.nowMs,
      isGivenUp ? 'cancelled' : 'failed',
      this.#world.promises.isTainted(number)
    )
    if (isGivenUp && !asked.isRouting) this.#watchCaches(driver, asked)
    this.#close(asked)
  }

  /** Nothing more is told of it. */
  #close(asked: Asked): void {
    const { number, session } = asked
    asked.isEnded = true
    this.#world.promises.ended(number)
    this.open.delete(number)
    this.#classes.delete(number)
    this.#impatient.delete(number)
    if (session !== undefined) this.#bySession.delete(session)
  }

  /** Nobody hears any more what it was asked. */
  forget(peer: SimPeer): void {
    for (const { asked, driver } of [...this.open.values()]) {
      if (driver !== peer) continue
      this.#close(asked)
      this.#world.stats.driversLost++
    }
  }

  /** The numeric class that computes each layer. */
  #classesOf(route: readonly Hop[]): string[] {
    return route.flatMap(({ peer, start, end }) =>
      new Array<string>(end - start).fill(this.#world.peerOf(peer)!.group.numericClass)
    )
  }

  /** A session that calls its answer exact has had every layer computed in one class alone (promise P3). */
  #checkExact(
    driver: SimPeer,
    number: number,
    { route, exact }: { readonly route: readonly Hop[]; readonly exact: boolean }
  ): void {
    this.#world.promises.checks++
    const first = this.#classes.get(number)
    if (!exact || first === undefined) return
    const layer = this.#classesOf(route).findIndex((numericClass, at) => numericClass !== first[at])
    if (layer < 0) return
    this.#world.promises.broken(
      'inexact',
      `${driver.name} calls an answer exact whose layer ${layer} was computed as ${first[layer]} first, and now otherwise`
    )
  }

  /** An answer is over: where nothing is wrong its caches are free long before anybody would give them up for lost. */
  #watchCaches(driver: SimPeer, { session, route }: Asked): void {
    if (session === undefined) return
    const endMs = this.#world.nowMs
    const hops = route.map(hop => ({ hop, peer: this.#world.peerOf(hop.peer)! }))
    const all = [driver, ...hops.map(({ peer }) => peer)]
    const lives = all.map(({ life }) => life)
    // A cache is not freed under a step that is being computed.
    if (all.some(({ process }) => (process?.backlogMs ?? 0) > cachesFreeMs / 4)) return
    this.#world.agenda.after(cachesFreeMs, () => {
      const isCalm = all.every(
        (peer, i) =>
          peer.life === lives[i] &&
          this.#world.blame.isHealthy(peer) &&
          all.every(other => !this.#world.blame.hadTrouble(peer, other))
      )
      // Whose hop has just had to make room for others is told nothing through that hop: the rest gives way first.
      const isCrossed = (this.#refusedMs.get(session) ?? Number.NEGATIVE_INFINITY) > endMs - crossingMs
      if (!isCalm || isCrossed) return
      this.#world.promises.checks++
      const left = hops.find(({ hop, peer }) => peer.process?.hasCache(driver.id, session, hop) === true)
      if (left === undefined) return
      this.#world.promises.broken(
        'leak',
        `${left.peer.name} keeps the cache of an answer that ended ${cachesFreeMs / 1000} s ago`
      )
    })
  }
}

/** One of them is enough to have the ids so far carried to the tail; which ones there are, a toy does not mind. Filters go with them. */
const somePenalties = {
  presencePenalty: 0.5,
  frequencyPenalty: 0.25,
  repetitionPenalty: 1.1,
  minP: 0.05,
  logitBias: { 7: -1.5 }
}

const someScores = { logprobs: 2, promptLogprobs: 1 }

function drawPrompt(
  chance: Chance,
  { length, texts, vocab }: { readonly length: number; readonly texts: number; readonly vocab: number }
): number[] {
  if (texts === 0) return Array.from({ length }, () => chance.whole(0, vocab - 1))
  const chosen = Array.from({ length: Math.ceil(length / attentionBlock) }, () => chance.whole(0, texts - 1))
  return Array.from({ length }, (_, at) => {
    const [text, row] = [chosen[Math.floor(at / attentionBlock)]!, at % attentionBlock]
    return (7919 * text + 31 * row * row + row) % vocab
  })
}

/** Seeds are whole numbers below 2^53, of which the upper ones say which answer it is. */
const seedsPerAnswer = 2 ** 20

function seedOf(number: number, chance: Chance): number {
  return number * seedsPerAnswer + chance.whole(0, seedsPerAnswer - 1)
}

function numberOf(seed: number): number {
  return Math.floor(seed / seedsPerAnswer)
}
