/** What a night is failed by, and what not. */
import { expect, it } from 'vitest'
import type { Row } from './report.ts'
import { keyOf, type Night, readNight, worsened } from './verdict.ts'

const row = (part: string, what: string, unit: string, median: number): Row => ({
  part,
  what,
  unit,
  figure: { median, least: median, most: median, n: 1 }
})
const night = (rows: readonly Row[], cpu = 'a'): Night => ({
  date: '2026-11-30',
  commit: 'abc',
  cpu,
  figures: Object.fromEntries(rows.map(each => [keyOf(each), each.figure.median]))
})

it.each<[string, Row, Row, boolean]>([
  ['memory that has grown', row('memory', 'fresh', 'MB', 100), row('memory', 'fresh', 'MB', 115), true],
  ['memory that has grown a little', row('memory', 'fresh', 'MB', 100), row('memory', 'fresh', 'MB', 105), false],
  [
    'a ratio that has fallen',
    row('engine', '135M q8: wasm / llama.cpp, decode', '', 1.2),
    row('engine', '135M q8: wasm / llama.cpp, decode', '', 1.05),
    true
  ],
  [
    'a ratio that has risen',
    row('engine', '135M q8: wasm / llama.cpp, decode', '', 1.2),
    row('engine', '135M q8: wasm / llama.cpp, decode', '', 1.5),
    false
  ],
  [
    'perplexity that has changed at all',
    row('quality', 'q8: perplexity', '', 20),
    row('quality', 'q8: perplexity', '', 20.1),
    true
  ],
  [
    'tokens a second, which others decide',
    row('engine', '135M q8: wasm', 'tokens/s', 60),
    row('engine', '135M q8: wasm', 'tokens/s', 20),
    false
  ]
])('%s', (_, before, now, isWorse) => {
  expect(worsened([now], [night([before])], 'a')).toHaveLength(isWorse ? 1 : 0)
})

it('is compared with the middle of nights of its own processor, where there are some', () => {
  const of = (value: number): Row => row('memory', 'fresh', 'MB', value)
  const nights = [night([of(100)]), night([of(300)]), night([of(101)]), night([of(10)], 'b')]
  expect(worsened([of(105)], nights, 'a')).toEqual([])
  expect(worsened([of(150)], nights, 'a')).toEqual(['memory: fresh [MB] is 150.0, and was 101.0 on 3 nights before'])
  expect(worsened([of(150)], nights, 'c')).toEqual([])
  expect(worsened([of(150)], [], 'a')).toEqual([])
})

it('is a line that is read again, and nothing else is', () => {
  const one = night([row('memory', 'fresh', 'MB', 100)])
  expect(readNight(JSON.stringify(one))).toEqual(one)
  expect(() => readNight('{"date":1}')).toThrow('a line of the history is no night: {"date":1}')
})
