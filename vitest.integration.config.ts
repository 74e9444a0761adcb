import { defineConfig } from 'vitest/config';

/** Integration tests share one host: clusters, ports and engines. They run file by file, so that time limits mean something. */
export default defineConfig({
  test: {
    include: ['integration/**/*.test.ts'],
    environment: 'node',
    fileParallelism: false,
    testTimeout: 420_000,
    hookTimeout: 900_000,
    globalSetup: ['integration/global-setup.ts'],
  },
});
