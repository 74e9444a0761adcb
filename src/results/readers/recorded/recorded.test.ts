import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { countTests } from '../../counts.js';
import type { Status } from '../../model.js';
import { readFileForTest } from '../provenance/read-file.js';

const FILES = join(import.meta.dirname, 'files');

interface Expected {
  readonly format: string;
  readonly counts: Partial<Record<Status | 'flaky', number>>;
  /** Kinds of repairs. */
  readonly repairs?: readonly string[];
}

const GOTESTSUM = { passed: 20, failed: 11, skipped: 3 };
const ONLY_LISTED: Expected = {
  format: 'go-text',
  counts: { failed: 11, skipped: 3 },
  repairs: ['tests-not-listed'],
};

const EXPECTED: Readonly<Record<string, Expected>> = {
  'go-bench.json': { format: 'go-json', counts: { passed: 14, failed: 7 } },
  'go-cpu.json': { format: 'go-json', counts: { passed: 19, failed: 8, skipped: 1 } },
  // A test prints `--- FAIL: TestNothing` and `=== RUN   TestGhost`; without marks nobody can tell them from real ones.
  'go-cpu-v.txt': {
    format: 'go-text',
    counts: { passed: 18, failed: 9, skipped: 1, notrun: 1 },
    repairs: ['glued-marker'],
  },
  'go-fuzz.json': { format: 'go-json', counts: { failed: 1 } },
  'go-race.json': { format: 'go-json', counts: { passed: 1, failed: 1 } },
  'go-t2jtext-ok.json': {
    format: 'go-json',
    counts: { passed: 11, failed: 6, notrun: 1 },
    repairs: ['glued-marker'],
  },
  'gotestsum-dots.txt': ONLY_LISTED,
  'gotestsum-pkgname.txt': ONLY_LISTED,
  'gotestsum-testdox.txt': ONLY_LISTED,
  'gotestsum-standard-quiet.txt': ONLY_LISTED,
  'gotestsum-testname.txt': { format: 'go-text', counts: GOTESTSUM },
  'gotestsum-github-actions.txt': { format: 'go-text', counts: GOTESTSUM },
  'gotestsum-standard-verbose.txt': {
    format: 'go-text',
    counts: { passed: 20, failed: 12, skipped: 3, notrun: 1 },
    repairs: ['glued-marker'],
  },
  'gotestsum-testname2.txt': { format: 'go-text', counts: { passed: 21, failed: 11, skipped: 3, notrun: 1 } },
  'gotestsum-jsonfile.json': { format: 'go-json', counts: { passed: 21, failed: 11, skipped: 3, notrun: 1 } },
  // gotestsum writes a build that failed as a case `TestMain`, and counts a test that never ended among the failures.
  'gotestsum-junitfile.xml': {
    format: 'junit',
    counts: { passed: 21, failed: 13, skipped: 3 },
    repairs: ['attributes-disagree'],
  },
  'gotestsum-rerun-jsonfile.json': { format: 'go-json', counts: { passed: 15, failed: 5, flaky: 1 } },
  'gotestsum-rerun-junitfile.xml': { format: 'junit', counts: { passed: 15, failed: 5, flaky: 1 } },
  'jest.json': { format: 'jest-json', counts: { passed: 2, failed: 2, skipped: 2, flaky: 1 } },
  // todo is left out or passed by these two; a file that does not compile is a test of its own in TRX.
  'jest-junit.xml': { format: 'junit', counts: { passed: 3, failed: 2, skipped: 1 } },
  'jest-trx.trx': { format: 'trx', counts: { passed: 2, failed: 4, skipped: 2 } },
  'mocha.json': { format: 'mocha-json', counts: { passed: 2, failed: 2, skipped: 2, flaky: 1 } },
  'mocha.tap': { format: 'tap', counts: { passed: 2, failed: 2, skipped: 2 } },
  'mocha-xunit.xml': {
    format: 'junit',
    counts: { passed: 2, failed: 2, skipped: 2 },
    repairs: ['attributes-disagree'],
  },
  'playwright.json': {
    format: 'playwright-json',
    counts: { passed: 6, failed: 3, timedout: 1, skipped: 2, flaky: 2 },
  },
  // Two projects have the same class and name here, so 12 results are 10 tests.
  'playwright-junit.xml': { format: 'junit', counts: { passed: 4, failed: 3, error: 1, skipped: 2 } },
  'pytest-xdist.xml': { format: 'junit', counts: { passed: 6, failed: 4, error: 3, skipped: 2 } },
  'pytest-reruns.xml': {
    format: 'junit',
    counts: { passed: 7, failed: 3, error: 2, skipped: 2, flaky: 1 },
    repairs: ['rerun-without-result'],
  },
  // `Tests run: 20, Errors: 2, Failures: 5, Inconclusive: 2` and `Not run: 2`, says the tool.
  'nunit2.xml': { format: 'nunit', counts: { passed: 11, failed: 5, error: 2, skipped: 4 } },
  'pytest-nunit.xml': { format: 'nunit', counts: { passed: 7, failed: 6, skipped: 1 } },
  'node-test.tap': { format: 'tap', counts: { passed: 2, failed: 2, skipped: 2 } },
  'node-test-junit.xml': { format: 'junit', counts: { passed: 2, failed: 2, skipped: 1 } },
  'perl.tap': { format: 'tap', counts: { passed: 2, failed: 3, skipped: 2 } },
  'prove-verbose.txt': { format: 'tap', counts: { passed: 2, failed: 3, skipped: 2 } },
};

describe('outputs recorded from real tools', () => {
  it('has an expectation for every file', () => {
    expect(readdirSync(FILES).sort()).toEqual(Object.keys(EXPECTED).sort());
  });

  it.each(Object.entries(EXPECTED))('reads %s', async (name, { format, counts, repairs = [] }) => {
    const read = await readFileForTest(join(FILES, name));
    const found = Object.fromEntries(Object.entries(countTests(read.tests)).filter(([, count]) => count > 0));
    expect({ format: read.format, counts: found }).toEqual({ format, counts });
    expect([...new Set(read.repairs.map(({ kind }) => kind))].sort()).toEqual([...repairs].sort());
    expect(read.conserves).toBe(true);
  });

  it('divides names of NUnit 2 behind their fixture, whose arguments may have dots', async () => {
    const { tests } = await readFileForTest(join(FILES, 'nunit2.xml'));
    const ids = tests.map(({ id }) => [id.package, id.name]);
    expect(ids).toContainEqual(['Example.Storage.DriverTests("docker")', 'Starts']);
    expect(ids).toContainEqual(['Example.Storage.VolumeTests', 'Output("x/y",1)']);
  });
});
