/**
 * Worlds in which one thing goes wrong all the time: for faults that random worlds meet too seldom for a test.
 */
import { Chance } from '../../sim/chance.ts'
import { parseScenario } from '../../sim/scenario.ts'
import type { Scenario, ScenarioFile } from '../../sim/scenario-fields.ts'

export type Storm =
  | 'mute'
  | 'hung'
  | 'late-open'
  | 'full-caches'
  | 'crowded'
  | 'lying-source'
  | 'crush'
  | 'impatient'
  | 'claims'
  | 'thieves'
  | 'hoarding'
  | 'flooding'
  | 'changing-minds'
  | 'speculating'
  | 'alike'
  | 'together'
  | 'short-sighted'
  | 'scored'
  | 'masked'

/** Three places on a route, each twice, and a driver of its own. */
const stillness = (kind: 'mute' | 'hang'): ScenarioFile => ({
  name: `some are ${kind}`,
  minutes: 3,
  healS: 150,
  model: { layers: 6, layerMB: 10, contextTokens: 200, stepBytes: 256 },
  peers: [
    { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
    { name: 'p', count: 6, memoryMB: 45, visitMs: 1, layerMs: 2 }
  ],
  radio: { rateMbps: 100, delayMs: 2, jitterMs: 1 },
  workload: [{ from: 'driver', perMinute: 50, promptTokens: [5, 80], answerTokens: [80, 110], fromS: 25 }],
  chaos: { perMinute: 5, kinds: [kind], who: ['p'], fromS: 30, forS: [60, 110] }
})

/** Peers of which several make a route, and drivers that guess what comes next. */
const lossy = (chance: Chance) => ({
  model: { layers: 6, layerMB: 4, contextTokens: 600, draftsRightRatio: 0.7 },
  peers: [
    { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
    { name: 'p', count: 5, memoryMB: 16, visitMs: 1, layerMs: 2 }
  ],
  radio: { rateMbps: 100, delayMs: chance.between(5, 20), jitterMs: 1 }
})

const storms: Readonly<Record<Storm, (chance: Chance) => ScenarioFile>> = {
  /** Hops whose heart beats and that say nothing. */
  mute: () => stillness('mute'),
  /** Hops whose engine hangs. */
  hung: () => stillness('hang'),
  /**
   * Heads freeze when sessions begin: the Open that one was given goes on to the tail when it wakes, after the Open of the
   * route that was taken instead. Embeddings that only heads can hold say who is which.
   */
  'late-open': chance => ({
    name: 'late opens',
    minutes: 2.5,
    healS: 100,
    model: { layers: 4, layerMB: 10, embeddingMB: 60, contextTokens: 96 },
    peers: [
      { name: 'driver', count: 1, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'head', count: 1, memoryMB: 84, visitMs: 0.5, layerMs: 0.5 },
      { name: 'spare', count: 1, memoryMB: 84, visitMs: 1, layerMs: 2 },
      { name: 'tail', count: 1, memoryMB: 24, visitMs: 0.5, layerMs: 0.5 }
    ],
    radio: { rateMbps: 100, delayMs: chance.between(12, 30), jitterMs: 1 },
    workload: [{ from: 'driver', perMinute: 70, promptTokens: [2, 6], answerTokens: [30, 60], fromS: 12 }],
    chaos: { perMinute: 14, kinds: ['freeze'], who: ['head', 'spare'], fromS: 15, forS: [0.9, 2] }
  }),
  /** Sessions hold all the room there is while stages come and go, one beside the other. */
  'full-caches': chance => ({
    name: 'full caches',
    minutes: 2,
    healS: 150,
    model: { layers: 5, layerMB: 2, cacheBytesPerToken: 35_600, contextTokens: 200 },
    peers: Array.from({ length: 5 }, (_, i) => ({
      name: `p${i}`,
      count: 1,
      memoryMB: chance.between(42, 49),
      visitMs: chance.between(1, 3),
      layerMs: chance.between(1, 4)
    })),
    radio: { rateMbps: 100, delayMs: 2, jitterMs: 1 },
    workload: [0, 1, 2, 3, 4].map(i => ({
      from: `p${i}`,
      perMinute: 16,
      promptTokens: [60, 100] as [number, number],
      answerTokens: [60, 100] as [number, number],
      fromS: 4
    })),
    chaos: { perMinute: 20, kinds: ['crash', 'power', 'restart', 'restart'], fromS: 8, forS: [1, 5] }
  }),
  /** Far more sessions than caches, slow processors, and neighbours that are cut off. */
  crowded: chance => ({
    name: 'crowded',
    minutes: 2.5,
    healS: 200,
    model: { layers: 6, layerMB: 4, cacheBytesPerToken: 40_000, contextTokens: 200 },
    peers: [
      { name: 'p', count: 4, memoryMB: chance.between(46, 70), visitMs: 4, layerMs: 12, prefillRatio: 1 },
      { name: 'q', count: 3, memoryMB: 1, visitMs: 4, layerMs: 6 }
    ],
    radio: { rateMbps: 100, delayMs: 5, jitterMs: 1 },
    workload: [
      { from: 'p', perMinute: 40, promptTokens: [60, 100], answerTokens: [20, 60], fromS: 4 },
      { from: 'q', perMinute: 60, promptTokens: [60, 100], answerTokens: [20, 60], fromS: 4 }
    ],
    chaos: {
      perMinute: 40,
      kinds: ['cut', 'partition', 'slow', 'crash', 'restart', 'restart'],
      fromS: 8,
      forS: [2, 15]
    }
  }),
  /** Disks are empty, and some of those who have weights give wrong ones. */
  'lying-source': () => ({
    name: 'a source that lies',
    minutes: 0.8,
    healS: 60,
    model: { layers: 6, layerMB: 1, embeddingMB: 0.5, headMB: 0.5 },
    peers: [
      { name: 'source', count: 3, memoryMB: 8, visitMs: 1, layerMs: 1 },
      { name: 'drone', count: 2, memoryMB: 60, visitMs: 1, layerMs: 1, holds: [0, 0] }
    ],
    radio: { rateMbps: 20, delayMs: 2, jitterMs: 1 },
    workload: [],
    faults: [{ atS: 0.5, kind: 'garble', who: ['source-1'], forS: 30 }]
  }),
  /** Nothing is wrong, but people give up in mid-answer: what is left of their sessions is seen well. */
  impatient: () => ({
    name: 'impatient',
    minutes: 1,
    healS: 60,
    model: { layers: 4, layerMB: 10 },
    peers: [{ name: 'p', count: 3, memoryMB: 40, visitMs: 1, layerMs: 20 }],
    workload: [{ from: 'p', perMinute: 20, cancelRatio: 0.5, fromS: 25 }]
  }),
  /** Most of those who are there when the others come say that they serve everything; none of the others could. */
  claims: chance => ({
    name: 'claims',
    minutes: 1.5,
    healS: 90,
    model: { layers: 8, layerMB: 10, contextTokens: 200 },
    peers: [
      { name: 'liar', count: 3, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'p', count: 4, memoryMB: chance.between(46, 60), visitMs: 1, layerMs: chance.between(2, 6) }
    ],
    radio: { rateMbps: 100, delayMs: chance.between(1, 5), jitterMs: 1 },
    workload: [{ from: 'p', perMinute: 20, promptTokens: [2, 6], answerTokens: [5, 20], fromS: 25 }],
    faults: [{ atS: 0.05, kind: 'claim', who: ['liar'], forS: 60 }]
  }),
  /** The fastest peer is a thief: every route leads through it, and it comes back for the sessions that go around it. */
  thieves: chance => ({
    name: 'thieves',
    minutes: 1.2,
    healS: 100,
    model: { layers: 4, layerMB: 10, contextTokens: 96 },
    peers: [
      { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'p', count: 4, memoryMB: chance.between(24, 30), visitMs: 1, layerMs: 3 },
      { name: 'thief', count: 2, memoryMB: 24, visitMs: 0.2, layerMs: 0.5 }
    ],
    radio: { rateMbps: 100, delayMs: chance.between(1, 10), jitterMs: 1 },
    workload: [{ from: 'driver', perMinute: 40, promptTokens: [4, 20], answerTokens: [30, 60], fromS: 12 }],
    faults: [{ atS: 14, kind: 'steal', who: ['thief'], forS: 50 }]
  }),
  /** A member without stages opens sessions at everybody's and uses none, while others want answers. */
  hoarding: chance => ({
    name: 'hoarding',
    minutes: 1.5,
    healS: 150,
    model: { layers: 4, layerMB: 4, cacheBytesPerToken: 40_000, contextTokens: 200 },
    peers: [
      { name: 'p', count: 2, memoryMB: chance.between(39, 42), visitMs: 1, layerMs: 2 },
      { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'hoarder', count: 1, memoryMB: 1, visitMs: 1, layerMs: 1 }
    ],
    radio: { rateMbps: 100, delayMs: 2, jitterMs: 1 },
    workload: [{ from: 'driver', perMinute: 12, promptTokens: [20, 40], answerTokens: [20, 40], fromS: 14 }],
    faults: [{ atS: 10, kind: 'hoard', who: ['hoarder'], forS: 75 }],
    watch: { answeredRatioMin: 0.6 }
  }),
  /** A member without stages has several sessions step without end at peers that hold all layers, while others want answers. */
  flooding: chance => ({
    name: 'flooding',
    minutes: 1.5,
    healS: 150,
    model: { layers: 4, layerMB: 4, contextTokens: 200 },
    peers: [
      { name: 'p', count: 2, memoryMB: 40, visitMs: chance.between(2, 6), layerMs: chance.between(2, 6) },
      { name: 'driver', count: 3, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'rogue', count: 1, memoryMB: 1, visitMs: 1, layerMs: 1 }
    ],
    radio: { rateMbps: 100, delayMs: 2, jitterMs: 1 },
    workload: [{ from: 'driver', perMinute: 40, promptTokens: [20, 40], answerTokens: [60, 100], fromS: 14 }],
    faults: [{ atS: 10, kind: 'flood', who: ['rogue'], forS: 75 }]
  }),
  /** Disks are slow, and plans change while stages are on their way. */
  'changing-minds': chance => ({
    name: 'changing minds',
    minutes: 2,
    healS: 100,
    model: { layers: 11, layerMB: 10, contextTokens: 96 },
    peers: Array.from({ length: 4 }, (_, i) => ({
      name: `p${i}`,
      count: 1,
      memoryMB: chance.between(45, 115),
      visitMs: chance.between(0.5, 3),
      layerMs: chance.between(0.5, 5),
      loadMBps: chance.between(10, 40)
    })),
    radio: { rateMbps: 100, delayMs: 2, jitterMs: 1 },
    workload: [0, 1, 2, 3].map(i => ({
      from: `p${i}`,
      perMinute: 4,
      fromS: 10,
      promptTokens: [2, 20] as [number, number],
      answerTokens: [2, 20] as [number, number]
    })),
    chaos: { perMinute: 40, kinds: ['drain', 'crash', 'restart', 'restart'], fromS: 3, forS: [1, 5] }
  }),
  /** Drivers guess, mostly right, what comes next, and hops are lost in the middle of it. */
  speculating: chance => ({
    name: 'speculating',
    minutes: 1.2,
    healS: 100,
    model: { layers: 6, layerMB: 10, contextTokens: 200, draftsRightRatio: chance.between(0.6, 0.9) },
    peers: [
      { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'p', count: 5, memoryMB: 45, visitMs: 1, layerMs: 2 }
    ],
    radio: { rateMbps: 100, delayMs: chance.between(5, 20), jitterMs: 1 },
    workload: [{ from: 'driver', perMinute: 30, promptTokens: [5, 60], answerTokens: [40, 110], fromS: 15 }],
    chaos: { perMinute: 6, kinds: ['crash', 'restart', 'restart', 'drain'], who: ['p'], fromS: 25, forS: [2, 10] }
  }),
  /** Two drivers ask what begins alike, more of it than is kept, and hops are lost in the middle of it. */
  alike: chance => ({
    name: 'alike',
    minutes: 1.5,
    healS: 100,
    model: { layers: 4, layerMB: 4, cacheBytesPerToken: 8_000, contextTokens: 500, draftsRightRatio: 0.7 },
    peers: [
      { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'p', count: 4, memoryMB: chance.between(26, 40), visitMs: 1, layerMs: 2 }
    ],
    radio: { rateMbps: 100, delayMs: chance.between(2, 10), jitterMs: 1 },
    workload: [{ from: 'driver', perMinute: 50, promptTokens: [130, 420], answerTokens: [5, 60], fromS: 12, texts: 2 }],
    chaos: { perMinute: 8, kinds: ['crash', 'restart', 'restart', 'drain'], who: ['p'], fromS: 25, forS: [2, 10] }
  }),
  /** One driver asks the same again while it is still being computed, beside answers that go on. */
  together: () => ({
    name: 'together',
    minutes: 0.8,
    healS: 60,
    model: { layers: 4, layerMB: 4, contextTokens: 500 },
    peers: [
      { name: 'driver', count: 1, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'p', count: 2, memoryMB: 150, visitMs: 1, layerMs: 3, prefillRatio: 1 }
    ],
    workload: [{ from: 'driver', perMinute: 100, promptTokens: [260, 400], answerTokens: [10, 30], fromS: 8, texts: 1 }]
  }),
  /** Most layers see a few tokens back, texts are long, and hops are lost in the middle of them. */
  'short-sighted': chance => ({
    name: 'short-sighted',
    minutes: 1.2,
    healS: 100,
    model: {
      layers: 6,
      layerMB: 4,
      cacheBytesPerToken: 4_000,
      contextTokens: 600,
      draftsRightRatio: 0.7,
      window: { tokens: chance.pick([5, 40]), allEvery: chance.pick([0, 3]), rollback: 8 }
    },
    peers: [
      { name: 'driver', count: 2, memoryMB: 1, visitMs: 1, layerMs: 1 },
      { name: 'p', count: 4, memoryMB: chance.between(30, 44), visitMs: 1, layerMs: 2 }
    ],
    radio: { rateMbps: 100, delayMs: chance.between(2, 10), jitterMs: 1 },
    workload: [
      { from: 'driver', perMinute: 40, promptTokens: [130, 480], answerTokens: [20, 110], fromS: 12, texts: 3 }
    ],
    chaos: { perMinute: 8, kinds: ['crash', 'restart', 'restart', 'drain'], who: ['p'], fromS: 25, forS: [2, 10] }
  }),
  /** All ask what the model makes of long prompts, and hops are lost in the middle of them. */
  scored: chance => ({
    ...lossy(chance),
    name: 'scored',
    minutes: 1.2,
    healS: 100,
    workload: [
      {
        from: 'driver',
        perMinute: 40,
        promptTokens: [130, 480],
        answerTokens: [5, 40],
        fromS: 12,
        texts: 3,
        scoresRatio: 1
      }
    ],
    chaos: { perMinute: 10, kinds: ['crash', 'restart', 'restart', 'drain'], who: ['p'], fromS: 15, forS: [2, 10] }
  }),
  /** Every answer follows a grammar, with drafts, while hops die in the middle of it. */
  masked: chance => ({
    ...lossy(chance),
    name: 'masked',
    minutes: 0.5,
    healS: 40,
    workload: [
      { from: 'driver', perMinute: 100, promptTokens: [2, 60], answerTokens: [20, 90], fromS: 12, masksRatio: 1 }
    ],
    chaos: { perMinute: 30, kinds: ['crash', 'restart', 'restart', 'drain'], who: ['p'], fromS: 13, forS: [2, 10] }
  }),
  /** More sessions at once than a peer takes, from more drivers than know of one another. */
  crush: () => ({
    name: 'crush',
    minutes: 0.3,
    healS: 110,
    model: { layers: 2, layerMB: 1, cacheBytesPerToken: 48, contextTokens: 64 },
    peers: [
      { name: 'p', count: 1, memoryMB: 400, visitMs: 10, layerMs: 10, prefillRatio: 1 },
      { name: 'driver', count: 12, memoryMB: 0.1, visitMs: 10, layerMs: 5 }
    ],
    workload: [{ from: 'driver', perMinute: 9000, promptTokens: [2, 4], answerTokens: [2, 3], fromS: 6, untilS: 10 }]
  })
}

export function drawStorm(storm: Storm, seed: number): Scenario {
  return parseScenario(storms[storm](new Chance(seed).fork(storm)), `the ${storm} of seed ${seed}`)
}
