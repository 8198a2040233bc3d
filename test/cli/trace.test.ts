/** What `skein ask --trace` shows of laps, and what it writes for Perfetto. */
import { describe, expect, it } from 'vitest'
import { promptAndTrace } from '../../src/cli/flags.ts'
import { type Lap, traceEvents, waterfall } from '../../src/cli/trace.ts'
import type { PeerId } from '../../src/index.ts'

const hops = ['AAAAAAAA', 'BBBBBBBB'].map((name, i) => ({
  peer: `12D3KooW${name}` as PeerId,
  start: 3 * i,
  end: 3 * i + 3
}))

function lap(i: number, change: Partial<Lap> = {}): Lap {
  const spans = [
    { name: 'send', hop: undefined, ms: 1 },
    { name: 'compute', hop: 0, ms: 4 },
    { name: 'wire', hop: 1, ms: 1 },
    { name: 'compute', hop: 1, ms: 3 + i / 100 },
    { name: 'read', hop: undefined, ms: 1 }
  ] as const
  const ms = spans.reduce((sum, span) => sum + span.ms, 0)
  return { position: 10 + i, tokens: 1, rows: 1, startMs: 20 * i, ms, hops, spans, ...change }
}

const laps = Array.from({ length: 100 }, (_, i) => lap(i))

describe('a waterfall', () => {
  it('has a row for each span of each hop, with mean, share, p50 and p99, and leaves the prompt out', () => {
    const [title, head, ...rows] = waterfall(laps)
    expect(title).toBe('99 laps of 100 over 2 hops (without the prompt, laps with drafts and other routes), in ms:')
    expect(head).toMatch(/^where +span +mean +share +p50 +p99$/)
    expect(rows.map(row => row.trim().split(/ {2,}/).slice(0, 2).join(' '))).toEqual([
      'driver send',
      'hop 0 …AAAAAAAA layers 0-3 compute',
      'to hop 1 wire',
      'hop 1 …BBBBBBBB layers 3-6 compute',
      'driver read',
      'lap 10.500'
    ])
    expect(rows[3]).toContain('3.500')
    expect(rows[3]).toMatch(/3\.990/)
    expect(rows.at(-1)).toMatch(/lap +10\.500 +100\.0 % +10\.500 +10\.990/)
    // Each bar begins where the one before it ended.
    const bars = rows.slice(0, -1).map(row => row.search(/[█▏▎▍▌▋▊▉]/))
    expect(bars).toEqual([...bars].sort((x, y) => x - y))
    expect(new Set(bars).size).toBeGreaterThan(3)
  })

  it('is of lone tokens where there are any, and of what there is where there are not', () => {
    expect(waterfall([lap(0), lap(1, { rows: 4, tokens: 3 }), lap(2)])[0]).toContain('1 laps of 3')
    expect(waterfall([lap(0, { rows: 9 })])[0]).toBe('1 laps of 1 over 2 hops, in ms:')
    expect(waterfall([])).toEqual(['no token was traced'])
  })
})

it('trace events name a track for the driver and each hop, and lie on them one after the other', () => {
  const moved = lap(3, { hops: [hops[0]!, { ...hops[1]!, peer: '12D3KooWCCCCCCCC' as PeerId }] })
  const { traceEvents: events } = JSON.parse(JSON.stringify(traceEvents([lap(1), lap(2), moved])))
  const names = events.flatMap((e: { name: string; args: { name: string } }) =>
    e.name === 'thread_name' ? [e.args.name] : []
  )
  expect(names).toEqual([
    'driver',
    'hop 0 …AAAAAAAA layers 0-3',
    'hop 1 …BBBBBBBB layers 3-6',
    'hop 1 …CCCCCCCC layers 3-6'
  ])
  const spans = events.filter((e: { ph: string }) => e.ph === 'X')
  expect(spans).toHaveLength(15)
  expect(spans[0]).toMatchObject({ name: 'send', ts: 20_000, dur: 1000, tid: 0, args: { position: 11, tokens: 1 } })
  for (const [i, { ts, dur }] of spans.entries()) {
    if (i % 5 < 4) expect(spans[i + 1].ts).toBeCloseTo(ts + dur)
  }
})

describe('the flag --trace', () => {
  it('takes a file, or nothing: then what follows it is the prompt', () => {
    expect(promptAndTrace('Once', undefined)).toEqual({ prompt: 'Once', trace: undefined })
    expect(promptAndTrace('Once', true)).toEqual({ prompt: 'Once', trace: true })
    expect(promptAndTrace(undefined, 'Once upon')).toEqual({ prompt: 'Once upon', trace: true })
    expect(promptAndTrace('Once', 'a/b.JSON')).toEqual({ prompt: 'Once', trace: 'a/b.JSON' })
    expect(promptAndTrace(undefined, 'b.json')).toEqual({ prompt: undefined, trace: 'b.json' })
  })

  it('takes no other file', () => {
    expect(() => promptAndTrace('Once', 'out.txt')).toThrow(
      "--trace takes a file whose name ends in .json, or none, not 'out.txt'"
    )
  })
})
