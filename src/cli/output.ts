/** What a person or a program reads: lines, colours, names made short. */
import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'
import { forTerminal, type ModelId, type ModelStatus, type PeerId, type Range } from '../index.ts'
import { encodeLine } from './control.ts'

/** Writes to stdout as it comes. Once nobody reads it any more, writing does nothing. */
export function write(text: string): void {
  if (process.stdout.writable) process.stdout.write(text)
}

/** Writes text that others made to stdout, a model above all: on a terminal without what would do something to that. */
export function writeText(text: string, style?: Style): void {
  const seen = process.stdout.isTTY ? forTerminal(text) : text
  write(style === undefined ? seen : paint(style, seen))
}

/** Writes one line to stdout. */
export function say(line = ''): void {
  write(`${line}\n`)
}

/** Writes one JSON object as a line to stdout. */
export function sayJson(object: object): void {
  write(encodeLine(object))
}

/** Writes one line to stderr. */
export function note(line: string): void {
  if (process.stderr.writable) process.stderr.write(`${line}\n`)
}

type Style = Parameters<typeof styleText>[0]

/** Colours text where the stream shows colours: on a terminal, unless NO_COLOR says otherwise. */
export function paint(style: Style, text: string, stream: WriteStream | NodeJS.WriteStream = process.stdout): string {
  return stream.isTTY && !process.env.NO_COLOR ? styleText(style, text, { validateStream: false }) : text
}

/** A peer id as people tell them apart: its last eight characters (all Ed25519 ids begin alike). */
export function shortPeer(id: PeerId): string {
  return `…${id.slice(-8)}`
}

/** What people call a model: its name, and the beginning of its id where another one that is known has that name too. */
export function modelName(models: readonly Pick<ModelStatus, 'id' | 'name'>[], id: ModelId): string {
  const model = models.find(each => each.id === id)
  if (model === undefined) return id.slice(0, 12)
  return models.some(({ name }, i) => name === model.name && models[i] !== model)
    ? `${model.name} (${id.slice(0, 12)})`
    : model.name
}

/** `layer 3` or `layers 0-2`: half-open, as the flag `--layers` takes it. */
export function layers({ start, end }: Range): string {
  return end === start + 1 ? `layer ${start}` : `layers ${start}-${end}`
}

/** Milliseconds for a person. */
export function formatMs(ms: number): string {
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : ms < 9950 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** As a shell takes it: what is shown is copied. */
export function shellWord(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/**
 * Columns padded to equal width, two spaces between them. Cells must not be painted: padding counts characters, and what others
 * have said in them does nothing to a terminal.
 */
export function table(given: readonly (readonly string[])[]): string[] {
  const rows = given.map(row => row.map(cell => forTerminal(cell).replace(/[\n\t]/g, ' ')))
  const widths: number[] = []
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  }
  return rows.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd()
  )
}
