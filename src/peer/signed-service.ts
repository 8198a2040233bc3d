/** Serves no model any longer whose signer is believed no more: a key was revoked, or its certificate has ended, while this peer runs. */
import { type Clock, systemClock } from '../base/clock.ts'
import type { End } from '../base/ends.ts'
import type { ModelId, Range } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import type { ModelSignatureError } from '../errors.ts'
import type { AnyModel } from '../model/stored.ts'
import type { Serving } from '../serving/serving.ts'
import { signersLookMs } from './limits.ts'

export interface SignedServingInit {
  readonly serving: Pick<Serving, 'models' | 'graphs' | 'draft' | 'remove' | 'seek' | 'add'>
  /** Why a model that is here counts as not signed. @throws {DataDirectoryError} when that cannot be read: then nothing changes */
  readonly whyUnsigned: (model: AnyModel) => Promise<ModelSignatureError | undefined>
  readonly onWarning: (message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

interface Served {
  readonly stored: AnyModel
  readonly pinned: Range | null
  /** It is served, and does not only draft. */
  readonly isServed: boolean
}

export class SignedServing {
  readonly #init: SignedServingInit
  /** Models that are served again once somebody who is believed has signed them. */
  readonly #stopped = new Map<ModelId, Served>()
  #looking: Promise<void> | undefined
  readonly #stopping = new AbortController()

  constructor(init: SignedServingInit) {
    this.#init = init
  }

  /** Looks from now on, until what it returns is called. */
  start(): End {
    const { clock = systemClock } = this.#init
    const timer = clock.every(signersLookMs, () => void this.look()).unref()
    return async () => {
      this.#stopping.abort(new Error('the peer is stopping'))
      timer.stop()
      await this.#looking
    }
  }

  /** Looks now. It does not throw. */
  look(): Promise<void> {
    this.#looking ??= this.#lookAtAll().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #lookAtAll(): Promise<void> {
    const { serving, whyUnsigned, onWarning } = this.#init
    const { signal } = this.#stopping
    for (const served of this.#served) {
      // What cannot be read now may be right: it is looked at again.
      const refusal = await whyUnsigned(served.stored).catch(() => undefined)
      if (refusal === undefined || signal.aborted) continue
      const { id, manifest } = served.stored
      onWarning(`the model ${manifest.name} is not served any more: ${refusal.message}`)
      await serving.remove(id).catch(() => {})
      if (!served.isServed) continue
      this.#stopped.set(id, served)
      // Status says from then on why it is not here.
      serving.seek(id, { pinned: served.pinned })
    }
    for (const [id, { stored, pinned }] of this.#stopped) {
      const isRefused = await whyUnsigned(stored).then(
        refusal => refusal !== undefined,
        () => true
      )
      if (isRefused || signal.aborted) continue
      this.#stopped.delete(id)
      // Who was told meanwhile not to serve it seeks it no more.
      if (!(await serving.remove(id).catch(() => false))) continue
      await serving.add(stored, { pinned, signal }).catch((error: unknown) => {
        if (!signal.aborted) onWarning(`the model ${stored.manifest.name} is not served again: ${reasonOf(error)}`)
      })
    }
  }

  get #served(): Served[] {
    const { models, graphs, draft } = this.#init.serving
    return [
      ...models.map(({ stored, pinned }) => ({ stored, pinned, isServed: true })),
      ...graphs.all.map(({ stored }) => ({ stored, pinned: null, isServed: true })),
      ...(draft === undefined ? [] : [{ stored: draft.stored, pinned: null, isServed: false }])
    ]
  }
}
