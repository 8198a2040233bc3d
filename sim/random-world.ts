/** A world drawn from a seed: a few peers of any kind, a link of any kind, and everything that can go wrong. */
import { Chance } from './chance.ts'
import { parseScenario } from './scenario.ts'
import type { FaultKind, Scenario, ScenarioFile } from './scenario-fields.ts'

/** Every fault that leaves tokens right; those whose hidden states lie come in few worlds, since their sessions tell nothing. */
const kinds: readonly FaultKind[] = [
  'crash',
  'crash',
  'power',
  'restart',
  'restart',
  'restart',
  'freeze',
  'slow',
  'partition',
  'cut',
  'skew',
  'drain',
  'drain',
  'stop'
]

/** Nothing, everything, or some layers in between. */
function drawHeld(chance: Chance, layers: number): [number, number] {
  const start = chance.whole(0, layers - 1)
  return chance.pick([[0, 0], [0, layers], [start, chance.whole(start + 1, layers)] as [number, number]])
}

/** How many of a world's sessions want what only some worlds know: none, half or all. */
function drawRatio(seed: number, what: string, worlds: number): number {
  const chance = new Chance(seed).fork(what)
  return chance.happens(worlds) ? chance.pick([0.5, 1]) : 0
}

export function drawScenario(seed: number): Scenario {
  const chance = new Chance(seed).fork('scenario')
  // In some worlds weights come over the radio: few bytes, but real ones.
  const disks = new Chance(seed).fork('disks')
  const lacksWeights = disks.happens(0.2)
  const layers = chance.whole(3, 12)
  const layerMB = lacksWeights ? 1 : 10
  const contextTokens = chance.pick([96, 200, 400, 2000])
  const cacheBytesPerToken = chance.pick([2048, 8192, 40_000])
  const perLayerMB = layerMB + (2.5 * contextTokens * cacheBytesPerToken) / 1e6
  const count = chance.whole(2, 7)
  // From just once to some three times the model, shared out unevenly.
  const factor = chance.between(1.1, 3.2)
  // Software that takes no time at all lets things happen at the same moment; one that takes long lets others in between.
  const software = new Chance(seed).fork('software')
  // In some worlds people lose patience.
  const patience = new Chance(seed).fork('patience')
  const cancelRatio = patience.happens(0.25) ? 0.3 : 0
  // In some worlds drivers guess what comes next, well or badly.
  const guesses = new Chance(seed).fork('drafts')
  const draftsRightRatio = guesses.happens(0.3) ? guesses.between(0.3, 1) : 0
  // In some worlds prompts begin alike.
  const alike = new Chance(seed).fork('texts')
  const texts = contextTokens >= 1000 && alike.happens(0.6) ? alike.whole(1, 3) : 0
  // In some worlds some want caches of int8, have penalties, ask for log-probabilities, or follow a grammar.
  const i8Ratio = drawRatio(seed, 'caches', 0.3)
  const penaltiesRatio = drawRatio(seed, 'penalties', 0.3)
  const scoresRatio = drawRatio(seed, 'scores', 0.2)
  const masksRatio = drawRatio(seed, 'masks', 0.2)
  // In some worlds tokens see some way back, in all layers or in most.
  const windows = new Chance(seed).fork('windows')
  const window = windows.happens(0.3)
    ? { tokens: windows.pick([4, 60, 300]), allEvery: windows.pick([0, 2, 6]), rollback: windows.pick([8, 256]) }
    : undefined
  const frameMs = software.pick([0, 0.3, 2])
  const openMs = software.pick([0, 2, 15])
  const shares = Array.from({ length: count }, () => chance.between(0.5, 1.5))
  const sum = shares.reduce((total, share) => total + share, 0)
  const peers = shares.map((share, i) => ({
    name: `p${i}`,
    count: 1,
    // A peer with a single session's room for everything refuses sooner.
    memoryMB: Math.max(1.2 * perLayerMB, (layers * perLayerMB * factor * share) / sum) + chance.pick([0, 0.5, 20]),
    cores: chance.whole(1, 8),
    visitMs: chance.between(0.1, 5),
    layerMs: chance.between(0.2, 6),
    frameMs,
    openMs,
    numericClass: chance.happens(0.2) ? 'arm' : 'x64',
    loadMBps: chance.pick([20, 100, 1000]),
    startS: [0, chance.pick([0.1, 2, 10])] as [number, number],
    motion: { kind: 'hover' as const },
    ...(lacksWeights && i > 0 ? { holds: drawHeld(disks, layers) } : {})
  }))
  const isLossy = chance.happens(0.3)
  const lies: FaultKind[] = chance.happens(0.12) ? ['garble'] : chance.happens(0.08) ? ['corrupt'] : []
  const calm = chance.happens(0.1)
  // In some worlds hops stand still although their hearts beat.
  const stillness = new Chance(seed).fork('stillness')
  const stills = (['mute', 'hang'] as const).filter(() => stillness.happens(0.15))
  // A radio that is full for minutes shows nothing but that: slow ones get a model that fits them.
  const rateMbps = chance.pick([5, 20, 100, 1000])
  const file: ScenarioFile = {
    name: `random ${seed}`,
    minutes: chance.between(0.5, 1.2),
    healS: 150,
    model: {
      layers,
      layerMB,
      cacheBytesPerToken,
      contextTokens,
      draftsRightRatio,
      ...(window === undefined ? {} : { window }),
      stepBytes: rateMbps < 100 ? 256 : chance.pick([2048, 8192])
    },
    peers,
    radio: {
      rateMbps,
      delayMs: chance.pick([0.2, 2, 10, 40, 120]),
      jitterMs: chance.pick([0, 1, 20]),
      loss: isLossy ? chance.between(0, 0.03) : 0,
      shared: chance.happens(0.3)
    },
    workload: peers.map(({ name }) => ({
      from: name,
      perMinute: chance.between(2, 12),
      promptTokens: [1, Math.floor(contextTokens / 2)] as [number, number],
      answerTokens: [1, Math.min(80, Math.floor(contextTokens / 3))] as [number, number],
      fromS: 2,
      temperature: chance.pick([0, 0.8]),
      cancelRatio,
      texts,
      i8Ratio,
      penaltiesRatio,
      scoresRatio,
      masksRatio
    }))
  }
  if (!calm) {
    file.chaos = {
      perMinute: chance.between(2, 30),
      kinds: [...kinds, ...lies, ...stills],
      fromS: chance.between(1, 10),
      forS: [0.3, chance.pick([2, 8, 20])]
    }
  }
  return parseScenario(file, `the world of seed ${seed}`)
}
