/** Models that a peer is to serve and that are not here yet: each is looked for until it is served. */
import type { Range } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import type { AnyModel } from '../model/stored.ts'
import { SkeinError } from '../errors.ts'
import type { Outlook, Seeker } from './seeker.ts'

export interface SoughtModelsInit {
  readonly seeker: Seeker
  /** Serves a model that has been found. */
  readonly serve: (model: AnyModel, options: { pinned: Range | null; signal: AbortSignal }) => Promise<void>
  readonly onWarning: (message: string) => void
}

/** Why a model is not here yet, and what there is to wait for. */
export interface Seeking {
  /** One sentence. */
  readonly state: string
  /** It is because the name is that of more than one model. */
  readonly unclear: boolean
  /** As with `FetchingStatus.known`. */
  readonly known: boolean
  /** As with `FetchingStatus.refusal`. */
  readonly refusal: Refusal | null
  /** As with `FetchingStatus.expected`. */
  readonly expected: 'fetching' | 'soon' | null
}

/** Of an error by which a model that was found is not served. */
export interface Refusal {
  /** What it is called, by which errors are told apart. */
  readonly name: string
  /** What a command ends with. */
  readonly exitCode: number
}

interface Sought {
  state: string
  unclear: boolean
  known: boolean
  refusal: Refusal | null
  /** A peer offers it, or has just started and may. */
  mayCome: boolean
  /** Its manifest comes from a peer, or it is here and this machine is measured with it. */
  isComing: boolean
  readonly abort: AbortController
  done: Promise<void>
}

export class SoughtModels {
  readonly #init: SoughtModelsInit
  /** By the name or id that was asked for. */
  readonly #sought = new Map<string, Sought>()
  #stopped = false

  constructor(init: SoughtModelsInit) {
    this.#init = init
  }

  get list(): Seeking[] {
    return [...this.#sought.values()].map(({ state, unclear, known, refusal, isComing, mayCome }) => ({
      state,
      unclear,
      known,
      refusal,
      expected: isComing ? 'fetching' : mayCome ? 'soon' : null
    }))
  }

  /** Serves a model once a live peer offers it. One that is looked for already stays as it is. */
  seek(nameOrId: string, { pinned }: { pinned: Range | null }): void {
    if (this.#sought.has(nameOrId) || this.#stopped) return
    const sought: Sought = {
      state: `looking for the model '${nameOrId}'`,
      unclear: false,
      known: false,
      refusal: null,
      mayCome: false,
      isComing: false,
      abort: new AbortController(),
      done: Promise.resolve()
    }
    this.#sought.set(nameOrId, sought)
    sought.done = this.#find(nameOrId, sought, pinned)
  }

  /** Looks for it no longer. True when it was looked for. */
  async remove(nameOrId: string): Promise<boolean> {
    const sought = this.#sought.get(nameOrId)
    if (sought === undefined) return false
    sought.abort.abort(new Error(`${nameOrId} is not to be served any more`))
    await sought.done
    this.#sought.delete(nameOrId)
    return true
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const { abort } of this.#sought.values()) abort.abort(new Error('the peer is stopping'))
    await Promise.all([...this.#sought.values()].map(({ done }) => done))
  }

  async #find(nameOrId: string, sought: Sought, pinned: Range | null): Promise<void> {
    const { seeker, serve, onWarning } = this.#init
    const { signal } = sought.abort
    const onState = (message: string, { unclear, mayCome, isOffered }: Outlook): void => {
      sought.state = message
      sought.unclear = unclear
      sought.mayCome = mayCome
      sought.known = isOffered
      onWarning(message)
    }
    const onFetching = (isFetching: boolean): void => {
      sought.isComing = isFetching
    }
    try {
      const model = await seeker.seek(nameOrId, { signal, onState, onFetching })
      sought.isComing = true
      sought.state = `the model '${nameOrId}' is here now, and served once this machine is measured with it`
      await serve(model, { pinned, signal })
      this.#sought.delete(nameOrId)
    } catch (error) {
      sought.isComing = false
      if (signal.aborted) return
      // What it cannot serve it can still ask others about.
      const { name, exitCode } = error instanceof SkeinError ? error : { name: 'Error', exitCode: 1 }
      sought.refusal = { name, exitCode }
      const sentence = `the model '${nameOrId}' is not served here: ${reasonOf(error)}`
      onState(sentence, { unclear: false, mayCome: false, isOffered: true })
    }
  }
}
