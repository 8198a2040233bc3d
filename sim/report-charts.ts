/** Pictures of a report as SVG. All of them have the same axis of time, so that one line can go through all. */

/** Width of every picture, and where its axis of time begins and ends. */
export const frame = { width: 900, left: 62, right: 10 } as const

const inner = frame.width - frame.left - frame.right

export function htmlText(text: string): string {
  return text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`)
}

/** 12,345 and 1.2: as people read them, and the same everywhere. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2
  const [whole, rest] = value.toFixed(digits).split('.')
  const grouped = whole!.replace(/\B(?=(\d{3})+$)/g, ',')
  return rest === undefined ? grouped : `${grouped}.${rest}`
}

export function bytesText(bytes: number): string {
  for (const [unit, size] of [
    ['GB', 1e9],
    ['MB', 1e6],
    ['kB', 1e3]
  ] as const) {
    if (bytes >= size) return `${figure(bytes / size)} ${unit}`
  }
  return `${bytes} B`
}

/** A round number that is not below. */
function roundUp(value: number): number {
  if (value <= 0) return 1
  let unit = 1
  while (unit * 10 <= value) unit *= 10
  while (unit > value) unit /= 10
  for (const factor of [1, 1.5, 2, 3, 4, 5, 6, 8, 10]) if (factor * unit >= value) return factor * unit
  return 10 * unit
}

export interface Axis {
  readonly endMs: number
}

function px(atMs: number, { endMs }: Axis): number {
  return frame.left + (inner * atMs) / endMs
}

/** Whole minutes or seconds, some eight of them. */
function ticks({ endMs }: Axis): { readonly atMs: number; readonly text: string }[] {
  const steps = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800]
  const stepS = steps.find(step => endMs / 1000 / step <= 9) ?? 86_400
  return Array.from({ length: Math.floor(endMs / 1000 / stepS) + 1 }, (_, i) => {
    const s = i * stepS
    const text = endMs < 120_000 ? `${s} s` : stepS % 60 === 0 ? `${s / 60} min` : clock(s)
    return { atMs: s * 1000, text }
  })
}

export function clock(s: number): string {
  return `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, '0')}`
}

function axisOf(axis: Axis, height: number): string {
  return ticks(axis)
    .map(({ atMs, text }) => {
      const x = px(atMs, axis).toFixed(1)
      return `<line class="grid" x1="${x}" y1="8" x2="${x}" y2="${height - 20}"/><text x="${x}" y="${height - 6}" text-anchor="middle">${text}</text>`
    })
    .join('')
}

function picture(title: string, note: string, height: number, body: string): string {
  return `<figure class="chart"><figcaption>${htmlText(title)}${note === '' ? '' : ` <small>${note}</small>`}</figcaption><svg viewBox="0 0 ${frame.width} ${height}" role="img" aria-label="${htmlText(title)}">${body}<line class="cursor" y1="4" y2="${height - 20}"/></svg></figure>`
}

export interface Line {
  /** A class of the page's style: `a`, `b`, `c`. */
  readonly kind: string
  readonly values: readonly number[]
  /** Filled down to the axis. */
  readonly filled?: boolean
}

/** Lines over time; of more points than pixels the highest of each pixel is drawn. */
export function lineChart(init: {
  readonly title: string
  readonly note?: string
  readonly unit: string
  readonly axis: Axis
  readonly atMs: readonly number[]
  readonly lines: readonly Line[]
  readonly top?: number
}): string {
  const { title, note = '', unit, axis, atMs, lines } = init
  const height = 150
  const base = height - 20
  const most = lines.reduce((high, { values }) => values.reduce((a, b) => Math.max(a, b), high), 0)
  const top = init.top ?? roundUp(most)
  const py = (value: number): string => (base - ((base - 14) * Math.min(value, top)) / top).toFixed(1)
  const stride = Math.max(1, Math.ceil(atMs.length / 800))
  const drawn = lines.map(({ kind, values, filled }) => {
    const points: string[] = []
    for (let i = 0; i < values.length; i += stride) {
      const value = values.slice(i, i + stride).reduce((a, b) => Math.max(a, b), 0)
      points.push(`${px(atMs[i]!, axis).toFixed(1)},${py(value)}`)
    }
    if (points.length === 0) return ''
    const [first, last] = [points[0]!.split(',')[0], points.at(-1)!.split(',')[0]]
    const area = filled
      ? `<polygon class="area ${kind}" points="${first},${base} ${points.join(' ')} ${last},${base}"/>`
      : ''
    return `${area}<polyline class="${kind}" points="${points.join(' ')}"/>`
  })
  const levels = [0, top / 2, top]
    .map(
      value =>
        `<line class="grid" x1="${frame.left}" y1="${py(value)}" x2="${frame.width - frame.right}" y2="${py(value)}"/><text x="${frame.left - 6}" y="${Number(py(value)) + 4}" text-anchor="end">${figure(value)}</text>`
    )
    .join('')
  return picture(
    title,
    note === '' ? htmlText(unit) : `${htmlText(unit)}, ${note}`,
    height,
    axisOf(axis, height) + levels + drawn.join('')
  )
}

/** Dots over time on a logarithmic scale: pauses are short, except for those that matter. */
export function dotChart(init: {
  readonly title: string
  readonly note: string
  readonly axis: Axis
  readonly dots: readonly (readonly [number, number])[]
}): string {
  const { title, note, axis, dots } = init
  const height = 150
  const base = height - 20
  const decades = [10, 100, 1_000, 10_000, 100_000]
  const [low, high] = [1, 5]
  const py = (ms: number): string => {
    const value = Math.min(high, Math.max(low, Math.log10(Math.max(1, ms))))
    return (base - ((base - 14) * (value - low)) / (high - low)).toFixed(1)
  }
  const levels = decades
    .map(
      ms =>
        `<line class="grid" x1="${frame.left}" y1="${py(ms)}" x2="${frame.width - frame.right}" y2="${py(ms)}"/><text x="${frame.left - 6}" y="${Number(py(ms)) + 4}" text-anchor="end">${ms < 1000 ? `${ms} ms` : `${ms / 1000} s`}</text>`
    )
    .join('')
  const points = dots
    .map(
      ([atMs, ms]) =>
        `<circle class="dot" cx="${px(atMs, axis).toFixed(1)}" cy="${py(ms)}" r="3"><title>${figure(ms)} ms at ${clock(atMs / 1000)}</title></circle>`
    )
    .join('')
  const none =
    dots.length === 0
      ? `<text x="${frame.left + inner / 2}" y="${base / 2 + 8}" text-anchor="middle">no answer was interrupted</text>`
      : ''
  return picture(title, note, height, axisOf(axis, height) + levels + points + none)
}

/** What went wrong when: one stroke each. */
export function markStrip(axis: Axis, marks: readonly { readonly atMs: number; readonly text: string }[]): string {
  const height = 46
  const strokes = marks
    .map(
      ({ atMs, text }) =>
        `<g><title>${clock(atMs / 1000)} ${htmlText(text)}</title><line class="mark" x1="${px(atMs, axis).toFixed(1)}" y1="6" x2="${px(atMs, axis).toFixed(1)}" y2="${height - 20}"/></g>`
    )
    .join('')
  return picture('What went wrong', `${marks.length} marks, listed below`, height, axisOf(axis, height) + strokes)
}

/** How many serve each layer over time; `copies[i]` is [layers] at `atMs[i]`. */
export function coverageChart(
  axis: Axis,
  atMs: readonly number[],
  copies: readonly (readonly number[])[],
  layers: number
): string {
  const row = Math.max(2, Math.min(14, Math.floor(220 / layers)))
  const height = layers * row + 30
  const stride = Math.max(1, Math.ceil(atMs.length / 220))
  const runs: string[] = []
  // Rectangles that are as wide as nothing changes: few of them, and no seams between.
  const open: { from: number; copies: number }[] = Array.from({ length: layers }, () => ({ from: 0, copies: -1 }))
  const close = (layer: number, untilMs: number): void => {
    const { from, copies: count } = open[layer]!
    if (count < 0) return
    const [x, end] = [px(from, axis), px(untilMs, axis)]
    runs.push(
      `<rect class="c${count}" x="${x.toFixed(1)}" y="${8 + layer * row}" width="${Math.max(0.3, end - x + 0.3).toFixed(1)}" height="${row}"/>`
    )
  }
  for (let i = 0; i < atMs.length; i += stride) {
    for (let layer = 0; layer < layers; layer++) {
      // The least within the columns that one pixel stands for: a gap must not be drawn over.
      let count = 5
      for (let at = i; at < Math.min(i + stride, atMs.length); at++) count = Math.min(count, copies[at]![layer] ?? 0)
      if (open[layer]!.copies === count) continue
      close(layer, atMs[i]!)
      open[layer] = { from: atMs[i]!, copies: count }
    }
  }
  for (let layer = 0; layer < layers; layer++) close(layer, axis.endMs)
  const legend = [0, 1, 2, 3, 4, 5].map(count => `<i class="c${count}"></i>${count}${count === 5 ? '+' : ''}`).join(' ')
  const labels = `<text x="${frame.left - 6}" y="17" text-anchor="end">layer 0</text><text x="${frame.left - 6}" y="${6 + layers * row}" text-anchor="end">${layers - 1}</text>`
  return picture('Copies of each layer that serve', legend, height, runs.join('') + axisOf(axis, height) + labels)
}

/** Bytes from each to each, the darker the more. */
export function linkMatrix(
  names: readonly string[],
  links: readonly { readonly from: number; readonly to: number; readonly bytes: number }[]
): string {
  const count = names.length
  const cell = Math.max(6, Math.min(34, Math.floor(560 / count)))
  const left = 110
  const most = links.reduce((high, { bytes }) => Math.max(high, bytes), 1)
  const cells = links
    .map(({ from, to, bytes }) => {
      const share = Math.max(0.04, Math.log(1 + bytes / 1000) / Math.log(1 + most / 1000))
      return `<rect class="cell" x="${left + to * cell}" y="${24 + from * cell}" width="${cell - 1}" height="${cell - 1}" fill-opacity="${share.toFixed(2)}"><title>${htmlText(names[from]!)} → ${htmlText(names[to]!)}: ${bytesText(bytes)}</title></rect>`
    })
    .join('')
  const every = cell >= 12 ? 1 : Math.ceil(12 / cell)
  const rows = names
    .map((name, i) =>
      i % every === 0
        ? `<text x="${left - 6}" y="${24 + i * cell + cell / 2 + 4}" text-anchor="end">${htmlText(name)}</text>`
        : ''
    )
    .join('')
  const width = left + count * cell + 8
  return `<svg style="max-width:${width}px" viewBox="0 0 ${width} ${32 + count * cell}" role="img" aria-label="bytes per link"><text x="${left}" y="14">to, in the same order →</text>${rows}${cells}</svg>`
}
