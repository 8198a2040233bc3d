/** Peers that work only with models of a signer whom they believe. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  certifySigner,
  createPeer,
  importModel,
  initMembers,
  initSwarm,
  inviteMember,
  joinSwarm,
  makeSigningKeyFile,
  type Peer,
  readSigners,
  revokeKey,
  signModel,
  type StoredModel
} from '../../src/index.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { filesUnder } from '../files-under.ts'
import { livePeers } from './live-peers.ts'

const { folder, start } = livePeers('signed')
const signal = new AbortController().signal
const prompt = [1, 4, 5]
let dir: string
let key: string

beforeEach(async () => {
  dir = await folder()
  key = join(dir, 'signing.key')
  await makeSigningKeyFile(key)
})

async function importTiny(dataDir: string, name: string, seed: number): Promise<StoredModel> {
  const source = join(dir, `source-${seed}`)
  await writeTiny(source, { seed })
  return importModel({ source, dataDir, name })
}

const sign = (dataDir: string, model: string, keyFile = key) => signModel({ dataDir, model, keyFile, signal })
const ask = (peer: Peer, model: string) =>
  peer.generate(prompt, { model, maxTokens: 3, waitMs: 20_000 }).answer.then(({ ids }) => ids)
const served = (peer: Peer): string[] =>
  peer
    .status()
    .models.filter(({ coverage }) => coverage.every(times => times > 0))
    .map(({ name }) => name)
const serves = (peer: Peer, ...names: string[]) =>
  expect.poll(() => served(peer), { timeout: 30_000 }).toEqual(expect.arrayContaining(names))

/** What lies in a data directory of models. */
const modelFiles = async (dataDir: string): Promise<string[]> =>
  (await filesUnder(join(dataDir, 'models')).catch(() => [])).map(({ path }) => path)

it('asks for a model that is signed, and refuses another by name before anything of it is fetched', {
  timeout: 60_000
}, async () => {
  const swarm = await initSwarm(join(dir, 'swarm.json'))
  const giving = join(dir, 'giving')
  const right = await importTiny(giving, 'right', 1)
  const wrong = await importTiny(giving, 'wrong', 2)
  await sign(giving, 'right')
  const other = join(dir, 'other.key')
  await makeSigningKeyFile(other)
  await sign(giving, 'wrong', other)
  const source = await start({ swarm, dataDir: giving, models: [{ model: 'right' }, { model: 'wrong' }] })
  await serves(source, 'right', 'wrong')

  const dataDir = join(dir, 'asking')
  const asking = await start({ swarm, dataDir, memoryBytes: 0, requireSigned: [`${key}.pub`] })
  const refusal = {
    name: 'ModelSignatureError',
    message: expect.stringMatching(
      /^wrong \([0-9a-f]{12}\) is signed by [0-9a-f]{12}…, and by none of the keys that are/
    )
  }
  await expect(ask(asking, 'wrong')).rejects.toMatchObject(refusal)
  await expect(ask(asking, wrong.id)).rejects.toMatchObject(refusal)
  expect(await modelFiles(dataDir)).toEqual([])
  expect(await ask(asking, 'right')).toEqual(await ask(source, 'right'))
  expect((await modelFiles(dataDir)).join('\n')).toContain(`${right.id}.signatures`)

  // Who is to serve it says so for as long as it looks, and takes nothing either.
  const served = join(dir, 'serving')
  const [signer] = await readSigners([`${key}.pub`])
  const serving = await start({ swarm, dataDir: served, model: 'wrong', requireSigned: [signer!] })
  await expect.poll(() => serving.status().fetches[0]?.state, { timeout: 30_000 }).toContain('by none of the keys')
  expect(await modelFiles(served)).toEqual([])
})

it('serves what is here where its signer is known, there or at another peer, and passes over the rest', {
  timeout: 60_000
}, async () => {
  const swarm = await initSwarm(join(dir, 'swarm.json'))
  const [signed, bare] = [join(dir, 'signed'), join(dir, 'bare')]
  await Promise.all([importTiny(signed, 'right', 1), importTiny(bare, 'right', 1)])
  await importTiny(bare, 'wrong', 2)
  const requireSigned = [`${key}.pub`]
  await expect(createPeer({ swarm, dataDir: bare, mdns: false, requireSigned })).rejects.toMatchObject({
    name: 'UnknownModelError',
    message: expect.stringMatching(/unusable: right \(.*\) is not signed; unusable: wrong \(.*\) is not signed/)
  })
  await sign(signed, 'right')
  const source = await start({ swarm, dataDir: signed, requireSigned })
  await serves(source, 'right')
  // Its weights are here; who signed them it learns from the other one.
  const peer = await start({ swarm, dataDir: bare, model: 'right', requireSigned })
  await expect.poll(() => peer.status().fetches, { timeout: 30_000 }).toEqual([])
  await expect
    .poll(async () => readdir(join(bare, 'models', 'manifests')))
    .toContain(`${peer.status().models[0]!.id}.signatures`)
  await expect(ask(peer, 'wrong')).rejects.toMatchObject({
    name: 'ModelSignatureError',
    message: expect.stringMatching(/^wrong \([0-9a-f]{12}\) is not signed$/)
  })
  expect(await ask(peer, 'right')).toEqual(await ask(source, 'right'))
})

describe('in a swarm with members', () => {
  it('believes the authority, and a key for as long as the authority says so', { timeout: 90_000 }, async () => {
    const [file, authority] = [join(dir, 'swarm.json'), join(dir, 'authority.key')]
    await initMembers({ file, authority, name: 'fliers' })
    const member = async (name: string): Promise<string> => {
      const text = await inviteMember(authority, { roles: ['driver', 'stage', 'source'], lifeMs: 3_600_000 })
      await joinSwarm(text, join(dir, name))
      return join(dir, name)
    }
    const [giving, dataDir] = [await member('giving'), await member('asking')]
    await importTiny(giving, 'by-key', 1)
    await importTiny(giving, 'by-authority', 2)
    await sign(giving, 'by-key')
    await sign(giving, 'by-authority', authority)
    const source = await start({ dataDir: giving, models: [{ model: 'by-key' }, { model: 'by-authority' }] })
    await serves(source, 'by-key', 'by-authority')
    const asking = await start({ dataDir, memoryBytes: 0, requireSigned: ['swarm'] })
    await ask(asking, 'by-authority')
    await expect(ask(asking, 'by-key')).rejects.toThrow(/^by-key .* is signed by .*, and by none of the keys that are/)

    // Heard of from another member.
    const [signer] = await readSigners([`${key}.pub`])
    const { item } = await certifySigner(authority, signer!, { lifeMs: 3_600_000 })
    source.learnMembers([item])
    await expect
      .poll(() => ask(asking, 'by-key').catch(String), { timeout: 30_000 })
      .toEqual(await ask(source, 'by-key'))
    source.learnMembers(await revokeKey(signer!, { authority, dataDir: giving, reason: 'stolen' }))
    const sentence =
      /^ModelSignatureError: by-key .* signed by nobody who is trusted now: the key .*… was revoked: stolen$/
    await expect.poll(() => ask(asking, 'by-key').catch(String), { timeout: 30_000 }).toMatch(sentence)
    await ask(asking, 'by-authority')
  })

  it('stops serving what a key has signed that is revoked, says so, and serves it again once another one has signed it', {
    timeout: 120_000
  }, async () => {
    const [file, authority] = [join(dir, 'swarm.json'), join(dir, 'authority.key')]
    await initMembers({ file, authority, name: 'fliers' })
    const dataDir = join(dir, 'serving')
    await joinSwarm(await inviteMember(authority, { roles: ['driver', 'stage', 'source'], lifeMs: 3_600_000 }), dataDir)
    await importTiny(dataDir, 'by-key', 1)
    await importTiny(dataDir, 'by-both', 2)
    const second = join(dir, 'second.key')
    await makeSigningKeyFile(second)
    for (const keyFile of [key, authority]) await sign(dataDir, 'by-both', keyFile)
    await sign(dataDir, 'by-key')
    const [signer] = await readSigners([`${key}.pub`])
    const warnings: string[] = []
    const { item } = await certifySigner(authority, signer!, { lifeMs: 3_600_000 })
    const onWarning = (message: string) => void warnings.push(message)
    const peer = await start({ dataDir, models: [{ model: 'by-both' }], requireSigned: ['swarm'], onWarning })
    peer.learnMembers([item])
    await peer.serve('by-key')
    await serves(peer, 'by-key', 'by-both')
    peer.learnMembers(await revokeKey(signer!, { authority, dataDir, reason: 'stolen' }))
    await expect.poll(() => served(peer), { timeout: 30_000 }).toEqual(['by-both'])
    expect(warnings.join('\n')).toMatch(
      /the model by-key is not served any more: by-key .* signed by nobody who is trusted now: the key .*… was revoked: stolen/
    )
    await expect(ask(peer, 'by-key')).rejects.toMatchObject({
      name: 'ModelSignatureError',
      message: expect.stringMatching(/^by-key .* was revoked: stolen$/)
    })
    await sign(dataDir, 'by-key', authority)
    await serves(peer, 'by-key', 'by-both')
  })

  it('says at the start where there is no such swarm, and what is no key', async () => {
    const swarm = await initSwarm(join(dir, 'swarm.json'))
    const withKeys = (requireSigned: string[]) =>
      createPeer({ swarm, dataDir: join(dir, 'x'), mdns: false, requireSigned })
    await expect(withKeys(['swarm'])).rejects.toMatchObject({
      name: 'InvalidOptionError',
      message: expect.stringMatching(
        /^the swarm's own signers cannot be known: .* joined no swarm.*; name a key instead$/
      )
    })
    await expect(withKeys([])).rejects.toThrow('give a public key')
    await expect(withKeys([key])).rejects.toThrow(/is a secret key/)
    await expect(withKeys(['nowhere.pub'])).rejects.toThrow('there is no key file nowhere.pub')
  })
})
