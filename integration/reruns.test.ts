/**
 * Reruns of failed tests, and shards, with the real tools: Go, vitest and pytest, each on a suite of which some tests fail the
 * first time. Needs the build and Kubernetes programs (`MK_CI_BINARIES`, from the global setup); Go and pytest are skipped
 * where they are not installed. What jest and Playwright print is recorded in `src/runner/tools/fixtures`.
 */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { exec, type Argv } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { ROOT, mkCi } from './mk-ci.js';

const works = async (...argv: Argv): Promise<boolean> =>
  await exec(argv, { allowFailure: true, timeoutMs: 60_000 }).then(
    ({ exitCode }) => exitCode === 0,
    () => false,
  );
const hasGo = await works('go', 'version');
const hasPytest = await works('python3', '-m', 'pytest', '--version');

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-reruns-');
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

/** Runs one suite to its end; its tests note in `ran` that they ran. */
async function run(suite: Record<string, unknown>, files: Record<string, string>): Promise<string[]> {
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder.path, name), content);
  const config = { version: 1, environments: [{ driver: 'local', nodes: 0 }], suites: [{ name: 's', ...suite }] };
  await writeFile(join(folder.path, 'mk-ci.yaml'), JSON.stringify(config));
  const env = { ...process.env, NOTES: folder.path, MK_CI_HOME: join(folder.path, 'home') };
  const end = await mkCi(['run', '--out', 'out', '--jobs', '1'], { cwd: folder.path, env });
  expect(end.stderr).toMatch(/rerun of \d+ failed test/);
  expect(end, end.stderr).toMatchObject({ exitCode: 0 });
  return (await readFile(join(folder.path, 'ran'), 'utf8')).trim().split('\n');
}

const GO = {
  'go.mod': 'module example.com/t\n\ngo 1.24\n',
  'a_test.go': `package t
import ("os"; "path/filepath"; "testing")
func note(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(os.Getenv("NOTES"), "ran"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil { t.Fatal(err) }
	_, _ = f.WriteString(t.Name() + "\\n")
	_ = f.Close()
}
func once(t *testing.T, name string) {
	note(t)
	path := filepath.Join(os.Getenv("NOTES"), name)
	if _, err := os.Stat(path); err != nil { _ = os.WriteFile(path, nil, 0o644); t.Error("the first time") }
}
func TestAlways(t *testing.T) { note(t) }
func TestTop(t *testing.T) { once(t, "top") }
func TestTopOther(t *testing.T) { note(t) }
func TestGroup(t *testing.T) {
	t.Run("with blank (a|b)", func(t *testing.T) { once(t, "sub") })
	t.Run("other", func(t *testing.T) { note(t) })
}
`,
};
const GO_TESTS = ['TestAlways', 'TestTop', 'TestTopOther', 'TestGroup/with_blank_(a|b)', 'TestGroup/other'];
const GO_AGAIN = ['TestTop', 'TestGroup/with_blank_(a|b)'];

describe('failed tests run again, and no other', () => {
  it.skipIf(!hasGo)('with go test (skipped without Go)', async () => {
    const ran = await run({ command: 'go test -json ./...', retries: 2 }, GO);
    expect(ran.toSorted()).toEqual([...GO_TESTS, ...GO_AGAIN].toSorted());
  });

  it.skipIf(!hasGo)('with go test in shards, each test in one of them (skipped without Go)', async () => {
    const ran = await run({ command: 'go test -json ./...', retries: 2, shards: 2 }, GO);
    expect(ran.toSorted()).toEqual([...GO_TESTS, ...GO_AGAIN].toSorted());
  });

  it('with vitest', async () => {
    await symlink(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
    const lines = [
      `import { appendFileSync, existsSync, writeFileSync } from 'node:fs';`,
      `import { describe, test } from 'vitest';`,
      `const note = (name) => appendFileSync(process.env.NOTES + '/ran', name + '\\n');`,
      `const once = (name) => { note(name); const p = process.env.NOTES + '/' + name; if (!existsSync(p)) { writeFileSync(p, ''); throw new Error('first'); } };`,
    ];
    const ran = await run(
      { command: 'npx vitest run --reporter=json', retries: 2 },
      {
        'a.test.mjs': `${lines.join('\n')}
describe('group (x)', () => { test('works', () => note('works')); test('breaks $1 [b]', () => once('breaks')); });
test('top', () => once('top'));
test('top and more', () => note('more'));
`,
        'b.test.mjs': `${lines.join('\n')}\ntest('top', () => note('top of b'));\n`,
      },
    );
    expect(ran.toSorted()).toEqual(['breaks', 'breaks', 'more', 'top', 'top', 'top of b', 'works']);
  });

  it.skipIf(!hasPytest)('with pytest (skipped without it)', async () => {
    await mkdir(join(folder.path, 'tests'));
    const ran = await run(
      { command: 'python3 -m pytest --junit-xml=$ARTIFACTS/junit.xml', results: 'junit.xml', retries: 2 },
      {
        'tests/test_a.py': `import os, pathlib, pytest
D = pathlib.Path(os.environ["NOTES"])
def note(name):
    with (D / "ran").open("a") as f: f.write(name + "\\n")
def once(name):
    note(name)
    if not (D / name).exists():
        (D / name).touch()
        pytest.fail("first")
class TestPods:
    def test_works(self): note("works")
    def test_breaks(self): once("breaks")
@pytest.mark.parametrize("x", ["a b", "c/d"])
def test_param(x): note("param a") if x == "a b" else once("param")
`,
      },
    );
    expect(ran.toSorted()).toEqual(['breaks', 'breaks', 'param', 'param', 'param a', 'works']);
  });
});
