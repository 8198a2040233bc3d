/**
 * How V8 compiles kernels. Two of its flags are set in the engine's threads before the first module is compiled:
 *
 * - `--no-liftoff`: by the optimising compiler at once. A kernel runs for as long as its first compilation takes, and the
 *   check at load must see the code that is used.
 * - `--experimental-wasm-revectorize`, on x64: pairs neighbouring vectors of 128 bits into one of 256. Products of several
 *   rows take 0.6 of their time (`npm run bench`), those of one the same. An experiment of V8's, so that kernels are checked
 *   when a stage is loaded, and compiled without it where one is wrong.
 */
import { setFlagsFromString } from 'node:v8'

let isPairing = false

/** Before the first module. */
export function setCompiler(): void {
  setFlagsFromString('--no-liftoff')
  if (process.arch !== 'x64') return
  setFlagsFromString('--experimental-wasm-revectorize')
  isPairing = true
}

/** Modules that are compiled from now on have no pairs. False when they had none before. */
export function stopPairing(): boolean {
  if (!isPairing) return false
  setFlagsFromString('--no-experimental-wasm-revectorize')
  isPairing = false
  return true
}
