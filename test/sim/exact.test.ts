import fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { distance, ln, power } from '../../sim/exact.ts'

test('logarithms, powers and distances are those of mathematics', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-12, max: 1e6, noNaN: true }), x => {
      expect(Math.abs(ln(x) - Math.log(x))).toBeLessThanOrEqual(2e-15 * Math.max(1, Math.abs(Math.log(x))))
    })
  )
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 3000 }), (base, exponent) => {
      expect(power(base, exponent)).toBeCloseTo(base ** exponent, 12)
    })
  )
  expect(distance(3, -4)).toBe(5)
})

test('nothing that engines compute as they like decides what happens in a world', () => {
  const folder = fileURLToPath(new URL('../../sim/', import.meta.url))
  // These compare and draw: no world is made of what they say.
  const apart = new Set(['placing.ts', 'flying.ts', 'converging.ts', 'baselines.ts', 'live.ts'])
  const files = readdirSync(folder).filter(
    file => file.endsWith('.ts') && !apart.has(file) && !file.startsWith('live') && !file.startsWith('report')
  )
  expect(files).toContain('radio.ts')
  for (const file of files) {
    const code = readFileSync(folder + file, 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
    const found = code.match(
      /Math\.(sin|cos|tan|asin|acos|atan|atan2|exp|expm1|log|log1p|log2|log10|pow|hypot|cbrt|sinh|cosh|tanh|random)\b|\blocaleCompare\b|\btoLocale\w+|\bIntl\.|\bnew Date\b|\bDate\.now\b/g
    )
    expect(found, `${file}: use exact.ts, chance.ts or the agenda`).toBeNull()
  }
})
