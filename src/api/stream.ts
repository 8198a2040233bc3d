/** Server-sent events, of which each is made when the reader has room for it. */
import { Patient } from './merge.ts'

const encoder = new TextEncoder()

/** A line that readers pass over: it shows that the stream lives. */
const ping = ': working\n\n'

export interface StreamInit {
  /** Frames, each with its blank line at the end. */
  readonly frames: AsyncIterable<string>
  readonly headers: Readonly<Record<string, string>>
  readonly statusMs: number
  readonly pingMs: number
  readonly stallMs: number
  /** The frames that tell of a failure: nothing else follows them. */
  readonly failure: (error: unknown) => string
  /** Ends whatever the frames are made from: nobody reads them any more, or all have been read. */
  readonly end: (reason: unknown) => void
  /** Closes the connection: its reader must not take what it has for all. */
  readonly cut: () => void
}

/**
 * A response that streams. Its headers are sent with the first frame, or after `statusMs`; then comments show every `pingMs`
 * that it lives.
 *
 * @throws what the source throws before that: it has a status of its own
 */
export async function eventStream(init: StreamInit): Promise<Response> {
  const { frames, headers, statusMs, pingMs, stallMs, failure, end, cut } = init
  const patient = new Patient(frames)
  let first: IteratorResult<string> | undefined
  try {
    first = await patient.within(statusMs)
  } catch (error) {
    end(error)
    throw error
  }
  let stalled: NodeJS.Timeout | undefined
  const over = (reason: unknown): void => {
    clearTimeout(stalled)
    patient.end()
    end(reason)
  }
  let isFirst = true
  const nextFrame = async (): Promise<IteratorResult<string> | undefined> => {
    const wasFirst = isFirst
    isFirst = false
    return wasFirst ? first : patient.within(pingMs)
  }
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(stalled)
        try {
          const step = await nextFrame()
          if (step?.done === true) {
            controller.close()
            over(new Error('the answer is complete'))
            return
          }
          controller.enqueue(encoder.encode(step === undefined ? ping : step.value))
        } catch (error) {
          controller.enqueue(encoder.encode(failure(error)))
          controller.close()
          over(error)
          return
        }
        stalled = setTimeout(() => {
          over(new Error(`nobody has read the answer for ${stallMs / 1000} s`))
          cut()
        }, stallMs)
      },
      cancel(reason) {
        over(reason ?? new Error('the client has gone'))
      }
    },
    { highWaterMark: 0 }
  )
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
      ...headers
    }
  })
}

/** One event with data alone, as OpenAI's API frames it. */
export function dataFrame(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`
}

export const doneFrame = 'data: [DONE]\n\n'
