/**
 * Counts verdicts of silence at their source: `node --import` this file, and every time that the process finds a peer
 * silent it prints one line of JSON on stderr. Who comes back at once would be missed by whoever only asks for status.
 */
import type { PeerId } from '../../src/base/ids.ts'
import type { Liveness as Decider } from '../../src/swarm/liveness.ts'

/** A process has found a peer silent and ends its connections. */
export interface Verdict {
  readonly event: 'verdict'
  readonly about: PeerId
  readonly quietMs: number
  /** Nobody else was heard either. */
  readonly alone: boolean
  readonly rttMs: number | undefined
  /** The judge's uptime. */
  readonly atMs: number
}

/** Tells every verdict of the deciders in this process. */
export async function watchVerdicts(tell: (verdict: Verdict) => void): Promise<void> {
  const built = '../../dist/src/swarm/liveness.js'
  const { Liveness } = (await import(built)) as { Liveness: typeof Decider }
  const { handle } = Liveness.prototype
  Liveness.prototype.handle = function (event, nowMs) {
    // Links come as an iterator that can be walked once.
    const links = event.kind === 'tick' ? [...event.links] : []
    const rtts = new Map(links.map(({ peer }) => [peer, this.rttMs(peer)]))
    const effects = handle.call(this, event.kind === 'tick' ? { ...event, links } : event, nowMs)
    for (const effect of effects) {
      if (effect.kind !== 'silent') continue
      const { peer: about, quietMs, alone } = effect
      tell({ event: 'verdict', about, quietMs: Math.round(quietMs), alone, rttMs: rtts.get(about), atMs: nowMs })
    }
    return effects
  }
}

/** What makes a peer's process tell its verdicts. */
export const tellingVerdicts: Readonly<Record<string, string>> = {
  SKEIN_TELL_VERDICTS: '1',
  NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import ${import.meta.url}`
}

if (process.env.SKEIN_TELL_VERDICTS !== undefined) {
  await watchVerdicts(verdict => process.stderr.write(`${JSON.stringify(verdict)}\n`))
}
