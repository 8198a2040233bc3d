/** The answers to one request: started together, ended together, with whoever asked, with the door, or by what fails of them. */
import { randomBytes } from 'node:crypto'
import { type AnswerInit, answerPieces, nothingTaken, type Piece, type Taken } from './answer.ts'
import { type Api, type ApiContext, refusal, withAnswerHeaders } from './context.ts'
import { choicesAtOnce, statusMs } from './limits.ts'
import { merged } from './merge.ts'
import { type Asked, choiceSeed } from './sampling.ts'
import { dataFrame, eventStream } from './stream.ts'
import { type Usage, usageOf } from './usage.ts'
import type { GenerateOptions, Generation } from '../index.ts'

interface AnsweringInit extends AnswerInit {
  readonly asked: Asked
  /** Id of the model. */
  readonly model: string
  /** Prompts that are answered, `choices` times each. */
  readonly prompts: number
  /** Asks for one answer to the prompt of that index. */
  readonly ask: (prompt: number, options: GenerateOptions) => Generation
}

export class Answering {
  /** In the order of their index: the first prompt's first. */
  readonly taken: readonly Taken[]
  readonly #api: Api
  readonly #c: ApiContext
  readonly #init: AnsweringInit
  readonly #ended = new AbortController()

  constructor(api: Api, c: ApiContext, init: AnsweringInit) {
    this.#api = api
    this.#c = c
    this.#init = init
    this.taken = Array.from({ length: init.prompts * init.asked.choices }, nothingTaken)
  }

  /** Ends what still runs. */
  end(reason: unknown): void {
    this.#ended.abort(reason)
  }

  get usage(): Usage {
    const { choices, seed } = this.#init.asked
    const prompts = this.taken.filter((_, i) => i % choices === 0)
    return usageOf(prompts, this.taken, seed)
  }

  /** What comes, as it comes, each with the index of its answer. @throws what an answer fails with: then all end */
  async *pieces(): AsyncGenerator<readonly [index: number, piece: Piece]> {
    const { asked, model, ask } = this.#init
    const signal = AbortSignal.any([this.#c.get('gone'), this.#api.closing, this.#ended.signal])
    const client = this.#c.get('client')
    const sources = this.taken.map((taken, i) => () => {
      const prompt = Math.floor(i / asked.choices)
      const seed = choiceSeed(asked.seed, i % asked.choices)
      // Each of several answers is a request to the peer.
      const request = i === 0 ? this.#c.get('requestId') : `${this.#c.get('requestId')}#${i}`
      const generation = ask(prompt, { ...asked.options, seed, model, client, request, signal })
      return answerPieces(generation, this.#init, taken)
    })
    try {
      yield* merged(sources, choicesAtOnce)
    } finally {
      this.end(new Error('the request is over'))
    }
  }

  /** Headers that every answer has. */
  get headers(): Record<string, string> {
    return { 'x-skein-seed': String(this.#init.asked.seed) }
  }

  /** A stream of frames; what fails after its headers is an event, and nothing follows it. */
  async stream(frames: AsyncIterable<string>, failure = (body: object): string => dataFrame(body)): Promise<Response> {
    const response = await eventStream({
      frames,
      headers: this.headers,
      statusMs,
      pingMs: this.#api.pingMs,
      stallMs: this.#api.stallMs,
      failure: error => failure(refusal(this.#api, this.#c, error).body),
      end: reason => this.end(reason),
      cut: () => this.#c.env.outgoing.destroy()
    })
    return withAnswerHeaders(this.#c, response)
  }
}

/** An id that nobody has had before. */
export function newId(prefix: string): string {
  return `${prefix}${randomBytes(15).toString('base64url').replaceAll(/[-_]/g, '0')}`
}

export function nowS(): number {
  return Math.floor(Date.now() / 1000)
}
