/** Models that are not here: found by what live peers offer, and learnt from them. */
import type { ModelId } from '../base/ids.ts'
import { UnknownModelError } from '../errors.ts'
import { missingGraceMs, seekRetryMs } from '../limits.ts'
import type { ModelStore, StoredModel } from '../model/store.ts'
import { offersOf, sourcesOf } from './sources.ts'
import type { Supply } from '../supply/service.ts'
import type { Swarm } from '../swarm/service.ts'

export interface SeekerInit {
  readonly store: ModelStore
  readonly swarm: Swarm
  readonly supply: Supply
}

export class Seeker {
  readonly #init: SeekerInit

  constructor(init: SeekerInit) {
    this.#init = init
  }

  /**
   * The model of that name or id: from the store, else its manifest and tokenizer from a live peer.
   *
   * @throws {UnknownModelError} when neither the store nor a live peer has it, or more than one model is meant
   * @throws {NotHeldError} when it could not be fetched, or the signal's reason
   */
  async find(nameOrId: string, { signal }: { signal: AbortSignal }): Promise<StoredModel> {
    const { store, swarm } = this.#init
    if (await store.knows(nameOrId)) return store.resolve(nameOrId)
    const offers = offersOf(swarm.records(), nameOrId)
    if (offers.length === 1) return this.#learn(offers[0]!.id, signal)
    if (offers.length > 1) throw new UnknownModelError(ambiguous(nameOrId, offers))
    try {
      return await store.resolve(nameOrId)
    } catch (error) {
      if (!(error instanceof UnknownModelError)) throw error
      throw new UnknownModelError(`${error.message}; and no live peer offers it`)
    }
  }

  /**
   * Waits until a live peer offers the model, and learns it.
   *
   * @param onState told in one sentence why it is not here yet, whenever that changes
   * @throws the signal's reason
   */
  async seek(
    nameOrId: string,
    { signal, onState }: { signal: AbortSignal; onState: (sentence: string) => void }
  ): Promise<StoredModel> {
    let said = ''
    const say = (sentence: string): void => {
      if (sentence === said) return
      said = sentence
      onState(sentence)
    }
    // Discovery takes less: until then there is nothing to say.
    const quietUntilMs = performance.now() + missingGraceMs
    for (;;) {
      signal.throwIfAborted()
      if (offersOf(this.#init.swarm.records(), nameOrId).length > 0) {
        try {
          return await this.find(nameOrId, { signal })
        } catch (error) {
          signal.throwIfAborted()
          say((error as Error).message)
        }
      } else if (performance.now() >= quietUntilMs) {
        const sentence = `the model '${nameOrId}' is not here and no live peer offers it: waiting for one that does`
        // It may be here after all, behind a manifest that was damaged.
        say([sentence, ...(await this.#init.store.unusable())].join('; '))
      }
      await this.#change(signal)
    }
  }

  async #learn(model: ModelId, signal: AbortSignal): Promise<StoredModel> {
    const { supply, swarm } = this.#init
    return supply.learn(model, { peers: () => sourcesOf(swarm.records(), swarm.id, model), signal })
  }

  /** Until a record changes, or for a while. */
  async #change(signal: AbortSignal): Promise<void> {
    const { swarm } = this.#init
    await new Promise<void>(resolve => {
      const done = (): void => {
        clearTimeout(timer)
        swarm.removeEventListener('record', done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, seekRetryMs)
      swarm.addEventListener('record', done)
      signal.addEventListener('abort', done)
    })
  }
}

function ambiguous(nameOrId: string, offers: readonly { readonly id: ModelId; readonly name: string }[]): string {
  const list = offers.map(({ id, name }) => `${name} (${id.slice(0, 12)})`).join(', ')
  return `live peers offer more than one model '${nameOrId}': ${list}; give the beginning of an id`
}
