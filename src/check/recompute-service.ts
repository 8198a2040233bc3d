/** Computes a case again, with layers that are loaded here and a cache of its own. */
import type { SessionId } from '../base/ids.ts'
import { edgeSize, type Engine } from '../engine/engine.ts'
import { stepDraftsMax } from '../engine/limits.ts'
import { needsText } from '../engine/penalties.ts'
import { type Digest, idBytes, RowChain, sameDigest, withIds, withoutIds } from '../stage/commitment.ts'
import { checkSteps, hopOf, type WorkCase } from './case.ts'
import type { Finding } from './frame.ts'
import { checkStepTokens } from './limits.ts'

/** What came of a case, and what that took. */
export interface Verdict {
  readonly finding: Finding
  /** Where it differs, or why nobody knows. */
  readonly message: string
  /** In engines, in ms, of this peer or another one. */
  readonly ms: number
}

export interface RecomputeInit {
  readonly digest: Digest
  /** Names the cache. */
  readonly session: SessionId
  /** Sessions need what this takes: it gives way. */
  readonly givesWay: () => boolean
  readonly signal: AbortSignal
}

/** @throws {NoRoomError} {EngineError} what the engine throws; the signal's reason */
export async function recompute(engine: Engine, about: WorkCase, init: RecomputeInit): Promise<Verdict> {
  const { terms, commitment, rows, drawn } = about
  const { tokens, output } = commitment
  const { digest, session, signal } = init
  const rowBytes = rows.length / tokens
  const isHead = hopOf(about).start === 0
  const hasIds = needsText(terms.sampling)
  if (rowBytes !== (isHead ? idBytes : engine.hidden * edgeSize(engine.edge) + (hasIds ? idBytes : 0)))
    return cannot('its rows are of another model', 0)
  // What it tells of tokens beside their ids changes none of them.
  const sampling = { ...terms.sampling, logprobs: undefined, promptLogprobs: undefined }
  await engine.open(session, { tokensMax: tokens, sampling, cache: terms.cache })
  try {
    const chain = new RowChain(digest)
    let ms = 0
    for (const step of checkSteps(about, { stepTokens: checkStepTokens, draftsMax: stepDraftsMax })) {
      if (init.givesWay()) return cannot('sessions need the room', ms)
      const { position, tokens: count, drafts, drawn: awaited } = step
      const bytes = rows.subarray(position * rowBytes, (position + count) * rowBytes)
      const { rows: states, ids: text } =
        hasIds && !isHead ? withoutIds(bytes, count) : { rows: bytes, ids: hasIds ? bytes : undefined }
      const given = await engine.run(
        {
          session,
          position,
          tokens: count,
          input: isHead ? { kind: 'ids', ids: idsOf(bytes) } : { kind: 'hidden', bytes: states },
          ...(text === undefined || isHead ? {} : { ids: idsOf(text) }),
          sample: awaited !== undefined,
          ...(drafts === undefined || drafts.length === 0 ? {} : { drafts })
        },
        { signal }
      )
      ms += given.computeMs
      if (given.kind === 'hidden')
        chain.push(position, text === undefined ? given.bytes : withIds(given.bytes, text), count)
      if (awaited === undefined) continue
      const ids = given.kind === 'tokens' ? given.ids : []
      const at = awaited.findIndex((id, i) => ids[i] !== id)
      if (at >= 0)
        return { finding: 'differs', message: `token ${position + at + 1} is ${ids[at]}, not ${awaited[at]}`, ms }
    }
    if (drawn !== undefined || sameDigest(chain.at(tokens) ?? new Uint8Array(0), output)) {
      return { finding: 'same', message: '', ms }
    }
    return { finding: 'differs', message: `its hidden states of ${tokens} tokens are others`, ms }
  } finally {
    await engine.free(session).catch(() => {})
  }
}

export function cannot(message: string, ms: number): Verdict {
  return { finding: 'cannot', message, ms }
}

/** [ids] of rows of 4 bytes. */
function idsOf(rows: Uint8Array): Int32Array {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength)
  return Int32Array.from({ length: rows.length / idBytes }, (_, i) => view.getInt32(4 * i, true))
}
