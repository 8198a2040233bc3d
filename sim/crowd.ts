/**
 * Many random worlds, over as many threads as there are. What is told does not depend on how many that is: results are
 * summed up in the order of their seeds, and the first broken world is the one with the smallest seed.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { BrokenPromise } from './promises.ts'
import { drawScenario } from './random-world.ts'
import type { Summary } from './stats.ts'
import { World } from './world.ts'

const counted = [
  'prompts',
  'answered',
  'failed',
  'cancelled',
  'driversLost',
  'tokens',
  'recoveries',
  'faults',
  'violations',
  'fetches',
  'checks',
  'events'
] as const satisfies readonly (keyof Summary)[]

type Counted = (typeof counted)[number]

/** What one world came to. */
export type WorldResult =
  | {
      readonly seed: number
      readonly broken: undefined
      readonly counts: Readonly<Record<Counted | 'virtualMs', number>>
      readonly trace: string
    }
  | { readonly seed: number; readonly broken: { readonly promise: string; readonly message: string } }

export interface Crowd {
  readonly worlds: number
  readonly counts: Readonly<Record<Counted | 'virtualMs', number>>
  /** Of all their traces, in the order of their seeds. */
  readonly trace: string
  readonly broken: { readonly seed: number; readonly promise: string; readonly message: string } | undefined
}

/** Threads for it: the processors there are. Sources with types in them run in this thread alone. */
export const jobsDefault = import.meta.url.endsWith('.ts') ? 1 : availableParallelism()

/** Lives through the world of one seed. */
export async function liveThrough(seed: number): Promise<WorldResult> {
  try {
    const summary = await new World({ scenario: drawScenario(seed), seed }).run()
    const counts = Object.fromEntries([...counted, 'virtualMs' as const].map(key => [key, summary[key]]))
    return { seed, broken: undefined, counts: counts as Record<Counted | 'virtualMs', number>, trace: summary.trace }
  } catch (error) {
    const broken =
      error instanceof BrokenPromise
        ? { promise: error.promise, message: error.message }
        : { promise: 'crash', message: `the world of seed ${seed} threw: ${(error as Error).stack}` }
    return { seed, broken }
  }
}

/** Worlds of the seeds from `first` on, until one breaks a promise. @param jobs threads; 1 is this one alone */
export async function liveThroughMany(
  first: number,
  count: number,
  jobs: number,
  onProgress: (worlds: number) => void = () => {}
): Promise<Crowd> {
  const sums: Record<string, number> = Object.fromEntries([...counted, 'virtualMs'].map(key => [key, 0]))
  let worlds = 0
  let trace = 0x811c9dc5
  let broken: Crowd['broken']
  /** Says whether there is a reason to go on. */
  const take = (result: WorldResult): boolean => {
    if (result.broken !== undefined) {
      broken = { seed: result.seed, ...result.broken }
      return false
    }
    for (const key of Object.keys(sums)) sums[key]! += result.counts[key as Counted]
    trace = Math.imul(trace ^ Number.parseInt(result.trace, 16), 0x01000193)
    worlds++
    onProgress(worlds)
    return true
  }
  if (jobs > 1) await shareOut(first, count, Math.min(jobs, count), take)
  else for (let seed = first; seed < first + count && take(await liveThrough(seed)); seed++);
  return {
    worlds,
    counts: sums as Crowd['counts'],
    trace: (trace >>> 0).toString(16).padStart(8, '0'),
    broken
  }
}

/** Has threads live through worlds, and hands the results on in the order of their seeds until `take` says no. */
async function shareOut(
  first: number,
  count: number,
  jobs: number,
  take: (result: WorldResult) => boolean
): Promise<void> {
  const file = import.meta.url.endsWith('.ts') ? './crowd-worker.ts' : './crowd-worker.js'
  const waiting = new Map<number, WorldResult>()
  let nextToStart = first
  let nextToTake = first
  const end = first + count
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const workers = Array.from({ length: jobs }, () => new Worker(new URL(file, import.meta.url)))
  try {
    for (const worker of workers) {
      const start = (): void => {
        if (nextToStart < end) worker.postMessage(nextToStart++)
      }
      worker.on('error', reject)
      worker.on('message', (result: WorldResult) => {
        waiting.set(result.seed, result)
        start()
        for (let next = waiting.get(nextToTake); next !== undefined; next = waiting.get(nextToTake)) {
          waiting.delete(nextToTake++)
          if (!take(next) || nextToTake === end) {
            nextToStart = end
            resolve()
            return
          }
        }
      })
      // One ahead, so that no thread waits for this one.
      start()
      start()
    }
    await promise
  } finally {
    await Promise.all(workers.map(worker => worker.terminate()))
  }
}
