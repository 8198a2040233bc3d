/** What a step took at one stage, for whoever counts that. Pure. */
import type { ModelId } from '../base/ids.ts'
import type { Step, StepCost } from '../engine/engine.ts'

/** A step that an engine of this peer has computed. */
export interface ComputedStep {
  readonly model: ModelId
  readonly tokens: number
  /** In the engine, in ms: of a pass that other sessions share all of it. */
  readonly computeMs: number
  /** From its being given to the engine to its result, beyond that, in ms. */
  readonly queueMs: number
}

/** @param ms from its being given to the engine to its result */
export function computedStep(model: ModelId, { tokens }: Step, { computeMs }: StepCost, ms: number): ComputedStep {
  return { model, tokens, computeMs, queueMs: Math.max(0, ms - computeMs) }
}
