/**
 * A scenario is data: who is there, how they move, what the radio does, what is asked, what goes wrong, and what to
 * watch. Files are JSON; a bad one is refused with the name of the field.
 */
import { z } from 'zod'
import { rollbackTokens, stepDraftsMax } from '../src/engine/limits.ts'

/** Nothing in a world is larger than this, in any unit; beyond it sizes and times would no longer be exact. */
export const numberMax = 1e9
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

/** Every field of a scenario, with what it is where a file leaves it out. */
export const scenarioSchema = z.strictObject({
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

export type Scenario = z.output<typeof scenarioSchema>
/** A scenario as files hold it: what has a default may be left out. */
export type ScenarioFile = z.input<typeof scenarioSchema>
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
