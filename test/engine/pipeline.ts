/** Several engines as one model: what leaves one enters the next, in the order of the layers. */
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine, Sampling } from '../../src/engine/engine.ts'
import { createOnnxEngine } from '../../src/engine/onnx/engine.ts'
import { createWasmEngine } from '../../src/engine/wasm/engine.ts'
import type { TestModel } from './synthetic-model.ts'

export const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, seed: 0 }
export const signal = new AbortController().signal

export function sessionId(n: number): SessionId {
  return n.toString(16).padStart(32, '0') as SessionId
}

/** What makes an engine, by the name of its factory. */
export const runtimes = { onnx: createOnnxEngine, wasm: createWasmEngine } as const
export type Runtime = keyof typeof runtimes

/** @param cuts the inner borders, ascending. */
export async function cutEngines(
  { manifest, shardDirectory }: TestModel,
  cuts: readonly number[],
  { runtime = 'wasm', ...options }: { runtime?: Runtime; threads?: number; twinRows?: boolean } = {}
): Promise<Engine[]> {
  const borders = [0, ...cuts, manifest.config.layers]
  return Promise.all(
    borders
      .slice(1)
      .map((end, i) =>
        runtimes[runtime]({ manifest, shardDirectory, start: borders[i]!, end, cacheBytesMax: 1 << 28, ...options })
      )
  )
}

/** Runs ids through all engines; `edges` gets the bytes that left each engine but the last. */
export async function through(
  engines: readonly Engine[],
  session: SessionId,
  position: number,
  ids: readonly number[],
  sample: boolean,
  edges?: Uint8Array[]
): Promise<number | undefined> {
  let input: Parameters<Engine['run']>[0]['input'] = { kind: 'ids', ids: Int32Array.from(ids) }
  for (const [i, engine] of engines.entries()) {
    const last = i === engines.length - 1
    const out = await engine.run({ session, position, tokens: ids.length, input, sample: last && sample }, { signal })
    if (out.kind === 'tokens') return out.ids[0]!
    if (out.kind === 'none') return undefined
    edges?.push(out.bytes)
    input = { kind: 'hidden', bytes: out.bytes }
  }
  return undefined
}
