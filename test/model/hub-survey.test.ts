/** What a hub's model would be here, before anything of it is fetched. */
import { mkdir, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { importModel } from '../../src/model/import.ts'
import { type SurveyedModel, type SurveyInit, surveyHub } from '../../src/model/import-survey.ts'
import type { Manifest } from '../../src/model/manifest.ts'
import { openStore } from '../../src/model/store.ts'
import { skein } from '../cli/skein.ts'
import { writeGguf } from './formats/gguf-writer.ts'
import { writeTiny } from './hugging-face.ts'
import { commit, HubServer } from './hub-server.ts'
import { quantised, wideConfig } from './quantised-gguf.ts'
import { tinyMetadata } from './tiny-gguf.ts'
import { scratchFolders } from '../scratch.ts'

const token = 'hf_secret'
let server: HubServer
let dir: string
let source: string

const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  await mkdir(source)
  server = await HubServer.start(source)
})
afterEach(async () => {
  await server.close()
})

const survey = (init: Partial<SurveyInit> = {}): Promise<SurveyedModel> =>
  surveyHub({ repo: 'someone/tiny', endpoint: server.address, signal: AbortSignal.timeout(20_000), ...init })

/** What decides how much of peers a model takes. */
const taken = ({ architecture, config, weights, shards }: Manifest): unknown => ({
  ...{ architecture, config, weights },
  shards: shards.map(({ role, layer, bytes }) => ({ role, layer, bytes }))
})
const imported = async (file: string, weights?: SurveyInit['weights']): Promise<unknown> => {
  const store = await openStore({ own: path.join(dir, 'store') })
  const signal = AbortSignal.timeout(20_000)
  return taken((await importModel({ source: file, store, name: `m${Math.random()}`, weights, signal })).manifest)
}
const fetched = (): string[] =>
  server.asked.filter(({ method }) => method === 'GET').map(({ url, range }) => `${path.basename(url)} ${range ?? ''}`)

test('a checkpoint is known by its config', async () => {
  await writeTiny(source, { files: 2 })
  const { manifest, fetchBytes } = await survey({ token })
  expect(manifest).toMatchObject({ name: 'tiny', source: `someone/tiny@${commit}` })
  expect(taken(manifest)).toEqual(await imported(source))
  expect(taken((await survey({ weights: { rest: 'q4', v: 'q8' } })).manifest)).toEqual(
    await imported(source, { rest: 'q4', v: 'q8' })
  )
  const sizes = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
  const bytes = await Promise.all(sizes.map(async name => (await stat(path.join(source, name))).size))
  expect(fetchBytes).toBe(bytes[0]! + bytes[1]!)
  expect(fetched().filter(each => !/^(config\.json|main\?blobs=true|[0-9a-f]{40}\?blobs=true) $/.test(each))).toEqual(
    []
  )
})

test('a GGUF file is known by its header', async () => {
  const file = path.join(source, 'tiny.gguf')
  const tensors = quantised(name => (/attn_v|ffn_down/.test(name) ? 'Q6_K' : 'Q4_K'))
  // Longer than what is read at once; the weights are behind it.
  const metadata = { ...tinyMetadata(wideConfig), 'general.description': { text: 'x'.repeat(1 << 20) } }
  await writeFile(file, writeGguf({ metadata, tensors }))
  await writeFile(path.join(source, 'other.gguf'), 'GGUF')
  const { manifest, fetchBytes } = await survey({ file: 'tiny.gguf', token })
  expect(taken(manifest)).toEqual(await imported(file))
  expect(taken((await survey({ file: 'tiny.gguf', weights: 'q8' })).manifest)).toEqual(await imported(file, 'q8'))
  expect(fetchBytes).toBe((await stat(file)).size)
  const parts = server.asked.filter(({ host, method }) => host === 'storage' && method === 'GET')
  expect(parts.length).toBeGreaterThan(1)
  expect(parts.every(({ range }) => /^bytes=\d+-\d+$/.test(range ?? ''))).toBe(true)
  expect(parts.some(({ authorization }) => authorization !== undefined)).toBe(false)
  await expect(survey()).rejects.toThrow('2 of its GGUF files are *, one has to be named')
})

test('a hub that gives no parts, refuses, or is not there says so', async () => {
  await writeFile(
    path.join(source, 'tiny.gguf'),
    writeGguf({ metadata: tinyMetadata(wideConfig), tensors: quantised(() => 'Q8_0') })
  )
  server.intercept = (host, request, response) => {
    if (host !== 'storage' || request.method !== 'GET') return false
    response.writeHead(200, { 'content-length': '4', 'content-type': 'application/octet-stream' }).end('GGUF')
    return true
  }
  await expect(survey()).rejects.toThrow('the hub does not give parts of tiny.gguf of someone/tiny')
  server.intercept = (_host, _request, response) => {
    response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end()
    return true
  }
  await expect(survey({ token })).rejects.toMatchObject({
    name: 'DownloadError',
    message: expect.stringContaining('is gated')
  })
  await server.stopHub()
  await expect(survey({ token })).rejects.toMatchObject({
    name: 'DownloadError',
    message: expect.stringContaining('offline')
  })
  await server.startHub()
})

test('skein model show says what it needs of how many peers', { timeout: 120_000 }, async () => {
  await writeTiny(source, { config: wideConfig })
  const show = (...more: string[]): ReturnType<typeof skein> =>
    skein(['model', 'show', 'someone/tiny', '--data', path.join(dir, 'data'), ...more], {
      env: { HF_ENDPOINT: server.address, HF_TOKEN: token }
    })
  const { code, stdout, stderr } = await show('--dtype', 'q4,attention=q8', '--memory', '1MB')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^tiny, which is not here\n/)
  expect(stdout).toMatch(/precision +weights mixed \(q4-f16, q8-f16\)\n/)
  expect(stdout).toMatch(/to fetch +\d.*\n +on the disk +\d.*\n +cache +.* per token/)
  expect(stdout).toMatch(/one peer +needs .*\n +with 1\.0 MB each +.*peers? /)
  const found = JSON.parse((await show('--json')).stdout) as { needs: { wholeBytes: number; peers: number } }
  expect(found).toMatchObject({ architecture: 'llama', needs: { peers: 1, memoryBytes: 512e6 } })
  const local = await skein(['model', 'show', 'tiny', '--dtype', 'q4', '--data', path.join(dir, 'data')])
  expect(local).toMatchObject({ code: 2, stderr: 'skein: --dtype goes with a model of a hub: OWNER/NAME\n' })
})
