/**
 * Pages of so many positions that a layer's cache has at most for up to so many tokens.
 *
 * @param latest so many of the last tokens are all that it holds, wherever they begin in a page; undefined: it holds all
 */
export function pagesHeld(tokens: number, positions: number, latest: number | undefined): number {
  const all = Math.ceil(tokens / positions)
  return latest === undefined ? all : Math.min(all, Math.ceil((latest - 1) / positions) + 1)
}
