/** What a way to store weights costs, found out in a thread of its own. */
import { shardName, stageShards } from '../../model/manifest.ts'
import { Thread } from '../../model/thread.ts'
import type { CompareInit, Comparison } from '../factory.ts'
import { comparisonIdleMs, comparisonLayerMs, comparisonStartMs } from '../limits.ts'
import { threadFile } from '../thread-file.ts'
import type { ComparisonAnswer, ComparisonJob, ComparisonRequest } from './comparison-messages.ts'

/** As with `EngineFactory.compare`. */
export function compareInWasm({ manifest, reference, shardDirectory, texts, signal }: CompareInit): Comparison {
  const { config } = manifest
  const job: ComparisonJob = {
    ...{ config, shardDirectory, texts },
    weights: { stored: manifest.weights, reference }
  }
  const thread = new Thread({
    file: threadFile(import.meta.url, 'comparison-worker'),
    name: `the comparison of the weights of ${manifest.name}`,
    startMs: comparisonStartMs,
    idleMs: comparisonIdleMs,
    data: async () => ({ workerData: job })
  })
  return {
    async layer(layer, files) {
      const own = stageShards(manifest, layer, layer + 1).map(
        shard => [shardName(shard), shard.sha256 as string] as const
      )
      const stored = new Map(own)
      const request: ComparisonRequest = { layer, files: { stored, reference: new Map([...own, ...files]) } }
      const options = { what: `compute layer ${layer}`, deadlineMs: comparisonLayerMs, signal }
      return (await thread.ask(request, options)) as ComparisonAnswer
    },
    close: () => thread.close()
  }
}
