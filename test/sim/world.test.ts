import { describe, expect, test } from 'vitest'
import { drawScenario } from '../../sim/random-world.ts'
import { World } from '../../sim/world.ts'

/** Everything that a world says, and its summary. */
function live(seed: number): { readonly lines: readonly string[]; readonly summary: string } {
  const lines: string[] = []
  const world = new World({ scenario: drawScenario(seed), seed, onLine: line => lines.push(line) })
  return { lines, summary: JSON.stringify(world.run()) }
}

describe('a world', () => {
  test('is decided by its seed: the same bytes of output, twice', () => {
    const [once, again, other] = [live(3), live(3), live(4)]
    expect(once.lines.length).toBeGreaterThan(50)
    expect(again).toEqual(once)
    expect(other.summary).not.toEqual(once.summary)
  })
})
