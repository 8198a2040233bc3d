/**
 * Texts as the inputs of a graph that embeds them, and its output as one vector for each: the mean of its tokens' vectors, of length 1,
 * as sentence-transformers has it (`mean` pooling, then `Normalize`). Pure.
 */
import { GraphRunError, InvalidOptionError } from '../errors.ts'
import { halfAt } from './half.ts'
import { tensorsBytesMax } from './limits.ts'
import { describePort, type GraphPort, type Tensor, type Tensors, tensorTypes } from './tensors.ts'

/** What a graph of the transformers family takes of texts: each [texts, tokens] of whole numbers. */
const roles: Readonly<Record<string, 'ids' | 'mask' | 'zeros'>> = {
  input_ids: 'ids',
  attention_mask: 'mask',
  token_type_ids: 'zeros'
}

/**
 * The inputs for one text, filled up with what the mask leaves out where the graph takes texts of one length.
 *
 * @param ids of the text
 * @throws {InvalidOptionError} when the graph takes something else than texts
 */
export function textInputs(model: string, ports: readonly GraphPort[], ids: readonly number[]): Tensors {
  const fixed = ports.map(({ dims }) => dims?.[1]).find(size => typeof size === 'number')
  const tokens = fixed ?? ids.length
  // A manifest may be from anybody: what it says of sizes is not believed before memory is taken.
  if (tokens > tensorsBytesMax / tensorTypes.int64.bytes) {
    throw new InvalidOptionError(
      `${model} takes texts of ${tokens} tokens, and a run has at most ${tensorsBytesMax} bytes`
    )
  }
  if (ids.length > tokens) {
    throw new InvalidOptionError(`${model} takes texts of ${tokens} tokens, and this one has ${ids.length}`)
  }
  return Object.fromEntries(
    ports.map(port => {
      const role = roles[port.name]
      const isOurs = (port.type === 'int64' || port.type === 'int32') && port.dims?.length === 2
      if (role === undefined || !isOurs) {
        throw new InvalidOptionError(
          `${model} takes ${port.name} (${describePort(port)}), which no text gives: ask it with --input`
        )
      }
      const values = Array.from({ length: tokens }, (_, i) => {
        if (role === 'zeros' || i >= ids.length) return 0
        return role === 'mask' ? 1 : ids[i]!
      })
      const data = port.type === 'int64' ? BigInt64Array.from(values, BigInt) : Int32Array.from(values)
      return [port.name, { type: port.type, dims: [1, tokens], data } satisfies Tensor]
    })
  )
}

/**
 * The vector of one text, of length 1.
 *
 * @param tokens of the text
 * @throws {InvalidOptionError} when the graph gives no vectors. @throws {GraphRunError} when they are not finite
 */
export function embedding(model: string, outputs: Tensors, tokens: number): Float32Array {
  const { dims, data, type } = vectorsIn(model, outputs)
  const width = dims.at(-1)!
  const count = dims.length === 2 ? 1 : Math.min(tokens, dims[1]!)
  const mean = new Float64Array(width)
  for (let i = 0; i < count * width; i++) {
    mean[i % width]! += (type === 'float16' ? halfAt(Number(data[i])) : Number(data[i])) / count
  }
  const norm = Math.sqrt(mean.reduce((sum, value) => sum + value * value, 0))
  if (!Number.isFinite(norm)) throw new GraphRunError(`${model} gives numbers that are not finite for this text`)
  return Float32Array.from(mean, value => (norm === 0 ? 0 : value / norm))
}

/** [1, width], or [1, tokens, width]: the output that is called so, else the first of numbers. */
function vectorsIn(model: string, outputs: Tensors): Tensor {
  const { sentence_embedding: named } = outputs
  const found = named ?? Object.values(outputs).find(({ type }) => type === 'float32' || type === 'float16')
  const isOne = found?.dims[0] === 1 && (found.dims.length === 2 || found.dims.length === 3)
  if (found !== undefined && isOne) return found
  throw new InvalidOptionError(`${model} has no output of vectors: ask it with --input and see what it gives`)
}
