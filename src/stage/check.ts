/** What a well-formed frame must still be, given the session and the model it belongs to (promise P10). */
import type { PeerId } from '../base/ids.ts'
import type { Verify } from '../base/signature.ts'
import { usualCache } from '../base/cache-type.ts'
import { edgeSize, type Sampling } from '../engine/engine.ts'
import { biasesOf, whyNoFilters } from '../engine/logit-bias.ts'
import type { StageFacts, ViolationKind } from './event.ts'
import { draftsNeed, idsNeed, masksNeed, type OpenFrame, type PrepareFrame, type StepFrame } from './frame.ts'
import { isGenuine, type SignedTerms } from './terms.ts'

/** What is wrong with a frame. */
export interface Fault {
  readonly violation: ViolationKind
  readonly message: string
}

/** Checks that an Open is addressed to this peer and comes from the peer that its route says. */
export function checkOpen({ hop, terms }: OpenFrame, self: PeerId, remote: PeerId): Fault | undefined {
  const { route, driver } = terms
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

/** Who may have sessions at all, and how it shows that terms are its own. */
export interface DriverCheck {
  readonly verify: Verify
  /** `isProbe`: it is a step to see whether a stage computes, from which no answer comes. @default everybody */
  readonly mayDrive?: ((driver: PeerId, isProbe: boolean) => boolean) | undefined
}

/** Checks that terms come from the driver that they name, which may have sessions: whoever passes them on has checked it, too. */
export function checkTerms(terms: SignedTerms, { verify, mayDrive }: DriverCheck): Fault | undefined {
  const { driver, epoch } = terms
  if (!isGenuine(terms, verify))
    return { violation: 'impostor', message: `the terms of epoch ${epoch} are not signed by ${driver}` }
  const isProbe = terms.tokensMax === 1 && terms.stretch !== undefined
  if (mayDrive?.(driver, isProbe) !== false) return undefined
  return { violation: 'role', message: `${driver} may have no sessions: it does not have the role driver` }
}

/** Checks terms against the stage that they ask for. */
export function checkTermsForStage({ route, tokensMax, sampling }: SignedTerms, stage: StageFacts): Fault | undefined {
  const end = route.at(-1)!.end
  if (end !== stage.layers) {
    return { violation: 'invalid', message: `the route ends at layer ${end}, the model has ${stage.layers}` }
  }
  if (tokensMax > stage.contextMax) {
    return {
      violation: 'invalid',
      message: `the session wants ${tokensMax} tokens, the model's context holds ${stage.contextMax}`
    }
  }
  const unknown = whyNoFilters(sampling, stage.vocab)
  return unknown === undefined ? undefined : invalid(unknown)
}

/** Why the engine of a stage has no cache as terms want it, or undefined. */
export function whyNoCache(
  { cache = usualCache }: Pick<SignedTerms, 'cache'>,
  { cacheTypes = [usualCache] }: StageFacts
): string | undefined {
  if (cacheTypes.includes(cache)) return undefined
  return `the session's caches are of ${cache}, and the engine here has caches of ${cacheTypes.join(' and ')} alone`
}

/** Whether the steps of a session carry the ids of their tokens to the tail (rule S36). */
export function carriesIds({ needs }: Pick<SignedTerms, 'needs'>): boolean {
  return needs?.includes(idsNeed) === true
}

/** Whether the steps of a session that sample say what may be drawn (rule S40). */
export function carriesMasks({ needs }: Pick<SignedTerms, 'needs'>): boolean {
  return needs?.includes(masksNeed) === true
}

const samplingFields = [
  'temperature',
  'topP',
  'topK',
  'seed',
  'presencePenalty',
  'frequencyPenalty',
  'repetitionPenalty',
  'promptTokens',
  'minP',
  'logprobs',
  'promptLogprobs'
] as const

/** What a session may not change between its epochs. */
export function whatChanged(before: SignedTerms, terms: SignedTerms): string | undefined {
  const [a, b] = [before.sampling, terms.sampling]
  if (terms.cache !== before.cache) return 'the type of its caches'
  if (terms.model !== before.model) return 'its model'
  if (terms.tokensMax !== before.tokensMax) return 'its tokensMax'
  const carriesAlike = carriesIds(terms) === carriesIds(before) && carriesMasks(terms) === carriesMasks(before)
  if (!carriesAlike) return 'what its steps carry'
  const isSame = samplingFields.every(name => a[name] === b[name]) && hasSameBiases(a, b)
  return isSame ? undefined : 'its sampling'
}

function hasSameBiases(a: Sampling, b: Sampling): boolean {
  if (a.logitBias === b.logitBias) return true
  const [some, others] = [biasesOf(a.logitBias), biasesOf(b.logitBias)]
  return (
    some.length === others.length && some.every(({ id, bias }, i) => id === others[i]!.id && bias === others[i]!.bias)
  )
}

/**
 * Checks a Prepare against the epoch that it came in, as every hop on its way can: it goes to the hop before the
 * stretch, and all else is as it was. Who passes on what is wrong has not looked.
 */
export function checkPrepare({ hop, terms }: PrepareFrame, running: SignedTerms): Fault | undefined {
  const feeder = running.route[hop]
  if (feeder === undefined) return invalid(`hop ${hop} is to feed a stand-in, the route has ${running.route.length}`)
  if (terms.session !== running.session || terms.driver !== running.driver) return invalid('another session prepares')
  const changed = whatChanged(running, terms)
  if (changed !== undefined) return invalid(`a session that prepares a route keeps ${changed}`)
  const from = terms.stretch!.from
  const { peer, start, end } = terms.route[from - 1]!
  if (peer !== feeder.peer || start !== feeder.start || end !== feeder.end) {
    return invalid(
      `hop ${from - 1} of the route to prepare is layers ${start}-${end} of ${peer}, not hop ${hop}'s stage`
    )
  }
  const last = terms.route.at(-1)!.end
  const layers = running.route.at(-1)!.end
  return last === layers ? undefined : invalid(`the route to prepare ends at layer ${last}, the model has ${layers}`)
}

/** Checks a Step against its session. */
export function checkStep(
  step: StepFrame,
  stage: StageFacts,
  session: {
    readonly epoch: number
    readonly tokensMax: number
    readonly hop: number
    readonly terms: Pick<SignedTerms, 'needs'>
  }
): Fault | undefined {
  if (step.epoch !== session.epoch) return invalid(`a step of epoch ${step.epoch} in epoch ${session.epoch}`)
  if (step.position + step.tokens > session.tokensMax) {
    return invalid(`a step ends at ${step.position + step.tokens}, the session at ${session.tokensMax}`)
  }
  const { drafts = [] } = step
  if (drafts.length > 0 && session.terms.needs?.includes(draftsNeed) !== true) {
    return invalid(`a step has ${drafts.length} drafts, which the terms do not need`)
  }
  for (const id of drafts) {
    if (id >= stage.vocab) return invalid(`draft ${id} is outside the vocabulary of ${stage.vocab}`)
  }
  if ((step.masks !== undefined) !== (step.sample && carriesMasks(session.terms))) {
    return invalid(
      step.masks === undefined ? 'a step has not the masks that the terms need' : 'a step has masks that nobody needs'
    )
  }
  if (step.input.kind === 'ids') {
    if (session.hop !== 0) return invalid(`hop ${session.hop} takes hidden states, not ids`)
    for (const id of step.input.ids) {
      if (id >= stage.vocab) return invalid(`id ${id} is outside the vocabulary of ${stage.vocab}`)
    }
    return undefined
  }
  if (session.hop === 0) return invalid('the head takes ids, not hidden states')
  const { ids } = step
  if (carriesIds(session.terms) !== (ids !== undefined)) {
    return invalid(
      ids === undefined ? 'a step has not the ids that the terms need' : 'a step has ids that nobody needs'
    )
  }
  const unknown = ids?.find(id => id >= stage.vocab)
  if (unknown !== undefined) return invalid(`id ${unknown} is outside the vocabulary of ${stage.vocab}`)
  const bytes = step.tokens * stage.hidden * edgeSize(stage.edge)
  if (step.input.bytes.length !== bytes) {
    return invalid(`${step.tokens} hidden states are ${bytes} bytes, not ${step.input.bytes.length}`)
  }
  return undefined
}

function invalid(message: string): Fault {
  return { violation: 'invalid', message }
}
