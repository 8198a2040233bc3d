/**
 * Child of `load.ts`: loads a stage, runs a few steps, says how long it took and what memory it keeps. The engines are those that
 * `npm run build` made, as a peer's are: a thread that begins with TypeScript takes 100 ms to strip its types.
 */
import { readFileSync } from 'node:fs'
import type { SessionId } from '../../src/base/ids.ts'
import { asDecoder } from '../../src/model/stored.ts'
import { openBenchStore } from './models.ts'

// Not static imports: their types would need the build to be there before they can be checked.
type Wasm = typeof import('../../src/engine/wasm/engine.ts')
type Onnx = typeof import('../../src/engine/onnx/engine.ts')
const built = (engine: string): string => new URL(`../../dist/src/engine/${engine}/engine.js`, import.meta.url).href

export interface LoadProcessInit {
  readonly store: string
  readonly model: string
  readonly engine: 'wasm' | 'onnx'
  readonly start: number
  readonly end: number
}

const init = JSON.parse(process.argv[2]!) as LoadProcessInit
const signal = new AbortController().signal
const store = await openBenchStore(init.store)
const { manifest, ...stored } = asDecoder(await store.resolve(init.model))
const shardDirectory = await store.shardDirectory({ manifest, ...stored })
const { createWasmEngine } = (await import(built('wasm'))) as Wasm
const { createOnnxEngine } = (await import(built('onnx'))) as Onnx
const before = residentBytes()
const began = performance.now()
const { start, end } = init
const create = init.engine === 'wasm' ? createWasmEngine : createOnnxEngine
const engine = await create({ manifest, shardDirectory, start, end, cacheBytesMax: 1 << 30, signal })
const loadMs = performance.now() - began

const session = '0'.repeat(32) as SessionId
await engine.open(session, { tokensMax: 16, sampling: { temperature: 0, topK: 0, topP: 1, seed: 0 } })
for (let position = 0; position < 16; position++) {
  const input =
    start === 0
      ? ({ kind: 'ids', ids: Int32Array.of(3 + position) } as const)
      : ({ kind: 'hidden', bytes: new Uint8Array(engine.hidden * (manifest.edge === 'f32' ? 4 : 2)) } as const)
  await engine.run({ session, position, tokens: 1, input, sample: end === manifest.config.layers }, { signal })
}
const after = residentBytes()
process.send!({ kind: 'loaded', loadMs, memory: after.kind, bytes: after.bytes - before.bytes })
await engine.close()
process.disconnect()

/** Proportional set size where the system tells it: mapped files that others share count in part. */
function residentBytes(): { kind: 'PSS' | 'RSS'; bytes: number } {
  globalThis.gc?.()
  try {
    const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))![1]
    return { kind: 'PSS', bytes: Number(kilobytes) * 1024 }
  } catch {
    return { kind: 'RSS', bytes: process.memoryUsage.rss() }
  }
}
