/** What happens to a session as events with text. */
import type { PromptScores, TokenScore } from '../engine/scores.ts'
import { SessionFailedError } from '../errors.ts'
import type { Hop } from '../route/view.ts'
import type { HopStats } from '../stage/frame.ts'
import type { Answer, GenerationEvent, HopReport, PromptToken, Scored } from './generation.ts'
import type { SessionOptions } from './options.ts'
import type { SessionParts, SessionTokenizer, Timed } from './parts.ts'
import { AnswerParts } from './thinking.ts'

/** Turns outputs into events with text, and sums the answer up. Throws when there is none. */
export async function* detokenize(
  source: AsyncIterable<Timed>,
  { tokenizer }: SessionParts,
  startMs: number,
  { signal, promptLogprobs }: SessionOptions
): AsyncGenerator<GenerationEvent> {
  let stream: ReturnType<SessionTokenizer['stream']> | undefined
  let promptIds: readonly number[] = []
  let parts: AnswerParts | undefined
  let thoughts: ConstructorParameters<typeof AnswerParts>[0] | undefined
  const ids: number[] = []
  /** How many of them were there before. */
  let before = 0
  let text = ''
  let firstMs = startMs
  let lastMs = startMs
  let isStopped = false
  for await (const output of source) {
    if (output.kind === 'prompt') {
      promptIds = output.ids
      stream = tokenizer.stream(promptIds)
      if (promptLogprobs !== undefined) {
        const [bytes] = await tokenizer.bytes(promptIds.slice(0, 1), { signal })
        yield { event: 'prompt', tokens: [{ id: promptIds[0]!, position: 0, bytes: bytes! }] }
      }
      if (output.answered === undefined) continue
      ids.push(...output.answered)
      before = ids.length
      text = await stream.push(ids, { signal })
      yield { event: 'resumed', tokens: before, text }
    } else if (output.kind === 'scores') {
      yield { event: 'prompt', tokens: await promptTokens(tokenizer, promptIds, output, signal) }
    } else if (output.kind === 'conversation') {
      const { ids, droppedTurns, thinking } = output.prompt
      thoughts = thinking
      if (thinking !== undefined) parts = new AnswerParts(thinking)
      yield { event: 'conversation', tokens: ids.length, droppedTurns }
    } else if (output.kind === 'token') {
      const ms = output.atMs - lastMs
      lastMs = output.atMs
      if (ids.length === before) firstMs = output.atMs
      ids.push(output.id)
      const piece = await stream!.push([output.id], { signal })
      text += piece
      const part = parts?.next(output.id, piece)
      const { id, position, score } = output
      const [scored] = score === undefined ? [] : await scoredBy(tokenizer, [{ id, score }], signal)
      yield { event: 'token', id, text: piece, position, ms, ...(part === undefined ? {} : { part }), ...scored }
    } else if (output.kind === 'stopped') {
      // Where a limit cut an answer within a character, what is there of it is no text: more tokens would complete it.
      const rest = output.stop === 'eos' ? await stream!.push([], { last: true, signal }) : ''
      text += rest
      isStopped = true
      yield { event: 'stopped', stop: output.stop, text: rest }
    } else if (output.kind === 'end') {
      const { outcome } = output
      if (outcome.kind === 'cancelled') throw signal?.reason ?? new SessionFailedError('the answer was cancelled', text)
      if (outcome.kind === 'failed') throw outcome.error ?? new SessionFailedError(outcome.message, text)
      const fresh = ids.length - before
      // Of an answer that was complete before it was resumed.
      if (!isStopped && fresh === 0 && outcome.stop === 'eos') text += await stream!.push([], { last: true, signal })
      const times = { startMs, firstMs, lastMs }
      yield done(output, outcome.stop, { text, promptIds, ids, fresh, times })
    } else if (output.kind === 'refuted') {
      const tokens = ids.length - before
      ids.length = before
      isStopped = false
      stream = tokenizer.stream(promptIds)
      text = before > 0 ? await stream.push(ids, { signal }) : ''
      if (thoughts !== undefined) parts = new AnswerParts(thoughts)
      yield { event: 'refuted', peer: output.peer, tokens }
    } else if (output.kind === 'trace') {
      const { lap } = output
      yield { event: 'trace', ...lap, startMs: lap.startMs - startMs }
    } else {
      const { kind, atMs: _, ...rest } = output
      yield { event: kind, ...rest } as GenerationEvent
    }
  }
}

/** The summary of an answer. @param fresh of its tokens, how many are of this session */
function done(
  { route, exact, hops, drafts, bytesSent }: Extract<Timed, { kind: 'end' }>,
  stop: Answer['stop'],
  {
    fresh,
    times: { startMs, firstMs, lastMs },
    ...said
  }: Pick<Answer, 'text' | 'promptIds' | 'ids'> & {
    readonly fresh: number
    readonly times: { readonly startMs: number; readonly firstMs: number; readonly lastMs: number }
  }
): GenerationEvent {
  const bytes = hops.reduce((sum, hop) => sum + hop.bytesOut + hop.bytesBack, bytesSent)
  return {
    event: 'done',
    ...said,
    stop,
    timing: {
      firstTokenMs: firstMs - startMs,
      totalMs: lastMs - startMs,
      // Between the first and the last token: the prompt's share is in firstTokenMs.
      tokensPerSecond: fresh > 1 ? ((fresh - 1) * 1000) / (lastMs - firstMs) : 0
    },
    bytesPerToken: fresh > 0 ? bytes / fresh : 0,
    exact,
    hops: hops.flatMap(stats => report(stats, route)),
    drafts
  }
}

function report(
  { hop, steps, tokens, computeMs, rows, queueMs, bytesIn, bytesOut, reused: known }: HopStats,
  route: readonly Hop[]
): HopReport[] {
  const at = route[hop]
  // No hop knows more than it had to do, whatever it says.
  const reused = Math.min(known, tokens)
  return at === undefined ? [] : [{ ...at, steps, tokens, computeMs, rows, reused, queueMs, bytesIn, bytesOut }]
}

/** Tokens of a prompt with what the model makes of them. */
async function promptTokens(
  tokenizer: SessionTokenizer,
  promptIds: readonly number[],
  { position, scores }: PromptScores,
  signal: AbortSignal | undefined
): Promise<PromptToken[]> {
  const each = scores.map((score, i) => ({ id: promptIds[position + i]!, score }))
  const scored = await scoredBy(tokenizer, each, signal)
  return scored.map((score, i) => ({ id: each[i]!.id, position: position + i, ...score }))
}

/** What the model makes of some tokens, with the bytes of all that is named. */
async function scoredBy(
  tokenizer: SessionTokenizer,
  tokens: readonly { readonly id: number; readonly score: TokenScore }[],
  signal: AbortSignal | undefined
): Promise<Scored[]> {
  const ids = [...new Set(tokens.flatMap(({ id, score }) => [id, ...score.top.map(each => each.id)]))]
  const bytes = await tokenizer.bytes(ids, { signal })
  const bytesOf = new Map(ids.map((id, i) => [id, bytes[i]!]))
  return tokens.map(({ id, score: { logprob, top } }) => ({
    logprob,
    bytes: bytesOf.get(id)!,
    top: top.map(each => ({ ...each, bytes: bytesOf.get(each.id)! }))
  }))
}
