import { defineConfig } from 'vitest/config';

/** Unit tests sit beside the source; what needs a real engine or cluster is in `integration/`. */
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'scripts/**/*.test.ts'],
    environment: 'node',
    testTimeout: 20_000,
    // Files share a process: starting one for each takes as long as the tests. No test changes what others see.
    isolate: false,
  },
});
