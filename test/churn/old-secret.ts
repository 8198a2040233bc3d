/** Whether a peer still takes a secret that a captured machine has: asked below libp2p, by what its multistream-select answers. */
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Peer } from '../../src/index.ts'
import type * as admitting from '../../src/swarm/admitting.ts'
import type * as memberFile from '../../src/swarm/member-file.ts'
import type { ChurnPeer } from './peer.ts'

const dist = '../../dist/src/swarm'
const { epochName } = (await import(`${dist}/admitting.js`)) as typeof admitting
const { readMemberFile } = (await import(`${dist}/member-file.js`)) as typeof memberFile

export interface OldSecretInit {
  /** Whose disk was captured. */
  readonly peer: ChurnPeer
  /** Who is asked. */
  readonly at: Peer
  /** When it was revoked, on the clock of `performance.now()`. */
  readonly revokedMs: number
  readonly lookMs: number
  readonly signal: AbortSignal
}

/** ms from the revocation until a handshake with what is on that disk is refused; undefined when it still is not after `lookMs`. */
export async function openByOldSecret({
  peer,
  at,
  revokedMs,
  lookMs,
  signal
}: OldSecretInit): Promise<number | undefined> {
  const secret = (await readMemberFile(join(peer.init.dataDir)))?.secrets[0]?.secret
  if (secret === undefined) throw new Error(`${peer.init.name} has no secret on its disk`)
  const address = at.addresses.find(text => text.startsWith('/ip4/'))!
  const [, , host, , port] = address.split('/')
  while (performance.now() - revokedMs < lookMs) {
    if (!(await takes(Number(port), host!, `/skein-noise/${epochName(secret)}`))) return performance.now() - revokedMs
    await delay(50, undefined, { signal })
  }
  return undefined
}

/** Whether the listener agrees on this protocol (multistream-select 1.0.0: each line after its length). */
function takes(port: number, host: string, protocol: string): Promise<boolean> {
  const line = (text: string): Buffer => Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\n`)])
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host })
    let said = ''
    socket.setTimeout(3_000, () => socket.destroy(new Error('the listener says nothing')))
    socket.once('error', reject)
    socket.once('connect', () => socket.write(Buffer.concat([line('/multistream/1.0.0'), line(protocol)])))
    socket.on('data', chunk => {
      said += chunk.toString('latin1')
      const isTaken = said.includes(`${protocol}\n`)
      if (!isTaken && !said.includes('na\n')) return
      socket.removeAllListeners('error')
      socket.on('error', () => {})
      socket.destroy()
      resolve(isTaken)
    })
  })
}
