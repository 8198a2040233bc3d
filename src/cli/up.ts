/** `skein up`: a peer, until it is told to stop. */
import {
  AmbiguousModelError,
  createPeer,
  type DrainReport,
  formatBytes,
  InvalidOptionError,
  onnxEngine,
  type Peer,
  type PeerInit,
  type Range,
  type Role,
  type Status,
  UnknownModelError,
  wasmEngine
} from '../index.ts'
import type { ApiServer } from '../api/serve.ts'
import type { CommandContext } from './context.ts'
import { type ControlledPeer, type ControlServer, serveControl } from './control-server.ts'
import { describeDrain } from './drain.ts'
import { InterruptedError } from './failure.ts'
import { checkDoor, type HttpFlags, openDoor, traceEveryOf } from './http.ts'
import { modelLookMs, modelSeekMaxMs, modelSeekMs, stopDrainMs, stopMs } from './limits.ts'
import { note, say, sayJson } from './output.ts'
import { ProgressLine } from './progress.ts'
import { type Tell, watch } from './watch.ts'

export interface UpFlags extends HttpFlags {
  readonly data: string
  readonly seal?: string | undefined
  readonly swarm?: string
  readonly model?: string[]
  readonly draft?: string
  readonly memory?: number
  readonly disk?: number
  readonly layers?: { readonly model?: string; readonly range: Range }[]
  readonly listen?: string[]
  readonly bootstrap?: string[]
  readonly mdns: boolean
  readonly threads?: number
  readonly traceEvery?: number
  readonly engine?: 'wasm' | 'onnx'
  readonly audit?: boolean
  readonly requireSigned?: string[]
  readonly checkWork?: boolean
  readonly attest?: 'tpm2'
  readonly requireAttested?: Role[]
  readonly attestPcrs?: string[]
  readonly json?: boolean
  readonly scrub?: boolean
  readonly scrubCountry?: string
  readonly stopWithStdin?: boolean
  readonly wait?: boolean
}

/**
 * Starts a peer, serves its control socket, and prints one line per thing that happens until Ctrl-C or
 * SIGTERM or `skein drain`; then it hands over what it serves, says goodbye to the swarm and returns.
 *
 * @throws what `createPeer` throws, and {@link DataDirectoryError}.
 */
export async function up(flags: UpFlags, { interrupted }: CommandContext): Promise<void> {
  checkDoor(flags)
  const stopping = new AbortController()
  const signal = AbortSignal.any([interrupted, stopping.signal])
  const { stdin } = process
  if (flags.stopWithStdin) {
    stdin.once('close', () => stopping.abort(new InterruptedError('SIGTERM'))).on('error', () => {})
    stdin.resume()
  }
  try {
    await serve(flags, signal)
  } finally {
    // An open stdin would keep the process alive.
    if (flags.stopWithStdin) stdin.destroy()
  }
}

/** Runs the peer until the signal. */
async function serve(flags: UpFlags, signal: AbortSignal): Promise<void> {
  const progress = flags.json === true ? undefined : new ProgressLine()
  const tell: Tell = (event, line, details = {}) => {
    progress?.clear()
    if (flags.json) sayJson({ event, ...details })
    else say(line)
  }
  const peer = await createPeer({
    ...peerInit(flags),
    ...traceEveryOf(flags, process.env),
    signal,
    onWarning: message => tell('warning', `warning: ${message}`, { message })
  })
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  peer.addEventListener('failed', ({ detail }) => failed.reject(detail.error))
  const over = new AbortController()
  let control: ControlServer | undefined
  let door: ApiServer | undefined
  let unwatch = (): void => {}
  try {
    const drained = Promise.withResolvers<DrainReport>()
    let draining: Promise<DrainReport> | undefined
    const drain = (): Promise<DrainReport> => {
      draining ??= peer.drain()
      // Whoever asked is told before the socket closes.
      draining.then(report => setImmediate(() => drained.resolve(report)), drained.reject)
      return draining
    }
    control = await serveControl(controlled(peer, drain), flags.data)
    const { swarm } = peer.status()
    const budget = flags.memory === undefined ? '' : `, ${formatBytes(flags.memory)} for weights and caches`
    tell('up', `peer ${peer.id} in swarm ${swarm}${budget}`, {
      peer: peer.id,
      swarm,
      addresses: peer.addresses,
      dataDir: flags.data
    })
    if (!flags.json) for (const address of peer.addresses) say(`listening on ${address}`)
    door = await openDoor(peer, flags, { tell, drain, json: flags.json })
    unwatch = watch(peer, tell, line => progress?.show(line))
    const interrupted = new Promise<void>(resolve => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    const isWaiting = flags.model === undefined || flags.wait === true
    const told = await Promise.race([
      drained.promise,
      interrupted,
      failed.promise,
      ...(isWaiting ? [] : [untilUnknown(peer, AbortSignal.any([signal, over.signal]))])
    ])
    if (told === undefined) {
      tell('stopping', 'stopping: handing over and saying goodbye (Ctrl-C again to end at once)')
      const report = await Promise.race([drained.promise, peer.drain({ deadlineMs: stopDrainMs })])
      tell('drained', describeDrain(report), report)
    } else {
      tell('drained', describeDrain(told), told)
      tell('stopping', 'stopping: saying goodbye (Ctrl-C again to end at once)')
    }
  } finally {
    over.abort()
    unwatch()
    progress?.clear()
    await withinMs(stopMs, Promise.all([control?.close(), closeAll(door, peer)]), () =>
      note(`skein: the peer did not stop within ${stopMs / 1000} s and is ended now`)
    )
  }
  tell('stopped', 'stopped')
}

/** What the flags say of a peer. @throws as {@link modelsOf} */
function peerInit(flags: UpFlags): PeerInit {
  // Where there are metrics, one of sixteen answers shows in them what passes between hops.
  const traceEvery = flags.traceEvery ?? (flags.http === undefined ? undefined : 16)
  return {
    dataDir: flags.data,
    seal: flags.seal,
    ...(flags.swarm === undefined ? {} : { swarm: flags.swarm }),
    mdns: flags.mdns,
    ...modelsOf(flags),
    ...(flags.draft === undefined ? {} : { draft: flags.draft }),
    ...(flags.memory === undefined ? {} : { memoryBytes: flags.memory }),
    ...(flags.scrub === undefined ? {} : { scrub: flags.scrub }),
    ...(flags.scrubCountry === undefined ? {} : { scrubCountry: flags.scrubCountry }),
    ...(flags.disk === undefined ? {} : { diskBytes: flags.disk }),
    ...(flags.listen === undefined ? {} : { listen: flags.listen }),
    ...(flags.bootstrap === undefined ? {} : { bootstrap: flags.bootstrap }),
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
    ...(traceEvery === undefined ? {} : { traceEvery }),
    ...(flags.requireSigned === undefined ? {} : { requireSigned: flags.requireSigned }),
    ...(flags.audit === undefined ? {} : { audit: flags.audit }),
    ...(flags.checkWork === undefined ? {} : { checkWork: flags.checkWork }),
    ...attestationOf(flags),
    ...(flags.engine === undefined ? {} : { engines: [flags.engine === 'onnx' ? onnxEngine : wasmEngine] })
  }
}

/** Whoever is being answered is told that the peer stops before it does. */
async function closeAll(door: ApiServer | undefined, peer: Peer): Promise<void> {
  await door?.close()
  await peer.stop()
}

/** Which evidence to give and to take. @throws {InvalidOptionError} for registers of nobody */
function attestationOf({
  attest,
  requireAttested: roles,
  attestPcrs: registers
}: UpFlags): Pick<PeerInit, 'attest' | 'requireAttested'> {
  if (roles === undefined && registers !== undefined) {
    throw new InvalidOptionError('--attest-pcrs says what others must show: it goes with --require-attested')
  }
  return {
    ...(attest === undefined ? {} : { attest }),
    ...(roles === undefined ? {} : { requireAttested: { roles, ...(registers === undefined ? {} : { registers }) } })
  }
}

/**
 * Which models to serve, and which layers of them.
 * @throws {InvalidOptionError} when it is not clear which model layers are of, or they are given twice.
 */
export function modelsOf({ model = [], layers = [] }: Pick<UpFlags, 'model' | 'layers'>): Partial<PeerInit> {
  const [first] = layers
  if (first !== undefined && first.model === undefined) {
    if (layers.length > 1 || model.length > 1) {
      throw new InvalidOptionError('with several models, --layers names the model that the layers are of: NAME:0-2')
    }
    return { ...(model[0] === undefined ? {} : { model: model[0] }), layers: first.range }
  }
  const named = [...model]
  for (const { model: of } of layers) {
    if (of === undefined)
      throw new InvalidOptionError('with several models, --layers names the model that the layers are of: NAME:0-2')
    if (model.length > 0 && !model.includes(of)) {
      throw new InvalidOptionError(
        `--layers names '${of}', which is none of the models of --model: ${model.join(', ')}`
      )
    }
    if (layers.filter(each => each.model === of).length > 1) {
      throw new InvalidOptionError(`--layers names '${of}' twice: a peer is told one range of a model`)
    }
    if (!named.includes(of)) named.push(of)
  }
  if (named.length === 0) return {}
  if (named.length === 1 && first === undefined) return { model: named[0]! }
  return {
    models: named.map(name => {
      const range = layers.find(each => each.model === name)?.range
      return { model: name, ...(range === undefined ? {} : { layers: range }) }
    })
  }
}

/** Thrown when a model was found among the peers and this one cannot serve it: by the name and the exit code of the error that it was. */
class RefusedModelError extends Error {
  override readonly name: string
  readonly exitCode: number

  constructor(message: string, { name, exitCode }: { readonly name: string; readonly exitCode: number }) {
    super(message)
    this.name = name
    this.exitCode = exitCode
  }
}

/**
 * Settles only when a model that is not here has not been found among the peers in time, or its name is not clear.
 * @throws {UnknownModelError} {AmbiguousModelError} {RefusedModelError}
 */
function untilUnknown(peer: Peer, signal: AbortSignal): Promise<never> {
  const startMs = performance.now()
  return new Promise((_, reject) => {
    const end = (): void => {
      clearInterval(looks)
      peer.removeEventListener('warning', look)
    }
    const look = (): void => {
      const { fetches } = peer.status()
      const error = whyGivenUp(fetches, performance.now() - startMs)
      if (error !== undefined) reject(error)
      if (error !== undefined || fetches.every(({ model }) => model !== null)) end()
    }
    const looks = setInterval(look, modelLookMs).unref()
    // Whatever keeps the model away is told as a warning.
    peer.addEventListener('warning', look)
    signal.addEventListener('abort', end, { once: true })
    look()
  })
}

/**
 * Why a peer that is not told to wait gives up what it looks for; undefined while it does not.
 *
 * @param waitedMs since it began to look
 */
export function whyGivenUp(
  fetches: Status['fetches'],
  waitedMs: number
): AmbiguousModelError | UnknownModelError | RefusedModelError | undefined {
  for (const { model, state, unclear, known, refusal, expected } of fetches) {
    if (model !== null) continue
    if (unclear) return new AmbiguousModelError(state)
    // As where it was here from the beginning: more time makes no more room.
    if (refusal !== null) return new RefusedModelError(state, refusal)
    // Of what is on its way the name was right.
    const maxMs = expected === 'fetching' ? Infinity : expected === 'soon' ? modelSeekMaxMs : modelSeekMs
    if (waitedMs < maxMs) continue
    return new UnknownModelError(`${state}; ${known ? '' : 'check its name, import it, or '}wait for it with --wait`)
  }
  return undefined
}

/** Waits for work at most so long; then says so and goes on without it. */
async function withinMs(ms: number, work: Promise<unknown>, onLate: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>(resolve => {
    timer = setTimeout(() => resolve('late'), ms)
  })
  try {
    if ((await Promise.race([work, late])) === 'late') onLate()
  } finally {
    clearTimeout(timer)
  }
}

/** What of a peer its control socket hands out. */
function controlled(peer: Peer, drain: () => Promise<DrainReport>): ControlledPeer {
  return {
    graph: (name, options) => peer.graph(name, options),
    infer: (name, inputs, options) => peer.infer(name, inputs, options),
    embed: (name, texts, options) => peer.embed(name, texts, options),
    status: () => peer.status(),
    traces: request => peer.traces(request),
    generate: (prompt, options) => peer.generate(prompt, options),
    chat: (messages, options) => peer.chat(messages, options),
    resume: (name, options) => peer.resume(name, options),
    forget: (session, options) => peer.forget(session, options),
    removeModel: nameOrId => peer.removeModel(nameOrId),
    serve: (nameOrId, options) => peer.serve(nameOrId, options),
    unserve: nameOrId => peer.unserve(nameOrId),
    learnMembers: items => peer.learnMembers(items),
    makeRoom: (bytes, options) => peer.makeRoom(bytes, options),
    drain
  }
}
