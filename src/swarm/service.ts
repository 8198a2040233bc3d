/** Starts a peer's part in a swarm. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type End, endAll } from '../base/ends.ts'
import { reasonOf } from '../base/reason.ts'
import { Keeping } from '../disk/keeping.ts'
import { DataDirectoryError } from '../errors.ts'
import { type DataDirectory, openDataDir } from './data-dir.ts'
import { SwarmDatastore } from './datastore.ts'
import { loadIdentity } from './identity.ts'
import { RunningSwarm } from './running-swarm.ts'
import { SeqFile } from './seq-file.ts'
import type { Swarm, SwarmInit } from './swarm.ts'
import { parseSwarm, swarmSecret, swarmTag } from './swarm-file.ts'

/**
 * Starts a peer's part in a swarm and returns once it listens; others are found from then on.
 *
 * @throws {DataDirectoryError} {@link ListenError} {@link InvalidSwarmError} {@link InvalidOptionError}
 */
export async function createSwarm(init: SwarmInit): Promise<Swarm> {
  const { signal } = init
  signal?.throwIfAborted()
  const config = parseSwarm(init.config, 'the swarm')
  const undo: End[] = []
  try {
    let dataDir: DataDirectory
    if (typeof init.dataDir === 'string') {
      dataDir = await openDataDir(init.dataDir)
      undo.push(() => dataDir.close())
    } else {
      dataDir = init.dataDir
    }
    let service: RunningSwarm | undefined
    const keeping = init.keeping ?? new Keeping(message => service?.warn(message))
    const identity = await loadIdentity(dataDir.path, message => keeping.warn(message))
    const secret = swarmSecret(config)
    const tag = swarmTag(secret)
    const folder = join(dataDir.path, 'swarm')
    await mkdir(folder, { recursive: true, mode: 0o700 }).catch(error => {
      throw new DataDirectoryError(`${folder} cannot be made: ${reasonOf(error)}`)
    })
    const datastore = await SwarmDatastore.open(join(folder, `${tag}.peers`), identity.id, keeping)
    undo.push(() => datastore.close())
    const seqFile = new SeqFile(join(folder, `${tag}.seq`), keeping)
    const seq = await seqFile.read()
    undo.push(() => seqFile.settled())
    signal?.throwIfAborted()
    service = new RunningSwarm({ init, identity, datastore, secret, tag, seqFile, seq, undo })
    const started = service
    undo.push(() => started.end())
    await started.start()
    signal?.throwIfAborted()
    return started
  } catch (error) {
    // Why it did not start is what counts.
    await endAll(undo).catch(() => {})
    throw error
  }
}
