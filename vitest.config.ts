import { defineConfig } from 'vitest/config';

/** Unit tests sit beside the source; what needs a real engine or cluster is in `integration/`. */
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
    environment: 'node',
    testTimeout: 20_000,
  },
});
