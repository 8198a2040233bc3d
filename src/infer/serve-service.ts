/** Answers those who ask for runs of graphs that are served here (protocols/infer.md). */
import { type Clock, systemClock, type Timer } from '../base/clock.ts'
import type { ModelId, PeerId } from '../base/ids.ts'
import { reasonOf } from '../base/reason.ts'
import { DeadlineError, EngineError, GraphRunError, NoRoomError, ProtocolError } from '../errors.ts'
import type { GraphRun } from '../engine/graph-runtime.ts'
import { graphRunMaxMs } from '../engine/limits.ts'
import { type GraphPort, sumBytes, type Tensors, wrongTensors } from '../model/tensors.ts'
import type { Channel, Links } from '../swarm/links.ts'
import { Assembly, bytesOfHeads, headsOf, piecesOf } from './assembly.ts'
import { decodeFrame, encodeFrame } from './codec.ts'
import {
  inferFrameBytesMax,
  inferHeldBytesMax,
  inferHeldBytesPerPeerMax,
  inferSilentMs,
  inferStreamsPerPeerMax,
  inferWayMs
} from './limits.ts'
import { type AskFrame, type InferFrame, inferProtocol, type InferReason, type PieceFrame } from './message.ts'

/** A graph that is served here. */
export interface ServedPort {
  readonly name: string
  readonly inputs: readonly GraphPort[]
  run(inputs: Tensors, options: { readonly deadlineMs: number; readonly signal: AbortSignal }): Promise<GraphRun>
}

export interface InferServeInit {
  readonly links: Links
  /** Undefined for what is not served here, or not yet. */
  readonly served: (model: ModelId) => ServedPort | undefined
  /** Called once for every stream that a peer broke by breaking the protocol. */
  readonly onViolation: (peer: PeerId, kind: string, message: string) => void
  /** @default the machine's */
  readonly clock?: Clock
}

export class InferServer {
  readonly #init: InferServeInit
  readonly #asks = new Set<Ask>()
  /** Of tensors that are on their way, in or out. */
  #heldBytes = 0
  readonly #heldBytesBy = new Map<PeerId, number>()

  constructor(init: InferServeInit) {
    this.#init = init
  }

  async start(): Promise<void> {
    await this.#init.links.handle(
      inferProtocol,
      {
        inboundMax: inferStreamsPerPeerMax,
        frameBytesMax: inferFrameBytesMax,
        onFull: channel => {
          const message = `${inferStreamsPerPeerMax} runs of one peer are under way`
          channel.send(encodeFrame({ kind: 'refused', reason: 'busy', message }))
          void channel.close()
        }
      },
      channel => {
        const ask: Ask = new Ask(this.#init, channel, {
          hold: bytes => this.#hold(channel.remote, bytes),
          onEnd: () => this.#asks.delete(ask)
        })
        this.#asks.add(ask)
        ask.begin()
      }
    )
  }

  /** Runs for others that are under way. */
  get running(): number {
    return this.#asks.size
  }

  /** Who waits for a run is told that this peer goes, and asks another one. */
  async stop(): Promise<void> {
    await this.#init.links.unhandle(inferProtocol)
    await Promise.all([...this.#asks].map(ask => ask.leave()))
  }

  /** Takes so much more for a peer, or gives it back; why not, and nothing taken, where it would be too much. */
  #hold(peer: PeerId, bytes: number): string | undefined {
    const ofPeer = (this.#heldBytesBy.get(peer) ?? 0) + bytes
    if (bytes > 0 && ofPeer > inferHeldBytesPerPeerMax)
      return 'other runs of yours fill your share of the memory for inputs and outputs here'
    if (bytes > 0 && this.#heldBytes + bytes > inferHeldBytesMax)
      return 'others fill the memory for inputs and outputs here'
    this.#heldBytes += bytes
    if (ofPeer > 0) this.#heldBytesBy.set(peer, ofPeer)
    else this.#heldBytesBy.delete(peer)
    return undefined
  }
}

/** One stream: an ask, its inputs, what comes of it. */
class Ask {
  readonly #init: InferServeInit
  readonly #channel: Channel
  readonly #clock: Clock
  readonly #hold: (bytes: number) => string | undefined
  readonly #onEnd: () => void
  readonly #closed = new AbortController()
  #ask: AskFrame | undefined
  #port: ServedPort | undefined
  #inputs: Assembly | undefined
  #heldBytes = 0
  #isRunning = false
  #silence: Timer | undefined
  #late: Timer | undefined
  #isAnswered = false

  constructor(
    init: InferServeInit,
    channel: Channel,
    { hold, onEnd }: { readonly hold: (bytes: number) => string | undefined; readonly onEnd: () => void }
  ) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#channel = channel
    this.#hold = hold
    this.#onEnd = onEnd
  }

  begin(): void {
    this.#awaitFrame()
    this.#channel.receive({
      onFrame: bytes => this.#onFrame(bytes),
      onClose: () => this.#over()
    })
  }

  end(error: Error): void {
    this.#channel.abort(error)
    this.#over()
  }

  /** Ends it because this peer goes. */
  async leave(): Promise<void> {
    // No refusal may follow an answer (N1).
    if (this.#isAnswered) this.end(new EngineError('the peer is stopping'))
    else await this.#refuse('leaving', 'this peer is about to go')
  }

  #over(): void {
    if (this.#closed.signal.aborted) return
    this.#silence?.stop()
    this.#late?.stop()
    // Nobody waits for it any more.
    this.#closed.abort(new EngineError('the stream is closed'))
    this.#hold(-this.#heldBytes)
    this.#heldBytes = 0
    this.#onEnd()
  }

  /** Of its run. */
  get #deadlineMs(): number {
    return Math.min(Math.max(1, this.#ask!.deadlineMs), graphRunMaxMs)
  }

  #awaitFrame(): void {
    this.#silence?.stop()
    this.#silence = this.#clock
      .after(inferSilentMs, () => this.end(new DeadlineError(`nothing came for ${inferSilentMs} ms`)))
      .unref()
  }

  #onFrame(bytes: Uint8Array): void {
    try {
      const frame = decodeFrame(bytes)
      if (frame === undefined) return
      this.#take(frame)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#init.onViolation(this.#channel.remote, 'infer', `${this.#channel.remote}: ${error.message}`)
      this.end(error)
    }
  }

  #take(frame: InferFrame): void {
    if (frame.kind === 'ask' && this.#ask === undefined) this.#asked(frame)
    else if (frame.kind === 'piece' && this.#ask !== undefined && !this.#isRunning) this.#came(frame)
    else throw new ProtocolError(`a frame of the kind ${frame.kind} comes where none is due`)
    if (this.#inputs?.isWhole === true && !this.#isRunning) void this.#run(this.#inputs)
  }

  #asked(ask: AskFrame): void {
    this.#ask = ask
    const { served } = this.#init
    const port = served(ask.model)
    if (port === undefined) {
      void this.#refuse('unknown', 'the graph is not served here')
      return
    }
    const known = new Set(port.inputs.map(({ name }) => name))
    if (ask.inputs.length !== known.size || ask.inputs.some(({ name }) => !known.has(name))) {
      void this.#refuse('wrong', `${port.name} takes ${[...known].join(', ')}`)
      return
    }
    if (!this.#holds(bytesOfHeads(ask.inputs), 'the inputs')) return
    this.#port = port
    this.#inputs = new Assembly(ask.inputs)
    this.#awaitFrame()
  }

  /** Takes memory for tensors, and bounds their way; false, and it is refused, where there is none. */
  #holds(bytes: number, what: string): boolean {
    const full = this.#hold(bytes)
    if (full !== undefined) {
      void this.#refuse('busy', full)
      return false
    }
    this.#heldBytes += bytes
    const wayMs = inferWayMs(bytes)
    this.#late = this.#clock
      .after(wayMs, () => this.end(new DeadlineError(`${what} were longer than ${wayMs} ms on their way`)))
      .unref()
    return true
  }

  #came(piece: PieceFrame): void {
    // Refused already: what was on its way is for nobody.
    if (this.#inputs === undefined) return
    this.#inputs.push(piece)
    this.#awaitFrame()
  }

  async #run(assembly: Assembly): Promise<void> {
    this.#isRunning = true
    this.#silence?.stop()
    // The run has a deadline of its own.
    this.#late?.stop()
    const port = this.#port!
    const inputs = assembly.tensors()
    const wrong = wrongTensors(port.inputs, inputs)
    if (wrong !== undefined) {
      void this.#refuse('wrong', `the input ${wrong}`)
      return
    }
    const deadlineMs = this.#deadlineMs
    try {
      const { outputs, computeMs } = await port.run(inputs, { deadlineMs, signal: this.#closed.signal })
      this.#channel.wanted?.()
      if (this.#closed.signal.aborted || !this.#holds(sumBytes(outputs), 'the outputs')) return
      this.#isAnswered = true
      this.#channel.send(encodeFrame({ kind: 'answer', outputs: headsOf(outputs), computeMs }))
      await this.#send(outputs)
      await this.#channel.close()
      this.#over()
    } catch (error) {
      if (this.#closed.signal.aborted) return
      // No refusal may follow an answer (N1).
      if (this.#isAnswered) this.end(error as Error)
      else void this.#refuse(this.#reasonFor(error), reasonOf(error))
    }
  }

  async #send(outputs: Tensors): Promise<void> {
    for (const piece of piecesOf(outputs)) {
      if (this.#channel.send(encodeFrame(piece))) continue
      await this.#channel.ready({ signal: AbortSignal.any([this.#closed.signal, this.#clock.deadline(inferSilentMs)]) })
    }
  }

  async #refuse(reason: InferReason, message: string): Promise<void> {
    this.#inputs = undefined
    this.#silence?.stop()
    this.#channel.send(encodeFrame({ kind: 'refused', reason, message: message.replaceAll(/\s+/g, ' ') }))
    const closing = this.#channel.close()
    this.#over()
    await closing
  }

  #reasonFor(error: unknown): InferReason {
    if (error instanceof GraphRunError) return 'failed'
    if (error instanceof NoRoomError) return 'busy'
    // It was unserved, or could not be loaded anew: that is not what this ask does to it.
    return this.#init.served(this.#ask!.model) === undefined ? 'unknown' : 'lost'
  }
}
