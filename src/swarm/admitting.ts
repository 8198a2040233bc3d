/**
 * Connections of a swarm with members: Noise under the secret of an epoch, then an admission, before anything else is said over it. For members
 * that have slept through several epochs there is a door, which everybody finds who knows the swarm, and behind which there is an admission
 * and nothing else: who is admitted gets the newest secret there, and connects again.
 */
import type { ConnectionEncrypter, MessageStream, PeerId as Libp2pPeerId, SecuredConnection } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js'
import type { PeerId } from '../base/ids.ts'
import { NotAdmittedError, ProtocolError } from '../errors.ts'
import { Admission, type Desk, refusing } from '../trust/admission.ts'
import { keyOfPeer, keyText } from '../trust/keys.ts'
import { admissionMs } from '../trust/limits.ts'
import { admissionFramesMax, admissionPartingMs, trustFrameBytesMax } from './membership-limits.ts'
import type { HostInit } from './host-init.ts'
import type { HandshakeFailure } from './noise.ts'
import { swarmNoise } from './noise.ts'

/** What connections of members are made with. */
export interface MemberDoors {
  /** The swarm's id: 64 hex digits. */
  readonly id: string
  readonly desk: Desk
  /** Secrets that open a handshake now, the newest first. */
  openSecrets(): readonly Uint8Array[]
  /** Another process than before is at the other end of what is said with a member. */
  replaced?(peer: PeerId): void
}

export interface AdmittingInit {
  readonly doors: MemberDoors
  readonly onFailed: (how: HandshakeFailure) => void
  /** Somebody was refused, or has refused this peer. */
  readonly onRefused: (peer: PeerId, refusal: string, byRemote: boolean) => void
}

type Components = Parameters<ReturnType<typeof swarmNoise>>[0]

/** The encrypters of one node, which change with the epochs. */
export class Admitting {
  readonly #init: AdmittingInit
  #components: Components | undefined
  #bySecret = new Map<string, ConnectionEncrypter>()

  constructor(init: AdmittingInit) {
    this.#init = init
  }

  /** For libp2p's `connectionEncrypters`: it asks for each of them once. {@link refresh} puts all of them in their places. */
  get first(): (components: Components) => ConnectionEncrypter {
    return components => {
      this.#components = components
      return this.#encrypters()[0]!
    }
  }

  /** Has a node's next handshakes offer the secrets of this moment, the newest first, and the door last. @param node a libp2p node */
  refresh(node: object): void {
    const { components } = node as {
      components?: { upgrader?: { connectionEncrypters?: Map<string, ConnectionEncrypter> } }
    }
    const offered = components?.upgrader?.connectionEncrypters
    // Where libp2p keeps them is its own affair (libp2p 3, upgrader.js): a test holds that it is there.
    if (!(offered instanceof Map)) throw new Error('libp2p keeps its encrypters elsewhere')
    offered.clear()
    for (const encrypter of this.#encrypters()) offered.set(encrypter.protocol, encrypter)
  }

  #encrypters(): ConnectionEncrypter[] {
    const { doors } = this.#init
    const open = new Map<string, ConnectionEncrypter>()
    for (const secret of [...doors.openSecrets(), doorSecret(doors.id)]) {
      const name = epochName(secret)
      open.set(
        name,
        this.#bySecret.get(name) ?? this.#encrypter(secret, name, name === epochName(doorSecret(doors.id)))
      )
    }
    this.#bySecret = open
    return [...open.values()]
  }

  #encrypter(secret: Uint8Array, name: string, isDoor: boolean): ConnectionEncrypter {
    const { onFailed } = this.#init
    const admit = (secured: SecuredConnection, isDialler: boolean): Promise<void> =>
      this.#admit(secured, { isDialler, isDoor })
    const noise = swarmNoise(secret, onFailed, { protocol: `/skein-noise/${name}`, admit })
    return noise(this.#components!)
  }

  /** @throws {NotAdmittedError} after the other end was told why, or where it was a door */
  async #admit(
    secured: SecuredConnection,
    { isDialler, isDoor }: { isDialler: boolean; isDoor: boolean }
  ): Promise<void> {
    const peer = peerOf(secured.remotePeer)
    const refusal = await this.#meet(secured.connection, peer, isDialler)
    if (refusal === undefined && !isDoor) return
    // What was said last is read before the connection ends.
    await parting(secured.connection)
    if (refusal === undefined)
      throw new NotAdmittedError(`${peer} is a member, and this was the door: it connects again`)
    this.#init.onRefused(peer, refusal.refusal, refusal.byRemote)
    throw new NotAdmittedError(refusal.byRemote ? `${peer} refuses this peer: ${refusal.refusal}` : refusal.refusal)
  }

  async #meet(
    stream: MessageStream,
    peer: PeerId,
    isDialler: boolean
  ): Promise<{ refusal: string; byRemote: boolean } | undefined> {
    const { desk } = this.#init.doors
    const signal = AbortSignal.timeout(admissionMs)
    const frames = lpStream(stream, { maxDataLength: trustFrameBytesMax, maxBufferSize: 2 * trustFrameBytesMax })
    const admission = new Admission({ isDialler, remote: keyText(keyOfPeer(peer)), desk })
    try {
      if (isDialler) await frames.write(admission.begin(), { signal })
      for (let frame = 0; frame < admissionFramesMax; frame++) {
        const { send, outcome } = admission.take((await frames.read({ signal })).subarray())
        if (send !== undefined) await frames.write(send, { signal })
        if (outcome !== undefined) return outcome.isAdmitted ? undefined : outcome
      }
    } catch (error) {
      if (signal.aborted) return { refusal: `it has shown no certificate within ${admissionMs} ms`, byRemote: false }
      const { message } = error as Error
      if (!(error instanceof ProtocolError))
        return { refusal: `it hung up in its admission: ${message}`, byRemote: false }
      await frames.write(refusing(message), { signal }).catch(() => {})
      return { refusal: message, byRemote: false }
    } finally {
      frames.unwrap()
    }
    return { refusal: 'its admission has no end', byRemote: false }
  }
}

/** A secret that everybody knows who knows the swarm: it keeps strangers' noise out, and nothing else. */
function doorSecret(swarm: string): Uint8Array {
  return sha256(concatBytes(new TextEncoder().encode('skein door'), new TextEncoder().encode(swarm)))
}

/** What a secret is known by in public: it tells nothing about it. */
export function epochName(secret: Uint8Array): string {
  return bytesToHex(sha256(concatBytes(new TextEncoder().encode('skein epoch name'), secret))).slice(0, 16)
}

function peerOf(id: Libp2pPeerId): PeerId {
  return id.toString() as PeerId
}

/** Waits until the other end has closed, or for as long as it takes a frame to arrive. */
async function parting(stream: MessageStream): Promise<void> {
  if (stream.status !== 'open') return
  await new Promise<void>(resolve => {
    const timer = setTimeout(resolve, admissionPartingMs)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    stream.addEventListener('close', done, { once: true })
    stream.addEventListener('remoteCloseWrite', done, { once: true })
  })
}

/** What makes a host's connections in a swarm with members; undefined in any other. */
export function admittingOf(
  { members, onRefused }: Pick<HostInit, 'members' | 'onRefused'>,
  onFailed: (how: HandshakeFailure) => void
): Admitting | undefined {
  if (members === undefined) return undefined
  return new Admitting({ doors: members, onFailed, onRefused: (...refusal) => onRefused?.(...refusal) })
}
