/** Reads the text that a peer gives to Prometheus, strictly: a test that looks at figures so looks at their form, too. */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\+Inf|-?[0-9.e+-]+)$/

/** All samples of a text in the exposition format 0.0.4. @throws for a line that is none, and a family without its type */
export function readExposition(text: string): Sample[] {
  const types = new Set<string>()
  return text.split('\n').flatMap((each, at): Sample[] => {
    if (each === '' && at === text.split('\n').length - 1) return []
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(each)
    if (type !== null) types.add(type[1]!)
    if (/^# (TYPE|HELP) \S+ \S/.test(each)) return []
    const read = line.exec(each)
    if (read === null) throw new Error(`line ${at + 1} is no sample: ${each}`)
    const [, name, pairs = '', value] = read
    if (!types.has(name!) && !types.has(name!.replace(/_(bucket|sum|count)$/, ''))) {
      throw new Error(`${name} has no type before it`)
    }
    const labels = Object.fromEntries(
      [...pairs.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, given]) => [label, given])
    )
    return [{ name: name!, labels, value: value === '+Inf' ? Infinity : Number(value) }]
  })
}

/** The sum of the samples of that name whose labels have these values. */
export function total(samples: readonly Sample[], name: string, labels: Record<string, string> = {}): number {
  const found = samples.filter(
    each => each.name === name && Object.entries(labels).every(([label, value]) => each.labels[label] === value)
  )
  return found.reduce((sum, { value }) => sum + value, 0)
}

const promtool = (process.env.PATH ?? '')
  .split(delimiter)
  .map(folder => join(folder, 'promtool'))
  .find(existsSync)

/** Why nobody can be asked whether Prometheus takes a text. */
export const whyNoPromtool = promtool === undefined ? 'there is no promtool: see .ci/run' : undefined

/** What Prometheus' own tool has to say against a text; empty when nothing. */
export function promtoolSays(text: string): string {
  try {
    return execFileSync(promtool!, ['check', 'metrics'], { input: text, encoding: 'utf8', stdio: 'pipe' })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    return `${stdout}${stderr}` || String(error)
  }
}
