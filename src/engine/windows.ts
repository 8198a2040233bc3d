/**
 * What a session's cache need not hold any more: a layer with a window reads so many positions back and no further. What lies
 * below that, and below what a rollback may come back to, is given back while the session goes on. Pure.
 */
import type { ModelConfig } from '../model/decoder.ts'
import { rollbackTokens } from './limits.ts'

/** [end - start] the windows of layers [start, end), those of short convolutions their length; undefined: a layer reads all positions. */
export function windowsOf(
  { kinds }: Pick<ModelConfig, 'kinds'>,
  start: number,
  end: number
): readonly (number | undefined)[] {
  return Array.from({ length: end - start }, (_, i) => {
    const kind = kinds?.of[kinds.layers[start + i]!]
    return kind?.convolution?.length ?? kind?.window
  })
}

/**
 * The first position that a layer with a window may still read, once its cache has had `reached` tokens: a step that starts
 * `rollback` before that sees `window` positions, its own the last of them.
 */
export function readFrom(window: number | undefined, reached: number, rollback = rollbackTokens): number {
  return window === undefined ? 0 : Math.max(0, reached - rollback - window + 1)
}

/**
 * The shortest that a cache can be cut to, other than to nothing, once it has had `reached` tokens. 0: to any length.
 *
 * @param windows of its layers
 */
export function floorOf(windows: readonly (number | undefined)[], reached: number, rollback = rollbackTokens): number {
  return windows.some(window => readFrom(window, reached, rollback) > 0) ? reached - rollback : 0
}

/** What is left of a cache that is to be cut: nothing, where it cannot be cut to that length. */
export function cutLength(length: number, floor: number): number {
  return length < floor ? 0 : length
}

/** How many of the last tokens of a cache a layer with a window holds, those that may be rolled back included; undefined: all. */
export function latestTokens(window: number | undefined, rollback = rollbackTokens): number | undefined {
  return window === undefined ? undefined : window + rollback - 1
}
