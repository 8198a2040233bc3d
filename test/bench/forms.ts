/**
 * The forms of products that this machine has, over the same weights in the same memory, so that where these lie decides nothing; and
 * the same products in a memory of large pages and in one of small ones. All by turns, of each the processor's time.
 */
import { setImmediate } from 'node:timers/promises'
import { fillNoise, syntheticShard } from '../../src/engine/synthetic.ts'
import { activationBytes, activationsOf } from '../../src/engine/wasm/activations.ts'
import { setCompiler } from '../../src/engine/wasm/compiler.ts'
import { memoryPageBytes, memoryPagesMax } from '../../src/engine/wasm/emit.ts'
import { formsHere } from '../../src/engine/wasm/forms.ts'
import { type Kernels, kernelModule, passRowsMax } from '../../src/engine/wasm/kernels.ts'
import { largePages } from '../../src/engine/wasm/large-pages.ts'
import type { ProductForms } from '../../src/engine/wasm/products.ts'
import { shardLayout } from '../../src/model/layout.ts'
import { roundUp, tileColumns, tileRows, vectorBytes } from '../../src/model/tiles.ts'
import type { QuantisedType } from '../../src/model/weight-types.ts'
import { type Shape, shapes } from './models.ts'
import { figure, type Row } from './report.ts'

export interface FormsInit {
  readonly rounds: number
  readonly signal: AbortSignal
}

/** Layers whose products a turn computes: more than a processor's cache holds. */
const layersOf = { '135M': 30, '1.1B': 4 } as const satisfies Record<Shape, number>
/** Turns of each form in a round, by rows. */
const turnsOf = new Map([
  [1, 12],
  [4, 6],
  [8, 4],
  [passRowsMax, 1]
])
const types = ['q8-f16', 'q4-f16'] as const

/** What is compared: the form of machines with an instruction for sums of products of bytes comes first. */
function formsToCompare(): ReadonlyMap<string, ProductForms> {
  const here = formsHere(() => performance.now())
  return new Map<string, ProductForms>([
    ['sums of four bytes, 3 ranges', { dot: 'relaxed', streams: 3 }],
    ['as chosen here', here],
    ['words and sums in 16 bits, 3 ranges', { dot: 'relaxed', nibbles: 'i16', signed: 'words', streams: 3 }],
    ['as chosen here, 4 ranges', { ...here, streams: 4 }],
    ['as chosen here, 2 ranges', { ...here, streams: 2 }],
    ['plain', { ...here, dot: 'plain', nibbles: 'i32' }]
  ])
}

/** Products of so many rows with all matrices of the layers, each after what it takes has been quantised. */
type Turn = (rows: number) => void

export async function benchForms(init: FormsInit): Promise<Row[]> {
  setCompiler()
  const rows: Row[] = []
  for (const shape of Object.keys(layersOf) as Shape[]) {
    for (const type of types) {
      const large = new Weights(shape, type, true)
      const turns = new Map([...formsToCompare()].map(([name, form]) => [name, large.turn(form)]))
      for (const count of turnsOf.keys()) {
        rows.push(...(await compared(init, `${shape} shape ${type}`, count, turns)))
      }
      const chosen = formsHere(() => performance.now())
      const small = new Weights(shape, type, false)
      const pages = new Map([
        ['small pages', small.turn(chosen)],
        ['large pages', large.turn(chosen)]
      ])
      rows.push(...(await compared(init, `${shape} shape ${type}`, 1, pages)))
    }
  }
  return rows
}

/** The first one's time, and the others' by it. */
async function compared(
  { rounds, signal }: FormsInit,
  label: string,
  count: number,
  turns: ReadonlyMap<string, Turn>
): Promise<Row[]> {
  const took = new Map<string, number[]>([...turns.keys()].map(name => [name, []]))
  const all = [...turns]
  for (const [, turn] of all) turn(count)
  for (let round = 0; round < rounds; round++) {
    const sums = new Map<string, number>()
    for (let n = 0; n < turnsOf.get(count)!; n++) {
      // A signal comes between two turns.
      await setImmediate()
      signal.throwIfAborted()
      for (let i = 0; i < all.length; i++) {
        const [name, turn] = all[(round + n + i) % all.length]!
        const before = process.cpuUsage()
        turn(count)
        const { user, system } = process.cpuUsage(before)
        sums.set(name, (sums.get(name) ?? 0) + (user + system) / 1000)
      }
    }
    for (const [name, ms] of sums) took.get(name)!.push(ms / turnsOf.get(count)!)
  }
  const row = (what: string, unit: string, values: readonly number[], how: string): Row => {
    const rowsText = count === 1 ? '1 row' : `${count} rows`
    return { part: 'forms', what: `${label}, ${rowsText}: ${what}`, unit, figure: figure(values), how }
  }
  const [[first, base], ...others] = [...took] as [[string, number[]], ...[string, number[]][]]
  return [
    row(first, 'ms', base, 'processor time of the products of all layers, or of 4 (1.1B)'),
    ...others.map(([name, ms]) =>
      row(
        `${name} / ${first}`,
        '',
        ms.map((each, i) => each / base[i]!),
        'by rounds'
      )
    )
  ]
}

/** Layers of a shape in one memory, with rows to multiply, for kernels of any form. */
class Weights {
  readonly #shape: Shape
  readonly #type: QuantisedType
  readonly #memory: WebAssemblyMemory
  readonly #stride: number
  readonly #x: number
  readonly #activations: number
  readonly #out: number

  constructor(shape: Shape, type: QuantisedType, inLargePages: boolean) {
    this.#shape = shape
    this.#type = type
    const model = { config: shapes[shape], weights: type }
    const place = { role: 'layer', layer: 0 } as const
    const shard = syntheticShard(model, place, 1)
    const { matrices } = shardLayout(model, place)
    const blocks = Math.max(...matrices.map(each => each.blocks))
    const outputs = Math.max(...matrices.map(each => each.rows))
    this.#stride = roundUp(shard.length, 64)
    this.#x = layersOf[shape] * this.#stride
    this.#activations = this.#x + passRowsMax * vectorBytes(tileColumns * blocks)
    const { spread, compact } = activationBytes[activationsOf(type)]
    this.#out = roundUp(this.#activations + blocks * Math.max(spread, passRowsMax * compact), 64)
    const bytes = this.#out + 4 * passRowsMax * outputs
    this.#memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / memoryPageBytes), maximum: memoryPagesMax })
    if (inLargePages) largePages()(this.#memory.buffer)
    for (let i = 0; i < layersOf[shape]; i++) new Uint8Array(this.#memory.buffer, i * this.#stride).set(shard)
    fillNoise(new Float32Array(this.#memory.buffer, this.#x, passRowsMax * tileColumns * blocks), 1, 1)
  }

  turn(forms: ProductForms): Turn {
    const config = shapes[this.#shape]
    const type = this.#type
    const module = kernelModule({
      ...{ config, types: new Set([type]), edge: 'f16', forms },
      memory: { minimum: 1, maximum: memoryPagesMax, shared: false }
    })
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory: this.#memory } })
    const k = exports as unknown as Kernels
    const { matrices } = shardLayout({ config, weights: type }, { role: 'layer', layer: 0 })
    const bits = activationsOf(type)
    const [x, activations, out] = [this.#x, this.#activations, this.#out]
    return count => {
      for (let i = 0; i < layersOf[this.#shape]; i++) {
        for (const { blocks, rows, offset } of matrices) {
          const w = i * this.#stride + offset
          if (count === 1) {
            k[`quantise.${bits}.one`](x, blocks, activations)
            k[`product.${type}.one`](w, blocks, rows / tileRows, activations, out)
            continue
          }
          const bytes = blocks * activationBytes[bits].compact
          for (let t = 0; t < count; t++) {
            k[`quantise.${bits}.many`](x + t * vectorBytes(tileColumns * blocks), blocks, activations + t * bytes)
          }
          k[`product.${type}.many`](w, blocks, rows / tileRows, activations, bytes, out, 4 * rows, count)
        }
      }
    }
  }
}
