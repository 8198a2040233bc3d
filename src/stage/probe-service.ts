/** Asks a stage of another peer for one probe step. */
import { systemRng } from '../base/entropy.ts'
import type { PeerId, Range } from '../base/ids.ts'
import { drawSessionId, type Rng } from '../base/rng.ts'
import type { Sign } from '../base/signature.ts'
import { stageProtocol } from './frame.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { judgeProbe, type ProbedModel, probeFrames } from './probe.ts'

export interface ProbeOptions {
  readonly links: Links
  readonly sign: Sign
  readonly model: ProbedModel
  readonly peer: PeerId
  readonly range: Range
  /** Names the session that asks. @default the machine's */
  readonly rng?: Rng
}

/** Whether the stage has computed the step when the signal aborts. It never throws. */
export async function probe(
  { links, rng = systemRng, ...about }: ProbeOptions,
  { signal }: { signal: AbortSignal }
): Promise<boolean> {
  let channel: Channel
  try {
    channel = await links.open(about.peer, stageProtocol, { signal })
  } catch {
    return false
  }
  const { open, step, close } = probeFrames({ ...about, self: links.self, session: drawSessionId(rng) })
  const answer = Promise.withResolvers<boolean>()
  const onAbort = (): void => answer.resolve(false)
  signal.addEventListener('abort', onAbort, { once: true })
  channel.receive({
    onFrame: bytes => {
      const isGood = judgeProbe(bytes)
      if (isGood !== undefined) answer.resolve(isGood)
    },
    onClose: () => answer.resolve(false)
  })
  channel.send(open)
  channel.send(step)
  if (signal.aborted) onAbort()
  const isGood = await answer.promise
  signal.removeEventListener('abort', onAbort)
  // It frees its cache now, and not when it notices that nobody is there any more.
  channel.send(close)
  void channel.close()
  return isGood
}
