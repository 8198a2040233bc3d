/** Something that generates, our engines and llama.cpp alike, as the benches of engines read it. */
import type { CacheType } from '../../src/base/cache-type.ts'
import type { SessionId } from '../../src/base/ids.ts'
import type { Engine, StepInput } from '../../src/engine/engine.ts'
import { attentionBlock } from '../../src/model/limits.ts'
import { median } from './report.ts'

export interface Decoder {
  /** Forgets everything before. */
  begin(): Promise<void>
  /** Reads ids at the next positions; returns the id that follows. */
  read(ids: readonly number[]): Promise<number>
  /** Of the last call, in ms: time in llama.cpp's sampler. */
  readonly samplerMs?: number
  /** Of the last call, in ms: time in the engines' threads. */
  readonly computeMs?: number
}

export interface Round {
  readonly prefillMs: number
  readonly prefillCpuMs: number
  /** Its last {@link attentionBlock} tokens. */
  readonly lastBlockMs: number
  readonly tokenMs: number
  /** Without the part that the decoder names. */
  readonly restMs: number
  readonly ids: readonly number[]
}

/** Ids for a prompt: any do for timing, but they must not repeat, or caches of the processor would see few rows of the embedding. */
export function promptIds(tokens: number, vocab: number): number[] {
  return Array.from({ length: tokens }, (_, i) => 3 + ((i * 7919) % (vocab - 3)))
}

/** A prompt in blocks of {@link attentionBlock}, and so many tokens after it. */
export async function decodeRound(decoder: Decoder, prompt: readonly number[], tokens: number): Promise<Round> {
  await decoder.begin()
  const beganMs = performance.now()
  const before = process.cpuUsage()
  let id = 0
  let lastBlockMs = 0
  for (let at = 0; at < prompt.length; at += attentionBlock) {
    const began = performance.now()
    id = await decoder.read(prompt.slice(at, at + attentionBlock))
    lastBlockMs = performance.now() - began
  }
  const prefillMs = performance.now() - beganMs
  const { user, system } = process.cpuUsage(before)
  const ids = [id]
  const times: number[] = []
  const rest: number[] = []
  for (let i = 0; i < tokens; i++) {
    const began = performance.now()
    id = await decoder.read([id])
    const ms = performance.now() - began
    times.push(ms)
    rest.push(decoder.samplerMs === undefined ? (decoder.computeMs ?? ms) : ms - decoder.samplerMs)
    ids.push(id)
  }
  // The median token of the round: another process that takes the core for a while does not move it.
  const [tokenMs, restMs] = [median(times), median(rest)]
  return { prefillMs, prefillCpuMs: (user + system) / 1000, lastBlockMs, tokenMs, restMs, ids }
}

let sessions = 0

/** Engines in a row, with one session at a time. */
export function engineDecoder(
  engines: readonly Engine[],
  { tokensMax, cache, signal }: { readonly tokensMax: number; readonly cache?: CacheType; readonly signal: AbortSignal }
): Decoder {
  let session: SessionId | undefined
  let position = 0
  let computeMs = 0
  return {
    get computeMs() {
      return computeMs
    },
    async begin() {
      if (session !== undefined) for (const engine of engines) await engine.free(session)
      session = (sessions++).toString(16).padStart(32, '0') as SessionId
      position = 0
      const sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }
      for (const engine of engines) await engine.open(session, { tokensMax, sampling, cache })
    },
    async read(ids) {
      let input: StepInput = { kind: 'ids', ids: Int32Array.from(ids) }
      computeMs = 0
      for (const engine of engines) {
        const sample = engine === engines.at(-1)
        const out = await engine.run({ session: session!, position, tokens: ids.length, input, sample }, { signal })
        computeMs += out.computeMs
        if (out.kind === 'tokens') {
          position += ids.length
          return out.ids[0]!
        }
        if (out.kind === 'hidden') input = { kind: 'hidden', bytes: out.bytes }
      }
      throw new TypeError('the last layer gives a token')
    }
  }
}
