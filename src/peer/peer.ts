/** How a peer starts: the one place that makes everything. */
import { type End, endAll } from '../base/ends.ts'
import { Keeping } from '../disk/keeping.ts'
import { openToAll } from '../disk/openness.ts'
import { whyNotAllSealed } from '../disk/vault.ts'
import { type EngineFactory, engineFor } from '../engine/factory.ts'
import { onnxEngine } from '../engine/onnx/factory.ts'
import { wasmEngine } from '../engine/wasm/factory.ts'
import { BudgetTooSmallError, EngineError, InvalidOptionError } from '../errors.ts'
import { openLibrary } from '../model/library.ts'
import type { ModelStore } from '../model/store.ts'
import { asDecoder, type StoredModel } from '../model/stored.ts'
import { checkDraft } from '../serving/draft-service.ts'
import { checkServableModel } from '../serving/servable.ts'
import { budgetsOf, shapeOf } from '../serving/shape.ts'
import { openDataDir } from '../swarm/data-dir.ts'
import { readHardware } from '../swarm/hardware.ts'
import { createSwarm } from '../swarm/service.ts'
import { readSwarmFile, type SwarmConfig } from '../swarm/swarm-file.ts'
import type { Peer, PeerInit } from './api.ts'
import { attestationOf } from './attesting.ts'
import { membershipWarnings } from './membership-warnings.ts'
import { chooseModel, chooseModels, type ChosenModel } from './choose-models.ts'
import { minBudgetBytes, minDiskBytes } from './limits.ts'
import { startAudit } from './own-audit.ts'
import { refutedSentence } from './own-checks.ts'
import { OwnScrubbing } from './own-scrubbing.ts'
import { RunningPeer } from './running-peer.ts'
import { knownSignatures, whyUnsigned } from './model-signing.ts'
import { type TrustedSigners, trustedSigners } from './trusted-signers.ts'

/**
 * Starts a peer. It returns once the peer listens and is known to itself; other peers are found, and stages loaded,
 * from then on.
 *
 * @throws {InvalidOptionError} {BudgetTooSmallError} {InvalidSwarmError} {DataDirectoryError} {UnknownModelError}
 *   {ListenError} {EngineError} {AttestationError}
 * @throws {DuplicateIdentityError} when another process has this peer's identity and has run for longer
 * @throws the signal's reason.
 */
export async function createPeer(init: PeerInit): Promise<Peer> {
  const signal = init.signal ?? new AbortController().signal
  const {
    threads = 1,
    memoryBytes = Math.floor(readHardware().memoryBytes / 2),
    engines = [wasmEngine, onnxEngine],
    diskBytes
  } = init
  checkInit({ memoryBytes, diskBytes, threads, traceEvery: init.traceEvery, engines })
  const scrub = new OwnScrubbing({ all: init.scrub, country: init.scrubCountry })
  // A file in a sealed directory is read once that is open.
  const early = init.seal === undefined ? await configOf(init) : undefined
  /** What has been started, to be ended in reverse. */
  const ends: End[] = []
  let peer: RunningPeer | undefined
  let yielding: AbortSignal | undefined
  const warn = (message: string): void => {
    init.onWarning?.(message)
    peer?.dispatchEvent(new CustomEvent('warning', { detail: { message } }))
  }
  const keeping = new Keeping(warn)
  try {
    const dataDir = await openDataDir(init.dataDir, { seal: init.seal })
    ends.push(() => dataDir.close())
    const config = early ?? (await configOf(init))
    for (const sentence of await whatIsOpen(init, dataDir.path)) warn(sentence)
    const { signers, store } = await modelsHere(init, dataDir.path)
    const chosen = init.draft === undefined ? undefined : await chooseModel(store, init.draft)
    const draft = typeof chosen === 'object' ? asDecoder(chosen) : chosen
    const models = await modelsBeside(draft, { store, init: { ...init, memoryBytes }, engines, warn })
    const swarm = await createSwarm({
      dataDir,
      ...(config === undefined ? {} : { config }),
      keeping,
      onWarning: warn,
      signal,
      ...(await attestationOf(init)),
      ...networkOf(init)
    })
    ends.push(() => swarm.stop())
    yielding = swarm.yielding
    signers?.follow(swarm.membership)
    const mayServe = swarm.membership?.may(swarm.id, 'stage') !== false
    for (const sentence of await membershipWarnings(swarm, [dataDir.path, init.swarm])) warn(sentence)
    if (!mayServe && memoryBytes > 0) warn('this machine holds no layers: its certificate does not have the role stage')
    const audit = init.audit === true ? await startAudit({ swarm, dataDir: dataDir.path, keeping }) : undefined
    ends.push(async () => audit?.stop())
    peer = new RunningPeer({
      swarm,
      swarmName: config?.name ?? swarm.membership?.name ?? '',
      store,
      signatures: knownSignatures(store, keeping, signers),
      whyUnsigned: signers && (model => whyUnsigned(model, store.own, signers)),
      engines,
      keeping,
      warn,
      traceEvery: init.traceEvery,
      audit,
      scrub
    })
    await peer.start({
      dataDir: dataDir.path,
      models: mayServe ? models : [],
      draft,
      budgetBytes: mayServe ? memoryBytes : 0,
      diskBytes,
      threads,
      onRefuted: init.checkWork === false ? undefined : refuted => warn(refutedSentence(refuted)),
      signal: AbortSignal.any([signal, swarm.yielding]),
      ends
    })
    return peer
  } catch (error) {
    // Why it did not start is what counts.
    await endAll(ends).catch(() => {})
    yielding?.throwIfAborted()
    throw error
  }
}

/** The models on this machine, and whose signature they need. @throws {InvalidOptionError} {InvalidKeyError} {DataDirectoryError} */
async function modelsHere(
  { requireSigned }: PeerInit,
  dataDir: string
): Promise<{ readonly signers: TrustedSigners | undefined; readonly store: ModelStore }> {
  const signers = requireSigned === undefined ? undefined : await trustedSigners(requireSigned, dataDir)
  const store = await openLibrary(dataDir, { refusal: signers && ((model, own) => whyUnsigned(model, own, signers)) })
  return { signers, store }
}

/** A sentence for each thing that others can read and should not. */
async function whatIsOpen({ swarm, seal }: PeerInit, dataDir: string): Promise<string[]> {
  const open = [
    await openToAll('data directory', dataDir),
    typeof swarm === 'string' ? await openToAll('swarm file', swarm) : undefined,
    seal === undefined ? undefined : await openToAll('key that seals', seal),
    await whyNotAllSealed(dataDir)
  ]
  return open.filter(sentence => sentence !== undefined)
}

/** Where it listens, and how it looks for others. */
function networkOf({ listen, bootstrap, mdns }: PeerInit): Pick<PeerInit, 'listen' | 'bootstrap' | 'mdns'> {
  return {
    ...(listen === undefined ? {} : { listen }),
    ...(bootstrap === undefined ? {} : { bootstrap }),
    ...(mdns === undefined ? {} : { mdns })
  }
}

async function configOf({ swarm }: PeerInit): Promise<SwarmConfig | undefined> {
  return typeof swarm === 'string' ? readSwarmFile(swarm) : swarm
}

/**
 * The models to serve beside what drafts, each of which fits into what that leaves of the budget.
 * @throws as {@link createPeer}
 */
async function modelsBeside(
  draft: StoredModel | string | undefined,
  {
    store,
    init,
    engines,
    warn
  }: {
    readonly store: ModelStore
    readonly init: PeerInit & { readonly memoryBytes: number }
    readonly engines: readonly EngineFactory[]
    readonly warn: (message: string) => void
  }
): Promise<ChosenModel[]> {
  const { memoryBytes } = init
  const here = typeof draft === 'string' ? undefined : draft
  const bytes = here === undefined ? 0 : checkDraft(here, { engines, budgetBytes: memoryBytes }).bytes
  const models = await chooseModels(store, init, here)
  try {
    for (const { model, pinned } of models) {
      if (typeof model !== 'string') checkServableModel(model, { engines, budgetBytes: memoryBytes - bytes, pinned })
    }
  } catch (error) {
    const isNamed = init.model !== undefined || init.models !== undefined || init.layers !== undefined
    if (here === undefined || isNamed || !(error instanceof BudgetTooSmallError)) throw error
    warn(`${error.message}; beside its draft model this peer serves none`)
    return []
  }
  return models
}

function checkInit({
  memoryBytes,
  diskBytes,
  threads,
  traceEvery = 0,
  engines
}: {
  memoryBytes: number
  diskBytes: number | undefined
  threads: number
  traceEvery?: number | undefined
  engines: readonly EngineFactory[]
}): void {
  if (engines.length === 0) throw new InvalidOptionError('a peer needs one engine or more, not an empty list')
  if (!(Number.isSafeInteger(memoryBytes) && (memoryBytes >= minBudgetBytes || memoryBytes === 0))) {
    throw new InvalidOptionError(
      `the memory budget must be a whole number of bytes, at least ${minBudgetBytes} or 0 for no layers, not ${memoryBytes}`
    )
  }
  if (diskBytes !== undefined && !(Number.isSafeInteger(diskBytes) && diskBytes >= minDiskBytes)) {
    throw new InvalidOptionError(
      `the disk budget must be a whole number of bytes, at least ${minDiskBytes}, not ${diskBytes}`
    )
  }
  if (!(Number.isSafeInteger(traceEvery) && traceEvery >= 0)) {
    throw new InvalidOptionError(`traceEvery must be a whole number from 0, not ${traceEvery}`)
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1)) {
    throw new InvalidOptionError(`threads must be a positive whole number, not ${threads}`)
  }
}

/**
 * Memory budgets, in bytes, for so many peers that need one another: together they hold the model exactly once.
 *
 * @param engines as with {@link PeerInit.engines}.
 * @throws {BudgetTooSmallError} when the model has fewer layers than that. @throws {EngineError} when no engine supports it.
 */
export function splitBudgets(
  { manifest }: Pick<StoredModel, 'manifest'>,
  peers: number,
  engines: readonly EngineFactory[] = [wasmEngine, onnxEngine]
): number[] {
  const found = engineFor(engines, manifest)
  if ('refusal' in found) throw new EngineError(found.refusal)
  return budgetsOf(shapeOf(manifest, found.factory.footprint(manifest)), peers)
}
