/** What this machine is, as far as its record says it. */
import { readdir, readFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { recordTextMax } from './limits.ts'
import { readMemoryLimit } from './memory-limit.ts'
import type { Hardware } from './record.ts'

/** Cores are those that this process may use; memory is what its control groups allow, if that is less. */
export function readHardware(): Hardware {
  // Node knows the limit of the process's own group only.
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity, readMemoryLimit() ?? Infinity)
  const cpu = (cpus()[0]?.model ?? '').replaceAll(/[\p{C}\s]+/gu, ' ').trim()
  return {
    cores: availableParallelism(),
    memoryBytes,
    architecture: process.arch,
    platform: process.platform,
    cpu: (cpu === 'unknown' ? '' : cpu).slice(0, recordTextMax)
  }
}

/**
 * The first battery of `/sys/class/power_supply`, or null when there is none or it does not say.
 *
 * @param root the folder of power supplies; tests give their own.
 */
export async function readBattery(
  root = '/sys/class/power_supply'
): Promise<{ level: number; charging: boolean } | null> {
  const field = async (supply: string, name: string): Promise<string> =>
    (await readFile(join(root, supply, name), 'utf8')).trim()
  let supplies: string[]
  try {
    supplies = (await readdir(root)).sort()
  } catch {
    return null
  }
  for (const supply of supplies) {
    try {
      // A mouse's battery has the scope of a device; the machine's own has none or `System`.
      if ((await field(supply, 'type')) !== 'Battery') continue
      if ((await field(supply, 'scope').catch(() => 'System')) === 'Device') continue
      const percent = Number(await field(supply, 'capacity'))
      if (!Number.isFinite(percent)) continue
      const status = await field(supply, 'status').catch(() => '')
      return { level: Math.min(1, Math.max(0, percent / 100)), charging: status === 'Charging' || status === 'Full' }
    } catch {
      // A supply that went away or that lacks a file says nothing.
    }
  }
  return null
}
