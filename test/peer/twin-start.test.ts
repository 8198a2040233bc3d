/** A copy of a data directory whose peer learns while it starts that the other one is there. */
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { wasmEngine } from '../../src/index.ts'
import { twinTieMs, yieldMs } from '../../src/swarm/limits.ts'
import { newSwarm } from '../../src/swarm/swarm-file.ts'
import { livePeers } from './live-peers.ts'

const { folder, start } = livePeers('twin-start')

it('R17: a peer that has to give way before it has started does not start, and says why', {
  timeout: 180_000
}, async () => {
  const swarm = newSwarm('twins')
  const dataDir = await folder()
  const elder = await start({ dataDir, swarm })
  const copy = await folder()
  await copyFile(join(dataDir, 'identity.key'), join(copy, 'identity.key'))
  // Longer than a record takes, so that it is clear which of them is the younger.
  await pause(twinTieMs + 1_000)
  const warnings: string[] = []
  // As on a busy machine, where a peer measures itself for longer than it takes to find out and to yield.
  const slow: typeof wasmEngine = {
    ...wasmEngine,
    async measure(init) {
      await pause(5 * yieldMs, undefined, init.signal === undefined ? {} : { signal: init.signal })
      return wasmEngine.measure(init)
    }
  }
  const started = start({ dataDir: copy, swarm, engines: [slow], onWarning: message => warnings.push(message) })
  const words = /another machine has this peer's identity, at \/ip4\/127\.0\.0\.1.*, and has run for longer/
  await expect(started).rejects.toThrow(words)
  await expect(started).rejects.toMatchObject({ name: 'DuplicateIdentityError' })
  expect(warnings.some(text => text.includes("another machine has this peer's identity"))).toBe(true)
  expect(elder.status().self).toBe(elder.id)
})
