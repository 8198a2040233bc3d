import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import type { ReportData } from '../../sim/report-data.ts'
import { bytesText, figure } from '../../sim/report-charts.ts'
import { page } from '../../sim/report-page.ts'
import { writeReport } from '../../sim/report.ts'
import { parseScenario } from '../../sim/scenario.ts'
import { World } from '../../sim/world.ts'

const world = new World({
  scenario: parseScenario(
    {
      name: 'a </script> of <b>',
      about: 'Names that a page must not take for its own.',
      minutes: 1,
      healS: 50,
      model: { layers: 6, layerMB: 10 },
      peers: [
        { name: 'post', count: 2, memoryMB: 60, visitMs: 1, layerMs: 1 },
        {
          name: 'drone',
          count: 4,
          memoryMB: 40,
          visitMs: 1,
          layerMs: 2,
          batteryWh: 1,
          watts: { motion: 120 },
          motion: { kind: 'random-waypoint', speed: [2, 8] }
        }
      ],
      radio: { rateMbps: 50, zones: [{ x: 50, y: 50, radiusM: 10, loss: 0.2, dx: 1 }] },
      workload: [{ from: 'post', perMinute: 40 }],
      faults: [
        { atS: 15, kind: 'freeze', who: ['drone-1'], forS: 5 },
        { atS: 20, kind: 'power', who: ['drone-0'] },
        { atS: 30, kind: 'crash', who: ['post-1'] }
      ]
    },
    'here'
  ),
  seed: 2,
  keepsSamples: true
})
const summary = await world.run()
const files = new Map(writeReport(world, summary, 'out.html'))

/** What a page's script needs of a browser; whatever it draws is forgotten, whatever it asks for must be there. */
function browse(html: string): { readonly texts: Record<string, string>; readonly drawn: number } {
  const script = /<script>([\s\S]*)<\/script>/.exec(html)![1]!
  let drawn = 0
  const context = new Proxy(
    {},
    {
      get: (_, name) => {
        if (name === 'measureText') return () => ({ width: 40 })
        return (...args: unknown[]) => {
          drawn++
          if (args.some(arg => typeof arg === 'number' && !Number.isFinite(arg))) {
            throw new Error(`${String(name)}(${args.join(', ')})`)
          }
        }
      },
      set: () => true
    }
  )
  const elements = new Map<string, Record<string, unknown>>()
  const element = (id: string): Record<string, unknown> => {
    expect(html).toContain(`id="${id}"`)
    let found = elements.get(id)
    if (found === undefined) {
      found = { width: 1800, height: 900, value: '0', textContent: '', innerHTML: '', getContext: () => context }
      elements.set(id, found)
    }
    return found
  }
  const cursors = [{ setAttribute: () => {}, style: {} }]
  runInNewContext(script, {
    document: { getElementById: element, documentElement: {}, querySelectorAll: () => cursors },
    matchMedia: () => ({ matches: true }),
    getComputedStyle: () => ({ getPropertyValue: () => '#123456' }),
    location: { hash: '' },
    atob,
    requestAnimationFrame: () => {}
  })
  // Through the whole story, and back.
  const slider = element('slider')
  for (const value of [0, 1, 500, 1000, 3]) {
    slider.value = value
    ;(slider.oninput as () => void)()
  }
  ;(element('play').onclick as () => void)()
  const texts = Object.fromEntries([...elements].map(([id, each]) => [id, String(each.textContent)]))
  return { texts, drawn }
}

describe('a report', () => {
  test('is one page that needs nothing else and shows what happened', () => {
    const html = files.get('out.html')!
    expect(html).not.toMatch(/https?:|NaN|undefined|src=|@import/)
    for (const title of [
      'Where everybody is',
      'Copies of each layer',
      'Tokens',
      'Pauses after a loss',
      'Power',
      'Energy'
    ]) {
      expect(html).toContain(title)
    }
    expect(html).toContain('Batteries')
    expect(html).toContain('1 virtual minutes, and 0.83 to heal')
    expect(html).toContain('power: drone-0')
    expect(html).toContain('post-0 → ')
    expect(html).not.toContain('a </script>')
    // As many brackets open as close: nothing is cut off.
    for (const tag of ['svg', 'figure', 'table', 'tr', 'g', 'style', 'script']) {
      const open = html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length
      expect(html.match(new RegExp(`</${tag}>`, 'g'))?.length, tag).toBe(open)
    }
  })

  test('has a map that moves without an error', () => {
    const { texts, drawn } = browse(files.get('out.html')!)
    expect(texts.time).toBe('0:00')
    expect(drawn).toBeGreaterThan(300)
  })

  test('has its numbers beside it', () => {
    const json = JSON.parse(files.get('out.json')!) as ReportData
    expect(json.summary).toEqual(summary)
    const rows = (name: string): string[][] =>
      files
        .get(name)!
        .trim()
        .split('\n')
        .map(line => line.split(','))
    const samples = rows('out.csv')
    expect(samples.length).toBe(json.samples.length + 1)
    const tokens = samples.slice(1).reduce((sum, row) => sum + Number(row[samples[0]!.indexOf('tokens')]), 0)
    // Rows go on through the healing.
    expect(tokens).toBe(summary.tokens + summary.healing.tokens)
    expect(rows('out-peers.csv').length).toBe(6 * json.samples.length + 1)
    const bytes = rows('out-links.csv').slice(1)
    expect(bytes.reduce((sum, row) => sum + Number(row[2]), 0)).toBe(summary.wireBytes + summary.healing.wireBytes)
    expect(new Set(rows('out-peers.csv').map(row => row.length))).toEqual(new Set([8]))
  })

  test('of a thousand peers for an hour is a page that a browser can open', () => {
    const small = JSON.parse(files.get('out.json')!) as ReportData
    const peers = Array.from({ length: 1000 }, (_, i) => ({ name: `drone-${i}`, group: 'drone' }))
    const one = small.samples.find(sample => sample.peers.length > 0)!.peers[0]!
    const samples = Array.from({ length: 3690 }, (_, i) => ({
      ...small.samples[i % small.samples.length]!,
      atMs: 1000 * (i + 1),
      flows: [],
      peers: i % 31 === 0 ? peers.map((_, j) => ({ ...one, x: (i * j) % 4000, y: (i + j) % 3000 })) : []
    }))
    const links = peers.slice(1).map((_, i) => ({ from: i, to: i + 1, bytes: 1000 * i }))
    const html = page({ ...small, peers, samples, links, summary: { ...small.summary, virtualMs: 3_690_000 } })
    expect(html.length).toBeLessThan(3e6)
    expect(browse(html).drawn).toBeGreaterThan(5000)
  })
})

test('numbers are written the same way everywhere', () => {
  expect([0, 7, 1234567, 12.345, 0.5, 999.5].map(figure)).toEqual(['0', '7', '1,234,567', '12.3', '0.50', '1,000'])
  expect([12, 12_345, 1_250_000, 7e9].map(bytesText)).toEqual(['12 B', '12.3 kB', '1.25 MB', '7 GB'])
})
