/** Models that are not here: found by what live peers offer, and learnt from them. */
import { type Clock, systemClock } from '../base/clock.ts'
import type { ModelId } from '../base/ids.ts'
import { AmbiguousModelError, NotHeldError, UnknownModelError } from '../errors.ts'
import { gatheringMs, missingGraceMs } from '../route/limits.ts'
import { askTellMs, seekRetryMs, seekSettleMs } from './limits.ts'
import { nameWithId } from '../model/names.ts'
import type { AnyModel, Store } from '../model/store.ts'
import { Holders } from './holders.ts'
import { awaited, describeAwaited, describeOffer, offersOf, sourcesOf } from './sources.ts'
import type { Supply } from '../supply/service.ts'
import type { Swarm } from '../swarm/swarm.ts'

/** What there is to hope of a model that is not here yet. */
export interface Outlook {
  /** Its name is that of more than one model. */
  readonly unclear: boolean
  /** It may come by itself: a peer offers it, is about to, or has just started. */
  readonly mayCome: boolean
  /** A peer offers it: its name is right. */
  readonly isOffered: boolean
}

export interface SeekOptions {
  readonly signal: AbortSignal
  /** Told in one sentence why the model is not here yet, whenever that changes. */
  readonly onState: (sentence: string, outlook: Outlook) => void
  /** It is about to come from a peer that offers it, or no longer; may say the same again. @default nobody is told */
  readonly onFetching?: (isFetching: boolean) => void
}

/** How long a model that is asked for is waited for, where nobody offers it yet. */
export interface WaitOptions {
  readonly signal: AbortSignal
  /** In ms. @default while this peer has just started and no peer offers any model: who has just come knows nobody */
  readonly waitMs?: number | undefined
  /** Told once, in one sentence, why the model is not here yet, where that takes more than a moment. @default nobody is */
  readonly onWait?: ((sentence: string) => void) | undefined
}

export interface SeekerInit {
  readonly store: Store
  readonly swarm: Swarm
  readonly supply: Supply
  /** @default the machine's */
  readonly clock?: Clock
}

export class Seeker {
  readonly #init: SeekerInit
  readonly #clock: Clock
  readonly #startMs: number

  constructor(init: SeekerInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#startMs = this.#clock.nowMs()
  }

  /**
   * The model of that name or id: from the store, else its manifest and tokenizer from a live peer. For a whole id that no
   * record offers, the DHT is asked who has its manifest.
   *
   * @throws {UnknownModelError} when neither the store nor a live peer has it
   * @throws {AmbiguousModelError} when store and live peers have more than one
   * @throws {NotHeldError} when it could not be fetched, or the signal's reason
   */
  async find(nameOrId: string, { signal }: { signal: AbortSignal }): Promise<AnyModel> {
    const { store, swarm } = this.#init
    const stored = await store.find(nameOrId)
    const holders = this.#holdersOf(nameOrId)
    if (stored.length === 0) await holders.ask({ signal })
    const offers = offersOf(swarm.records(), nameOrId).filter(({ id }) => !stored.some(model => model.id === id))
    if (stored.length + offers.length > 1) {
      // One name for two contents: whichever was meant, half of the swarm would answer with the other.
      const here = stored.map(({ id, manifest }) => `${nameWithId({ id, name: manifest.name })} here`)
      const list = [...here, ...offers.map(describeOffer)].join(', ')
      throw new AmbiguousModelError(`'${nameOrId}' is more than one model: ${list}; give the beginning of an id`)
    }
    if (stored.length === 1) return stored[0]!
    if (offers.length === 1) return this.#learn(offers[0]!.id, signal)
    try {
      return await store.resolve(nameOrId)
    } catch (error) {
      if (!(error instanceof UnknownModelError)) throw error
      throw new UnknownModelError(`${error.message}; and no live peer offers it${this.#yet(nameOrId)}`)
    }
  }

  /** As {@link find}; where nobody offers the model yet, that is waited for. */
  ask(nameOrId: string, options: WaitOptions): Promise<AnyModel> {
    return this.patiently(() => this.find(nameOrId, options), options)
  }

  /**
   * What `look` finds. Where it finds no model, or nobody who holds it, it looks again whenever a record has changed, as long as
   * the options say.
   *
   * @param mayCome whether waiting can help. @default always
   * @throws what `look` threw last, or the signal's reason
   */
  async patiently<T>(
    look: () => Promise<T>,
    { signal, waitMs, onWait }: WaitOptions,
    mayCome: () => boolean = () => true
  ): Promise<T> {
    const startMs = this.#clock.nowMs()
    let isTold = false
    for (;;) {
      try {
        return await look()
      } catch (error) {
        signal.throwIfAborted()
        const mayHelp = error instanceof UnknownModelError || error instanceof NotHeldError
        const nowMs = this.#clock.nowMs()
        const untilMs = waitMs !== undefined ? startMs + waitMs : this.#isOffered ? nowMs : this.#startMs + gatheringMs
        if (!(mayHelp && nowMs < untilMs && mayCome())) throw error
        if (!isTold && nowMs - startMs >= askTellMs) {
          isTold = true
          onWait?.(error.message)
        }
        await this.#change(signal, Math.min(untilMs - nowMs, isTold ? seekRetryMs : askTellMs))
        // Who is heard first must not decide which of several models it is.
        await this.#clock.sleep(Math.max(0, Math.min(untilMs - this.#clock.nowMs(), seekSettleMs)), { signal })
      }
    }
  }

  /** Any model is, by anybody. */
  get #isOffered(): boolean {
    return this.#init.swarm.records().some(({ record }) => record.models.length > 0)
  }

  /**
   * Waits until a live peer offers the model, and learns it; for a whole id the DHT is asked as well.
   *
   * @throws the signal's reason
   */
  async seek(nameOrId: string, options: SeekOptions): Promise<AnyModel> {
    return this.#holdersOf(nameOrId).during(() => this.#wait(nameOrId, options), options)
  }

  /** Where a model that nobody offers may still come from: ` yet: …wxyzwxyz has just started and may offer it`; else nothing. */
  #yet(nameOrId: string): string {
    const { swarm } = this.#init
    const who = awaited(swarm.records(), swarm.id, nameOrId)
    return who.peers.length === 0 ? '' : ` yet: ${describeAwaited(who)}`
  }

  async #wait(nameOrId: string, { signal, onState, onFetching = () => {} }: SeekOptions): Promise<AnyModel> {
    let said = ''
    const say = (sentence: string, outlook: Outlook): void => {
      if (sentence === said) return
      said = sentence
      onState(sentence, outlook)
    }
    let isSettled = false
    // Discovery takes less: until then there is nothing to say.
    const quietUntilMs = this.#clock.nowMs() + missingGraceMs
    for (;;) {
      signal.throwIfAborted()
      const isOffered = offersOf(this.#init.swarm.records(), nameOrId).length > 0
      onFetching(isOffered)
      if (isOffered) {
        if (!isSettled) {
          // Who is heard first must not decide which of two models of that name it is.
          isSettled = true
          await this.#clock.sleep(seekSettleMs, { signal })
          continue
        }
        try {
          return await this.find(nameOrId, { signal })
        } catch (error) {
          signal.throwIfAborted()
          say((error as Error).message, { unclear: error instanceof AmbiguousModelError, mayCome: true, isOffered })
        } finally {
          onFetching(false)
        }
      } else if (this.#clock.nowMs() >= quietUntilMs) {
        const yet = this.#yet(nameOrId)
        const wait = yet === '' ? ': waiting for one that does' : `${yet}; waiting for that`
        const sentence = `the model '${nameOrId}' is not here and no live peer offers it${wait}`
        // It may be here after all, behind a manifest that was damaged.
        say([sentence, ...(await this.#init.store.unusable())].join('; '), {
          unclear: false,
          mayCome: yet !== '',
          isOffered
        })
      }
      await this.#change(signal)
    }
  }

  /** Who has the manifest of a model that is named by its whole id; their records offer it once they are connected. */
  #holdersOf(nameOrId: string): Holders {
    const { swarm } = this.#init
    const wanted = (): ModelId | undefined =>
      /^[0-9a-f]{64}$/.test(nameOrId) && offersOf(swarm.records(), nameOrId).length === 0
        ? (nameOrId as ModelId)
        : undefined
    return new Holders({ swarm, wanted, onFound: () => {}, clock: this.#clock })
  }

  async #learn(model: ModelId, signal: AbortSignal): Promise<AnyModel> {
    const { supply, swarm } = this.#init
    return supply.learn(model, { peers: () => sourcesOf(swarm.records(), swarm.id, model), signal })
  }

  /** Until a record changes, or for a while. */
  async #change(signal: AbortSignal, withinMs = seekRetryMs): Promise<void> {
    const { swarm } = this.#init
    if (signal.aborted) return
    await new Promise<void>(resolve => {
      const done = (): void => {
        timer.stop()
        swarm.removeEventListener('record', done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = this.#clock.after(withinMs, done)
      swarm.addEventListener('record', done)
      signal.addEventListener('abort', done)
    })
  }
}
