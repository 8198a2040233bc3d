import { globSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tinyConfig, writeTiny } from '../model/hugging-face.ts'
import { expectFailure, skein } from './skein.ts'

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
    const [, id] = /^imported tiny: .* q8 with bf16 edges, .* id ([0-9a-f]{64})\n$/.exec(imported.stdout) ?? []
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
      dtype: 'q8',
      edge: 'bf16',
      shipped: false
    })
    expect(lines.filter(({ event }) => event === 'progress').at(-1)).toMatchObject({ done: lines.at(-1).layers + 2 })

    const ls = await skein(['model', 'ls', '--data', data])
    expect(ls.stdout).toMatch(/^name +id +layers/)
    expect(ls.stdout).toContain(id!.slice(0, 12))
    expect(ls.stdout).toMatch(/stories15m .*shipped with Skein/)

    const show = await skein(['model', 'show', 'tiny', '--data', data, '--json'])
    expect(JSON.parse(show.stdout)).toMatchObject({ id, manifest: { name: 'tiny', edge: 'bf16', weights: 'q8' } })
    expect((await skein(['model', 'show', id!.slice(0, 8), '--data', data])).stdout).toContain(id)

    const verify = await skein(['model', 'verify', '--data', data])
    expect(verify.code).toBe(0)
    expect(verify.stdout).toMatch(/^tiny: every file has the digest/m)
    expect(verify.stdout).toMatch(/^stories15m: every file has the digest/m)
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
