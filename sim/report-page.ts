/** The page of a report: one file that needs nothing else, readable by day and by night. */
import type { ReportData } from './report-data.ts'
import {
  bytesText,
  clock,
  coverageChart,
  dotChart,
  figure,
  frame,
  htmlText,
  lineChart,
  linkMatrix,
  markStrip
} from './report-charts.ts'
import { mapScript } from './report-map.ts'
import type { Sample } from './stats.ts'

const style = `
:root{--ink:#1b1f24;--dim:#636a73;--back:#fbfbf9;--card:#fff;--edge:#dcdfe3;--a:#2c6db5;--b:#c9742b;--c:#8a919a;--bad:#c0392b;--good:#2f8a57}
@media (prefers-color-scheme:dark){:root{--ink:#e7e9ec;--dim:#9aa2ab;--back:#15181c;--card:#1c2026;--edge:#333a42;--a:#6aa9ea;--b:#e2a05c;--c:#77808a;--bad:#e8776a;--good:#6cc490}}
body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--back)}
h1{margin:0}h2{margin:2rem 0 .5rem;font-size:1.15rem}small,.dim{color:var(--dim);font-weight:400}
code{font:13px ui-monospace,monospace;background:var(--card);border:1px solid var(--edge);border-radius:4px;padding:.1rem .35rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.6rem;margin:1.2rem 0}
.tile{background:var(--card);border:1px solid var(--edge);border-radius:8px;padding:.6rem .8rem}
.tile b{display:block;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}.tile span{color:var(--dim);font-size:13px}
figure{margin:1.1rem 0}figcaption{font-weight:600;margin-bottom:.2rem}figcaption small{margin-left:.4rem}
svg,canvas{width:100%;height:auto;display:block;background:var(--card);border:1px solid var(--edge);border-radius:6px}
svg text{font:11px system-ui,sans-serif;fill:var(--dim)}
svg line.grid{stroke:var(--edge);stroke-width:.7}svg polyline{fill:none;stroke-width:1.4;stroke-linejoin:round}
.a{stroke:var(--a)}.b{stroke:var(--b)}.c{stroke:var(--c)}.area{fill:var(--a);fill-opacity:.14;stroke:none}.dot{fill:var(--b)}
svg line.mark{stroke:var(--bad);stroke-width:1.6}.cell{fill:var(--a)}
.cursor{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3;visibility:hidden}
.c0{fill:#20242c;background:#20242c}.c1{fill:#a2452d;background:#a2452d}.c2{fill:#d8a03a;background:#d8a03a}.c3{fill:#a9bd4b;background:#a9bd4b}.c4{fill:#58a866;background:#58a866}.c5{fill:#2c7d6f;background:#2c7d6f}
small i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .25em 0 .5em;vertical-align:-.05em}
.player{display:flex;gap:.6rem;align-items:center;margin-top:.4rem}.player input{flex:1}.player output{min-width:5.5em;text-align:right;font-variant-numeric:tabular-nums}
button,select{font:inherit;color:inherit;background:var(--card);border:1px solid var(--edge);border-radius:6px;padding:.15rem .7rem}
table{border-collapse:collapse;width:100%}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
th{font-weight:500;color:var(--dim);white-space:nowrap}td.number{text-align:right;white-space:nowrap}td.bar{width:45%}td.bar i{display:block;height:.7em;margin-top:.45em;background:var(--a);border-radius:2px}
details summary{cursor:pointer;color:var(--dim)}
`

export function page(data: ReportData): string {
  const { summary, scenario, samples, peers, layers, marks, recoveries } = data
  const axis = { endMs: Math.max(1, summary.virtualMs) }
  const atMs = samples.map(sample => sample.atMs)
  const rate = (values: (sample: Sample, before: Sample | undefined) => number): number[] =>
    samples.map((sample, i) => {
      const before = samples[i - 1]
      const seconds = (sample.atMs - (before?.atMs ?? 0)) / 1000
      return seconds <= 0 ? 0 : values(sample, before) / seconds
    })
  const hasBattery = samples.some(({ levels }) => levels !== undefined)
  const level = (which: 0 | 1 | 2): number[] => samples.map(({ levels }) => 100 * (levels?.[which] ?? 0))
  const { pauseMs } = summary
  const pauseNote =
    pauseMs === null
      ? ''
      : `p50 ${figure(pauseMs.p50)} ms, p99 ${figure(pauseMs.p99)} ms, longest ${figure(pauseMs.max)} ms`
  const title = `${scenario.name}, seed ${summary.seed}`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${htmlText(title)}</title><link rel="icon" href="data:,">
<style>${style}</style></head><body>
<h1>${htmlText(scenario.name)}</h1>
<p>${htmlText(scenario.about)}</p>
<p class="dim">Seed ${summary.seed} · ${figure(peers.length)} peers · ${layers} layers · ${figure((summary.virtualMs - summary.healing.ms) / 60_000)} virtual minutes, and ${figure(summary.healing.ms / 60_000)} to heal · ${figure(summary.checks)} checks of promises, none broken · trace ${summary.trace}</p>
<div class="tiles">${tiles(data)}</div>
<figure><figcaption>Where everybody is <small id="legend"></small></figcaption><canvas id="map" width="1800" height="${mapHeight(data)}"></canvas>
<div class="player"><button id="play" type="button">Play</button><input id="slider" type="range" min="0" max="1000" value="0" aria-label="time"><output id="time"></output></div></figure>
${markStrip(axis, marks)}
${coverageChart(
  axis,
  atMs,
  samples.map(({ coverage }) => coverage),
  layers
)}
${lineChart({
  title: 'Tokens, all answers together',
  unit: 'per second',
  axis,
  atMs,
  lines: [{ kind: 'a', values: rate(({ tokens }) => tokens), filled: true }]
})}
${dotChart({ title: 'Pauses after a loss', note: pauseNote, axis, dots: recoveries })}
${lineChart({
  title: 'Peers that are up',
  unit: 'peers',
  axis,
  atMs,
  top: peers.length,
  lines: [{ kind: 'a', values: samples.map(({ up }) => up), filled: true }]
})}
${lineChart({
  title: 'Power, all peers together',
  unit: 'W',
  axis,
  atMs,
  lines: [{ kind: 'b', values: rate(({ joules }, before) => joules - (before?.joules ?? 0)) }]
})}
${lineChart({
  title: 'Energy used',
  unit: 'kJ',
  axis,
  atMs,
  lines: [{ kind: 'b', values: samples.map(({ joules }) => joules / 1000), filled: false }]
})}
${
  hasBattery
    ? lineChart({
        title: 'Batteries',
        unit: '%',
        note: 'the lowest, the median and the highest charge',
        axis,
        atMs,
        top: 100,
        lines: [
          { kind: 'c', values: level(2) },
          { kind: 'a', values: level(1) },
          { kind: 'b', values: level(0) }
        ]
      })
    : ''
}
<h2>Bytes per link</h2>
${linkPart(data)}
<h2>What went wrong</h2>
${markTable(marks)}
<h2>All numbers</h2>
<table>${numbers(summary)}</table>
<script>
const report=${script(mapData(data))}
const axis=${script({ ...axis, ...frame })}
${mapScript}
</script></body></html>
`
}

/** JSON inside a script: nothing in it may end the script. */
function script(value: unknown): string {
  return JSON.stringify(value).replace(/</g, '\\u003c')
}

function tiles({ summary }: ReportData): string {
  const { pauseMs, firstTokenMs } = summary
  const asked = summary.prompts - summary.driversLost - summary.cancelled
  const list: [string, string][] = [
    [asked === 0 ? '–' : `${figure((100 * summary.answered) / asked)} %`, `${summary.answered} of ${asked} answered`],
    [summary.tokensPerSecond === null ? '–' : figure(summary.tokensPerSecond), 'tokens/s in an answer'],
    [
      firstTokenMs === null ? '–' : `${figure(firstTokenMs.p50)} ms`,
      firstTokenMs === null ? 'first token: none came' : `first token; p99 ${figure(firstTokenMs.p99)} ms`
    ],
    [
      pauseMs === null ? '–' : `${figure(pauseMs.p50)} ms`,
      pauseMs === null
        ? 'pause: no answer was interrupted'
        : `pause; p99 ${figure(pauseMs.p99)} ms, ${summary.recoveries} of them`
    ],
    [`${figure(100 * summary.coveredRatio)} %`, 'of the time every layer was served'],
    [summary.bytesPerToken === null ? '–' : bytesText(summary.bytesPerToken), 'over the air per token'],
    [summary.joulesPerToken === null ? '–' : `${figure(summary.joulesPerToken)} J`, 'per token, flight included'],
    [
      figure(summary.faults),
      `faults; ${Object.values(summary.losses).reduce((sum, count) => sum + count, 0)} hops lost`
    ]
  ]
  if (summary.levelMin !== null) {
    list.push([
      `${figure(100 * summary.levelMin)} %`,
      `lowest battery before the healing; ${summary.flatBatteries} went flat`
    ])
  }
  if (summary.fetchMs !== null) {
    list.push([`${figure(summary.fetchMs.p50 / 1000)} s`, `to fetch weights, ${summary.fetches} times`])
  }
  return list
    .map(([value, what]) => `<div class="tile"><b>${htmlText(value)}</b><span>${htmlText(what)}</span></div>`)
    .join('')
}

/** Who sent most to whom: as a matrix where it can be read, of groups where there are many, and the busiest links. */
function linkPart({ links, peers }: ReportData): string {
  const all = links.reduce((sum, { bytes }) => sum + bytes, 0)
  const most = links[0]?.bytes ?? 1
  const rows = links
    .slice(0, 20)
    .map(
      ({ from, to, bytes }) =>
        `<tr><td>${htmlText(peers[from]!.name)} → ${htmlText(peers[to]!.name)}</td><td class="number">${bytesText(bytes)}</td><td class="bar"><i style="width:${((100 * bytes) / most).toFixed(1)}%"></i></td></tr>`
    )
    .join('')
  const isSmall = peers.length <= 64
  const names = isSmall ? peers.map(({ name }) => name) : [...new Set(peers.map(({ group }) => group))]
  const matrix = isSmall ? links : byGroup(links, peers, names)
  return `<p class="dim">${bytesText(all)} over ${figure(links.length)} directed links${isSmall ? '' : ', summed up by groups of peers'}. What the DHT would take is not among them: it is not modelled, <code>npm run bench -- --only dht</code> measures it.</p>
${linkMatrix(names, matrix)}
<table>${rows}</table>`
}

function byGroup(
  links: ReportData['links'],
  peers: ReportData['peers'],
  names: readonly string[]
): { from: number; to: number; bytes: number }[] {
  const sums = new Map<number, number>()
  const index = new Map(names.map((name, i) => [name, i]))
  for (const { from, to, bytes } of links) {
    const key = index.get(peers[from]!.group)! * names.length + index.get(peers[to]!.group)!
    sums.set(key, (sums.get(key) ?? 0) + bytes)
  }
  return [...sums].map(([key, bytes]) => ({ from: Math.floor(key / names.length), to: key % names.length, bytes }))
}

function markTable(marks: ReportData['marks']): string {
  if (marks.length === 0) return '<p class="dim">Nothing.</p>'
  const row = ({ atMs, text }: ReportData['marks'][number]): string =>
    `<tr><th>${clock(atMs / 1000)}</th><td>${htmlText(text)}</td></tr>`
  const shown = marks.slice(0, 20).map(row).join('')
  const rest = marks.slice(20, 400).map(row).join('')
  const more =
    rest === '' ? '' : `<details><summary>${marks.length - 20} more</summary><table>${rest}</table></details>`
  return `<table>${shown}</table>${more}`
}

function numbers(summary: ReportData['summary']): string {
  return Object.entries(summary)
    .filter(([key]) => key !== 'event')
    .map(([key, value]) => {
      const words = key.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
      const text =
        typeof value === 'number'
          ? figure(value)
          : typeof value === 'object' && value !== null
            ? Object.entries(value)
                .map(([name, each]) => `${name} ${figure(each as number)}`)
                .join(', ') || 'none'
            : String(value ?? '–')
      return `<tr><th>${htmlText(words)}</th><td>${htmlText(text)}</td></tr>`
    })
    .join('')
}

// ── The map ───────────────────────────────────────────────────────────────────────────────────────

interface Box {
  readonly x0: number
  readonly y0: number
  readonly x1: number
  readonly y1: number
}

function boxOf({ samples, scenario }: ReportData): Box {
  const box = { x0: 0, y0: 0, x1: scenario.area.widthM, y1: scenario.area.heightM }
  let isFirst = true
  for (const { peers } of samples) {
    for (const { x, y } of peers) {
      if (isFirst) Object.assign(box, { x0: x, y0: y, x1: x, y1: y })
      isFirst = false
      box.x0 = Math.min(box.x0, x)
      box.y0 = Math.min(box.y0, y)
      box.x1 = Math.max(box.x1, x)
      box.y1 = Math.max(box.y1, y)
    }
  }
  return box
}

function mapHeight(data: ReportData): number {
  const { x0, y0, x1, y1 } = boxOf(data)
  return Math.round(Math.min(1300, Math.max(560, (1800 * (y1 - y0 + 1)) / (x1 - x0 + 1))))
}

/** Rows of peers in all frames: some 1.5 MB of page. */
const frameRowsMax = 100_000
const framesMax = 900
/** Bytes of one peer in one frame: x, y (16 bits each), state, charge, first layer and end (16 bits each). */
const rowBytes = 10

/** Frames of the map, packed: `[frames][peers][10]` bytes in base 64. */
function mapData(data: ReportData): unknown {
  const { samples, peers, layers, scenario } = data
  const box = boxOf(data)
  const placed = samples.filter(sample => sample.peers.length > 0)
  const stride = Math.max(
    1,
    Math.ceil((placed.length * peers.length) / frameRowsMax),
    Math.ceil(placed.length / framesMax)
  )
  const frames = placed.filter((_, i) => i % stride === 0 || i === placed.length - 1)
  const bytes = new Uint8Array(frames.length * peers.length * rowBytes)
  const view = new DataView(bytes.buffer)
  const scale = (value: number, low: number, high: number): number =>
    high > low ? Math.round((65_535 * (value - low)) / (high - low)) : 32_768
  let at = 0
  for (const { peers: each } of frames) {
    for (const { x, y, state, level, stage } of each) {
      view.setUint16(at, scale(x, box.x0, box.x1))
      view.setUint16(at + 2, scale(y, box.y0, box.y1))
      view.setUint8(at + 4, ['up', 'down', 'frozen', 'charging'].indexOf(state))
      view.setUint8(at + 5, level === null ? 255 : Math.round(100 * level))
      view.setUint16(at + 6, stage === null ? 65_535 : stage.start)
      view.setUint16(at + 8, stage === null ? 65_535 : stage.end)
      at += rowBytes
    }
  }
  return {
    names: peers.map(({ name }) => name),
    layers,
    box,
    zones: scenario.zones,
    times: frames.map(({ atMs }) => atMs),
    flows: frames.map(({ flows }) => flows),
    rows: Buffer.from(bytes).toString('base64')
  }
}
