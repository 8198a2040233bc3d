/** What this peer asks of graphs, wherever they are served. */
import type { PeerId } from '../base/ids.ts'
import { CorruptShardError, InvalidOptionError, PeerLeavingError } from '../errors.ts'
import type { HeardServer } from '../infer/choice.ts'
import { checkTimes, type InferOptions, type InferResult, type Inferring } from '../infer/service.ts'
import { embedding, textInputs } from '../model/embedding.ts'
import type { Store } from '../model/store.ts'
import { asGraph, type StoredGraph } from '../model/stored.ts'
import type { Tensors } from '../model/tensors.ts'
import type { TokenizerSource } from '../model/tokenizer-service.ts'
import type { ScrubCounts } from '../scrub/found.ts'
import type { Seeker, WaitOptions } from '../serving/seeker.ts'
import { sourcesOf } from '../serving/sources.ts'
import type { Supply } from '../supply/service.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { embedTextsMax } from './limits.ts'

/** A tokenizer, with what it puts around a text. */
interface GraphTokenizer {
  encodeWhole(
    text: string,
    options: { readonly signal: AbortSignal }
  ): Promise<{ readonly ids: readonly number[]; readonly tokens: number }>
  close(): void
}

export interface OwnGraphsInit {
  readonly inferring: Inferring
  readonly seeker: Seeker
  readonly store: Store
  readonly supply: Supply
  readonly swarm: Pick<Swarm, 'id' | 'records'>
  readonly tokenizers: { open(source: TokenizerSource): GraphTokenizer }
  readonly isDraining: () => boolean
}

/** Vectors of texts. */
export interface Embeddings {
  /** [texts] each of length 1. */
  readonly vectors: readonly Float32Array[]
  /** [texts] tokens of each, with what its tokenizer puts around a text. */
  readonly tokens: readonly number[]
  /** [texts] how many of those were left out, as `tokenizer.json` says how long a text may be. */
  readonly cut: readonly number[]
  /** How often each kind of personal data was replaced in all of them; absent where nobody has asked for that. */
  readonly scrubbed?: ScrubCounts
}

/** Those who may serve graphs, as this peer hears them. */
export function heardFrom(swarm: Pick<Swarm, 'id' | 'records' | 'rttMs'>): HeardServer[] {
  return swarm.records().map(({ record, connected, contact }) => {
    const isSelf = record.peer === swarm.id
    const rttMs = isSelf ? 0 : swarm.rttMs(record.peer)
    return { record, isAtHand: connected || contact || isSelf, rttMs }
  })
}

/** Told of a run once it is known of which graph it is, and by whom it was done. */
export interface RunWatcher {
  found(graph: StoredGraph): void
  ranAt(peer: PeerId): void
}

const nobody: RunWatcher = { found: () => {}, ranAt: () => {} }

export class OwnGraphs {
  readonly #init: OwnGraphsInit

  constructor(init: OwnGraphsInit) {
    this.#init = init
  }

  /** A graph by its name or id, from here or from a live peer. @throws {WrongModelKindError}, and as `Seeker.ask` */
  async find(nameOrId: string, wait: WaitOptions): Promise<StoredGraph> {
    wait.signal.throwIfAborted()
    return asGraph(await this.#init.seeker.ask(nameOrId, wait))
  }

  /** @throws as `Inferring.run` and {@link find} */
  async infer(
    nameOrId: string,
    inputs: Tensors,
    options: InferOptions,
    watcher: RunWatcher = nobody
  ): Promise<InferResult> {
    checkTimes(options)
    const graph = await this.find(nameOrId, options)
    watcher.found(graph)
    this.#checkStaying()
    const result = await this.#init.inferring.run(graph, inputs, options)
    watcher.ranAt(result.peer)
    return result
  }

  /** @throws {InvalidOptionError} when the graph takes no text or gives no vectors, and as {@link infer} */
  async embed(
    nameOrId: string,
    texts: readonly string[],
    options: InferOptions,
    watcher: RunWatcher = nobody
  ): Promise<Embeddings> {
    if (!(texts.length >= 1 && texts.length <= embedTextsMax)) {
      throw new InvalidOptionError(`1 to ${embedTextsMax} texts are embedded at a time, not ${texts.length}`)
    }
    checkTimes(options)
    const graph = await this.find(nameOrId, options)
    watcher.found(graph)
    this.#checkStaying()
    const { name, inputs: ports } = graph.manifest
    const rows = await this.#encode(graph, texts, options.signal)
    const vectors: Float32Array[] = []
    // Each alone: graphs of 8 bits scale by the largest number of a run, and a vector would depend on what is asked with it.
    for (const { ids } of rows) {
      const { outputs, peer } = await this.#init.inferring.run(graph, textInputs(name, ports, ids), options)
      watcher.ranAt(peer)
      vectors.push(embedding(name, outputs, ids.length))
    }
    return {
      vectors,
      tokens: rows.map(({ tokens }) => tokens),
      cut: rows.map(({ ids, tokens }) => tokens - ids.length)
    }
  }

  #checkStaying(): void {
    if (this.#init.isDraining()) {
      throw new PeerLeavingError('this peer is about to go and begins nothing new: ask another one')
    }
  }

  async #encode(
    graph: StoredGraph,
    texts: readonly string[],
    signal: AbortSignal
  ): Promise<{ readonly ids: readonly number[]; readonly tokens: number }[]> {
    const { name, tokenizer: file } = graph.manifest
    if (file === null) {
      throw new InvalidOptionError(`${name} has no tokenizer: import it with --tokenizer, or ask it with --input`)
    }
    const manifest = { name, bosId: null, eosIds: [], chatTemplate: null }
    const tokenizer = this.#init.tokenizers.open({
      id: graph.id,
      manifest,
      file: signal => this.#tokenizerFile(graph, signal)
    })
    try {
      return await Promise.all(texts.map(text => tokenizer.encodeWhole(text, { signal })))
    } finally {
      tokenizer.close()
    }
  }

  /** One that is missing or damaged here is fetched from peers, where one has it. */
  async #tokenizerFile(graph: StoredGraph, signal: AbortSignal): Promise<string> {
    const { store, supply, swarm } = this.#init
    try {
      return await store.tokenizerFile(graph, { signal })
    } catch (error) {
      const peers = (): PeerId[] => sourcesOf(swarm.records(), swarm.id, graph.id)
      if (!(error instanceof CorruptShardError) || peers().length === 0) throw error
      await supply.fetch([graph.manifest.tokenizer!], {
        peers,
        signal,
        what: `the tokenizer of ${graph.manifest.name}`
      })
      return store.tokenizerFile(graph, { signal })
    }
  }
}
