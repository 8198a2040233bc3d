/** Who is let in: raw hosts with certificates that are not good, or without, while honest members answer (protocols/trust.md, T1 to T5, T12). */
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { sha256 } from '@noble/hashes/sha2.js'
import { createLibp2p, type Libp2p } from 'libp2p'
import { yamux } from '@chainsafe/libp2p-yamux'
import { lpStream } from '@libp2p/utils'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TrustFrame } from '../../protocols/trust.ts'
import { revokeMember } from '../../src/peer/revoking.ts'
import { epochName } from '../../src/swarm/admitting.ts'
import { readAuthorityFile } from '../../src/swarm/authority-file.ts'
import { trustFrameBytesMax } from '../../src/swarm/membership-limits.ts'
import type { MemberFile } from '../../src/swarm/member-file.ts'
import { swarmNoise } from '../../src/swarm/noise.ts'
import { type Grant, issue, signedGrants, swarmIdOf } from '../../src/trust/grant.ts'
import { keyOfPeer, type KeyText, keyText } from '../../src/trust/keys.ts'
import { admissionMs } from '../../src/trust/limits.ts'
import { type SigningKey, signingKey } from '../../src/trust/signing-key.ts'
import { dialAt, newIdentity, rawPeer } from './raw-peer.ts'
import { Scene } from './scene.ts'

const hourMs = 3_600_000
let scene: Scene
let stolen: MemberFile
let authority: SigningKey

beforeAll(async () => {
  scene = await Scene.start()
  stolen = await scene.fileOf('a')
  authority = (await readAuthorityFile(scene.authority)).key
}, 120_000)
afterAll(() => scene?.stop())

/** A grant of this swarm for a peer, as its authority would sign it now. */
function grantFor(subject: KeyText, change: Partial<Grant> = {}): Grant {
  return {
    swarm: swarmIdOf(stolen.authority, stolen.recovery),
    issuer: authority.key,
    subject,
    kind: 'peer',
    serial: randomBytes(16).toString('hex'),
    notBeforeMs: Date.now() - hourMs,
    notAfterMs: Date.now() + hourMs,
    roles: ['driver', 'stage'],
    powers: [],
    labels: [],
    ...change
  }
}

/** Comes with a certificate. @returns what it is told */
async function comeWith(
  certificate: (own: KeyText) => Uint8Array,
  { file = stolen, identity = undefined as Awaited<ReturnType<typeof newIdentity>> | undefined } = {}
): Promise<string> {
  const refusals: string[] = []
  const onRefused = (text: string): number => refusals.push(text)
  const host = await rawPeer({ stolen: file, certificate, onRefused, ...(identity === undefined ? {} : { identity }) })
  try {
    for (const { addresses } of scene.peers) await expect(dialAt(host, addresses)).rejects.toThrow()
    expect(host.connectedPeers.size).toBe(0)
  } finally {
    await host.stop()
  }
  return refusals.join('\n')
}

const long = 'a'.repeat(80)
const stranger = signingKey()
/** What is wrong with a certificate, the certificate, and what is said of it. */
const certificates: [string, (own: KeyText) => Uint8Array, string][] = [
  ['that has ended', own => issue([], grantFor(own, { notAfterMs: Date.now() - 1_000 }), authority.sign), 'ended on'],
  [
    'that begins tomorrow',
    own =>
      issue(
        [],
        grantFor(own, { notBeforeMs: Date.now() + 20 * hourMs, notAfterMs: Date.now() + 24 * hourMs }),
        authority.sign
      ),
    'begins on'
  ],
  ['that was copied, on another key', () => stolen.certificate, 'has no certificate of this swarm'],
  [
    'of another swarm',
    own => issue([], grantFor(own, { swarm: '00'.repeat(32), issuer: stranger.key }), stranger.sign),
    'of another swarm'
  ],
  [
    'that it has signed itself',
    own => issue([], grantFor(own, { issuer: stranger.key }), stranger.sign),
    'signed by no authority of this swarm'
  ],
  [
    'that names the authority and is signed by somebody else',
    own => issue([], grantFor(own), stranger.sign),
    'signature'
  ],
  [
    'that a member has signed, who may not',
    own => {
      const member = signingKey()
      const above = issue([], grantFor(member.key), authority.sign)
      return issue(signedGrants(above), grantFor(own, { issuer: member.key }), member.sign)
    },
    ''
  ],
  [
    'with a role that its invitation had not',
    own => {
      const invitation = signingKey()
      const given = grantFor(invitation.key, { kind: 'invitation', roles: ['viewer'] })
      const above = issue([], given, authority.sign)
      const asked = grantFor(own, { issuer: invitation.key, serial: given.serial, roles: ['driver'] })
      return issue(signedGrants(above), asked, invitation.sign)
    },
    ''
  ],
  ['that is none', () => new Uint8Array(64).fill(7), ''],
  ['with a label of too many letters', own => issue([], grantFor(own, { labels: [long] }), authority.sign), '']
]

describe('a stranger with stolen secrets', () => {
  it.each(certificates)(
    'and a certificate %s is refused by every member, and told why',
    async (_, certificate, why) => {
      const before = scene.counted('refused admission')
      const told = await scene.unharmed(() => comeWith(certificate))
      expect(told).toContain(why)
      expect(scene.counted('refused admission')).toBeGreaterThanOrEqual(before + scene.peers.length)
    }
  )

  it('and the certificate and the key of a member that was revoked is refused, and told so', async () => {
    const lost = await scene.join('lost', ['driver', 'stage'])
    const [file, identity] = [await scene.fileOf('lost'), await scene.identityOf('lost')]
    const items = await revokeMember(lost, {
      authority: scene.authority,
      dataDir: scene.dirOf('lost'),
      reason: 'taken'
    })
    const told = await scene.unharmed(async () => {
      scene.driver.learnMembers(items)
      return comeWith(() => file.certificate, { file, identity })
    })
    expect(told).toContain('was revoked: taken')
  })
})

/** A node that does in an admission what it likes. @returns why it was let go, and what it was told before */
async function comeAs(
  admit: (frames: ReturnType<typeof lpStream>, own: KeyText) => Promise<void>,
  { secret = doorSecret(), waitMs = 6_000 } = {}
): Promise<{ readonly refused: string; readonly ended: boolean }> {
  const identity = await newIdentity()
  let refused = ''
  const noise = swarmNoise(secret, () => {}, {
    protocol: `/skein-noise/${epochName(secret)}`,
    admit: async ({ connection }) => {
      const frames = lpStream(connection, { maxDataLength: trustFrameBytesMax })
      await admit(frames, keyText(keyOfPeer(identity.id))).catch(() => {})
      for (let i = 0; i < 5 && refused === ''; i++) {
        const read = await frames.read({ signal: AbortSignal.timeout(waitMs) }).catch(() => undefined)
        if (read === undefined) break
        refused = TrustFrame.decode(read.subarray()).verdict?.refusal ?? ''
      }
      frames.unwrap()
    }
  })
  const node: Libp2p = await createLibp2p({
    privateKey: identity.privateKey,
    transports: [tcp()],
    connectionEncrypters: [noise],
    streamMuxers: [yamux()],
    connectionManager: { addressDialTimeout: 10_000, dialTimeout: 10_000, outboundUpgradeTimeout: 10_000 } as object
  })
  try {
    const to = multiaddr(scene.driver.addresses[0]!)
    const connection = await node.dial(to, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined)
    const stream = await connection
      ?.newStream('/skein/records/1.2.0', { signal: AbortSignal.timeout(2_000) })
      .catch(() => undefined)
    return { refused, ended: stream === undefined }
  } finally {
    await node.stop()
  }
}

function doorSecret(): Uint8Array {
  const id = swarmIdOf(stolen.authority, stolen.recovery)
  return sha256(new Uint8Array([...new TextEncoder().encode('skein door'), ...new TextEncoder().encode(id)]))
}

/** What an honest member says in an admission, recorded by another member that it has met. */
async function recorded(): Promise<Uint8Array[]> {
  await scene.join('recorder', ['driver'])
  const [file, identity] = [await scene.fileOf('recorder'), await scene.identityOf('recorder')]
  const said: Uint8Array[] = []
  const secret = (await scene.fileOf('driver')).secrets[0]!.secret
  const noise = swarmNoise(secret, () => {}, {
    protocol: `/skein-noise/${epochName(secret)}`,
    admit: async ({ connection }) => {
      const frames = lpStream(connection, { maxDataLength: trustFrameBytesMax })
      const hello = {
        certificate: { grants: signedGrants(file.certificate) },
        timeMs: Date.now(),
        digest: new Uint8Array(32),
        epoch: 1,
        secret: new Uint8Array()
      }
      const signal = AbortSignal.timeout(3_000)
      const hear = async (): Promise<void> => void said.push((await frames.read({ signal })).subarray().slice())
      await frames.write(TrustFrame.encode({ hello, items: [], secrets: [] }), { signal })
      await hear()
      await frames.write(TrustFrame.encode({ known: { digests: new Uint8Array() }, items: [], secrets: [] }), {
        signal
      })
      await hear()
      await frames.write(TrustFrame.encode({ verdict: { refusal: '' }, items: [], secrets: [] }), { signal })
      frames.unwrap()
    }
  })
  const node = await createLibp2p({
    privateKey: identity.privateKey,
    transports: [tcp()],
    connectionEncrypters: [noise],
    streamMuxers: [yamux()]
  })
  await node.dial(multiaddr(scene.driver.addresses[0]!), { signal: AbortSignal.timeout(5_000) })
  await node.stop()
  return said
}

describe('a stranger at the door', () => {
  it('that says again what an honest member said in an admission is refused: the certificate is not of its key', async () => {
    const said = await recorded()
    expect(said).toHaveLength(2)
    expect(TrustFrame.decode(said[0]!).hello).toBeDefined()
    expect(TrustFrame.decode(said[1]!).verdict?.refusal).toBe('')
    const { refused, ended } = await scene.unharmed(() =>
      comeAs(async frames => {
        for (const frame of said) await frames.write(frame)
      })
    )
    expect(refused).toContain('has no certificate of this swarm')
    expect(ended).toBe(true)
  })

  const verdict = TrustFrame.encode({ verdict: { refusal: '' }, items: [], secrets: [] })
  const hello = (own: KeyText): Uint8Array =>
    TrustFrame.encode({
      hello: {
        certificate: { grants: signedGrants(issue([], grantFor(own), authority.sign)) },
        timeMs: Date.now(),
        digest: new Uint8Array(32),
        epoch: 1,
        secret: new Uint8Array()
      },
      items: [],
      secrets: []
    })

  it.each<[string, (frames: ReturnType<typeof lpStream>, own: KeyText) => Promise<void>, string]>([
    ['admits itself', async frames => frames.write(verdict), 'begins without a hello'],
    ['sends what is no frame', async frames => frames.write(new Uint8Array(100).fill(255)), 'cannot be read'],
    ['sends an empty frame', async frames => frames.write(new Uint8Array()), 'begins without a hello'],
    [
      'sends two hellos with a good certificate',
      async (frames, own) => {
        await frames.write(hello(own))
        await frames.write(hello(own))
      },
      'two hellos'
    ],
    [
      'gives secrets that nobody has begun',
      async frames =>
        frames.write(TrustFrame.encode({ items: [], secrets: [{ epoch: 9, secret: new Uint8Array(32) }] })),
      'begins without a hello'
    ]
  ])('that %s is refused', async (_, admit, why) => {
    const { refused, ended } = await scene.unharmed(() => comeAs(admit))
    expect(refused).toContain(why)
    expect(ended).toBe(true)
  })

  it('that says nothing at all is let go within the time of an admission', async () => {
    const from = scene.warnings.length
    const startMs = performance.now()
    const { ended } = await scene.unharmed(() => comeAs(async () => {}))
    expect(ended).toBe(true)
    await scene.warned(`no certificate within ${admissionMs} ms`, from)
    expect(performance.now() - startMs).toBeLessThan(30_000)
  })

  it('that says a frame is larger than any is let go before it has come', async () => {
    const { ended } = await scene.unharmed(() =>
      comeAs(async frames => {
        const stream = frames.unwrap()
        // 2^28 bytes, as its length says.
        stream.send(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x01))
        stream.send(new Uint8Array(1 << 16))
      })
    )
    expect(ended).toBe(true)
  })

  it('that goes on without an admission, as if there were none, is let go', async () => {
    const identity = await newIdentity()
    const secret = (await scene.fileOf('driver')).secrets[0]!.secret
    for (const one of [secret, doorSecret()]) {
      const node = await createLibp2p({
        privateKey: identity.privateKey,
        transports: [tcp()],
        connectionEncrypters: [swarmNoise(one, () => {}, { protocol: `/skein-noise/${epochName(one)}` })],
        streamMuxers: [yamux()]
      })
      await scene.unharmed(async () => {
        const signal = AbortSignal.timeout(8_000)
        const connection = await node.dial(multiaddr(scene.driver.addresses[0]!), { signal }).catch(() => undefined)
        await expect(
          connection?.newStream('/skein/records/1.2.0', { signal }) ?? Promise.reject(new Error('refused'))
        ).rejects.toThrow()
      })
      await node.stop()
    }
  })
})
