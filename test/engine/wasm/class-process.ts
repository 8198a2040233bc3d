/** Prints the class that this very machine computes, in each form of the kernels that it can run. */
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { computeClass } from '../../../src/engine/wasm/numeric-class.ts'

const forms = [formsHere(), { dot: 'plain', streams: 1 } as const]
console.log(JSON.stringify({ arch: process.arch, classes: forms.map(computeClass) }))
