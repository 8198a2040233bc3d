/** Cosines and sines of a stage's rotations, by position: in its memory, as far as its longest session has come. */
import { rotationRows } from './job.ts'
import { type RotationForm, turnsBy } from './rotary.ts'
import type { StageMemory } from './stage-memory.ts'

export class RotationTables {
  readonly #memory: StageMemory
  readonly #forms: readonly (RotationForm | undefined)[]
  /** Of the cosines, then of the sines, of {@link rotationRows} positions each: by these positions, and then by rotation. */
  readonly addresses: number[] = []
  #positions = 0

  /** @param forms those that no layer of the stage has are undefined */
  constructor(memory: StageMemory, forms: readonly (RotationForm | undefined)[]) {
    this.#memory = memory
    this.#forms = forms
  }

  /** Makes those of so many positions. @throws {EngineError} when there is no memory. */
  grow(positions: number): void {
    while (this.#positions < positions) {
      const made = this.#forms.flatMap(form => (form === undefined ? [0, 0] : this.#make(form)))
      this.addresses.push(...made)
      this.#positions += rotationRows
    }
  }

  #make(form: RotationForm): [cos: number, sin: number] {
    const half = form.dims / 2
    const [cos, sin] = [this.#memory.take(4 * half * rotationRows), this.#memory.take(4 * half * rotationRows)]
    const turns = turnsBy(form)
    const { floats } = this.#memory.views
    for (let row = 0; row < rotationRows; row++) {
      for (const [i, turn] of turns(this.#positions + row).entries()) {
        floats[cos / 4 + row * half + i] = turn.cos
        floats[sin / 4 + row * half + i] = turn.sin
      }
    }
    return [cos, sin]
  }
}
