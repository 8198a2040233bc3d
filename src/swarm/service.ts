/** Starts a peer's part in a swarm. */
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type End, endAll } from '../base/ends.ts'
import { reasonOf } from '../base/reason.ts'
import { mkdir } from '../disk/files.ts'
import { Keeping } from '../disk/keeping.ts'
import { DataDirectoryError, InvalidMembershipError, InvalidOptionError } from '../errors.ts'
import type { AttestationOptions } from './attestation-service.ts'
import { type DataDirectory, openDataDir } from './data-dir.ts'
import { SwarmDatastore } from './datastore.ts'
import { type Identity, loadIdentity } from './identity.ts'
import { openEpoch } from '../trust/sealing.ts'
import { verifyKey } from '../trust/signing-key.ts'
import { ledgerFileBytes, ledgerPath, readLedgerFile, readMemberFile, text64, writeMemberFile } from './member-file.ts'
import { Membership } from './membership-service.ts'
import { RunningSwarm } from './running-swarm.ts'
import { SeqFile } from './seq-file.ts'
import type { Swarm, SwarmInit } from './swarm.ts'
import { parseSwarm, type SecretSwarm, type SwarmConfig, swarmSecret, swarmTag } from './swarm-file.ts'

/**
 * Starts a peer's part in a swarm and returns once it listens; others are found from then on.
 *
 * @throws {DataDirectoryError} {@link ListenError} {@link InvalidSwarmError} {@link InvalidOptionError}
 */
export async function createSwarm(init: SwarmInit): Promise<Swarm> {
  const { signal } = init
  signal?.throwIfAborted()
  const config = init.config === undefined ? undefined : parseSwarm(init.config, 'the swarm')
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
    const membership = await membershipOf(config, dataDir.path, { identity, keeping, attestation: init.attestation })
    const secret = membership?.discovery ?? swarmSecret(config as SecretSwarm)
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
    const quiet = dataDir.isSealed && init.neighbours !== false && !(await isInMemory(tmpdir()))
    const own = quiet ? { ...init, neighbours: false } : init
    service = new RunningSwarm({ init: own, identity, datastore, secret, membership, tag, seqFile, seq, undo })
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

/**
 * This machine's membership, where the swarm has members; undefined where a secret makes one.
 * @throws {InvalidMembershipError} {InvalidOptionError} when it has joined none, or another one than it is to be in
 */
async function membershipOf(
  config: SwarmConfig | undefined,
  dataDir: string,
  {
    identity,
    keeping,
    attestation
  }: {
    readonly identity: Identity
    readonly keeping: Keeping
    readonly attestation: AttestationOptions | undefined
  }
): Promise<Membership | undefined> {
  if (config?.format === 1) {
    if (attestation === undefined) return undefined
    throw new InvalidOptionError(
      `evidence of machines is for swarms with members, and ${config.name} is one of a secret: see skein init --authority`
    )
  }
  const file = await readMemberFile(dataDir)
  if (file === undefined) {
    if (config !== undefined) {
      throw new InvalidMembershipError(
        `${dataDir} has not joined the swarm ${config.name}: use skein join with an invitation`
      )
    }
    throw new InvalidOptionError(
      `${dataDir} has joined no swarm: use skein join with an invitation, or --swarm with a swarm file`
    )
  }
  const isOther =
    config !== undefined && (text64(file.authority) !== config.authority || text64(file.recovery) !== config.recovery)
  if (isOther)
    throw new InvalidMembershipError(`${dataDir} is a member of another swarm, ${file.name}: use another directory`)
  return new Membership({
    self: identity.id,
    file,
    items: await readLedgerFile(dataDir),
    keep: async (now, items) => {
      await keeping.write('what is known of members', ledgerPath(dataDir), ledgerFileBytes(items))
      await keeping.try('this membership', () => writeMemberFile(dataDir, now))
    },
    verify: verifyKey,
    openEpoch: epoch => openEpoch(epoch, identity.privateKey.raw.subarray(0, 32)),
    onWarning: message => keeping.warn(message),
    attestation
  })
}

/**
 * Whether a folder lies in memory, as Linux says of tmpfs. Elsewhere a notice for neighbours on this machine would tell the name of a peer
 * whose disk says nothing.
 */
async function isInMemory(folder: string): Promise<boolean> {
  const tmpfs = 0x01021994
  return (await statfs(folder).catch(() => undefined))?.type === tmpfs
}
