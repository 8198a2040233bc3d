/** The story of a world as a page. */
import type { Summary } from './stats.ts'
import type { World } from './world.ts'

/** Files to write, with their contents. */
export function writeReport(_world: World, summary: Summary, path: string): [string, string][] {
  return [[path, JSON.stringify(summary)]]
}
