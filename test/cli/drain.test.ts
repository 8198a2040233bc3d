/** Peers that leave with notice, as processes of their own: one copy more of a stage than the answer needs. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DrainReport, GenerationEvent, Status } from '../../src/index.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { Skein, skein } from './skein.ts'

const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
/** Far more than a departure takes, however busy the machine: the answer is ended when it has been seen. */
const maxTokens = 3900
let folder = ''
const peers = new Map<string, Skein>()
const at = (name: string): string => join(folder, name)

function up(name: string, layers: string): Skein {
  const peer = new Skein(['up', '--data', at(name), '--swarm', at('swarm.json'), '--layers', layers, ...loopback])
  peers.set(name, peer)
  return peer
}

async function statusOf(name: string): Promise<Status> {
  return JSON.parse((await skein(['status', '--data', at(name), '--json'])).stdout)
}

/** Waits until the peer sees every layer served so often. */
async function covered(name: string, copies: readonly number[]): Promise<void> {
  for (;;) {
    const { models } = await statusOf(name)
    if (models[0]?.coverage.every((count, layer) => count >= copies[layer]!)) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

function ask(tokens: number): Skein {
  return new Skein([
    ...['ask', 'the cat', '--data', at('a'), '--json'],
    ...['--max-tokens', String(tokens), '--temperature', '0.8', '--seed', '3']
  ])
}

function tokenIds({ events }: Skein): unknown[] {
  return events.filter(({ event }) => event === 'token').map(({ id }) => id)
}

/** The longest time between two tokens, the first one not counted, in ms. */
function longestGap(events: readonly GenerationEvent[]): number {
  return Math.max(...events.flatMap(event => (event.event === 'token' ? [event.ms] : [])).slice(1))
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-drain-'))
  expect((await skein(['init', at('swarm.json')])).code).toBe(0)
  await writeTiny(at('source'), {
    config: { num_hidden_layers: 6, hidden_size: 128, max_position_embeddings: 4096, eos_token_id: null }
  })
  // No token ends an answer.
  writeFileSync(join(at('source'), 'generation_config.json'), '{}')
  writeFileSync(join(at('source'), 'tokenizer_config.json'), '{}')
  const imported = await skein(['model', 'import', at('source'), '--data', at('a'), '--name', 'tiny'])
  expect(imported).toMatchObject({ code: 0, stderr: '' })
  for (const name of ['b', 'c', 'b2']) cpSync(at('a'), at(name), { recursive: true })
  const all = [up('a', '0-2'), up('b', '2-4'), up('c', '4-6'), up('b2', '2-4')]
  await Promise.all(all.map(peer => peer.event('serving')))
  await covered('a', [1, 1, 2, 2, 1, 1])
}, 90_000)

afterAll(async () => {
  for (const { child } of peers.values()) if (child.exitCode === null) child.kill('SIGKILL')
  await Promise.all([...peers.values()].map(peer => peer.ended))
  rmSync(folder, { recursive: true, force: true })
}, 20_000)

describe('a peer that leaves in the middle of an answer', () => {
  it.each(['drain', 'SIGTERM'] as const)(
    'by %s: the same tokens, it ends with 0, and serves again when it comes back',
    async how => {
      const answer = ask(maxTokens)
      await answer.event('token', { times: 20 })
      const route = answer.events[0] as unknown as GenerationEvent & { event: 'route' }
      const { peer: victim } = route.hops.find(({ start }) => start === 2)!
      const [name, leaver] = [...peers].find(
        ([, { events }]) => events.find(({ event }) => event === 'up')!.peer === victim
      )!
      let report: DrainReport
      if (how === 'drain') {
        const drained = await skein(['drain', '--data', at(name), '--json'])
        expect({ code: drained.code, stderr: drained.stderr }).toEqual({ code: 0, stderr: '' })
        report = JSON.parse(drained.stdout)
      } else {
        leaver.child.kill('SIGTERM')
        report = (await leaver.event('drained')) as unknown as DrainReport
      }
      expect(report).toMatchObject({ handedOver: [{ start: 2, end: 4 }], notTaken: [], sessions: 1, sessionsLeft: 0 })
      expect((await leaver.ended).code).toBe(0)

      await answer.event('recovered')
      await answer.end('SIGINT')
      const events = answer.events as unknown as GenerationEvent[]
      expect(events.filter(({ event }) => event === 'lost')).toEqual([
        { event: 'lost', peer: victim, hop: 1, reason: 'left', charged: false }
      ])
      const recovered = events.flatMap(event => (event.event === 'recovered' ? [event] : []))
      expect(recovered).toHaveLength(1)
      const undisturbed = ask(tokenIds(answer).length)
      expect((await undisturbed.ended).code).toBe(0)
      expect(tokenIds(answer)).toEqual(tokenIds(undisturbed))
      console.log(
        `${how}: left after ${report.ms.toFixed(0)} ms; ${recovered[0]!.ms.toFixed(1)} ms where the route changed; ` +
          `longest gap between ${tokenIds(answer).length} tokens ${longestGap(events).toFixed(1)} ms, ` +
          `undisturbed ${longestGap(undisturbed.events as unknown as GenerationEvent[]).toFixed(1)} ms`
      )

      const startedMs = performance.now()
      const back = up(name, '2-4')
      await back.event('serving')
      console.log(`${how}: serving again ${(performance.now() - startedMs).toFixed(0)} ms after its start`)
      await covered('a', [1, 1, 2, 2, 1, 1])
    },
    60_000
  )
})
