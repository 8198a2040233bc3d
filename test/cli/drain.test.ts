/** Peers that leave with notice, as processes of their own: one copy more of a stage than the answer needs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DrainReport, GenerationEvent, Status } from '../../src/index.ts'
import { Skein, skein } from './skein.ts'

const loopback = ['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
const maxTokens = 150
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

function ask(): Skein {
  return new Skein([
    ...['ask', 'Once upon a time', '--data', at('a'), '--json'],
    ...['--max-tokens', String(maxTokens), '--temperature', '0.8', '--seed', '3']
  ])
}

/** The longest time between two tokens, the first one not counted, in ms. */
function longestGap(events: readonly GenerationEvent[]): number {
  return Math.max(...events.flatMap(event => (event.event === 'token' ? [event.ms] : [])).slice(1))
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-drain-'))
  expect((await skein(['init', at('swarm.json')])).code).toBe(0)
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
    'by %s: the same tokens, and it ends with 0',
    async how => {
      const undisturbed = ask()
      expect((await undisturbed.ended).code).toBe(0)

      const answer = ask()
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

      expect((await answer.ended).code).toBe(0)
      const events = answer.events as unknown as GenerationEvent[]
      const tokens = (run: Skein): unknown[] => run.events.filter(({ event }) => event === 'token').map(({ id }) => id)
      expect(tokens(answer)).toEqual(tokens(undisturbed))
      expect(tokens(answer).length).toBe(maxTokens)
      expect(events.filter(({ event }) => event === 'lost')).toEqual([
        { event: 'lost', peer: victim, hop: 1, reason: 'left' }
      ])
      expect(events.filter(({ event }) => event === 'recovered')).toHaveLength(1)
      console.log(
        `${how}: longest gap between two tokens ${longestGap(events).toFixed(1)} ms, ` +
          `undisturbed ${longestGap(undisturbed.events as unknown as GenerationEvent[]).toFixed(1)} ms`
      )

      // It comes back to the same directory and is useful again.
      const { usedBytes } = (await statusOf('a')).peers.find(({ self }) => self)!
      expect(usedBytes).toBeGreaterThan(0)
      const startedMs = performance.now()
      const back = up(name, '2-4')
      await back.event('serving')
      console.log(`${how}: serving again ${(performance.now() - startedMs).toFixed(0)} ms after its start`)
      await covered('a', [1, 1, 2, 2, 1, 1])
    },
    60_000
  )
})
