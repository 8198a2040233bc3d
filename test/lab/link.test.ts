/** Emulated links do to packets what they are told to. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it, vi } from 'vitest'
import { whyNoLinks } from './link.ts'
import { whyNoNamespaces } from './namespaces.ts'
import type { ProbeInit, ProbeResult } from './probe.ts'
import { needs } from '../needs.ts'

// They wait most of their time, each in namespaces of its own.
const test = it.concurrent
const needed = needs(whyNoNamespaces() ?? whyNoLinks())

// Each starts four processes, beside whatever else this machine does.
vi.setConfig({ testTimeout: 120_000 })

async function probe(init: ProbeInit): Promise<ProbeResult> {
  const file = fileURLToPath(new URL('./probe.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [file, JSON.stringify(init)])
  return JSON.parse(stdout) as ProbeResult
}
const numbers = ({ arrivals }: ProbeResult): number[] => arrivals.map(({ n }) => n)
const all = (packets: number): number[] => Array.from({ length: packets }, (_, n) => n)

test('a link with delay and jitter keeps order and loses nothing', needed, async () => {
  const result = await probe({ link: { delayMs: 30, jitterMs: 60 }, packets: 150, bytes: 200, everyMs: 2 })
  expect(numbers(result)).toEqual(all(150))
  const times = result.arrivals.map(({ ms }) => ms)
  expect(Math.min(...times)).toBeGreaterThanOrEqual(30)
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(10)
})

test('a link that may reorder does', needed, async () => {
  const result = await probe({ link: { jitterMs: 60, reorder: true }, packets: 150, bytes: 200, everyMs: 2 })
  expect(numbers(result)).not.toEqual(all(150))
  expect(numbers(result).sort((a, b) => a - b)).toEqual(all(150))
})

test('a link with loss loses about that share', needed, async () => {
  const result = await probe({ link: { lossPercent: 20, seed: 7 }, packets: 600, bytes: 100, everyMs: 1 })
  expect(result.arrivals.length).toBeGreaterThan(600 * 0.7)
  expect(result.arrivals.length).toBeLessThan(600 * 0.9)
  expect(result.counts.lost).toBeGreaterThanOrEqual(600 - result.arrivals.length)
})

test('a link with a rate takes its time, and drops what does not fit its queue', needed, async () => {
  const result = await probe({ link: { mbitPerS: 1 }, packets: 60, bytes: 1000, everyMs: 0 })
  expect(result.counts.full).toBeGreaterThan(0)
  expect(result.arrivals.length).toBeGreaterThan(5)
  // 12.5 kB are a tenth of a second at this rate.
  expect(result.arrivals.length).toBeLessThan(60)
  const { ms } = result.arrivals.at(-1)!
  expect(ms).toBeGreaterThan(result.arrivals.length * 8 - 20)
})

test('nothing passes to or from a port that is cut, and all passes again after it', needed, async () => {
  const result = await probe({ link: {}, packets: 60, bytes: 100, everyMs: 1, cut: [20, 40] })
  expect(numbers(result)).toEqual([...all(20), ...all(60).slice(40)])
  expect(result.counts.cut).toBeGreaterThanOrEqual(20)
})
