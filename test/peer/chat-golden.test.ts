/**
 * Conversations with a real model, where it is, and texts that it goes on with: SmolLM2-135M-Instruct as float32 answers what
 * transformers answers, over one peer and over three, one of which is lost in the middle of an answer.
 */
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ChatMessage, createPeer, importModel, type Peer, type Range, type SwarmConfig } from '../../src/index.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { needs } from '../needs.ts'
import { realModel, whyNoModel } from '../real-models.ts'

interface Answer {
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}

const { smol } = JSON.parse(readFileSync(new URL('../model/formats/answers.json', import.meta.url), 'utf8')) as {
  readonly smol: readonly Answer[]
}

const conversations: readonly (readonly ChatMessage[])[] = [
  [{ role: 'user', content: 'What is the capital of France?' }],
  [
    { role: 'system', content: 'You are a pirate. Answer in one short sentence.' },
    { role: 'user', content: 'Where do you sleep?' }
  ],
  [{ role: 'user', content: 'Translate to English: déjà vu, naïve café ☕ — 日本語' }]
]

const texts = ['The capital of France is', 'def fibonacci(n):\n    ']

const peers: Peer[] = []
let folder = ''

async function start(swarm: SwarmConfig, layers: Range): Promise<Peer> {
  const dataDir = await mkdtemp(join(folder, 'peer-'))
  await cp(join(folder, 'imported'), dataDir, { recursive: true })
  const peer = await createPeer({
    dataDir,
    swarm,
    model: 'smol',
    layers,
    memoryBytes: 1e9,
    mdns: false,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap: peers.flatMap(({ addresses }) => [...addresses])
  })
  peers.push(peer)
  return peer
}

async function covered(): Promise<void> {
  for (const peer of peers) {
    await expect
      .poll(
        () =>
          peer
            .status()
            .models.find(({ name }) => name === 'smol')
            ?.coverage.every(count => count > 0),
        {
          timeout: 120_000
        }
      )
      .toBe(true)
  }
}

/** Asks all of them, and says how often an answer recovered; `onToken` hears of each token. */
async function converse(peer: Peer, onToken: (tokens: number) => void = () => {}): Promise<number> {
  let recovered = 0
  const asked = new Set<Answer>()
  const talks = [
    ...conversations.map(messages => peer.chat(messages, { maxTokens: 64 })),
    ...texts.map(text => peer.generate(text, { maxTokens: 64 }))
  ]
  for (const talk of talks) {
    let tokens = 0
    for await (const { event } of talk.events()) {
      if (event === 'token') onToken(++tokens)
      if (event === 'recovered') recovered++
    }
    const { ids, promptIds, stop } = await talk.answer
    const expected = smol.find(({ prompt }) => prompt.join() === promptIds.join())
    expect(expected, 'ids of the prompt').toBeDefined()
    // Theirs end with what ends the answer.
    expect(stop === 'eos' ? [...ids, 2] : ids).toEqual(expected!.answer)
    asked.add(expected!)
  }
  expect(asked.size).toBe(smol.length)
  return recovered
}

describe('SmolLM2-135M-Instruct', { timeout: 300_000, ...needs(whyNoModel('smol')) }, () => {
  beforeAll(async () => {
    if (whyNoModel('smol') !== undefined) return
    folder = await mkdtemp(join(tmpdir(), 'skein-smol-'))
    const dataDir = join(folder, 'imported')
    await importModel({ source: realModel('smol'), dataDir, name: 'smol', weights: 'f32', edge: 'f32' })
  }, 300_000)
  afterAll(async () => {
    await Promise.all(peers.splice(0).map(peer => peer.stop()))
    if (folder !== '') await rm(folder, { recursive: true, force: true })
  }, 120_000)

  it("gives transformers' answers over one peer, over three, and when one of these is lost", async () => {
    const alone = await start(newSwarm('alone'), { start: 0, end: 30 })
    await covered()
    expect(await converse(alone)).toBe(0)
    await alone.stop()
    peers.pop()

    const swarm = newSwarm('three')
    const driver = await start(swarm, { start: 0, end: 10 })
    const tail = await start(swarm, { start: 10, end: 30 })
    await start(swarm, { start: 10, end: 20 })
    await start(swarm, { start: 20, end: 30 })
    await covered()
    let lost: Promise<void> | undefined
    const recovered = await converse(driver, tokens => {
      if (tokens === 4) lost ??= tail.stop()
    })
    expect(recovered).toBe(1)
    await lost
    peers.splice(peers.indexOf(tail), 1)
    // Without it, it takes three.
    expect(await converse(driver)).toBe(0)
  })
})
