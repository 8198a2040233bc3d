/** The classes of each trial, in two forms of the kernels that give the same: those of this machine, and those of the revision. */
import { formsHere } from '../../../src/engine/wasm/forms.ts'
import { arithmeticClasses, computeClass, type TrialName } from '../../../src/engine/wasm/numeric-class.ts'

type Classes = Readonly<Record<TrialName, readonly string[]>>

function byTrial(of: (name: TrialName) => string[]): Classes {
  const [f32, i8, decoders] = [of('f32'), of('i8'), of('decoders')]
  return { f32, i8, decoders, experts: of('experts'), convolutions: of('convolutions') }
}

export const classesOfRevision = byTrial(name => [arithmeticClasses[name], arithmeticClasses[name]])

export function classesHere(): Classes {
  const forms = [formsHere(), { dot: 'plain', streams: 1, attention: 'words' } as const]
  return byTrial(name => forms.map(form => computeClass(form, name)))
}
