/**
 * llama.cpp through node-llama-cpp, which is no dependency (with its GPU packages it takes 725 MB): the bench uses
 * it where it is installed, beside Skein or in the folder that `SKEIN_LLAMA` or `--llama` names.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './models.ts'

const version = '3.22.1'
export const howToInstall = `npm install --no-save --ignore-scripts node-llama-cpp@${version}`

/** Tokens that llama.cpp is given at once. */
const batchMax = 512

/** A model in llama.cpp that takes ids and gives the most likely next one. */
export interface LlamaModel {
  /** Forgets everything. */
  begin(): Promise<void>
  /** Reads ids at the next positions, at most {@link batchMax}; returns the id that follows. */
  read(ids: readonly number[]): Promise<number>
  /**
   * Reads ids likewise, however many, and has `use` see the logits [vocab] after each of the last `count` of them, in their order;
   * `use` may keep nothing of them.
   */
  eachLogits(ids: readonly number[], count: number, use: (logits: Float32Array, index: number) => void): Promise<void>
  /** Time that the last call of `read` spent choosing the id, in ms: llama.cpp's sampler sorts out all logits. */
  readonly samplerMs: number
  close(): Promise<void>
}

export interface Llama {
  readonly version: string
  load(file: string, init: { readonly threads: number; readonly contextMax: number }): Promise<LlamaModel>
  close(): Promise<void>
}

/** The parts of node-llama-cpp below its public surface that are used here, as {@link version} has them. */
interface Addon {
  disposeSequence(sequence: number): void
  initBatch(size: number): void
  addToBatch(sequence: number, position: number, ids: Uint32Array, logitsOf: Uint32Array): Uint32Array
  decodeBatch(): Promise<void>
  sampleToken(logits: number, sampler: unknown): Promise<number>
  /** With `wantsLogits`, its fourth result is all ids, each with its logit after it. */
  sampleToken(
    logits: number,
    sampler: unknown,
    wantsProbabilities: boolean,
    wantsConfidence: boolean,
    wantsLogits: true
  ): Promise<readonly [unknown, unknown, unknown, readonly number[]]>
}

interface NodeLlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      readonly _model: unknown
      createContext(options: object): Promise<{ readonly _ctx: Addon; dispose(): Promise<void> }>
      dispose(): Promise<void>
    }>
    readonly _bindings: { AddonSampler: new (model: unknown) => { applyConfig(config: object): void } }
    dispose(): Promise<void>
  }>
}

/** @returns undefined when node-llama-cpp is not installed. */
export async function findLlama(folder: string | undefined): Promise<Llama | undefined> {
  const place = folder ?? path.join(root, 'node_modules/node-llama-cpp')
  if (!existsSync(path.join(place, 'package.json'))) return undefined
  const found = JSON.parse(readFileSync(path.join(place, 'package.json'), 'utf8')) as { version: string }
  const entry = createRequire(path.join(place, 'package.json')).resolve(path.join(place, 'dist/index.js'))
  const { getLlama } = (await import(pathToFileURL(entry).href)) as NodeLlamaCpp
  const llama = await getLlama({ gpu: false, build: 'never', progressLogs: false, logLevel: 'error', maxThreads: 0 })
  return {
    version: found.version,
    async load(file, { threads, contextMax }) {
      const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 })
      const context = await model.createContext({ contextSize: contextMax, batchSize: batchMax, sequences: 1, threads })
      const sampler = new llama._bindings.AddonSampler(model._model)
      sampler.applyConfig({ temperature: 0 })
      // Below the public generator: its locks and checkpoints cost 0.1 ms and more a token, which are no part of
      // llama.cpp and would flatter Skein on a model that takes 1 ms.
      const addon = context._ctx
      let position = 0
      let samplerMs = 0
      const step = async (ids: readonly number[]): Promise<number> => {
        addon.initBatch(ids.length)
        const [logits] = addon.addToBatch(0, position, Uint32Array.from(ids), Uint32Array.of(ids.length - 1))
        await addon.decodeBatch()
        position += ids.length
        const decodedMs = performance.now()
        const id = await addon.sampleToken(logits!, sampler)
        samplerMs = performance.now() - decodedMs
        return id
      }
      return {
        get samplerMs() {
          return samplerMs
        },
        async begin() {
          addon.disposeSequence(0)
          position = 0
        },
        read: step,
        async eachLogits(ids, count, use) {
          const first = ids.length - count
          for (let start = 0; start < ids.length; start += batchMax) {
            const part = Uint32Array.from(ids.slice(start, start + batchMax))
            const begin = Math.max(start, first)
            const wanted = Uint32Array.from(
              { length: Math.max(0, start + part.length - begin) },
              (_, i) => begin - start + i
            )
            addon.initBatch(part.length)
            const places = addon.addToBatch(0, position, part, wanted)
            await addon.decodeBatch()
            position += part.length
            for (const [i, place] of places.entries()) {
              const [, , , pairs] = await addon.sampleToken(place, sampler, false, false, true)
              const logits = new Float32Array(pairs.length / 2)
              for (let at = 0; at < pairs.length; at += 2) logits[pairs[at]!] = pairs[at + 1]!
              use(logits, begin - first + i)
            }
          }
        },
        async close() {
          await context.dispose()
          await model.dispose()
        }
      }
    },
    close: () => llama.dispose()
  }
}
