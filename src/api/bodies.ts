/** Requests that are being read, of all connections together: so many bytes at a time, whoever sends them how slowly. */
import { ApiError, invalid } from './errors.ts'
import { bodiesBytesMax, bodiesRetryMs, requestBytesMax } from './limits.ts'

export class Bodies {
  readonly #bytesMax: number
  #bytes = 0

  /** @param bytesMax of all together. @default bodiesBytesMax */
  constructor(bytesMax = bodiesBytesMax) {
    this.#bytesMax = bytesMax
  }

  /** @throws {ApiError} 413 when it is too long, 429 when too many come at the same time, 400 when it is no UTF-8 */
  async text(body: ReadableStream<Uint8Array> | null): Promise<string> {
    const reader = body?.getReader()
    // What has come stands in one place: parts of a byte each would take a hundred times as much.
    let come = Buffer.alloc(0)
    let bytes = 0
    try {
      while (reader !== undefined) {
        const { done, value } = await reader.read()
        if (done) break
        const before = bytes
        bytes += value.length
        this.#bytes += value.length
        if (bytes > requestBytesMax) throw tooLarge()
        if (this.#bytes > this.#bytesMax) throw tooMany()
        if (bytes > come.length) come = grown(come, bytes)
        come.set(value, before)
      }
      return new TextDecoder('utf-8', { fatal: true }).decode(come.subarray(0, bytes))
    } catch (error) {
      await reader?.cancel().catch(() => {})
      throw error instanceof TypeError ? invalid('the request is not UTF-8') : error
    } finally {
      this.#bytes -= bytes
    }
  }
}

/** The same bytes with room for so many at least: twice as many as before, so that each is moved once or twice. */
function grown(bytes: Buffer<ArrayBuffer>, bytesMin: number): Buffer<ArrayBuffer> {
  const more = Buffer.allocUnsafeSlow(Math.max(bytesMin, 2 * bytes.length))
  bytes.copy(more)
  return more
}

export function tooLarge(): ApiError {
  return new ApiError(
    413,
    'invalid_request_error',
    `the request is too large: it may have ${requestBytesMax} bytes at most`,
    { code: 'request_too_large', headers: { connection: 'close' } }
  )
}

function tooMany(): ApiError {
  return new ApiError(429, 'rate_limit_error', 'too many large requests come at the same time: ask again in a moment', {
    code: 'overloaded',
    headers: { connection: 'close', 'retry-after': String(Math.ceil(bodiesRetryMs / 1000)) }
  })
}
