import { defineConfig } from 'vitest/config'
import { LongestFirst } from './test/longest-first.ts'
import { TotalsReporter } from './test/totals-reporter.ts'

/** Tests that say who may be charged with what while processes come and go: others' work would keep these from their processors. */
const alone = ['test/churn/upgrade.test.ts']

/** Tests of what decides and does nothing else: they share modules within a process, which spares 0.3 s of a processor a file. */
const deciding = ['base', 'route', 'session', 'stage', 'trust'].map(room => `test/${room}/**/*.test.ts`)

export default defineConfig({
  test: {
    // ONNX Runtime's telemetry is on by default; it must be off before the first session is created.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    // Four at a time on CI's two cores: real peers wait for one another for half of their time.
    maxWorkers: 4,
    globalSetup: ['test/measured-setup.ts'],
    pool: 'forks',
    // Real processes share CI's two cores with one another: what fails there is tried once more, and the totals name it.
    retry: process.env.CI === undefined ? 0 : 1,
    // Ends what hangs; on a busy machine a test takes ten times what it takes alone.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ['default', new TotalsReporter()],
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: [...alone, ...deciding],
          sequence: { groupOrder: 0 }
        }
      },
      { extends: true, test: { name: 'deciders', include: deciding, isolate: false, sequence: { groupOrder: 0 } } },
      { extends: true, test: { name: 'alone', include: alone, maxWorkers: 1, sequence: { groupOrder: 1 } } }
    ]
  }
})
