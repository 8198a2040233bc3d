/** Asks the machine what it is. Nothing here throws but the signal's reason: what cannot be found out is a fact, too. */
import { freemem, totalmem } from 'node:os'
import { readPlainText } from '../base/plain-file.ts'
import { reasonOf } from '../base/reason.ts'
import type { EngineFactory } from '../engine/factory.ts'
import { readMemoryLimit } from '../swarm/memory-limit.ts'
import type { MachineFacts } from './facts.ts'
import { procBytesMax } from './limits.ts'

export async function machineFacts(engine: EngineFactory, signal: AbortSignal): Promise<MachineFacts> {
  const test = engine.selfTest?.bind(engine)
  return {
    node: process.versions.node,
    engine:
      test === undefined
        ? { problem: `the engine ${engine.name} has no self-test` }
        : await test({ signal }).catch((error: unknown) => {
            signal.throwIfAborted()
            return { problem: reasonOf(error) }
          }),
    memory: {
      totalBytes: totalmem(),
      // On Linux Node gives what is available, caches of files included.
      availableBytes: freemem(),
      limitBytes: readMemoryLimit()
    },
    descriptors: await descriptorLimit()
  }
}

async function descriptorLimit(): Promise<number | undefined> {
  const limits = await readPlainText('/proc/self/limits', procBytesMax).catch(() => '')
  const soft = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1]
  return soft === undefined ? undefined : Number(soft)
}
