/** The order of test files: those that take longest begin first, so that no long one is left to run by itself at the end. */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take a minute or more of one processor while others wait for something, or nearly so. The rest comes in vitest's own order. */
const longest = [
  'test/engine/wasm/machines.test.ts',
  'test/sim/mutations.test.ts',
  'test/churn/churn.test.ts',
  'test/sim/hot.test.ts',
  'test/engine/wasm/decoders.test.ts',
  'test/sim/world.test.ts',
  'test/sim/members.test.ts'
]

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = longest.findIndex(file => moduleId.endsWith(file))
      return at < 0 ? longest.length : at
    }
    // Stable: equals keep the order that vitest gives them.
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
