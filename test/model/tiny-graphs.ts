/** Small ONNX graphs, written by the same writer as those that the engine over ONNX Runtime runs. */
import { GraphWriter } from '../../src/engine/onnx/graph-writer.ts'
import { Message } from '../../src/engine/onnx/protobuf.ts'

/** `y = 2 x + x`, and the sum of each row of it: x float32 [n, 4], y float32 [n, 4], sum float32 [n]. */
export function tripled(): Uint8Array {
  const g = new GraphWriter('tripled')
  const x = g.input('x', 'f32', ['n', 4])
  const y = g.node('Add', [g.node('Mul', [x, g.scalar(2)]), x])
  g.output('y', y, 'f32', ['n', 4])
  g.outputNode('sum', 'f32', ['n'], 'ReduceSum', [y, g.ints(1)], { keepdims: { i: 0 } })
  return g.finish()
}

/**
 * What embeds texts, in form: each token's vector is its id, its id times two, and one where it is no padding; ids and mask int64
 * [batch, tokens], hidden float32 [batch, tokens, 3].
 */
export function embedder(): Uint8Array {
  const g = new GraphWriter('embedder')
  const last = g.ints(2)
  const column = (name: string): string =>
    g.node('Unsqueeze', [g.node('Cast', [g.input(name, 'i64', ['batch', 'tokens'])], { to: { i: 1 } }), last])
  const ids = column('input_ids')
  const mask = column('attention_mask')
  const hidden = g.node('Concat', [ids, g.node('Mul', [ids, g.scalar(2)]), mask], { axis: { i: 2 } })
  g.output('last_hidden_state', hidden, 'f32', ['batch', 'tokens', 3])
  return g.finish()
}

/** Where x is not 0: x float32 [4], at int64 [1, found], which has no column where all of it is. */
export function found(): Uint8Array {
  const g = new GraphWriter('found')
  g.outputNode('at', 'i64', [1, 'found'], 'NonZero', [g.input('x', 'f32', [4])])
  return g.finish()
}

/** A loop that goes round so many times: `y` is x + rounds. */
export function loop(rounds: number): Uint8Array {
  const g = new GraphWriter('loop')
  const x = g.input('x', 'f32', [1])
  const body = new Message()
  body.message(1, new Message().string(1, 'go').string(2, 'go_on').string(4, 'Identity'))
  body.message(1, new Message().string(1, 'value').string(1, 'one').string(2, 'more').string(4, 'Add'))
  body.string(2, 'body')
  const one = new Uint8Array(new Float32Array([1]).buffer)
  body.message(5, new Message().int(1, 1).int(2, 1).string(8, 'one').bytes(9, one))
  const port = (name: string, type: number, dims: readonly number[]): Message => {
    const shape = new Message()
    for (const dim of dims) shape.message(1, new Message().int(1, dim))
    return new Message()
      .string(1, name)
      .message(2, new Message().message(1, new Message().int(1, type).message(2, shape)))
  }
  for (const each of [port('round', 7, []), port('go', 9, []), port('value', 1, [1])]) body.message(11, each)
  for (const each of [port('go_on', 9, []), port('more', 1, [1])]) body.message(12, each)
  g.outputNode('y', 'f32', [1], 'Loop', [g.node('Squeeze', [g.ints(rounds)]), '', x], { body: { g: body } })
  return g.finish()
}

/** Takes 16 kB for each of n, several times over: n int64 [1], y float32 [], the sum of as many ones. */
export function hungry(): Uint8Array {
  const g = new GraphWriter('hungry')
  const n = g.input('n', 'i64', [1])
  const shape = g.node('Concat', [n, g.ints(4096)], { axis: { i: 0 } })
  const ones = g.node('Expand', [g.scalar(1), shape])
  // It takes seconds, in which it is seen.
  const powers = Array.from({ length: 24 }, () => ones).reduce(each => g.node('Pow', [each, g.scalar(2)]), ones)
  g.outputNode('y', 'f32', [], 'ReduceSum', [powers], { keepdims: { i: 0 } })
  return g.finish()
}

/** A weight that lies in a file of that name beside the graph. */
export function outside(file: string): Uint8Array {
  const g = new GraphWriter('outside')
  const x = g.input('x', 'f32', ['n'])
  g.output('y', g.node('Add', [x, g.external('secret', 'f32', [1], file, 0, 4)]), 'f32', ['n'])
  return g.finish()
}
