/** Models of a running peer, as people choose them: on the command line, in a file of flags, and while it runs. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { modelsOf } from '../../src/cli/up.ts'
import type { Status } from '../../src/index.ts'
import { writeTiny } from '../model/hugging-face.ts'
import { writeRandomModel } from '../supply/model.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
const at = (name: string): string => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-serve-'))
  await skein(['init', at('swarm.json')])
  await writeRandomModel(at('a'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('which models and layers are meant', () => {
  const range = { start: 0, end: 2 }
  it.each([
    [{}, {}],
    [{ model: ['a'] }, { model: 'a' }],
    [{ layers: [{ range }] }, { layers: range }],
    [
      { model: ['a'], layers: [{ range }] },
      { model: 'a', layers: range }
    ],
    [{ layers: [{ model: 'a', range }] }, { models: [{ model: 'a', layers: range }] }],
    [
      { model: ['a', 'b'], layers: [{ model: 'b', range }] },
      { models: [{ model: 'a' }, { model: 'b', layers: range }] }
    ]
  ])('%j', (flags, init) => {
    expect(modelsOf(flags)).toEqual(init)
  })

  it.each([
    [{ model: ['a', 'b'], layers: [{ range }] }, 'NAME:0-2'],
    [{ layers: [{ model: 'a', range }, { range }] }, 'NAME:0-2'],
    [{ model: ['a'], layers: [{ model: 'b', range }] }, 'none of the models'],
    [
      {
        layers: [
          { model: 'a', range },
          { model: 'a', range }
        ]
      },
      'twice'
    ]
  ])('%j is refused', (flags, words) => {
    expect(() => modelsOf(flags)).toThrow(
      expect.objectContaining({ name: 'InvalidOptionError', message: expect.stringContaining(words) })
    )
  })
})

describe('flags in a file', () => {
  const config = (content: unknown): string => {
    const path = at('up.json')
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    return path
  }

  it.each([
    ['{"memory": "lots"}', '--memory takes a size'],
    ['{"wings": 2}', "'wings' is no flag of skein up; there are data, seal, swarm, model"],
    ['{"config": "x"}', "'config' is no flag"],
    ['{"stop-with-stdin": true}', "'stop-with-stdin' is no flag"],
    ['{"wait": "yes"}', "'wait' is true or false"],
    ['{"memory": ["1GB", "2GB"]}', "'memory' has one value"],
    ['{"listen": []}', "'listen' is an empty list"],
    ['{"memory": {}}', "'memory' is a text or a number"],
    ['[1]', 'holds no JSON object'],
    ['root:*:202', 'holds no JSON object']
  ])('%s: says what is wrong', async (content, words) => {
    const run = skein(['up', '--config', config(content), '--swarm', at('swarm.json'), '--data', at('b')])
    await expectFailure(run, 2, words)
    expect((await run).stderr).not.toContain('root:')
  })

  it('that is not there is named', () =>
    expectFailure(skein(['up', '--config', at('nowhere.json')]), 2, /nowhere\.json cannot be read/))

  it('counts less than the command line, its paths from its own folder, and the two serve what they name', {
    timeout: 120_000
  }, async () => {
    const flags = {
      swarm: 'swarm.json',
      data: 'a',
      model: ['stories15m', 'random'],
      layers: ['random:0-6', 'stories15m:0-3'],
      draft: 'stories15m',
      memory: '100kB',
      listen: '/ip4/127.0.0.1/tcp/0',
      mdns: false,
      json: true
    }
    const peer = new Skein(['up', '--config', config(flags), '--memory', '256MB', '--stop-with-stdin'])
    try {
      await peer.event('serving', { times: 2 })
      const status = async (): Promise<Status> =>
        JSON.parse((await skein(['status', '--data', at('a'), '--json'])).stdout)
      const own = async () => (await status()).peers[0]!
      const nameOf = new Map((await status()).models.map(({ id, name }) => [id, name]))
      const stages = async () => (await own()).stages.map(each => `${nameOf.get(each.model)}:${each.start}-${each.end}`)
      expect((await own()).budgetBytes).toBe(256e6)
      expect((await stages()).sort()).toEqual(['random:0-6', 'stories15m:0-3'])
      expect((await status()).draft).toMatchObject({ name: 'stories15m', bytes: expect.any(Number) })

      expect(await skein(['unserve', 'stories15m', '--data', at('a')])).toMatchObject({ code: 0, stderr: '' })
      expect(await stages()).toEqual(['random:0-6'])
      expect((await status()).draft).toBeNull()
      await expectFailure(skein(['unserve', 'stories15m', '--data', at('a')]), 3, 'is not served here')
      await expectFailure(skein(['model', 'rm', 'random', '--data', at('a')]), 3, 'is served by the peer')
      const served = await skein(['serve', 'stories15m', '--layers', '0-6', '--data', at('a'), '--json'])
      expect(served).toMatchObject({ code: 0, stderr: '' })
      expect(JSON.parse(served.stdout)).toEqual({ event: 'served', model: 'stories15m', here: true })
      await peer.event('serving', { times: 3 })
      const { code, stdout } = await skein(['ask', 'Once upon a time', '--model', 'stories15m', '--data', at('a')])
      expect(code).toBe(0)
      expect(stdout).toContain('Lily')
      expect(await skein(['serve', 'nobody', '--data', at('a')])).toMatchObject({ code: 0 })
      expect((await status()).fetches).toMatchObject([{ model: null }])
      await expectFailure(
        skein(['serve', 'random', '--layers', '0-99', '--data', at('a')]),
        2,
        'are no range of random'
      )
    } finally {
      await peer.end()
    }
  })
})

it('a peer with no memory for layers asks others, and says so where there is nobody', {
  timeout: 120_000
}, async () => {
  const flags = ['--swarm', at('swarm.json'), '--data', at('c'), '--memory', '0', '--listen', '/ip4/127.0.0.1/tcp/0']
  await expectFailure(skein(['up', ...flags, '--model', 'stories15m']), 2, 'serves no model')
  const peer = new Skein(['up', ...flags, '--no-mdns', '--json', '--stop-with-stdin'])
  try {
    await peer.event('up')
    await expectFailure(skein(['ask', 'Once', '--data', at('c')]), 3, 'this peer serves none')
  } finally {
    await peer.end()
  }
})

describe('a disk budget', () => {
  it('holds for imports, too: they ask the peer that runs there, and are told what is lacking', {
    timeout: 90_000
  }, async () => {
    const source = at('wide')
    await writeTiny(source, { config: { intermediate_size: 6000 } })
    const config = at('disk.json')
    writeFileSync(config, JSON.stringify({ swarm: 'swarm.json', memory: 0, mdns: false, disk: '5MB' }))
    const peer = new Skein(['up', '--config', config, '--data', at('d'), '--json', '--stop-with-stdin'])
    try {
      await peer.event('up')
      const importing = (name: string, ...more: string[]) =>
        skein(['model', 'import', source, '--data', at('d'), '--name', name, '--dtype', 'f32', ...more])
      // It goes, since who imported it said so; the next one stays.
      expect(await importing('first', '--gives-way')).toMatchObject({ code: 0 })
      await writeTiny(source, { seed: 2, config: { intermediate_size: 6000 } })
      expect(await importing('second')).toMatchObject({ code: 0 })
      await writeTiny(source, { seed: 3, config: { intermediate_size: 6000 } })
      await expectFailure(
        importing('third'),
        4,
        /^skein: the disk budget of 5.0 MB has no room for third \(.* MB\): .* which is kept \(second\); raise --disk, or remove a model: skein model rm second\n$/
      )
      // No more of the first went than had to; all of the second is there.
      const verified = (name: string) => skein(['model', 'verify', name, '--data', at('d')])
      expect(await verified('second')).toMatchObject({ code: 0 })
      expect(await verified('first')).toMatchObject({ code: 3, stderr: expect.stringContaining('missing') })
      const status = await skein(['status', '--data', at('d')])
      expect(status.stdout).toMatch(/^disk: models take .* of 5.0 MB, .* of them imported and kept$/m)
      await peer.event('freed')
    } finally {
      await peer.end()
    }
  })
})
