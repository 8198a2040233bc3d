/** Prints the classes that this very machine computes, by type of cache, in each form of the kernels that it can run. */
import { cacheTypes } from '../../../src/base/cache-type.ts'
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { computeClass } from '../../../src/engine/wasm/numeric-class.ts'

const forms = [formsHere(), { dot: 'plain', streams: 1, attention: 'words' } as const]
const classes = Object.fromEntries(cacheTypes.map(type => [type, forms.map(form => computeClass(form, type))]))
console.log(JSON.stringify({ arch: process.arch, classes }))
