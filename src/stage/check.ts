/** What a well-formed frame must still be, given the session and the model it belongs to (promise P10). */
import type { PeerId } from '../base/ids.ts'
import { edgeSize } from '../engine/engine.ts'
import type { StageFacts, ViolationKind } from './event.ts'
import type { OpenFrame, PrepareFrame, StepFrame } from './frame.ts'

/** What is wrong with a frame. */
export interface Fault {
  readonly violation: ViolationKind
  readonly message: string
}

/** Checks that an Open is addressed to this peer and comes from the peer that its route says. */
export function checkOpen(open: OpenFrame, self: PeerId, remote: PeerId): Fault | undefined {
  const { route, hop, driver } = open
  const here = hop === route.length ? driver : route[hop]!.peer
  if (here !== self) return { violation: 'invalid', message: `hop ${hop} of the route is ${here}, not this peer` }
  const before = hop === 0 ? driver : route[hop - 1]!.peer
  if (before !== remote) {
    return {
      violation: 'impostor',
      message: `the peer before hop ${hop} is ${before}, but ${remote} opened the stream`
    }
  }
  return undefined
}

/** Checks an Open against the stage it asks for. */
export function checkOpenForStage(open: OpenFrame, stage: StageFacts): Fault | undefined {
  const end = open.route.at(-1)!.end
  if (end !== stage.layers) {
    return { violation: 'invalid', message: `the route ends at layer ${end}, the model has ${stage.layers}` }
  }
  if (open.tokensMax > stage.contextMax) {
    return {
      violation: 'invalid',
      message: `the session wants ${open.tokensMax} tokens, the model's context holds ${stage.contextMax}`
    }
  }
  return undefined
}

/** Checks a Prepare at the hop that it is for: its route must go on from this very stage. */
export function checkPrepare(prepare: PrepareFrame, self: PeerId, stage: StageFacts): Fault | undefined {
  const { route, from } = prepare
  const { peer, start, end } = route[from - 1]!
  if (peer !== self || start !== stage.start || end !== stage.end) {
    return invalid(`hop ${from - 1} of the route to prepare is layers ${start}-${end} of ${peer}, not this stage`)
  }
  if (route.at(-1)!.end !== stage.layers) {
    return invalid(`the route to prepare ends at layer ${route.at(-1)!.end}, the model has ${stage.layers}`)
  }
  return undefined
}

/** Checks a Step against its session. */
export function checkStep(
  step: StepFrame,
  stage: StageFacts,
  session: { readonly epoch: number; readonly tokensMax: number; readonly hop: number }
): Fault | undefined {
  if (step.epoch !== session.epoch) return invalid(`a step of epoch ${step.epoch} in epoch ${session.epoch}`)
  if (step.position + step.tokens > session.tokensMax) {
    return invalid(`a step ends at ${step.position + step.tokens}, the session at ${session.tokensMax}`)
  }
  if (step.input.kind === 'ids') {
    if (session.hop !== 0) return invalid(`hop ${session.hop} takes hidden states, not ids`)
    for (const id of step.input.ids) {
      if (id >= stage.vocab) return invalid(`id ${id} is outside the vocabulary of ${stage.vocab}`)
    }
    return undefined
  }
  if (session.hop === 0) return invalid('the head takes ids, not hidden states')
  const bytes = step.tokens * stage.hidden * edgeSize(stage.edge)
  if (step.input.bytes.length !== bytes) {
    return invalid(`${step.tokens} hidden states are ${bytes} bytes, not ${step.input.bytes.length}`)
  }
  return undefined
}

function invalid(message: string): Fault {
  return { violation: 'invalid', message }
}
