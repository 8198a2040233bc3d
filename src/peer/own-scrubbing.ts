/** What of personal data in requests this peer lets through to its tokenizers: as each request says, or none of it. */
import { PromptTooLongError } from '../errors.ts'
import { promptCharsMax } from '../session/limits.ts'
import { Scrubbing } from '../scrub/service.ts'
import type { Scrub } from '../session/parts.ts'
import type { Embeddings } from './own-graphs.ts'

export class OwnScrubbing {
  readonly #all: boolean
  readonly #scrubbing: Scrubbing

  /** @throws {InvalidOptionError} when there is no such country */
  constructor({ all = false, country }: { readonly all?: boolean | undefined; readonly country?: string | undefined }) {
    this.#all = all
    this.#scrubbing = new Scrubbing({ country })
  }

  /** What is done to a request, by whether it asks for that; undefined where nothing is. */
  of(isAsked: boolean): Scrub | undefined {
    return this.#all || isAsked ? (texts, options) => this.#scrubbing.texts(texts, options) : undefined
  }

  /** Has texts embedded, without personal data where that is asked for. @throws {PromptTooLongError} when one is longer than is scrubbed */
  async embed(
    texts: readonly string[],
    { scrub = false, signal }: { readonly scrub?: boolean; readonly signal: AbortSignal },
    embed: (texts: readonly string[]) => Promise<Embeddings>
  ): Promise<Embeddings> {
    const take = this.of(scrub)
    if (take === undefined) return embed(texts)
    const long = texts.find(({ length }) => length > promptCharsMax)
    if (long !== undefined) {
      throw new PromptTooLongError(
        `a text has ${long.length} characters, and none of more than ${promptCharsMax} is scrubbed`
      )
    }
    const found = await take(texts, { signal })
    return { ...(await embed(found.texts)), scrubbed: found.replaced }
  }

  close(): Promise<void> {
    return this.#scrubbing.close()
  }
}
