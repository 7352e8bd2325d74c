import { defineConfig } from 'vitest/config'

/** The long measurements behind the figures in docs/operations.md: half an hour and more; `npm run acceptance`. */
export default defineConfig({
  test: {
    include: ['test/acceptance/**/*.accept.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 3_600_000,
    hookTimeout: 60_000,
  },
})
