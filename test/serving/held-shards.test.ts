/** What is said of a fetch that takes long: what has come so far, now and then. */
import { copyFile, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { importModel } from '../../src/model/import.ts'
import { openStore } from '../../src/model/store.ts'
import { HeldShards } from '../../src/serving/held-shards.ts'
import { heldTellMs } from '../../src/serving/limits.ts'
import type { Supply } from '../../src/supply/service.ts'
import type { Swarm } from '../../src/swarm/swarm.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { scratchFolders } from '../scratch.ts'

const signal = AbortSignal.timeout(60_000)
let dir: string

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
})

it('is announced at most every so often while it goes on, and whole at its end', async () => {
  await writeTiny(path.join(dir, 'source'), { config: { num_hidden_layers: 6 } })
  const there = await openStore({ own: path.join(dir, 'there') })
  const model = await importModel({
    source: path.join(dir, 'source'),
    store: there,
    name: 'tiny',
    weights: 'q8',
    signal
  })
  const here = await openStore({ own: path.join(dir, 'here') })
  await here.putManifest(model.manifest, { partial: true })
  await mkdir(path.join(dir, 'here', 'shards'), { recursive: true })
  let nowMs = 0
  const told: number[] = []
  const supply = {
    /** Every shard takes three quarters of the time after which it is told. */
    fetch: async (files, { onFile }) => {
      for (const { sha256 } of files) {
        await copyFile(path.join(dir, 'there', 'shards', sha256), path.join(dir, 'here', 'shards', sha256))
        nowMs += 0.75 * heldTellMs
        onFile?.()
        await expect.poll(() => told.length).toBe(Math.floor(nowMs / (1.5 * heldTellMs)))
      }
    },
    progress: () => undefined,
    changed: () => {}
  } satisfies Partial<Supply>
  const held: HeldShards = new HeldShards(
    {
      store: here,
      model,
      swarm: { id: 'self', records: () => [] } as unknown as Swarm,
      supply: supply as unknown as Supply,
      onWarning: () => {},
      onChange: () => void told.push(held.list.length),
      onFetch: () => {},
      clock: { ...systemClock, nowMs: () => nowMs }
    },
    []
  )
  await held.folder({ start: 0, end: 6 }, signal)
  // Embedding, six layers, head: eight files, told of at every second one.
  expect(told).toEqual([2, 4, 6, 8, 8])
})
