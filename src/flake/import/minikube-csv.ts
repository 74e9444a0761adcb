import { MkCiError } from '../../errors.js';
import type { ResultRecord, RunRecord } from '../store/record.js';

/** A row that could not be taken as it is. */
export interface ImportProblem {
  /** 1-based. */
  readonly line: number;
  readonly message: string;
  /** Whether the row's result was stored all the same. */
  readonly kept: boolean;
}

export interface ImportedRecords {
  readonly records: readonly RunRecord[];
  /** Rows that hold a result, kept or not. */
  readonly rows: number;
  readonly problems: readonly ImportProblem[];
}

/** Columns before and after the test name, which may hold commas of its own. */
const LAYOUTS = [
  {
    header: 'Commit Hash,Test Date,Environment,Test,Status,Duration,Root Job,Total Tests Ran,Total Duration',
    after: 5,
  },
  { header: 'Commit Hash,Test Date,Environment,Test,Status,Duration', after: 2 },
] as const;

const BEFORE_NAME = 3;

const STATUSES = new Map([
  ['Passed', 'passed'],
  ['Failed', 'failed'],
  ['Skipped', 'skipped'],
] as const);

/**
 * Reads minikube's `data.csv`, plain or through its `optimize_data.sh`, which leaves a field empty that equals the one
 * above. Rows of one commit, date, environment and job are one run; a test that comes twice in it has two attempts.
 *
 * A row with too many columns has commas in its test name and is put together again; one with too few is reported and
 * left out, and the next row does not inherit from it.
 *
 * @throws {MkCiError} `DB_BAD_INPUT` when the header is another one
 * @see {@link https://github.com/kubernetes/minikube/blob/master/hack/jenkins/test-flake-chart/process_data.sh}
 */
export async function parseMinikubeCsv(
  lines: AsyncIterable<string> | Iterable<string>,
  options: { readonly repository?: string } = {},
): Promise<ImportedRecords> {
  const runs = new Map<string, RunInProgress>();
  const problems: ImportProblem[] = [];
  let layout: (typeof LAYOUTS)[number] | undefined;
  let previous: readonly string[] = [];
  let number = 0;
  let rows = 0;
  for await (const raw of lines) {
    number += 1;
    const line = number === 1 ? raw.replace(/^\uFEFF/, '').trimEnd() : raw.replace(/\r$/, '');
    if (layout === undefined) {
      layout = LAYOUTS.find(({ header }) => header.toLowerCase() === line.toLowerCase());
      if (layout === undefined) {
        throw new MkCiError('DB_BAD_INPUT', {
          message: `line 1 is not the header of minikube's data.csv: ${line.slice(0, 200)}`,
          advice: `The first line must be: ${LAYOUTS[0].header}`,
        });
      }
      continue;
    }
    if (line.trim() === '') continue;
    rows += 1;
    const fields = splitRow(line, layout.after);
    if (fields === undefined) {
      const wanted = BEFORE_NAME + 1 + layout.after;
      problems.push({ line: number, message: `${line.split(',').length} columns, not ${wanted}`, kept: false });
      continue;
    }
    const filled = fields.map((field, index) => (field === '' ? (previous[index] ?? '') : field));
    const [commit = '', date = '', environment = '', name = '', statusText = '', durationText = '', job = ''] = filled;
    const status = STATUSES.get(statusText as 'Passed');
    const startedAtMs = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : NaN;
    const wrong = [
      ...(status === undefined ? [`status '${statusText}'`] : []),
      ...(Number.isNaN(startedAtMs) ? [`date '${date}'`] : []),
      ...(name === '' ? ['no test name'] : []),
    ];
    if (status === undefined || wrong.length > 0) {
      problems.push({ line: number, message: wrong.join(', '), kept: false });
      continue;
    }
    previous = filled;
    const seconds = /^\d+(\.\d*)?([eE][+-]?\d+)?$/.test(durationText) ? Number(durationText) : undefined;
    if (seconds === undefined) problems.push({ line: number, message: `duration '${durationText}'`, kept: true });
    const key = [commit, date, environment, job].join('\0');
    let run = runs.get(key);
    if (run === undefined) {
      run = { commit, date, environment, job, startedAtMs, results: [], attempts: new Map() };
      runs.set(key, run);
    }
    const attempt = (run.attempts.get(name) ?? 0) + 1;
    run.attempts.set(name, attempt);
    run.results.push({
      package: '',
      name,
      attempt,
      status,
      ...(seconds === undefined ? {} : { durationMs: Math.round(seconds * 1000) }),
    });
  }
  if (layout === undefined) throw new MkCiError('DB_BAD_INPUT', { message: 'the file is empty' });
  return { records: [...runs.values()].map((run) => recordOf(run, options.repository ?? '')), rows, problems };
}

interface RunInProgress {
  readonly commit: string;
  readonly date: string;
  readonly environment: string;
  readonly job: string;
  readonly startedAtMs: number;
  readonly results: ResultRecord[];
  readonly attempts: Map<string, number>;
}

function recordOf(run: RunInProgress, repository: string): RunRecord {
  return {
    uid: `minikube-csv:${repository}:${run.commit}:${run.date}:${run.job}/${run.environment}`,
    repository,
    environment: run.environment,
    suite: 'integration',
    ...(run.commit === '' ? {} : { commit: { sha: run.commit } }),
    startedAtMs: run.startedAtMs,
    complete: true,
    origin: 'minikube-csv',
    results: run.results,
  };
}

/** The fields of a row with the name put together; `undefined` when there are too few. */
function splitRow(line: string, after: number): string[] | undefined {
  const fields = line.split(',');
  const extra = fields.length - (BEFORE_NAME + 1 + after);
  if (extra < 0) return undefined;
  const name = fields.slice(BEFORE_NAME, BEFORE_NAME + 1 + extra).join(',');
  // minikube quotes nothing; programs that rewrite the file quote a name with a comma.
  const unquoted = extra > 0 && /^".*"$/.test(name) ? name.slice(1, -1).replaceAll('""', '"') : name;
  return [...fields.slice(0, BEFORE_NAME), unquoted, ...fields.slice(BEFORE_NAME + 1 + extra)];
}
