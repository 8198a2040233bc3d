/** Compiles the kernels of a stage. */
import { EngineError } from '../../errors.ts'
import { stopPairing } from './compiler.ts'
import { memoryPageBytes } from './emit.ts'
import { type Kernels, type KernelsInit, kernelModule } from './kernels.ts'
import { checkBytes, wrongKernel } from './self-check.ts'

/** Pages of 64 KiB that a memory may have: 4 GiB. */
export const memoryPagesMax = 65_536

/**
 * Compiles the kernels, and checks them.
 *
 * @param options.shared their memory is used by several threads
 * @throws {EngineError} when one is wrong on this machine.
 */
export function compileKernels(
  init: Omit<KernelsInit, 'memory'>,
  { shared }: { readonly shared: boolean }
): WebAssemblyModule {
  for (;;) {
    const module = new WebAssembly.Module(
      kernelModule({ ...init, memory: { minimum: 1, maximum: memoryPagesMax, shared } })
    )
    const memory = new WebAssembly.Memory({ initial: checkBytes / memoryPageBytes, maximum: memoryPagesMax, shared })
    const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels
    const wrong = wrongKernel(kernels, memory.buffer, init)
    if (wrong === undefined) return module
    if (!stopPairing()) throw new EngineError(`this machine computes ${wrong} wrongly`)
  }
}
