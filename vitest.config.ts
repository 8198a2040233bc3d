import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // ONNX Runtime's telemetry is on by default; it must be off before the first session is created.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    // Two cores: more workers than that only make real-peer tests time out.
    maxWorkers: 2,
    pool: 'forks',
    testTimeout: 30_000
  }
})
