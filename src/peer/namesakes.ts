/** Says once of each other model of a served one's name that it is another: neither can stand in for the other. Pure. */
import type { ModelId } from '../base/ids.ts'
import { nameWithId, type NamedModel } from '../model/names.ts'
import { describeOffer, type Heard, namesakesOf } from '../serving/sources.ts'
import { namesakesMax } from './limits.ts'

export class Namesakes {
  readonly #told = new Set<ModelId>()

  /** A sentence for each that was not told of before. */
  look(served: readonly NamedModel[], heard: readonly Heard[]): string[] {
    const sentences: string[] = []
    for (const model of served) {
      for (const other of namesakesOf(heard, model)) {
        if (this.#told.has(other.id) || this.#told.size >= namesakesMax) continue
        this.#told.add(other.id)
        sentences.push(
          `the name ${model.name} is not clear: this peer serves ${nameWithId(model)}, another model is ${describeOffer(other)}; give the beginning of an id to choose one`
        )
      }
    }
    return sentences
  }
}
