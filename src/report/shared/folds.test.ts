import { describe, expect, it } from 'vitest';

import { FoldFinder, type Fold } from './folds.js';
import { isErrorSeverity, severityOf } from './line.js';

/** `[kind, title, first row, last row]` of each section, in the order of their starts. */
function find(lines: readonly (string | readonly [owner: number, line: string])[]): [string, string, number, number][] {
  const folds: Fold[] = [];
  const finder = new FoldFinder((fold) => folds.push(fold));
  lines.forEach((entry, row) => {
    const [owner, line] = typeof entry === 'string' ? [0, entry] : entry;
    finder.add(row, owner, line, isErrorSeverity(severityOf(line)));
  });
  finder.end();
  return folds
    .sort((a, b) => a.startRow - b.startRow)
    .map(({ kind, title, startRow, endRow }) => [kind, title, startRow, endRow]);
}

describe('sections', () => {
  it('finds groups of GitHub, also in downloaded logs', () => {
    expect(
      find([
        '::group::Build',
        'a',
        '::endgroup::',
        '2026-09-14T09:30:12.1Z ##[group]Run x',
        'b',
        '2026-09-14T09:30:13.1Z ##[endgroup]',
      ]),
    ).toEqual([
      ['group', 'Build', 0, 2],
      ['group', 'Run x', 3, 5],
    ]);
  });

  it("finds minikube's post-mortem with what is in it", () => {
    expect(
      find([
        '    helpers_test.go:222: -----------------------post-mortem--------------------------------',
        '    helpers_test.go:230: ======>  post-mortem[TestA]: network settings <======',
        '    HOST ENV',
        '    helpers_test.go:244: <<< TestA/b FAILED: start of post-mortem logs <<<',
        '    helpers_test.go:245: ======>  post-mortem[TestA]: minikube logs <======',
        '        -- stdout --',
        '        \t* ==> kubelet <==',
        '        \t* x',
        '        \t* ==> dmesg <==',
        '        \t* y',
        '        -- /stdout --',
        '    helpers_test.go:285: <<< TestA/b FAILED: end of post-mortem logs <<<',
        '    helpers_test.go:286: ---------------------/post-mortem---------------------------------',
        'after',
      ]),
    ).toEqual([
      ['post-mortem', 'post-mortem', 0, 12],
      ['section', 'post-mortem[TestA]: network settings', 1, 2],
      ['post-mortem', 'Post-mortem of TestA/b', 3, 11],
      ['section', 'post-mortem[TestA]: minikube logs', 4, 10],
      ['output', 'stdout', 5, 10],
      ['section', 'kubelet', 6, 7],
      ['section', 'dmesg', 8, 9],
    ]);
  });

  it('keeps sections of parallel tests apart', () => {
    expect(
      find([
        [1, '-- stdout --'],
        [2, '** stderr **'],
        [1, 'a'],
        [2, 'b'],
        [1, '-- /stdout --'],
        [2, '** /stderr **'],
      ]),
    ).toEqual([
      ['output', 'stdout', 0, 4],
      ['output', 'stderr', 1, 5],
    ]);
  });

  it('ends what was never ended', () => {
    expect(find(['::group::A', 'x', 'y'])).toEqual([['group', 'A', 0, 2]]);
  });

  it('ends a goroutine at the empty line after it', () => {
    expect(
      find(['goroutine 1 [running]:', 'main.main()', '', 'goroutine 2 [chan receive, 3 minutes]:', 'x()', '', 'rest']),
    ).toEqual([
      ['goroutine', 'goroutine 1 [running]:', 0, 1],
      ['goroutine', 'goroutine 2 [chan receive, 3 minutes]:', 3, 4],
    ]);
  });

  it('drops a section of one line and ends without a start', () => {
    expect(find(['==> empty <==', '==> b <==', 'x', '::endgroup::', '-- /stdout --'])).toEqual([
      ['section', 'b', 1, 4],
    ]);
  });

  it('bounds the depth of a hostile log', () => {
    expect(find([...Array.from({ length: 500 }, () => '::group::deeper'), 'x']).length).toBeLessThanOrEqual(24);
  });
});
