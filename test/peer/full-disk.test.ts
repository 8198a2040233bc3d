/** A disk that fills while its peer serves costs what the peer would keep for its next start, and nothing else. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createPeer, importModel, initSwarm, type Peer } from '../../src/index.ts'
import { Tmpfs, whyNoTmpfs } from '../lab/tmpfs.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { needs } from '../needs.ts'

const within = (): AbortSignal => AbortSignal.timeout(30_000)

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = within()
  while (!holds()) {
    if (deadline.aborted) throw new Error(`not in time: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

async function ask(peer: Peer): Promise<readonly number[]> {
  const ids: number[] = []
  for await (const { id } of peer.generate('Once upon a time', { maxTokens: 12, signal: within() })) ids.push(id)
  return ids
}

describe('a disk that fills', needs(whyNoTmpfs()), () => {
  it('while its peer serves: it asks and is asked as before, says what it cannot keep, and keeps it later', async () => {
    const root = await mkdtemp(join(tmpdir(), 'skein-full-'))
    const disk = new Tmpfs(4 << 20)
    const peers: Peer[] = []
    try {
      const swarm = await initSwarm(join(root, 'swarm.json'))
      const warnings: string[] = []
      const start = async (dataDir: string, start: number, end: number, bootstrap: string[]): Promise<Peer> => {
        const init = { dataDir, swarm, mdns: false, bootstrap, layers: { start, end }, memoryBytes: 512e6 }
        const peer = await createPeer({ ...init, listen: ['/ip4/127.0.0.1/tcp/0'] })
        peers.push(peer)
        return peer
      }
      const full = await start(disk.path, 0, 3, [])
      full.addEventListener('warning', ({ detail }) => warnings.push(detail.message))
      const other = await start(join(root, 'other'), 3, 6, [...full.addresses])
      await until('all is covered', () =>
        peers.every(peer => peer.status().models[0]?.coverage.every(times => times > 0) === true)
      )
      const answer = await ask(full)

      disk.fill()
      expect([await ask(other), await ask(full)]).toEqual([answer, answer])
      const kept = other.generate('One day', { maxTokens: 12, session: { name: 'kept' }, signal: within() })
      for await (const _ of kept);
      const kinds = ['the number of its newest record', 'the sessions of others']
      await until('it says what it cannot keep', () =>
        kinds.every(kind => full.status().unkept.some(sentence => sentence.startsWith(kind)))
      )
      // Each kind once, however often it was tried, and why.
      await ask(full)
      // When the file of peers is written next depends on when they met.
      const others = warnings.filter(message => !message.startsWith('where other peers were met'))
      expect(others).toHaveLength(kinds.length)
      for (const message of warnings) {
        expect(message).toMatch(/ cannot be kept on disk and stays in memory: the disk is full \(ENOSPC/)
      }
      expect([await ask(other), await ask(full)]).toEqual([answer, answer])

      disk.free()
      await full.stop()
      expect(full.status().unkept).toEqual([])
      expect(await readdir(join(disk.path, 'keep'))).toHaveLength(1)
      const again = await start(disk.path, 0, 3, [])
      expect(again.id).toBe(full.id)
      // It was met before the disk was full or after: its address is here.
      await until('they meet again', () => again.status().peers.some(({ self, connected }) => !self && connected))
      expect(again.status().discovery).toContainEqual({ way: 'remembered', state: '1 remembered, 1 connected' })
    } finally {
      for (const peer of peers) await peer.stop()
      disk.close()
      await rm(root, { recursive: true })
    }
  })
})

describe('an import onto a disk without room', needs(whyNoTmpfs()), () => {
  const config = { hidden_size: 64, intermediate_size: 128, num_hidden_layers: 6, max_position_embeddings: 256 }

  it.each([
    ['is refused before anything is written, where it is small', 128 << 10, false],
    ['ends with what is wrong and leaves nothing, where others fill it meanwhile', 8 << 20, true]
  ])('%s', { timeout: 120_000 }, async (_, bytes, fills) => {
    const root = await mkdtemp(join(tmpdir(), 'skein-full-'))
    const disk = new Tmpfs(bytes)
    try {
      const source = join(root, 'source')
      await writeTiny(source, { config })
      const dataDir = join(disk.path, 'to', 'be', 'made')
      let written = 0
      const imported = importModel({
        ...{ source, dataDir, name: 'tiny', edge: 'f32' },
        onProgress: () => {
          written++
          if (fills) disk.fill()
        },
        signal: within()
      })
      await expect(imported).rejects.toMatchObject({
        name: 'DiskBudgetError',
        exitCode: 4,
        message: expect.stringMatching(
          fills
            ? /^tiny cannot be put into .*made: the disk is full \(ENOSPC: .*\)\. What was written of it is removed again$/
            : /^tiny takes \d+(\.\d)? kB of disk, and .*made has room for \d+(\.\d)? (kB|B)$/
        )
      })
      expect(written > 0).toBe(fills)
      expect(await readdir(join(dataDir, 'models', 'shards')).catch(() => [])).toEqual([])
      expect(await readdir(join(dataDir, 'models', 'manifests')).catch(() => [])).toEqual([])
    } finally {
      disk.close()
      await rm(root, { recursive: true })
    }
  })
})
