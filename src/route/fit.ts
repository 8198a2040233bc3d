/** On how many peers a model fits, whoever they are. Pure. */
import type { ModelOffer } from '../swarm/record.ts'
import { type ModelShape, stageBytes } from './view.ts'

/**
 * How many peers hold a model together, once, where each gives so much memory.
 *
 * @returns undefined where one of its layers does not fit
 */
export function peersHolding(shape: ModelShape, budgetBytes: number): number | undefined {
  // As budgets are equal, each stage as long as it can be is the fewest stages.
  let peers = 0
  for (let start = 0; start < shape.layers; peers++) {
    const end = furthestEnd(shape, start, budgetBytes)
    if (end === start) return undefined
    start = end
  }
  return peers
}

/** The end of the longest stage from `start` on that fits; `start` where none does. */
function furthestEnd(shape: ModelShape, start: number, budgetBytes: number): number {
  for (let end = shape.layers; end > start; end--) {
    if (stageBytes(shape, { start, end }) <= budgetBytes) return end
  }
  return start
}

/**
 * A model's sizes as far as the record of a peer says them that computes it: as if all layers were like the largest, the output matrix
 * were the embedding, and a stage retained nothing. Undefined where it says nothing.
 */
export function shapeOffered({ model, name, layers, footprint }: ModelOffer): ModelShape | undefined {
  if (footprint === undefined) return undefined
  const { layerBytes, embeddingBytes, headBytes, cacheBytesPerLayer } = footprint
  return {
    id: model,
    name,
    layers,
    layerBytes: new Array<number>(layers).fill(layerBytes),
    embeddingBytes,
    headBytes,
    tiedEmbeddings: true,
    cacheBytesPerLayer,
    stageBytes: 0
  }
}
