import { expect, test } from 'vitest'
import { unlessAborted } from '../../src/base/abort.ts'
import { endAll } from '../../src/base/ends.ts'

test('all that was started ends, the last one first and one after another, whatever one of them throws', async () => {
  const seen: string[] = []
  const end = (name: string, error?: Error) => async (): Promise<void> => {
    seen.push(`${name} begins`)
    await Promise.resolve()
    seen.push(`${name} ends`)
    if (error !== undefined) throw error
  }
  const [first, second] = [new Error('first'), new Error('second')]
  await expect(endAll([end('a'), end('b', second), end('c', first), end('d')])).rejects.toBe(first)
  expect(seen).toEqual(['d', 'c', 'b', 'a'].flatMap(name => [`${name} begins`, `${name} ends`]))
  // What throws at once, before there is a promise, is no other case.
  seen.length = 0
  const rude = (): Promise<void> => {
    throw second
  }
  await expect(endAll([end('a'), rude])).rejects.toBe(second)
  expect(seen).toEqual(['a begins', 'a ends'])
  await endAll([])
})

test('a wait ends with its signal, and leaves what it waited for to others', async () => {
  const work = Promise.withResolvers<string>()
  const impatient = new AbortController()
  const reason = new Error('enough')
  const given = unlessAborted(work.promise, impatient.signal)
  const patient = unlessAborted(work.promise, new AbortController().signal)
  impatient.abort(reason)
  await expect(given).rejects.toBe(reason)
  await expect(unlessAborted(work.promise, impatient.signal)).rejects.toBe(reason)
  work.resolve('done')
  expect(await patient).toBe('done')
})
