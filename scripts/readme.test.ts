import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { COMMANDS } from '../src/cli/commands.js';
import { parseConfig } from '../src/config/index.js';

const root = join(import.meta.dirname, '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

describe('README', () => {
  it('shows a configuration that is valid', () => {
    const samples = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text ?? '');
    expect(samples.length).toBeGreaterThan(0);
    for (const text of samples) expect(() => parseConfig(text, '/mk-ci.yaml')).not.toThrow();
  });

  it('names every command, and only commands that exist', () => {
    const known = COMMANDS.map(({ name }) => name);
    for (const name of known) expect(readme).toMatch(new RegExp(`\`${name}\`|mk-ci ${name}`));
    for (const [, name] of readme.matchAll(/(?:npx |\.\/|`)mk-ci ([a-z]+)/g)) expect(known).toContain(name);
  });

  it('links only to files that are there', () => {
    for (const [, path] of readme.matchAll(/\]\((docs\/[^)#]+)\)/g))
      expect(existsSync(join(root, path ?? '')), path).toBe(true);
  });
});

describe('configurations in the repository', () => {
  it.each(['mk-ci.yaml', 'examples/quickstart/mk-ci.yaml', 'examples/flaky/mk-ci.yaml'])('%s is valid', (path) => {
    expect(parseConfig(readFileSync(join(root, path), 'utf8'), join(root, path)).suites.length).toBeGreaterThan(0);
  });
});
