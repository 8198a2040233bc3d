/** The story of a world as one page with pictures, and its numbers as JSON and CSV beside it. */
import { extname } from 'node:path'
import type { Sample, Summary } from './stats.ts'
import type { World } from './world.ts'

/** Files to write, with their contents: the page, `.json` with everything, `.csv` with a row per sample. */
export function writeReport(world: World, summary: Summary, path: string): [string, string][] {
  const base = path.slice(0, path.length - extname(path).length)
  const data = {
    summary,
    scenario: { name: world.scenario.name, about: world.scenario.about, area: world.scenario.area },
    peers: world.peers.map(({ name, group }) => ({ name, group: group.name })),
    layers: world.shape.layers,
    links: links(world),
    samples: world.samples
  }
  return [
    [path, page(data)],
    [`${base}.json`, JSON.stringify(data)],
    [`${base}.csv`, csv(world.samples)]
  ]
}

interface ReportData {
  readonly summary: Summary
  readonly scenario: {
    readonly name: string
    readonly about: string
    readonly area: { widthM: number; heightM: number }
  }
  readonly peers: readonly { readonly name: string; readonly group: string }[]
  readonly layers: number
  readonly links: readonly { readonly from: string; readonly to: string; readonly bytes: number }[]
  readonly samples: readonly Sample[]
}

/** Bytes per directed link, the busiest first; of a large swarm only so many. */
function links(world: World): ReportData['links'] {
  return [...world.wire.bytes]
    .map(([key, bytes]) => {
      const [from, to] = [Math.floor(key / world.peers.length), key % world.peers.length]
      return { from: world.peers[from!]!.name, to: world.peers[to!]!.name, bytes }
    })
    .sort((a, b) => b.bytes - a.bytes || (a.from < b.from ? -1 : 1))
    .slice(0, 400)
}

function csv(samples: readonly Sample[]): string {
  const rows = samples.map(({ atMs, up, covered, tokens, losses, pauseMaxMs, joules, levelMin }) =>
    [atMs / 1000, up, covered, tokens, losses, pauseMaxMs, Math.round(joules), levelMin.toFixed(3)].join(',')
  )
  return ['seconds,peers_up,least_copies,tokens,losses,pause_ms,joules,least_battery', ...rows, ''].join('\n')
}

function htmlText(text: string): string {
  return text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`)
}

/** A line chart as SVG; `y` of each sample, scaled to the largest. */
function chart(title: string, unit: string, samples: readonly Sample[], y: (sample: Sample) => number): string {
  const [width, height, left, bottom] = [860, 150, 56, 22]
  const end = samples.at(-1)?.atMs ?? 1
  const values = samples.map(y)
  const top = values.reduce((most, value) => Math.max(most, value), 0) || 1
  const px = (atMs: number): string => (left + ((width - left - 8) * atMs) / end).toFixed(1)
  const py = (value: number): string => (height - bottom - ((height - bottom - 12) * value) / top).toFixed(1)
  // A picture is as wide as it is: more points than pixels would only make it heavy.
  const stride = Math.max(1, Math.ceil(samples.length / 800))
  const points: string[] = []
  for (let i = 0; i < samples.length; i += stride) {
    const most = values.slice(i, i + stride).reduce((a, b) => Math.max(a, b), 0)
    points.push(`${px(samples[i]!.atMs)},${py(most)}`)
  }
  const minutes = end / 60_000
  const ticks = Array.from({ length: 7 }, (_, i) => (minutes * i) / 6)
    .map(
      minute =>
        `<text x="${px(minute * 60_000)}" y="${height - 6}" text-anchor="middle">${minute.toFixed(minutes < 12 ? 1 : 0)}</text>`
    )
    .join('')
  const label = top >= 100 ? Math.round(top).toString() : top.toFixed(top < 10 ? 2 : 1)
  return `<figure><figcaption>${htmlText(title)}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${htmlText(title)}">
<line x1="${left}" y1="${height - bottom}" x2="${width - 8}" y2="${height - bottom}"/><line x1="${left}" y1="12" x2="${left}" y2="${height - bottom}"/>
<text x="${left - 6}" y="16" text-anchor="end">${label}</text><text x="${left - 6}" y="${height - bottom}" text-anchor="end">0</text><text x="${left - 6}" y="${(height - bottom) / 2 + 6}" text-anchor="end" class="unit">${htmlText(unit)}</text>
<polyline points="${points.join(' ')}"/>${ticks}</svg></figure>`
}

/** Copies of each layer over time: dark is none. */
function coverageMap(samples: readonly Sample[], layers: number): string {
  const [width, left, row] = [860, 56, Math.max(2, Math.min(12, Math.floor(240 / layers)))]
  const height = layers * row + 24
  const stride = Math.max(1, Math.ceil(samples.length / 200))
  const columns = Math.ceil(samples.length / stride)
  const cell = (width - left - 8) / Math.max(1, columns)
  const shades = ['#20242c', '#7a4b2a', '#c98a2b', '#8fb339', '#3f9d5a', '#2c7d6f']
  const parts: string[] = []
  for (let column = 0; column < columns; column++) {
    const { coverage } = samples[column * stride]!
    let start = 0
    for (let layer = 1; layer <= layers; layer++) {
      const copies = Math.min(5, coverage[start] ?? 0)
      if (layer < layers && Math.min(5, coverage[layer] ?? 0) === copies) continue
      parts.push(
        `<rect x="${(left + column * cell).toFixed(1)}" y="${start * row}" width="${(cell + 0.3).toFixed(1)}" height="${(layer - start) * row}" fill="${shades[copies]}"/>`
      )
      start = layer
    }
  }
  const legend = shades
    .map((shade, copies) => `<tspan fill="${shade}">■</tspan> ${copies}${copies === 5 ? ' or more' : ''}  `)
    .join('')
  return `<figure><figcaption>Copies of each layer that serve</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="coverage of layers">${parts.join('')}
<text x="${left - 6}" y="10" text-anchor="end">0</text><text x="${left - 6}" y="${layers * row}" text-anchor="end">${layers}</text><text x="${left}" y="${height - 6}">${legend}</text></svg></figure>`
}

function page(data: ReportData): string {
  const { summary, scenario, samples, peers, layers } = data
  const seconds = samples.length > 1 ? (samples[1]!.atMs - samples[0]!.atMs) / 1000 : 1
  const hasBattery = samples.some(sample => sample.peers.some(({ level }) => level !== null))
  const power = (sample: Sample, i: number): number =>
    i === 0 ? 0 : (sample.joules - samples[i - 1]!.joules) / ((sample.atMs - samples[i - 1]!.atMs) / 1000)
  const indexOf = new Map(samples.map((sample, i) => [sample, i]))
  const least = ({ levelMin }: Sample): number => 100 * levelMin
  const rows = Object.entries(summary)
    .filter(([key]) => key !== 'event')
    .map(
      ([key, value]) =>
        `<tr><th>${htmlText(key)}</th><td>${htmlText(typeof value === 'object' ? JSON.stringify(value) : String(value))}</td></tr>`
    )
    .join('')
  const linkRows = data.links
    .slice(0, 30)
    .map(
      ({ from, to, bytes }) =>
        `<tr><td>${htmlText(from)} → ${htmlText(to)}</td><td>${bytes.toLocaleString('en')}</td></tr>`
    )
    .join('')
  // The map moves in a thousand frames at most, and in few enough numbers for a page.
  const placed = samples.filter(sample => sample.peers.length > 0)
  const frameStride = Math.max(1, Math.ceil((placed.length * peers.length) / 120_000), Math.ceil(placed.length / 1000))
  const frames = placed
    .filter((_, i) => i % frameStride === 0)
    .map(({ atMs, peers: each }) => [
      Math.round(atMs / 1000),
      ...each.flatMap(({ x, y, state, stage, level }) => [
        x,
        y,
        ['up', 'down', 'frozen', 'charging'].indexOf(state),
        stage?.start ?? -1,
        stage?.end ?? -1,
        level === null ? -1 : Math.round(level * 100)
      ])
    ])
  const all = samples.flatMap(sample => sample.peers)
  const box = {
    x0: all.reduce((low, { x }) => Math.min(low, x), 0),
    y0: all.reduce((low, { y }) => Math.min(low, y), 0),
    x1: all.reduce((high, { x }) => Math.max(high, x), scenario.area.widthM),
    y1: all.reduce((high, { y }) => Math.max(high, y), scenario.area.heightM)
  }
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${htmlText(scenario.name)}, seed ${summary.seed}</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fbfbf9}
figure{margin:1.2rem 0}figcaption{font-weight:600}svg{width:100%;background:#fff;border:1px solid #ddd}
svg text{font-size:11px;fill:#555}svg line{stroke:#999}svg polyline{fill:none;stroke:#2c6db5;stroke-width:1.4}
table{border-collapse:collapse}td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top;font-variant-numeric:tabular-nums}
th{font-weight:500;color:#555}input{width:100%}canvas{width:100%;background:#fff;border:1px solid #ddd}
</style></head><body>
<h1>${htmlText(scenario.name)}</h1>
<p>${htmlText(scenario.about)}</p>
<p>Seed ${summary.seed}, ${peers.length} peers, ${(summary.virtualMs / 60_000).toFixed(1)} virtual minutes. ${summary.answered} of ${summary.prompts} prompts answered, ${summary.tokens} tokens. Trace ${summary.trace}.</p>
<figure><figcaption>Where everybody is <span id="time"></span></figcaption><canvas id="map" width="1720" height="${Math.round(Math.min(1100, Math.max(420, (1720 * (box.y1 - box.y0 || 1)) / (box.x1 - box.x0 || 1))))}"></canvas>
<input id="slider" type="range" min="0" max="${Math.max(0, frames.length - 1)}" value="0" aria-label="time"></figure>
${coverageMap(samples, layers)}
${chart('Tokens per second, all sessions', 'tokens/s', samples, ({ tokens }) => tokens / seconds)}
${chart('Longest pause after a loss', 'ms', samples, ({ pauseMaxMs }) => pauseMaxMs)}
${chart('Peers that are up', 'peers', samples, ({ up }) => up)}
${chart('Power, all peers', 'W', samples, sample => power(sample, indexOf.get(sample)!))}
${hasBattery ? chart('The lowest battery', '%', samples, least) : ''}
<h2>Numbers</h2><table>${rows}</table>
<h2>Bytes per link</h2><table>${linkRows}</table>
<script>
const names=${JSON.stringify(peers.map(({ name }) => name))},frames=${JSON.stringify(frames)},box=${JSON.stringify(box)},layers=${layers}
const canvas=document.getElementById('map'),g=canvas.getContext('2d'),slider=document.getElementById('slider')
const colors=['#2c6db5','#bbb','#d9822b','#3f9d5a']
function draw(){const f=frames[slider.value];if(!f)return
document.getElementById('time').textContent='at '+f[0]+' s'
g.clearRect(0,0,canvas.width,canvas.height);g.font='20px system-ui'
const pad=60,w=canvas.width-2*pad,h=canvas.height-2*pad,k=Math.min(w/(box.x1-box.x0||1),h/(box.y1-box.y0||1))
const small=names.length>60
names.forEach((name,i)=>{const [x,y,state,start,end,level]=f.slice(1+6*i,7+6*i)
const px=pad+(x-box.x0)*k,py=pad+(y-box.y0)*k,r=small?6:13
g.beginPath();g.arc(px,py,r,0,7);g.fillStyle=start>=0&&state===0?'hsl('+(260*start/layers)+' 60% 45%)':colors[state];g.fill()
if(small)return
g.fillStyle='#333';g.fillText(name+(start>=0&&state===0?' '+start+'-'+end:'')+(level>=0?' '+level+'%':''),px+18,py+7)})}
slider.oninput=draw;draw()
</script></body></html>
`
}
