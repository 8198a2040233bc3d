/** How long a thread may take until the weights of a stage are ready: the more bytes it reads, the longer. Pure. */
import { shardBytes } from '../model/layout.ts'
import { stagePlaces } from '../model/manifest.ts'
import { engineLoadBytesPerMs, engineLoadMs } from './limits.ts'
import type { SpanInit } from './thread-messages.ts'

/** In ms, from the start of the thread on. */
export function loadTimeoutMs(span: Pick<SpanInit, 'config' | 'weights' | 'start' | 'end'>): number {
  const { config, start, end } = span
  const bytes = stagePlaces(config, start, end).reduce((sum, place) => sum + shardBytes(span, place), 0)
  return engineLoadMs + bytes / engineLoadBytesPerMs
}
