/** What a peer scrubs of texts that are embedded: they become tokens, and go to whoever serves the graph. */
import { expect, it } from 'vitest'
import { OwnScrubbing } from '../../src/peer/own-scrubbing.ts'
import { promptCharsMax } from '../../src/session/limits.ts'

const signal = new AbortController().signal

async function embedded(all: boolean, scrub: boolean, texts: readonly string[]): Promise<[readonly string[], unknown]> {
  const own = new OwnScrubbing({ all })
  let seen: readonly string[] = []
  const { scrubbed } = await own.embed(texts, { scrub, signal }, async given => {
    seen = given
    return { vectors: [], tokens: [], cut: [] }
  })
  await own.close()
  return [seen, scrubbed]
}

it('is all that it is told to, or what a request asks for, and says how much', async () => {
  const texts = ['bob@x.org', 'nothing', '10.1.2.3 and bob@x.org']
  const left = ['[email-1]', 'nothing', '[ip-1] and [email-1]']
  expect(await embedded(false, false, texts)).toEqual([texts, undefined])
  expect(await embedded(false, true, texts)).toEqual([left, { email: 2, ip: 1 }])
  expect(await embedded(true, false, texts)).toEqual([left, { email: 2, ip: 1 }])
})

it('refuses what is too long to be scrubbed, and lets none of it through', async () => {
  const long = `${'x'.repeat(promptCharsMax)} bob@x.org`
  await expect(embedded(false, true, [long])).rejects.toMatchObject({ name: 'PromptTooLongError' })
})
