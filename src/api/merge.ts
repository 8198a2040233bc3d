/** Several sources at once, and one with a patience. */

/** Takes from several sources as they come, so many at a time, each with its index. What is left of them ends with the reader. */
export async function* merged<T>(
  sources: readonly (() => AsyncIterable<T>)[],
  atOnce: number
): AsyncGenerator<readonly [index: number, value: T]> {
  const waiting = sources.map((source, index) => ({ source, index }))
  const running = new Map<number, { iterator: AsyncIterator<T>; next: Promise<Step<T>> }>()
  const begin = (): void => {
    const first = waiting.shift()
    if (first === undefined) return
    const iterator = first.source()[Symbol.asyncIterator]()
    running.set(first.index, { iterator, next: stepOf(iterator, first.index) })
  }
  while (running.size < atOnce && waiting.length > 0) begin()
  try {
    while (running.size > 0) {
      const { index, result } = await Promise.race([...running.values()].map(({ next }) => next))
      if ('error' in result) {
        running.delete(index)
        throw result.error
      }
      if (result.done === true) {
        running.delete(index)
        begin()
        continue
      }
      const { iterator } = running.get(index)!
      running.set(index, { iterator, next: stepOf(iterator, index) })
      yield [index, result.value]
    }
  } finally {
    // Whoever waits for a token goes on only when its signal has ended that: nobody waits for it here.
    for (const { iterator } of running.values()) void iterator.return?.(undefined)?.catch(() => {})
  }
}

interface Step<T> {
  readonly index: number
  readonly result: IteratorResult<T> | { readonly error: unknown }
}

/** Never rejects: one that fails while nobody looks must not end the process. */
async function stepOf<T>(iterator: AsyncIterator<T>, index: number): Promise<Step<T>> {
  try {
    return { index, result: await iterator.next() }
  } catch (error) {
    return { index, result: { error } }
  }
}

/** A source of which nobody waits longer than a moment for the next value, which is not lost. */
export class Patient<T> {
  readonly #iterator: AsyncIterator<T>
  #next: Promise<Step<T>> | undefined

  constructor(source: AsyncIterable<T>) {
    this.#iterator = source[Symbol.asyncIterator]()
  }

  /** The next value, or undefined when none has come by then. @throws what the source throws */
  async within(ms: number): Promise<IteratorResult<T> | undefined> {
    this.#next ??= stepOf(this.#iterator, 0)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>(resolve => {
      timer = setTimeout(() => resolve(undefined), ms)
    })
    try {
      const step = await Promise.race([this.#next, late])
      if (step === undefined) return undefined
      this.#next = undefined
      if ('error' in step.result) throw step.result.error
      return step.result
    } finally {
      clearTimeout(timer)
    }
  }

  /** Ends the source; who waits in it is ended by its own signal. */
  end(): void {
    void this.#iterator.return?.(undefined)?.catch(() => {})
  }
}
