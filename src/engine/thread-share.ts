/**
 * Memory that an engine and its thread share: passes and what became of them lie in it as numbers, and each end is woken by a
 * number that the other one raises. A message is cloned, queued and taken from its queue by an event loop, there and back for every
 * token; JSON in shared memory took as long.
 *
 * What is about to be said can be announced, so that the other end is awake when it is.
 *
 * One request is under way at a time, so each way needs room for one. What does not fit, and all that is no pass or failed, goes by
 * message, as everything does where no memory can be shared.
 */
import { availableParallelism } from 'node:os'
import { announcedMs, announcedSkipMax, shareBytesMax } from './limits.ts'
import type { PartReply, ThreadPart, ThreadReply, ThreadRequest } from './thread-messages.ts'

type Pass = Extract<ThreadRequest, { kind: 'pass' }>
type PassReply = Extract<ThreadReply, { kind: 'pass' }>

const listBytes = 64
const timesBytes = 64
const wayBytes = listBytes + timesBytes + shareBytesMax
/** Places in the list of a way. */
const saidAt = 0
const linesAt = 1
/** So many announcements are left out. */
const skipAt = 2

/** Turns between two looks at the clock, about a tenth of a µs each. */
const spinTurns = 64

/** One way: a number that is raised with all that is said, by message too, and what lies there. */
export class Way {
  readonly #list: Int32Array<SharedArrayBuffer>
  readonly times: Float64Array<SharedArrayBuffer>
  readonly words: Int32Array<SharedArrayBuffer>
  /** Announcements to leave out when the next one is in vain. */
  #skip = 1
  readonly #bytes: Uint8Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer, at: number) {
    this.#list = new Int32Array(buffer, at, listBytes / 4)
    this.times = new Float64Array(buffer, at + listBytes, timesBytes / 8)
    this.words = new Int32Array(buffer, at + listBytes + timesBytes, shareBytesMax / 4)
    this.#bytes = new Uint8Array(buffer, at + listBytes + timesBytes, shareBytesMax)
  }

  /** How often something was said. */
  get said(): number {
    return Atomics.load(this.#list, saidAt)
  }

  /** Something was said: wakes the other end. */
  ring(): void {
    Atomics.add(this.#list, saidAt, 1)
    Atomics.notify(this.#list, saidAt)
  }

  /**
   * Something is about to be said: the other end wakes meanwhile, which takes as long as much of what is still to be done. Not
   * where it has waited in vain lately.
   */
  announce(): void {
    if (Atomics.load(this.#list, skipAt) > 0) Atomics.sub(this.#list, skipAt, 1)
    else Atomics.notify(this.#list, saidAt)
  }

  /** Of an end that was woken before something was said after `said`: spins until it is. Returns whether it was. */
  comes(said: number): boolean {
    const untilMs = performance.now() + announcedMs
    do {
      for (let i = 0; i < spinTurns; i++) {
        if (this.said === said) continue
        this.#skip = 1
        return true
      }
    } while (performance.now() < untilMs)
    Atomics.store(this.#list, skipAt, this.#skip)
    this.#skip = Math.min(2 * this.#skip, announcedSkipMax)
    return false
  }

  /** Nothing is to be announced this way. */
  neverAnnounce(): void {
    Atomics.store(this.#list, skipAt, 2 ** 31 - 1)
  }

  /** Blocks this thread until something is said after `said`. */
  wait(said: number): void {
    while (this.said === said) {
      Atomics.wait(this.#list, saidAt, said)
      if (this.said === said) this.comes(said)
    }
  }

  /** The same without blocking; undefined when it has been said already. */
  waitAsync(said: number): Promise<unknown> | undefined {
    const { async, value } = Atomics.waitAsync(this.#list, saidAt, said)
    return async ? value : undefined
  }

  /** So many parts lie there. */
  set parts(count: number) {
    // One more: a pass of none is something, too.
    this.#list[linesAt] = count + 1
  }

  /** Takes what lies there: its parts; undefined when there is nothing. */
  takeParts(): number | undefined {
    const lines = this.#list[linesAt]!
    this.#list[linesAt] = 0
    return lines === 0 ? undefined : lines - 1
  }

  /** Puts numbers at a word, after how many they are. Returns the word after them. */
  put(at: number, numbers: Int32Array | Uint8Array | readonly number[]): number {
    this.words[at] = numbers.length
    if (!(numbers instanceof Uint8Array)) {
      this.words.set(numbers, at + 1)
      return at + 1 + numbers.length
    }
    this.#bytes.set(numbers, 4 * (at + 1))
    return at + 1 + wordsOf(numbers)
  }

  /** A copy of bytes that lie at a word, after how many they are. */
  bytes(at: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.words[at]!)
    bytes.set(this.#bytes.subarray(4 * (at + 1), 4 * (at + 1) + bytes.length))
    return bytes
  }

  /** The same of words. */
  numbers(at: number): Int32Array<ArrayBuffer> {
    const numbers = new Int32Array(this.words[at]!)
    numbers.set(this.words.subarray(at + 1, at + 1 + numbers.length))
    return numbers
  }
}

function wordsOf(numbers: Int32Array | Uint8Array | readonly number[]): number {
  return numbers instanceof Uint8Array ? Math.ceil(numbers.length / 4) : numbers.length
}

/** Memory for both ways; undefined where none can be shared, as in a page without cross-origin isolation. */
export function sharedMemory(): SharedArrayBuffer | undefined {
  if (typeof SharedArrayBuffer !== 'function' || typeof Atomics.waitAsync !== 'function') return undefined
  const memory = new SharedArrayBuffer(2 * wayBytes)
  // Who spins takes the processor from whom it waits for, where there is no other one.
  if (availableParallelism() < 2) for (const way of Object.values(waysOf(memory))) way.neverAnnounce()
  return memory
}

/** The ways of some memory: to the thread, and back. */
export function waysOf(buffer: SharedArrayBuffer): { readonly there: Way; readonly back: Way } {
  return { there: new Way(buffer, 0), back: new Way(buffer, wayBytes) }
}

/** Numbers of sessions. Both ends see the same requests in the same order, so that both give out the same. */
export class SessionNumbers {
  #next = 0
  readonly #numbers = new Map<string, number>()
  readonly #names = new Map<number, string>()
  /** What the last request opens. */
  #opening: string | undefined

  /** A request is on its way to the thread, or has come there. */
  asked(request: ThreadRequest): void {
    this.#opening = request.kind === 'open' ? request.session : undefined
    if (request.kind === 'open') this.#add(request.session)
    else if (request.kind === 'free') this.#remove(request.session)
  }

  /** It was answered. */
  answered(reply: ThreadReply): void {
    if (reply.kind === 'failed' && this.#opening !== undefined) this.#remove(this.#opening)
  }

  #add(session: string): void {
    this.#remove(session)
    this.#next = (this.#next + 1) | 0
    this.#numbers.set(session, this.#next)
    this.#names.set(this.#next, session)
  }

  #remove(session: string): void {
    const number = this.#numbers.get(session)
    if (number === undefined) return
    this.#numbers.delete(session)
    this.#names.delete(number)
  }

  of(session: string): number | undefined {
    return this.#numbers.get(session)
  }

  name(number: number): string {
    return this.#names.get(number) ?? `number ${number}`
  }
}

// ── To the thread ──────────────────────────────────────────────────────────────────────────────────

/** Words of a part beside its drafts, its input and its ids. */
const partWords = 11
const [idsInput, bytesInput] = [1, 2] as const
/** A step of which no scores of a prompt are wanted. */
const nowhere = -1

/** Puts a pass where the thread finds it. False when it does not fit, or has masks. */
export function putPass(way: Way, { parts }: Pass, sessions: SessionNumbers): boolean {
  const { words } = way
  let at = 0
  for (const { session, tokens, step } of parts) {
    const number = sessions.of(session)
    // Masks are more than all else together, and few sessions have them.
    if (step?.masks !== undefined) return false
    const more = step === undefined ? 0 : step.drafts.length + wordsOf(step.input) + (step.ids?.length ?? 0)
    if (number === undefined || 4 * (at + partWords + more) > shareBytesMax) return false
    words[at++] = number
    words[at++] = tokens
    words[at++] = step === undefined ? 0 : step.input instanceof Int32Array ? idsInput : bytesInput
    if (step === undefined) continue
    words[at++] = step.position
    words[at++] = step.tokens
    words[at++] = step.sample ? 1 : 0
    words[at++] = step.scoresFrom ?? nowhere
    at = way.put(at, step.drafts)
    at = way.put(at, step.input)
    at = way.put(at, step.ids ?? none)
  }
  way.parts = parts.length
  return true
}

/** The pass that lies there; undefined when there is none. Its memory is its own. */
export function takePass(way: Way, sessions: SessionNumbers): Pass | undefined {
  const count = way.takeParts()
  if (count === undefined) return undefined
  const { words } = way
  const parts: ThreadPart[] = []
  for (let at = 0; parts.length < count; ) {
    const session = sessions.name(words[at++]!)
    const tokens = words[at++]!
    const input = words[at++]!
    if (input === 0) {
      parts.push({ session, tokens })
      continue
    }
    const [position, all, sample] = [words[at]!, words[at + 1]!, words[at + 2] === 1]
    const scoresFrom = words[at + 3] === nowhere ? {} : { scoresFrom: words[at + 3]! }
    const drafts = words[at + 4] === 0 ? none : [...way.numbers(at + 4)]
    at += 5 + drafts.length
    const numbers = input === idsInput ? way.numbers(at) : way.bytes(at)
    at += 1 + wordsOf(numbers)
    const ids = words[at] === 0 ? undefined : way.numbers(at)
    at += 1 + (ids?.length ?? 0)
    parts.push({ session, tokens, step: { position, tokens: all, input: numbers, sample, drafts, ids, ...scoresFrom } })
  }
  return { kind: 'pass', parts }
}

const none: readonly number[] = []

// ── Back from it ───────────────────────────────────────────────────────────────────────────────────

const kinds = ['going', 'none', 'hidden', 'tokens'] as const

/** Puts what became of a pass where the engine finds it. False when it does not fit, or a part of it failed, waits or has scores. */
export function putReply(way: Way, { parts, beganMs, computeMs, sampleMs, prefixBytes }: PassReply): boolean {
  const { words, times } = way
  let at = 0
  for (const part of parts) {
    if (part.kind === 'failed' || part.waitsFor !== undefined || 'scores' in part || 'prompt' in part) return false
    const numbers = part.kind === 'hidden' ? part.bytes : part.kind === 'tokens' ? part.ids : none
    if (4 * (at + 3 + wordsOf(numbers)) > shareBytesMax) return false
    words[at++] = kinds.indexOf(part.kind)
    words[at++] = part.reused ?? 0
    at = way.put(at, numbers)
  }
  times[0] = beganMs
  times[1] = computeMs
  times[2] = sampleMs
  times[3] = prefixBytes
  way.parts = parts.length
  return true
}

/** What became of a pass; undefined when nothing lies there. Its memory is its own. */
export function takeReply(way: Way): PassReply | undefined {
  const count = way.takeParts()
  if (count === undefined) return undefined
  const { words, times } = way
  const parts: PartReply[] = []
  for (let at = 0; parts.length < count; ) {
    const kind = kinds[words[at++]!]!
    const reused = words[at++]!
    // Of what is known there is a token at least.
    const known = reused === 0 ? {} : { reused }
    if (kind === 'hidden') {
      const bytes = way.bytes(at)
      at += 1 + wordsOf(bytes)
      parts.push({ kind, bytes, ...known })
    } else if (kind === 'tokens') {
      const ids = [...way.numbers(at)]
      at += 1 + ids.length
      parts.push({ kind, ids, ...known })
    } else {
      at++
      parts.push({ kind, ...known })
    }
  }
  return { kind: 'pass', parts, beganMs: times[0]!, computeMs: times[1]!, sampleMs: times[2]!, prefixBytes: times[3]! }
}
