/** What a front door reads and sends: bodies that come side by side, and what a stream sends when nothing comes, when its source fails, and when nobody reads. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import { Bodies } from '../../src/api/bodies.ts'
import { merged } from '../../src/api/merge.ts'
import { eventStream, type StreamInit } from '../../src/api/stream.ts'

function streamOf(frames: AsyncIterable<string>, init: Partial<StreamInit> = {}) {
  const [end, cut] = [vi.fn(), vi.fn()]
  const failure = (error: unknown): string => `data: ${(error as Error).message}\n\n`
  const times = { statusMs: 30, pingMs: 20, stallMs: 10_000 }
  return { end, cut, response: eventStream({ frames, headers: {}, failure, end, cut, ...times, ...init }) }
}

it('waits for the first frame before it says that all is well, and then shows that it lives', async () => {
  const first = Promise.withResolvers<void>()
  const { response, end } = streamOf(
    (async function* () {
      await first.promise
      yield 'data: 1\n\n'
    })()
  )
  const reader = (await response).body!.pipeThrough(new TextDecoderStream()).getReader()
  for (let i = 0; i < 3; i++) expect((await reader.read()).value).toBe(': working\n\n')
  first.resolve()
  let text = ''
  for (let step = await reader.read(); !step.done; step = await reader.read()) text += step.value
  expect(text).toMatch(/^(: working\n\n)?data: 1\n\n$/)
  expect(end).toHaveBeenCalledOnce()
})

it('fails with a status of its own before that, and with an event and no end after it', async () => {
  const early = streamOf(
    // biome-ignore lint/correctness/useYield: it fails before
    (async function* (): AsyncGenerator<string> {
      throw new Error('refused')
    })()
  )
  await expect(early.response).rejects.toThrow('refused')
  expect(early.end).toHaveBeenCalledOnce()
  const late = streamOf(
    (async function* () {
      yield 'data: 1\n\n'
      throw new Error('lost')
    })()
  )
  expect(await (await late.response).text()).toBe('data: 1\n\ndata: lost\n\n')
  expect(late.end).toHaveBeenCalledOnce()
})

it('makes no frame before its reader takes it, and cuts a reader that takes none', async () => {
  let made = 0
  const { response, end, cut } = streamOf(
    (async function* () {
      for (;;) yield `data: ${made++}\n\n`
    })(),
    { stallMs: 60 }
  )
  const reader = (await response).body!.getReader()
  await reader.read()
  await delay(30)
  expect(made).toBeLessThanOrEqual(2)
  await reader.read()
  await expect.poll(() => cut.mock.calls.length).toBe(1)
  expect(end.mock.calls[0]![0].message).toBe('nobody has read the answer for 0.06 s')
})

it('ends its source when the reader goes', async () => {
  const { response, end } = streamOf(
    (async function* () {
      for (;;) yield 'data: x\n\n'
    })()
  )
  const reader = (await response).body!.getReader()
  await reader.read()
  await reader.cancel()
  expect(end).toHaveBeenCalledOnce()
})

it('takes from several sources side by side, so many at a time, and ends all when one fails', async () => {
  let running = 0
  let most = 0
  const source = (name: string, steps: number, fails = false) =>
    async function* () {
      running++
      most = Math.max(most, running)
      try {
        for (let i = 0; i < steps; i++) {
          await delay(2)
          yield `${name}${i}`
        }
        if (fails) throw new Error(`${name} failed`)
      } finally {
        running--
      }
    }
  const all: string[] = []
  for await (const [index, value] of merged([source('a', 3), source('b', 1), source('c', 2)], 2))
    all.push(index + value)
  expect(all.toSorted()).toEqual(['0a0', '0a1', '0a2', '1b0', '2c0', '2c1'])
  expect(most).toBe(2)
  const failing = merged([source('a', 100), source('b', 1, true)], 2)
  await expect(
    (async () => {
      for await (const _ of failing);
    })()
  ).rejects.toThrow('b failed')
  await expect.poll(() => running).toBe(0)
})

it('reads bodies of so many bytes together, and more when one of them is over', async () => {
  const bodies = new Bodies(100)
  const bodyOf = (...parts: (string | Promise<string>)[]): ReadableStream<Uint8Array> => {
    const encoder = new TextEncoder()
    return new ReadableStream({
      async pull(controller) {
        const part = parts.shift()
        if (part === undefined) controller.close()
        else controller.enqueue(encoder.encode(await part))
      }
    })
  }
  const rest = Promise.withResolvers<string>()
  const slow = bodies.text(bodyOf('x'.repeat(60), rest.promise))
  expect(await bodies.text(bodyOf('é'.repeat(10), '🦊'))).toBe(`${'é'.repeat(10)}🦊`)
  await expect(bodies.text(bodyOf('y'.repeat(41)))).rejects.toMatchObject({
    status: 429,
    headers: { 'retry-after': '1' },
    body: { error: { code: 'overloaded' } }
  })
  rest.resolve('z')
  expect(await slow).toBe(`${'x'.repeat(60)}z`)
  expect(await bodies.text(bodyOf('y'.repeat(100)))).toHaveLength(100)
  expect(await bodies.text(null)).toBe('')
  await expect(bodies.text(new Blob([Uint8Array.of(0xff)]).stream())).rejects.toThrow('not UTF-8')
})

it('keeps what comes in one place, however small its parts are', async () => {
  const { heapUsed } = process.memoryUsage()
  let left = 1_000_000
  let most = 0
  const drip = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (left % 100_000 === 0) most = Math.max(most, process.memoryUsage().heapUsed - heapUsed)
      if (left-- > 0) controller.enqueue(Uint8Array.of(0x20))
      else controller.close()
    }
  })
  expect(await new Bodies().text(drip)).toBe(' '.repeat(1_000_000))
  // A million parts that wait take more.
  expect(most).toBeLessThan(100e6)
})
