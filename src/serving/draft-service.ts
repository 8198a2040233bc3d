/**
 * The model that this peer holds whole, to draft with in sessions of its own. It is found and fetched as those are that the peer
 * serves, takes its part of the same budget, and is no stage: nobody else hears of it.
 */
import type { Clock } from '../base/clock.ts'
import { reasonOf } from '../base/reason.ts'
import { drawSessionId, type Rng } from '../base/rng.ts'
import { formatBytes } from '../base/units.ts'
import type { Engine } from '../engine/engine.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { BudgetTooSmallError, EngineError } from '../errors.ts'
import { type ShardEntry, stageShards } from '../model/manifest.ts'
import { meantBy } from '../model/names.ts'
import type { Store } from '../model/store.ts'
import { asDecoder, type StoredModel } from '../model/stored.ts'
import type { ModelId } from '../base/ids.ts'
import type { Supply } from '../supply/service.ts'
import type { Swarm } from '../swarm/swarm.ts'
import { type FetchStatus, HeldShards, type ShardFetch } from './held-shards.ts'
import { draftRoomLookMs, draftTimedTokens } from './limits.ts'
import type { Seeker } from './seeker.ts'
import { reserveBytes } from '../route/view.ts'
import { shapeOf, weightBytes } from './shape.ts'

export interface DraftInit {
  readonly store: Store
  readonly swarm: Swarm
  readonly supply: Supply
  readonly seeker: Seeker
  /** What computes, in order of preference. */
  readonly engines: readonly EngineFactory[]
  readonly threads: number
  /** Takes so much of the budget from now on; 0 gives it back. @throws {BudgetTooSmallError} when what is left would be too little */
  readonly claim: (bytes: number, name: string) => void
  /** What of the budget nothing holds at this moment. */
  readonly freeBytes: () => number
  readonly onWarning: (message: string) => void
  /** What it holds on disk has changed. */
  readonly onChange: () => void
  readonly onFetch: (fetch: ShardFetch) => void
  readonly clock: Clock
  readonly rng: Rng
}

/** What a peer drafts with, as it is shown. */
export interface DraftStatus {
  /** Null while only its name or the beginning of its id is known. */
  readonly model: ModelId | null
  readonly name: string
  /** It is loaded, and drafts. */
  readonly ready: boolean
  /** What it waits for, or why it does not draft; `ready`. */
  readonly state: string
  /** What it takes of the budget: weights, and caches of this peer's own sessions. */
  readonly bytes: number
}

/** The draft model, loaded. */
export interface LoadedDraft {
  readonly stored: StoredModel
  readonly engine: Engine
  /** What it takes for one token, in ms. */
  readonly tokenMs: number
}

/** What a draft model takes of a peer's memory, in bytes: all of its weights, and caches for one long session or several short ones. */
export interface DraftMemory {
  readonly factory: EngineFactory
  readonly bytes: number
  readonly cacheBytes: number
}

/** @throws {EngineError} when no engine computes it. @throws {BudgetTooSmallError} when a budget cannot hold it. */
export function checkDraft(
  { manifest }: StoredModel,
  { engines, budgetBytes }: { readonly engines: readonly EngineFactory[]; readonly budgetBytes: number }
): DraftMemory {
  const found = engineFor(engines, manifest)
  if ('refusal' in found) throw new EngineError(found.refusal)
  const shape = shapeOf(manifest, found.factory.footprint(manifest))
  const cacheBytes = reserveBytes(shape, { start: 0, end: shape.layers })
  const bytes = weightBytes(shape, { start: 0, end: shape.layers }) + cacheBytes
  if (bytes > budgetBytes) {
    throw new BudgetTooSmallError(
      `a budget of ${formatBytes(budgetBytes)} cannot hold the draft model ${manifest.name} whole, with its caches: it takes ${bytes} bytes (${formatBytes(bytes)})`
    )
  }
  return { factory: found.factory, bytes, cacheBytes }
}

/** What a whole model takes for one token, in ms: the quickest of some, since others use this processor, too. */
export async function tokenMsOf(
  engine: Engine,
  { clock, rng, signal }: { readonly clock: Clock; readonly rng: Rng; readonly signal: AbortSignal }
): Promise<number> {
  const session = drawSessionId(rng)
  await engine.open(session, { tokensMax: draftTimedTokens, sampling: { temperature: 0, topP: 1, topK: 0, seed: 1 } })
  let tokenMs = Number.POSITIVE_INFINITY
  for (let position = 0; position < draftTimedTokens; position++) {
    const startMs = clock.nowMs()
    const input = { kind: 'ids', ids: Int32Array.of(0) } as const
    await engine.run({ session, position, tokens: 1, input, sample: true }, { signal })
    tokenMs = Math.min(tokenMs, clock.nowMs() - startMs)
  }
  await engine.free(session)
  return tokenMs
}

export class Draft {
  readonly #init: DraftInit
  readonly #wanted: StoredModel | string
  #stored: StoredModel | undefined
  #shards: HeldShards | undefined
  #loaded: LoadedDraft | undefined
  #bytes = 0
  #state: string
  readonly #stopping = new AbortController()
  #done: Promise<void> = Promise.resolve()

  /** @param wanted a name or id where it has to come from peers */
  constructor(init: DraftInit, wanted: StoredModel | string) {
    this.#init = init
    this.#wanted = wanted
    this.#stored = typeof wanted === 'string' ? undefined : wanted
    this.#state = typeof wanted === 'string' ? `looking for the model '${wanted}'` : 'loading'
  }

  get status(): DraftStatus {
    const stored = this.#stored
    return {
      model: stored?.id ?? null,
      name: stored?.manifest.name ?? (this.#wanted as string),
      ready: this.#loaded !== undefined,
      state: this.#state,
      bytes: this.#bytes
    }
  }

  /** Once it drafts. */
  get loaded(): LoadedDraft | undefined {
    return this.#loaded
  }

  get model(): ModelId | undefined {
    return this.#stored?.id
  }

  /** What it takes of the budget. */
  get bytes(): number {
    return this.#bytes
  }

  /** What is on disk of it. */
  get held(): readonly ShardEntry[] {
    return this.#shards?.list ?? []
  }

  /** The shards that are being fetched from other peers, or null. */
  get fetching(): FetchStatus | null {
    return this.#shards?.fetching ?? null
  }

  /** Digests of the files that must stay. */
  get neededFiles(): string[] {
    if (this.#stored === undefined) return []
    const { tokenizer, config } = this.#stored.manifest
    const shards = stageShards(this.#stored.manifest, 0, config.layers)
    return [tokenizer.sha256, ...shards.map(({ sha256 }) => sha256)]
  }

  /** Whether a person means it by this. */
  isMeant(nameOrId: string): boolean {
    if (nameOrId === this.#wanted) return true
    const stored = this.#stored
    return stored !== undefined && meantBy(nameOrId, [{ id: stored.id, name: stored.manifest.name }]).length > 0
  }

  /** Begins to find, fetch and load it. What goes wrong is told once, and ends it. */
  start(): void {
    this.#done = this.#load().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted) this.#fail(error)
    })
  }

  /** Files of it may have gone from the disk. */
  async refresh(): Promise<void> {
    await this.#shards?.refresh()
  }

  /** Its engine computes no more. */
  failed(error: Error): void {
    if (this.#loaded === undefined || this.#stopping.signal.aborted) return
    this.#fail(error)
  }

  /** Drafts end, and its memory is given back. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the draft model is not needed any more'))
    const engine = this.#loaded?.engine
    this.#loaded = undefined
    await this.#done
    await this.#shards?.stop()
    await engine?.close()
    this.#release()
  }

  async #load(): Promise<void> {
    const { store, swarm, supply, seeker, engines, threads, claim, onWarning, onChange, onFetch, clock, rng } =
      this.#init
    const { signal } = this.#stopping
    const wanted = this.#wanted
    const onState = (message: string): void => {
      this.#state = message
      onWarning(message)
    }
    const stored = typeof wanted === 'string' ? asDecoder(await seeker.seek(wanted, { signal, onState })) : wanted
    this.#stored = stored
    const { manifest } = stored
    const { factory, bytes, cacheBytes } = checkDraft(stored, { engines, budgetBytes: Number.POSITIVE_INFINITY })
    claim(bytes, manifest.name)
    this.#bytes = bytes
    const held = await store.held(stored)
    signal.throwIfAborted()
    this.#shards = new HeldShards({ store, model: stored, swarm, supply, onWarning, onChange, onFetch, clock }, held)
    this.#shards.start()
    onChange()
    const layers = { start: 0, end: manifest.config.layers }
    this.#state = this.#shards.canFetch(layers) ? 'fetching what is missing' : 'loading'
    const shardDirectory = await this.#shards.folder(layers, signal)
    await this.#room(signal)
    this.#state = 'loading'
    const engine = await factory.create({
      manifest,
      shardDirectory,
      ...layers,
      cacheBytesMax: cacheBytes,
      threads,
      signal
    })
    try {
      this.#loaded = { stored, engine, tokenMs: await tokenMsOf(engine, { clock, rng, signal }) }
      this.#state = 'ready'
    } catch (error) {
      await engine.close()
      throw error
    }
  }

  /** Until stages have let go of what it takes: sessions on them may hold more for a while. */
  async #room(signal: AbortSignal): Promise<void> {
    const { freeBytes, clock } = this.#init
    while (freeBytes() < 0) {
      this.#state = `waiting until stages let go of ${formatBytes(-freeBytes())}`
      await clock.sleep(draftRoomLookMs, { signal })
      signal.throwIfAborted()
    }
  }

  #fail(error: unknown): void {
    const { onWarning } = this.#init
    const engine = this.#loaded?.engine
    this.#loaded = undefined
    this.#state = reasonOf(error)
    onWarning(`this peer drafts from the text alone, without the model ${this.status.name}: ${this.#state}`)
    for (const end of [engine?.close(), this.#shards?.stop()]) end?.catch(() => {})
    this.#release()
  }

  #release(): void {
    if (this.#bytes === 0) return
    this.#bytes = 0
    this.#init.claim(0, '')
  }
}
