/** Promise P7 at an import: whoever awaits it goes on, and what ends it leaves nothing. */
import { readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeEach, expect, test } from 'vitest'
import { importModel, listModels, showModel } from '../../src/index.ts'
import { importModel as importHere } from '../../src/model/import.ts'
import { importInThread } from '../../src/model/import-thread.ts'
import { openStore } from '../../src/model/store.ts'
import { tinyConfig, writeTiny } from '../model/hugging-face.ts'
import { tinyGguf, tinyMetadata, tinyTensors } from '../model/tiny-gguf.ts'
import { scratchFolders } from '../scratch.ts'

let dir: string
let source: string
let dataDir: string
const folder = scratchFolders()
beforeEach(async () => {
  dir = await folder()
  source = path.join(dir, 'source')
  dataDir = path.join(dir, 'data')
})

const inTime = (): AbortSignal => AbortSignal.timeout(200_000)
const filesOf = (): Promise<string[]> => readdir(path.join(dataDir, 'models', 'shards')).catch(() => [])

/** The most that this thread computes between two turns of a timer, in ms of the processor: load on the machine adds nothing to it. */
function turns(): { readonly longestMs: () => number; readonly count: () => number; stop(): void } {
  let [longest, count, last] = [0, 0, cpuMs()]
  const timer = setInterval(() => {
    const now = cpuMs()
    longest = Math.max(longest, now - last)
    last = now
    count++
  }, 5)
  return { longestMs: () => longest, count: () => count, stop: () => clearInterval(timer) }
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** What the test has made is not to be cleared up while it measures. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

/** A vocabulary as large as Gemma's. */
const vocabulary = 262_144

test('a vocabulary of 262,144 tokens is read while this thread does nothing', { timeout: 300_000 }, async () => {
  const config = { ...tinyConfig, vocab_size: vocabulary, tie_word_embeddings: true, num_hidden_layers: 1 }
  const checkpoint = await writeTiny(source, { config })
  checkpoint.delete('lm_head.weight')
  const metadata = tinyMetadata(config)
  const { texts } = metadata['tokenizer.ggml.tokens'] as { texts: string[] }
  const more = Array.from({ length: vocabulary - texts.length }, (_, i) => `token${i}`)
  const { f32s } = metadata['tokenizer.ggml.scores'] as { f32s: number[] }
  const { i32s } = metadata['tokenizer.ggml.token_type'] as { i32s: number[] }
  const all = {
    ...metadata,
    'tokenizer.ggml.tokens': { texts: [...texts, ...more] },
    'tokenizer.ggml.scores': { f32s: [...f32s, ...more.map((_, i) => -1000 - i)] },
    'tokenizer.ggml.token_type': { i32s: [...i32s, ...more.map(() => 1)] }
  }
  const file = path.join(dir, 'large.gguf')
  await writeFile(file, tinyGguf(checkpoint, { metadata: all, tensors: tinyTensors(checkpoint, config) }))

  collectGarbage()
  const own = turns()
  const imported = await importModel({ source: file, dataDir, name: 'large', signal: inTime() })
  own.stop()
  expect(own.count()).toBeGreaterThan(10)

  // What it would take here.
  const here = turns()
  const store = await openStore({ own: path.join(dir, 'here') })
  const same = await importHere({ source: file, store, name: 'large', edge: imported.manifest.edge, signal: inTime() })
  here.stop()
  expect(same.id).toBe(imported.id)
  expect(own.longestMs()).toBeLessThan(here.longestMs() / 5)
})

test('what is asked is answered here, and what an answer throws is thrown', async () => {
  await writeTiny(source)
  const [asked, told]: [number[], string[]] = [[], []]
  const model = await importModel({
    ...{ source, dataDir, name: 'tiny', edge: 'f16', signal: inTime() },
    room: async bytes => void asked.push(bytes),
    onProgress: ({ shard }) => void told.push(shard)
  })
  expect(asked).toEqual([
    [...model.manifest.shards, model.manifest.tokenizer].reduce((sum, { bytes }) => sum + bytes, 0)
  ])
  expect(told).toEqual(['embedding', 'layer 0', 'layer 1', 'head'])
  expect((await showModel(dataDir, 'tiny')).id).toBe(model.id)

  const refusal = new Error('not today')
  const refused = importModel({
    ...{ source, dataDir, name: 'other', edge: 'f32', signal: inTime() },
    room: () => Promise.reject(refusal)
  })
  expect(await refused.catch((error: unknown) => error)).toBe(refusal)
})

test('errors keep their kind', async () => {
  const missing = importModel({ source: path.join(dir, 'none'), dataDir, name: 'tiny', signal: inTime() })
  await expect(missing).rejects.toMatchObject({ name: 'ImportError', exitCode: 3 })
  const nameless = importModel({ source, dataDir, name: '../x', signal: inTime() })
  await expect(nameless).rejects.toMatchObject({ name: 'InvalidOptionError', exitCode: 2 })
})

test('an import that is aborted throws the reason and leaves nothing', async () => {
  await writeTiny(source)
  const given = new AbortController()
  const reason = new Error('given up')
  const importing = importInThread({
    ...{ source, dataDir, name: 'tiny', signal: given.signal },
    edge: async ({ manifest }) => {
      expect((await filesOf()).length).toBeGreaterThan(manifest.shards.length)
      given.abort(reason)
      return new Promise(() => {})
    }
  })
  expect(await importing.catch((error: unknown) => error)).toBe(reason)
  expect(await filesOf()).toEqual([])
  expect((await listModels(dataDir)).filter(({ shipped }) => !shipped)).toEqual([])
  await expect(importInThread({ source, dataDir, name: 'tiny', signal: given.signal })).rejects.toBe(reason)
})

test('a thread that stands still is ended, and leaves nothing', async () => {
  await writeTiny(source)
  // It says each second that it runs.
  const importing = importInThread({ source, dataDir, name: 'tiny', signal: inTime(), stallMs: 50 })
  await expect(importing).rejects.toMatchObject({
    name: 'DeadlineError',
    message: 'the import of tiny stood still for 50 ms, and was ended'
  })
  expect(await filesOf()).toEqual([])
})

test('what a thread that was ended has left goes, and nothing of others', async () => {
  await writeTiny(source)
  const { folder, manifest } = await importModel({ source, dataDir, name: 'tiny', edge: 'f16', signal: inTime() })
  const shards = path.join(folder, 'shards')
  const [lost, used] = ['a', 'b'].map(digit => digit.repeat(64)) as [string, string]
  for (const name of [lost, used, `.writing-${process.pid}-7-ab`, `.writing-${process.pid}-8-ab`]) {
    await writeFile(path.join(shards, name), 'x')
  }
  await writeFile(path.join(shards, `.importing-${process.pid}-7-cd`), `${lost}\n${manifest.tokenizer.sha256}\n`)
  await writeFile(path.join(shards, `.importing-${process.pid}-8-cd`), `${used}\n`)
  const before = (await filesOf()).length
  await (await openStore({ own: folder })).sweep(7)
  expect(await filesOf()).toEqual(expect.arrayContaining([manifest.tokenizer.sha256, used]))
  expect((await filesOf()).length).toBe(before - 3)
})
