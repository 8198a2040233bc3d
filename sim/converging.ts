/** How soon placement rests after a change that each peer hears of in its own time, on random unequal swarms. */
import { Chance } from './chance.ts'
import { parseScenario } from './scenario.ts'
import { type Quantiles, quantiles } from './stats.ts'
import { World } from './world.ts'

export interface ConvergingSummary {
  readonly event: 'converging'
  readonly seed: number
  readonly changes: Readonly<
    Record<
      Change,
      {
        readonly swarms: number
        /** Swarms in which somebody loaded or unloaded something because of it. */
        readonly moved: number
        /** Of those: from the change to the begin of the last load or unload, in seconds; noticing it is part of it. */
        readonly seconds: Quantiles
        /** Loads and unloads in the swarm that had the most. */
        readonly movesMax: number
      }
    >
  >
}

/** A peer is gone without a word; says that it goes; comes. */
type Change = 'lost' | 'leaving' | 'joining'

/** By then all have started and rest. */
const changeS = 60
/** Loads of 100 MB a second, so that what follows the end of a load is not hidden by how long it takes. */
const loadMBps = 400

/** Lives through `swarms` worlds for each kind of change. */
export async function measureConverging(seed: number, swarms: number): Promise<ConvergingSummary> {
  const changes: Partial<Record<Change, ConvergingSummary['changes'][Change]>> = {}
  for (const change of ['lost', 'leaving', 'joining'] as const) {
    const seconds: number[] = []
    let movesMax = 0
    for (let number = 0; number < swarms; number++) {
      const moves = await movesAfter(change, new Chance(seed).fork(`${change} ${number}`), seed + number)
      movesMax = Math.max(movesMax, moves.length)
      if (moves.length > 0) seconds.push(moves.at(-1)! - changeS)
    }
    changes[change] = { swarms, moved: seconds.length, seconds: quantiles(seconds), movesMax }
  }
  return { event: 'converging', seed, changes: changes as ConvergingSummary['changes'] }
}

/** When loads and unloads began after the change, in seconds. */
async function movesAfter(change: Change, chance: Chance, seed: number): Promise<number[]> {
  const layers = chance.whole(8, 40)
  const count = chance.whole(3, 12)
  const share = (layers * 11 * chance.between(1.5, 3)) / count
  const chosen = chance.whole(0, count - 1)
  const scenario = parseScenario(
    {
      name: `${change} in swarm ${seed}`,
      minutes: (2 * changeS) / 60,
      healS: 60,
      model: { layers, layerMB: 10, contextTokens: 400, cacheBytesPerToken: 2048, stepBytes: 2068 },
      peers: Array.from({ length: count }, (_, i) => ({
        name: `p${i}`,
        count: 1,
        memoryMB: share * 10 ** chance.between(-0.5, 0.5) + 12,
        visitMs: 10 ** chance.between(-0.3, 0.7),
        layerMs: 20 ** chance.next(),
        loadMBps,
        startS: change === 'joining' && i === chosen ? [changeS, changeS] : [0, 3]
      })),
      radio: { rateMbps: 50, delayMs: 5, jitterMs: 5 },
      faults: change === 'joining' ? [] : [{ atS: changeS, kind: faults[change], who: [`p${chosen}-0`] }]
    },
    change
  )
  const moves: number[] = []
  const world = new World({
    scenario,
    seed,
    onLine: line => {
      const [atS, who, what, which] = line.trim().split(' ')
      if (which !== 'layers' || (what !== 'loads' && what !== 'unloads')) return
      // Who leaves takes its stages along; that is no move. What is healed at the end is not looked at.
      if (change === 'leaving' && who === `p${chosen}-0`) return
      if (Number(atS) >= changeS && Number(atS) < 2 * changeS) moves.push(Number(atS))
    }
  })
  await world.run()
  return moves
}

const faults = { lost: 'power', leaving: 'drain' } as const
