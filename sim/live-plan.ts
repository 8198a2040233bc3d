/** What a scenario means for real peers: whether it can be lived at all, their budgets, and the same in the simulator. */
import { edgeSize } from '../src/engine/engine.ts'
import { place } from '../src/route/place.ts'
import { type ModelShape, type PeerView, stageBytes } from '../src/route/view.ts'
import type { PeerId } from '../src/base/ids.ts'
import type { LiveModel } from './live-model.ts'
import type { FaultKind, Scenario } from './scenario-fields.ts'

/** Processes that a small machine carries. */
export const livePeersMax = 6

/** What can be done to a real peer. */
const liveFaults: ReadonlySet<FaultKind> = new Set([
  'crash',
  'power',
  'restart',
  'freeze',
  'partition',
  'cut',
  'drain',
  'stop'
])

/** Why a scenario cannot be lived by real peers, in one sentence, or undefined. */
export function whyNotLive({ name, peers, workload, faults, chaos }: Scenario): string | undefined {
  const count = peers.reduce((sum, group) => sum + group.count, 0)
  if (count > livePeersMax) {
    return `${name} has ${count} peers, and a live run is for ${livePeersMax} at most: say --peers ${livePeersMax} or fewer`
  }
  const wild = [...faults.map(({ kind }) => kind), ...(chaos?.kinds ?? [])].find(kind => !liveFaults.has(kind))
  if (wild !== undefined) {
    return `${name} has a fault of the kind ${wild}, which cannot be done to real peers: ${[...liveFaults].join(', ')} can`
  }
  if (peers.some(({ recharge }) => recharge !== undefined)) {
    return `${name} has peers that fly home to recharge, and real peers here have no batteries`
  }
  if (workload.some(({ cancelRatio }) => cancelRatio > 0)) {
    return `${name} has prompts that are given up (cancelRatio), and real peers here answer all`
  }
  return undefined
}

/** Budgets per group, and how much larger they had to be made than the scenario says. */
export interface LiveBudgets {
  readonly bytes: readonly number[]
  readonly factor: number
}

/**
 * Each peer gives as large a share of the real model as the scenario has it give of its own, with every budget as much
 * larger as it takes to cover a real model whose embedding and head weigh more, below the whole where it was below it.
 * Undefined when that cannot be.
 * @param shape of the scenario's model, `real` of the real one.
 */
export function liveBudgets(scenario: Scenario, shape: ModelShape, real: ModelShape): LiveBudgets | undefined {
  const whole = (model: ModelShape): number => stageBytes(model, { start: 0, end: model.layers })
  const leastBytes = Math.min(...real.layerBytes.map((_, layer) => stageBytes(real, { start: layer, end: layer + 1 })))
  for (let factor = 1; factor < 8; factor *= 1.05) {
    const bytes = scenario.peers.map(({ memoryMB }) => {
      const share = (memoryMB * 1e6) / whole(shape)
      // Who cannot hold the scenario's model alone shall not hold the real one alone.
      const mostBytes = share < 1 ? whole(real) - 1 : Number.POSITIVE_INFINITY
      return Math.min(mostBytes, Math.max(leastBytes, Math.ceil(share * whole(real) * factor)))
    })
    const views = scenario.peers.flatMap((group, i) =>
      Array.from({ length: group.count }, (_, n) => viewOfGroup(`${group.name}-${n}`, bytes[i]!, real))
    )
    if (place(views, real).missing === null) return { bytes, factor }
  }
  return undefined
}

function viewOfGroup(name: string, budgetBytes: number, { layers }: ModelShape): PeerView {
  return {
    peer: name as PeerId,
    budgetBytes,
    held: [{ start: 0, end: layers }],
    holdsEmbedding: true,
    holdsHead: true,
    pinned: null,
    visitMs: 1,
    layerMs: 1,
    numericClass: 'x64',
    stages: [],
    sessions: 0,
    battery: null
  }
}

/** What real peers announced of their processors. */
export interface LiveTimings {
  readonly visitMs: number
  readonly layerMs: number
}

/** The scenario with the real model's sizes, the real budgets, and the announced times of each group. */
export function calibrated(
  scenario: Scenario,
  { manifest, shape }: LiveModel,
  budgets: LiveBudgets,
  timings: readonly LiveTimings[]
): Scenario {
  const { config, edge } = manifest
  return {
    ...scenario,
    model: {
      layers: config.layers,
      layerMB: shape.layerBytes[0]! / 1e6,
      embeddingMB: shape.embeddingBytes / 1e6,
      headMB: shape.headBytes / 1e6,
      tied: config.tiedEmbeddings,
      stepBytes: config.hidden * edgeSize(edge),
      // Keys and values of one token in float32, as world.ts reads it.
      cacheBytesPerToken: 2 * config.kvHeads * config.headDim * Float32Array.BYTES_PER_ELEMENT,
      contextTokens: config.contextMax,
      draftsRightRatio: 0
    },
    peers: scenario.peers.map((group, i) => ({
      ...group,
      memoryMB: budgets.bytes[i]! / 1e6,
      visitMs: timings[i]!.visitMs,
      layerMs: timings[i]!.layerMs
    }))
  }
}
