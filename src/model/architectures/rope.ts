/**
 * Rotary embedding of a `config.json`: its kinds of scaling as divisors of the frequencies and a gain
 * (transformers 5.23, `modeling_rope_utils.py`). They become part of the model's id, so no function computes them whose
 * last bits may differ between JavaScript engines.
 */
import { z } from 'zod'
import { logarithm, power } from '../../base/exponential.ts'
import { shown } from '../../base/shown.ts'
import type { Rotation } from '../decoder.ts'
import type { CommonFields } from './fields.ts'

/** How layers of one type are rotated. */
export interface Rope {
  readonly theta: number
  /** Undefined: whole heads, unscaled. */
  readonly rotation: Rotation | undefined
  /** The longest sequence for which this is what the model computes. */
  readonly contextMax: number
  /** What who imports should know of it. */
  readonly note: string | undefined
}

/** Types of layers that may have rotations of their own. */
export const layerTypeNames = ['full_attention', 'sliding_attention'] as const
export type LayerType = (typeof layerTypeNames)[number]
/** A type that is missing is one of which the file says nothing, though it does of others. */
export type Ropes = Readonly<Record<LayerType, Rope | undefined>>

export interface RopeInit {
  readonly headDim: number
  /** Where the dictionary has none. */
  readonly theta: Readonly<Record<LayerType, number>>
  /** In the place of what the file says of it. */
  readonly originalContext?: number | undefined
  /** Of the scaling, in the place of its own. */
  readonly typeOf?: ((type: string) => string) | undefined
  /** What the file says of rotation as a whole is of layers of full attention alone (Gemma 3). */
  readonly fullAlone?: boolean | undefined
}

type Refuse = (what: string) => never

const positive = z.number().positive()
const context = z.int().min(2)
const factors = z.array(positive)
/** In every dictionary. */
const common = {
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: positive.nullish(),
  partial_rotary_factor: positive.max(1).nullish()
}
const scalings = {
  default: z.strictObject({ ...common, factor: z.literal(1).nullish() }),
  linear: z.strictObject({ ...common, factor: positive, original_max_position_embeddings: context.nullish() }),
  dynamic: z.strictObject({ ...common, factor: positive, original_max_position_embeddings: context.nullish() }),
  llama3: z.strictObject({
    ...common,
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: context.nullish()
  }),
  yarn: z.strictObject({
    ...common,
    factor: positive.nullish(),
    original_max_position_embeddings: context.nullish(),
    attention_factor: positive.nullish(),
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    mscale: z.number().nonnegative().nullish(),
    mscale_all_dim: z.number().nonnegative().nullish(),
    truncate: z.boolean().nullish()
  }),
  longrope: z.strictObject({
    ...common,
    factor: positive.nullish(),
    original_max_position_embeddings: context.nullish(),
    attention_factor: positive.nullish(),
    short_factor: factors,
    long_factor: factors
  })
} as const
type Scaling = keyof typeof scalings

/**
 * The rotation of each type of layer. The dictionary may hold one for each of them.
 *
 * @param refuse throws, naming the file
 */
export function parseRopes(c: CommonFields, init: RopeInit, refuse: Refuse): Ropes {
  // Newer files have `rope_parameters` in the place of `rope_scaling`, which counts more where both are there.
  const field = c.rope_scaling === null || c.rope_scaling === undefined ? 'rope_parameters' : 'rope_scaling'
  const whole = c[field] ?? {}
  const parse = (type: LayerType, dictionary: Readonly<Record<string, unknown>>, name: string): Rope =>
    parseRope(type, dictionary, { ...init, c, name }, refuse)
  const nested = Object.entries(whole).filter(([, value]) => isDictionary(value))
  if (nested.length === 0) {
    return {
      full_attention: parse('full_attention', whole, field),
      sliding_attention: parse('sliding_attention', init.fullAlone ? {} : whole, field)
    }
  }
  const other = Object.keys(whole).find(key => !layerTypeNames.some(type => type === key))
  if (other !== undefined) return refuse(`${field}.${shown(other)} is not known beside rotations by type of layer`)
  const of = (type: LayerType): Rope | undefined => {
    const own = whole[type] ?? (init.fullAlone === true ? {} : undefined)
    if (own === undefined) return undefined
    return isDictionary(own) ? parse(type, own, `${field}.${type}`) : refuse(`${field}.${type} is no dictionary`)
  }
  return { full_attention: of('full_attention'), sliding_attention: of('sliding_attention') }
}

function isDictionary(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

interface Where extends RopeInit {
  readonly c: CommonFields
  /** Of the dictionary, for messages. */
  readonly name: string
}

function parseRope(
  layerType: LayerType,
  dictionary: Readonly<Record<string, unknown>>,
  where: Where,
  refuse: Refuse
): Rope {
  const { c, name, headDim, typeOf = type => type } = where
  const given = dictionary.rope_type ?? dictionary.type
  if (given === undefined && (dictionary.factor ?? 1) !== 1) {
    return refuse(`${name} has the factor ${shown(dictionary.factor)} of a type that is not named`)
  }
  const type = typeOf(String(given ?? 'default'))
  if (!Object.hasOwn(scalings, type)) {
    return refuse(`${name} of type ${shown(type)} cannot be computed, only ${Object.keys(scalings).join(', ')}`)
  }
  const parsed = scalings[type as Scaling].safeParse(dictionary)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const field = [name, ...issue.path.map(String), ...(issue.code === 'unrecognized_keys' ? [issue.keys[0]] : [])]
    return refuse(
      issue.code === 'unrecognized_keys'
        ? `${shown(field.join('.'))} is not known of rotation of type ${type}`
        : `${field.join('.')}: ${issue.message}`
    )
  }
  const scaling = parsed.data
  const theta = scaling.rope_theta ?? where.theta[layerType]
  const partial = scaling.partial_rotary_factor ?? c.partial_rotary_factor ?? 1
  const dims = Math.trunc(headDim * partial)
  if (dims % 2 !== 0 || dims === 0) {
    return refuse(`partial_rotary_factor ${partial} of head_dim ${headDim} is ${dims} dimensions: rotation turns pairs`)
  }
  const made = scale(type as Scaling, dictionary, { theta, dims, where }, refuse)
  const rotation: Rotation = {
    ...(dims === headDim ? {} : { dims }),
    ...(made.divisors === undefined || made.divisors.every(each => each === 1) ? {} : { divisors: made.divisors }),
    ...(made.gain === undefined || made.gain === 1 ? {} : { gain: made.gain })
  }
  return {
    theta,
    rotation: Object.keys(rotation).length === 0 ? undefined : rotation,
    contextMax: made.contextMax ?? c.max_position_embeddings,
    note: made.note
  }
}

interface Scaled {
  /** [dims / 2]; undefined: all are 1. */
  readonly divisors?: readonly number[] | undefined
  readonly gain?: number | undefined
  readonly contextMax?: number | undefined
  readonly note?: string | undefined
}

interface ScaleInit {
  readonly theta: number
  readonly dims: number
  readonly where: Where
}

function scale(type: Scaling, dictionary: unknown, init: ScaleInit, refuse: Refuse): Scaled {
  const { dims, where } = init
  const { c } = where
  const originalContext = where.originalContext ?? c.original_max_position_embeddings ?? undefined
  const contextMax = c.max_position_embeddings
  switch (type) {
    case 'default':
      return {}
    case 'linear':
      return { divisors: filled(dims, scalings.linear.parse(dictionary).factor) }
    case 'dynamic': {
      // Beyond the context that the model was trained for, theta would change with each token, and all of the cache with it.
      const note = `rotation of type dynamic is unscaled up to max_position_embeddings, and the context ends there, at ${contextMax} tokens`
      return { contextMax, note }
    }
    case 'llama3': {
      const s = scalings.llama3.parse(dictionary)
      if (s.high_freq_factor <= s.low_freq_factor) {
        return refuse(`${where.name}: high_freq_factor ${s.high_freq_factor} is not above low_freq_factor`)
      }
      const original = originalContext ?? s.original_max_position_embeddings ?? contextMax
      return { divisors: llama3Divisors({ ...s, original }, init) }
    }
    case 'yarn': {
      const s = scalings.yarn.parse(dictionary)
      const original = originalContext ?? s.original_max_position_embeddings ?? contextMax
      const factor = s.factor ?? contextMax / original
      return {
        divisors: yarnDivisors({ ...s, factor, original }, init),
        gain: s.attention_factor ?? yarnGain(factor, s.mscale ?? 0, s.mscale_all_dim ?? 0)
      }
    }
    case 'longrope': {
      const s = scalings.longrope.parse(dictionary)
      return longRope(
        { ...s, original: originalContext ?? s.original_max_position_embeddings ?? contextMax },
        init,
        refuse
      )
    }
  }
}

function filled(dims: number, value: number): number[] {
  return new Array<number>(dims / 2).fill(value)
}

/** What of rotation's turns one pair makes in so many positions, by its index: positions · theta^(-2i / dims) / 2π. */
function turns(positions: number, i: number, { theta, dims }: ScaleInit): number {
  return positions / (2 * Math.PI * power(theta, (2 * i) / dims))
}

function llama3Divisors(
  s: {
    readonly factor: number
    readonly low_freq_factor: number
    readonly high_freq_factor: number
    readonly original: number
  },
  init: ScaleInit
): number[] {
  return filled(init.dims, 0).map((_, i) => {
    // Wavelengths of more than original / low positions are fewer turns than `low`.
    const made = turns(s.original, i, init)
    if (made > s.high_freq_factor) return 1
    if (made < s.low_freq_factor) return s.factor
    const smooth = (made - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor)
    return 1 / ((1 - smooth) / s.factor + smooth)
  })
}

interface Yarn {
  readonly factor: number
  readonly original: number
  readonly beta_fast?: number | null | undefined
  readonly beta_slow?: number | null | undefined
  readonly truncate?: boolean | null | undefined
}

function yarnDivisors(
  { factor, original, beta_fast, beta_slow, truncate }: Yarn,
  { theta, dims }: ScaleInit
): number[] {
  const pairOf = (rotations: number): number =>
    (dims * logarithm(original / (rotations * 2 * Math.PI))) / (2 * logarithm(theta))
  const rounded = (round: (value: number) => number, value: number): number =>
    truncate === false ? value : round(value)
  const low = Math.max(rounded(Math.floor, pairOf(beta_fast ?? 32)), 0)
  const end = Math.min(rounded(Math.ceil, pairOf(beta_slow ?? 1)), dims - 1)
  const high = low === end ? end + 0.001 : end
  return filled(dims, 0).map((_, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1)
    return 1 / (ramp / factor + (1 - ramp))
  })
}

function yarnGain(factor: number, mscale: number, mscaleAll: number): number {
  const of = (m: number): number => (factor <= 1 ? 1 : 0.1 * m * logarithm(factor) + 1)
  return mscale > 0 && mscaleAll > 0 ? of(mscale) / of(mscaleAll) : of(1)
}

interface LongRope {
  readonly factor?: number | null | undefined
  readonly attention_factor?: number | null | undefined
  readonly short_factor: readonly number[]
  readonly long_factor: readonly number[]
  readonly original: number
}

/**
 * One list of two, by the length of the sequence: to change it within an answer is to compute all of its keys anew. So the context
 * ends where the short one does.
 */
function longRope(s: LongRope, { dims, where }: ScaleInit, refuse: Refuse): Scaled {
  const contextMax = where.c.max_position_embeddings
  for (const name of ['short_factor', 'long_factor'] as const) {
    if (s[name].length !== dims / 2) {
      return refuse(`${where.name}.${name} has ${s[name].length} factors, ${dims / 2} pairs are rotated`)
    }
  }
  const factor = s.factor ?? contextMax / s.original
  const gain = s.attention_factor ?? (factor <= 1 ? 1 : Math.sqrt(1 + logarithm(factor) / logarithm(s.original)))
  const isOne = s.short_factor.every((each, i) => each === s.long_factor[i])
  if (isOne || s.original >= contextMax) return { divisors: s.short_factor, gain }
  const note = `rotation of type longrope has other factors beyond ${s.original} tokens, and the context ends there, not at ${contextMax}`
  return { divisors: s.short_factor, gain, contextMax: s.original, note }
}
