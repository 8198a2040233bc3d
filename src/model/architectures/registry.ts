/** A parsed `config.json` into the description of a decoder, by the architecture that it names. */
import { z } from 'zod'
import { shown } from '../../base/shown.ts'
import { ImportError } from '../../errors.ts'
import type { ModelConfig } from '../decoder.ts'
import type { EdgeType } from '../manifest.ts'
import { activationOf, type Architecture, type Extras, type Refuse } from './architecture.ts'
import { type CommonFields, fieldsMax, unknownField } from './fields.ts'
import { gemma2, gemma3 } from './gemma.ts'
import { granite } from './granite.ts'
import { kindsOf } from './layers.ts'
import { lfm2 } from './lfm2.ts'
import { llama } from './llama.ts'
import { mistral } from './mistral.ts'
import { mixtral } from './mixtral.ts'
import { olmo2 } from './olmo2.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'
import { qwen3Moe } from './qwen3-moe.ts'
import { parseRopes } from './rope.ts'
import { smollm3 } from './smollm3.ts'
import type { LayerNames } from './tensors.ts'

export const architectures: readonly Architecture[] = [
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen3Moe,
  smollm3,
  phi3,
  granite,
  gemma2,
  gemma3,
  olmo2,
  lfm2
]

/** What a `config.json` describes. */
export interface DescribedModel {
  /** As manifests give it. */
  readonly architecture: string
  /** `tiedEmbeddings` as the file has it; a checkpoint without an output matrix is tied whatever it says. */
  readonly config: ModelConfig
  readonly bosId: number | null
  readonly eosIds: readonly number[]
  /** Names of the checkpoint's tensors, and those that it may have instead. */
  readonly names: LayerNames
  readonly otherNames: readonly LayerNames[]
  /** Where the hidden states cannot be measured. */
  readonly edge: EdgeType
  /** Sentences for who imports. */
  readonly notes: readonly string[]
}

/**
 * Checks a parsed `config.json`.
 *
 * @param file its path, for messages
 * @throws {ImportError} that names the architecture or the field that cannot be imported
 */
export function describeModel(json: unknown, file: string): DescribedModel {
  const refuse: Refuse = what => {
    throw new ImportError(`${file}: ${what}`)
  }
  // The architecture comes first: another one's config may lack fields, and its name is the real reason.
  const architecture = architectureOf(json, refuse)
  const c = parseFields(json, architecture, refuse)
  const heads = c.num_attention_heads
  const kvHeads = c.num_key_value_heads ?? heads
  if (heads % kvHeads !== 0) refuse(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`)
  const headDim = c.head_dim ?? architecture.headDim ?? c.hidden_size / heads
  if (!Number.isInteger(headDim)) {
    refuse(`hidden_size ${c.hidden_size} is no multiple of num_attention_heads ${heads}, and there is no head_dim`)
  }
  if (headDim % 2 !== 0) refuse(`head_dim ${headDim} is odd: rotation turns pairs`)

  const theta = c.rope_theta ?? architecture.ropeTheta
  const thetas = { full_attention: theta, sliding_attention: theta }
  const ropes = parseRopes(c, { headDim, theta: thetas, ...architecture.rope(c) }, refuse)
  const used = Object.values(ropes).filter(rope => rope !== undefined)
  const contextMax = Math.min(...used.map(rope => rope.contextMax))
  return {
    architecture: architecture.name,
    config: {
      layers: c.num_hidden_layers,
      hidden: c.hidden_size,
      intermediate: architecture.intermediate(c),
      heads,
      kvHeads,
      headDim,
      vocab: c.vocab_size,
      contextMax,
      normEpsilon: c.rms_norm_eps,
      tiedEmbeddings: c.tie_word_embeddings ?? architecture.tied,
      ...kindsOf(architecture.layers(c, refuse), ropes, contextMax, refuse),
      ...withActivation(architecture, c, refuse)
    },
    bosId: idList(c.bos_token_id)[0] ?? null,
    eosIds: idList(c.eos_token_id),
    names: architecture.names,
    otherNames: architecture.otherNames,
    edge: architecture.edge,
    notes: [...new Set(used.map(({ note }) => note).filter(note => note !== undefined))]
  }
}

function architectureOf(json: unknown, refuse: Refuse): Architecture {
  const named = z
    .looseObject({ architectures: z.unknown().optional(), model_type: z.unknown().optional() })
    .safeParse(json)
  if (!named.success) return refuse('it must be a JSON object')
  const { architectures: classes, model_type: type } = named.data
  const className: unknown = Array.isArray(classes) ? classes[0] : undefined
  const found = architectures.find(each =>
    className === undefined ? each.modelType === type : each.className === className
  )
  if (found === undefined) {
    const known = architectures.map(each => each.className).join(', ')
    const name = className ?? type
    return refuse(
      name === undefined || name === null
        ? `it names no architecture; these can be imported: ${known}`
        : `the architecture ${shown(name)} cannot be imported, only ${known}`
    )
  }
  if (type !== undefined && type !== null && type !== found.modelType) {
    return refuse(`the model type ${shown(type)} is none of ${found.className}, which has ${found.modelType}`)
  }
  return found
}

function parseFields(json: unknown, architecture: Architecture, refuse: Refuse): CommonFields {
  const { schema, known, otherFields, name } = architecture
  const fields: Record<string, unknown> = { ...(json as object) }
  for (const [field, other] of Object.entries(otherFields)) {
    if (fields[other] !== undefined && fields[other] !== null) fields[field] = fields[other]
  }
  const parsed = schema.safeParse(fields)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const [first, ...rest] = path.map(String)
    const field = first === undefined ? undefined : (otherFields[first] ?? first)
    if (path.length === 1 && fields[first!] === undefined) return refuse(`it has no ${field}`)
    return refuse(`${field === undefined ? 'it' : [field, ...rest].join('.')}: ${message}`)
  }
  const c = parsed.data
  // Before anything is counted up to one of them.
  for (const [field, bound] of Object.entries(fieldsMax)) {
    const value = c[field as keyof typeof fieldsMax] ?? 0
    if (value > bound) refuse(`${field} is ${value}, at most ${bound} can be imported`)
  }
  if (c.quantization_config !== undefined && c.quantization_config !== null) {
    const method = (c.quantization_config as { quant_method?: unknown }).quant_method ?? 'unknown'
    refuse(`the checkpoint is quantised (quantization_config: ${shown(method)}); import the original weights`)
  }
  const unknown = unknownField(fields, known)
  if (unknown !== undefined) {
    refuse(
      `${shown(unknown)} ${shown(fields[unknown])} is not known of the architecture ${name}, and may change what it computes`
    )
  }
  return c
}

/** What an architecture adds, with the activation that the file names. */
function withActivation(
  architecture: Architecture,
  c: ReturnType<Architecture['schema']['parse']>,
  refuse: Refuse
): Extras {
  const { feedForward, ...extras } = architecture.extras(c, refuse)
  const field = architecture.known.has('hidden_activation') ? 'hidden_activation' : 'hidden_act'
  const activation = activationOf(c[field] ?? architecture.activation, field, refuse)
  const both = { ...feedForward, ...activation }
  return { ...extras, ...(Object.keys(both).length === 0 ? {} : { feedForward: both }) }
}

function idList(value: number | number[] | null | undefined): number[] {
  return value === null || value === undefined ? [] : [value].flat()
}
