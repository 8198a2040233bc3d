/** Flags of a command in a file: one JSON object whose keys are the flags' names, so that a machine starts the same each time. */
import { dirname, resolve } from 'node:path'
import type { Command, Option } from 'commander'
import { InvalidOptionError, readStoredText } from '../index.ts'
import { configBytesMax } from './limits.ts'

/** Flags whose value is a path: it counts from the file's folder, not from where the command is run. */
const paths = new Set(['data', 'seal', 'swarm', 'api-key-file', 'tls-cert', 'tls-key', 'require-signed'])
/** What such a flag takes that is no path. */
const words = new Map([
  ['seal', /^(keyring|tpm2)(:|$)/],
  ['require-signed', /^(swarm|[0-9a-f]{64}|[A-Za-z0-9_-]{43})$/i]
])

/**
 * Sets a command's options from a file; what the command line says counts more. Every value passes the same check as on the
 * command line.
 *
 * @throws {InvalidOptionError} when the file cannot be read, is no JSON object, or names what is no flag of the command.
 */
export async function applyConfig(command: Command, path: string): Promise<void> {
  for (const [key, value] of Object.entries(await readConfig(path))) {
    const option = command.options.find(each => !each.hidden && nameOf(each) === key && key !== 'config')
    if (option === undefined) {
      const names = command.options.filter(each => !each.hidden).map(nameOf)
      const known = names.filter(name => name !== 'config').join(', ')
      throw new InvalidOptionError(`${path}: '${key}' is no flag of skein ${command.name()}; there are ${known}`)
    }
    const attribute = option.attributeName()
    if (command.getOptionValueSource(attribute) === 'cli') continue
    command.setOptionValueWithSource(attribute, readValue(option, key, value, path), 'config')
  }
}

/** `memory` for `--memory <size>`, `mdns` for `--no-mdns`. */
function nameOf(option: Option): string {
  return (option.long ?? '').replace(/^--(no-)?/, '')
}

function readValue(option: Option, key: string, value: unknown, path: string): unknown {
  const takesText = option.required || option.optional
  if (!takesText) {
    if (typeof value === 'boolean') return value
    throw new InvalidOptionError(`${path}: '${key}' is true or false`)
  }
  const values = Array.isArray(value) ? value : [value]
  let parsed: unknown
  for (const each of values) {
    if (typeof each !== 'string' && typeof each !== 'number') {
      throw new InvalidOptionError(`${path}: '${key}' is a text or a number, as on the command line, or a list of them`)
    }
    const isPath = paths.has(key) && words.get(key)?.test(String(each)) !== true
    const text = isPath ? resolve(dirname(path), String(each)) : String(each)
    const next: unknown = option.parseArg === undefined ? text : option.parseArg(text, parsed as never)
    if (values.length > 1 && !Array.isArray(next)) {
      throw new InvalidOptionError(`${path}: '${key}' has one value, not a list`)
    }
    parsed = next
  }
  if (parsed === undefined) throw new InvalidOptionError(`${path}: '${key}' is an empty list`)
  return parsed
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  let text: string
  try {
    text = await readStoredText(path, configBytesMax)
  } catch (error) {
    throw new InvalidOptionError(`${path} cannot be read: ${(error as Error).message}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    // The parser's own words show what is in the file, and that may be none of ours.
    json = undefined
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>
  throw new InvalidOptionError(
    `${path} holds no JSON object with flags, such as { "swarm": "swarm.json", "memory": "2GB" }`
  )
}
