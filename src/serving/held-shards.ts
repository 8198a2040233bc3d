/**
 * What this peer has on its disk of one model that it serves: fetches from other peers what a stage lacks, looks for holders of
 * what nobody is known to have, and drops from what it announces whatever turned out to be damaged.
 */
import type { Clock } from '../base/clock.ts'
import type { ContentId, ModelId, PeerId, Range } from '../base/ids.ts'
import { CorruptShardError } from '../errors.ts'
import { layerCount, type ShardEntry, stageShards } from '../model/manifest.ts'
import type { AnyModel, Store } from '../model/store.ts'
import type { Supply } from '../supply/service.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { Holders } from './holders.ts'
import { heldTellMs, holdersLooks } from './limits.ts'
import { layersOf, namesOf } from './shard-names.ts'
import { isNamed, sourcesOf } from './sources.ts'

/** A fetch of shards from other peers. */
export interface ShardFetch {
  readonly model: ModelId
  /** `layer 3`, `layers 3-5, head`. */
  readonly shards: string
  readonly bytes: number
  /** How many peers may have them. */
  readonly peers: number
  /** Undefined while it goes on. */
  readonly tookMs: number | undefined
}

/** How far a fetch has come. */
export interface FetchStatus {
  readonly model: ModelId
  readonly shards: string
  readonly bytes: number
  readonly bytesTotal: number
  /** Peers that have some of what is missing. */
  readonly peers: number
}

export interface HeldShardsInit {
  readonly store: Store
  readonly model: AnyModel
  readonly swarm: Swarm
  readonly supply: Supply
  readonly onWarning: (message: string) => void
  /** It is other shards than before, or is being fetched. */
  readonly onChange: () => void
  /** Shards are fetched from other peers, or have come. */
  readonly onFetch: (fetch: ShardFetch) => void
  readonly clock: Clock
}

export class HeldShards {
  readonly #init: HeldShardsInit
  readonly #layers: number
  readonly #holders: Holders
  #held: readonly ShardEntry[]
  #fetching: readonly ShardEntry[] = []
  #asking: Promise<void> = Promise.resolve()
  /** How often in a row somebody named had nothing of a shard. */
  #barrenLooks = 0
  readonly #stopping = new AbortController()

  /** @param held what is on disk of it */
  constructor(init: HeldShardsInit, held: readonly ShardEntry[]) {
    this.#init = init
    this.#layers = layerCount(init.model.manifest)
    this.#held = held
    this.#holders = new Holders({
      swarm: init.swarm,
      wanted: () => this.#sought(),
      onFound: () => init.supply.changed(),
      clock: init.clock
    })
  }

  /** What is on disk of it. */
  get list(): readonly ShardEntry[] {
    return this.#held
  }

  /** The layers, and whether the embedding and the head are among it. */
  get offer(): { readonly held: readonly Range[]; readonly embedding: boolean; readonly head: boolean } {
    return {
      held: layersOf(this.#held, this.#layers),
      embedding: this.#held.some(({ role }) => role === 'embedding'),
      head: this.#held.some(({ role }) => role === 'head')
    }
  }

  /** The shards that are being fetched from other peers, or null. */
  get fetching(): FetchStatus | null {
    const { supply, model } = this.#init
    const progress = supply.progress(this.#fetching)
    return progress === undefined
      ? null
      : { model: model.id, shards: namesOf(this.#fetching, this.#layers), ...progress }
  }

  /** Begins to look for holders of what nobody is known to have. */
  start(): void {
    this.#asking = this.#holders.keepAsking({ signal: this.#stopping.signal })
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the model is not served any more'))
    await this.#asking
  }

  /** Whether some of the layers' shards are not here, and somebody may have them. */
  canFetch({ start, end }: Range): boolean {
    return this.#missing(stageShards(this.#init.model.manifest, start, end)).length > 0 && this.#sources().length > 0
  }

  /**
   * The folder with a stage's shards, each verified. What is missing or damaged is fetched from other peers first.
   *
   * @throws {CorruptShardError} {NotHeldError} @throws the file system's error, or the signal's reason
   */
  async folder({ start, end }: Range, signal: AbortSignal): Promise<string> {
    const { store, model, onWarning } = this.#init
    const wanted = stageShards(model.manifest, start, end)
    for (let again = false; ; again = true) {
      const missing = this.#missing(wanted)
      if (missing.length > 0) await this.#fetch(missing, signal)
      try {
        return (await store.verifiedStage(model, start, end, { signal })).folder
      } catch (error) {
        if (!(error instanceof CorruptShardError)) throw error
        await this.#dropCorrupt(wanted, signal)
        if (again || this.#sources().length === 0) throw error
        onWarning(`${error.message}; it is fetched anew`)
      }
    }
  }

  /** Looks at the disk again: files have gone. */
  async refresh(): Promise<void> {
    const { store, model, onChange } = this.#init
    this.#held = await store.held(model)
    onChange()
  }

  #missing(wanted: readonly ShardEntry[]): ShardEntry[] {
    const held = new Set(this.#held.map(({ sha256 }) => sha256))
    return wanted.filter(({ sha256 }) => !held.has(sha256))
  }

  async #fetch(missing: readonly ShardEntry[], signal: AbortSignal): Promise<void> {
    const { supply, model, onFetch, clock } = this.#init
    const startMs = clock.nowMs()
    const fetch = {
      model: model.id,
      shards: namesOf(missing, this.#layers),
      bytes: missing.reduce((sum, { bytes }) => sum + bytes, 0),
      peers: this.#sources().length
    }
    this.#fetching = missing
    let toldMs = startMs
    // Over a slow link it takes hours: others give it the time as long as more of it comes.
    const onFile = (): void => {
      if (clock.nowMs() - toldMs < heldTellMs) return
      toldMs = clock.nowMs()
      this.refresh().catch(() => {})
    }
    onFetch({ ...fetch, tookMs: undefined })
    try {
      await supply.fetch(missing, {
        peers: () => this.#sources(),
        signal,
        onFile,
        what: `${fetch.shards} of ${model.manifest.name}`
      })
    } finally {
      this.#fetching = []
      // Whatever came is here to stay.
      await this.refresh()
    }
    onFetch({ ...fetch, tookMs: clock.nowMs() - startMs })
  }

  /**
   * A shard for which no record names a holder, whether it is to be loaded here or not: no plan counts on what nobody is known to
   * have. Else one that is being fetched, of which nobody who is named has anything.
   */
  #sought(): ContentId | undefined {
    const { swarm, supply, model } = this.#init
    const heard = swarm.records()
    if (!heard.some(({ record, connected }) => connected && record.peer !== swarm.id)) return undefined
    const missing = this.#missing(model.manifest.shards)
    const unnamed = missing.find(shard => !isNamed(heard, swarm.id, model.id, shard))
    if (unnamed !== undefined) return unnamed.sha256
    const barren = this.#fetching.find(shard => supply.progress([shard])?.peers === 0)
    this.#barrenLooks = barren === undefined ? 0 : this.#barrenLooks + 1
    return this.#barrenLooks >= holdersLooks ? barren?.sha256 : undefined
  }

  /** Peers that may have shards of this model. */
  #sources(): PeerId[] {
    const { swarm, model } = this.#init
    return [...new Set([...sourcesOf(swarm.records(), swarm.id, model.id), ...this.#holders.found])]
  }

  /** Shards whose bytes are wrong are no longer announced, so that placement asks others for their layers. */
  async #dropCorrupt(wanted: readonly ShardEntry[], signal: AbortSignal): Promise<void> {
    const { store, model, supply } = this.#init
    const corrupt = new Set<string>()
    for (const shard of wanted) {
      try {
        await store.verify(model, { shards: [shard], signal })
      } catch (error) {
        if (!(error instanceof CorruptShardError)) throw error
        corrupt.add(shard.sha256)
        supply.forget(shard.sha256)
      }
    }
    this.#held = this.#held.filter(({ sha256 }) => !corrupt.has(sha256))
    this.#init.onChange()
  }
}
