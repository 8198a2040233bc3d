/** What the bench found: rows of figures with their spread, for people or for machines. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'

/** The middle of some figures, and how far they spread. */
export interface Figure {
  readonly median: number
  readonly least: number
  readonly most: number
  readonly n: number
}

export interface Row {
  /** The part of the bench that measured it, as `--only` names it. */
  readonly part: string
  readonly what: string
  readonly unit: string
  readonly figure: Figure
  /** What Skein aims at, in the row's unit. */
  readonly aim?: string
  /** How it was measured, in a few words. */
  readonly how?: string
}

/** A part that could not be measured here. */
export interface Skipped {
  readonly part: string
  readonly reason: string
}

export interface Environment {
  readonly date: string
  readonly cpu: string
  readonly cores: number
  readonly memory: string
  readonly platform: string
  readonly node: string
  readonly onnxruntime: string
  readonly skein: string
  /** Absent when nothing was compared with it. */
  nodeLlamaCpp?: string
  /** Load average over the minute before the bench, when 0 is an idle machine. */
  readonly load: number
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** @throws {RangeError} when there are no values. */
export function figure(values: readonly number[]): Figure {
  if (values.length === 0) throw new RangeError('a figure needs at least one value')
  return { median: median(values), least: Math.min(...values), most: Math.max(...values), n: values.length }
}

/** @param date as the report should give it */
export function environment(date: string): Environment {
  const [cpu] = os.cpus()
  return {
    date,
    cpu: cpu?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memory: `${(os.totalmem() / 2 ** 30).toFixed(0)} GiB`,
    platform: `${os.platform()} ${os.arch()}`,
    node: process.version,
    onnxruntime: installedVersion('onnxruntime-node'),
    skein: versionOf(new URL('../../package.json', import.meta.url)),
    load: os.loadavg()[0]!
  }
}

function installedVersion(name: string): string {
  return versionOf(createRequire(import.meta.url).resolve(`${name}/package.json`))
}

function versionOf(file: string | URL): string {
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

/** A Markdown table, with the notes below it. */
export function table(rows: readonly Row[], skipped: readonly Skipped[], where: Environment): string {
  const header = ['what', 'median', 'least – most', 'n', 'aim', 'how']
  const cells = rows.map(({ what, unit, figure, aim, how }) => [
    what,
    `${number(figure.median)} ${unit}`.trim(),
    `${number(figure.least)} – ${number(figure.most)}`,
    String(figure.n),
    aim ?? '',
    how ?? ''
  ])
  return [
    `${where.date}: ${where.cpu}, ${where.cores} cores, ${where.memory}, ${where.platform}, Node ${where.node}, ` +
      `onnxruntime-node ${where.onnxruntime}, ${where.nodeLlamaCpp === undefined ? '' : `node-llama-cpp ${where.nodeLlamaCpp}, `}Skein ${where.skein}, load at the start ${where.load.toFixed(1)}`,
    '',
    ...rowsOfTable(header, cells),
    ...skipped.map(({ part, reason }) => `\nnot measured: ${part}: ${reason}`)
  ].join('\n')
}

/** Lines of a Markdown table. */
export function rowsOfTable(header: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, i) => Math.max(title.length, ...cells.map(row => row[i]!.length)))
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(header), line(widths.map(width => '-'.repeat(width))), ...cells.map(line)]
}

export function number(value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return value.toFixed(0)
  if (size >= 10) return value.toFixed(1)
  return value.toFixed(size >= 1 ? 2 : 3)
}
