/** The draft model as a session of one model sees it: whether both have the same tokens, and what it drafts with. */
import type { ModelId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { nameWithId } from '../model/names.ts'
import type { StoredModel } from '../model/store.ts'
import type { LoadedDraft } from '../serving/draft-service.ts'
import type { DraftModel } from '../session/parts.ts'
import { draftModelsMax } from './limits.ts'

export interface OwnDraftsInit {
  /** What drafts now, if anything does. */
  readonly draft: () => LoadedDraft | undefined
  /** Digest of which id is which token of a model. */
  readonly vocabularyOf: (model: StoredModel, signal: AbortSignal) => Promise<string>
  readonly onFailed: (error: Error) => void
  readonly onWarning: (message: string) => void
}

export class OwnDrafts {
  readonly #init: OwnDraftsInit
  /** By model whether the draft model has its tokens, the last asked about at the end. */
  readonly #isAlike = new Map<ModelId, boolean>()

  constructor(init: OwnDraftsInit) {
    this.#init = init
  }

  /** What drafts for sessions of a model; undefined where nothing does. Says once where its tokens are others. @throws the signal's reason */
  async of(model: StoredModel, signal: AbortSignal): Promise<DraftModel | undefined> {
    const draft = this.#init.draft()
    if (draft === undefined || !(await this.#fits(draft.stored, model, signal))) return undefined
    const { stored, engine, tokenMs } = draft
    const { name, config } = stored.manifest
    const { vocab, contextMax } = config
    return { name, vocab, contextMax, engine, tokenMs, onFailed: error => this.#init.onFailed(error) }
  }

  async #fits(draft: StoredModel, model: StoredModel, signal: AbortSignal): Promise<boolean> {
    // The same file says the same of every id.
    if (draft.manifest.tokenizer.sha256 === model.manifest.tokenizer.sha256) return true
    const known = this.#isAlike.get(model.id)
    if (known !== undefined) return known
    const [drafts, answers] = [draft, model].map(({ id, manifest }) => nameWithId({ id, name: manifest.name }))
    let why: string | undefined
    try {
      const { vocabularyOf } = this.#init
      const [own, other] = await Promise.all([vocabularyOf(draft, signal), vocabularyOf(model, signal)])
      if (own !== other) why = `${drafts} has other tokens than ${answers}`
    } catch (error) {
      signal.throwIfAborted()
      why = `the tokens of ${drafts} and ${answers} cannot be compared: ${reasonOf(error)}`
    }
    if (why !== undefined)
      this.#init.onWarning(`${why}: it does not draft for that, whose drafts come from the text alone`)
    this.#isAlike.set(model.id, why === undefined)
    if (this.#isAlike.size > draftModelsMax) this.#isAlike.delete(this.#isAlike.keys().next().value!)
    return why === undefined
  }
}
