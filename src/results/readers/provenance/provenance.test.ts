import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { countTests } from '../../counts.js';
import { mergeLanes } from '../../merge.js';
import { checkCtrf, checkGopoghSummary, checkJsJson, checkJunit, checkTap } from './documents.js';
import { checkGoJson, checkGoText, checkPair } from './go.js';
import { parseProvenance, type CheckKind } from './page.js';
import { readFileForTest } from './read-file.js';

/**
 * Real outputs with counts made by an independent program (`PROVENANCE.md`), read by our readers. The table of what was
 * compared is `docs/reference/provenance-checks.md`; `MK_CI_UPDATE_DOCS=1` writes it anew.
 */
const CHECKS: Readonly<Record<string, CheckKind>> = {
  'gotest-json': checkGoJson,
  'gotest-text': checkGoText,
  'test2json-pairs': checkPair,
  junit: checkJunit,
  ctrf: checkCtrf,
  tap: checkTap,
  'js-json': checkJsJson,
  'gopogh-summary': checkGopoghSummary,
};

const ROOT = join(import.meta.dirname, '../../../..');
const DATA = join(ROOT, '../shared/data');
const TABLE = join(ROOT, 'docs/reference/provenance-checks.md');
const hasData = existsSync(join(DATA, 'PROVENANCE.md'));
const rows = hasData ? parseProvenance(readFileSync(join(DATA, 'PROVENANCE.md'), 'utf8')) : [];

describe.skipIf(!hasData)('the published counts of ../shared/data (skipped when that folder is absent)', () => {
  const checked = new Map<string, readonly string[]>();

  for (const row of rows) {
    const check = CHECKS[row.kind];
    if (check === undefined) continue;
    it(`agree with what is read from ${row.kind}/${row.file}`, async () => {
      const facts = await check(row, join(DATA, row.kind, row.file));
      checked.set(
        `${row.kind}/${row.file}`,
        facts.map((fact) => fact.name),
      );
      expect(Object.fromEntries(facts.map((fact) => [fact.name, fact.actual]))).toEqual(
        Object.fromEntries(facts.map((fact) => [fact.name, fact.expected])),
      );
    });
  }

  it('agree with the lanes of kubevirt joined into one result per test', async () => {
    const files = ['lane1.xml', 'lane2.xml.gz', 'lane3.xml', 'main.xml.gz'];
    const info = { id: 'lanes', environment: '', suite: 'network' };
    const lanes = await Promise.all(
      files.map(async (file) => {
        const { tests, packages, repairs } = await readFileForTest(join(DATA, 'junit', `kubevirt-network-${file}`));
        return { ...info, id: file, attempts: [], tests, packages, repairs, status: 'passed' as const };
      }),
    );
    const executed = countTests(mergeLanes(lanes.slice(0, 3), info).tests);
    expect([executed.passed, executed.failed]).toEqual([71, 8]);
    expect(mergeLanes(lanes.slice(0, 3), info).tests).toHaveLength(1055);
    const all = countTests(mergeLanes(lanes, info).tests);
    expect([all.passed, all.failed]).toEqual([85, 9]);
  });

  it('are compared for every file of the kinds that are checked', () => {
    expect(checked.size).toBe(rows.filter((row) => row.kind in CHECKS).length);
    expect(checked.size).toBeGreaterThan(0);
    expect([...checked].filter(([, facts]) => facts.length === 0)).toEqual([]);
  });

  it('are compared as the reference page says', () => {
    const lines = rows.map((row) => {
      const facts = checked.get(`${row.kind}/${row.file}`);
      return `| ${row.kind}/${row.file} | ${facts === undefined ? '' : facts.join(', ')} |`;
    });
    const page = `${[
      '# Which published facts of the real outputs are checked',
      '',
      'Written by `src/results/readers/provenance/provenance.test.ts`, which compares each fact with what our readers find.',
      '',
      '| file | facts compared |',
      '| --- | --- |',
      ...lines,
    ].join('\n')}\n`;
    if (process.env['MK_CI_UPDATE_DOCS'] === '1') writeFileSync(TABLE, page);
    expect(readFileSync(TABLE, 'utf8')).toBe(page);
  });
});
