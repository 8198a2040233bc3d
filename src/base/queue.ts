import { assert } from './assert.ts'

/** First in, first out, never more than `limit` items: a full queue refuses instead of growing. */
export class BoundedQueue<T> {
  readonly limit: number
  readonly #items: T[] = []

  constructor(limit: number) {
    assert(Number.isSafeInteger(limit) && limit > 0, `a queue's limit is a positive integer, not ${limit}`)
    this.limit = limit
  }

  get length(): number {
    return this.#items.length
  }

  get full(): boolean {
    return this.#items.length >= this.limit
  }

  /** Adds an item; false, and nothing added, when the queue is full. */
  push(item: T): boolean {
    if (this.full) return false
    this.#items.push(item)
    return true
  }

  shift(): T | undefined {
    return this.#items.shift()
  }

  peek(): T | undefined {
    return this.#items[0]
  }

  /** Takes an item out, wherever it stands; false when it is not there. */
  remove(item: T): boolean {
    const at = this.#items.indexOf(item)
    if (at >= 0) this.#items.splice(at, 1)
    return at >= 0
  }

  clear(): T[] {
    return this.#items.splice(0)
  }
}
