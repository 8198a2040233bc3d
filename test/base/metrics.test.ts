/** Counters, gauges and histograms, and their text. */
import { describe, expect, it } from 'vitest'
import { Metrics, otherLabel, seriesMax } from '../../src/base/metrics.ts'
import { promtoolSays, readExposition, total, whyNoPromtool } from '../exposition.ts'
import { needs } from '../needs.ts'

function filled(): Metrics {
  const metrics = new Metrics()
  const seen = metrics.counter('skein_seen_total', 'What was seen,\nby \\ whom', ['who', 'how'])
  seen.add(2, 'a "friend"', 'back\\slash')
  seen.add(1, 'a "friend"', 'back\\slash')
  seen.reach(7, 'line\nfeed', '')
  metrics.gauge('skein_level_ratio', 'How full it is').set(0.25)
  const took = metrics.histogram('skein_took_seconds', 'How long it took', [0.125, 1], ['what'])
  for (const seconds of [0.125, 0.25, 1, 5]) took.observe(seconds, 'all')
  metrics.gauge('skein_nothing', 'What never came')
  return metrics
}

describe('the text', () => {
  it('has every family with its type, and nothing that could be taken for something else', () => {
    expect(filled().text()).toBe(
      [
        '# HELP skein_seen_total What was seen,\\nby \\\\ whom',
        '# TYPE skein_seen_total counter',
        'skein_seen_total{who="a \\"friend\\"",how="back\\\\slash"} 3',
        'skein_seen_total{who="line\\nfeed",how=""} 7',
        '# HELP skein_level_ratio How full it is',
        '# TYPE skein_level_ratio gauge',
        'skein_level_ratio 0.25',
        '# HELP skein_took_seconds How long it took',
        '# TYPE skein_took_seconds histogram',
        'skein_took_seconds_bucket{what="all",le="0.125"} 1',
        'skein_took_seconds_bucket{what="all",le="1"} 3',
        'skein_took_seconds_bucket{what="all",le="+Inf"} 4',
        'skein_took_seconds_sum{what="all"} 6.375',
        'skein_took_seconds_count{what="all"} 4',
        ''
      ].join('\n')
    )
    expect(total(readExposition(filled().text()), 'skein_seen_total')).toBe(10)
  })

  it('is what Prometheus takes', needs(whyNoPromtool), () => {
    expect(promtoolSays(filled().text())).toBe('')
  })
})

describe('labels', () => {
  it('that somebody makes up do not fill the memory: the rest is counted together', () => {
    const metrics = new Metrics()
    const counter = metrics.counter('skein_strangers_total', 'Strangers', ['name'])
    for (let i = 0; i < 10 * seriesMax; i++) counter.add(1, `stranger ${i}`)
    const samples = readExposition(metrics.text())
    expect(samples).toHaveLength(seriesMax)
    expect(total(samples, 'skein_strangers_total')).toBe(10 * seriesMax)
    expect(total(samples, 'skein_strangers_total', { name: otherLabel })).toBe(9 * seriesMax + 1)
    counter.add(1, 'x'.repeat(10_000))
    expect(metrics.text().length).toBeLessThan(seriesMax * 100)
  })

  it('are cut where they are long', () => {
    const metrics = new Metrics()
    metrics.counter('skein_long_total', 'Long ones', ['name']).add(1, 'x'.repeat(10_000))
    expect(metrics.text().length).toBeLessThan(300)
  })
})

describe('what is so now', () => {
  it('is forgotten when it is so no longer', () => {
    const metrics = new Metrics()
    const gauge = metrics.gauge('skein_peers', 'Peers', ['peer'])
    gauge.set(1, 'a')
    gauge.clear()
    gauge.set(2, 'b')
    expect(readExposition(metrics.text())).toEqual([{ name: 'skein_peers', labels: { peer: 'b' }, value: 2 }])
  })
})

describe('names', () => {
  it('are taken once, and say what they are', () => {
    const metrics = new Metrics()
    metrics.gauge('skein_once', 'Once')
    expect(() => metrics.gauge('skein_once', 'Twice')).toThrow('skein_once is there already')
    expect(() => metrics.counter('skein_many', 'Many')).toThrow('a counter ends in _total')
    expect(() => metrics.gauge('Skein-Level', 'Level')).toThrow('named in lower case')
    expect(() => metrics.histogram('skein_times', 'Times', [1, 1])).toThrow('the bounds of skein_times rise')
  })
})
