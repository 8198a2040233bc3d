/** What an architecture says of itself: which fields of a `config.json` it has, and what they describe. */
import { z } from 'zod'
import type { FeedForwardExtras, ModelConfig } from '../decoder.ts'
import type { EdgeType } from '../manifest.ts'
import { type CommonFields, commonFields } from './fields.ts'
import type { LayerForm } from './layers.ts'
import type { RopeInit } from './rope.ts'
import { type LayerNames, llamaNames } from './tensors.ts'

/** Throws, naming the file. */
export type Refuse = (what: string) => never

/** What a decoder has beyond the dimensions and the rotation that all have. */
export type Extras = Pick<
  ModelConfig,
  'norm' | 'attention' | 'feedForward' | 'experts' | 'embeddingScale' | 'residualScale' | 'logitScale' | 'logitCap'
>

/** One architecture, for a `config.json` whose fields have been checked. */
interface Init<Own extends z.ZodRawShape, Fields = CommonFields & z.infer<z.ZodObject<Own>>> {
  /** As manifests give it. */
  readonly name: string
  /** `architectures[0]`. */
  readonly className: string
  /** `model_type`. */
  readonly modelType: string
  /** Fields that others do not have. */
  readonly fields: Own
  /** Names that files may have in the place of a common field's: those count where they are there. */
  readonly otherFields?: Partial<Record<keyof CommonFields, string>>
  /** Where the file leaves a field out. */
  readonly defaults?: {
    readonly headDim?: number
    readonly ropeTheta?: number
    readonly tied?: boolean
    readonly activation?: string
  }
  /** Of the feed-forward part. @default as `intermediate_size` says */
  intermediate?(fields: Fields): number
  /** Rotation that is not as the common fields say. */
  rope?(fields: Fields): Partial<RopeInit>
  /** One for each layer. @default all see everything, and are rotated */
  layers?(fields: Fields, refuse: Refuse): readonly LayerForm[]
  /** @default nothing */
  extras?(fields: Fields, refuse: Refuse): Extras
  /** Names of tensors in the place of llama's. */
  readonly names?: Partial<LayerNames>
  /** Other names in the place of these, where a checkpoint has its experts so. @default none */
  readonly otherNames?: readonly Partial<LayerNames>[]
  /** Of a model whose hidden states cannot be measured. @default 'f16' */
  readonly edge?: EdgeType
}

export interface Architecture {
  readonly name: string
  readonly className: string
  readonly modelType: string
  readonly schema: z.ZodType<CommonFields & { readonly hidden_activation?: string | null | undefined }>
  /** Names of all fields that it has. */
  readonly known: ReadonlySet<string>
  readonly otherFields: Readonly<Record<string, string>>
  readonly headDim: number | undefined
  readonly ropeTheta: number
  readonly tied: boolean
  readonly activation: string
  intermediate(fields: CommonFields): number
  rope(fields: CommonFields): Partial<RopeInit>
  layers(fields: CommonFields, refuse: Refuse): readonly LayerForm[]
  extras(fields: CommonFields, refuse: Refuse): Extras
  readonly names: LayerNames
  readonly otherNames: readonly LayerNames[]
  readonly edge: EdgeType
}

export function architecture<Own extends z.ZodRawShape>(init: Init<Own>): Architecture {
  const {
    name,
    className,
    modelType,
    fields,
    otherFields = {},
    defaults = {},
    names,
    otherNames = [],
    edge = 'f16'
  } = init
  type Fields = CommonFields & z.infer<z.ZodObject<Own>>
  const shape = { ...commonFields, ...fields }
  // What `schema` has parsed is what its own functions are given.
  const own = (fields: CommonFields): Fields => fields as Fields
  return {
    name,
    className,
    modelType,
    schema: z.looseObject(shape) as unknown as Architecture['schema'],
    known: new Set([...Object.keys(shape), ...Object.values(otherFields)]),
    otherFields,
    headDim: defaults.headDim,
    ropeTheta: defaults.ropeTheta ?? 10_000,
    tied: defaults.tied ?? false,
    activation: defaults.activation ?? 'silu',
    intermediate: fields => init.intermediate?.(own(fields)) ?? fields.intermediate_size,
    rope: fields => init.rope?.(own(fields)) ?? {},
    layers: (fields, refuse) =>
      init.layers?.(own(fields), refuse) ??
      Array.from({ length: fields.num_hidden_layers }, () => ({ type: 'full_attention' })),
    extras: (fields, refuse) => init.extras?.(own(fields), refuse) ?? {},
    names: { ...llamaNames, ...names },
    otherNames: otherNames.map(other => ({ ...llamaNames, ...names, ...other })),
    edge
  }
}

/** Biases of all products of attention, where the file says so. */
export function biases(
  attention: boolean | null | undefined,
  feedForward?: boolean | null | undefined
): Pick<Extras, 'attention' | 'feedForward'> {
  return {
    ...(attention === true ? { attention: { qkvBias: true, outputBias: true } } : {}),
    ...(feedForward === true ? { feedForward: { bias: true } } : {})
  }
}

/** By Hugging Face's names. @throws what `refuse` does */
export function activationOf(name: string, field: string, refuse: Refuse): FeedForwardExtras {
  if (name === 'silu' || name === 'swish') return {}
  if (name === 'gelu') return { activation: 'gelu' }
  if (name === 'gelu_pytorch_tanh' || name === 'gelu_new') return { activation: 'gelu-tanh' }
  return refuse(`${field} ${name.slice(0, 64)} cannot be computed, only silu, gelu and gelu_pytorch_tanh`)
}

/** What is left out has a value of its own, and `null` says that there is none. */
export function given<T>(value: T | null | undefined, otherwise: T): T | undefined {
  return value === undefined ? otherwise : (value ?? undefined)
}
