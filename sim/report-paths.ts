/** Where a report goes. */
import { extname } from 'node:path'

/** The page, then `.json`, `.csv`, `-peers.csv` and `-links.csv` beside it. */
export function reportPaths(page: string): [string, string, string, string, string] {
  const base = page.slice(0, page.length - extname(page).length)
  return [page, `${base}.json`, `${base}.csv`, `${base}-peers.csv`, `${base}-links.csv`]
}
