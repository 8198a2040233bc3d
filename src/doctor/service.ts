/** Looks at everything that a peer needs, and says what is wrong. */
import type { EngineFactory } from '../engine/factory.ts'
import { wasmEngine } from '../engine/wasm/factory.ts'
import type { Status } from '../peer/status.ts'
import { type Answering, filesFindings } from './files.ts'
import { filesFacts, newestFileMs, readSwarm } from './files-service.ts'
import type { Finding } from './finding.ts'
import { clockFinding, machineFindings } from './machine.ts'
import { machineFacts } from './machine-service.ts'
import { membershipFindings } from './membership.ts'
import { membershipFacts } from './membership-service.ts'
import { networkFindings } from './network.ts'
import { networkFacts } from './network-service.ts'
import { runningFindings } from './running.ts'

/** What to look at. */
export interface ExamineInit {
  /** The directory of a peer, which need not exist, and may be in use. */
  readonly dataDir: string
  /** A swarm file: peers of that swarm are looked for, too. @default none */
  readonly swarm?: string
  /** Multiaddrs of TCP to listen at. @default ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'] */
  readonly listen?: readonly string[]
  /** What the peer of that directory says, where one runs and answers. @default none runs */
  readonly running?: Status | undefined
  /** Why the peer that runs there does not answer. */
  readonly silent?: string | undefined
  /** What computes. @default wasmEngine */
  readonly engine?: EngineFactory
  /** Ends the examination. */
  readonly signal?: AbortSignal
}

/**
 * Examines this machine and the directory of a peer: Node, processor, memory, clock, disk, swarm file, ports, interfaces, multicast,
 * and the peers that answer. It takes 2 s, or 12 s where a swarm is named of which nobody answers; it changes nothing.
 *
 * @returns findings, each with what to do where something is wrong
 * @throws the signal's reason
 */
export async function examine(init: ExamineInit): Promise<Finding[]> {
  const { dataDir, running, silent, engine = wasmEngine, listen = ['/ip4/0.0.0.0/tcp/0', '/ip6/::/tcp/0'] } = init
  const signal = init.signal ?? new AbortController().signal
  signal.throwIfAborted()
  const [wallMs, beginMs, fileMs] = [Date.now(), performance.now(), await newestFileMs(dataDir)]
  const swarm = init.swarm === undefined ? undefined : await readSwarm(init.swarm)
  const config = swarm === undefined || 'problem' in swarm ? undefined : swarm.config
  const [machine, files, network] = await Promise.all([
    machineFacts(engine, signal),
    filesFacts(dataDir, { swarm, isAnswered: running !== undefined }),
    networkFacts({ listen, swarm: config, signal })
  ])
  const answering: Answering = running !== undefined ? 'runs' : silent !== undefined ? { problem: silent } : 'none'
  const jumpMs = Date.now() - wallMs - (performance.now() - beginMs)
  return [
    ...machineFindings(machine),
    clockFinding({ wallMs, jumpMs, newestFileMs: fileMs }),
    ...filesFindings(files, answering),
    ...membershipFindings(typeof files.data === 'object' ? undefined : await membershipFacts(dataDir), wallMs),
    ...networkFindings(network, portsOf(running)),
    ...(running === undefined ? [] : runningFindings(running))
  ]
}

/** TCP ports at which the running peer listens. */
function portsOf(running: Status | undefined): number[] {
  const addresses = running?.peers.find(({ self }) => self)?.addresses ?? []
  return addresses.map(address => Number(/\/tcp\/(\d+)/.exec(address)?.[1]))
}
