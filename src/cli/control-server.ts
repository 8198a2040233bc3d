/** The peer's end of the control socket: answers `status`, `generate` and more for commands on this machine. */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ChatOptions,
  DataDirectoryError,
  type DrainReport,
  type GenerateOptions,
  type Generation,
  type InferenceOptions,
  type KeptSessionName,
  type Peer,
  PeerNotRunningError,
  reasonOf,
  type ResumeOptions,
  type KeptSessionInit
} from '../index.ts'
import {
  type ControlRequest,
  type ControlResponse,
  encodeLine,
  inferLine,
  LineReader,
  readRequest,
  socketPath,
  wiredEvent
} from './control.ts'
import { reachable } from './control-client.ts'
import { describeFailure } from './failure.ts'
import { tensorOfWire, wireOf } from './tensor-json.ts'
import {
  controlConnectionsMax,
  controlDrainMs,
  controlPulseMs,
  controlRequestMs,
  controlRequestBytesMax,
  lingerMs
} from './limits.ts'

/** What of a peer its control socket hands out. */
export type ControlledPeer = Pick<
  Peer,
  | 'status'
  | 'traces'
  | 'generate'
  | 'chat'
  | 'resume'
  | 'forget'
  | 'removeModel'
  | 'makeRoom'
  | 'serve'
  | 'unserve'
  | 'learnMembers'
  | 'graph'
  | 'infer'
  | 'embed'
> & {
  /** Has the peer go; whoever asked may close the connection meanwhile. */
  drain(): Promise<DrainReport>
}

/** A control socket that is served. */
export interface ControlServer {
  /** Cancels what is being answered and removes the socket. Safe to call twice. */
  close(): Promise<void>
}

/**
 * Serves a peer's control socket in its data directory, readable and writable by its owner alone. A socket
 * that a dead peer left behind is replaced.
 *
 * @throws {DataDirectoryError} when a live peer answers on that socket, or it cannot be made.
 */
export async function serveControl(peer: ControlledPeer, dataDir: string): Promise<ControlServer> {
  if (await reachable(dataDir)) {
    throw new DataDirectoryError(`a peer is already running on ${dataDir}: stop it first, or give --data another one`)
  }
  const file = join(dataDir, 'control.sock')
  const stopped = new AbortController()
  const sockets = new Set<Socket>()
  const answering = new Set<Promise<unknown>>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    const answered = answer(peer, socket, stopped.signal)
      .catch(() => socket.destroy())
      .finally(() => answering.delete(answered))
    answering.add(answered)
  })
  server.maxConnections = controlConnectionsMax
  const path = await socketPath(dataDir).catch(err => {
    throw new DataDirectoryError(`the control socket of ${dataDir} cannot be made: ${reasonOf(err)}`)
  })
  try {
    await rm(file, { force: true })
    await listen(server, path.path)
    await chmod(file, 0o600)
  } catch (err) {
    await path.close()
    throw new DataDirectoryError(`the control socket ${file} cannot be made: ${reasonOf(err)}`)
  }
  let closing: Promise<void> | undefined
  return {
    close() {
      closing ??= (async () => {
        stopped.abort(new PeerNotRunningError(`the peer on ${dataDir} stopped before it had answered`))
        const closed = new Promise<void>(resolve => server.close(() => resolve()))
        // Whoever waits for an answer is told why it ends, if that takes no longer than a moment.
        const told = new AbortController()
        await Promise.race([
          Promise.all(answering),
          delay(lingerMs, undefined, { signal: told.signal }).catch(() => {})
        ])
        told.abort()
        for (const socket of sockets) socket.destroySoon()
        await closed
        await rm(file, { force: true })
        await path.close()
      })()
      return closing
    }
  }
}

/** Binds without a moment in which others could connect: the file's mode is set by the umask as it is made. */
function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    const before = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.removeListener('error', reject)
        // A failed accept (too many open files) concerns that one command; the peer goes on.
        server.on('error', () => {})
        resolve()
      })
    } finally {
      process.umask(before)
    }
  })
}

/** Serves one connection: one request, its responses, the end. */
async function answer(peer: ControlledPeer, socket: Socket, stopped: AbortSignal): Promise<void> {
  const gone = new AbortController()
  socket.on('error', () => {})
  socket.once('close', () => gone.abort(new Error('the command closed its connection')))
  const signal = AbortSignal.any([gone.signal, stopped])
  let pulse: NodeJS.Timeout | undefined
  try {
    const line = await readLine(socket, AbortSignal.any([signal, AbortSignal.timeout(controlRequestMs)]))
    // Nothing follows the request but the end of the connection, and that must be noticed at once.
    socket.resume()
    const request = readRequest(line)
    if ('refused' in request) {
      await write(socket, failure(new InvalidRequest(request.refused)), signal)
    } else {
      // Who does not read is told nothing more: that waits for room, and has its deadline.
      pulse = setInterval(() => {
        if (socket.writable && !socket.writableNeedDrain) socket.write(encodeLine({ kind: 'working' }))
      }, controlPulseMs)
      for await (const response of respond(peer, request, signal)) await write(socket, response, signal)
    }
  } catch (err) {
    if (gone.signal.aborted) return
    if (!socket.destroyed && socket.writable) socket.write(encodeLine(failure(err)))
  } finally {
    clearInterval(pulse)
    socket.end()
  }
}

async function* respond(
  peer: ControlledPeer,
  request: ControlRequest,
  signal: AbortSignal
): AsyncGenerator<ControlResponse> {
  if (request.op === 'status') {
    yield { kind: 'status', status: peer.status() }
  } else if (request.op === 'traces') {
    yield { kind: 'traces', traces: peer.traces(request.request) }
  } else if (request.op === 'drain') {
    yield { kind: 'drained', report: await peer.drain() }
  } else if (request.op === 'forget') {
    yield { kind: 'forgotten', peers: await peer.forget(given<KeptSessionName>(request.session), { signal }) }
  } else if (request.op === 'remove-model') {
    yield { kind: 'model-removed', removed: await peer.removeModel(request.model) }
  } else if (request.op === 'make-room') {
    await peer.makeRoom(request.bytes, { what: request.what })
    yield { kind: 'room' }
  } else if (request.op === 'serve') {
    const { model, layers } = request
    yield { kind: 'served', here: await peer.serve(model, { signal, ...(layers === undefined ? {} : { layers }) }) }
  } else if (request.op === 'graph') {
    const { inputs, outputs } = (await peer.graph(request.model, { signal })).manifest
    yield { kind: 'graph', inputs, outputs }
  } else if (request.op === 'infer') {
    yield await inferred(peer, request, signal)
  } else if (request.op === 'embed') {
    const { waitMs } = request
    const found = await peer.embed(request.model, request.texts, given<InferenceOptions>({ waitMs, signal }))
    yield { kind: 'embedded', ...found, vectors: found.vectors.map(vector => [...vector]) }
  } else if (request.op === 'unserve') {
    await peer.unserve(request.model)
    yield { kind: 'unserved' }
  } else if (request.op === 'learn-members') {
    yield { kind: 'learnt', items: peer.learnMembers(request.items.map(item => Buffer.from(item, 'base64'))) }
  } else {
    const generation = start(peer, request, signal)
    // Its failure arrives through the events; here it must not count as unhandled.
    generation.answer.catch(() => {})
    for await (const event of generation.events()) yield { kind: 'event', event: wiredEvent(event) }
  }
  yield { kind: 'end' }
}

function start(
  peer: ControlledPeer,
  request: ControlRequest & { op: 'generate' | 'chat' | 'resume' },
  signal: AbortSignal
): Generation {
  if (request.op === 'resume') {
    const { name, ...options } = request.session
    return peer.resume(name, { ...given<ResumeOptions>(options), signal })
  }
  const { session, ...rest } = request.options
  const kept = session === undefined ? {} : { session: given<KeptSessionInit>(session) }
  if (request.op === 'chat') {
    return peer.chat(request.messages, { ...given<ChatOptions>(rest), ...kept, signal })
  }
  return peer.generate(request.prompt, { ...given<GenerateOptions>(rest), ...kept, signal })
}

async function inferred(
  peer: ControlledPeer,
  { model, inputs, waitMs }: ControlRequest & { op: 'infer' },
  signal: AbortSignal
): Promise<ControlResponse> {
  const tensors = Object.fromEntries(Object.entries(inputs).map(([name, wire]) => [name, tensorOfWire(wire)]))
  const result = await peer.infer(model, tensors, given<InferenceOptions>({ waitMs, signal }))
  const outputs = Object.fromEntries(Object.entries(result.outputs).map(([name, tensor]) => [name, wireOf(tensor)]))
  return { kind: 'inferred', peer: result.peer, computeMs: result.computeMs, outputs }
}

/** A key that was not given must be absent, so that it cannot hide the peer's default. */
function given<T>(options: object): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

/** Thrown when a request is not one of ours; only other versions and other programs send such. */
class InvalidRequest extends Error {
  override readonly name = 'InvalidOptionError'
  readonly exitCode = 2
}

function failure(err: unknown): ControlResponse {
  return { kind: 'error', error: describeFailure(err) }
}

/** The first line that comes in. @throws when it is too long, the signal's reason, or that the other end closed. */
function readLine(socket: Socket, signal: AbortSignal): Promise<string> {
  const reader = new LineReader(controlRequestBytesMax, inferLine)
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      socket.off('data', onData)
      signal.removeEventListener('abort', onAbort)
      act()
    }
    const onAbort = (): void => settle(() => reject(signal.reason))
    const onData = (chunk: Buffer): void => {
      const lines = reader.push(chunk)
      if (lines === undefined) {
        settle(() => reject(new InvalidRequest(`the request is longer than ${controlRequestBytesMax} bytes`)))
      } else if (lines[0] !== undefined) {
        settle(() => resolve(lines[0]!))
      }
    }
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener('abort', onAbort)
    socket.on('data', onData)
  })
}

/** Writes one line and waits until the reader has room: what is not read is not generated. */
function write(socket: Socket, response: ControlResponse, signal: AbortSignal): Promise<void> | void {
  signal.throwIfAborted()
  if (socket.write(encodeLine(response))) return
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(controlDrainMs)])
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      socket.off('drain', onDrain)
      deadline.removeEventListener('abort', onAbort)
      act()
    }
    const onDrain = (): void => settle(resolve)
    const onAbort = (): void => settle(() => reject(deadline.reason))
    socket.once('drain', onDrain)
    deadline.addEventListener('abort', onAbort)
  })
}
