/** The swarm as text that is looked at while it lives: a picture as wide as a terminal, or one line for a log. Pure. */
import { forTerminal, formatBytes, type ModelStatus, type PeerStatus, type Status } from '../index.ts'
import { formatMs, modelName, shortPeer } from './output.ts'
import { connectedCoverage } from './status.ts'

/** What is shown of a status, and how much room there is for it. */
export interface ViewInit {
  readonly status: Status
  /** The one before it, and how long before, from which rates are reckoned; undefined for the first. */
  readonly before: { readonly status: Status; readonly ms: number } | undefined
  /** As a person reads it: `12:34:56`. */
  readonly time: string
  readonly columns: number
  readonly rows: number
}

/** Cells of the picture of one model's layers; with more layers than that a cell is of several. */
const layerCells = 24

/** A column of a table; the lowest rank goes first where there is no room. */
interface Column {
  readonly title: string
  readonly rank: number
  readonly cells: readonly string[]
}

/** Lines, none of them wider or more of them than there is room for. */
export function swarmView({ status, before, time, columns, rows }: ViewInit): string[] {
  const { peers, answers = [] } = status
  const lines = [
    ...folded(`${summaryOf(status)}  ${time}`, columns),
    '',
    ...fitted(peerColumns(status, before), columns),
    '',
    ...status.models.flatMap(model => modelLines(model, status, columns)),
    ...(answers.length === 0 ? [] : ['', ...fitted(answerColumns(status), columns)]),
    ...status.fetches
      .filter(({ bytesTotal }) => bytesTotal > 0)
      .map(({ state, bytes, bytesTotal }) => `fetching ${state}: ${formatBytes(bytes)} of ${formatBytes(bytesTotal)}`),
    ...(peers.length > 1 ? [] : status.discovery.map(({ way, state }) => `discovery by ${way}: ${state}`)),
    ...status.unkept
  ]
  const shown = lines.map(line => cut(forTerminal(line), columns))
  return shown.length <= rows
    ? shown
    : [...shown.slice(0, rows - 1), cut(`… ${shown.length - rows + 1} more lines`, columns)]
}

/** One line that says how the swarm is: peers, coverage, answers, sessions. */
export function summaryOf({ swarm, peers, models, answers = [] }: Status): string {
  const away = peers.filter(({ connected }) => !connected).length
  const speed = answers.reduce((sum, { tokensPerSecond }) => sum + tokensPerSecond, 0)
  const sessions = peers.reduce((sum, peer) => sum + peer.sessions, 0)
  return [
    `swarm ${swarm}: ${count(peers.length, 'peer')}${away === 0 ? '' : ` (${away} not connected)`}`,
    ...models.map(model => `${modelName(models, model.id)} ${verdict(model, peers)}`),
    count(sessions, 'session'),
    ...(answers.length === 0 ? [] : [`${count(answers.length, 'answer')}, ${speed.toFixed(1)} tokens/s`])
  ].join(', ')
}

/** What of a summary is no news when it alone changes: speeds do with every token. */
export function withoutSpeeds(summary: string): string {
  return summary.replace(/, [\d.]+ tokens\/s/, '')
}

function peerColumns(status: Status, before: ViewInit['before']): Column[] {
  const { peers } = status
  const batteries = peers.map(({ battery }) =>
    battery === null ? '' : `${Math.round(100 * battery.level)} %${battery.charging ? '+' : ''}`
  )
  const column = (title: string, rank: number, cell: (peer: PeerStatus) => string): Column => ({
    title,
    rank,
    cells: peers.map(cell)
  })
  return [
    column('peer', 9, ({ id }) => shortPeer(id)),
    column('rtt', 6, peer => rttOf(peer, status)),
    column('layers', 8, peer => layersOf(peer, status)),
    column('sessions', 5, ({ sessions }) => String(sessions)),
    column('sent', 2, ({ id }) => rateOf(id, status, before, 'bytesThere')),
    column('got', 2, ({ id }) => rateOf(id, status, before, 'bytesBack')),
    column('memory', 3, ({ budgetBytes, usedBytes }) =>
      usedBytes === null ? formatBytes(budgetBytes) : `${formatBytes(usedBytes)} of ${formatBytes(budgetBytes)}`
    ),
    { title: 'battery', rank: batteries.some(text => text !== '') ? 4 : 0, cells: batteries },
    column('cores', 1, ({ hardware }) => `${hardware.cores} ${hardware.architecture}`),
    column('', 7, ({ leaving, speaks }) =>
      [leaving ? 'leaving' : '', speaks ? '' : 'another version'].filter(Boolean).join(', ')
    )
  ]
}

function rttOf({ id, self, connected }: PeerStatus, { links = [] }: Status): string {
  if (self) return 'this one'
  if (!connected) return 'away'
  const link = links.find(({ from, to, bytesThere }) => bytesThere !== null && (from === id || to === id))
  return link?.rttMs == null ? '-' : formatMs(link.rttMs)
}

/** Bytes a second on this peer's own link with another one. */
function rateOf(
  id: PeerStatus['id'],
  status: Status,
  before: ViewInit['before'],
  way: 'bytesThere' | 'bytesBack'
): string {
  const bytes = (of: Status): number | null =>
    of.links?.find(link => link.to === id && link.from === of.self)?.[way] ?? null
  const [now, then] = [bytes(status), before === undefined ? null : bytes(before.status)]
  // A connection that is new counts from 0.
  if (now === null || then === null || before === undefined || now < then) return ''
  return `${formatBytes(Math.round(((now - then) * 1000) / before.ms))}/s`
}

/** `stories ██▒···`: what of a model a peer serves or loads. */
function layersOf({ stages }: PeerStatus, { models }: Status): string {
  return models
    .flatMap(model => {
      const own = stages.filter(stage => stage.model === model.id)
      if (own.length === 0) return []
      const name = modelName(models, model.id)
      if (model.isGraph === true) return [name]
      const cells = strip(model.layers, layer => {
        const at = own.filter(({ start, end }) => start <= layer && layer < end)
        return at.some(({ serving }) => serving) ? '█' : at.length > 0 ? '▒' : '·'
      })
      return [`${cells} ${name}`]
    })
    .join(' ')
}

/** One cell for each layer, or for as many as share one: the first of them speaks for it. */
function strip(layers: number, cell: (layer: number) => string): string {
  const cells = Math.min(layers, layerCells)
  return Array.from({ length: cells }, (_, i) => cell(Math.floor((i * layers) / cells))).join('')
}

function modelLines(model: ModelStatus, { models, peers }: Status, columns: number): string[] {
  const name = modelName(models, model.id)
  if (model.isGraph === true) return [`${name}: ${verdict(model, peers)}`]
  const whole = connectedCoverage(model, peers)
    .map(times => (times === 0 ? '·' : times > 9 ? '+' : String(times)))
    .join('')
  const room = columns - name.length - 4
  const said = verdict(model, peers)
  return [whole.length <= room ? `${name}  ${whole}  ${said}` : `${name}: ${said}`]
}

/** What is served on peers that can be reached: the record of one that was killed lives on for half a minute. */
function verdict(model: ModelStatus, peers: readonly PeerStatus[]): string {
  const coverage = connectedCoverage(model, peers)
  if (model.isGraph === true) return `served by ${count(coverage[0] ?? 0, 'peer')}`
  if (coverage.length === 0) return 'is served by nobody'
  const gaps = coverage.filter(times => times === 0).length
  if (gaps > 0) return `lacks ${count(gaps, 'layer')} of ${coverage.length}`
  return `covered ${Math.min(...coverage)}x`
}

function answerColumns({ answers = [], models }: Status): Column[] {
  type Of = (typeof answers)[number]
  const column = (title: string, rank: number, cell: (answer: Of) => string): Column => ({
    title,
    rank,
    cells: answers.map(cell)
  })
  return [
    column('answer', 9, ({ number }) => `#${number}`),
    column('', 8, ({ state }) => state),
    column('tokens', 7, ({ tokens }) => String(tokens)),
    column('tokens/s', 6, ({ tokensPerSecond }) => tokensPerSecond.toFixed(1)),
    column('since', 2, ({ ageMs }) => `${(ageMs / 1000).toFixed(0)} s`),
    column('lost', 3, ({ lost }) => (lost === 0 ? '' : String(lost))),
    column('model', 4, ({ model }) => (model === null ? '' : modelName(models, model))),
    column('route', 5, ({ route }) =>
      route.map(({ peer, start, end }) => `${shortPeer(peer)} ${start}-${end}`).join(' → ')
    )
  ]
}

/** A table as wide as there is room for: columns of the least rank go, and what is still too wide is cut. */
function fitted(given: readonly Column[], columns: number): string[] {
  let kept = given.filter(({ cells, rank }) => rank > 0 && cells.some(cell => cell !== ''))
  const widthOf = ({ title, cells }: Column): number => Math.max(title.length, ...cells.map(({ length }) => length))
  const width = (): number => kept.reduce((sum, column) => sum + widthOf(column) + 2, -2)
  while (kept.length > 2 && width() > columns) {
    const least = Math.min(...kept.map(({ rank }) => rank))
    kept = kept.filter(({ rank }) => rank > least)
  }
  const rows = [
    kept.map(({ title }) => title),
    ...(kept[0]?.cells ?? []).map((_, i) => kept.map(({ cells }) => cells[i]!))
  ]
  return rows.map(row =>
    row
      .map((cell, i) => cell.padEnd(widthOf(kept[i]!)))
      .join('  ')
      .trimEnd()
  )
}

/** Lines that end after commas, where one line is too wide. */
function folded(text: string, columns: number): string[] {
  const lines: string[] = []
  for (const part of text.split(/(?<=,) /)) {
    const longer = `${lines.at(-1)} ${part}`
    if (lines.length > 0 && longer.length <= columns) lines[lines.length - 1] = longer
    else lines.push(part)
  }
  return lines
}

function cut(line: string, columns: number): string {
  const characters = [...line]
  return characters.length <= columns ? line : `${characters.slice(0, columns - 1).join('')}…`
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
