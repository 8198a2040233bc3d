/**
 * Graphs that this peer serves: each is found and fetched as other models are, held whole in the budget, and announced as a model of
 * one layer, whose stage serves once the graph is loaded.
 */
import type { Clock } from '../base/clock.ts'
import type { ModelId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { formatBytes } from '../base/units.ts'
import type { EngineFactory } from '../engine/factory.ts'
import { type GraphRun, graphRuntimeOf, type LoadedGraph } from '../engine/graph-runtime.ts'
import { EngineError, GraphRunError } from '../errors.ts'
import type { ShardEntry } from '../model/manifest.ts'
import type { Store } from '../model/store.ts'
import type { StoredGraph } from '../model/stored.ts'
import { type Tensors, wrongOutputs } from '../model/tensors.ts'
import type { Supply } from '../supply/service.ts'
import { meetingPointOf } from '../swarm/meeting-point.ts'
import type { ModelOffer, StageOffer } from '../swarm/record.ts'
import type { Gathering, Swarm } from '../swarm/swarm.ts'
import { join } from 'node:path'
import { type FetchStatus, HeldShards, type ShardFetch } from './held-shards.ts'
import { draftRoomLookMs, graphAnnounceRatio, graphMeanRuns, graphReloadMaxMs, graphReloadMs } from './limits.ts'

export interface ServedGraphInit {
  readonly store: Store
  readonly swarm: Swarm
  readonly supply: Supply
  readonly engines: readonly EngineFactory[]
  readonly threads: number
  /** What of the budget nothing holds at this moment. */
  readonly freeBytes: () => number
  readonly onWarning: (message: string) => void
  /** What it holds on disk has changed, or whether it serves. */
  readonly onChange: () => void
  readonly onStage: (stage: StageOffer) => void
  readonly onFetch: (fetch: ShardFetch) => void
  readonly clock: Clock
}

const whole = { start: 0, end: 1 }

export class ServedGraph {
  readonly stored: StoredGraph
  /** What it takes of the budget. */
  readonly bytes: number
  readonly #init: ServedGraphInit
  readonly #shards: HeldShards
  readonly #stopping = new AbortController()
  #loaded: LoadedGraph | undefined
  #meeting: Gathering | undefined
  #done: Promise<void> = Promise.resolve()
  /** It could not be loaded: it is announced as held, and not as served. */
  #hasFailed = false
  /** Of the last runs; 0 before the first one. */
  #runMs = 0
  #announcedRunMs = 0

  /** @param held what is on disk of it */
  constructor(init: ServedGraphInit, stored: StoredGraph, bytes: number, held: readonly ShardEntry[]) {
    this.#init = init
    this.stored = stored
    this.bytes = bytes
    this.#shards = new HeldShards({ ...init, model: stored }, held)
  }

  get held(): readonly ShardEntry[] {
    return this.#shards.list
  }

  get fetching(): FetchStatus | null {
    return this.#shards.fetching
  }

  /** Digests of the files that must stay. */
  get neededFiles(): string[] {
    const { tokenizer, shards } = this.stored.manifest
    return [...(tokenizer === null ? [] : [tokenizer]), ...shards].map(({ sha256 }) => sha256)
  }

  /** What the record says of it. */
  get offer(): ModelOffer {
    const { id, manifest } = this.stored
    return {
      model: id,
      name: manifest.name,
      layers: 1,
      ...this.#shards.offer,
      visitMs: this.#announcedRunMs,
      layerMs: 0,
      numericClass: '',
      pinned: null,
      budgetBytes: this.bytes,
      isGraph: true
    }
  }

  /** Whether it serves, or is being loaded; nothing where it cannot. */
  get offers(): StageOffer[] {
    if (this.#hasFailed) return []
    const { id } = this.stored
    return [{ model: id, ...whole, serving: this.isServing, sessions: this.#loaded?.busy ?? 0, cacheBytesFree: 0 }]
  }

  get isServing(): boolean {
    return this.#loaded !== undefined
  }

  /** Runs that are under way or wait. */
  get busy(): number {
    return this.#loaded?.busy ?? 0
  }

  refresh(): Promise<void> {
    return this.#shards.refresh()
  }

  /** Begins to fetch and load it. What goes wrong is told once, and ends it. */
  start(): void {
    this.#shards.start()
    this.#meeting = this.#init.swarm.gather(meetingPointOf(this.stored.id))
    this.#done = this.#load().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) this.#fail(error)
    })
  }

  /** @throws as `LoadedGraph.run`; {GraphRunError} when it gives what its manifest does not say; {EngineError} while it is not loaded */
  async run(
    inputs: Tensors,
    options: { readonly deadlineMs: number; readonly signal: AbortSignal }
  ): Promise<GraphRun> {
    const loaded = this.#loaded
    if (loaded === undefined) throw new EngineError(`the graph ${this.stored.manifest.name} is not loaded here`)
    try {
      const run = await loaded.run(inputs, options)
      this.#took(run.computeMs)
      // An output may be empty (nothing was found), or not as the file says: whoever asked would take that for a lie of this peer.
      const wrong = wrongOutputs(this.stored.manifest.outputs, run.outputs)
      if (wrong === undefined) return run
      throw new GraphRunError(
        `the graph ${this.stored.manifest.name} gives with these inputs what cannot be sent: the output ${wrong}`
      )
    } catch (error) {
      if (loaded.isLost && this.#loaded === loaded) this.#lose(error)
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the graph is not served any more'))
    const loaded = this.#loaded
    this.#loaded = undefined
    this.#meeting?.end()
    await this.#done
    await this.#shards.stop()
    await loaded?.close()
  }

  async #load(): Promise<void> {
    const { engines, threads, freeBytes, onChange, onStage, clock } = this.#init
    const { signal } = this.#stopping
    const { id, manifest } = this.stored
    const found = graphRuntimeOf(engines, manifest.name)
    if ('refusal' in found) throw new EngineError(found.refusal)
    const folder = await this.#shards.folder(whole, signal)
    // Stages may hold more for a while, until sessions on them have ended.
    while (freeBytes() < 0 && !signal.aborted) await clock.sleep(draftRoomLookMs, { signal })
    signal.throwIfAborted()
    const file = join(folder, manifest.shards[0]!.sha256)
    const loaded = await found.runtime.load({ manifest, file, threads, signal })
    if (signal.aborted) {
      await loaded.close()
      return
    }
    this.#loaded = loaded
    this.#hasFailed = false
    onChange()
    onStage({ model: id, ...whole, serving: true, cacheBytesFree: 0 })
  }

  /** It has never served, and what is wrong is the graph's or this machine's. */
  #fail(error: unknown): void {
    const { onWarning, onChange } = this.#init
    this.#hasFailed = true
    const { name } = this.stored.manifest
    onWarning(
      `the graph ${name} is not served here: ${reasonOf(error)} (${formatBytes(this.bytes)} are held for it until skein unserve)`
    )
    onChange()
  }

  /** It has served, and could not be loaded anew: the memory or the disk may have failed it for a while. */
  #lose(error: unknown): void {
    const { onWarning, onChange, onStage } = this.#init
    const { id, manifest } = this.stored
    void this.#loaded?.close()
    this.#loaded = undefined
    // Who asks meanwhile is not to wait for it.
    this.#hasFailed = true
    onWarning(
      `the graph ${manifest.name} is not served here for now: ${reasonOf(error)}. It is loaded anew in ${graphReloadMs / 1000} s, and then ever more rarely, until skein unserve`
    )
    onChange()
    onStage({ model: id, ...whole, serving: false, cacheBytesFree: 0 })
    this.#done = this.#reload().catch(() => {})
  }

  /** Until it serves again. @throws when it is not to be served any more */
  async #reload(): Promise<void> {
    const { signal } = this.#stopping
    for (let pauseMs = graphReloadMs; !this.isServing; pauseMs = Math.min(2 * pauseMs, graphReloadMaxMs)) {
      await this.#init.clock.sleep(pauseMs, { signal })
      signal.throwIfAborted()
      // Why it fails was told when it was lost.
      await this.#load().catch(() => signal.throwIfAborted())
    }
  }

  /** Who asks goes by it; it is told anew where it has changed much. */
  #took(computeMs: number): void {
    this.#runMs = this.#runMs === 0 ? computeMs : this.#runMs + (computeMs - this.#runMs) / graphMeanRuns
    const ratio = this.#runMs / this.#announcedRunMs
    if (ratio < graphAnnounceRatio && ratio > 1 / graphAnnounceRatio) return
    this.#announcedRunMs = this.#runMs
    this.#init.onChange()
  }
}

/** Those of one peer, by id. */
export class ServedGraphs {
  readonly #graphs = new Map<ModelId, ServedGraph>()

  get all(): readonly ServedGraph[] {
    return [...this.#graphs.values()]
  }

  get bytes(): number {
    return this.all.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get(model: ModelId): ServedGraph | undefined {
    return this.#graphs.get(model)
  }

  set(graph: ServedGraph): void {
    this.#graphs.set(graph.stored.id, graph)
  }

  delete(model: ModelId): void {
    this.#graphs.delete(model)
  }
}
