/** Scrubs the texts of requests: short ones at once, long ones in a thread of its own. */
import { Thread } from '../model/thread.ts'
import { InvalidOptionError } from '../errors.ts'
import { scrubAtOnceChars, scrubIdleMs, scrubMs, scrubStartMs } from './limits.ts'
import type { ScrubRequest } from './messages.ts'
import { isCountry } from './phones.ts'
import { type ScrubbedTexts, scrubTexts } from './scrub.ts'

export class Scrubbing {
  readonly #country: string | undefined
  readonly #thread: Thread

  /**
   * @param country of national telephone numbers, by its two letters (ISO 3166). @default none is known
   * @throws {InvalidOptionError} when there is none of that name
   */
  constructor({ country }: { readonly country?: string | undefined } = {}) {
    if (country !== undefined && !isCountry(country)) {
      throw new InvalidOptionError(`scrubCountry must be the two letters of a country such as DE, not ${country}`)
    }
    this.#country = country
    const own = import.meta.url.endsWith('.ts') ? './scrub-worker.ts' : './scrub-worker.js'
    this.#thread = new Thread({
      file: new URL(own, import.meta.url),
      name: 'the thread that scrubs prompts',
      startMs: scrubStartMs,
      idleMs: scrubIdleMs,
      data: async () => ({ workerData: undefined })
    })
  }

  /**
   * The texts of one request with placeholders for personal data, and how often each kind was replaced.
   * @throws {DeadlineError} {NoRoomError} {EngineError} when the thread cannot do it: then no text is let through. @throws the signal's reason
   */
  async texts(
    texts: readonly string[],
    { signal }: { readonly signal?: AbortSignal | undefined } = {}
  ): Promise<ScrubbedTexts> {
    const chars = texts.reduce((sum, { length }) => sum + length, 0)
    if (chars <= scrubAtOnceChars) return scrubTexts(texts, { country: this.#country })
    const request: ScrubRequest = { texts, country: this.#country }
    return (await this.#thread.ask(request, { what: 'scrub a prompt', deadlineMs: scrubMs, signal })) as ScrubbedTexts
  }

  close(): Promise<void> {
    return this.#thread.close()
  }
}
