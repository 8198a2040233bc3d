/** ONNX Runtime is an optional package: the engine over it is there where somebody has installed it. */
import { createRequire } from 'node:module'

const { resolve } = createRequire(import.meta.url)

/** Why ONNX Runtime cannot be loaded here, in one sentence; undefined where it is installed. */
export function whyNotInstalled(): string | undefined {
  try {
    resolve('onnxruntime-node')
    return undefined
  } catch {
    return 'the optional package onnxruntime-node is not installed here: npm install onnxruntime-node adds it'
  }
}
