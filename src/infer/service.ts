/**
 * Runs of graphs, wherever they are served: asks who is expected to answer first, and the next one where that fails. A run leaves
 * nothing behind, so it may be asked for again.
 */
import { type Clock, systemClock } from '../base/clock.ts'
import type { PeerId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import {
  DeadlineError,
  EngineError,
  GraphRunError,
  InvalidOptionError,
  NotCoveredError,
  OverloadedError,
  PeerLeavingError,
  PeerLostError,
  ProtocolError
} from '../errors.ts'
import type { GraphRun } from '../engine/graph-runtime.ts'
import { graphRunMaxMs } from '../engine/limits.ts'
import { tensorsBytesMax } from '../model/limits.ts'
import type { StoredGraph } from '../model/stored.ts'
import { checkInputs, type Tensors } from '../model/tensors.ts'
import type { Links } from '../swarm/links.ts'
import { askPeer } from './ask-service.ts'
import { type HeardServer, holdersOf, isComing, serversOf } from './choice.ts'
import {
  inferBusyRetryMs,
  inferDeadlineMs,
  inferLookMs,
  inferLossesMax,
  inferWaitMaxMs,
  inferWaitMs
} from './limits.ts'

export interface InferInit {
  readonly links: Links
  readonly heard: () => readonly HeardServer[]
  /** Whether a graph's file is on this peer's own disk, be it served or not. */
  readonly isHere: (graph: StoredGraph) => Promise<boolean>
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export interface InferOptions {
  readonly signal: AbortSignal
  /** For one run at one peer, from when its inputs are there: what tensors take on their way is not in it. @default inferDeadlineMs */
  readonly deadlineMs?: number | undefined
  /** How long somebody who serves it is waited for. @default inferWaitMs where somebody is loading it, else not at all */
  readonly waitMs?: number | undefined
}

/** What a run gave, and who it was. */
export interface InferResult extends GraphRun {
  readonly peer: PeerId
}

/** @throws {InvalidOptionError} when a time is none */
export function checkTimes({ deadlineMs = inferDeadlineMs, waitMs = 0 }: Omit<InferOptions, 'signal'>): void {
  checkMs('deadlineMs', deadlineMs, { min: 1, max: graphRunMaxMs })
  checkMs('waitMs', waitMs, { min: 0, max: inferWaitMaxMs })
}

function checkMs(option: string, ms: number, { min, max }: { readonly min: number; readonly max: number }): void {
  if (Number.isSafeInteger(ms) && ms >= min && ms <= max) return
  throw new InvalidOptionError(`${option} is a whole number of ms from ${min} to ${max}, not ${ms}`)
}

export class Inferring {
  readonly #init: InferInit
  readonly #clock: Clock

  constructor(init: InferInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
  }

  /**
   * @throws {InvalidOptionError} when the inputs are not those of the graph, or a time is none. @throws {GraphRunError} when it cannot be run with them
   * @throws {NotCoveredError} when nobody serves it. @throws {OverloadedError} when all are busy
   * @throws {PeerLostError} {PeerLeavingError} {DeadlineError} {EngineError} what became of the last one, when there is no other; the signal's reason
   */
  async run(graph: StoredGraph, inputs: Tensors, options: InferOptions): Promise<InferResult> {
    const { name, inputs: ports, outputs } = graph.manifest
    const { signal, deadlineMs = inferDeadlineMs } = options
    checkTimes(options)
    checkInputs(name, ports, inputs, tensorsBytesMax)
    const tried = new Set<PeerId>()
    let [losses, busy] = [0, 0]
    let last: Error | undefined
    for (;;) {
      const peer = await this.#server(graph, tried, options)
      if (peer === undefined) throw await this.#nobody(graph, { last, isBusy: busy > 0 && busy === tried.size })
      tried.add(peer)
      try {
        const ask = { model: graph.id, outputs, inputs, deadlineMs }
        const answer = await askPeer(this.#init.links, peer, ask, { signal, clock: this.#init.clock })
        if (answer.kind === 'ran') return { outputs: answer.outputs, computeMs: answer.computeMs, peer }
        if (answer.reason === 'failed') throw new GraphRunError(answer.message)
        if (answer.reason === 'wrong') throw new InvalidOptionError(answer.message)
        if (answer.reason === 'busy') busy++
        const sentence = `…${peer.slice(-8)}: ${answer.message}`
        last = answer.reason === 'leaving' ? new PeerLeavingError(sentence) : new EngineError(sentence)
        if (answer.reason === 'lost' && ++losses >= inferLossesMax) throw last
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof ProtocolError) this.#init.onViolation(peer, 'infer', `${peer}: ${error.message}`)
        else if (!(error instanceof PeerLostError || error instanceof DeadlineError)) throw error
        last = error
      }
    }
  }

  /** Who is to be asked next; undefined when there is nobody. */
  async #server(
    { id }: StoredGraph,
    tried: ReadonlySet<PeerId>,
    { waitMs, signal }: InferOptions
  ): Promise<PeerId | undefined> {
    const startMs = this.#clock.nowMs()
    for (;;) {
      signal.throwIfAborted()
      const heard = this.#init.heard()
      const next = serversOf(heard, id).find(peer => !tried.has(peer))
      if (next !== undefined) return next
      const patienceMs = waitMs ?? (isComing(heard, id) && tried.size === 0 ? inferWaitMs : 0)
      if (this.#clock.nowMs() - startMs >= patienceMs) return undefined
      await this.#clock.sleep(inferLookMs, { signal })
    }
  }

  async #nobody(
    graph: StoredGraph,
    { last, isBusy }: { readonly last: Error | undefined; readonly isBusy: boolean }
  ): Promise<Error> {
    const { name } = graph.manifest
    if (last !== undefined && isBusy) {
      return new OverloadedError(`all who serve ${name} are busy: ${reasonOf(last)}`, inferBusyRetryMs)
    }
    if (last !== undefined) return last
    const nobody = `no peer that can be reached serves the graph ${name}`
    if (await this.#init.isHere(graph)) {
      return new NotCoveredError(
        `${nobody}. This peer has its file: skein serve ${name} has it run here, where onnxruntime-node is installed`
      )
    }
    const holders = holdersOf(this.#init.heard(), graph.id)
    const have =
      holders === 0 ? 'nobody has its file' : `${holders === 1 ? '1 peer has' : `${holders} peers have`} its file`
    return new NotCoveredError(`${nobody}, and ${have}: skein up --model ${name}, where onnxruntime-node is installed`)
  }
}
