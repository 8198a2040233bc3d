/** Answers in a swarm where layers count only of machines that give evidence of themselves. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  createPeer,
  importModel,
  initMembers,
  inviteMember,
  joinSwarm,
  type Peer,
  type PeerInit,
  type Role
} from '../../src/index.ts'
import { tpmAttester } from '../../src/swarm/attester-service.ts'
import type { Attester } from '../../src/trust/attestation.ts'
import { putMeasured, takeMeasured } from '../measured.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { needs } from '../needs.ts'
import { scratchFolders } from '../scratch.ts'
import { type SoftTpm, startTpm, whyNoTpm } from '../swtpm.ts'

describe('a swarm that asks for evidence', needs(whyNoTpm), () => {
  const scratch = scratchFolders(afterAll)
  const peers: Peer[] = []
  const warnings: string[] = []
  let tpm: SoftTpm
  let attester: Attester
  let root = ''
  let model = ''

  beforeAll(async () => {
    root = await scratch()
    tpm = await startTpm(await scratch())
    attester = await tpmAttester(tpm)
    await initMembers({ file: join(root, 'swarm.json'), authority: join(root, 'authority.key') })
    const source = await scratch()
    await writeTiny(source)
    model = await scratch()
    await importModel({ source, dataDir: model, name: 'tiny' })
  }, 60_000)
  afterAll(async () => {
    await Promise.all(peers.splice(0).map(peer => peer.stop()))
    tpm?.stop()
  })

  async function start(name: string, roles: Role[], init: Partial<PeerInit>): Promise<Peer> {
    const dataDir = join(root, name)
    const attestKey = init.attest === undefined ? undefined : attester.key
    await joinSwarm(await inviteMember(join(root, 'authority.key'), { roles, lifeMs: 3_600_000, attestKey }), dataDir)
    const serves = init.memoryBytes !== 0
    if (serves) await cp(join(model, 'models'), join(dataDir, 'models'), { recursive: true })
    putMeasured(dataDir)
    const peer = await createPeer({
      ...{
        dataDir,
        memoryBytes: 64e6,
        mdns: false,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        ...(serves ? { model: 'tiny' } : {})
      },
      bootstrap: peers.flatMap(({ addresses }) => [...addresses]),
      ...init
    })
    peers.push(peer)
    takeMeasured(dataDir)
    return peer
  }

  it('goes on with those that are attested, and names the others', { timeout: 120_000 }, async () => {
    const driver = await start('driver', ['driver'], {
      memoryBytes: 0,
      requireAttested: { roles: ['stage', 'source'] },
      onWarning: text => warnings.push(text)
    })
    const alone = await start('alone', ['stage', 'source'], {})
    const covered = (peer: Peer): boolean =>
      peer.status().models.some(({ coverage }) => coverage.length > 0 && coverage.every(count => count > 0))
    // It serves all layers, as it sees it itself, and is nobody to this driver.
    await expect.poll(() => covered(alone), { timeout: 30_000 }).toBe(true)
    await expect
      .poll(() => driver.status().membership?.attestation.peers, { timeout: 15_000 })
      .toEqual([{ peer: alone.id, untilMs: null, refusal: expect.stringContaining('names no attestation key') }])
    expect(covered(driver)).toBe(false)
    expect(driver.status().peers.find(({ id }) => id === alone.id)).toMatchObject({ connected: true, budgetBytes: 0 })
    await expect(driver.generate('the fox', { model: 'tiny', maxTokens: 4, waitMs: 500 }).answer).rejects.toThrow()
    expect(warnings.filter(text => text.includes(alone.id))).toEqual([
      expect.stringContaining('does without the role stage, source here: its certificate names no attestation key')
    ])

    const attested = await start('attested', ['stage', 'source'], { attest: attester })
    await expect.poll(() => covered(driver), { timeout: 30_000 }).toBe(true)
    const hops: string[] = []
    const ids: number[] = []
    for await (const event of driver.generate('the fox', { model: 'tiny', maxTokens: 24, temperature: 0 }).events()) {
      if (event.event === 'route') hops.push(...event.hops.map(({ peer }) => peer))
      if (event.event === 'token') ids.push(event.id)
    }
    expect(ids).toHaveLength(24)
    expect(new Set(hops)).toEqual(new Set([attested.id]))
    const { attestation } = driver.status().membership!
    expect(attestation).toMatchObject({ attests: null, key: null, requires: ['stage', 'source'] })
    expect(attestation.peers.find(({ peer }) => peer === attested.id)).toMatchObject({ refusal: null })
    expect(attested.status().membership?.attestation).toMatchObject({ attests: 'tpm2', key: attester.key, peers: [] })
    expect(driver.status().violations).toEqual({})
  })

  it('is one with members: a secret vouches for no machine', async () => {
    const init = {
      dataDir: join(root, 'friends'),
      mdns: false,
      swarm: { format: 1, name: 'friends', secret: 'A'.repeat(43) }
    }
    await expect(createPeer({ ...init, attest: attester } as PeerInit)).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringContaining('evidence of machines is for swarms with members')
    })
    await expect(
      createPeer({ dataDir: join(root, 'driver-2'), mdns: false, requireAttested: { roles: ['gateway'] } })
    ).rejects.toThrow('not gateway: nobody asks a peer for that')
    await expect(
      createPeer({
        dataDir: join(root, 'driver-3'),
        mdns: false,
        requireAttested: { roles: ['stage'], registers: ['0,7'] }
      })
    ).rejects.toThrow("'0,7' names no registers")
  })
})
