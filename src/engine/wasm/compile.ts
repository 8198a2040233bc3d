/** Compiles the kernels of a stage. */
import { EngineError } from '../../errors.ts'
import { checkedModulesMax } from '../limits.ts'
import type { CheckedKernels } from '../thread-messages.ts'
import { stopPairing } from './compiler.ts'
import { memoryPageBytes, memoryPagesMax } from './emit.ts'
import { type Kernels, type KernelsInit, kernelModule } from './kernels.ts'
import { checkBytesOf, wrongKernel } from './self-check.ts'

/**
 * Modules that were compiled and checked, by all that they are made of. Threads of one process give them to one another: a module
 * is the machine code that was checked, whoever has it.
 */
export class CheckedModules {
  readonly #modules: Map<string, WebAssemblyModule>

  constructor(modules: CheckedKernels = new Map()) {
    this.#modules = new Map(modules)
  }

  /** In the order in which they came. */
  get modules(): CheckedKernels {
    return this.#modules
  }

  add(modules: CheckedKernels): void {
    for (const [key, module] of modules) this.#modules.set(key, module)
    for (const key of [...this.#modules.keys()].slice(0, -checkedModulesMax)) this.#modules.delete(key)
  }
}

/**
 * Compiles the kernels and checks them, unless `checked` has them.
 *
 * @param options.shared their memory is used by several threads
 * @throws {EngineError} when one is wrong on this machine.
 */
export function compileKernels(
  init: Omit<KernelsInit, 'memory' | 'attempt'>,
  { shared }: { readonly shared: boolean },
  checked = new CheckedModules()
): WebAssemblyModule {
  const key = keyOf(init, shared)
  const known = checked.modules.get(key)
  if (known !== undefined) return known
  for (let attempt = 0; ; attempt++) {
    const memoryLimits = { minimum: 1, maximum: memoryPagesMax, shared }
    const module = new WebAssembly.Module(kernelModule({ ...init, memory: memoryLimits, attempt }))
    const initial = Math.ceil(checkBytesOf(init.config) / memoryPageBytes)
    const memory = new WebAssembly.Memory({ initial, maximum: memoryPagesMax, shared })
    const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels
    const wrong = wrongKernel(kernels, memory.buffer, init)
    if (wrong === undefined) {
      checked.add(new Map([[key, module]]))
      return module
    }
    if (!stopPairing()) throw new EngineError(`this machine computes ${wrong} wrongly`)
  }
}

function keyOf({ config, types, edge, forms }: Omit<KernelsInit, 'memory'>, shared: boolean): string {
  const { hidden, headDim, normEpsilon, ropeTheta, norm, rotation, attention, feedForward, experts, kinds } = config
  const { residualScale, logitScale, logitCap } = config
  const heads = attention?.headNorm === 'all' ? [config.heads, config.kvHeads] : []
  // Whichever forms there are: where two modules differ in one, activations may lie in another way.
  const all = Object.entries(forms).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([
    ...[hidden, headDim, normEpsilon, ropeTheta, norm, rotation, attention, feedForward, kinds?.of, heads],
    ...[residualScale, logitScale, logitCap, [...types], edge, all, shared, experts]
  ])
}
