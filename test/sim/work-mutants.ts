/** Faults planted in what checks the work of others; worlds in which somebody lies (`sim/work-world.ts`) must find each. */
import type { Mutant } from './mutants.ts'

const service = 'src/check/service.ts'
const cases = 'src/check/case.ts'
const recompute = 'src/check/recompute-service.ts'

const planted: readonly Omit<Mutant, 'storm'>[] = [
  {
    name: 'believe one who says that it differs',
    file: 'src/check/limits.ts',
    original: 'export const checkersNeeded = 2',
    mutated: 'export const checkersNeeded = 1',
    from: 1,
    seeds: 30
  },
  {
    name: 'tell nobody of evidence',
    file: service,
    original: 'for (const each of told.slice(0, evidencePeersMax))',
    mutated: 'for (const each of told.slice(0, 0))',
    from: 1,
    seeds: 12
  },
  {
    name: 'find every hidden state to be as it should',
    file: recompute,
    original: 'if (drawn !== undefined || sameDigest(',
    mutated: 'if (drawn !== undefined || tokens > 0 || sameDigest(',
    from: 1,
    seeds: 12
  },
  {
    name: 'find every token of a tail to be as it should',
    file: recompute,
    original: 'const at = awaited.findIndex((id, i) => ids[i] !== id)',
    mutated: 'const at = -1 as number',
    from: 1,
    seeds: 20
  },
  {
    name: 'compute a tail again as if it had drawn after the row before',
    file: cases,
    original: 'const ids = Array.from({ length: end - position }, (_, i) => idAfter(position + i))',
    mutated: 'const ids = Array.from({ length: end - position }, (_, i) => idAfter(position + i + 1))',
    from: 1,
    seeds: 12
  },
  {
    name: 'digest what a step gave before what it was given',
    file: 'src/stage/committing-service.ts',
    original: 'chains.output.push(position, given, tokens)',
    mutated: "chains.output.push(position, output.kind === 'hidden' ? given.slice().fill(0) : given, tokens)",
    from: 1,
    seeds: 12
  },
  {
    name: 'keep the tokens of who was found out',
    file: 'src/session/right-service.ts',
    original: 'refuted ??= await checked(end, parts, options)',
    mutated: 'void (await checked(end, parts, options))',
    from: 1,
    seeds: 12
  },
  {
    name: 'have hops commit at the end alone',
    file: 'src/session/committed.ts',
    original: '(goes ? 1 : commitEveryTokens)',
    mutated: '(goes ? 1 : 1_000 * commitEveryTokens)',
    from: 26,
    seeds: 12
  },
  {
    name: 'forget who has gone before the end',
    file: service,
    original: '[session, ...partsOf(session)]',
    mutated: '[session, ...partsOf(session).slice(0, 0)]',
    from: 26,
    seeds: 12
  },
  {
    name: 'compute a tail again without the text that it drew by',
    file: recompute,
    original: 'withoutIds(bytes, count)',
    mutated: '{ ...withoutIds(bytes, count), ids: withoutIds(bytes, count).ids.map(byte => byte ^ 1) }',
    from: 1,
    seeds: 30
  },
  {
    name: 'check nobody who is new',
    file: 'src/check/known.ts',
    original: '< knownChecks ? newShare : checkShare',
    mutated: '< knownChecks ? 0 : checkShare',
    from: 1,
    seeds: 12
  }
]

export const workMutants: readonly Mutant[] = planted.map(mutant => ({ ...mutant, storm: 'work' }))
