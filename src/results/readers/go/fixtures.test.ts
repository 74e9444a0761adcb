import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Failure } from '../../model.js';
import { readFileForTest } from '../provenance/read-file.js';

/** Streams recorded from the real go command; `go-json/fixtures/README.md` says how. */
const FIXTURES = [
  { format: 'go-json', file: 'input.jsonl' },
  { format: 'go-text', file: 'input.txt' },
] as const;

for (const { format, file } of FIXTURES) {
  const folder = join(import.meta.dirname, '..', format, 'fixtures');
  describe(`recorded ${format} streams`, () => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      it(`reads ${entry.name} as expected`, async () => {
        const expected = JSON.parse(readFileSync(join(folder, entry.name, 'expected.json'), 'utf8')) as unknown;
        const read = await readFileForTest(join(folder, entry.name, file));
        expect(read.format).toBe(format);
        expect(read.conserves).toBe(true);
        expect({
          tests: Object.fromEntries(
            read.tests.map((test) => {
              const failure = test.attempts.find((attempt) => attempt.failure !== undefined)?.failure;
              const skipReason = test.attempts.at(-1)?.skipReason;
              return [
                `${test.id.package} ${test.id.name}`.trim(),
                {
                  attempts: test.attempts.map((attempt) => attempt.status),
                  ...(test.attributes === undefined ? {} : { attributes: test.attributes }),
                  ...(skipReason === undefined ? {} : { skipReason }),
                  ...(failure === undefined ? {} : { failure: brief(failure) }),
                },
              ];
            }),
          ),
          packages: Object.fromEntries(
            read.packages.map((pkg) => [
              pkg.package,
              { status: pkg.status, ...(pkg.failure === undefined ? {} : { failure: brief(pkg.failure) }) },
            ]),
          ),
          repairs: read.repairs.map(({ kind, test, count }) => ({
            kind,
            ...(test === undefined ? {} : { test: test.name }),
            ...(count === undefined ? {} : { count }),
          })),
        }).toEqual(expected);
      });
    }
  });
}

function brief({ kind, message, file, line }: Failure) {
  return {
    ...(kind === undefined ? {} : { kind }),
    message,
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
  };
}
