/** Keeps what was measured of this machine, so that a peer that comes back is useful at once: it takes seconds. */
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { availableParallelism, cpus } from 'node:os'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { readPlainText } from '../../base/plain-file.ts'
import type { Keeper } from '../../disk/keeping.ts'
import { measuredBytesMax, measuredMax, measuredMaxAgeMs } from '../limits.ts'
import { shardName, type WeightType } from '../../model/manifest.ts'
import type { Measured } from '../factory.ts'
import { buildGraph, buildHeadGraph } from './graph.ts'
import { classConfig, classEdge } from './numeric-class.ts'
import { measureNumericClass, measureTimings, type TimingsInit } from './measure.ts'

/** Raised when measuring changes: what was measured before says nothing then. */
const measuringVersion = 1

const duration = z.number().nonnegative().max(1e9)
const entry = z.strictObject({
  atMs: z.number(),
  visitMs: duration,
  layerMs: duration.positive(),
  numericClass: z.string().regex(/^[0-9a-f]{16}$/)
})
const fileSchema = z.record(z.string().max(64), entry)

/**
 * Measures the numeric class and the timings, or takes them from `file` where the same was measured on this very
 * processor with this engine not long ago. A file that cannot be read or written costs time, nothing else.
 * @throws what `measureNumericClass` and `measureTimings` throw.
 */
export async function measureOnce(file: string, init: TimingsInit, keeping: Keeper): Promise<Measured> {
  const { config, weights, edge, threads = 1, signal } = init
  const key = digest([measuringVersion, config, weights, edge, threads, graphs(weights), await machine()])
  const known = await read(file)
  const found = known[key]
  const ageMs = Date.now() - (found?.atMs ?? 0)
  if (found !== undefined && ageMs >= 0 && ageMs < measuredMaxAgeMs) {
    const { visitMs, layerMs, numericClass } = found
    return { visitMs, layerMs, numericClass }
  }
  const numericClass = await measureNumericClass(weights, signal === undefined ? {} : { signal })
  const measured = { ...(await measureTimings(init)), numericClass }
  const newest = Object.entries({ ...known, [key]: { atMs: Date.now(), ...measured } })
    .sort(([, a], [, b]) => b.atMs - a.atMs)
    .slice(0, measuredMax)
  await keeping.write("this processor's timings", file, `${JSON.stringify(Object.fromEntries(newest), null, 2)}\n`)
  return measured
}

async function read(file: string): Promise<z.infer<typeof fileSchema>> {
  try {
    return fileSchema.parse(JSON.parse(await readPlainText(file, measuredBytesMax)))
  } catch {
    return {}
  }
}

/** What the engine would compute: a change of its graphs may be one of bits, and of speed. */
function graphs(weights: WeightType): string {
  const { layers } = classConfig
  const shards = [
    { role: 'embedding', layer: null },
    ...Array.from({ length: layers }, (_, layer) => ({ role: 'layer', layer }) as const),
    { role: 'head', layer: null }
  ] as const
  const shardLocations = new Map(shards.map(shard => [shardName(shard), shardName(shard)]))
  const init = { config: classConfig, weights, edge: classEdge, start: 0, end: layers, shardLocations } as const
  const hash = sha256.create().update(buildGraph(init)).update(buildHeadGraph(init))
  return bytesToHex(hash.digest())
}

/** What decides bits and speed: the processor with its instruction sets, the engine's version, and Node's. */
async function machine(): Promise<unknown[]> {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }
  // A virtual machine that was moved may have the same name of a processor, but not the same instructions.
  const info = await readFile('/proc/cpuinfo', 'utf8').catch(() => '')
  const instructions = /^(?:flags|Features)\s*:.*$/m.exec(info)?.[0] ?? ''
  const { arch, platform, versions } = process
  return [version, versions.node, arch, platform, availableParallelism(), cpus()[0]?.model ?? '', instructions]
}

function digest(parts: readonly unknown[]): string {
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(parts)))).slice(0, 32)
}
