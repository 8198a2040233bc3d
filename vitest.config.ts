import { defineConfig } from 'vitest/config'
import { TotalsReporter } from './test/totals-reporter.ts'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // ONNX Runtime's telemetry is on by default; it must be off before the first session is created.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    // Two at a time: real peers and engines share the cores with the tests beside them.
    maxWorkers: 2,
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: ['default', new TotalsReporter()]
  }
})
