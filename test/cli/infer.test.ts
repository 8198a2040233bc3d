/** `skein infer` and graphs in `skein model`, end to end: processes of their own. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readNpy, writeNpy } from '../../src/cli/npy.ts'
import { jsonOfTensor, tensorOfJson } from '../../src/cli/tensor-json.ts'
import { whyNotInstalled } from '../../src/engine/onnx/installed.ts'
import type { Tensor, TensorType } from '../../src/index.ts'
import { tripled } from '../model/tiny-graphs.ts'
import { needs } from '../needs.ts'
import { expectFailure, Skein, skein } from './skein.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skein-infer-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const floats = (dims: number[], ...values: number[]): Tensor => ({
  type: 'float32',
  dims,
  data: Float32Array.from(values)
})

describe('a graph on the command line', needs(whyNotInstalled()), () => {
  it('is imported, shown, served, asked, and gone again', { timeout: 180_000 }, async () => {
    const at = (name: string): string => join(folder, name)
    const [data, asking, swarm, onnx] = [at('data'), at('asking'), at('swarm.json'), at('tripled.onnx')]
    await writeFile(onnx, tripled())
    const of = ['--data', data]
    const imported = await skein(['model', 'import', onnx, '--name', 'tripled', '--licence', 'MIT', ...of])
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(imported.stdout).toMatch(
      /^imported tripled: a graph, x \(float32 \[n, 4\]\) → y \(float32 \[n, 4\]\), sum \(float32 \[n\]\), \d+ B, id [0-9a-f]{64}\n$/
    )
    expect((await skein(['model', 'ls', ...of])).stdout).toMatch(
      /\ngraph +id +inputs +outputs +size *\ntripled +\w{12} +x +y, sum +\d+ B/
    )
    const shown = (await skein(['model', 'show', 'tripled', ...of])).stdout
    expect(shown).toMatch(/\n +one peer +needs 268(\.\d)? MB of memory for it and its runs\n/)
    expect(shown).toMatch(/\n +licence +MIT\n/)
    for (const part of ['asked with skein infer', 'x: float32 [n, 4]', 'sum: float32 [n]', 'no: it has no tokenizer']) {
      expect(shown).toContain(part)
    }
    expect((await skein(['model', 'verify', 'tripled', ...of])).code).toBe(0)
    expect((await skein(['init', swarm])).code).toBe(0)
    const common = ['--swarm', swarm, '--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', '--json']
    const server = new Skein(['up', ...common, ...of, '--model', 'tripled', '--memory', '400MB'])
    const peers = [server]
    try {
      const { addresses } = (await server.event('up')) as { addresses?: string[] }
      const bootstrap = (addresses ?? []).flatMap(address => ['--bootstrap', address])
      const client = new Skein(['up', ...common, '--data', asking, '--memory', '0', '--engine', 'wasm', ...bootstrap])
      peers.push(client)
      await client.event('up')
      await expect
        .poll(async () => (await skein(['status', '--data', asking])).stdout, { timeout: 60_000 })
        .toContain('tripled  1  a graph, served by 1 peer')

      await writeFile(at('x.json'), '[[1, 2, 3, 4], [0, 0, 0, 0.5]]')
      const ask = ['infer', 'tripled', '--data', asking]
      const asked = await skein([...ask, '--input', `x=${at('x.json')}`])
      expect(asked).toMatchObject({ code: 0, stderr: '' })
      expect(JSON.parse(asked.stdout)).toEqual({
        y: [
          [3, 6, 9, 12],
          [0, 0, 0, 1.5]
        ],
        sum: [30, 1.5]
      })

      await writeFile(at('x.npy'), writeNpy(floats([1, 4], 1, 2, 3, 4)))
      const written = await skein([...ask, '--input', `x=${at('x.npy')}`, '--output', `y=${at('y.npy')}`])
      expect(written.stdout).toBe('{"sum":[30]}\n')
      expect(readNpy(await readFile(at('y.npy')), 'y.npy')).toEqual(floats([1, 4], 3, 6, 9, 12))
      // JSON has no way to write them as numbers.
      await writeFile(at('odd.npy'), writeNpy(floats([2, 4], Number.NaN, 1, 1, 1, -1e38, -3e38, 0, 0)))
      const odd = await skein([...ask, '--input', `x=${at('odd.npy')}`])
      expect(JSON.parse(odd.stdout)).toEqual({
        y: [
          ['NaN', 3, 3, 3],
          [expect.closeTo(-3e38, -32), '-Infinity', 0, 0]
        ],
        sum: ['NaN', '-Infinity']
      })
      const piped = await skein([...ask, '--input', '-', '--json'], { stdin: '{"x": [[1, 1, 1, 1]]}' })
      expect(JSON.parse(piped.stdout)).toMatchObject({
        event: 'inferred',
        outputs: { sum: [12] },
        shapes: { sum: { dims: [1] } }
      })

      // More than any other request may have, on one line of the socket.
      const ones = new Float32Array(400_000).fill(1)
      await writeFile(at('large.npy'), writeNpy({ type: 'float32', dims: [100_000, 4], data: ones }))
      const large = await skein([
        ...ask,
        '--input',
        `x=${at('large.npy')}`,
        '--output',
        `y=${at('y.npy')}`,
        '--output',
        `sum=${at('sum.npy')}`
      ])
      expect(large).toMatchObject({ code: 0, stdout: '' })
      expect(readNpy(await readFile(at('sum.npy')), 'sum.npy').dims).toEqual([100_000])

      for (const [args, sentence] of [
        [[], 'there is nothing to run it with: give --text TEXT, or --input NAME=FILE'],
        [['--input', `x=${at('x.json')}`, '--input', '-'], "--input gives 'x' twice: give each input once"],
        [['--input', '-', '--input', '-'], '--input - is given twice: stdin is read once'],
        [['--input', '-', '--output', 'y=y.npy', '--output', 'sum=./y.npy'], '--output writes ./y.npy twice'],
        [['--input', `z=${at('x.json')}`], "tripled has no input 'z': it takes x (float32 [n, 4])"],
        [['--input', `x=${at('none.json')}`], 'none.json cannot be read'],
        [['--input', '-', '--output', 'z.npy'], "--output takes NAME=FILE.npy, and tripled gives y, sum, not 'z.npy'"],
        [['--text', 'a'], 'tripled has no tokenizer: import it with --tokenizer, or ask it with --input']
      ] as const) {
        await expectFailure(new Skein([...ask, ...args], { stdin: '{"x": [[1, 1, 1, 1]]}' }), 2, sentence)
      }
      const ragged = new Skein([...ask, '--input', '-'], { stdin: '{"x": [[1, 2, 3, 4], [1]]}' })
      await expectFailure(ragged, 2, 'the input x has lists of different lengths: it is to be a whole box of 2 × 4')
      const flat = new Skein([...ask, '--input', '-'], { stdin: '{"x": [1, 2, 3, 4]}' })
      await expectFailure(flat, 2, 'the input x is float32 [n, 4], and has the shape [4]')
      const chat = new Skein(['ask', 'Hello', '--model', 'tripled', '--data', asking])
      await expectFailure(chat, 2, 'tripled is a graph and continues no text: skein infer tripled asks it')

      expect((await skein(['unserve', 'tripled', ...of])).code).toBe(0)
      const here = new Skein(['infer', 'tripled', ...of, '--input', `x=${at('x.json')}`])
      await expectFailure(
        here,
        4,
        'serves the graph tripled. This peer has its file: skein serve tripled has it run here, where onnxruntime-node is installed'
      )
      expect((await skein(['model', 'rm', 'tripled', ...of])).code).toBe(0)
    } finally {
      for (const peer of peers.toReversed()) await peer.end()
    }
  })
})

describe('what graphs cannot be imported with', () => {
  it('is told in a sentence', async () => {
    const [onnx, data] = [join(folder, 'g.onnx'), join(folder, 'refused')]
    await writeFile(onnx, tripled())
    const of = ['--name', 'g', '--data', data]
    const dtype = new Skein(['model', 'import', onnx, '--dtype', 'q8', ...of])
    await expectFailure(dtype, 2, '--dtype goes with models that continue text: a graph stays as it is')
    const tokenizer = new Skein(['model', 'import', folder, '--tokenizer', onnx, ...of])
    await expectFailure(tokenizer, 2, '--tokenizer goes with a graph, an ONNX file: other models have their own')
    await writeFile(onnx, 'no graph')
    await expectFailure(new Skein(['model', 'import', onnx, ...of]), 3, 'it is no ONNX file')
  })
})

describe('a .npy file', () => {
  const tensors: Tensor[] = [
    floats([], 1.5),
    floats([3], 1, 2, 3),
    { type: 'int64', dims: [2, 1], data: BigInt64Array.of(-(2n ** 60n), 7n) },
    { type: 'bool', dims: [2], data: Uint8Array.of(0, 1) },
    { type: 'float16', dims: [1, 2], data: Uint16Array.of(0x3c00, 0xc000) }
  ]
  it.each(tensors)('of $type $dims is read as it was written', tensor => {
    expect(readNpy(writeNpy(tensor), 'it')).toEqual(tensor)
  })

  // numpy.save of numpy 2.4: arange(6, dtype='<i4').reshape(2, 3), and the same of another kind.
  const saved = (descr: string, fortran: string, shape: string, body: number): Uint8Array => {
    const text = `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`
    const header = `${text}${' '.repeat(117 - text.length)}\n`
    return new Uint8Array([
      0x93,
      0x4e,
      0x55,
      0x4d,
      0x50,
      0x59,
      1,
      0,
      118,
      0,
      ...Buffer.from(header),
      ...new Array<number>(body).fill(0)
    ])
  }

  it.each([
    ['another kind of file', new TextEncoder().encode('[[1, 2, 3]]  '), 'it is no .npy file'],
    ['text', saved('<U3', 'False', '(2,)', 24), 'its header is not one of an array of numbers'],
    ['complex numbers', saved('<c8', 'False', '(2,)', 16), 'it holds c8, of which there are no tensors'],
    ['the highest byte first', saved('>f4', 'False', '(2,)', 8), 'its numbers have their highest byte first'],
    ['columns first', saved('<f4', 'True', '(2, 2)', 16), 'it is in Fortran order'],
    ['too little', saved('<f4', 'False', '(2, 2)', 12), 'its shape (2, 2) has 16 bytes, and 12 follow']
  ])('with %s is refused', (_, bytes, sentence) => {
    expect(() => readNpy(bytes, 'it')).toThrow(`it is not read: ${sentence}`)
  })

  it('of numpy itself is read', () => {
    expect(readNpy(saved('<i4', 'False', '(2, 3)', 24), 'it')).toEqual({
      type: 'int32',
      dims: [2, 3],
      data: new Int32Array(6)
    })
  })
})

describe('numbers as JSON', () => {
  it.each<[TensorType, unknown]>([
    [
      'float32',
      [
        [0.5, -1],
        [2, 3]
      ]
    ],
    ['float16', [1, 0.25, -2]],
    ['int64', [[1], [-7]]],
    ['bool', [true, false]],
    ['uint8', 7],
    ['float32', [[0.5], ['NaN'], ['-Infinity']]],
    ['float16', ['Infinity', 'NaN']],
    ['float64', ['Infinity', Number.MAX_VALUE]]
  ])('of %s come back as they went', (type, value) => {
    expect(jsonOfTensor(tensorOfJson({ name: 'x', type }, value))).toEqual(value)
  })

  it.each<[TensorType, unknown, string]>([
    ['int32', [1.5], 'the input x is int32 and holds 1.5'],
    ['uint8', [256], 'the input x is uint8 and holds 256'],
    ['int64', [2 ** 60], 'the input x is int64 and holds'],
    ['float32', ['one'], 'the input x holds "one", which is no number'],
    ['float32', [[1], 2], 'the input x has lists of different lengths'],
    ['bool', [2], 'the input x is bool and holds 2'],
    ['int32', ['NaN'], 'the input x holds "NaN", which is no number'],
    ['float32', ['nan'], 'the input x holds "nan", which is no number'],
    ['float32', [1e39], 'the input x is float32, which goes up to 3.4028234663852886e+38, and holds 1e+39'],
    ['float16', [70_000], 'the input x is float16, which goes up to 65504, and holds 70000']
  ])('of %s that do not fit are refused', (type, value, sentence) => {
    expect(() => tensorOfJson({ name: 'x', type }, value)).toThrow(sentence)
  })
})
