/**
 * The engine's thread: ONNX Runtime's run is synchronous, so it must not share a thread with the network
 * (promise P7). Owns the span, the caches and the sampler.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { EngineError, InvalidStepError } from '../errors.ts'
import { attentionBlock } from '../model/limits.ts'
import { SessionCache } from './cache.ts'
import { decodeEdge, encodeEdge, firstNonFinite } from './edge.ts'
import type { Sampling } from './engine.ts'
import type { ThreadInit, ThreadReply, ThreadRequest } from './onnx-messages.ts'
import { needsTwinRows } from './onnx-self-test.ts'
import { OnnxSpan, type WeightSource } from './onnx-span.ts'
import { sample } from './sampler.ts'
import { syntheticLayers } from './synthetic.ts'

assert(parentPort !== null, 'this file runs as a worker thread')
const port = parentPort
const init = workerData as ThreadInit
const { config, edge, start, end } = init

interface Session {
  readonly cache: SessionCache
  readonly sampling: Sampling
}

const sessions = new Map<string, Session>()
let span: OnnxSpan

try {
  span = await loadSpan()
  port.on('message', (request: ThreadRequest) => void serve(request))
  port.postMessage({ kind: 'done' } satisfies ThreadReply)
} catch (error) {
  port.postMessage(failed(error, undefined))
}

async function loadSpan(): Promise<OnnxSpan> {
  const twinRows = init.twinRows ?? (init.weights === 'q4' && (await needsTwinRows()))
  // Where 4-bit rows differ, two threads also split three rows into two and one.
  const threads = twinRows ? 1 : init.threads
  const source: WeightSource =
    init.source.kind === 'synthetic' ? { kind: 'memory', files: syntheticLayers(init) } : init.source
  return OnnxSpan.create({ ...init, source, twinRows, threads })
}

async function serve(request: ThreadRequest): Promise<void> {
  let reply: ThreadReply
  try {
    reply = await answer(request)
  } catch (error) {
    const session = 'session' in request ? sessions.get(request.session) : undefined
    reply = failed(error, session?.cache.length)
  }
  port.postMessage(reply, reply.kind === 'hidden' ? [reply.bytes.buffer as ArrayBuffer] : [])
  // Nothing else keeps the thread: it ends when its last message is out.
  if (request.kind === 'close') port.close()
}

async function answer(request: ThreadRequest): Promise<ThreadReply> {
  switch (request.kind) {
    case 'open': {
      const { session, tokensMax, sampling } = request
      const shape = { layers: end - start, kvHeads: config.kvHeads, headDim: config.headDim }
      span.grow(tokensMax)
      sessions.set(session, { cache: new SessionCache(shape, tokensMax), sampling })
      return { kind: 'done' }
    }
    case 'run':
      return run(request)
    case 'free':
      sessions.delete(request.session)
      return { kind: 'done' }
    case 'close':
      sessions.clear()
      await span.release()
      return { kind: 'done' }
  }
}

async function run(request: Extract<ThreadRequest, { kind: 'run' }>): Promise<ThreadReply> {
  const { session, position, tokens } = request
  const state = sessions.get(session)
  assert(state !== undefined, `session ${session} is not open`)
  const { cache, sampling } = state
  const input = start === 0 ? checkedIds(request.input as Int32Array) : hiddenOf(request.input as Uint8Array, tokens)
  const width = start === 0 ? 1 : config.hidden
  const began = performance.now()
  const last = end === config.layers
  // From here on the step may change the cache; if it fails, what lies before its position stays.
  cache.truncate(position)
  try {
    let out: Float32Array | undefined
    const many = tokens > attentionBlock - (position % attentionBlock)
    for (let done = 0; done < tokens; ) {
      const n = Math.min(tokens - done, attentionBlock - (cache.length % attentionBlock))
      const hidden = await span.pass(cache, input.subarray(done * width, (done + n) * width), n)
      if (last) {
        out = hidden.subarray((n - 1) * config.hidden)
      } else if (many) {
        out ??= new Float32Array(tokens * config.hidden)
        out.set(hidden, done * config.hidden)
      } else {
        out = hidden
      }
      done += n
    }
    assert(out !== undefined, 'a step has at least one token')
    if (!last) {
      const bad = firstNonFinite(out)
      if (bad >= 0) {
        throw new EngineError(`layers ${start}-${end} overflow: hidden value ${bad % config.hidden} is ${out[bad]}`)
      }
      const bytes = encodeEdge(out, edge)
      return { kind: 'hidden', bytes, computeMs: performance.now() - began }
    }
    if (!request.sample) return { kind: 'none', computeMs: performance.now() - began }
    const id = sample(await span.logits(out), sampling, position + tokens)
    return { kind: 'token', id, computeMs: performance.now() - began }
  } catch (error) {
    cache.truncate(position)
    throw error
  }
}

function checkedIds(ids: Int32Array): Int32Array {
  const bad = ids.findIndex(id => id < 0 || id >= config.vocab)
  if (bad >= 0) throw new InvalidStepError(`token ids must lie in [0, ${config.vocab}), but id ${bad} is ${ids[bad]}`)
  return ids
}

function hiddenOf(bytes: Uint8Array, tokens: number): Float32Array {
  return decodeEdge(bytes, edge, tokens * config.hidden)
}

function failed(error: unknown, length: number | undefined): ThreadReply {
  const name = error instanceof InvalidStepError ? 'InvalidStepError' : 'EngineError'
  return { kind: 'failed', name, message: error instanceof Error ? error.message : String(error), length }
}
