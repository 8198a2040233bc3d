/**
 * What other peers' stages have shown, as far as this peer knows: a record is a word, and placement that goes by words
 * loads nothing where liars say that they serve everything. Each stage is asked for one probe step, a moment after it is
 * announced; whose steps fail repeatedly is in doubt until one succeeds. Placement does without a peer in doubt, routing
 * takes it last, and nobody charges it. Until its probes have failed a stage counts as announced, so that peers of one mind
 * load nothing twice.
 */
import type { PeerId, Range } from '../base/ids.ts'
import type { Rng } from '../base/rng.ts'
import { recordsMax } from '../limits.ts'
import {
  doubtMemoryMs,
  probeFailuresMax,
  probeJitterMs,
  probeMaxMs,
  probeMs,
  probeRetryMaxMs,
  probeRetryMs,
  probesAtOnceMax,
  probeStepsMax
} from './limits.ts'
import { stageMs } from './cost.ts'
import type { PeerView } from './view.ts'

export type ProvenEvent =
  /** What others announce now, and whom of them this peer is connected with. */
  | { readonly kind: 'view'; readonly peers: readonly { readonly view: PeerView; readonly connected: boolean }[] }
  /** A probe has ended. */
  | { readonly kind: 'probed'; readonly peer: PeerId; readonly range: Range; readonly isGood: boolean }
  /** A stage computed for a session that this peer drives. */
  | { readonly kind: 'worked'; readonly peer: PeerId; readonly range: Range }
  | { readonly kind: 'tick' }

export type ProvenEffect =
  /** Ask for one step, and say `probed` when it came or the time is over. */
  | { readonly kind: 'probe'; readonly peer: PeerId; readonly range: Range; readonly deadlineMs: number }
  /** Send a `tick` then; a later wake does not cancel an earlier one. */
  | { readonly kind: 'wake'; readonly atMs: number }

interface Stage {
  readonly range: Range
  state: 'waiting' | 'probing' | 'proven'
  /** Probes in a row that failed. */
  failures: number
  /** When it is asked, or asked again. */
  dueAtMs: number
  /** For how long. */
  deadlineMs: number
}

interface Known {
  readonly stages: Map<string, Stage>
  /** Failures of stages that it no longer announces: another range is no clean slate. */
  failures: number
  isConnected: boolean
  /** Since when nothing is heard of it; null while it is there. */
  goneMs: number | null
}

export class Proven {
  readonly #self: PeerId
  readonly #rng: Rng
  readonly #known = new Map<PeerId, Known>()
  #probing = 0

  constructor(self: PeerId, rng: Rng) {
    this.#self = self
    this.#rng = rng
  }

  /** Whether a stage of this peer has failed its probes, and none of those that it has now has shown anything since. */
  isDoubtful(peer: PeerId): boolean {
    const stages = [...(this.#known.get(peer)?.stages.values() ?? [])]
    return stages.some(({ state, failures }) => state !== 'proven' && failures >= probeFailuresMax)
  }

  handle(event: ProvenEvent, nowMs: number): ProvenEffect[] {
    switch (event.kind) {
      case 'view':
        this.#look(event.peers, nowMs)
        break
      case 'probed': {
        const stage = this.#known.get(event.peer)?.stages.get(keyOf(event.range))
        this.#probing--
        if (stage?.state !== 'probing') break
        if (event.isGood) this.#prove(event.peer, stage)
        else {
          stage.state = 'waiting'
          stage.failures++
          const waitMs = Math.min(probeRetryMaxMs, probeRetryMs * 2 ** (stage.failures - 1))
          stage.dueAtMs = nowMs + waitMs * (1 + this.#rng() / 4)
        }
        break
      }
      case 'worked': {
        const stage = this.#known.get(event.peer)?.stages.get(keyOf(event.range))
        // At every token: of a stage that has shown it before there is nothing to note.
        if (stage === undefined || stage.state === 'proven') return []
        this.#prove(event.peer, stage)
        break
      }
      case 'tick':
        break
    }
    return this.#due(nowMs)
  }

  #prove(peer: PeerId, stage: Stage): void {
    stage.state = 'proven'
    stage.failures = 0
    this.#known.get(peer)!.failures = 0
  }

  #look(peers: readonly { readonly view: PeerView; readonly connected: boolean }[], nowMs: number): void {
    const seen = new Set(peers.map(({ view }) => view.peer))
    for (const [peer, known] of this.#known) {
      if (seen.has(peer)) continue
      known.goneMs ??= nowMs
      known.isConnected = false
      this.#drop(known, () => true)
      if (nowMs - known.goneMs >= doubtMemoryMs || known.failures === 0) this.#known.delete(peer)
    }
    for (const { view, connected } of peers) {
      if (view.peer === this.#self) continue
      const known = this.#known.get(view.peer) ?? { stages: new Map(), failures: 0, isConnected: false, goneMs: null }
      this.#known.set(view.peer, known)
      known.goneMs = null
      known.isConnected = connected
      const serving = view.stages.filter(stage => stage.serving && view.leaving !== true)
      const keys = new Set(serving.map(keyOf))
      this.#drop(known, key => !keys.has(key))
      for (const { start, end } of serving) {
        const key = keyOf({ start, end })
        const queue = 1 + view.sessions + (view.queuedSteps ?? 0)
        const deadlineMs = Math.min(probeMaxMs, probeMs + probeStepsMax * stageMs(view, end - start) * queue)
        const stage = known.stages.get(key)
        if (stage !== undefined) stage.deadlineMs = deadlineMs
        else {
          const dueAtMs = nowMs + this.#rng() * probeJitterMs
          known.stages.set(key, {
            range: { start, end },
            state: 'waiting',
            failures: known.failures,
            dueAtMs,
            deadlineMs
          })
        }
      }
    }
    // Records are bounded; so is what is remembered of those who have gone.
    for (const [peer, { goneMs }] of this.#known) {
      if (this.#known.size <= recordsMax) break
      if (goneMs !== null) this.#known.delete(peer)
    }
  }

  /** Stages that are announced no longer. */
  #drop(known: Known, isGone: (key: string) => boolean): void {
    for (const [key, stage] of known.stages) {
      if (!isGone(key)) continue
      if (stage.state !== 'proven') known.failures = Math.max(known.failures, stage.failures)
      known.stages.delete(key)
    }
  }

  /** Asks those whose time has come, a few at once, the longest due first. */
  #due(nowMs: number): ProvenEffect[] {
    const waiting = [...this.#known].flatMap(([peer, { stages, isConnected }]) =>
      isConnected ? [...stages.values()].flatMap(stage => (stage.state === 'waiting' ? [{ peer, stage }] : [])) : []
    )
    const effects: ProvenEffect[] = []
    let wakeAtMs = Number.POSITIVE_INFINITY
    for (const { peer, stage } of waiting.sort((a, b) => a.stage.dueAtMs - b.stage.dueAtMs)) {
      if (stage.dueAtMs > nowMs) {
        wakeAtMs = stage.dueAtMs
        break
      }
      // The end of one of those under way is an event.
      if (this.#probing >= probesAtOnceMax) break
      this.#probing++
      stage.state = 'probing'
      effects.push({ kind: 'probe', peer, range: stage.range, deadlineMs: stage.deadlineMs })
    }
    return Number.isFinite(wakeAtMs) ? [...effects, { kind: 'wake', atMs: wakeAtMs }] : effects
  }
}

function keyOf({ start, end }: Range): string {
  return `${start}-${end}`
}
