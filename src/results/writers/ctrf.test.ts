import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Ajv } from 'ajv';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { arbitraryRun } from './arbitrary-run.js';
import { renderCtrf } from './ctrf.js';

const schema = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures', 'ctrf.schema.json'), 'utf8')) as Record<
  string,
  unknown
>;
const ajv = new Ajv({ allErrors: true });
addFormats.default(ajv);
const validate = ajv.compile(schema);

describe('CTRF writer', () => {
  it('is valid against the published schema for any run, and its summary adds up', () => {
    fc.assert(
      fc.property(arbitraryRun(), (run) => {
        const report = JSON.parse([...renderCtrf(run)].join('')) as {
          results: { summary: Record<string, number>; tests: readonly { status: string; retryAttempts?: unknown[] }[] };
        };
        expect(validate(report), JSON.stringify(validate.errors)).toBe(true);
        const { summary, tests } = report.results;
        expect(summary['tests']).toBe(tests.length);
        expect(tests.length).toBe(run.cells.flatMap((cell) => cell.tests).length + run.errors.length);
        for (const status of ['passed', 'failed', 'skipped', 'pending', 'other']) {
          expect(summary[status]).toBe(tests.filter((test) => test.status === status).length);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is refused by the schema when a field is wrong, so the check above can fail', () => {
    expect(validate({ reportFormat: 'CTRF', specVersion: '0.0.0', results: { tool: {}, tests: [] } })).toBe(false);
  });
});
