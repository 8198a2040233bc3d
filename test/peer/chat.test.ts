/** Conversations of real peers, over libp2p, with the model that ships under a chat template, and the real engine. */
import { expect, it } from 'vitest'
import type { ChatMessage, ChatOptions, GenerationEvent, Peer, PeerInit, SwarmConfig } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { writeStoryChat } from '../model/story-chat.ts'
import { livePeers } from './live-peers.ts'

const { peers, folder, start: startPeer } = livePeers('chat')

async function start(swarm: SwarmConfig, init: Partial<PeerInit> = {}): Promise<Peer> {
  const dataDir = await folder()
  await writeStoryChat(dataDir)
  return startPeer({
    dataDir,
    swarm,
    model: 'storychat',
    memoryBytes: 256e6,
    ...init
  })
}

async function covered(times: readonly number[]): Promise<void> {
  for (const peer of peers) {
    await expect
      .poll(() => peer.status().models.find(({ name }) => name === 'storychat')?.coverage, { timeout: 60_000 })
      .toEqual(times)
  }
}

/** What happens until the answer ends; `onToken` is called with how many there are. */
async function ask(
  peer: Peer,
  messages: readonly ChatMessage[],
  options: ChatOptions,
  onToken: (tokens: number) => void = () => {}
): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = []
  for await (const event of peer.chat(messages, { temperature: 0.8, seed: 5, ...options }).events()) {
    events.push(event)
    if (event.event === 'token') onToken(events.filter(each => each.event === 'token').length)
  }
  return events
}

const done = (events: readonly GenerationEvent[]): GenerationEvent & { event: 'done' } =>
  events.find(event => event.event === 'done')!

const user = (content: string): ChatMessage => ({ role: 'user', content })
const system: ChatMessage = { role: 'system', content: 'Once upon a time there was a fox who told stories. '.repeat(9) }

it('answer by the template, over one peer and over three, and each turn finds what the last one has computed', {
  timeout: 180_000
}, async () => {
  const alone = await start(newSwarm('alone'))
  await covered([1, 1, 1, 1, 1, 1])
  const messages = [system, user('Tell me </s> of <s>a cat.')]
  const first = await ask(alone, messages, { maxTokens: 24 })
  const [told] = first
  const answer = done(first)
  expect(told).toEqual({ event: 'conversation', tokens: answer.promptIds.length, droppedTurns: 0 })
  // BOS once; the end of a turn as often as the template writes it, whatever is spelt.
  expect(answer.promptIds.filter(id => id === 1)).toHaveLength(1)
  expect(answer.promptIds.filter(id => id === 2)).toHaveLength(2)
  expect(answer.promptIds.length).toBeGreaterThan(128)
  expect(answer.ids.length).toBeGreaterThan(0)
  const { reused } = alone.status().prefixes

  const next = [...messages, { role: 'assistant', content: answer.text }, user('And then?')]
  const second = done(await ask(alone, next, { maxTokens: 16 }))
  expect(second.promptIds.slice(0, answer.promptIds.length)).toEqual(answer.promptIds)
  expect(alone.status().prefixes.reused - reused).toBe(128)

  await alone.stop()
  peers.pop()
  const swarm = newSwarm('three')
  for (const start_ of [0, 2, 4]) await start(swarm, { layers: { start: start_, end: start_ + 2 } })
  await covered([1, 1, 1, 1, 1, 1])
  expect(done(await ask(peers[1]!, messages, { maxTokens: 24 })).ids).toEqual(answer.ids)
  expect(done(await ask(peers[1]!, next, { maxTokens: 16 })).ids).toEqual(second.ids)
})

it('go on with the same tokens when a peer is lost in the middle of an answer', { timeout: 180_000 }, async () => {
  const swarm = newSwarm('loss')
  const driver = await start(swarm, { layers: { start: 0, end: 3 } })
  await start(swarm, { layers: { start: 3, end: 6 } })
  await start(swarm, { layers: { start: 3, end: 6 } })
  await covered([1, 1, 1, 2, 2, 2])
  const messages = [user('Tell me of a cat.')]
  const expected = done(await ask(driver, messages, { maxTokens: 40 }))
  let route: readonly { peer: string }[] = []
  const stopping: Promise<void>[] = []
  const events: GenerationEvent[] = []
  for await (const event of driver
    .chat(messages, { temperature: 0.8, seed: 5, maxTokens: 40, speculate: false })
    .events()) {
    events.push(event)
    if (event.event === 'route') route = event.hops
    if (event.event !== 'token' || events.filter(each => each.event === 'token').length !== 8) continue
    const tail = peers.find(({ id }) => id === route.at(-1)!.peer)!
    peers.splice(peers.indexOf(tail), 1)
    stopping.push(tail.stop())
  }
  await Promise.all(stopping)
  expect(stopping).toHaveLength(1)
  expect(events.some(({ event }) => event === 'recovered')).toBe(true)
  expect(done(events).ids).toEqual(expected.ids)
})

it('say what they cannot do, and drop the oldest turns where they may', { timeout: 120_000 }, async () => {
  const peer = await start(newSwarm('refused'))
  await covered([1, 1, 1, 1, 1, 1])
  const refused = async (messages: readonly ChatMessage[], options: ChatOptions, message: RegExp): Promise<void> => {
    await expect(ask(peer, messages, { maxTokens: 8, ...options })).rejects.toThrow(message)
  }
  await refused([user('a')], { model: 'stories15m' }, /^stories15m has no chat template: it only continues a text/)
  await refused(
    [user('a'), system],
    {},
    /^the chat template of storychat refuses these messages: the system speaks first$/
  )
  await refused([], {}, /^the conversation is wrong at messages: /)
  await refused([user('a')], { keepTurns: 0 }, /^keepTurns must be a whole number from 1, not 0$/)

  const turns = ['one', 'two', 'three', 'four'].flatMap(word => [
    user(`${word} fox `.repeat(16)),
    { role: 'assistant', content: `${word} dog `.repeat(16) }
  ])
  const long = [system, ...turns, user('And then?')]
  await refused(
    long,
    {},
    /^the conversation has \d+ tokens, which with 8 tokens for an answer do not fit the model's context of 256/
  )
  const [told] = await ask(peer, long, { maxTokens: 8, keepTurns: 1 })
  expect(told).toMatchObject({ event: 'conversation', droppedTurns: 4 })
  await refused(long, { keepTurns: 3 }, /^the last 3 turns of the conversation have \d+ tokens/)
})
