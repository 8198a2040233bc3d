/** Keeps what was measured of this machine, so that a peer that comes back is useful at once: it takes seconds. */
import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus } from 'node:os'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { z } from 'zod'
import { readStoredText } from '../disk/files.ts'
import type { Keeper } from '../disk/keeping.ts'
import type { Measured } from './factory.ts'
import { measuredBytesMax, measuredMax, measuredMaxAgeMs } from './limits.ts'

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
 * Measures, or takes from `file` what was measured of the same on this very processor not long ago. A file that cannot be
 * read or written costs time, nothing else.
 *
 * @param what all that decides the result beside the machine: engine, version, model's dimensions, threads
 * @throws what `measure` throws.
 */
export async function measureOnce(
  file: string,
  what: readonly unknown[],
  measure: () => Promise<Measured>,
  keeping: Keeper
): Promise<Measured> {
  const key = digest([measuringVersion, ...what, await machine()])
  const known = await read(file)
  const found = known[key]
  const ageMs = Date.now() - (found?.atMs ?? 0)
  if (found !== undefined && ageMs >= 0 && ageMs < measuredMaxAgeMs) {
    const { visitMs, layerMs, numericClass } = found
    return { visitMs, layerMs, numericClass }
  }
  const measured = await measure()
  const newest = Object.entries({ ...known, [key]: { atMs: Date.now(), ...measured } })
    .sort(([, a], [, b]) => b.atMs - a.atMs)
    .slice(0, measuredMax)
  await keeping.write("this processor's timings", file, `${JSON.stringify(Object.fromEntries(newest), null, 2)}\n`)
  return measured
}

async function read(file: string): Promise<z.infer<typeof fileSchema>> {
  try {
    return fileSchema.parse(JSON.parse(await readStoredText(file, measuredBytesMax)))
  } catch {
    return {}
  }
}

/** What decides bits and speed: the processor with its instruction sets, and Node's version. */
async function machine(): Promise<unknown[]> {
  // A virtual machine that was moved may have the same name of a processor, but not the same instructions.
  const info = await readFile('/proc/cpuinfo', 'utf8').catch(() => '')
  const instructions = /^(?:flags|Features)\s*:.*$/m.exec(info)?.[0] ?? ''
  const { arch, platform, versions } = process
  return [versions.node, arch, platform, availableParallelism(), cpus()[0]?.model ?? '', instructions]
}

function digest(parts: readonly unknown[]): string {
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify(parts)))).slice(0, 32)
}
