/** The command's end of the control socket. */
import { createConnection, type Socket } from 'node:net'
import {
  type ChatMessage,
  type DrainReport,
  type GenerationEvent,
  type InferResult,
  PeerNotRunningError,
  type Range,
  type RemovedModel,
  type RequestTrace,
  SkeinError,
  type Status,
  type Tensors
} from '../index.ts'
import {
  chatRequest,
  type ControlChatOptions,
  type ControlFailure,
  type ControlForget,
  type ControlOptions,
  type ControlRequest,
  type ControlResponse,
  type ControlResume,
  controlVersion,
  encodeLine,
  LineReader,
  readResponse,
  socketPath
} from './control.ts'
import {
  controlRemoveMs,
  controlResponseBytesMax,
  controlServeMs,
  controlSilenceMs,
  controlStatusMs,
  controlTensorsBytesMax
} from './limits.ts'
import { shellWord } from './output.ts'
import { tensorOfWire, wireOf } from './tensor-json.ts'

/** Thrown when the peer answers with an error: it keeps its name, sentence and exit code on this side. */
export class RemoteError extends SkeinError {
  override readonly name: string
  readonly exitCode: number
  /** What was generated before the failure. */
  readonly text: string | undefined

  constructor({ name, message, exitCode, text }: ControlFailure) {
    super(message)
    this.name = name
    this.exitCode = exitCode
    this.text = text
  }
}

/**
 * Asks the peer of a data directory for its status.
 *
 * @throws {PeerNotRunningError} when none is running there.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason.
 */
export async function askStatus(dataDir: string, { signal }: { signal: AbortSignal }): Promise<Status> {
  for await (const response of ask(dataDir, { v: controlVersion, op: 'status' }, controlStatusMs, signal)) {
    if (response.kind === 'status') return response.status
  }
  throw endedEarly(dataDir)
}

/**
 * Asks the peer of a data directory for its last requests, the newest first.
 *
 * @param request one of them, or the beginning of its name. @default all, without their laps
 * @throws as {@link askStatus}
 */
export async function askTraces(
  dataDir: string,
  { request }: { request?: string },
  { signal }: { signal: AbortSignal }
): Promise<readonly RequestTrace[]> {
  const asked = { v: controlVersion, op: 'traces', ...(request === undefined ? {} : { request }) } as const
  for await (const response of ask(dataDir, asked, controlStatusMs, signal)) {
    if (response.kind === 'traces') return response.traces
  }
  throw endedEarly(dataDir)
}

/**
 * Has the peer of a data directory answer a prompt, and yields what happens, as it happens. Leaving the
 * loop, or the signal, closes the connection, and that cancels the answer on every peer of its route.
 *
 * @throws {PeerNotRunningError} when none is running there, or it stops before the end.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason.
 */
export async function* askGenerate(
  dataDir: string,
  prompt: string,
  options: ControlOptions,
  { signal }: { signal: AbortSignal }
): AsyncGenerator<GenerationEvent> {
  yield* events(dataDir, { v: controlVersion, op: 'generate', prompt, options }, signal)
}

/** Has the peer of a data directory answer what was said last in a conversation; the rest is as with {@link askGenerate}. */
export async function* askChat(
  dataDir: string,
  messages: readonly ChatMessage[],
  options: ControlChatOptions,
  { signal }: { signal: AbortSignal }
): AsyncGenerator<GenerationEvent> {
  yield* events(dataDir, chatRequest(messages, options), signal)
}

/** Has the peer of a data directory go on with a session that is kept; the rest is as with {@link askGenerate}. */
export async function* askResume(
  dataDir: string,
  session: ControlResume,
  { signal }: { signal: AbortSignal }
): AsyncGenerator<GenerationEvent> {
  yield* events(dataDir, { v: controlVersion, op: 'resume', session }, signal)
}

/**
 * Has the peer of a data directory see to it that a session is kept no longer. Returns how many peers had it.
 *
 * @throws {PeerNotRunningError} when none is running there.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason.
 */
export async function askForget(
  dataDir: string,
  session: ControlForget,
  { signal }: { signal: AbortSignal }
): Promise<number> {
  for await (const response of ask(dataDir, { v: controlVersion, op: 'forget', session }, controlStatusMs, signal)) {
    if (response.kind === 'forgotten') return response.peers
  }
  throw endedEarly(dataDir)
}

/**
 * Has the peer of a data directory remove a model from it.
 *
 * @throws {PeerNotRunningError} when none is running there.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason; the model is removed all the same.
 */
export async function askRemoveModel(
  dataDir: string,
  model: string,
  { signal }: { signal: AbortSignal }
): Promise<RemovedModel> {
  for await (const response of ask(
    dataDir,
    { v: controlVersion, op: 'remove-model', model },
    controlRemoveMs,
    signal
  )) {
    if (response.kind === 'model-removed') return response.removed
  }
  throw endedEarly(dataDir)
}

/**
 * Has the peer of a data directory make room for files, within its disk budget.
 *
 * @param what they are called in its error
 * @throws {PeerNotRunningError} when none is running there.
 * @throws {RemoteError} what the peer answers instead: that there is no room.
 * @throws the signal's reason.
 */
export async function askRoom(
  dataDir: string,
  { what, bytes }: { what: string; bytes: number },
  { signal }: { signal: AbortSignal }
): Promise<void> {
  const request = { v: controlVersion, op: 'make-room', what, bytes } as const
  for await (const response of ask(dataDir, request, controlRemoveMs, signal)) if (response.kind === 'room') return
  throw endedEarly(dataDir)
}

/**
 * Has the peer of a data directory serve a model; true when it is here, false while it is looked for.
 *
 * @throws {PeerNotRunningError} when none is running there.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason; the model is not served then.
 */
export async function askServe(
  dataDir: string,
  { model, layers }: { model: string; layers: Range | undefined },
  { signal }: { signal: AbortSignal }
): Promise<boolean> {
  const request = { v: controlVersion, op: 'serve', model, ...(layers === undefined ? {} : { layers }) } as const
  for await (const response of ask(dataDir, request, controlServeMs, signal)) {
    if (response.kind === 'served') return response.here
  }
  throw endedEarly(dataDir)
}

/**
 * Has the peer of a data directory serve a model no longer.
 *
 * @throws {PeerNotRunningError} when none is running there.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason; the model goes all the same.
 */
export async function askUnserve(dataDir: string, model: string, { signal }: { signal: AbortSignal }): Promise<void> {
  for await (const response of ask(dataDir, { v: controlVersion, op: 'unserve', model }, controlServeMs, signal)) {
    if (response.kind === 'unserved') return
  }
  throw endedEarly(dataDir)
}

/**
 * Has the running peer take items of a ledger of members, and tell them to all others.
 *
 * @returns how many are new. @throws {PeerNotRunningError} when no peer is running there. @throws {RemoteError} what it answers instead.
 */
export async function askLearnMembers(
  dataDir: string,
  items: readonly Uint8Array[],
  { signal }: { signal: AbortSignal }
): Promise<number> {
  const encoded = items.map(item => Buffer.from(item).toString('base64'))
  const request = { v: controlVersion, op: 'learn-members', items: encoded } as const
  for await (const response of ask(dataDir, request, controlStatusMs, signal)) {
    if (response.kind === 'learnt') return response.items
  }
  throw endedEarly(dataDir)
}

/**
 * What a graph takes and gives.
 *
 * @throws {PeerNotRunningError} when no peer is running there. @throws {RemoteError} what it answers instead. @throws the signal's reason.
 */
export async function askGraph(
  dataDir: string,
  model: string,
  { signal }: { signal: AbortSignal }
): Promise<ControlResponse & { kind: 'graph' }> {
  for await (const response of ask(dataDir, { v: controlVersion, op: 'graph', model }, controlServeMs, signal)) {
    if (response.kind === 'graph') return response
  }
  throw endedEarly(dataDir)
}

/** One run of a graph. @throws as {@link askGraph} */
export async function askInfer(
  dataDir: string,
  { inputs, ...rest }: { model: string; inputs: Tensors; waitMs?: number },
  { signal }: { signal: AbortSignal }
): Promise<InferResult> {
  const wires = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, wireOf(tensor)]))
  const request: ControlRequest = { v: controlVersion, op: 'infer', ...rest, inputs: wires }
  for await (const response of ask(dataDir, request, controlSilenceMs + (rest.waitMs ?? 0), signal)) {
    if (response.kind !== 'inferred') continue
    const { peer, computeMs, outputs } = response
    const tensors = Object.entries(outputs).map(([name, wire]) => [name, tensorOfWire(wire)] as const)
    return { peer, computeMs, outputs: Object.fromEntries(tensors) }
  }
  throw endedEarly(dataDir)
}

/** Vectors of texts. @throws as {@link askGraph} */
export async function askEmbed(
  dataDir: string,
  { texts, ...rest }: { model: string; texts: readonly string[]; waitMs?: number },
  { signal }: { signal: AbortSignal }
): Promise<ControlResponse & { kind: 'embedded' }> {
  const request: ControlRequest = { v: controlVersion, op: 'embed', ...rest, texts: [...texts] }
  for await (const response of ask(dataDir, request, controlSilenceMs + (rest.waitMs ?? 0), signal)) {
    if (response.kind === 'embedded') return response
  }
  throw endedEarly(dataDir)
}

async function* events(
  dataDir: string,
  request: ControlRequest & { op: 'generate' | 'chat' | 'resume' },
  signal: AbortSignal
): AsyncGenerator<GenerationEvent> {
  for await (const response of ask(dataDir, request, controlSilenceMs, signal)) {
    if (response.kind === 'event') yield response.event
  }
}

/**
 * Has the peer of a data directory go, and returns what became of what it held; its process then ends.
 *
 * @throws {PeerNotRunningError} when none is running there, or it stops before the end.
 * @throws {RemoteError} what the peer answers instead.
 * @throws the signal's reason; the peer goes all the same.
 */
export async function askDrain(dataDir: string, { signal }: { signal: AbortSignal }): Promise<DrainReport> {
  for await (const response of ask(dataDir, { v: controlVersion, op: 'drain' }, controlSilenceMs, signal)) {
    if (response.kind === 'drained') return response.report
  }
  throw endedEarly(dataDir)
}

/** Whether a peer answers on the control socket of a directory. */
export async function reachable(dataDir: string): Promise<boolean> {
  try {
    await checkReachable(dataDir)
    return true
  } catch (err) {
    if (err instanceof PeerNotRunningError) return false
    throw err
  }
}

/** @throws {PeerNotRunningError} when none runs there */
export async function checkReachable(dataDir: string): Promise<void> {
  const { socket, close } = await connect(dataDir, AbortSignal.timeout(controlStatusMs))
  socket.destroy()
  await close()
}

/** Sends one request and yields its responses until `end`. */
async function* ask(
  dataDir: string,
  request: ControlRequest,
  silenceMs: number,
  signal: AbortSignal
): AsyncGenerator<ControlResponse> {
  signal.throwIfAborted()
  const { socket, close } = await connect(dataDir, signal)
  try {
    socket.setTimeout(silenceMs, () =>
      socket.destroy(new PeerNotRunningError(`the peer on ${dataDir} has not answered for ${silenceMs / 1000} s`))
    )
    socket.write(encodeLine(request))
    const isWide = request.op === 'infer' || request.op === 'embed'
    const reader = new LineReader(isWide ? controlTensorsBytesMax : controlResponseBytesMax)
    // Reading by iteration is the back-pressure: an unread socket fills, and the peer generates no further.
    for await (const chunk of socket) {
      const lines = reader.push(chunk as Buffer)
      for (const line of lines ?? [undefined]) {
        const response = line === undefined ? undefined : readResponse(line)
        if (response === undefined) {
          throw new PeerNotRunningError(`what answers on the control socket of ${dataDir} is no Skein peer`)
        }
        if (response.kind === 'error') throw new RemoteError(response.error)
        if (response.kind === 'end') return
        yield response
      }
    }
    signal.throwIfAborted()
    throw endedEarly(dataDir)
  } catch (err) {
    signal.throwIfAborted()
    throw (err as NodeJS.ErrnoException).code === 'ECONNRESET' || (err as Error).name === 'AbortError'
      ? endedEarly(dataDir)
      : err
  } finally {
    socket.destroy()
    await close()
  }
}

interface Connected {
  readonly socket: Socket
  close(): Promise<void>
}

async function connect(dataDir: string, signal: AbortSignal): Promise<Connected> {
  try {
    const path = await socketPath(dataDir)
    try {
      const socket = createConnection(path.path)
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => void socket.destroy(new Error('aborted', { cause: signal.reason }))
        signal.addEventListener('abort', onAbort)
        socket.once('connect', resolve)
        socket.once('error', reject)
        socket.once('close', () => signal.removeEventListener('abort', onAbort))
      })
      return { socket, close: () => path.close() }
    } catch (err) {
      await path.close()
      throw err
    }
  } catch (err) {
    signal.throwIfAborted()
    const { code, message } = err as NodeJS.ErrnoException
    // No directory, no socket in it, or nobody behind the socket: the same thing to a person.
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTDIR') {
      throw new PeerNotRunningError(
        `no peer is running on ${dataDir}: start one with skein up --data ${shellWord(dataDir)} --swarm FILE, without --swarm where it has joined by an invitation`
      )
    }
    throw new PeerNotRunningError(`the peer on ${dataDir} cannot be reached: ${message}`)
  }
}

function endedEarly(dataDir: string): PeerNotRunningError {
  return new PeerNotRunningError(`the peer on ${dataDir} stopped before it had answered`)
}
