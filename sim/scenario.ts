/**
 * A scenario is data: who is there, how they move, what the radio does, what is asked, what goes wrong, and what to
 * watch. Files are JSON; a bad one is refused with the name of the field.
 */
import { z } from 'zod'
import { rollbackTokens, stepDraftsMax } from '../src/engine/limits.ts'
import { attentionBlock } from '../src/model/limits.ts'

/** Nothing in a world is larger than this, in any unit; beyond it sizes and times would no longer be exact. */
const numberMax = 1e9
const finite = z.number().min(-numberMax).max(numberMax)
const amount = z.number().min(0).max(numberMax)
const positive = z.number().positive().max(numberMax)
/** A terabyte: all budgets and weights together are still whole numbers of bytes. */
const megabytesMax = 1e6
const megabytes = positive.max(megabytesMax)
const share = z.number().min(0).max(1)
const seconds = amount
const span = z.tuple([amount, amount]).refine(([low, high]) => low <= high, 'the first number is not above the second')
/** Numbers of tokens, both included. */
const tokens = z
  .tuple([z.number().int().min(1).max(numberMax), z.number().int().min(1).max(numberMax)])
  .refine(([low, high]) => low <= high, 'the first number is not above the second')
const points = z.array(z.tuple([finite, finite])).min(2)
/** Events come by chance; more of them than these are no scenario but a mistake, and would not fit into memory. */
const perMinute = positive.max(60_000)

const motionKinds = ['hover', 'patrol', 'convoy', 'lawn-mower', 'random-waypoint', 'track']

const motion = z.discriminatedUnion(
  'kind',
  [
    z
      .strictObject({
        kind: z.literal('hover'),
        x: finite.optional(),
        y: finite.optional(),
        spreadM: amount.optional()
      })
      .refine(
        ({ x, y, spreadM }) => (x === undefined) === (y === undefined) && (spreadM === undefined || x !== undefined),
        'x and y come together, and spreadM with them'
      ),
    z.strictObject({ kind: z.literal('patrol'), points, speed: positive }),
    z.strictObject({ kind: z.literal('convoy'), points, speed: positive, gapM: amount }),
    z.strictObject({ kind: z.literal('lawn-mower'), speed: positive, laneM: positive }),
    z.strictObject({ kind: z.literal('random-waypoint'), speed: span, pauseS: seconds.default(0) }),
    z
      .strictObject({
        kind: z.literal('track'),
        /** `seconds,x,y` per line; a heading line is skipped. A file's path is relative to the scenario. */
        csv: z.string().optional(),
        points: z
          .array(z.tuple([seconds, finite, finite]))
          .min(1)
          .optional()
      })
      .refine(
        ({ csv, points: given }) => (csv === undefined) !== (given === undefined),
        'a track has either csv or points'
      )
  ],
  { error: `a motion is one of ${motionKinds.join(', ')}` }
)

const group = z.strictObject({
  /** Peers are called `name-0`, `name-1`, … */
  name: z.string().regex(/^[a-z][a-z0-9-]*$/),
  count: z.number().int().min(1).max(20_000),
  cores: z.number().int().min(1).max(1024).default(4),
  /** Budget for weights and caches. */
  memoryMB: megabytes,
  /** One visit of n layers takes `visitMs + n · layerMs` per token. */
  visitMs: amount,
  layerMs: positive,
  /**
   * In one pass every token after the first costs this share of one that comes alone. 0.19 was measured for the model
   * that ships, on x64 with AVX-512.
   */
  prefillRatio: share.default(0.2),
  /** What libp2p and the ends of a channel take for one frame: encrypting, waking, decrypting, decoding. Measured: 0.26 to 0.34. */
  frameMs: amount.default(0.3),
  /** What the one who opens a stream takes for it beyond its frames: code that is rarely run. Measured: 1.8 to 2.4. */
  openMs: amount.default(2),
  numericClass: z.string().min(1).default('x64'),
  /** How fast weights come from its disk, checks included. */
  loadMBps: positive.default(400),
  /** Layers [start, end) whose shards it has, [0, 0] for none; all where nothing is said. Others come from peers. */
  holds: z
    .tuple([z.number().int().min(0), z.number().int().min(0)])
    .refine(([start, end]) => start <= end, 'the first layer is not above the end')
    .optional(),
  watts: z
    .strictObject({
      idle: amount.default(3),
      compute: amount.default(12),
      radio: amount.default(2),
      motion: amount.default(0)
    })
    .prefault({}),
  /** Energy of a full battery; mains where nothing is said. */
  batteryWh: positive.optional(),
  batteryLevel: z
    .tuple([share, share])
    .refine(([low, high]) => low <= high, 'the first number is not above the second')
    .default([1, 1]),
  /** Flies home below a charge, says goodbye, and comes back when it is full enough. */
  recharge: z
    .strictObject({ below: share, above: share, watts: positive, flightS: seconds.default(20) })
    .refine(({ below, above }) => below < above, 'below is less than above')
    .optional(),
  motion: motion.default({ kind: 'hover' }),
  /** When its peers start, drawn for each. */
  startS: span.default([0, 1])
})

const zone = z.strictObject({
  x: finite,
  y: finite,
  radiusM: positive,
  fromS: seconds.default(0),
  untilS: seconds.default(1e9),
  /** Added to the loss of every link with an end in the zone; 1 is silence. */
  loss: share,
  /** Motion of the zone's centre, metres per second. */
  dx: finite.default(0),
  dy: finite.default(0)
})

const radio = z.strictObject({
  /** Beyond it nothing is heard. */
  rangeM: positive.default(1e6),
  /** At close range; at the edge a fifth of it. */
  rateMbps: positive.default(1000),
  delayMs: amount.default(0.3),
  jitterMs: amount.default(0.1),
  /** Of packets of 1,400 bytes: close by, and at the edge of the range. */
  loss: share.default(0),
  edgeLoss: share.default(0),
  /** Everyone in a neighbourhood sends in turn, relays included. */
  shared: z.boolean().default(false),
  /** Hops that a packet may take over others' radios. */
  relays: z.number().int().min(1).max(8).default(1),
  zones: z.array(zone).default([]),
  /** Pairs of peers of which the second never hears the first. */
  oneWay: z.array(z.tuple([z.string(), z.string()])).default([])
})

const workload = z.strictObject({
  /** A peer or a group. */
  from: z.string(),
  perMinute,
  promptTokens: tokens.default([20, 60]),
  answerTokens: tokens.default([20, 60]),
  fromS: seconds.default(5),
  untilS: seconds.default(1e9),
  temperature: amount.default(0),
  /**
   * Its prompts are put together from so many texts of 128 tokens, the same for all workloads, so that they begin alike; with 0
   * every token is drawn.
   */
  texts: z.number().int().min(0).max(1000).default(0),
  /** Of its sessions so many have caches of int8. */
  i8Ratio: share.default(0),
  /** So many of the sessions have penalties: their tokens are drawn by the ids so far. */
  penaltiesRatio: share.default(0),
  /** So many of the sessions ask for log-probabilities, of the prompt and of the answer. */
  scoresRatio: share.default(0),
  /** So many of the sessions follow a grammar: their steps say what may be drawn. */
  masksRatio: share.default(0),
  /** Of its prompts so many are given up by who asked, some before the first token, others in mid-answer. */
  cancelRatio: share.default(0)
})

/** Of an answer that is under way so many tokens are there. */
export const ambushToken = 12

const faultKinds = [
  'crash',
  'power',
  'restart',
  'freeze',
  'slow',
  'partition',
  'cut',
  'skew',
  'corrupt',
  'garble',
  'mute',
  'hang',
  'claim',
  'steal',
  'hoard',
  'flood',
  'drain',
  'stop'
] as const

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

const fault = z.strictObject({
  atS: seconds,
  /**
   * `crash`: its process ends, its host answers. `power`: all of it is gone at once, as with a flat battery.
   * `restart`: it is started again. `freeze`: it is stopped for `forS`. `slow`: computes `factor` times slower for
   * `forS`. `partition`: the named peers are apart from all others for `forS`. `cut`: two peers do not hear one another
   * for `forS`. `skew`: its clocks jump by `ms`, the wall's and no other. `corrupt`: its engine gives wrong hidden states.
   * `garble`: it sends wrong bytes. `mute`: its heart beats, and it takes sessions, but does nothing with what they say for
   * `forS`. `hang`: its engine ends no step for `forS`. `claim`: it says that it serves all layers at no cost, and
   * answers nothing. `steal`: it attracts sessions, refuses them, and breaks into them. `hoard`: it opens sessions wherever there is room, and uses none. `flood`: its sessions step without end. `drain`: it announces that it
   * goes, hands over and leaves. `stop`: it says goodbye.
   * What lasts and has no `forS` lasts until the scenario's end; of two that overlap on one peer the later one counts.
   */
  kind: z.enum(faultKinds),
  /** Peers or groups; one of them is drawn where `any` is set. */
  who: z.array(z.string()).min(1),
  any: z.boolean().default(false),
  /** Waits for an answer that is under way, and strikes one of `who` on its route that does not drive it. */
  inAnswer: z.boolean().default(false),
  forS: seconds.optional(),
  /** Of `slow`; 5 where nothing is said. */
  factor: positive.optional(),
  /** Of `skew`; a minute where nothing is said. */
  ms: finite.optional()
})

const schema = z.strictObject({
  name: z.string().min(1),
  about: z.string().default(''),
  minutes: positive.max(50_000),
  /** How long the world has to come to rest once everything is healed. */
  healS: seconds.max(86_400).default(90),
  area: z.strictObject({ widthM: positive, heightM: positive }).default({ widthM: 100, heightM: 100 }),
  model: z.strictObject({
    layers: z.number().int().min(1).max(512),
    layerMB: megabytes,
    embeddingMB: amount.max(megabytesMax).default(0),
    headMB: amount.max(megabytesMax).default(0),
    tied: z.boolean().default(false),
    /** Of one hidden state between two hops. */
    stepBytes: z.number().int().min(32).max(1e8).default(8_192),
    /** Of one layer's cache. */
    cacheBytesPerToken: z.number().int().min(48).max(1e8).default(2_048),
    contextTokens: z.number().int().min(8).max(1e6).default(2_048),
    /** Of the tokens that drivers propose, so many are right; with 0 they propose what repeats itself, which no text does. */
    draftsRightRatio: share.default(0),
    /** A token sees the last `tokens` alone, but in every `allEvery`th layer, if any, where it sees all. */
    window: z
      .strictObject({
        tokens: z.number().int().min(1).max(1e6),
        allEvery: z.number().int().min(0).max(512).default(0),
        /** Tokens that caches may be cut by: at least those of a step with drafts. */
        rollback: z
          .number()
          .int()
          .min(stepDraftsMax + 1)
          .max(rollbackTokens)
          .default(rollbackTokens)
      })
      .optional()
  }),
  peers: z.array(group).min(1),
  radio: radio.prefault({}),
  workload: z.array(workload).default([]),
  faults: z.array(fault).default([]),
  /** Faults by chance, besides. */
  chaos: z
    .strictObject({
      perMinute,
      kinds: z.array(z.enum(faultKinds)).min(1),
      who: z.array(z.string()).optional(),
      fromS: seconds.default(10),
      untilS: seconds.default(1e9),
      forS: span.default([1, 10])
    })
    .optional(),
  watch: z
    .strictObject({
      /** Of the prompts whose drivers stayed, so many must have been answered in full; and there must be some. */
      answeredRatioMin: share.optional(),
      /** The 99th percentile of pauses after a loss. */
      pauseP99MsMax: positive.optional(),
      /** Of the time, the model must have been covered. */
      coveredRatioMin: share.optional(),
      /** Every how many seconds a sample is taken for the report. */
      sampleS: amount.min(0.05).default(1)
    })
    .prefault({})
})

export type Scenario = z.output<typeof schema>
/** A scenario as files hold it: what has a default may be left out. */
export type ScenarioFile = z.input<typeof schema>
export type PeerGroup = Scenario['peers'][number]
export type MotionSpec = PeerGroup['motion']
export type FaultSpec = Scenario['faults'][number]
export type FaultKind = (typeof faultKinds)[number]
export type WorkloadSpec = Scenario['workload'][number]
export type RadioSpec = Scenario['radio']

/** Thrown when a scenario is none; the message names every field that is wrong. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError'
}

/**
 * Checks a scenario. `readCsv` reads a track's file.
 * @throws {ScenarioError} naming the fields.
 */
export function parseScenario(value: unknown, source: string, readCsv?: (path: string) => string): Scenario {
  const result = schema.safeParse(value)
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
