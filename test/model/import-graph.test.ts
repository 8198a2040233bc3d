/** Graphs that are no decoders, out of ONNX files into a store and back. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { GraphWriter } from '../../src/engine/onnx/graph-writer.ts'
import { Message } from '../../src/engine/onnx/protobuf.ts'
import { ImportError } from '../../src/errors.ts'
import { readOnnx } from '../../src/model/formats/onnx.ts'
import { importGraph } from '../../src/model/import-graph.ts'
import { encodeManifest } from '../../src/model/manifest.ts'
import { decodeManifest } from '../../src/model/read-manifest.ts'
import { type ModelStore, openStore } from '../../src/model/store.ts'
import { embedder, loop, outside, tripled } from './tiny-graphs.ts'

const signal = new AbortController().signal
const tokenizerFile = path.resolve('models/stories15m/shards/')
let folder: string
let store: ModelStore
const folders: string[] = []

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'skein-graph-'))
  folders.push(folder)
  store = await openStore({ own: path.join(folder, 'store') })
})
afterAll(async () => {
  for (const each of folders) await rm(each, { recursive: true, force: true })
})

async function put(bytes: Uint8Array, name = 'graph.onnx'): Promise<string> {
  const file = path.join(folder, name)
  await writeFile(file, bytes)
  return file
}

const facts = (bytes: Uint8Array) =>
  readOnnx({ bytes: bytes.length, read: (at, length) => bytes.subarray(at, at + length) }, 'it')

describe('a graph that is imported', () => {
  it('has in its manifest what it takes and gives, and is the file as it was', async () => {
    const source = await put(tripled())
    const model = await importGraph({ source, store, name: 'tripled', signal })
    expect(model.manifest).toMatchObject({
      kind: 'graph',
      inputs: [{ name: 'x', type: 'float32', dims: ['n', 4] }],
      outputs: [
        { name: 'y', type: 'float32', dims: ['n', 4] },
        { name: 'sum', type: 'float32', dims: ['n'] }
      ],
      operators: [
        { domain: '', version: 21 },
        { domain: 'com.microsoft', version: 1 }
      ],
      parameters: 2,
      tokenizer: null,
      source: 'graph.onnx'
    })
    const [shard] = model.manifest.shards
    expect(await readFile(path.join(store.ownShards, shard!.sha256))).toEqual(Buffer.from(tripled()))
    await store.verify(model, { signal })
    expect(await store.resolve('tripled')).toEqual(model)
    expect((await importGraph({ source, store, name: 'tripled', signal })).id).toBe(model.id)
    expect((await store.remove(model)).bytesFreed).toBe(tripled().length)
    expect(await store.list()).toEqual([])
  })

  it('takes along the tokenizer that lies beside it, or that it is told, and refuses what is none', async () => {
    const { manifest } = await (await openStore({ own: path.resolve('models/stories15m') })).resolve('stories15m')
    const words = await readFile(path.join(tokenizerFile, manifest.tokenizer!.sha256))
    const source = await put(embedder())
    await writeFile(path.join(folder, 'words.json'), words)
    const told = await importGraph({ source, store, name: 'told', tokenizer: path.join(folder, 'words.json'), signal })
    expect(told.manifest.tokenizer).toEqual(manifest.tokenizer)
    await writeFile(path.join(folder, 'tokenizer.json'), words)
    expect((await importGraph({ source, store, name: 'beside', signal })).manifest.tokenizer).not.toBeNull()
    await writeFile(path.join(folder, 'tokenizer.json'), '{}')
    await expect(importGraph({ source, store, name: 'broken', signal })).rejects.toThrow(
      'tokenizer.json cannot be used'
    )
    const tokenizer = path.join(folder, 'none.json')
    await expect(importGraph({ source, store, name: 'none', tokenizer, signal })).rejects.toThrow(
      `there is no ${tokenizer}`
    )
  })

  it('gets no name that another model has, and leaves nothing where it fails', async () => {
    await importGraph({ source: await put(tripled()), store, name: 'one', signal })
    const before = await store.list()
    const second = await put(embedder(), 'second.onnx')
    await expect(importGraph({ source: second, store, name: 'one', signal })).rejects.toThrow(
      'the name one belongs to another'
    )
    await expect(
      importGraph({ source: second, store, name: 'two', signal, whyNot: async () => 'nobody runs it' })
    ).rejects.toThrow('second.onnx cannot be imported: nobody runs it')
    expect(await store.list()).toEqual(before)
    await rm(path.join(folder, 'store', 'manifests'), { recursive: true })
    await store.sweep()
  })
})

describe('an ONNX file', () => {
  it.each([
    ['another file', outside('weights.bin'), 'it keeps the weights of secret in another file, weights.bin'],
    ['a text', new TextEncoder().encode('no graph at all, but a text'), 'it is no ONNX file'],
    ['nothing', new Uint8Array(0), 'it holds no graph'],
    ['half of it', tripled().subarray(0, 200), 'it is no ONNX file, or was cut short'],
    ['no output', new Message().message(7, new Message().string(2, 'g')).finish(), 'its graph has no output']
  ])('that is or has %s is refused with a sentence', (_, bytes, sentence) => {
    expect(() => facts(bytes)).toThrow(sentence)
    expect(() => facts(bytes)).toThrow(ImportError)
  })

  const port = (name: string, type: Message): Message => new Message().string(1, name).message(2, type)
  const graph = (input: Message): Uint8Array => {
    const output = port('y', new Message().message(1, new Message().int(1, 1)))
    return new Message().message(7, new Message().message(11, input).message(12, output)).finish()
  }

  it.each([
    [
      'text',
      port('x', new Message().message(1, new Message().int(1, 8))),
      'its input x is of text, which is not taken'
    ],
    [
      'a type of times to come',
      port('x', new Message().message(1, new Message().int(1, 99))),
      'its input x is of the type 99'
    ],
    ['a list', port('x', new Message().message(4, new Message())), 'its input x is no tensor'],
    [
      'a name that moves the cursor',
      port('x\u001b[2J', new Message().message(1, new Message().int(1, 1))),
      'control characters'
    ]
  ])('with an input of %s is refused by name', (_, input, sentence) => {
    expect(() => facts(graph(input))).toThrow(sentence)
  })

  it('may leave shapes and sizes open', () => {
    expect(facts(graph(port('x', new Message().message(1, new Message().int(1, 7))))).inputs).toEqual([
      { name: 'x', type: 'int64', dims: null }
    ])
    const shape = new Message()
      .message(1, new Message())
      .message(1, new Message().int(1, -1))
      .message(1, new Message().int(1, 3))
    const type = new Message().message(1, new Message().int(1, 1).message(2, shape))
    expect(facts(graph(port('x', type))).inputs[0]!.dims).toEqual([null, null, 3])
  })

  it('keeps weights in no other file, however deep that is said', () => {
    const told = (location: number): Uint8Array => {
      const secret = new Message()
        .int(2, 1)
        .string(8, 'secret')
        .message(13, new Message().string(1, 'location').string(2, '/etc/passwd'))
        .int(14, location)
      const inner = new Message().message(5, secret)
      const g = new GraphWriter('outer')
      g.outputNode('y', 'f32', [1], 'If', [g.input('c', 'f32', [])], { then_branch: { g: inner } })
      return g.finish()
    }
    expect(() => facts(told(1))).toThrow('another file, /etc/passwd')
    // A runtime may go by either of the two fields.
    expect(() => facts(told(0))).toThrow('another file, /etc/passwd')
    expect(facts(loop(3)).inputs).toEqual([{ name: 'x', type: 'float32', dims: [1] }])
  })

  it('of whatever bytes is read or refused, and soon', () => {
    const whole = tripled()
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.uint8Array({ minLength: 1, maxLength: 8 }), (at, bytes) => {
        const changed = whole.slice()
        changed.set(bytes.subarray(0, whole.length - at), at)
        try {
          facts(changed)
        } catch (error) {
          expect(error).toBeInstanceOf(ImportError)
        }
      }),
      { numRuns: 500 }
    )
  })
})

describe('the manifest of a graph', () => {
  it('is read as it was written, and checked', async () => {
    const { manifest } = await importGraph({ source: await put(tripled()), store, name: 'g', signal })
    expect(decodeManifest(encodeManifest(manifest), 'it')).toEqual(manifest)
    const wrong = (change: object): (() => unknown) => {
      const changed = { ...manifest, ...change }
      return () => decodeManifest(encodeManifest(changed as typeof manifest), 'it')
    }
    expect(wrong({ outputs: [] })).toThrow('it is no valid manifest: outputs')
    expect(wrong({ inputs: [...manifest.inputs, ...manifest.inputs] })).toThrow('inputs must have no name twice')
    expect(wrong({ shards: [] })).toThrow('shards')
    expect(wrong({ speed: 3 })).toThrow('it says speed, which this Skein does not know')
    expect(wrong({ inputs: [{ name: 'x\n', type: 'float32', dims: null }] })).toThrow('must have no control characters')
  })
})
