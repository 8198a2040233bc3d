/** A few peers in one process: memory links, stage services, toy engines. The deciders and doers are the real ones. */
import type { ModelId, PeerId, Range } from '../../src/base/ids.ts'
import type { Sign, Verify } from '../../src/base/signature.ts'
import type { Engine, Sampling, Step, StepOutput } from '../../src/engine/engine.ts'
import type { TokenScore } from '../../src/engine/scores.ts'
import { noTemplate } from '../../src/model/chat.ts'
import { NotCoveredError } from '../../src/errors.ts'
import type { GenerationEvent } from '../../src/session/generation.ts'
import { findDetour } from '../../src/route/detour.ts'
import { type Hop, isWithout, type ModelShape, type PeerView, type Without } from '../../src/route/view.ts'
import type { SessionOptions } from '../../src/session/options.ts'
import type {
  BegunAnswer,
  ConversationAsk,
  SessionModel,
  SessionParts,
  SessionTokenizer
} from '../../src/session/parts.ts'
import { generate, resume } from '../../src/session/service.ts'
import type { AnnouncedSpeed } from '../../src/session/patience.ts'
import { createStageService } from '../../src/stage/service.ts'
import type { StageService } from '../../src/stage/service-init.ts'
import type { Links } from '../../src/swarm/links.ts'
import { signerOf, verify } from '../../sim/cast.ts'
import { mix, origins, toyScore } from '../../sim/toy-hash.ts'
import { MemoryWorld, type MemoryWorldInit } from '../../sim/memory-links.ts'
import { type ToyModel, toyEngine } from '../../sim/toy-engine.ts'
import { toyTokens } from '../../sim/toy-text.ts'

export const toy: ToyModel = { layers: 6, vocab: 251, hidden: 12, edge: 'f16', contextMax: 1024 }
export const modelId = 'ab'.repeat(32) as ModelId
export const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, seed: 1 }

/** A peer id that is base58, as all of them are on the wire: there is no 0 in it. */
export function peerId(name: string): PeerId {
  return `12D3KooW${name.replaceAll('0', 'z')}` as PeerId
}

/** One id per word: the text of id 7 is ` 7`. */
export const tokenizer: SessionTokenizer = {
  longest: async () => 16,
  chat: async () => {
    throw noTemplate('a model of numbers')
  },
  encode: async text => text.trim().split(/\s+/).filter(Boolean).map(Number),
  bytes: async ids => ids.map(id => new TextEncoder().encode(` ${id}`)),
  stream: () => ({ push: async ids => ids.map(id => ` ${id}`).join('') })
}

export function words(ids: readonly number[]): string {
  return ids.join(' ')
}

/** An engine that can be watched and hurt. */
export interface Probe {
  engine: Engine
  /** Called before each step; may throw or wait. */
  beforeRun: (step: Step) => Promise<void> | void
  /** Called before each cache is reserved; may wait. */
  beforeOpen: () => Promise<void> | void
  steps: Step[]
}

export interface TestPeer {
  id: PeerId
  links: Links
  stages: StageService
  sign: Sign
  probes: Probe[]
  violations: [PeerId, string, string][]
}

export class TestWorld {
  readonly links: MemoryWorld
  readonly #verify: Verify
  readonly peers = new Map<PeerId, TestPeer>()
  readonly model: ToyModel
  readonly #commits: boolean
  /** Peers that have announced that they are about to go. */
  readonly leaving = new Set<PeerId>()
  /** Peers that stay, but whose stages placement is about to drop. */
  readonly dropping = new Set<PeerId>()
  /** Peers that do not answer at this moment. */
  readonly suspects = new Set<PeerId>()
  /** How fast hops have announced to be. */
  speedOf: ((hop: Hop) => AnnouncedSpeed | undefined) | undefined
  /** Routes that sessions began on, in order. */
  readonly routes: (readonly Hop[])[] = []

  /** @param init.commits stages commit to what they compute @param init.verify @default one for signatures that cost nothing, as peers make them that bring none of their own */
  constructor(init: MemoryWorldInit & { model?: ToyModel; verify?: Verify; commits?: boolean } = {}) {
    this.links = new MemoryWorld(init)
    this.#verify = init.verify ?? verify
    this.model = init.model ?? toy
    this.#commits = init.commits ?? false
  }

  /** Adds a peer that serves these layer ranges; over links of this world unless it brings its own. */
  async add(
    name: string,
    ranges: readonly Range[],
    init: { cacheBytesMax?: number; retainBytesMax?: number; links?: Links; sign?: Sign } = {}
  ): Promise<TestPeer> {
    const { cacheBytesMax = 1 << 24, retainBytesMax = 1 << 24 } = init
    const links = init.links ?? this.links.join(peerId(name))
    const id = links.self
    const violations: TestPeer['violations'] = []
    const stages = await createStageService({
      links,
      retainBytesMax,
      verify: this.#verify,
      sign: this.#commits ? (init.sign ?? signerOf(id)) : undefined,
      onViolation: (remote, kind, message) => violations.push([remote, kind, message])
    })
    const peer: TestPeer = { id, links, stages, sign: init.sign ?? signerOf(id), probes: [], violations }
    for (const { start, end } of ranges) {
      const inner = toyEngine({ model: this.model, start, end, cacheBytesMax })
      const probe: Probe = { engine: inner, beforeRun: () => {}, beforeOpen: () => {}, steps: [] }
      const run = inner.run.bind(inner)
      inner.run = async (step, options): Promise<StepOutput> => {
        await probe.beforeRun(step)
        probe.steps.push(step)
        return run(step, options)
      }
      const open = inner.open.bind(inner)
      inner.open = async (session, options) => {
        await probe.beforeOpen()
        return open(session, options)
      }
      peer.probes.push(probe)
      stages.add(inner, {
        model: modelId,
        layers: this.model.layers,
        vocab: this.model.vocab,
        contextMax: this.model.contextMax,
        numericClass: 'toy'
      })
    }
    this.peers.set(id, peer)
    return peer
  }

  /** As a peer's planner does it: its stages go once no session holds them. Resolves when all have gone. */
  async depart(id: PeerId): Promise<void> {
    const { stages, probes } = this.peers.get(id)!
    this.leaving.add(id)
    stages.leaving = true
    while (stages.stats.sessions > 0) await new Promise(resolve => setTimeout(resolve, 50))
    for (const { engine } of probes) await stages.remove(modelId, engine)
    this.links.kill(id)
    this.peers.delete(id)
  }

  kill(id: PeerId): void {
    this.links.kill(id)
    this.peers.delete(id)
  }

  /** The first route found over live peers, going through `prefer` where it can. */
  route(excluded: Without): Hop[] {
    const stages = [...this.peers.values()]
      .flatMap(({ id, probes }) => probes.map(({ engine: { start, end } }) => ({ peer: id, start, end })))
      .filter(hop => !isWithout(excluded, hop))
    const walk = (at: number): Hop[] | undefined => {
      if (at === this.model.layers) return []
      for (const stage of stages) {
        if (stage.start !== at) continue
        const rest = walk(stage.end)
        if (rest !== undefined) return [stage, ...rest]
      }
      return undefined
    }
    const route = walk(0)
    if (route === undefined) throw new NotCoveredError('no live stages cover the model')
    return route
  }

  generate(
    driver: TestPeer,
    prompt: readonly number[] | ConversationAsk | BegunAnswer,
    options: SessionOptions & {
      eosIds?: number[]
      routeOf?: (excluded: Without) => Hop[]
      hears?: (peer: PeerId) => boolean
      /** What else the session works with. */
      parts?: Partial<SessionParts>
    } = {}
  ) {
    const {
      eosIds = [],
      parts = {},
      routeOf,
      hears = id => this.peers.has(id) && !this.suspects.has(id),
      ...rest
    } = options
    const model: SessionModel = {
      id: modelId,
      layers: this.model.layers,
      vocab: this.model.vocab,
      contextMax: this.model.contextMax,
      eosIds
    }
    const all: SessionParts = {
      links: driver.links,
      stages: driver.stages,
      sign: driver.sign,
      tokenizer,
      model,
      route: async (excluded, { doubtful }) => {
        const ask = routeOf ?? (e => this.route(e))
        try {
          return ask(excluded)
        } catch (error) {
          if (doubtful.size === 0) throw error
          return ask(excluded.difference(doubtful))
        }
      },
      suspects: () => this.suspects,
      ...(this.speedOf === undefined ? {} : { speedOf: this.speedOf }),
      keepsWaiting: () => true,
      stepBytes: 2 * this.model.hidden,
      onRoute: route => this.routes.push(route),
      hears,
      leaving: route => this.leaving.union(new Set(route.map(hop => hop.peer)).intersection(this.dropping)),
      detour: (route, excluded) => this.#detour(route, excluded),
      onViolation: (remote, kind, message) => driver.violations.push([remote, kind, message]),
      ...parts
    }
    if ('promptIds' in prompt) return resume(async () => ({ parts: all, begun: prompt, options: rest }))
    return generate(all, 'messages' in prompt ? prompt : words(prompt), rest)
  }

  #detour(route: readonly Hop[], excluded: Without): { route: Hop[]; exact: boolean } | undefined {
    const views: PeerView[] = [...this.peers.values()].map(({ id, probes }) => ({
      peer: id,
      budgetBytes: 0,
      held: [],
      holdsEmbedding: true,
      holdsHead: true,
      pinned: null,
      visitMs: 1,
      layerMs: 1,
      numericClass: 'toy',
      stages: probes.map(({ engine: { start, end } }) => ({ start, end, serving: !this.dropping.has(id) })),
      sessions: 0,
      battery: null,
      leaving: this.leaving.has(id)
    }))
    const { layers } = this.model
    const shape = { layers, stepBytes: 100 } as ModelShape
    const found = findDetour(views, shape, { from: '' as PeerId, route, excluded })
    return found === undefined ? undefined : { route: found, exact: true }
  }

  expected(prompt: readonly number[], count: number, sampling: Partial<Sampling> = {}): number[] {
    return toyTokens(this.model, prompt, { ...greedy, ...sampling }, count)
  }

  /** What the model makes of each of these tokens, which follow a prompt. */
  expectedScores(prompt: readonly number[], ids: readonly number[], count: number): TokenScore[] {
    let hash = origins.f32
    const text = [...prompt, ...ids]
    const scores: TokenScore[] = []
    for (const [position, id] of text.entries()) {
      if (position >= prompt.length) scores.push(toyScore(hash, id, count, this.model.vocab))
      hash = mix(hash, position, id)
    }
    return scores
  }

  /** Cache bytes in use at live peers' engines, all together. */
  get cacheBytesUsed(): number {
    return [...this.peers.values()].flatMap(p => p.probes).reduce((sum, { engine }) => sum + engine.cacheBytesUsed, 0)
  }

  get sessions(): number {
    return [...this.peers.values()].reduce((sum, { stages }) => sum + stages.stats.sessions, 0)
  }

  async stop(): Promise<void> {
    for (const { stages } of this.peers.values()) await stages.stop()
  }
}

export async function collect(events: AsyncIterable<GenerationEvent>): Promise<GenerationEvent[]> {
  const all: GenerationEvent[] = []
  for await (const event of events) all.push(event)
  return all
}

/** What was told of the tokens of a prompt, from its second one on; each once, and in order. */
export function promptScoresIn(events: readonly GenerationEvent[]): TokenScore[] {
  const told = events.flatMap(event => (event.event === 'prompt' ? event.tokens : []))
  if (told.some(({ position }, i) => position !== i)) throw new Error('the prompt was not told of in order')
  return told.flatMap(({ logprob, top }) => {
    if (logprob === undefined) return []
    return [{ logprob, top: top!.map(each => ({ id: each.id, logprob: each.logprob })) }]
  })
}

/** What was told of the tokens of an answer beside them. */
export function scoresIn(events: readonly GenerationEvent[]): TokenScore[] {
  return events.flatMap(event => {
    if (event.event !== 'token' || event.logprob === undefined) return []
    return [{ logprob: event.logprob, top: event.top!.map(({ id, logprob }) => ({ id, logprob })) }]
  })
}

export function prompt(length: number, vocab = toy.vocab): number[] {
  return Array.from({ length }, (_, i) => (i * 7 + 3) % vocab)
}
