/**
 * On processors with AVX2 but no AVX-512, a 4-bit product of one row differs in its last bits from the same
 * row among others; then a lone token must be run as two equal rows. Decided by trying, not by the
 * processor's name: emulators, hypervisors and later versions of ONNX Runtime may behave either way.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { GraphWriter } from './graph-writer.ts'
import { fillNoise } from '../synthetic.ts'

const inputs = 256
const outputs = 96
const blocks = inputs / 32

/** True when 4-bit products of 2, 3, 5 or 8 rows have other bits than those of one row. */
export async function needsTwinRows(): Promise<boolean> {
  const g = new GraphWriter('self-test')
  const x = g.input('x', 'f32', ['rows', inputs])
  const q = g.external('q', 'u8', [outputs, blocks, 16], 'q', 0, outputs * blocks * 16)
  const s = g.external('s', 'f32', [outputs, blocks], 's', 0, outputs * blocks * 4)
  const attributes = { K: inputs, N: outputs, bits: 4, block_size: 32, accuracy_level: 4 }
  const y = g.node(
    'MatMulNBits',
    [x, q, s],
    Object.fromEntries(Object.entries(attributes).map(([key, i]) => [key, { i }]))
  )
  g.output('y', y, 'f32', ['rows', outputs])

  const nibbles = new Uint8Array(outputs * blocks * 16)
  const scales = new Float32Array(outputs * blocks)
  const values = new Float32Array(8 * inputs)
  fillNoise(values, 1, 1)
  for (let i = 0; i < nibbles.length; i++) nibbles[i] = (i * 167 + (i >> 3) * 29) & 255
  fillNoise(scales, 2, 0.1)
  const session = await InferenceSession.create(g.finish(), {
    intraOpNumThreads: 1,
    graphOptimizationLevel: 'disabled',
    logSeverityLevel: 3,
    externalData: [
      { path: 'q', data: nibbles },
      { path: 's', data: new Uint8Array(scales.buffer) }
    ]
  })
  try {
    const product = async (from: number, rows: number): Promise<Uint32Array> => {
      const data = values.slice(from * inputs, (from + rows) * inputs)
      const out = await session.run({ x: new Tensor('float32', data, [rows, inputs]) })
      const y = out.y!.data as Float32Array
      return new Uint32Array(y.buffer, y.byteOffset, y.length)
    }
    const alone: Uint32Array[] = []
    for (let row = 0; row < 8; row++) alone.push(await product(row, 1))
    for (const rows of [2, 3, 5, 8]) {
      const together = await product(0, rows)
      if (together.some((bits, i) => bits !== alone[Math.floor(i / outputs)]![i % outputs])) return true
    }
    return false
  } finally {
    await session.release()
  }
}
