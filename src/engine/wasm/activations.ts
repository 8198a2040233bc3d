/** Activations as products with quantised weights take them, and the kernels that quantise them. */
import { type QuantisedType, quantisedTypes, type StoredAs } from '../../model/weight-types.ts'
import type { FunctionWriter, Local, ModuleWriter, Value } from './emit.ts'
import { f32, f32x4, i16x8, i32, i32x4, i8x16, plus, v128 } from './ops.ts'

type V = Local<'v128'>

/**
 * What goes with which levels. `sized`, with signed bytes w: their product with a is that of w XOR mask with |a|, since
 * -w = ~w + 1, where mask is all ones where a < 0, and it starts at the sum of |a| over those. `signed`, with levels of up to 7
 * bits: a product with levels that are stored with 8 added starts at -8 · sum of a. `halves`: the same for each 16 columns by
 * themselves, with 64.
 */
export type ActivationForm = 'sized' | 'signed' | 'halves'

/**
 * Bytes of one block of 32 quantised activations. Spread, for a lone token: each 4 of them (and their masks) fill a vector. Words, for several rows whose products are of words: a itself, of each 4 the first and third before the second and
 * fourth; a compact one takes as much.
 *
 *   sized   spread   8 × ([|a|] × 4, [mask] × 4), scale × 4, start × 4      compact  |a| [32], mask [32], scale, start
 *           words    a [8][4] in that order, scale
 *   signed  spread   8 × [a] × 4, scale × 4, start × 4                      compact  a [32], scale, start
 *   halves  spread   8 × [a] × 4, scale × 4, 2 × (start × 4)                compact  a [32], scale, 2 × start
 */
export const activationBytes = {
  sized: { spread: 288, compact: 72 },
  signed: { spread: 160, compact: 40 },
  halves: { spread: 176, compact: 44 }
} as const satisfies Record<ActivationForm, { readonly spread: number; readonly compact: number }>

/** Which form a product with such weights takes. */
export function activationsOf(type: QuantisedType): ActivationForm {
  const { zero, block }: StoredAs = quantisedTypes[type]
  if (zero === 'signed') return 'sized'
  return block === 16 ? 'halves' : 'signed'
}

/** Where the scale of a block is, of which this is the size of a number: its starts follow. */
export function scaleAt(form: ActivationForm, layout: 'spread' | 'compact'): number {
  const starts = form === 'halves' ? 2 : 1
  return activationBytes[form][layout] - (layout === 'spread' ? 16 : 4) * (1 + starts)
}

/** Quantised activations are at most that, so that their sizes fit the 7 bits of the relaxed product. */
const activationMax = 127
/** 1.5 · 2²³: added to a float of at most 2²², it leaves its nearest integer in the lowest bits, ties to even. */
export const roundingBias = 12_582_912
/** Blocks whose largest value is no larger are zeros: the largest level divided by less could overflow. */
export const smallestMax = 2 ** -100

/** Of eight words, of each four the first and third before the second and fourth. */
const wordOrder = [0, 2, 1, 3, 4, 6, 5, 7]

/** Sum of the four lanes. */
export function lanesSum(sum: V): Value<'i32'> {
  return [1, 2, 3].reduce<Value<'i32'>>(
    (all, lane) => i32.add(all, i32x4.extractLane(sum, lane)),
    i32x4.extractLane(sum, 0)
  )
}

/**
 * `(x, blocks, out)`: quantises a row of float32 activations. Per block of 32: m = max |x|, scale = m / 127,
 * a = round(x · (127 / m)), ties to even.
 */
export function quantiser(m: ModuleWriter, name: string, form: ActivationForm, layout: 'spread' | 'compact' | 'words') {
  return m.function(name, ['i32', 'i32', 'i32'], f => {
    const [x, blocks, out] = f.parameters
    const y = f.locals('v128', 8)
    const h = f.locals('v128', 4)
    const q = f.locals('v128', 2)
    const mask = f.locals('v128', 2)
    const [most, bias, factor, ones] = f.locals('v128', 4) as [V, V, V, V]
    const largest = f.local('f32')
    const starts = f.locals('i32', form === 'halves' ? 2 : 1)
    f.set(bias, f32x4.const(roundingBias))
    f.set(ones, i32x4.const(0x00010001))
    f.countdown(blocks, () => {
      f.set(most, v128.zero())
      for (const [i, yi] of y.entries()) {
        f.set(yi, v128.load(x, 16 * i))
        f.set(most, f32x4.pmax(most, f32x4.abs(yi)))
      }
      f.set(largest, f32x4.extractLane(most, 0))
      for (const lane of [1, 2, 3]) f.set(largest, f32.max(largest, f32x4.extractLane(most, lane)))
      const inverse = f32.div(f32.const(activationMax), largest)
      f.set(factor, f32x4.splat(f32.select(inverse, f32.const(0), f32.gt(largest, f32.const(smallestMax)))))
      // The bits of two floats of the same exponent differ by their integers' difference.
      for (const yi of y) f.set(yi, i32x4.sub(f32x4.add(f32x4.mul(yi, factor), bias), bias))
      for (const [i, hi] of h.entries()) f.set(hi, i16x8.narrowI32x4S(y[2 * i]!, y[2 * i + 1]!))
      const scale = f32.div(largest, f32.const(activationMax))
      if (layout === 'words') {
        const bytes = activationBytes[form].compact
        // Word by word: V8 pairs shuffles of what was narrowed twice, and Node 24's does it wrongly.
        for (const [i, hi] of h.entries()) {
          for (const [to, word] of wordOrder.entries()) f.do(v128.store16Lane(out, 16 * i + 2 * to, hi, word))
        }
        f.do(f32.store(out, scaleAt(form, 'compact'), scale))
        f.set(x, plus(x, 128))
        f.set(out, plus(out, bytes))
        return
      }
      for (const [i, qi] of q.entries()) f.set(qi, i8x16.narrowI16x8S(h[2 * i]!, h[2 * i + 1]!))
      if (form === 'sized') {
        for (const [i, qi] of q.entries()) {
          f.set(mask[i]!, i8x16.shrS(qi, 7))
          f.set(qi, i8x16.abs(qi))
        }
        const negative = q.map((qi, i) => i16x8.extaddPairwiseI8x16U(v128.and(qi, mask[i]!)))
        f.set(most, i32x4.dotI16x8S(i16x8.add(negative[0]!, negative[1]!), ones))
        f.set(starts[0]!, lanesSum(most))
      } else {
        const [zero, each] = form === 'halves' ? [-64, 2] : [-8, 4]
        for (const [i, start] of starts.entries()) {
          f.set(most, v128.zero())
          for (const hi of h.slice(i * each, (i + 1) * each)) {
            f.set(most, i32x4.add(i32x4.dotI16x8S(hi, ones), most))
          }
          f.set(start, i32.mul(lanesSum(most), i32.const(zero)))
        }
      }
      const bytes = activationBytes[form][layout]
      const at = scaleAt(form, layout)
      if (layout === 'compact') {
        for (const [i, qi] of q.entries()) f.do(v128.store(out, 16 * i, qi))
        if (form === 'sized') for (const [i, each] of mask.entries()) f.do(v128.store(out, 32 + 16 * i, each))
        f.do(f32.store(out, at, scale))
        for (const [i, start] of starts.entries()) f.do(i32.store(out, at + 4 * (1 + i), start))
      } else {
        f.do(v128.store(out, at, f32x4.splat(scale)))
        for (const [i, start] of starts.entries()) f.do(v128.store(out, at + 16 * (1 + i), i32x4.splat(start)))
        spread(f, out, q, form === 'sized' ? mask : undefined)
      }
      f.set(x, plus(x, 128))
      f.set(out, plus(out, bytes))
    })
  })
}

function spread(f: FunctionWriter, out: Local<'i32'>, q: readonly V[], mask: readonly V[] | undefined): void {
  const stride = mask === undefined ? 16 : 32
  for (let g = 0; g < 8; g++) {
    f.do(v128.store(out, stride * g, i32x4.spread(q[g >> 2]!, g & 3)))
    if (mask !== undefined) f.do(v128.store(out, stride * g + 16, i32x4.spread(mask[g >> 2]!, g & 3)))
  }
}
