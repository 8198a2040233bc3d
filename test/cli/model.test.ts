import {
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tinyConfig, writeTiny } from '../model/hugging-face.ts'
import { tinyGguf, tinyMetadata } from '../model/tiny-gguf.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
let source = ''
let data = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'skein-model-'))
  source = join(folder, 'hugging-face')
  data = join(folder, 'data')
  await writeTiny(source)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('skein model', () => {
  it('imports, lists, shows and verifies', async () => {
    const imported = await skein([
      'model',
      'import',
      source,
      '--data',
      data,
      '--name',
      'tiny',
      '--dtype',
      'q8',
      '--edge',
      'bf16'
    ])
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    const [, id] = /^imported tiny: .* q8-f16 with bf16 edges, .* id ([0-9a-f]{64})\n$/.exec(imported.stdout) ?? []
    expect(id, imported.stdout).toBeTruthy()

    const again = await skein(['model', 'import', source, '--data', data, '--name', 'tiny', '--edge', 'bf16', '--json'])
    const lines = again.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(lines.at(-1)).toMatchObject({
      event: 'imported',
      id,
      name: 'tiny',
      dtype: 'q8-f16',
      edge: 'bf16',
      shipped: false
    })
    expect(lines.filter(({ event }) => event === 'progress').at(-1)).toMatchObject({ done: lines.at(-1).layers + 2 })

    const ls = await skein(['model', 'ls', '--data', data])
    expect(ls.stdout).toMatch(/^name +id +layers/)
    expect(ls.stdout).toContain(id!.slice(0, 12))
    expect(ls.stdout).toMatch(/stories15m .*shipped with Skein/)

    const show = await skein(['model', 'show', 'tiny', '--data', data, '--json'])
    expect(JSON.parse(show.stdout)).toMatchObject({ id, manifest: { name: 'tiny', edge: 'bf16', weights: 'q8-f16' } })
    expect((await skein(['model', 'show', id!.slice(0, 8), '--data', data])).stdout).toContain(id)

    const shipped = await skein(['model', 'show', 'stories15m', '--data', data, '--memory', '8MB'])
    expect(shipped.stdout).toMatch(/^ {2}parameters +15,191,712$/m)
    expect(shipped.stdout).toMatch(/^ {2}cache +13\.8 kB per token, [\d.]+ kB with --cache i8$/m)
    expect(shipped.stdout).toMatch(/^ {2}with 8\.0 MB each +no number of peers: one layer takes up to \d+\.\d MB$/m)
    await skein(['model', 'import', source, '--data', data, '--name', 'four', '--dtype', 'q4'])
    const four = await skein(['model', 'show', 'four', '--data', data])
    expect(four.stdout).toMatch(/^ {2} {2}embedding +q8-f16\n {4}q +q4-f16\n/m)
    const all = JSON.parse((await skein(['model', 'show', 'stories15m', '--data', data, '--json'])).stdout)
    expect(all).toMatchObject({ parameters: 15_191_712, needs: { engine: 'wasm', memoryBytes: 512e6, peers: 1 } })

    const verify = await skein(['model', 'verify', '--data', data])
    expect(verify.code).toBe(0)
    expect(verify.stdout).toMatch(/^tiny: every file has the digest/m)
    expect(verify.stdout).toMatch(/^stories15m: every file has the digest/m)
  })

  it('imports a GGUF file for what it is, whatever its name', async () => {
    const file = join(folder, 'weights.bin')
    writeFileSync(file, tinyGguf(await writeTiny(join(folder, 'checkpoint'))))
    const imported = await skein(['model', 'import', file, '--data', data, '--name', 'gguf', '--edge', 'f16'])
    expect(imported).toMatchObject({ code: 0, stdout: expect.stringMatching(/^imported gguf: 2 layers, f32 with f16/) })
    const other = join(folder, 'text.gguf')
    writeFileSync(other, 'no weights, but long enough for a header')
    await expectFailure(skein(['model', 'import', other, '--data', data, '--name', 'text']), 3, 'is no GGUF file')
  })

  it('shows words out of a file, and does not let them do anything to a terminal', async () => {
    const file = join(folder, 'escapes.gguf')
    const checkpoint = await writeTiny(join(folder, 'escapes'))
    const evil = '\u001b]0;title\u0007mit\n\u202emit'
    writeFileSync(file, tinyGguf(checkpoint, { metadata: { ...tinyMetadata(), 'general.license': { text: evil } } }))
    const into = ['--data', data, '--edge', 'f32']
    expect(await skein(['model', 'import', file, ...into, '--name', 'escapes'])).toMatchObject({ code: 0, stderr: '' })
    const { stdout } = await skein(['model', 'show', 'escapes', '--data', data])
    expect(stdout).toMatch(/^ {2}licence +\ufffd\]0;title\ufffdmit \ufffdmit$/m)
    const named = tinyGguf(checkpoint, { metadata: { ...tinyMetadata(), 'general.architecture': { text: evil } } })
    writeFileSync(file, named)
    await expectFailure(
      skein(['model', 'import', file, ...into, '--name', 'named']),
      3,
      'the architecture ?]0;title?mit??mit cannot be imported'
    )
  })

  it('names a manifest that cannot be read, and calls nothing whole that it hides', async () => {
    const broken = join(folder, 'broken')
    await skein(['model', 'import', source, '--data', broken, '--name', 'tiny'])
    const [manifest] = globSync(`${broken}/models/manifests/*.json`)
    writeFileSync(manifest!, '{')
    const ls = await skein(['model', 'ls', '--data', broken])
    expect(ls).toMatchObject({
      code: 0,
      stderr: `skein: warning: unusable: ${manifest} is no manifest: it is not JSON\n`
    })
    expect(ls.stdout).toContain('stories15m')
    const verify = await skein(['model', 'verify', '--data', broken])
    expect(verify).toMatchObject({ code: 3, stderr: expect.stringContaining(`${manifest} is no manifest`) })
    // A peer that would otherwise serve the model that ships, and nobody would know why.
    const swarm = join(folder, 'swarm.json')
    await skein(['init', swarm])
    const up = ['up', '--data', broken, '--swarm', swarm, '--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns']
    await expectFailure(new Skein(up), 3, `name it: stories15m can be used; unusable: ${manifest} is no manifest`)
  })

  it('says in one sentence what the file system refuses', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    const sentence = `the models in ${file} cannot be used: ENOTDIR`
    await expectFailure(skein(['model', 'ls', '--data', file]), 3, sentence)
    await expectFailure(skein(['model', 'verify', '--data', file]), 3, sentence)
    await expectFailure(skein(['model', 'import', source, '--name', 'tiny', '--data', file]), 3, sentence)
    // A folder that is there and cannot hold what is to come: full, without permission, or as here a link to nothing.
    const full = join(folder, 'full')
    mkdirSync(join(full, 'models'), { recursive: true })
    symlinkSync(join(folder, 'nowhere'), join(full, 'models', 'shards'))
    const run = skein(['model', 'import', source, '--name', 'tiny', '--data', full])
    await expectFailure(run, 3, `tiny cannot be put into ${full}: E`)
  })

  it('names a shard with a flipped bit and both digests', async () => {
    const { stdout } = await skein(['model', 'show', 'tiny', '--data', data, '--json'])
    const { manifest } = JSON.parse(stdout)
    const shard = manifest.shards.find((entry: { layer: number | null }) => entry.layer === 1)
    const [file] = globSync(`${data}/**/${shard.sha256}`)
    const bytes = readFileSync(file!)
    bytes[100]! ^= 1
    writeFileSync(file!, bytes)
    const verify = skein(['model', 'verify', 'tiny', '--data', data])
    await expectFailure(verify, 3, /layer 1/)
    const { stderr } = await verify
    expect(stderr).toContain(shard.sha256)
    expect(new Set(stderr.match(/[0-9a-f]{64}/g)).size).toBeGreaterThan(1)
  })

  it('refuses what it cannot import, by name', async () => {
    const imports = (dir: string) => skein(['model', 'import', dir, '--data', data, '--name', 'other'])
    await expectFailure(imports(join(folder, 'nowhere')), 3, /nowhere/)

    const truncated = join(folder, 'truncated')
    await writeTiny(truncated)
    const [tensors] = globSync(`${truncated}/*.safetensors`).sort()
    truncateSync(tensors!, statSync(tensors!).size - 7)
    await expectFailure(imports(truncated), 3, /safetensors/)

    const foreign = join(folder, 'foreign')
    await writeTiny(foreign)
    const config = { ...tinyConfig, architectures: ['MambaForCausalLM'], model_type: 'mamba' }
    writeFileSync(join(foreign, 'config.json'), JSON.stringify(config))
    await expectFailure(imports(foreign), 3, /[Mm]amba/)

    const { stdout } = await skein(['model', 'ls', '--data', data, '--json'])
    expect(stdout).not.toContain('other')
  })

  it('says which models there are when it does not know one', async () => {
    await expectFailure(skein(['model', 'show', 'nobody', '--data', data]), 3, /nobody.*tiny/)
    await expectFailure(skein(['model', 'verify', 'nobody', '--data', data]), 3, /nobody/)
  })
})

describe('skein model rm', () => {
  const peers: Skein[] = []
  afterAll(() => Promise.all(peers.map(peer => peer.end('SIGKILL'))))

  const filesOf = (dir: string): string[] => globSync(`${dir}/models/{shards,manifests}/*`)
  const imports = (dir: string, name: string, dtype = 'q8') =>
    skein(['model', 'import', source, '--data', dir, '--name', name, '--dtype', dtype, '--json'])

  it('frees what no other model has, and says how much', async () => {
    const dir = join(folder, 'rm')
    for (const name of ['one', 'two']) expect((await imports(dir, name)).code).toBe(0)
    const shards = globSync(`${dir}/models/shards/*`)
    const bytes = shards.reduce((sum, file) => sum + statSync(file).size, 0)
    const first = await skein(['model', 'rm', 'one', '--data', dir])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toMatch(/^removed one, id [0-9a-f]{64}: 0 B freed\n$/)
    expect(globSync(`${dir}/models/shards/*`)).toEqual(shards)
    const second = await skein(['model', 'rm', 'two', '--data', dir, '--json'])
    expect(second).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(second.stdout)).toMatchObject({ event: 'removed', name: 'two', bytesFreed: bytes })
    expect(filesOf(dir)).toEqual([])
    await expectFailure(skein(['model', 'rm', 'two', '--data', dir]), 3, /no model 'two'/)
    const none = join(folder, 'none')
    await expectFailure(skein(['model', 'rm', 'stories15m', '--data', none]), 2, /stories15m ships with Skein/)
    expect(globSync(none)).toEqual([])
  })

  it('leaves the model that the running peer serves, and takes any other', async () => {
    const dir = join(folder, 'served')
    const swarm = join(folder, 'rm-swarm.json')
    expect((await skein(['init', swarm])).code).toBe(0)
    for (const [name, dtype] of [
      ['tiny', 'q8'],
      ['spare', 'q4']
    ] as const) {
      expect((await imports(dir, name, dtype)).code).toBe(0)
    }
    const peer = new Skein([
      ...['up', '--data', dir, '--swarm', swarm, '--model', 'tiny'],
      ...['--listen', '/ip4/127.0.0.1/tcp/0', '--no-mdns', '--json', '--stop-with-stdin']
    ])
    peers.push(peer)
    await peer.event('serving')
    const before = filesOf(dir).length
    const served =
      /^skein: tiny \([0-9a-f]{12}\) is served by the peer that runs here: skein unserve [0-9a-f]{12}, or stop that peer, first\n$/
    await expectFailure(skein(['model', 'rm', 'tiny', '--data', dir]), 3, served)
    expect(filesOf(dir)).toHaveLength(before)
    const spare = await skein(['model', 'rm', 'spare', '--data', dir, '--json'])
    expect(spare).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(spare.stdout).bytesFreed).toBeGreaterThan(0)
    expect((await skein(['model', 'verify', 'tiny', '--data', dir])).code).toBe(0)
    expect((await skein(['unserve', 'tiny', '--data', dir])).code).toBe(0)
    expect((await skein(['model', 'rm', 'tiny', '--data', dir])).code).toBe(0)
    expect(filesOf(dir)).toEqual([])
    expect((await peer.end('SIGTERM')).code).toBe(0)
  }, 120_000)
})
