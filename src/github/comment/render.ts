import { plural } from '../../results/text.js';
import { safeCode, safeFence, safeLink, safeText } from '../text/safe.js';
import {
  commentMarker,
  encodeState,
  VERDICT_WORDS,
  type CommentRow,
  type CommentSection,
  type CommentState,
  type RowVerdict,
} from './state.js';

/** GitHub refuses 65,536 characters; bytes are never fewer than characters, and the rest is a margin. */
export const COMMENT_LIMIT_BYTES = 60_000;

const WORDS: Readonly<Record<RowVerdict, { readonly icon: string; readonly one: string; readonly many: string }>> = {
  caused: { icon: '🔴', one: 'caused by this change', many: 'caused by this change' },
  undecided: { icon: '🟠', one: 'undecided: run again', many: 'undecided: run again' },
  infrastructure: { icon: '🔧', one: 'infrastructure', many: 'infrastructure' },
  'broken-on-base': { icon: '⚫', one: 'broken before this change', many: 'broken before this change' },
  'known-flake': { icon: '🟡', one: 'known flake', many: 'known flakes' },
  quarantined: { icon: '⚪', one: 'in quarantine', many: 'in quarantine' },
};

/** How much is shown; each step shows less than the one before. */
interface Detail {
  readonly excerpts: number;
  /** Rows of what is shown first, and of what is folded. */
  readonly rows: number;
  readonly foldedRows: number;
  readonly environments: number;
  readonly evidence: boolean;
  readonly flaky: number;
  /** Rows of each section that are remembered for other jobs. */
  readonly stateRows: number;
}

const DETAILS: readonly Detail[] = [
  { excerpts: 10, rows: 100, foldedRows: 100, environments: 100, evidence: true, flaky: 50, stateRows: 400 },
  { excerpts: 3, rows: 100, foldedRows: 100, environments: 100, evidence: true, flaky: 50, stateRows: 400 },
  { excerpts: 0, rows: 100, foldedRows: 50, environments: 100, evidence: true, flaky: 20, stateRows: 400 },
  { excerpts: 0, rows: 60, foldedRows: 20, environments: 50, evidence: true, flaky: 10, stateRows: 200 },
  { excerpts: 0, rows: 30, foldedRows: 10, environments: 20, evidence: true, flaky: 0, stateRows: 60 },
  { excerpts: 0, rows: 10, foldedRows: 0, environments: 0, evidence: false, flaky: 0, stateRows: 10 },
  { excerpts: 0, rows: 10, foldedRows: 0, environments: 0, evidence: false, flaky: 0, stateRows: 0 },
];

export interface RenderOptions {
  /** Key of the comment. */
  readonly key: string;
  /** Page of the repository, for links to commits and issues. */
  readonly repositoryUrl?: string;
  /** Hides the state: a step summary needs none. @default true */
  readonly withState?: boolean;
  /** @default COMMENT_LIMIT_BYTES */
  readonly limitBytes?: number;
}

/** Whether everything passed that was to run. */
export function isGreen(state: CommentState): boolean {
  return state.sections.every(
    ({ totals, missing, problems }) =>
      Object.values(totals).every((count) => count === 0) && missing.length === 0 && problems.length === 0,
  );
}

/** The comment: verdict first, then failures, new ones first; the fullest text that fits the limit. Pure. */
export function renderComment(state: CommentState, options: RenderOptions): string {
  const limit = options.limitBytes ?? COMMENT_LIMIT_BYTES;
  for (const detail of DETAILS) {
    const body = renderWith(state, detail, options);
    if (Buffer.byteLength(body) <= limit) return body;
  }
  // Names of a hundred jobs, each as long as can be, are all that is left: the head alone.
  return [commentMarker(options.key), headline(state)].join('\n').slice(0, limit / 4);
}

function renderWith(state: CommentState, detail: Detail, options: RenderOptions): string {
  const rows = mergeRows(state.sections).slice();
  const loud = rows.filter(({ verdict }) => isLoud(verdict));
  const quiet = rows.filter(({ verdict }) => !isLoud(verdict));
  const totals = totalsOf(state.sections);
  const parts = [
    ...(options.withState === false ? [] : [commentMarker(options.key)]),
    `### ${headline(state)}`,
    subtitle(state, options),
    ...missingLines(state, detail),
    rowsTable(loud, detail.rows, loudCount(totals), detail, options),
    ...excerpts(loud, detail.excerpts),
    ...VERDICT_WORDS.filter((verdict) => !isLoud(verdict)).map((verdict) =>
      folded(
        `${WORDS[verdict].icon} ${plural(totals[verdict] ?? 0, WORDS[verdict].one, WORDS[verdict].many)}`,
        rowsTable(
          quiet.filter((row) => row.verdict === verdict),
          detail.foldedRows,
          totals[verdict] ?? 0,
          detail,
          options,
        ),
        (totals[verdict] ?? 0) > 0,
      ),
    ),
    flakyList(state, detail),
    environmentTable(state, detail),
    ...(totals.undecided === undefined || totals.undecided === 0
      ? []
      : ['<sub>Undecided: one more run of the failed tests tells a flake from a break.</sub>']),
    ...(options.withState === false ? [] : [encodeState(withRows(state, detail.stateRows))]),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

/** What a reviewer has to look at, as against what is known already. */
function isLoud(verdict: RowVerdict): boolean {
  return verdict === 'caused' || verdict === 'undecided' || verdict === 'infrastructure';
}

function loudCount(totals: Readonly<Partial<Record<RowVerdict, number>>>): number {
  return VERDICT_WORDS.filter(isLoud).reduce((sum, verdict) => sum + (totals[verdict] ?? 0), 0);
}

/** `2 failures: 1 caused by this change, 1 known flake`. Counts are of failures (test × environment). */
export function headline(state: CommentState): string {
  const totals = totalsOf(state.sections);
  const failures = VERDICT_WORDS.reduce((sum, verdict) => sum + (totals[verdict] ?? 0), 0);
  const problems = state.sections.flatMap((section) => section.problems).length;
  const missing = missingOf(state).length;
  const rest = [
    ...(missing === 0 ? [] : [`${plural(missing, 'environment')} missing`]),
    ...(problems === 0 ? [] : [`${plural(problems, 'problem')} outside of tests`]),
  ].join(', ');
  if (failures === 0) {
    if (rest !== '') return `❌ No test failed, but ${rest}`;
    const tests = environmentsOf(state).reduce((sum, { passed }) => sum + passed, 0);
    return `✅ All ${plural(tests, 'test')} passed`;
  }
  const words = VERDICT_WORDS.filter((verdict) => (totals[verdict] ?? 0) > 0).map((verdict) => {
    const count = totals[verdict] ?? 0;
    return `${count.toLocaleString('en-US')} ${count === 1 ? WORDS[verdict].one : WORDS[verdict].many}`;
  });
  return `❌ ${plural(failures, 'failure')}: ${words.join(', ')}${rest === '' ? '' : `; ${rest}`}`;
}

function subtitle(state: CommentState, { repositoryUrl }: RenderOptions): string {
  const [first] = state.sections;
  if (first === undefined) return '';
  const environments = environmentsOf(state);
  const tests = environments.reduce((sum, { passed, failed }) => sum + passed + failed, 0);
  const runs = state.sections.map(({ key, runUrl }) => safeLink(safeText(key), runUrl));
  const shown = runs.slice(0, 10).join(', ') + (runs.length > 10 ? ` and ${runs.length - 10} more` : '');
  return `<sub>Commit ${commitLink(first.sha, repositoryUrl)} · ${plural(tests, 'result')} in ${plural(environments.length, 'environment')} · ${shown}</sub>`;
}

function missingLines(state: CommentState, detail: Detail): string[] {
  const missing = missingOf(state);
  const problems = [...new Set(state.sections.flatMap((section) => section.problems))].sort();
  const most = Math.max(5, detail.environments);
  return [
    missing.length === 0
      ? ''
      : `**No results from** ${missing
          .slice(0, most)
          .map((name) => safeCode(name))
          .join(', ')}${more(missing.length - most)}.`,
    problems.length === 0
      ? ''
      : `${problems
          .slice(0, 10)
          .map((problem) => `- ${safeCode(problem)}`)
          .join('\n')}${problems.length > 10 ? `\n- and ${problems.length - 10} more` : ''}`,
  ];
}

function rowsTable(
  rows: readonly CommentRow[],
  most: number,
  count: number,
  detail: Detail,
  options: RenderOptions,
): string {
  if (count === 0) return '';
  const shown = rows.slice(0, most);
  const table =
    shown.length === 0
      ? []
      : [
          '| | Test | Environment | Verdict |',
          '| --- | --- | --- | --- |',
          ...shown.map((row) => rowLine(row, detail, options)),
        ];
  const shownFailures = shown.reduce((sum, { environments }) => sum + environments.length, 0);
  const left = count - shownFailures;
  return [
    ...table,
    ...(left > 0
      ? [
          '',
          `${shown.length === 0 ? plural(left, 'failure') : `And ${plural(left, 'more failure')}`}, in the report of the run.`,
        ]
      : []),
  ].join('\n');
}

function rowLine(row: CommentRow, detail: Detail, options: RenderOptions): string {
  const links = [
    ...(row.reportUrl === undefined ? [] : [safeLink('report', row.reportUrl)]),
    ...(row.chartUrl === undefined ? [] : [safeLink('history', row.chartUrl)]),
  ].filter((link) => link.startsWith('<a'));
  const reason = row.reason === undefined || row.reason === '' ? '' : `<br>${safeCode(row.reason, 200)}`;
  const environments =
    row.environments
      .slice(0, 3)
      .map((name) => safeText(name))
      .join(', ') + more(row.environments.length - 3);
  const evidence = detail.evidence ? `<br><sub>${evidenceOf(row, options)}</sub>` : '';
  return `| ${WORDS[row.verdict].icon} | ${safeCode(row.test, 200)}${links.length === 0 ? '' : ` ${links.join(' · ')}`}${reason} | ${environments} | ${WORDS[row.verdict].one}${evidence} |`;
}

/** k of n, last seen on, reruns of the same commit, issue. */
function evidenceOf(row: CommentRow, { repositoryUrl }: RenderOptions): string {
  const { here, elsewhere, lastSeen, issue } = row;
  const facts = [
    `here ${here.failed} of ${here.failed + here.passed} attempts failed`,
    ...(elsewhere === undefined
      ? ['no history']
      : [elsewhere.attempts === 0 ? 'never ran elsewhere' : `elsewhere ${elsewhere.failed} of ${elsewhere.attempts}`]),
    ...(lastSeen === undefined
      ? []
      : [
          `last seen ${lastSeen.day}${lastSeen.commit === undefined ? '' : ` on ${commitLink(lastSeen.commit, repositoryUrl)}`}`,
        ]),
    ...(row.evidence ?? [])
      .filter((fact) => !/^(?:on this change|elsewhere|failed in the same way on 0)/.test(fact))
      .map((fact) => safeText(fact)),
    ...(issue === undefined
      ? []
      : [safeLink(`issue ${issue}`, repositoryUrl === undefined ? undefined : `${repositoryUrl}/issues/${issue}`)]),
  ];
  return facts.join('; ');
}

function excerpts(rows: readonly CommentRow[], most: number): string[] {
  return rows
    .filter(({ excerpt }) => excerpt !== undefined && excerpt !== '')
    .slice(0, most)
    .map(({ test, excerpt = '' }) => folded(`Output of ${safeCode(test, 120)}`, safeFence(excerpt), true));
}

function flakyList(state: CommentState, detail: Detail): string {
  const names = [...new Set(state.sections.flatMap(({ flaky }) => flaky))].sort();
  const count = state.sections.reduce((sum, { flakyCount }) => sum + flakyCount, 0);
  const shown = names.slice(0, detail.flaky);
  const lines = shown.map((name) => `- ${safeCode(name, 200)}`);
  if (count > shown.length) lines.push(`- and ${count - shown.length} more`);
  return folded(`${plural(count, 'test')} passed only after another try`, lines.join('\n'), count > 0);
}

function environmentTable(state: CommentState, detail: Detail): string {
  const environments = environmentsOf(state);
  const shown = environments.slice(0, detail.environments);
  const lines = [
    '| Environment | Failed | Passed | Flaky | Skipped |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...shown.map(
      ({ name, url, failed, passed, flaky, skipped }) =>
        `| ${safeLink(safeCode(name), url)} | ${failed} | ${passed} | ${flaky} | ${skipped} |`,
    ),
    ...(environments.length > shown.length
      ? ['', `And ${plural(environments.length - shown.length, 'more environment')}.`]
      : []),
  ];
  return folded(plural(environments.length, 'environment'), lines.join('\n'), shown.length > 0);
}

function folded(summary: string, content: string, isShown: boolean): string {
  return isShown && content !== '' ? `<details><summary>${summary}</summary>\n\n${content}\n\n</details>` : '';
}

/** Failures of all jobs, those of one test with one verdict in one row. */
function mergeRows(sections: readonly CommentSection[]): CommentRow[] {
  const rows = new Map<string, CommentRow>();
  for (const row of sections.flatMap((section) => section.rows)) {
    const key = `${VERDICT_WORDS.indexOf(row.verdict)}\0${row.package}\0${row.test}`;
    const known = rows.get(key);
    rows.set(key, known === undefined ? row : joinRows(known, row));
  }
  return [...rows].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, row]) => row);
}

function joinRows(a: CommentRow, b: CommentRow): CommentRow {
  const elsewhere =
    a.elsewhere === undefined || b.elsewhere === undefined
      ? (a.elsewhere ?? b.elsewhere)
      : { failed: a.elsewhere.failed + b.elsewhere.failed, attempts: a.elsewhere.attempts + b.elsewhere.attempts };
  return {
    ...b,
    ...a,
    environments: [...new Set([...a.environments, ...b.environments])].sort(),
    here: { failed: a.here.failed + b.here.failed, passed: a.here.passed + b.here.passed },
    ...(elsewhere === undefined ? {} : { elsewhere }),
  };
}

function environmentsOf(state: CommentState): CommentSection['environments'] {
  const byName = new Map<string, CommentSection['environments'][number]>();
  for (const one of state.sections.flatMap(({ environments }) => environments)) {
    const known = byName.get(one.name);
    byName.set(
      one.name,
      known === undefined
        ? one
        : {
            ...known,
            passed: known.passed + one.passed,
            failed: known.failed + one.failed,
            flaky: known.flaky + one.flaky,
            skipped: known.skipped + one.skipped,
          },
    );
  }
  return [...byName.values()].sort((a, b) => b.failed - a.failed || (a.name < b.name ? -1 : 1));
}

/** Environments that no job has results of. */
function missingOf(state: CommentState): string[] {
  const seen = new Set(
    state.sections.flatMap(({ environments, missing }) =>
      environments.map(({ name }) => name).filter((name) => !missing.includes(name)),
    ),
  );
  return [...new Set(state.sections.flatMap(({ missing }) => missing))].filter((name) => !seen.has(name)).sort();
}

function totalsOf(sections: readonly CommentSection[]): Partial<Record<RowVerdict, number>> {
  const totals: Partial<Record<RowVerdict, number>> = {};
  for (const section of sections) {
    for (const verdict of VERDICT_WORDS) totals[verdict] = (totals[verdict] ?? 0) + (section.totals[verdict] ?? 0);
  }
  return totals;
}

function withRows(state: CommentState, most: number): CommentState {
  return { ...state, sections: state.sections.map((section) => ({ ...section, rows: section.rows.slice(0, most) })) };
}

function commitLink(sha: string, repositoryUrl: string | undefined): string {
  const short = safeText(sha.slice(0, 10));
  return safeLink(
    short,
    repositoryUrl === undefined || !/^[0-9a-f]{7,64}$/i.test(sha) ? undefined : `${repositoryUrl}/commit/${sha}`,
  );
}

function more(count: number): string {
  return count > 0 ? ` and ${count} more` : '';
}
