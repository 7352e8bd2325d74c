import { defineConfig } from 'vitest/config'

const report = process.env.RINGLEADER_REPORT

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 60_000,
    retry: report ? 1 : 0, // a test with real processes meets a noisy machine; .ci/run names every one that needed it
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
})
