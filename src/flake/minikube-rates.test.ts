import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { parseMinikubeCsv } from './import/minikube-csv.js';
import { formatMinikubeRates, goFixed, minikubeRates } from './minikube-rates.js';
import { openFlakeStore } from './store/open.js';
import type { AttemptRow } from './store/store.js';

const HEADER = 'Commit Hash,Test Date,Environment,Test,Status,Duration,Root Job,Total Tests Ran,Total Duration';
const HISTORY = join(import.meta.dirname, '../../../shared/data/flake-history');

const rows = (test: string, statuses: string, seconds: readonly number[] = []): AttemptRow[] =>
  Array.from(statuses, (letter, index) => ({
    environment: 'env',
    package: '',
    test,
    status: ({ P: 'passed', F: 'failed', S: 'skipped' } as const)[letter as 'P' | 'F' | 'S'],
    durationMs: (seconds[index] ?? 0) * 1000,
  }));

async function ratesOfFile(name: string): Promise<string> {
  await using store = await openFlakeStore(':memory:');
  const { records, problems } = await parseMinikubeCsv(readFileSync(join(HISTORY, name), 'utf8').split('\n'));
  expect(problems).toEqual([]);
  await store.write(records);
  return formatMinikubeRates(minikubeRates(await store.attempts()));
}

describe('minikubeRates', () => {
  it("gives the values of minikube's own tests", () => {
    // hack/jenkins/test-flake-chart/compute_flake_rate_test.go
    const rates = minikubeRates([
      ...rows('PPPPF', 'PPPPF', [1, 2, 3, 3, 3]),
      ...rows('FFF', 'FFF'),
      ...rows('PF', 'PF'),
      ...rows('skipped', 'SS'),
    ]);
    expect(rates.map(({ test, flakeRate, durationSeconds }) => [test, flakeRate, durationSeconds])).toEqual([
      ['FFF', 1, 0],
      ['PF', 0.5, 0],
      ['PPPPF', Math.fround(0.2), Math.fround(2.4)],
    ]);
  });

  it('counts in float32: a third is 33.33 and the sum rounds at each step', () => {
    const sum = minikubeRates(rows('T', 'PPF', [16_777_216, 1, 1]));
    // 2^24 + 1 is not a float32: both ones are lost, as in Go.
    expect(sum[0]?.durationSeconds).toBe(Math.fround(16_777_216 / 3));
    expect(formatMinikubeRates(minikubeRates(rows('T', 'PPF')))).toBe(
      'Environment,Test,Flake Rate,Duration\nenv,T,33.33,0.000\n',
    );
  });

  it('writes a name that stands in two packages with its package, and quotes a comma', () => {
    const [first, second] = [rows('T', 'P')[0]!, rows('a,b', 'F')[0]!];
    const text = formatMinikubeRates(minikubeRates([first, { ...first, package: 'q' }, second]));
    expect(text.split('\n').slice(1, -1)).toEqual([
      'env,/T,0.00,0.000',
      'env,"a,b",100.00,0.000',
      'env,q/T,0.00,0.000',
    ]);
  });

  it.skipIf(!existsSync(HISTORY))('says the same of the plain and of the optimised file of real runs', async () => {
    const plain = await ratesOfFile('minikube-data-plain.csv');
    expect(await ratesOfFile('minikube-data-optimized.csv')).toBe(plain);
    // 443 of the 475 rows are no skips; each (environment, test) stands once.
    expect(plain.trimEnd().split('\n')).toHaveLength(1 + 443);
    // Computed apart from this code, with numpy float32 over the same rows.
    expect(plain).toContain('\nDocker_Linux,TestAddons/parallel/HelmTiller,0.00,9.060\n');
    expect(plain.match(/,100\.00,/g)).toHaveLength(104);
  });
});

describe('goFixed', () => {
  it('rounds exact halves to even as Go does', () => {
    expect([3.125, 9.375, 0.125, 12.5, 100, 0].map((value) => goFixed(value, 2))).toEqual([
      '3.12',
      '9.38',
      '0.12',
      '12.50',
      '100.00',
      '0.00',
    ]);
  });
});

describe('parseMinikubeCsv', () => {
  it('puts a name with commas together, in full and in optimised rows', async () => {
    const { records, problems } = await parseMinikubeCsv([
      HEADER,
      'abc,2026-01-02,Docker,TestA/x=1,y=2,Passed,1.5,77,2,9.0',
      ',,,TestB,z,,2,,,',
    ]);
    expect(problems).toEqual([]);
    expect(records[0]?.results.map(({ name, durationMs }) => [name, durationMs])).toEqual([
      ['TestA/x=1,y=2', 1500],
      ['TestB,z', 2000],
    ]);
  });

  it('says which rows it could not take, and takes the others', async () => {
    const {
      records,
      problems,
      rows: count,
    } = await parseMinikubeCsv([
      HEADER,
      'abc,2026-01-02,Docker,TestA,Passed,1.5,77,2,9.0',
      'abc,2026-01-02,Docker,TestShort,Passed',
      'abc,2026-01-02,Docker,TestB,Exploded,1,77,2,9',
      'abc,yesterday,Docker,TestC,Passed,1,77,2,9',
      'abc,2026-01-02,Docker,TestD,Failed,soon,77,2,9',
      '',
    ]);
    expect(count).toBe(5);
    expect(problems).toEqual([
      { line: 3, message: '5 columns, not 9', kept: false },
      { line: 4, message: `status 'Exploded'`, kept: false },
      { line: 5, message: `date 'yesterday'`, kept: false },
      { line: 6, message: `duration 'soon'`, kept: true },
    ]);
    expect(records[0]?.results.map(({ name }) => name)).toEqual(['TestA', 'TestD']);
  });

  it('keeps a test that comes twice in a run as two attempts', async () => {
    const row = 'abc,2026-01-02,Docker,TestA,Failed,1,77,2,9';
    const { records } = await parseMinikubeCsv([HEADER, row, row.replace('Failed', 'Passed')]);
    expect(records[0]?.results.map(({ attempt, status }) => [attempt, status])).toEqual([
      [1, 'failed'],
      [2, 'passed'],
    ]);
  });

  it('refuses a file with another header', async () => {
    await expect(parseMinikubeCsv(['a,b,c'])).rejects.toMatchObject({ code: 'DB_BAD_INPUT' });
    await expect(parseMinikubeCsv([])).rejects.toMatchObject({ code: 'DB_BAD_INPUT' });
  });

  it('reads the optimised form of any rows as the rows themselves', async () => {
    const row = fc.record({
      commit: fc.constantFrom('c1', 'c2'),
      date: fc.constantFrom('2026-01-01', '2026-01-02'),
      environment: fc.constantFrom('e1', 'e2'),
      name: fc.constantFrom('TestA', 'TestB/x', 'Test,C'),
      status: fc.constantFrom('Passed', 'Failed', 'Skipped'),
      duration: fc.constantFrom('0', '1.25', '3'),
      job: fc.constantFrom('7', '8'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 12 }), async (list) => {
        const plain = list.map((one) => [
          one.commit,
          one.date,
          one.environment,
          one.name,
          one.status,
          one.duration,
          one.job,
          '5',
          '9',
        ]);
        const optimised = plain.map((fields, index) =>
          // A name is left alone: blanking a part of one with a comma would change the columns.
          fields.map((field, at) => (at !== 3 && field === plain[index - 1]?.[at] ? '' : field)),
        );
        const read = async (table: readonly (readonly string[])[]) =>
          await parseMinikubeCsv([HEADER, ...table.map((fields) => fields.join(','))]);
        expect(await read(optimised)).toEqual(await read(plain));
      }),
    );
  });
});
