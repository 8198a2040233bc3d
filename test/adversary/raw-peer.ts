/**
 * Hosts that speak libp2p and Skein's handshake, and do with them what no `skein` does: each has what was found on a member's disk, whatever
 * certificate it is given, and believes everybody.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../../src/base/ids.ts'
import type { Protocol } from '../../src/base/protocol.ts'
import { Host } from '../../src/swarm/host.ts'
import { type Identity, identityOf } from '../../src/swarm/identity.ts'
import type { Channel } from '../../src/swarm/links.ts'
import type { MemberFile } from '../../src/swarm/member-file.ts'
import { swarmIdOf } from '../../src/trust/grant.ts'
import { keyOfPeer, type KeyText, keyText } from '../../src/trust/keys.ts'
import { Ledger } from '../../src/trust/ledger.ts'
import { verifyKey } from '../../src/trust/signing-key.ts'

export interface RawPeerInit {
  /** What was found on a disk: the secrets of handshakes. */
  readonly stolen: MemberFile
  /** What it shows, made for its own key or for another one. */
  readonly certificate: (own: KeyText) => Uint8Array
  /** @default a new one */
  readonly identity?: Identity
  /** Somebody does not admit it, or the other way round. */
  readonly onRefused?: (refusal: string) => void
}

export async function newIdentity(): Promise<Identity> {
  return identityOf(await generateKeyPair('Ed25519'))
}

export async function rawPeer({ stolen, certificate, onRefused, ...init }: RawPeerInit): Promise<Host> {
  const identity = init.identity ?? (await newIdentity())
  const ledger = new Ledger({
    swarm: swarmIdOf(stolen.authority, stolen.recovery),
    authority: keyText(stolen.authority),
    recovery: keyText(stolen.recovery),
    verify: verifyKey
  })
  const own = certificate(keyText(keyOfPeer(identity.id)))
  return Host.start({
    identity,
    secret: stolen.discovery,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    agent: 'rogue',
    members: {
      id: ledger.swarm,
      openSecrets: () => stolen.secrets.map(({ secret }) => secret),
      desk: {
        ledger,
        certificate: own,
        epoch: 1,
        secretDigest: new Uint8Array(),
        nowMs: () => Date.now(),
        heard: () => {},
        secrets: () => [],
        learnt: () => {}
      }
    },
    onRefused: (_peer, refusal) => onRefused?.(refusal)
  })
}

/** Connects a raw host to a peer. @throws what libp2p says where it is refused */
export async function dialAt(host: Host, addresses: readonly string[]): Promise<PeerId> {
  return host.dial(
    addresses.map(text => multiaddr(text)),
    { signal: AbortSignal.timeout(5_000) }
  )
}

/** A channel, all that comes on it, and its end. */
export interface Line {
  readonly channel: Channel
  readonly frames: Uint8Array[]
  /** Why it ended; undefined where its other end closed it. */
  readonly ended: Promise<Error | undefined>
}

/** Opens a channel past everything that a `skein` would ask itself first. */
export async function lineTo(host: Host, peer: PeerId, protocol: Protocol): Promise<Line> {
  const channel = await host.open(peer, protocol, { signal: AbortSignal.timeout(5_000) })
  const frames: Uint8Array[] = []
  const { promise: ended, resolve } = Promise.withResolvers<Error | undefined>()
  channel.receive({ onFrame: frame => frames.push(frame.slice()), onClose: resolve })
  return { channel, frames, ended }
}

/** What comes first: the next frame, or the end of the line. */
export async function answerOf({ frames, ended }: Line, ms = 5_000): Promise<Uint8Array | 'ended'> {
  const limit = performance.now() + ms
  let isOver = false
  void ended.then(() => {
    isOver = true
  })
  while (frames.length === 0 && !isOver) {
    if (performance.now() > limit) throw new Error(`nothing came within ${ms} ms`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return frames.shift() ?? 'ended'
}
