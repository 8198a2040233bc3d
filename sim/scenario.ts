/** Scenarios as files hold them: checked, and whether what they say comes to anything. Pure. */
import { attentionBlock } from '../src/model/limits.ts'
import { type FaultKind, numberMax, type Scenario, ScenarioError, scenarioSchema } from './scenario-fields.ts'

/**
 * Checks a scenario. `readCsv` reads a track's file.
 * @throws {ScenarioError} naming the fields.
 */
export function parseScenario(value: unknown, source: string, readCsv?: (path: string) => string): Scenario {
  const result = scenarioSchema.safeParse(value)
  if (!result.success) {
    const lines = result.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
    throw new ScenarioError(`${source} is no scenario: ${lines.join('; ')}`)
  }
  const scenario = result.data
  checkNames(scenario, source)
  checkSense(scenario, source)
  for (const [i, { holds }] of scenario.peers.entries()) {
    if (holds === undefined || holds[1] <= scenario.model.layers) continue
    const { layers } = scenario.model
    throw new ScenarioError(
      `${source} is no scenario: peers.${i}.holds: the model has ${layers} layers, not ${holds[1]}`
    )
  }
  for (const [i, { motion }] of scenario.peers.entries()) {
    if (motion.kind !== 'track' || motion.csv === undefined) continue
    const field = `peers.${i}.motion.csv`
    if (readCsv === undefined) throw new ScenarioError(`${source} is no scenario: ${field}: no file can be read here`)
    let text: string
    try {
      text = readCsv(motion.csv)
    } catch (error) {
      throw new ScenarioError(
        `${source} is no scenario: ${field}: ${motion.csv} cannot be read (${(error as { code?: string }).code ?? error})`
      )
    }
    motion.points = parseTrack(text, `${source} is no scenario: ${field}: ${motion.csv}`)
  }
  return scenario
}

/**
 * Whether everybody who is named is there.
 * @throws {ScenarioError} naming the field.
 */
export function checkNames(scenario: Scenario, source: string): void {
  const wrong = (field: string, message: string): never => {
    throw new ScenarioError(`${source} is no scenario: ${field}: ${message}`)
  }
  const peers = new Set<string>()
  const names = new Set<string>()
  for (const [i, { name, count }] of scenario.peers.entries()) {
    const all = [name, ...Array.from({ length: count }, (_, each) => `${name}-${each}`)]
    const twice = all.find(each => names.has(each))
    if (twice !== undefined) wrong(`peers.${i}.name`, `two groups or peers are called ${twice}`)
    for (const each of all) names.add(each)
    for (const each of all.slice(1)) peers.add(each)
  }
  const known = (name: string, field: string): void => {
    if (!names.has(name)) wrong(field, `there is no peer or group ${name}`)
  }
  for (const [i, { from, fromS, untilS }] of scenario.workload.entries()) {
    known(from, `workload.${i}.from`)
    if (untilS <= fromS) wrong(`workload.${i}.untilS`, `it ends at ${untilS} s, before it begins at ${fromS} s`)
  }
  for (const [i, { who, kind, any }] of scenario.faults.entries()) {
    for (const name of who) known(name, `faults.${i}.who`)
    const struck = new Set(
      scenario.peers.flatMap(({ name, count }) =>
        Array.from({ length: count }, (_, each) => `${name}-${each}`).filter(
          each => who.includes(each) || who.includes(name)
        )
      )
    )
    if (kind === 'cut' && (struck.size !== 2 || any)) {
      wrong(`faults.${i}.who`, `a cut is between two peers, and these are ${any ? 1 : struck.size}`)
    }
  }
  for (const name of scenario.chaos?.who ?? []) known(name, 'chaos.who')
  for (const [i, pair] of scenario.radio.oneWay.entries()) {
    for (const name of pair) if (!peers.has(name)) wrong(`radio.oneWay.${i}`, `there is no peer ${name}`)
  }
  for (const [i, { fromS, untilS }] of scenario.radio.zones.entries()) {
    if (untilS <= fromS) wrong(`radio.zones.${i}.untilS`, `it ends at ${untilS} s, before it begins at ${fromS} s`)
  }
}

/** Faults that end by themselves, after `forS`. */
const lasting: ReadonlySet<FaultKind> = new Set([
  'freeze',
  'slow',
  'partition',
  'cut',
  'corrupt',
  'garble',
  'mute',
  'hang',
  'claim',
  'steal',
  'hoard',
  'flood'
])

/**
 * Whether everything that is said comes to anything: what would be ignored is refused, since its author believes in it.
 * @throws {ScenarioError} naming the field.
 */
function checkSense({ minutes, model, peers, workload, faults, chaos }: Scenario, source: string): void {
  const wrong = (field: string, message: string): never => {
    throw new ScenarioError(`${source} is no scenario: ${field}: ${message}`)
  }
  const endS = minutes * 60
  const begins = (atS: number, field: string): void => {
    if (atS >= endS) wrong(field, `it begins at ${atS} s, and the scenario ends at ${endS} s`)
  }
  for (const [i, { recharge, batteryWh }] of peers.entries()) {
    if (recharge !== undefined && batteryWh === undefined) wrong(`peers.${i}.recharge`, 'it needs batteryWh')
  }
  for (const [i, { fromS, promptTokens, answerTokens, texts }] of workload.entries()) {
    begins(fromS, `workload.${i}.fromS`)
    if (texts > 0 && promptTokens[1] < attentionBlock) {
      wrong(`workload.${i}.texts`, `prompts of fewer than ${attentionBlock} tokens share nothing`)
    }
    const tokens = promptTokens[1] + answerTokens[1]
    if (tokens <= model.contextTokens) continue
    wrong(
      `workload.${i}`,
      `prompts of up to ${promptTokens[1]} and answers of up to ${answerTokens[1]} tokens are ${tokens}, and model.contextTokens is ${model.contextTokens}`
    )
  }
  const count = peers.reduce((sum, group) => sum + group.count, 0)
  for (const [i, { atS, kind, who, any, inAnswer, forS, factor, ms }] of faults.entries()) {
    begins(atS, `faults.${i}.atS`)
    if (forS !== undefined && !lasting.has(kind)) {
      wrong(`faults.${i}.forS`, `${kind} does not end by itself: ${[...lasting].join(', ')} do`)
    }
    if (factor !== undefined && kind !== 'slow') wrong(`faults.${i}.factor`, `it belongs to slow, not to ${kind}`)
    if (ms !== undefined && kind !== 'skew') wrong(`faults.${i}.ms`, `it belongs to skew, not to ${kind}`)
    if (inAnswer && (kind === 'cut' || kind === 'restart')) {
      wrong(`faults.${i}.inAnswer`, `it strikes one peer that is at work, which ${kind} cannot`)
    }
    if (inAnswer && any) wrong(`faults.${i}.any`, 'with inAnswer the route says which one it is')
    const named = peers.reduce((sum, group) => {
      const each = Array.from({ length: group.count }, (_, n) => `${group.name}-${n}`)
      return sum + (who.includes(group.name) ? group.count : each.filter(name => who.includes(name)).length)
    }, 0)
    if (kind === 'partition' && named === count && !any && !inAnswer) {
      wrong(`faults.${i}.who`, 'all peers are named, and nobody is left to be apart from')
    }
  }
  if (chaos === undefined) return
  begins(chaos.fromS, 'chaos.fromS')
  if (chaos.untilS <= chaos.fromS) {
    wrong('chaos.untilS', `it ends at ${chaos.untilS} s, before it begins at ${chaos.fromS} s`)
  }
}

/** `seconds,x,y` per line; the first may be a heading. @throws {ScenarioError} */
export function parseTrack(text: string, source: string): [number, number, number][] {
  const found: [number, number, number][] = []
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    const words = line.split(',').map(word => word.trim())
    const cells = words.map(word => (word === '' ? Number.NaN : Number(word)))
    if (cells.length === 3 && cells.every(Number.isFinite)) {
      const [s, x, y] = cells as [number, number, number]
      if (cells.some(cell => Math.abs(cell) > numberMax)) {
        throw new ScenarioError(
          `${source}, line ${i + 1}: nothing is beyond ${numberMax}, and this is ${printable(line)}`
        )
      }
      if (s < 0) throw new ScenarioError(`${source}, line ${i + 1}: time begins at 0, not at ${s}`)
      if (found.length > 0 && s <= found.at(-1)![0]) {
        throw new ScenarioError(`${source}, line ${i + 1}: time must grow, but ${s} follows ${found.at(-1)![0]}`)
      }
      found.push([s, x, y])
    } else if (i > 0 || cells.some(Number.isFinite)) {
      throw new ScenarioError(`${source}, line ${i + 1}: a line is seconds,x,y, not ${printable(line)}`)
    }
  }
  if (found.length === 0) throw new ScenarioError(`${source} has no line of seconds,x,y`)
  return found
}

/** The beginning of a text as a terminal can show it. */
export function printable(text: string): string {
  const shown = text.slice(0, 60).replace(/[^\x20-\x7e]/g, '?')
  return shown.length < text.length ? `${shown}…` : shown
}
