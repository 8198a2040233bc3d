/**
 * One member that floods, in a process of its own: `floods.ts` tells it on stdin which of its kinds it is to do until the next line, and ends it by
 * closing stdin. Arguments: its data directory, which has joined, and a file with whom it has in mind.
 */
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Host } from '../../src/swarm/host.ts'
import { loadIdentity } from '../../src/swarm/identity.ts'
import { readMemberFile } from '../../src/swarm/member-file.ts'
import { flood, type FloodKind, floodKinds, type Prey } from '../adversary/floods.ts'
import { dialAt, rawPeer } from '../adversary/raw-peer.ts'

const [dataDir, preyFile] = process.argv.slice(2) as [string, string]
const prey = JSON.parse(readFileSync(preyFile, 'utf8')) as Prey
const [stolen, identity] = [(await readMemberFile(dataDir))!, await loadIdentity(dataDir)]

const begin = (): Promise<Host> => rawPeer({ stolen, certificate: () => stolen.certificate, identity })
const host = await begin()
for (const { addresses } of prey.stages) await dialAt(host, addresses)

let ending = new AbortController()
let running: Promise<void> = Promise.resolve()
const lines = createInterface({ input: process.stdin })
process.on('uncaughtException', error => process.stderr.write(`the flooder: ${error.message}\n`))
process.on('unhandledRejection', error => process.stderr.write(`the flooder: ${(error as Error).message}\n`))
lines.on('line', line => {
  ending.abort(new Error('another line'))
  ending = new AbortController()
  const { signal } = ending
  const kind = floodKinds.find(each => each === line)
  running = running.then(async () => {
    if (kind !== undefined) await flooding(kind, signal)
    else if (line === 'spin') await spinning(signal)
  })
})
lines.on('close', () => process.exit())
process.stdout.write('ready\n')

/** Computes and sends nothing: what it costs others that a process which is never done runs on their machine. */
async function spinning(signal: AbortSignal): Promise<void> {
  const bytes = new Uint8Array(1 << 20)
  for (let n = 0; !signal.aborted; n++) {
    bytes.fill(n)
    await new Promise(resolve => setImmediate(resolve))
  }
}

async function flooding(kind: FloodKind, signal: AbortSignal): Promise<void> {
  // Who was put out comes back for the next one.
  for (const { peer, addresses } of prey.stages) {
    if (!host.connectedPeers.has(peer)) await dialAt(host, addresses).catch(() => {})
  }
  await flood(kind, { host, identity, again: begin }, prey, signal)
}
