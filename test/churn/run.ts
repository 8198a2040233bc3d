/** One answer of the churn suite: asks, hurts the swarm at the planned moments, and says what came of it. */
import type { GenerationEvent, PeerId } from '../../src/index.ts'
import { quantile } from './figures.ts'
import type { AnswerPlan, Fault, Way } from './plan.ts'
import type { AnswerResult, Injection } from './results.ts'
import type { ChurnPeer } from './peer.ts'
import type { World } from './world.ts'

/** Time for one answer, its losses included: seconds, and minutes where forty processes want each core. */
const answerMs = 600_000

/** Time that an answer may wait for layers that nobody serves: peers load them in seconds, many at once on a busy machine. */
const waitMs = 90_000

/** Reasons that only the peer itself can give; `left` also where placement has it change its stage after a loss. */
const ownWords: ReadonlySet<string> = new Set(['no-room', 'not-serving', 'left'])

/** Hurts one peer in one way. */
function hurt(peer: ChurnPeer, way: Way): void {
  if (way === 'kill' || way === 'last') peer.kill()
  else if (way === 'silent') peer.pause()
  else if (way === 'drop') peer.init.attachment!.unplug()
  else if (way === 'left') peer.leave()
  else peer.drain()
}

export class Runner {
  readonly #world: World
  readonly #plan: AnswerPlan
  readonly #log: (line: string) => void
  #route: readonly { readonly peer: PeerId; readonly start: number; readonly end: number }[] = []
  readonly #injections: Injection[] = []
  /** Peers that were hurt since the swarm was calm. */
  readonly #hurt = new Map<PeerId, Way>()
  /** Those of them that are to come back as soon as the session has recovered. */
  readonly #backSoon = new Set<ChurnPeer>()
  readonly #healing = new Map<ChurnPeer, Promise<void>>()
  /** Losses that wait until the session has noticed one. */
  #again: Fault[] = []
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(world: World, plan: AnswerPlan, log: (line: string) => void) {
    this.#world = world
    this.#plan = plan
    this.#log = log
  }

  async run(expected: readonly number[], signal: AbortSignal): Promise<AnswerResult> {
    const { prompt, maxTokens, temperature, topP, seed, faults } = this.#plan
    const waiting = [...faults]
    const ids: number[] = []
    const blamed: string[] = []
    const refusals: string[] = []
    const gaps: number[] = []
    const recoveries: { ms: number; replayedTokens: number }[] = []
    const startMs = performance.now()
    let lastMs = startMs
    let failure: string | undefined
    let exact = true
    let tokensPerSecond = 0
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(answerMs)])
    try {
      const options = { maxTokens, temperature, topP, topK: 0, seed, waitMs, signal: deadline }
      for await (const event of this.#world.driver.generate(prompt, options).events()) {
        const nowMs = performance.now()
        if (event.event === 'token') {
          if (ids.length > 0) gaps.push(nowMs - lastMs)
          ids.push(event.id)
          this.#noteGap(nowMs - lastMs, lastMs, nowMs)
          lastMs = nowMs
        } else if (event.event === 'lost') {
          this.#log(`  token ${ids.length}: lost ${event.peer.slice(-6)} at hop ${event.hop}: ${event.reason}`)
          const list = !event.charged || ownWords.has(event.reason) ? refusals : blamed
          if (!this.#hurt.has(event.peer)) list.push(`${event.peer} at hop ${event.hop}: ${event.reason}`)
          this.#onLost()
        } else if (event.event === 'recovered') {
          this.#log(`  token ${ids.length}: recovered in ${event.ms.toFixed(0)} ms, ${event.replayedTokens} replayed`)
          recoveries.push({ ms: event.ms, replayedTokens: event.replayedTokens })
          this.#onRecovered(event, nowMs)
        } else if (event.event === 'waiting') {
          this.#log(`  token ${ids.length}: waiting: ${event.message}`)
          for (const injection of this.#injections) injection.told ||= injection.pauseMs === undefined
        } else if (event.event === 'route') {
          this.#route = event.hops
        } else if (event.event === 'done') {
          exact = event.exact
          tokensPerSecond = event.timing.tokensPerSecond
        }
        if (event.event !== 'route' && event.event !== 'token') continue
        while (waiting[0] !== undefined && waiting[0].at * expected.length <= ids.length) {
          const fault = waiting.shift()!
          this.#later(fault.delayMs, () => this.#strike(fault))
        }
      }
    } catch (error) {
      signal.throwIfAborted()
      failure = `${(error as Error).name}: ${(error as Error).message}`
    } finally {
      for (const timer of this.#timers) clearTimeout(timer)
    }
    const matching = expected.filter((id, i) => ids[i] === id).length
    return {
      plan: this.#plan,
      injections: this.#injections,
      identical: failure === undefined && ids.length === expected.length && matching === expected.length,
      exact,
      tokensLost: expected.length - matching,
      tokens: ids.length,
      ms: performance.now() - startMs,
      blamed,
      refusals,
      recoveries,
      tokensPerSecond,
      tokenMs: quantile(gaps, 0.5) ?? 0,
      failure
    }
  }

  /** Brings back whoever was hurt, and waits until every layer is covered twice. */
  async heal(signal: AbortSignal): Promise<void> {
    const startMs = performance.now()
    for (const peer of this.#world.peers) this.#heal(peer)
    await Promise.all(this.#healing.values())
    await this.#world.calm(signal, this.#log)
    this.#log(`  calm after ${(performance.now() - startMs).toFixed(0)} ms`)
  }

  #heal(peer: ChurnPeer): void {
    const way = this.#hurt.get(peer.id)
    if (way === undefined || this.#healing.has(peer)) return
    this.#log(`  healing ${peer.init.name} from ${way}`)
    this.#healing.set(
      peer,
      (async () => {
        if (way === 'drop') peer.init.attachment!.plug()
        else if (way === 'silent') peer.resume()
        else {
          await peer.ended()
          peer.start()
        }
      })()
    )
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      act()
    }, ms)
    this.#timers.add(timer)
  }

  /** Hurts a hop of the present route that can be spared. */
  #strike(fault: Fault): void {
    const victims = fault.way === 'last' ? this.#holders(fault) : this.#victims(fault)
    if (victims.length === 0) {
      this.#log(`  (nobody on the route can be spared for ${fault.way})`)
      return
    }
    for (const [i, { peer, hop }] of victims.entries()) {
      this.#hurt.set(peer.id, fault.way)
      if (fault.backSoon) this.#backSoon.add(peer)
      const atMs = performance.now()
      hurt(peer, fault.way)
      const shape = victims.length > 1 && fault.way !== 'last' ? 'pair' : 'single'
      // Several are one fault with one pause: the others only make it worse.
      if (i === 0) this.#inject({ way: fault.way, hop, shape, atMs })
      this.#log(`  ${fault.way} ${peer.init.name} (${peer.id.slice(-6)}) at hop ${hop}${i > 0 ? ', too' : ''}`)
    }
    if (fault.way !== 'last') {
      if (fault.againMs !== null) this.#again.push(fault)
    } else if (fault.backSoon) {
      // They come back while the session waits; else the others have to do without them.
      for (const { peer } of victims) this.#heal(peer)
    }
  }

  #inject(injection: Pick<Injection, 'way' | 'hop' | 'shape' | 'atMs'>): void {
    this.#injections.push({ ...injection, pauseMs: undefined, gapMs: undefined, told: false })
  }

  /** The session has noticed: those losses come that are to hit its recovery. */
  #onLost(): void {
    const again = this.#again
    this.#again = []
    for (const fault of again) {
      this.#later(fault.againMs!, () => {
        const [victim] = this.#victims({ ...fault, pair: false })
        if (victim === undefined) return
        const { peer, hop } = victim
        this.#hurt.set(peer.id, fault.way)
        if (fault.backSoon) this.#backSoon.add(peer)
        const atMs = performance.now()
        hurt(peer, fault.way)
        this.#inject({ way: fault.way, hop, shape: 'again', atMs })
        this.#log(`  ${fault.way} ${peer.init.name} (${peer.id.slice(-6)}) at hop ${hop}, in the recovery`)
      })
    }
  }

  #onRecovered({ route }: GenerationEvent & { event: 'recovered' }, nowMs: number): void {
    this.#route = route
    for (const injection of this.#injections) injection.pauseMs ??= nowMs - injection.atMs
    for (const peer of this.#backSoon) this.#heal(peer)
    this.#backSoon.clear()
  }

  /** Counts a pause between two tokens to the losses that it may come from: those that are not recovered from. */
  #noteGap(ms: number, fromMs: number, nowMs: number): void {
    const open = this.#injections.filter(
      ({ atMs, pauseMs }) => atMs <= nowMs && (pauseMs === undefined || atMs + pauseMs >= fromMs)
    )
    const sudden = open.filter(({ way }) => way !== 'left' && way !== 'drain')
    for (const injection of sudden.length > 0 ? sudden : open) {
      injection.gapMs = Math.max(injection.gapMs ?? 0, ms)
    }
  }

  /** The hop that the plan means among those without whom a route is left, and its neighbour for a pair. */
  #victims({ hop, pair, way }: Fault): { peer: ChurnPeer; hop: number }[] {
    const onRoute = this.#route.flatMap((at, i) => {
      const peer = this.#world.peer(at.peer)
      return peer === undefined || this.#hurt.has(at.peer) ? [] : [{ peer, hop: i }]
    })
    const spared = onRoute.filter(({ peer }) => this.#isCoveredWithout([peer.id]))
    const first = spared[Math.floor(hop * spared.length)]
    if (first === undefined) return []
    if (!pair) return [first]
    const second = onRoute.find(
      other => Math.abs(other.hop - first.hop) === 1 && this.#isCoveredWithout([first.peer.id, other.peer.id])
    )
    this.#log(second === undefined ? `  (no pair for ${way})` : `  pair for ${way}`)
    return second === undefined ? [first] : [first, second]
  }

  /**
   * All peers that serve one layer of the hop that the plan means, that hop's first; nobody where the driver serves it too,
   * or where those who stay have no room for the model.
   */
  #holders({ hop }: Fault): { peer: ChurnPeer; hop: number }[] {
    const { layout, driver, peers } = this.#world
    const stages = this.#world.stages()
    const choices = this.#route.flatMap(({ start, end, peer: first }, i) => {
      const layers = Array.from({ length: end - start }, (_, n) => start + n)
      const sets = layers.map(layer => {
        const holders = stages.filter(({ range }) => range.start <= layer && layer < range.end).map(({ peer }) => peer)
        return [first, ...holders.filter(peer => peer !== first)]
      })
      const set = sets.find(holders => {
        const staying = peers.filter(({ id }) => !this.#hurt.has(id) && !holders.includes(id)).length
        const rooms = staying + (layout.driverLayers === undefined ? 1 : 0)
        return rooms >= layout.hops && !holders.includes(driver.id) && !this.#hurt.has(first)
      })
      return set === undefined ? [] : [set.map(id => ({ peer: this.#world.peer(id)!, hop: i }))]
    })
    const victims = choices[Math.floor(hop * choices.length)] ?? []
    return victims.filter(({ peer }) => !this.#hurt.has(peer.id))
  }

  #isCoveredWithout(more: readonly PeerId[]): boolean {
    const gone = new Set([...this.#hurt.keys(), ...more])
    const ranges = this.#world
      .stages()
      .filter(({ peer }) => !gone.has(peer))
      .map(({ range }) => range)
    const layers = Math.max(...ranges.map(({ end }) => end), 0)
    // Stages run whole: they must lie end to end.
    const reached = new Set([0])
    for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) if (reached.has(start)) reached.add(end)
    return layers === (this.#world.driver.status().models[0]?.layers ?? 0) && reached.has(layers)
  }
}

/** Answers of one peer that holds the whole model, each asked once. */
export class Reference {
  readonly #known = new Map<string, Promise<readonly number[]>>()
  readonly #peer: { generate: World['driver']['generate'] }

  constructor(peer: { generate: World['driver']['generate'] }) {
    this.#peer = peer
  }

  async of(
    { prompt, maxTokens, temperature, topP, seed }: Omit<AnswerPlan, 'index' | 'faults'>,
    signal: AbortSignal
  ): Promise<readonly number[]> {
    const key = JSON.stringify([prompt, maxTokens, temperature, topP, seed])
    let answer = this.#known.get(key)
    if (answer === undefined) {
      answer = (async () => {
        const generation = this.#peer.generate(prompt, { maxTokens, temperature, topP, topK: 0, seed, signal })
        for await (const _ of generation);
        return (await generation.answer).ids
      })()
      this.#known.set(key, answer)
    }
    return answer
  }
}
