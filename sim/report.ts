/** The story of a world as one page with pictures, and its numbers as JSON and CSV beside it. */
import type { ReportData } from './report-data.ts'
import { page } from './report-page.ts'
import { reportPaths } from './report-paths.ts'
import type { Sample, Summary } from './stats.ts'
import type { World } from './world.ts'

/** Links that files list. */
const linksMax = 20_000

/**
 * Files to write, with their contents: the page; `.json` with everything; `.csv` with a row per sample, `-peers.csv`
 * with a row per peer and sample, `-links.csv` with a row per link. Of a long life of many peers only so many rows are
 * kept (`rowsMax` in `world.ts`).
 */
export function writeReport(world: World, summary: Summary, path: string): [string, string][] {
  const { scenario, peers, samples, marks, stats } = world
  const data: ReportData = {
    summary,
    scenario: {
      name: scenario.name,
      about: scenario.about,
      area: scenario.area,
      rangeM: scenario.radio.rangeM,
      zones: scenario.radio.zones
    },
    peers: peers.map(({ name, group }) => ({ name, group: group.name })),
    layers: world.shape.layers,
    links: [...world.wire.bytes]
      .map(([key, bytes]) => ({ from: Math.floor(key / peers.length), to: key % peers.length, bytes }))
      .sort((a, b) => b.bytes - a.bytes || a.from - b.from || a.to - b.to)
      .slice(0, linksMax),
    recoveries: stats.recoveredAt,
    marks,
    samples
  }
  const texts = [page(data), JSON.stringify(data), samplesCsv(samples), peersCsv(data), linksCsv(data)]
  return reportPaths(path).map((each, i) => [each, texts[i]!])
}

function samplesCsv(samples: readonly Sample[]): string {
  const rows = samples.map(({ atMs, up, covered, tokens, losses, pauseMaxMs, joules, levels }) => {
    const charges = levels?.map(level => level.toFixed(3)) ?? ['', '', '']
    return [atMs / 1000, up, covered, tokens, losses, pauseMaxMs, Math.round(joules), ...charges].join(',')
  })
  const head =
    'seconds,peers_up,least_copies,tokens,losses,longest_pause_ms,joules_so_far,least_battery,median_battery,most_battery'
  return [head, ...rows, ''].join('\n')
}

function peersCsv({ samples, peers }: ReportData): string {
  const rows = samples.flatMap(({ atMs, peers: each }) =>
    each.map(({ x, y, state, level, stage }, i) =>
      [
        atMs / 1000,
        peers[i]!.name,
        x,
        y,
        state,
        level === null ? '' : level.toFixed(3),
        stage?.start ?? '',
        stage?.end ?? ''
      ].join(',')
    )
  )
  return ['seconds,peer,x,y,state,battery,first_layer,end_layer', ...rows, ''].join('\n')
}

function linksCsv({ links, peers }: ReportData): string {
  const rows = links.map(({ from, to, bytes }) => `${peers[from]!.name},${peers[to]!.name},${bytes}`)
  return ['from,to,bytes', ...rows, ''].join('\n')
}
