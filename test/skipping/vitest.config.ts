import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { TotalsReporter } from '../totals-reporter.ts'

/** For `totals.test.ts`: these tests are there to be skipped. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  test: { include: ['scene.ts'], reporters: [new TotalsReporter()] }
})
