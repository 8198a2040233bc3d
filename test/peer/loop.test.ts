/** Promise P7, at a whole peer: whatever it is given to compute, its loop runs on and it answers others meanwhile. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createPeer, type Peer, PromptTooLongError, SessionFailedError } from '../../src/index.ts'
import { importModel } from '../../src/model/import.ts'
import { openLibrary } from '../../src/model/library.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { hostileText, hostileTokenizer, loopTicks } from '../model/hostile.ts'
import { writeTiny } from '../model/hugging-face.ts'

let root: string
let peer: Peer
let ticks: ReturnType<typeof loopTicks>

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'skein-loop-'))
  const [source, dataDir] = [join(root, 'source'), join(root, 'data')]
  await writeTiny(source)
  await writeFile(join(source, 'tokenizer.json'), hostileTokenizer())
  const signal = AbortSignal.timeout(60_000)
  await importModel({ source, store: await openLibrary(dataDir), name: 'hostile', weights: 'q8', signal })
  peer = await createPeer({
    dataDir,
    swarm: newSwarm('loop'),
    model: 'stories15m',
    memoryBytes: 256e6,
    mdns: false,
    listen: ['/ip4/127.0.0.1/tcp/0']
  })
  ticks = loopTicks()
})
afterEach(async () => {
  ticks.stop()
  await peer.stop()
  await rm(root, { recursive: true, force: true })
})

it('answers others while a tokenizer never ends, and lets go of it when nobody waits for it any more', async () => {
  const order: string[] = []
  const given = new AbortController()
  const hostile = peer.generate(hostileText, { model: 'hostile', signal: given.signal })
  const failing = expect(hostile.events()[Symbol.asyncIterator]().next()).rejects.toThrow('given up')
  void failing.then(() => order.push('hostile'))
  const ids: number[] = []
  for await (const { id } of peer.generate('Once upon a time', { maxTokens: 8 })) ids.push(id)
  order.push('other')
  expect(ids).toHaveLength(8)
  const before = ticks.count()
  while (ticks.count() < before + 20) await new Promise(resolve => setTimeout(resolve, 5))
  expect(peer.status().models.map(({ name }) => name)).toContain('stories15m')
  given.abort(new Error('given up'))
  await failing
  expect(order).toEqual(['other', 'hostile'])
})

it('gives the text of what had come to an answer that is read on after its peer has stopped', async () => {
  const answer = peer.generate('Once upon a time', { maxTokens: 200 })
  let text = ''
  const reading = (async () => {
    for await (const token of answer) {
      text += token.text
      if (token.position !== 10) continue
      // Tokens come meanwhile, and are not read.
      const before = ticks.count()
      while (ticks.count() < before + 40) await new Promise(resolve => setTimeout(resolve, 5))
      await peer.stop()
    }
  })()
  const error = await reading.then(
    () => undefined,
    (error: unknown) => error as SessionFailedError
  )
  expect(error).toBeInstanceOf(SessionFailedError)
  expect(error!.message).toBe('the peer is stopping')
  expect(error!.text).toBe(text)
  expect(text.length).toBeGreaterThan(30)
})

it.each([
  ['too many for the context', 900_000, /the prompt has 900000 characters, and no prompt of more than \d+ fits/],
  ['too many for any', 5_000_000, /the prompt has 5000000 characters, and no prompt of more than 4194304 fits/]
])('refuses spaces unread: %s', async (_, length, message) => {
  const asked = peer.generate(' '.repeat(length)).events()[Symbol.asyncIterator]().next()
  await expect(asked).rejects.toThrow(message)
  await expect(asked).rejects.toBeInstanceOf(PromptTooLongError)
})

it('takes what a prompt spells for text, unless told otherwise', async () => {
  const idsOf = async (special?: boolean): Promise<readonly number[]> => {
    const answer = peer.generate('a </s>', { maxTokens: 1, ...(special === undefined ? {} : { special }) })
    for await (const _ of answer);
    return (await answer.answer).promptIds
  }
  expect(await idsOf()).not.toContain(2)
  expect(await idsOf(false)).toEqual(await idsOf())
  expect(await idsOf(true)).toContain(2)
})
