/** Asks one peer for one run of a graph (protocols/infer.md). */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import { DeadlineError, PeerLostError, ProtocolError } from '../errors.ts'
import type { GraphRun } from '../engine/graph-runtime.ts'
import { type GraphPort, type Tensors, wrongOutputs } from '../model/tensors.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { Assembly, bytesOfHeads, headsOf, piecesOf } from './assembly.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import { inferOpenMs, inferSilentMs, inferWayMs } from './limits.ts'
import { type AnswerFrame, type InferFrame, inferProtocol, type RefusedFrame } from './message.ts'

export interface RunAsk {
  readonly model: ModelId
  /** What its manifest says that it gives. */
  readonly outputs: readonly GraphPort[]
  /** Checked against its inputs. */
  readonly inputs: Tensors
  /** From when the inputs are there: their way, and that of the outputs, is bounded by their bytes. */
  readonly deadlineMs: number
}

/** What a peer answered: outputs, or why there are none. */
export type RunAnswer = ({ readonly kind: 'ran' } & GraphRun) | RefusedFrame

/**
 * One run at one peer, on a stream of its own.
 *
 * @throws {PeerLostError} {DeadlineError} {ProtocolError}; the signal's reason
 */
export async function askPeer(
  links: Links,
  peer: PeerId,
  ask: RunAsk,
  { signal, clock = systemClock }: { readonly signal: AbortSignal; readonly clock?: Clock | undefined }
): Promise<RunAnswer> {
  const opening = AbortSignal.any([signal, clock.deadline(inferOpenMs)])
  const channel = await links.open(peer, inferProtocol, { signal: opening }).catch((error: unknown) => {
    signal.throwIfAborted()
    throw opening.aborted ? new DeadlineError(`${peer} took over ${inferOpenMs} ms to open a stream`) : error
  })
  const late = new Late(clock, error => end(error))
  const answering = new Answering(ask, bytes =>
    late.within(inferWayMs(bytes), ms => `the outputs of ${peer} were longer than ${ms} ms on their way`)
  )
  const end = (error: Error): void => {
    answering.fail(error)
    channel.abort(error)
  }
  const onAbort = (): void => end(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  channel.receive({
    onFrame: bytes => {
      try {
        const frame = decodeFrame(bytes)
        if (frame !== undefined) answering.take(frame)
        channel.wanted?.()
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        end(error)
      }
    },
    onClose: error =>
      answering.fail(error ?? new PeerLostError(peer, `${peer} closed its stream before it had answered`))
  })
  try {
    signal.throwIfAborted()
    const heads = headsOf(ask.inputs)
    const wayMs = inferWayMs(bytesOfHeads(heads))
    late.within(wayMs, ms => `the inputs were longer than ${ms} ms on their way to ${peer}`)
    channel.send(encodeFrame({ kind: 'ask', model: ask.model, inputs: heads, deadlineMs: ask.deadlineMs }))
    // Whoever refuses does so before all of the inputs are there.
    await Promise.race([sendInputs(channel, ask.inputs, clock).catch(() => {}), answering.done])
    // The last of them may still lie in buffers on the way.
    if (!answering.hasBegun)
      late.within(ask.deadlineMs + 2 * inferSilentMs, ms => `${peer} did not answer within ${ms} ms`)
    return await answering.done
  } finally {
    late.stop()
    signal.removeEventListener('abort', onAbort)
    void channel.close()
  }
}

async function sendInputs(channel: Channel, inputs: Tensors, clock: Clock): Promise<void> {
  for (const piece of piecesOf(inputs)) {
    if (!channel.send(encodeFrame(piece))) await channel.ready({ signal: clock.deadline(inferSilentMs) })
  }
}

/** Ends what takes too long: one thing after the other. */
class Late {
  readonly #clock: Clock
  readonly #end: (error: Error) => void
  #timer: Timer | undefined

  constructor(clock: Clock, end: (error: Error) => void) {
    this.#clock = clock
    this.#end = end
  }

  /** From now on, instead of what was bounded before. */
  within(ms: number, sentence: (ms: number) => string): void {
    this.stop()
    this.#timer = this.#clock.after(ms, () => this.#end(new DeadlineError(sentence(ms))))
  }

  stop(): void {
    this.#timer?.stop()
  }
}

/** An answer on its way. */
class Answering {
  readonly #ask: RunAsk
  readonly #onBegin: (bytes: number) => void
  readonly #done = Promise.withResolvers<RunAnswer>()
  #answer: AnswerFrame | undefined
  #outputs: Assembly | undefined

  /** @param onBegin is told how many bytes of outputs come from then on */
  constructor(ask: RunAsk, onBegin: (bytes: number) => void) {
    this.#ask = ask
    this.#onBegin = onBegin
    // It is waited for only once the inputs are sent.
    this.#done.promise.catch(() => {})
  }

  /** Its outputs are on their way. */
  get hasBegun(): boolean {
    return this.#answer !== undefined
  }

  get done(): Promise<RunAnswer> {
    return this.#done.promise
  }

  fail(error: Error): void {
    this.#done.reject(error)
  }

  /** @throws {ProtocolError} */
  take(frame: InferFrame): void {
    if (frame.kind === 'refused' && this.#answer === undefined) {
      this.#done.resolve(frame)
      return
    }
    if (frame.kind === 'answer' && this.#answer === undefined) {
      this.#answer = frame
      this.#outputs = new Assembly(frame.outputs)
      this.#onBegin(bytesOfHeads(frame.outputs))
    } else if (frame.kind === 'piece' && this.#outputs !== undefined) {
      this.#outputs.push(frame)
    } else {
      throw new ProtocolError(`a frame of the kind ${frame.kind} comes where none is due`)
    }
    if (this.#outputs.isWhole) this.#settle(this.#outputs.tensors(), this.#answer!.computeMs)
  }

  #settle(outputs: Tensors, computeMs: number): void {
    const wrong = wrongOutputs(this.#ask.outputs, outputs)
    if (wrong !== undefined) throw new ProtocolError(`the output ${wrong}`)
    this.#done.resolve({ kind: 'ran', outputs, computeMs })
  }
}
