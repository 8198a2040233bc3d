/** GGUF files of real models, where this machine has them: they are never committed. */
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** A folder each: SmolLM2-135M-Instruct in Q4_1, Qwen2.5-Coder-0.5B-Instruct and Gemma-3-270M in Q4_K_M. */
export type RealModel = 'smol' | 'qwen' | 'gemma'

/** Where they are: `SKEIN_MODELS`, else `models` in the folder for temporary files. */
const folder = process.env.SKEIN_MODELS ?? path.join(tmpdir(), 'models')

function fileIn(name: RealModel): string | undefined {
  try {
    return readdirSync(path.join(folder, name)).find(file => file.endsWith('.gguf'))
  } catch {
    return undefined
  }
}

/** Why there is no such model here, or undefined. */
export function whyNoModel(name: RealModel): string | undefined {
  return fileIn(name) === undefined ? 'real models are not here: SKEIN_MODELS names a folder of them' : undefined
}

export function realModel(name: RealModel): string {
  return path.join(folder, name, fileIn(name)!)
}
