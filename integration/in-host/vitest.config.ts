import { defineConfig } from 'vitest/config';

/** For tests that change the host they run on: started inside of a container, see `none.contract.ts`. */
export default defineConfig({
  test: { include: ['integration/in-host/*.contract.ts'], environment: 'node', hookTimeout: 240_000 },
});
