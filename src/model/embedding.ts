/**
 * Texts as the inputs of a graph that embeds them, and its output as one vector for each: the mean of its tokens' vectors, of length 1,
 * as sentence-transformers has it (`mean` pooling, then `Normalize`). Pure.
 */
import { InvalidOptionError } from '../errors.ts'
import { halfAt } from './half.ts'
import { describePort, type GraphPort, type Tensor, type Tensors } from './tensors.ts'

/** What a graph of the transformers family takes of texts: each [texts, tokens] of whole numbers. */
const roles: Readonly<Record<string, 'ids' | 'mask' | 'zeros'>> = {
  input_ids: 'ids',
  attention_mask: 'mask',
  token_type_ids: 'zeros'
}

/** How many texts one run takes: as many as there are, or so many. */
export function textsAtOnce(ports: readonly GraphPort[]): number | undefined {
  const size = ports[0]?.dims?.[0]
  return typeof size === 'number' ? size : undefined
}

/**
 * The inputs for some texts, shorter ones filled up with what the mask leaves out.
 *
 * @param rows [texts] ids of each, at least one
 * @throws {InvalidOptionError} when the graph takes something else than texts
 */
export function textInputs(model: string, ports: readonly GraphPort[], rows: readonly (readonly number[])[]): Tensors {
  const fixed = ports.map(({ dims }) => dims?.[1]).find(size => typeof size === 'number')
  const longest = Math.max(...rows.map(({ length }) => length))
  const tokens = fixed ?? longest
  if (longest > tokens) throw new InvalidOptionError(`${model} takes texts of ${tokens} tokens, and one has ${longest}`)
  const texts = textsAtOnce(ports) ?? rows.length
  const dims = [texts, tokens]
  return Object.fromEntries(
    ports.map(port => {
      const role = roles[port.name]
      const isOurs = (port.type === 'int64' || port.type === 'int32') && port.dims?.length === 2
      if (role === undefined || !isOurs) {
        throw new InvalidOptionError(
          `${model} takes ${port.name} (${describePort(port)}), which no text gives: ask it with --input`
        )
      }
      const values = Array.from({ length: texts * tokens }, (_, i) => {
        const id = rows[Math.floor(i / tokens)]?.[i % tokens]
        return role === 'zeros' || id === undefined ? 0 : role === 'mask' ? 1 : id
      })
      const data = port.type === 'int64' ? BigInt64Array.from(values, BigInt) : Int32Array.from(values)
      return [port.name, { type: port.type, dims, data } satisfies Tensor]
    })
  )
}

/** The output that embeds: the one that is called so, else the first of numbers. */
function embeddingOf(model: string, outputs: Tensors): Tensor {
  const { sentence_embedding: named } = outputs
  const found = named ?? Object.values(outputs).find(({ type }) => type === 'float32' || type === 'float16')
  if (found !== undefined && (found.dims.length === 2 || found.dims.length === 3)) return found
  throw new InvalidOptionError(`${model} has no output of vectors: ask it with --input and see what it gives`)
}

/**
 * One vector for each text.
 *
 * @param lengths [texts] tokens of each
 * @throws {InvalidOptionError} when the graph gives no vectors
 */
export function embeddings(model: string, outputs: Tensors, lengths: readonly number[]): Float32Array[] {
  const { dims, data, type } = embeddingOf(model, outputs)
  const [texts, tokens, width] = dims.length === 2 ? [dims[0]!, 1, dims[1]!] : [dims[0]!, dims[1]!, dims[2]!]
  if (texts < lengths.length)
    throw new InvalidOptionError(`${model} gives ${texts} vectors for ${lengths.length} texts`)
  const at = (i: number): number => (type === 'float16' ? halfAt(Number(data[i])) : Number(data[i]))
  return lengths.map((length, text) => {
    const mean = new Float64Array(width)
    const count = Math.min(dims.length === 2 ? 1 : length, tokens)
    for (let token = 0; token < count; token++) {
      for (let i = 0; i < width; i++) mean[i]! += at((text * tokens + token) * width + i) / count
    }
    const norm = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0))
    return Float32Array.from(mean, value => (norm === 0 ? 0 : value / norm))
  })
}
