/** Child of `seal.ts`: checks a model and loads it whole, from a folder as it is or a sealed one. */
import { openFolder } from '../../src/disk/opened.ts'
import { openStore } from '../../src/model/store.ts'
import { asDecoder } from '../../src/model/stored.ts'

// Not static imports: their types would need the build to be there before they can be checked.
type Wasm = typeof import('../../src/engine/wasm/engine.ts')
type Onnx = typeof import('../../src/engine/onnx/engine.ts')
const built = (engine: string): string => new URL(`../../dist/src/engine/${engine}/engine.js`, import.meta.url).href

export interface SealProcessInit {
  readonly folder: string
  /** In base64; null where files lie as they are. */
  readonly key: string | null
  readonly model: string
  readonly engine: 'wasm' | 'onnx'
}

const init = JSON.parse(process.argv[2]!) as SealProcessInit
const signal = new AbortController().signal
if (init.key !== null) openFolder(init.folder, Uint8Array.from(Buffer.from(init.key, 'base64')))
const store = await openStore({ own: init.folder })
const stored = asDecoder(await store.resolve(init.model))
const { layers } = stored.manifest.config
const beganMs = performance.now()
await store.verify(stored, { signal })
const verifyMs = performance.now() - beganMs
const shardDirectory = await store.shardDirectory(stored)
const { createWasmEngine } = (await import(built('wasm'))) as Wasm
const { createOnnxEngine } = (await import(built('onnx'))) as Onnx
const create = init.engine === 'wasm' ? createWasmEngine : createOnnxEngine
const loadingMs = performance.now()
const used = process.cpuUsage()
const engine = await create({
  ...{ manifest: stored.manifest, shardDirectory, start: 0, end: layers, cacheBytesMax: 1e9, threads: 1, signal }
})
const loadMs = performance.now() - loadingMs
const { user, system } = process.cpuUsage(used)
process.send?.({
  kind: 'loaded',
  verifyMs,
  loadMs,
  loadCpuMs: (user + system) / 1000,
  peakBytes: process.resourceUsage().maxRSS * 1024
})
process.once('message', () => {
  void engine.close().then(() => process.exit())
})
