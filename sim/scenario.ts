/**
 * A scenario is data: who is there, how they move, what the radio does, what is asked, what goes wrong, and what to
 * watch. Files are JSON; a bad one is refused with the name of the field.
 */
import { z } from 'zod'

const positive = z.number().positive()
const share = z.number().min(0).max(1)
const seconds = z.number().min(0)
const span = z
  .tuple([z.number().min(0), z.number().min(0)])
  .refine(([low, high]) => low <= high, 'the first number is not above the second')
/** Numbers of tokens, both included. */
const tokens = z
  .tuple([z.number().int().min(1), z.number().int().min(1)])
  .refine(([low, high]) => low <= high, 'the first number is not above the second')
const points = z.array(z.tuple([z.number(), z.number()])).min(2)
/** Events come by chance; more of them than these are no scenario but a mistake, and would not fit into memory. */
const perMinute = positive.max(60_000)

const motionKinds = ['hover', 'patrol', 'convoy', 'lawn-mower', 'random-waypoint', 'track']

const motion = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('hover'),
      x: z.number().optional(),
      y: z.number().optional(),
      spreadM: z.number().min(0).optional()
    }),
    z.strictObject({ kind: z.literal('patrol'), points, speed: positive }),
    z.strictObject({ kind: z.literal('convoy'), points, speed: positive, gapM: z.number().min(0) }),
    z.strictObject({ kind: z.literal('lawn-mower'), speed: positive, laneM: positive }),
    z.strictObject({ kind: z.literal('random-waypoint'), speed: span, pauseS: seconds.default(0) }),
    z
      .strictObject({
        kind: z.literal('track'),
        /** `seconds,x,y` per line; a heading line is skipped. A file's path is relative to the scenario. */
        csv: z.string().optional(),
        points: z
          .array(z.tuple([seconds, z.number(), z.number()]))
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
  cores: z.number().int().min(1).default(4),
  /** Budget for weights and caches. */
  memoryMB: positive,
  /** One visit of n layers takes `visitMs + n · layerMs` per token. */
  visitMs: z.number().min(0),
  layerMs: positive,
  /**
   * In one pass every token after the first costs this share of one that comes alone. 0.19 was measured for the model
   * that ships, on x64 with AVX-512.
   */
  prefillRatio: share.default(0.2),
  /** What libp2p and the ends of a channel take for one frame: encrypting, waking, decrypting, decoding. Measured: 0.26 to 0.34. */
  frameMs: z.number().min(0).default(0.3),
  /** What the one who opens a stream takes for it beyond its frames: code that is rarely run. Measured: 1.8 to 2.4. */
  openMs: z.number().min(0).default(2),
  numericClass: z.string().default('x64'),
  /** How fast weights come from its disk, checks included. */
  loadMBps: positive.default(400),
  /** Layers [start, end) whose shards it has, [0, 0] for none; all where nothing is said. Others come from peers. */
  holds: z
    .tuple([z.number().int().min(0), z.number().int().min(0)])
    .refine(([start, end]) => start <= end, 'the first layer is not above the end')
    .optional(),
  watts: z
    .strictObject({
      idle: z.number().min(0).default(3),
      compute: z.number().min(0).default(12),
      radio: z.number().min(0).default(2),
      motion: z.number().min(0).default(0)
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
  x: z.number(),
  y: z.number(),
  radiusM: positive,
  fromS: seconds.default(0),
  untilS: seconds.default(1e9),
  /** Added to the loss of every link with an end in the zone; 1 is silence. */
  loss: share,
  /** Motion of the zone's centre, metres per second. */
  dx: z.number().default(0),
  dy: z.number().default(0)
})

const radio = z.strictObject({
  /** Beyond it nothing is heard. */
  rangeM: positive.default(1e6),
  /** At close range; at the edge a fifth of it. */
  rateMbps: positive.default(1000),
  delayMs: z.number().min(0).default(0.3),
  jitterMs: z.number().min(0).default(0.1),
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
  temperature: z.number().min(0).default(0)
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
  'drain',
  'stop'
] as const

const fault = z.strictObject({
  atS: seconds,
  /**
   * `crash`: its process ends, its host answers. `power`: all of it is gone at once, as with a flat battery.
   * `restart`: it is started again. `freeze`: it is stopped for `forS`. `slow`: computes `factor` times slower for
   * `forS`. `partition`: the named peers are apart from all others for `forS`. `cut`: two peers do not hear one another
   * for `forS`. `skew`: its clocks jump by `ms`, the wall's and no other. `corrupt`: its engine gives wrong hidden states.
   * `garble`: it sends wrong bytes. `drain`: it announces that it goes, hands over and leaves. `stop`: it says goodbye.
   */
  kind: z.enum(faultKinds),
  /** Peers or groups; one of them is drawn where `any` is set. */
  who: z.array(z.string()).min(1),
  any: z.boolean().default(false),
  /** Waits for an answer that is under way, and strikes one of `who` on its route that does not drive it. */
  inAnswer: z.boolean().default(false),
  forS: seconds.optional(),
  factor: positive.default(5),
  ms: z.number().default(60_000)
})

const schema = z.strictObject({
  name: z.string().min(1),
  about: z.string().default(''),
  minutes: positive.max(50_000),
  /** How long the world has to come to rest once everything is healed. */
  healS: seconds.default(90),
  area: z.strictObject({ widthM: positive, heightM: positive }).default({ widthM: 100, heightM: 100 }),
  model: z.strictObject({
    layers: z.number().int().min(1).max(512),
    layerMB: positive,
    embeddingMB: z.number().min(0).default(0),
    headMB: z.number().min(0).default(0),
    tied: z.boolean().default(false),
    /** Of one hidden state between two hops. */
    stepBytes: z.number().int().min(32).default(8_192),
    /** Of one layer's cache. */
    cacheBytesPerToken: z.number().int().min(48).default(2_048),
    contextTokens: z.number().int().min(8).default(2_048)
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
      /** Of the prompts, so many must have been answered in full. */
      answeredRatioMin: share.optional(),
      /** The 99th percentile of pauses after a loss. */
      pauseP99MsMax: positive.optional(),
      /** Of the time, the model must have been covered. */
      coveredRatioMin: share.optional(),
      /** Every how many seconds a sample is taken for the report. */
      sampleS: z.number().min(0.05).default(1)
    })
    .prefault({})
})

export type Scenario = z.output<typeof schema>
/** A scenario as files hold it: what has a default may be left out. */
export type ScenarioFile = z.input<typeof schema>
export type PeerGroup = Scenario['peers'][number]
export type MotionSpec = PeerGroup['motion']
export type FaultSpec = Scenario['faults'][number]
export type FaultKind = FaultSpec['kind']
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

/** `seconds,x,y` per line; the first may be a heading. @throws {ScenarioError} */
export function parseTrack(text: string, source: string): [number, number, number][] {
  const found: [number, number, number][] = []
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    const words = line.split(',').map(word => word.trim())
    const cells = words.map(word => (word === '' ? Number.NaN : Number(word)))
    if (cells.length === 3 && cells.every(Number.isFinite)) {
      const [s, x, y] = cells as [number, number, number]
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
