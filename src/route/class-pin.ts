/**
 * The numeric classes that a session began with. Peers of one class compute the same bits (promise P3), so a stand-in
 * of the class that its layers had before changes nothing; one of another class may round differently.
 */
import type { Hop, PeerView } from './view.ts'

export class ClassPin {
  /** [layers] the class that computed each layer first; empty before the first route. */
  #first: readonly string[]
  #exact = true

  /** @param first [layers] those of a session that is resumed; empty for a new one. */
  constructor(first: readonly string[] = []) {
    this.#first = first
  }

  /** [layers] the classes that the next route should keep; undefined before the first. */
  get layerClasses(): readonly string[] | undefined {
    return this.#first.length === 0 ? undefined : this.#first
  }

  /** Whether the route that was noted last has the first one's class at every layer. */
  get exact(): boolean {
    return this.#exact
  }

  /** Notes a route that was chosen over these views. */
  note(hops: readonly Hop[], views: readonly PeerView[]): void {
    const classes = hops.flatMap(({ peer, start, end }) => {
      const numericClass = views.find(view => view.peer === peer)?.numericClass ?? ''
      return new Array<string>(end - start).fill(numericClass)
    })
    if (this.#first.length === 0) this.#first = classes
    this.#exact = classes.every((numericClass, layer) => numericClass === this.#first[layer])
  }
}
