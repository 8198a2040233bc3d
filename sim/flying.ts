/** How long swarms on batteries fly under our plans, and under shares by memory. */
import type { ModelShape, PeerView } from '../src/route/view.ts'
import { stageMs } from '../src/route/cost.ts'
import { linkBytesPerMsDefault } from '../src/route/limits.ts'
import { byMemory, chainMs, halda, type Visit } from './baselines.ts'
import { Chance } from './chance.ts'
import { drawPeers, ourChain, plainShape, quantilesOf, round } from './placing.ts'

/** What a peer of a kind draws: boards of the Orin Nano class, on the ground or below rotors. */
export interface FlyingKind {
  readonly name: string
  /** Watts of the board and of what carries it, whether it computes or not. */
  readonly idleWatts: number
  readonly computeWatts: number
  readonly radioWatts: number
  /** Full batteries and watts of computing differ by up to this factor between peers; nobody announces that. */
  readonly spread: number
}

export const flyingKinds: readonly FlyingKind[] = [
  { name: 'on the ground, alike', idleWatts: 3, computeWatts: 12, radioWatts: 2, spread: 1 },
  { name: 'on the ground, unlike', idleWatts: 3, computeWatts: 12, radioWatts: 2, spread: 2 },
  { name: 'hovering (80 W, computing 35 W as in AeroKV)', idleWatts: 80, computeWatts: 35, radioWatts: 2.5, spread: 1 }
]

export interface FlyingSummary {
  readonly kind: string
  readonly swarms: number
  /**
   * Time until the first battery of a peer that serves is flat: ours divided by theirs, geometric mean, at a workload of
   * one answer without end as fast as sharing by memory can do it.
   */
  readonly longer: { readonly memory: number; readonly memoryAll: number }
  /** The same until the first battery of any peer is flat, whether it serves or not. */
  readonly longerAny: { readonly memory: number; readonly memoryAll: number }
  /** Ours against the exact least time, in percent. */
  readonly slowerPercent: { readonly p50: number; readonly p95: number; readonly max: number }
  /** Theirs divided by ours, ms per token, geometric mean. */
  readonly faster: number
}

/** Random swarms whose peers all run on batteries, charged by 20 to 100 %. */
export function measureFlying(seed: number, swarms: number, kind: FlyingKind): FlyingSummary {
  const chance = new Chance(seed).fork('flying')
  const ratios: Record<string, number[]> = { memory: [], memoryAll: [], anyMemory: [], anyMemoryAll: [], ms: [] }
  const slower: number[] = []
  while (slower.length < swarms) {
    const shape = plainShape(chance.whole(8, 40))
    const peers = drawPeers(chance, chance.whole(3, 12), shape).map(view => ({
      ...view,
      battery: Math.round(100 * chance.between(0.2, 1)) / 100
    }))
    const facts = new Map(
      peers.map(({ peer }) => [
        peer,
        {
          joules: 60 * 3600 * kind.spread ** chance.between(-0.5, 0.5),
          watts: kind.computeWatts * kind.spread ** chance.between(-0.5, 0.5)
        }
      ])
    )
    const exact = halda(peers, shape)
    const memory = byMemory(peers, shape, false)
    const own = ourChain(peers, shape)
    if (exact === undefined || memory === undefined || own === undefined) continue
    const flight = (chain: readonly Visit[], tokenMs: number, isAny: boolean): number => {
      const seconds = peers.map(view => {
        const visit = chain.find(each => each.view.peer === view.peer)
        if (visit === undefined && !isAny) return Number.POSITIVE_INFINITY
        const { joules, watts } = facts.get(view.peer)!
        return (joules * view.battery!) / (kind.idleWatts + drawn(visit, view, shape, kind, watts) / tokenMs)
      })
      return Math.min(...seconds)
    }
    const chains = { memory, memoryAll: byMemory(peers, shape, true) }
    for (const [name, chain] of Object.entries(chains)) {
      if (chain === undefined) continue
      const tokenMs = chainMs(chain, shape)
      ratios[name]!.push(Math.log(flight(own, tokenMs, false) / flight(chain, tokenMs, false)))
      const key = name === 'memory' ? 'anyMemory' : 'anyMemoryAll'
      ratios[key]!.push(Math.log(flight(own, tokenMs, true) / flight(chain, tokenMs, true)))
    }
    ratios.ms!.push(Math.log(chainMs(memory, shape) / chainMs(own, shape)))
    slower.push(100 * (chainMs(own, shape) / chainMs(exact, shape) - 1))
  }
  const mean = (list: readonly number[]): number =>
    round(Math.exp(list.reduce((sum, value) => sum + value, 0) / Math.max(1, list.length)))
  return {
    kind: kind.name,
    swarms,
    longer: { memory: mean(ratios.memory!), memoryAll: mean(ratios.memoryAll!) },
    longerAny: { memory: mean(ratios.anyMemory!), memoryAll: mean(ratios.anyMemoryAll!) },
    slowerPercent: quantilesOf(slower),
    faster: mean(ratios.ms!)
  }
}

/** Millijoules of one token besides what is drawn anyway. */
function drawn(
  visit: Visit | undefined,
  view: PeerView,
  shape: ModelShape,
  { radioWatts }: FlyingKind,
  watts: number
): number {
  if (visit === undefined) return 0
  const radioMs = (2 * (shape.stepBytes ?? 0)) / linkBytesPerMsDefault
  return watts * stageMs(view, visit.end - visit.start) + radioWatts * radioMs
}
