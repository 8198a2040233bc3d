/**
 * The front door of a peer: OpenAI's API over HTTP, a window to look at the swarm through, and metrics. It asks the peer what a
 * program that embeds one could ask, and so works on a peer without layers as well.
 *
 * @module skein/api
 */
import { createServer, type RequestListener, type Server, STATUS_CODES } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { setTimeout as delay } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import {
  InvalidOptionError,
  NotAdmittedError,
  ListenError,
  type Peer,
  PeerLeavingError,
  readStoredText,
  reasonOf
} from '../index.ts'
import { createApp } from './app.ts'
import { Crowd } from './crowd.ts'
import { Doors, isLoopback } from './doors.ts'
import type { ErrorBody } from './errors.ts'
import { readKeys } from './keys.ts'
import type { ToldRequest } from './told-request.ts'
import { Spans } from './spans.ts'
import {
  acceptedMax,
  connectionsMax,
  headersMs,
  keepAliveMs,
  keyFileBytesMax,
  lingerMs,
  perAddressMax,
  pipelinedMax,
  pingMs,
  requestMs,
  silentPerAddressMax,
  spansLastMs,
  stallMs
} from './limits.ts'

export type { ToldRequest } from './told-request.ts'

/** How a front door is opened. */
export interface ApiInit {
  /** Name or address to listen on. @default 127.0.0.1 */
  host?: string
  /** From 0 to 65535; 0 is one that is free. @default 8420 */
  port?: number
  /** A file of keys, one a line, `name key`. @default none is needed, and it listens on loopback alone */
  apiKeyFile?: string
  /** Files with a certificate, and those that vouch for it, and its key, as PEM. @default none: HTTP */
  tls?: { readonly certFile: string; readonly keyFile: string }
  /** Called when the window's button has the peer go. @default it drains, and goes on running */
  drain?: () => Promise<unknown>
  /** Told of each request (POST) a moment after it is over: sizes and times, nothing of what it says. @default nobody is */
  onRequest?: (told: ToldRequest) => void
  /**
   * Sends spans of requests to a collector of OpenTelemetry: `endpoint` is its base (`http://127.0.0.1:4318`), `headers` are
   * `name=value` pairs with commas between. Laps and hops are in them of answers that are traced (`PeerInit.traceEvery`).
   * @default none
   */
  otlp?: { readonly endpoint: string; readonly headers?: string | undefined; readonly service?: string | undefined }
  /** Names of another program that `/metrics` has beside its own: boards that were made for it then show this peer. @default none */
  metricsAliases?: 'vllm'
  /** Told, in one sentence, of a failure that nobody expected; the request is answered with 500. @default nobody is */
  onWarning?: (message: string) => void
  /** How often a stream shows that it lives while no token comes, in ms. @default 5 s */
  pingMs?: number
  /** How long a reader may take nothing before its answer is ended, in ms. @default 60 s */
  stallMs?: number
}

/** A front door that is open. */
export interface ApiServer {
  /** `http://127.0.0.1:8420` */
  readonly url: string
  /** Ends answers under way, which are told so, and closes. Safe to call twice. */
  close(): Promise<void>
}

/**
 * Opens a peer's front door.
 *
 * @throws {InvalidOptionError} when keys or certificates cannot be read, or it would listen on more than loopback without keys
 * @throws {ListenError} when that address cannot be listened on
 */
export async function serveApi(peer: Peer, init: ApiInit = {}): Promise<ApiServer> {
  const { host = '127.0.0.1', port = 8420, apiKeyFile, tls, onWarning = () => {} } = init
  if (apiKeyFile === undefined && !isLoopback(host)) {
    throw new InvalidOptionError(
      `whoever reaches ${host} could ask this peer: give it keys (--api-key-file), or have it listen on 127.0.0.1`
    )
  }
  const { membership } = peer.status()
  if (membership !== null && !membership.roles.includes('gateway')) {
    throw new NotAdmittedError(
      `this machine may take no requests from outside: its certificate does not have the role gateway`
    )
  }
  const keys = apiKeyFile === undefined ? undefined : await readKeys(apiKeyFile)
  const closing = new AbortController()
  const spans = spansTo(init.otlp, peer, onWarning)
  const app = createApp({
    peer,
    doors: new Doors(host, keys),
    onRequest: init.onRequest,
    spans,
    metricsAliases: init.metricsAliases,
    drain: init.drain ?? (() => peer.drain()),
    closing: closing.signal,
    pingMs: init.pingMs ?? pingMs,
    stallMs: init.stallMs ?? stallMs,
    onDefect: (error, requestId) => onWarning(`request ${requestId} failed: ${reasonOf(error)}`)
  })
  const answer = getRequestListener((request, env) => app.fetch(request, env), {
    overrideGlobalObjects: false,
    errorHandler: error => {
      // What is no request at all: a host or a path that no URL has.
      const message = `this is no request: ${reasonOf(error)}`
      return new Response(JSON.stringify(bodyOf(message)), {
        status: 400,
        headers: { 'content-type': 'application/json' }
      })
    }
  })
  const crowd = new Crowd({ connectionsMax, perPlaceMax: perAddressMax, silentPerPlaceMax: silentPerAddressMax })
  const listener = fewOfEach(crowd, (request, response) => void answer(request, response))
  const options = {
    requestTimeout: requestMs,
    headersTimeout: headersMs,
    keepAliveTimeout: keepAliveMs,
    connectionsCheckingInterval: 5_000
  }
  const server: Server =
    tls === undefined
      ? createServer(options, listener)
      : createTlsServer({ ...options, ...(await readTls(tls)) }, listener)
  server.maxConnections = acceptedMax
  keepTo(crowd, server)
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => refuseBytes(error, socket))
  await listen(server, host, port)
  return opened(server, tls === undefined ? 'http' : 'https', host, { closing, spans })
}

/** Names a connection, with TLS or without, among those that are open. */
function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** Closes what gives way in a crowd of connections. */
function keepTo(crowd: Crowd, server: Server): void {
  const open = new Map<string, Socket>()
  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket)
    const { remoteAddress } = socket
    // One that has gone already has no address.
    const { out } = remoteAddress === undefined ? { out: key } : crowd.enter(key, remoteAddress)
    if (out === key) {
      socket.destroy()
      return
    }
    if (out !== undefined) open.get(out)?.destroy()
    open.set(key, socket)
    socket.once('close', () => {
      if (open.get(key) !== socket) return
      open.delete(key)
      crowd.leave(key)
    })
  })
}

/** Closes a connection on which more requests come than may wait for one another: each is as costly as one of a connection of its own. */
function fewOfEach(crowd: Crowd, listener: RequestListener): RequestListener {
  const running = new WeakMap<Socket, number>()
  return (request, response) => {
    const { socket } = request
    const count = (running.get(socket) ?? 0) + 1
    if (count > pipelinedMax) {
      socket.destroy()
      return
    }
    running.set(socket, count)
    const key = keyOf(socket)
    crowd.runs(key, 1)
    response.once('close', () => {
      running.set(socket, running.get(socket)! - 1)
      crowd.runs(key, -1)
    })
    listener(request, response)
  }
}

/** @throws {InvalidOptionError} when the endpoint is no address of HTTP */
function spansTo(otlp: ApiInit['otlp'], peer: Peer, onWarning: (message: string) => void): Spans | undefined {
  if (otlp === undefined) return undefined
  if (!URL.canParse(otlp.endpoint) || !/^https?:$/.test(new URL(otlp.endpoint).protocol)) {
    throw new InvalidOptionError(
      `traces are sent to an address such as http://127.0.0.1:4318 (OTEL_EXPORTER_OTLP_ENDPOINT), not '${otlp.endpoint}'`
    )
  }
  return new Spans({ ...otlp, instance: peer.id, onWarning })
}

function opened(
  server: Server,
  scheme: string,
  host: string,
  { closing, spans }: { readonly closing: AbortController; readonly spans: Spans | undefined }
): ApiServer {
  const { port } = server.address() as AddressInfo
  let closed: Promise<void> | undefined
  return {
    url: `${scheme}://${host.includes(':') ? `[${host.replace(/^\[|\]$/g, '')}]` : host}:${port}`,
    close() {
      closed ??= (async () => {
        const ended = new Promise<void>(resolve => server.close(() => resolve()))
        closing.abort(new PeerLeavingError('the peer stops: ask another one'))
        server.closeIdleConnections()
        // Whoever waits for an answer is told why it ends, if that takes no longer than a moment.
        await Promise.race([ended, delay(lingerMs, undefined, { ref: false })])
        server.closeAllConnections()
        await ended
        await Promise.race([spans?.flush(), delay(spansLastMs, undefined, { ref: false })])
      })()
      return closed
    }
  }
}

async function readTls(tls: {
  readonly certFile: string
  readonly keyFile: string
}): Promise<{ cert: string; key: string }> {
  const read = async (file: string): Promise<string> => {
    try {
      return await readStoredText(file, keyFileBytesMax)
    } catch (error) {
      throw new InvalidOptionError(`${file} cannot be read: ${reasonOf(error)}`)
    }
  }
  const pair = { cert: await read(tls.certFile), key: await read(tls.keyFile) }
  try {
    createSecureContext(pair)
  } catch (error) {
    throw new InvalidOptionError(
      `${tls.certFile} and ${tls.keyFile} are no certificate with its key, as PEM: ${reasonOf(error)}`
    )
  }
  return pair
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void =>
      reject(new ListenError(`${host}:${port} cannot be listened on: ${reasonOf(error)}`))
    server.once('error', failed)
    server.listen({ host: host.replace(/^\[|\]$/g, ''), port }, () => {
      server.removeListener('error', failed)
      // A failed accept (too many open files) concerns that one client; the door stays open.
      server.on('error', () => {})
      resolve()
    })
  })
}

function bodyOf(message: string): ErrorBody {
  return { error: { message, type: 'invalid_request_error', param: null, code: null } }
}

/** Answers what is no HTTP, or came too slowly. */
function refuseBytes({ code, message }: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const status = code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
  const body = JSON.stringify(bodyOf(`this is no request: ${message}`))
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncontent-type: application/json`
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  // Who does not close its end, too, holds the place of a connection no longer.
  setTimeout(() => socket.destroy(), lingerMs).unref()
}
