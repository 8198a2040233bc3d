/**
 * What `skein ask`, `skein status`, `skein drain` and others say to the peer of a data directory, over a Unix socket in that
 * directory. One connection carries one request; both ways it is JSON, one object a line. Whoever closes
 * the connection before its end cancels the request. The directory's owner alone can connect.
 */
import { Buffer } from 'node:buffer'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type {
  ChatMessage,
  DrainReport,
  GenerationEvent,
  GrammarSpec,
  GraphPort,
  PeerId,
  RemovedModel,
  RequestTrace,
  Status
} from '../index.ts'
import { controlItemCharsMax, controlRequestBytesMax, controlTensorsBytesMax, socketPathBytesMax } from './limits.ts'
import type { WireTensor } from './tensor-json.ts'

/** Raised when a message changes its meaning; a peer and a command of different versions refuse each other. */
export const controlVersion = 1

const envelope = z.looseObject({ v: z.int() })

/** A session's name, and where its key lies: the peer reads it, so that no key crosses the socket. */
const named = {
  name: z.string().min(1).max(256),
  key: z.string().startsWith('/', 'must be an absolute path').max(4096).optional()
}
const modelName = z.string().min(1).max(256)
const ttlMs = z.int().positive().optional()
const waitMs = z.int().nonnegative().optional()
const logprobs = z.int().min(0).max(20).optional()

/** What an answer may be asked with, whatever it answers. */
const answerOptions = {
  model: modelName.optional(),
  maxTokens: z.int().positive().optional(),
  temperature: z.number().nonnegative().optional(),
  topP: z.number().gt(0).max(1).optional(),
  topK: z.int().nonnegative().optional(),
  seed: z.int().nonnegative().optional(),
  presencePenalty: z.number().optional(),
  frequencyPenalty: z.number().optional(),
  repetitionPenalty: z.number().optional(),
  minP: z.number().optional(),
  logitBias: z.record(z.string().regex(/^\d{1,10}$/), z.number()).optional(),
  waitMs,
  speculate: z.boolean().optional(),
  cache: z.enum(['f32', 'i8']).optional(),
  // The peer checks it.
  grammar: z.custom<GrammarSpec>(value => typeof value === 'object' && value !== null).optional(),
  trace: z.boolean().optional(),
  scrub: z.boolean().optional(),
  logprobs,
  session: z.strictObject({ ...named, ttlMs }).optional()
}

const wireTensor = z.strictObject({
  type: z.enum([
    'float32',
    'float64',
    'float16',
    'int8',
    'uint8',
    'int16',
    'uint16',
    'int32',
    'uint32',
    'int64',
    'uint64',
    'bool'
  ]),
  dims: z.array(z.int().nonnegative()),
  data: z.base64()
})

const requestSchema = z.discriminatedUnion('op', [
  z.strictObject({ v: z.literal(controlVersion), op: z.literal('status') }),
  z.strictObject({ v: z.literal(controlVersion), op: z.literal('drain') }),
  z.strictObject({ v: z.literal(controlVersion), op: z.literal('traces'), request: z.string().max(256).optional() }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('generate'),
    prompt: z.string().max(controlRequestBytesMax),
    options: z.strictObject({ ...answerOptions, special: z.boolean().optional() })
  }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('chat'),
    messages: z.array(z.looseObject({ role: z.string(), content: z.string() })),
    options: z.strictObject({
      ...answerOptions,
      keepTurns: z.int().positive().optional(),
      tools: z.array(z.record(z.string(), z.json())).optional(),
      variables: z.record(z.string(), z.json()).optional()
    })
  }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('resume'),
    session: z.strictObject({ ...named, ttlMs, waitMs, logprobs, maxTokens: z.int().positive().optional() })
  }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('forget'),
    session: z.strictObject(named)
  }),
  z.strictObject({ v: z.literal(controlVersion), op: z.literal('remove-model'), model: modelName }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('make-room'),
    what: modelName,
    bytes: z.int().nonnegative()
  }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('serve'),
    model: modelName,
    layers: z.strictObject({ start: z.int().nonnegative(), end: z.int().positive() }).optional()
  }),
  z.strictObject({ v: z.literal(controlVersion), op: z.literal('unserve'), model: modelName }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('learn-members'),
    items: z.array(z.base64().max(controlItemCharsMax)).max(64)
  }),
  z.strictObject({ v: z.literal(controlVersion), op: z.literal('graph'), model: modelName }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('infer'),
    model: modelName,
    inputs: z.record(z.string(), wireTensor),
    waitMs
  }),
  z.strictObject({
    v: z.literal(controlVersion),
    op: z.literal('embed'),
    model: modelName,
    texts: z.array(z.string().max(controlRequestBytesMax)),
    waitMs
  })
])

/** A request on a control socket. */
export type ControlRequest = z.infer<typeof requestSchema>
/** What an answer may be asked with; whatever is left out takes the peer's default. */
export type ControlOptions = Extract<ControlRequest, { op: 'generate' }>['options']
/** The same of the next message of a conversation. */
export type ControlChatOptions = Extract<ControlRequest, { op: 'chat' }>['options']
/** Which session is to be resumed, and what is to be different. */
export type ControlResume = Extract<ControlRequest, { op: 'resume' }>['session']
/** Which session is to be forgotten. */
export type ControlForget = Extract<ControlRequest, { op: 'forget' }>['session']

const responseSchema = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('status'), status: z.looseObject({ self: z.string() }) }),
  z.looseObject({ kind: z.literal('traces'), traces: z.array(z.looseObject({ request: z.string() })) }),
  z.looseObject({ kind: z.literal('drained'), report: z.looseObject({ ms: z.number() }) }),
  z.looseObject({ kind: z.literal('forgotten'), peers: z.int().nonnegative() }),
  z.looseObject({
    kind: z.literal('model-removed'),
    removed: z.looseObject({
      name: z.string(),
      id: z.string(),
      bytesFreed: z.number().nonnegative(),
      unreadable: z.array(z.string())
    })
  }),
  z.looseObject({ kind: z.literal('room') }),
  z.looseObject({ kind: z.literal('served'), here: z.boolean() }),
  z.looseObject({ kind: z.literal('unserved') }),
  z.looseObject({ kind: z.literal('learnt'), items: z.int() }),
  z.looseObject({ kind: z.literal('graph'), inputs: z.array(z.unknown()), outputs: z.array(z.unknown()) }),
  z.looseObject({ kind: z.literal('inferred'), peer: z.string(), outputs: z.record(z.string(), wireTensor) }),
  z.looseObject({ kind: z.literal('embedded'), vectors: z.array(z.array(z.number())) }),
  z.looseObject({ kind: z.literal('event'), event: z.looseObject({ event: z.string() }) }),
  z.looseObject({
    kind: z.literal('error'),
    error: z.object({
      name: z.string().max(256),
      message: z.string(),
      exitCode: z.int().min(1).max(125),
      text: z.string().optional()
    })
  }),
  z.looseObject({ kind: z.literal('working') }),
  z.looseObject({ kind: z.literal('end') })
])

/** An expected failure on its way through the socket. `text` is what was generated until then. */
export interface ControlFailure {
  readonly name: string
  readonly message: string
  readonly exitCode: number
  readonly text?: string | undefined
}

/** A response on a control socket. A request ends with `end` or `error`. */
export type ControlResponse =
  | { readonly kind: 'status'; readonly status: Status }
  | { readonly kind: 'traces'; readonly traces: readonly RequestTrace[] }
  | { readonly kind: 'drained'; readonly report: DrainReport }
  /** How many peers had the session. */
  | { readonly kind: 'forgotten'; readonly peers: number }
  | { readonly kind: 'model-removed'; readonly removed: RemovedModel }
  /** There is room on the disk. */
  | { readonly kind: 'room' }
  /** `here`: false while the model is looked for among the peers. */
  | { readonly kind: 'served'; readonly here: boolean }
  | { readonly kind: 'unserved' }
  | { readonly kind: 'learnt'; readonly items: number }
  | { readonly kind: 'graph'; readonly inputs: readonly GraphPort[]; readonly outputs: readonly GraphPort[] }
  | {
      readonly kind: 'inferred'
      readonly peer: PeerId
      readonly computeMs: number
      readonly outputs: Readonly<Record<string, WireTensor>>
    }
  | {
      readonly kind: 'embedded'
      readonly vectors: readonly (readonly number[])[]
      readonly tokens: readonly number[]
      readonly cut: readonly number[]
    }
  | { readonly kind: 'event'; readonly event: GenerationEvent }
  | { readonly kind: 'error'; readonly error: ControlFailure }
  /** The peer runs and works on it, and has had nothing to say for a while. */
  | { readonly kind: 'working' }
  | { readonly kind: 'end' }

/** A request read, or why it cannot be served, in one sentence. */
export function readRequest(line: string): ControlRequest | { readonly refused: string } {
  const json = parseJson(line)
  const version = envelope.safeParse(json)
  if (!version.success) return { refused: 'the request is no JSON object with a version `v`' }
  if (version.data.v !== controlVersion) {
    return {
      refused: `the running peer speaks control version ${controlVersion}, this command version ${version.data.v}: use the same Skein for both`
    }
  }
  const request = requestSchema.safeParse(json)
  if (request.success) return request.data
  const issue = request.error.issues[0]!
  return { refused: `the request is invalid: ${issue.path.join('.') || 'it'}: ${issue.message}` }
}

/** A response read, or undefined when the line is none. Kinds and events of later versions keep their extra fields. */
export function readResponse(line: string): ControlResponse | undefined {
  const response = responseSchema.safeParse(parseJson(line))
  // Their insides come from a process of the same user and the same version, and are only shown.
  return response.success ? (response.data as unknown as ControlResponse) : undefined
}

/** One message as a line. */
export function encodeLine(message: object): string {
  return `${JSON.stringify(message)}\n`
}

/** An event as it crosses the socket: bytes of tokens are lists of numbers, as OpenAI's API has them. */
export function wiredEvent(event: GenerationEvent): GenerationEvent {
  if (event.event !== 'token' || event.bytes === undefined) return event
  const top = event.top?.map(each => ({ ...each, bytes: [...each.bytes] }))
  return { ...event, bytes: [...event.bytes], top } as unknown as GenerationEvent
}

/** Bytes of a conversation on its way to a peer, without the end of its line. */
export function chatLineBytes(messages: readonly ChatMessage[], options: ControlChatOptions): number {
  return Buffer.byteLength(encodeLine(chatRequest(messages, options))) - 1
}

/** Has a peer answer what was said last in a conversation. */
export function chatRequest(
  messages: readonly ChatMessage[],
  options: ControlChatOptions
): ControlRequest & { readonly op: 'chat' } {
  return { v: controlVersion, op: 'chat', messages: [...messages], options }
}

/** How a request with tensors begins, as {@link encodeLine} writes it. */
export const inferLine = `{"v":${controlVersion},"op":"infer"`

/** Cuts a byte stream into lines of at most `bytesMax` bytes. `push` returns undefined once a line is too long. */
export class LineReader {
  readonly bytesMax: number
  readonly #wide: string | undefined
  #parts: Buffer[] = []
  #bytes = 0

  /** @param wide how a line begins that may have {@link controlTensorsBytesMax}. @default none may */
  constructor(bytesMax: number, wide?: string) {
    this.bytesMax = bytesMax
    this.#wide = wide
  }

  /** Lines that `chunk` completes, without their line ends. */
  push(chunk: Buffer): string[] | undefined {
    return this.pushBytes(chunk)?.map(line => line.toString('utf8'))
  }

  /** The same as they came. */
  pushBytes(chunk: Buffer): Buffer[] | undefined {
    const lines: Buffer[] = []
    let rest = chunk
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      if (this.#bytes + end > this.#limit(rest)) return undefined
      lines.push(Buffer.concat([...this.#parts, rest.subarray(0, end)]))
      this.#parts = []
      this.#bytes = 0
      rest = rest.subarray(end + 1)
    }
    if (rest.length > 0) {
      this.#parts.push(rest)
      this.#bytes += rest.length
    }
    return this.#bytes > this.#limit(rest) ? undefined : lines
  }

  /** Of the line that is read; `rest` is what has come of it last. */
  #limit(rest: Buffer): number {
    const first = this.#parts[0] ?? rest
    const isWide = this.#wide !== undefined && first.subarray(0, this.#wide.length).toString() === this.#wide
    return isWide ? controlTensorsBytesMax : this.bytesMax
  }
}

/** A path under which the control socket of a directory can be bound and reached now; `close` when done with it. */
export interface SocketPath {
  readonly path: string
  close(): Promise<void>
}

/**
 * The control socket's path. Linux takes 107 bytes; for a deeper directory the path leads through a
 * handle on it, so that the socket lies in the directory all the same.
 *
 * @throws the file system's error when the directory cannot be opened.
 */
export async function socketPath(dataDir: string): Promise<SocketPath> {
  const path = join(dataDir, 'control.sock')
  if (Buffer.byteLength(path) <= socketPathBytesMax) return { path, close: async () => {} }
  const directory = await open(dataDir, constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${directory.fd}/control.sock`, close: () => directory.close() }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
