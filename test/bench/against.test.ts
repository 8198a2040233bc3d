import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { changes, readResult } from './against.ts'
import type { Row } from './report.ts'

const row = (what: string, least: number, median: number, most: number): Row => ({
  ...{ part: 'engine', what, unit: 'tokens/s' },
  figure: { least, median, most, n: 3 }
})
const where = { date: '2026-11-20', cpu: 'a', cores: 2, load: 0.25 }

describe('what changed since an earlier result', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'skein-against-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const written = (content: string): string => {
    const file = path.join(folder, 'result.json')
    writeFileSync(file, content)
    return file
  }

  test('is a ratio for each figure of both, and clear where the spreads do not overlap', () => {
    const before = [row('q8', 90, 100, 110), row('q4', 90, 100, 110), row('gone', 1, 1, 1)]
    const earlier = readResult(written(JSON.stringify({ where, rows: before, skipped: [] })))
    const text = changes([row('q8', 111, 150, 160), row('q4', 105, 120, 130), row('new', 1, 2, 3)], earlier, where)
    expect(text.split('\n').map(line => line.replaceAll(/ +/g, ' '))).toEqual([
      'Against the result of 2026-11-20, load at its start 0.3:',
      '',
      '| what | before | now | now / before | |',
      expect.stringContaining('---'),
      '| engine: q8 | 100 tokens/s | 150 tokens/s | 1.50 | beyond both spreads |',
      '| engine: q4 | 100 tokens/s | 120 tokens/s | 1.20 | |',
      '',
      'new: engine: new',
      '',
      'not measured now: engine: gone'
    ])
  })

  test('says when another machine gave it', () => {
    const earlier = readResult(written(JSON.stringify({ where, rows: [] })))
    expect(changes([], earlier, { cpu: 'b', cores: 2 })).toContain('which another machine gave (a, 2 cores)')
  })

  test('is refused of what is no result', () => {
    for (const content of ['', '[]', '{"where":{},"rows":[]}', '| a table |']) {
      expect(() => readResult(written(content))).toThrow(
        /^--against .*result\.json is no result of the bench: it takes/
      )
    }
    expect(() => readResult(path.join(folder, 'none'))).toThrow(/^--against .*none cannot be read: ENOENT/)
  })
})
