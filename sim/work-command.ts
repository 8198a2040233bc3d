/** `npm run sim -- --work N`: worlds of work that is checked, and how long it takes until a peer is found out that lies once it is known. */
import { BrokenWork, WorkWorld } from './work-world.ts'

/** Worlds for each of the two medians. */
const measuredMax = 41

/** Exit code: 0 all promises held, 1 one was broken. */
export async function manyOfWork(
  { first, count, json }: { first: number; count: number; json: boolean },
  print: (line: string) => void
): Promise<number> {
  const sum = { sessions: 0, refuted: 0, passed: 0, checks: 0 }
  for (let seed = first; seed < first + count; seed++) {
    try {
      const seen = await new WorkWorld(seed).run()
      for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += seen[name]
    } catch (error) {
      if (!(error instanceof BrokenWork)) throw error
      print(`broken: ${error.message}`)
      if (json) print(JSON.stringify({ event: 'broken', promise: error.promise, seed, message: error.message }))
      print(`npm run sim -- --work 1 --seed ${seed}`)
      return 1
    }
    if ((seed - first + 1) % 500 === 0) print(`${seed - first + 1} worlds`)
  }
  const { sessions, refuted, passed, checks } = sum
  print(
    `${count} worlds of checked work from seed ${first}: no promise broken in ${checks} checks of ${sessions} sessions`
  )
  print(`${refuted} times a peer found out one that lied; ${passed} checks found work as it should be`)
  const measured = Math.min(measuredMax, count)
  const medians = { always: await medianOf(1, first, measured), oneInTen: await medianOf(0.1, first, measured) }
  print(
    `a peer that was known, and falsifies everything from then on: found after ${medians.always} of its sessions (median of ${measured})`
  )
  print(`one in ten of them: after ${medians.oneInTen}`)
  if (json) print(JSON.stringify({ event: 'work', first, count, broken: 0, ...sum, medians }))
  return 0
}

/** Sessions of a liar's until it is found, from when it begins to lie. */
async function medianOf(liesRatio: number, first: number, worlds: number): Promise<number> {
  const after: number[] = []
  for (let seed = first; seed < first + worlds; seed++) {
    const { foundAfter } = await new WorkWorld(seed, { liesRatio, isKnownFirst: true, isMeasured: true }).run()
    after.push(foundAfter ?? Number.POSITIVE_INFINITY)
  }
  return after.sort((a, b) => a - b)[Math.floor(after.length / 2)]!
}
