/** GGUF files of real models, where `scripts/get-model.ts` has brought them: they are never committed. */
import { existsSync } from 'node:fs'
import path from 'node:path'

const files = {
  smol: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  qwen: 'qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf',
  gemma: 'gemma-3-270m.Q4_K_M.gguf'
} as const
export type RealModel = keyof typeof files

/** `SKEIN_MODELS`, else where the script puts them. */
const folder = process.env.SKEIN_MODELS ?? path.join(import.meta.dirname, '..', 'tmp', 'models')

/** Why there is no such model here, or undefined. */
export function whyNoModel(name: RealModel): string | undefined {
  return existsSync(realModel(name)) ? undefined : 'real models are not here: scripts/get-model.ts fetches them'
}

export function realModel(name: RealModel): string {
  return path.join(folder, files[name])
}
