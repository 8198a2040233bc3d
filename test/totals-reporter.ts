import type { Reporter, TestModule } from 'vitest/node'

/** Reasons for which tests may be skipped, one a line. Where it is set, a skip for any other reason fails the run. */
const allowedVariable = 'SKEIN_SKIPS_ALLOWED'

/**
 * Prints the run's totals as one plain last line, for people and for CI systems that know no vitest, and before it why
 * tests were skipped (`needs.ts` has a test say so).
 */
export class TotalsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0 }
    const skips = new Map<string, number>()
    const again: string[] = []
    for (const module of modules) {
      // A module that cannot even be loaded has no tests to count, but it has failed.
      if (module.state() === 'failed' && [...module.children.allTests()].length === 0) counts.failed++
      for (const test of module.children.allTests()) {
        const result = test.result()
        if (result.state === 'pending') continue
        counts[result.state]++
        if (test.diagnostic()?.flaky === true)
          again.push(`passed when tried again: ${module.relativeModuleId} > ${test.fullName}`)
        if (result.state !== 'skipped') continue
        const why = result.note ?? test.meta().whyNot ?? `no reason is given by '${test.fullName}'`
        skips.set(why, (skips.get(why) ?? 0) + 1)
      }
    }
    const allowed = process.env[allowedVariable]?.split('\n').map(line => line.trim())
    const lines = [...again.sort()].concat(
      [...skips].sort(([a], [b]) => (a < b ? -1 : 1)).map(([why, n]) => `${n} skipped: ${why}`)
    )
    for (const why of skips.keys()) {
      if (allowed === undefined || allowed.includes(why)) continue
      lines.push(`this machine may not skip tests for that reason: ${why}`)
      process.exitCode = 1
    }
    // After the other reporters' own summaries.
    process.on('exit', () => {
      for (const line of lines) console.log(line)
      console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
    })
  }
}
