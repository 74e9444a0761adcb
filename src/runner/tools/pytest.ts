import type { TestResult } from '../../results/model.js';
import type { TestTool } from './tool.js';

/** Options of pytest that take the next word as their value, as far as they are in common use. */
const VALUE_OPTIONS = new Set(
  '-c -k -m -n -o -p -r -W --basetemp --color --confcutdir --cov --cov-config --cov-report --deselect --durations --ignore --ignore-glob --junit-prefix --junit-xml --junitxml --log-cli-level --log-file --log-level --maxfail --rootdir --tb --timeout'.split(
    ' ',
  ),
);

/**
 * pytest. A failed test is named by its node id when the file is found from the class name of the JUnit report, else
 * `--last-failed` leaves the choice to pytest's own cache.
 *
 * @see {@link https://docs.pytest.org/en/stable/how-to/usage.html} for node ids
 */
export const pytestTool: TestTool = {
  name: 'pytest',
  argumentsAt: (words) => {
    if (baseName(words[0]) === 'pytest' || baseName(words[0]) === 'py.test') return 1;
    const at = words.indexOf('-m');
    return /^python[\d.]*$/.test(baseName(words[0])) && at > 0 && words[at + 1] === 'pytest' ? at + 2 : undefined;
  },
  rerun: (args, { failed, exists }) => {
    const ids = failed.map((test) => nodeIdOf(test, exists));
    const found = ids.filter((id) => id !== undefined);
    if (found.length < ids.length) return [[...args, '--last-failed', '--last-failed-no-failures=none']];
    return [[...withoutPaths(args), ...new Set(found)]];
  },
  select: (args, pattern) => [...args, '-k', pattern],
};

/** `tests.test_pod.TestPod` and `test_start[a]` as `tests/test_pod.py::TestPod::test_start[a]`. */
export function nodeIdOf({ id, file }: TestResult, exists: (path: string) => boolean): string | undefined {
  const parts = id.package.split('.');
  for (let length = parts.length; length > 0; length -= 1) {
    const path = `${parts.slice(0, length).join('/')}.py`;
    if (exists(path)) return [path, ...parts.slice(length), id.name].join('::');
  }
  return file !== undefined && exists(file) ? `${file}::${id.name}` : undefined;
}

function withoutPaths(args: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (VALUE_OPTIONS.has(arg)) {
      kept.push(arg, ...args.slice(at + 1, at + 2));
      at += 1;
    } else if (arg.startsWith('-')) kept.push(arg);
  }
  return kept;
}

function baseName(path: string | undefined): string {
  return path?.split('/').at(-1) ?? '';
}
