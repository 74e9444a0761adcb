import { readFile } from 'node:fs/promises';

import { MkCiError } from '../../../errors.js';
import { isBad, testKey, type Status, type TestResult } from '../../model.js';
import { numberAfter, numberBefore, type CheckKind, type Fact } from './page.js';
import { readFileForTest, type FileRead } from './read-file.js';

/**
 * `gotest-json`: the page counts events, so a test whose result stands only in the text of the log is "no terminal"
 * there and has its result here; a repair says so, and the comparison takes it back.
 */
export const checkGoJson: CheckKind = async ({ holds }, path) => {
  if (numberBefore(holds, 'events') === 0) return refusal(path);
  const read = await readFileForTest(path, 'go-json');
  const recovered = new Set(
    read.repairs
      .filter(({ kind }) => kind === 'glued-marker' || kind === 'missing-result')
      .flatMap(({ test }) => (test === undefined ? [] : [testKey(test)])),
  );
  const told = read.tests.map((test) => ({ test, result: resultOf(test.status, recovered.has(testKey(test.id))) }));
  const parents = parentsOf(read.tests);
  const leaves = told.filter(({ test }) => !parents.has(testKey(test.id)));
  const facts: Fact[] = [
    { name: 'tests', expected: numberAfter(holds, 'tests'), actual: read.tests.length },
    { name: 'pass', expected: numberAfter(holds, 'pass'), actual: count(told, 'passed') },
    { name: 'fail', expected: numberAfter(holds, 'fail'), actual: count(told, 'failed') },
    { name: 'skip', expected: numberAfter(holds, 'skip'), actual: count(told, 'skipped') },
    { name: 'no terminal', expected: numberAfter(holds, 'no terminal'), actual: count(told, 'none') },
    {
      name: 'leaves',
      expected: /leaves (\d+: [\d/]+)/.exec(holds)?.[1],
      actual: `${String(leaves.length)}: ${(['passed', 'failed', 'skipped', 'none'] as const).map((result) => String(count(leaves, result))).join('/')}`,
    },
    { name: 'package results', expected: packageResults(holds), actual: packagesOf(read) },
    {
      name: 're-run tests',
      expected: numberAfter(holds, 're-run tests'),
      actual: startedAgain(read),
    },
    {
      name: 'tests with both results',
      expected: numberAfter(holds, 'tests with both results'),
      actual: read.counts.flaky,
    },
    { name: 'non-JSON lines', expected: numberAfter(holds, 'non-JSON lines'), actual: repairs(read, 'non-json-line') },
    { name: 'bad JSON lines', expected: numberAfter(holds, 'bad JSON lines'), actual: repairs(read, 'broken-event') },
    {
      name: 'names in 2+ packages',
      expected: numberAfter(holds, 'names in 2\\+ packages'),
      actual: sharedNames(read.tests),
    },
    {
      name: 'failing parents without failing child',
      expected: numberAfter(holds, 'failing parents without failing child'),
      actual: failingAlone(read.tests),
    },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
  return facts;
};

/** `gotest-text`: markers are ends of attempts. */
export const checkGoText: CheckKind = async ({ holds }, path) => {
  const read = await readFileForTest(path);
  const attempts = read.tests.flatMap((test) => test.attempts);
  const marked = (status: Status): number => attempts.filter((attempt) => attempt.status === status).length;
  const named = read.packages.filter((pkg) => pkg.package !== '');
  return [
    { name: 'format', expected: 'go-text', actual: read.format },
    { name: 'markers pass', expected: numberAfter(holds, 'markers pass'), actual: marked('passed') },
    { name: 'markers fail', expected: numberAfter(holds, 'fail'), actual: marked('failed') },
    { name: 'markers skip', expected: numberAfter(holds, 'skip'), actual: marked('skipped') },
    {
      name: '=== RUN',
      expected: numberAfter(holds, '`=== RUN`'),
      actual: read.events.filter((event) => event.type === 'test-started').length,
    },
    {
      name: 'repeated names',
      expected: numberAfter(holds, 'repeated names'),
      actual: read.tests.filter((test) => test.attempts.length > 1).length,
    },
    {
      name: 'package lines ok',
      expected: numberAfter(holds, 'package lines ok'),
      actual: named.filter((pkg) => pkg.status === 'passed').length,
    },
    {
      name: 'package lines FAIL',
      expected: numberAfter(holds, 'FAIL'),
      actual: named.filter((pkg) => pkg.status === 'failed').length,
    },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
};

/** `test2json-pairs`: text and events of one run must give the same tests. */
export const checkPair: CheckKind = async ({ file }, path) => {
  if (!file.endsWith('.test')) return eventsOfPair(path);
  const json = await readFileForTest(path.replace(/\.test$/, '.json'), 'go-json');
  const text = file === 'empty.test' ? undefined : await readFileForTest(path, 'go-text');
  const brief = (read: FileRead | undefined) =>
    read?.tests.map((test) => `${test.id.name} ${test.attempts.map((attempt) => attempt.status).join(',')}`).sort() ??
    [];
  const packages = (read: FileRead | undefined) => read?.packages.map((pkg) => pkg.status) ?? [];
  return [
    { name: 'tests and attempts as in the .json', expected: brief(json), actual: brief(text) },
    ...(file === 'empty.test' ? [] : [{ name: 'package result', expected: packages(json), actual: packages(text) }]),
  ];
};

/** What test2json made of the text: names and number of lines, counted here from the lines as they are. */
async function eventsOfPair(path: string): Promise<readonly Fact[]> {
  const read = await readFileForTest(path, 'go-json');
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  const names = lines.flatMap((line) => /"Test":"([^"]+)"/.exec(line)?.[1] ?? []);
  return [
    { name: 'tests', expected: new Set(names).size, actual: read.tests.length },
    { name: 'conservation', expected: true, actual: read.conserves },
  ];
}

/** A file without any event is not go test -json. */
async function refusal(path: string): Promise<readonly Fact[]> {
  let actual: unknown = 'read';
  try {
    await readFileForTest(path, 'go-json');
  } catch (error) {
    actual = error instanceof MkCiError ? error.code : error;
  }
  return [{ name: 'refused by name', expected: 'RES_MALFORMED', actual }];
}

type Told = { readonly result: 'passed' | 'failed' | 'skipped' | 'none' };

function resultOf(status: Status, isRecovered: boolean): Told['result'] {
  if (isRecovered) return 'none';
  return status === 'passed' || status === 'failed' || status === 'skipped' ? status : 'none';
}

function count(told: readonly Told[], result: Told['result']): number {
  return told.filter((entry) => entry.result === result).length;
}

function repairs(read: FileRead, kind: string): number {
  return read.repairs.filter((repair) => repair.kind === kind).reduce((sum, repair) => sum + (repair.count ?? 1), 0);
}

function packageResults(holds: string): unknown {
  const text = /package results (\{[^}]*\})/.exec(holds)?.[1];
  return text === undefined ? {} : (JSON.parse(text) as unknown);
}

/** Packages by result as the page counts them: without those whose end came under the name of a test, or not at all. */
function packagesOf(read: FileRead): Readonly<Record<string, number>> {
  const words: Partial<Record<Status, string>> = { passed: 'pass', failed: 'fail', skipped: 'skip' };
  const result: Record<string, number> = {};
  // A build told in plain text has no event either.
  const told = read.packages.filter(
    (pkg) => pkg.failure?.kind !== 'build' || read.repairs.every(({ kind }) => kind !== 'non-json-line'),
  );
  for (const { status } of told) {
    const word = words[status];
    if (word !== undefined) result[word] = (result[word] ?? 0) + 1;
  }
  const lost = repairs(read, 'package-result-on-test');
  if (lost > 0) result['fail'] = (result['fail'] ?? 0) - lost;
  if (result['fail'] === 0) delete result['fail'];
  return result;
}

function parentsOf(tests: readonly TestResult[]): ReadonlySet<string> {
  const parents = new Set<string>();
  for (const { id } of tests) {
    for (let at = id.name.indexOf('/'); at >= 0; at = id.name.indexOf('/', at + 1)) {
      parents.add(testKey({ package: id.package, name: id.name.slice(0, at) }));
    }
  }
  return parents;
}

/** Tests with more than one `run`; further ends without one are attempts too, but the page does not count them. */
function startedAgain(read: FileRead): number {
  const starts = new Map<string, number>();
  for (const event of read.events) {
    if (event.type !== 'test-started') continue;
    const key = testKey(event.test);
    starts.set(key, (starts.get(key) ?? 0) + 1);
  }
  return [...starts.values()].filter((runs) => runs > 1).length;
}

function sharedNames(tests: readonly TestResult[]): number {
  const packages = new Map<string, Set<string>>();
  for (const { id } of tests) packages.set(id.name, (packages.get(id.name) ?? new Set()).add(id.package));
  return [...packages.values()].filter((set) => set.size > 1).length;
}

function failingAlone(tests: readonly TestResult[]): number {
  const parents = parentsOf(tests);
  const failing = tests.filter((test) => isBad(test.status) && test.status === 'failed');
  const failingParents = parentsOf(failing);
  return failing.filter((test) => parents.has(testKey(test.id)) && !failingParents.has(testKey(test.id))).length;
}
