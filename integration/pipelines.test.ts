/**
 * The pipelines of `mk-ci init --ci`: checked with actionlint, and every step that runs something is executed here, with
 * `npx mk-ci` being this build and `gh` copying artifacts. Needs the build, git and bash; actionlint through Go, else that
 * test is skipped.
 */
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

import { renderPipeline } from '../src/config/index.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder, type TemporaryFolder } from '../src/files.js';
import { GitHubServer } from '../src/github/testing/server.test-kit.js';
import { PROGRAM, ROOT, mkCi } from './mk-ci.js';
import { startFakeApiServer, type FakeApiServer } from './support/fake-api-server.js';

const ACTIONLINT = 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.7';
const HEAD = 'a'.repeat(40);
let folder: TemporaryFolder;
let api: FakeApiServer;
let server: GitHubServer;
let project: string;
let base: NodeJS.ProcessEnv;

beforeEach(async () => {
  folder = await createTemporaryFolder('mk-ci-pipelines-');
  api = await startFakeApiServer(folder.path);
  server = await GitHubServer.start();
  // A pull request of a fork: GitHub does not find it by its commit.
  server.pulls.set(7, { sha: HEAD, state: 'open', author: 'stranger', files: ['a.go'], head: 'stranger:topic' });
  project = join(folder.path, 'project');
  const bin = join(folder.path, 'bin');
  await mkdir(project);
  await mkdir(bin);
  await script(join(bin, 'npx'), `shift 2\nexec '${process.execPath}' '${PROGRAM}' "$@"`);
  await script(
    join(bin, 'gh'),
    `case "$1 $2" in
'auth setup-git') ;;
'run download') mkdir -p shards && cp -R "$ARTIFACT_STORE"/. shards/ ;;
*) echo "gh $*" >&2; exit 1 ;;
esac`,
  );
  await writeFile(
    join(project, 'mk-ci.yaml'),
    `version: 1\nenvironments: [{ name: e, driver: existing }]\nsuites:
  - { name: good, command: [sh, -c, "printf '%s\\n' '${event('pass', 'TestGood')}'"], format: go-json }
  - { name: bad, command: [sh, -c, "printf '%s\\n' '${event('fail', 'TestBad')}'; exit 1"], format: go-json, environments: ["e"] }\n`,
  );
  await writeFile(join(folder.path, 'event.json'), '{}');
  base = {
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    HOME: folder.path,
    MK_CI_HOME: join(folder.path, 'home'),
    KUBECONFIG: api.kubeconfig,
    GIT_CONFIG_NOSYSTEM: '1',
    ARTIFACT_STORE: join(folder.path, 'artifacts'),
    GITHUB_ACTIONS: 'true',
    GITHUB_REPOSITORY: 'acme/rocket',
    GITHUB_API_URL: server.url,
    GITHUB_OUTPUT: join(folder.path, 'output'),
    GITHUB_STEP_SUMMARY: join(folder.path, 'summary'),
    GITHUB_EVENT_PATH: join(folder.path, 'event.json'),
    MK_CI_GITHUB_SECOND_MS: '1',
  };
});
afterEach(async () => {
  expect(server.violations).toEqual([]);
  await server[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** What `go test -json` prints for a package with one test, quoted for a shell in YAML. */
const event = (action: string, test: string) =>
  [
    { Action: action, Package: 'p', Test: test, Elapsed: 0.1 },
    { Action: action, Package: 'p', Elapsed: 0.2 },
  ]
    .map((one) => JSON.stringify(one).replaceAll('"', '\\"'))
    .join("' '");

async function script(path: string, text: string): Promise<void> {
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o755);
}

/** Runs a script as GitHub does, and gives what it wrote. */
async function step(run: string, env: NodeJS.ProcessEnv = {}, code = 0, cwd = project): Promise<string> {
  const result = await exec(['bash', '--noprofile', '--norc', '-eo', 'pipefail', '-c', run], {
    cwd,
    env: { ...base, ...env },
    allowFailure: true,
    timeoutMs: 170_000,
  });
  expect(`${result.stdout}${result.stderr}\n${String(result.exitCode)}`).toMatch(new RegExp(`\\n${String(code)}$`));
  return result.stdout;
}

const workflow = z.object({
  jobs: z.record(z.string(), z.object({ steps: z.array(z.object({ run: z.string().optional() })) })),
});
/** Scripts of a job of one of GitHub's workflows, in order. */
function scripts(file: number, job: string): string[] {
  const { jobs } = workflow.parse(parse(renderPipeline('github')[file]?.text ?? ''));
  return jobs[job]?.steps.flatMap(({ run }) => run ?? []) ?? [];
}

it(
  'runs the jobs of GitHub from plan to comment, and names a machine that was lost',
  { timeout: 900_000 },
  async () => {
    const [plan = ''] = scripts(0, 'plan');
    await step(plan);
    const matrix = z
      .object({ include: z.array(z.object({ name: z.string(), cells: z.string() })) })
      .parse(JSON.parse((await readFile(base['GITHUB_OUTPUT'] ?? '', 'utf8')).replace(/^matrix=/, '')));
    expect(matrix.include).toHaveLength(2);
    const store = base['ARTIFACT_STORE'] ?? '';
    await mkdir(join(store, 'mk-ci-plan'), { recursive: true });
    await cp(join(project, 'matrix.json'), join(store, 'mk-ci-plan', 'matrix.json'));
    const [run = '', summary = ''] = scripts(0, 'test');
    for (const { name, cells } of matrix.include) {
      await step(run, { CELLS: cells, MK_CI_HEAD_SHA: HEAD }, cells.includes('bad') ? 1 : 0);
      await step(summary, { NAME: name, MK_CI_HEAD_SHA: HEAD });
      // What the upload keeps; the machine of the good suite is lost on the way.
      if (cells.includes('bad'))
        await cp(join(project, 'out'), join(store, `mk-ci-${name}`), {
          recursive: true,
          filter: (path) => !path.endsWith('/latest'),
        });
      await rm(join(project, 'out'), { recursive: true });
    }
    expect(await readFile(base['GITHUB_STEP_SUMMARY'] ?? '', 'utf8')).toContain('TestBad');
    // A link that a hostile archive might hold.
    const [shard = ''] = (await readdir(store)).filter((name) => name !== 'mk-ci-plan');
    await symlink('/etc/passwd', join(store, shard, 'passwd.xml'));

    await writeFile(
      base['GITHUB_EVENT_PATH'] ?? '',
      JSON.stringify({
        workflow_run: { head_sha: HEAD, head_branch: 'topic', head_repository: { owner: { login: 'stranger' } } },
      }),
    );
    const data = join(folder.path, 'acme-rocket.git');
    await exec(['git', 'init', '--quiet', '--bare', data]);
    const remote = { DATA_URL: data, GITHUB_TOKEN: 'token-github-actions[bot]', GH_TOKEN: 'x', RUN_ID: '1' };
    for (const text of scripts(1, 'comment')) await step(text, remote);
    expect(server.comments).toHaveLength(1);
    expect(server.comments[0]?.body).toContain('TestBad');
    expect(server.comments[0]?.body).toContain('**No results from** <code>e.good</code>');
    expect(existsSync(join(project, 'shards', shard, 'passwd.xml'))).toBe(false);

    // On the default branch the same shards are recorded, twice at once, and both are kept.
    const [download = '', record = '', issues = ''] = scripts(1, 'record');
    await step(download, remote);
    await step(record, { ...remote, SHA: 'b'.repeat(40), BRANCH: 'main' });
    await step(record, { ...remote, SHA: 'b'.repeat(40), BRANCH: 'main' });
    await step(issues, remote);
    const [fetch = ''] = scripts(2, 'chat');
    await step(fetch.replace('git clone', 'rm -rf data && git clone'), remote);
    const rates = await mkCi(
      ['flake', 'rates', '--database', join(project, 'flake.db'), '--format', 'json', '--all-time'],
      { cwd: project, env: base },
    );
    expect(rates.stdout).toContain('TestBad');
  },
);

it('keeps what two jobs record at the same moment', { timeout: 900_000 }, async () => {
  const [, record = ''] = scripts(1, 'record');
  const data = join(folder.path, 'acme-rocket.git');
  await exec(['git', 'init', '--quiet', '--bare', data]);
  // Each job pushes only once both have recorded on top of the same state of the branch: one of them must come second.
  await script(
    join(folder.path, 'bin', 'npx'),
    `shift 2\n'${process.execPath}' '${PROGRAM}' "$@" || exit\necho "$SUITE" >> '${folder.path}/recorded'
while [ "$(sort -u '${folder.path}/recorded' | wc -l)" -lt 2 ]; do sleep 0.1; done`,
  );
  const jobs = await Promise.all(
    ['good', 'bad'].map(async (suite) => {
      const cwd = join(folder.path, suite);
      await mkdir(cwd);
      await mkCi(['run', suite, '--out', join(cwd, 'merged')], { cwd: project, env: base });
      await rm(join(cwd, 'merged', 'latest'));
      return { cwd, suite };
    }),
  );
  await Promise.all(
    jobs.map(async ({ cwd, suite }) => {
      await step(record, { DATA_URL: data, SUITE: suite, SHA: HEAD, BRANCH: 'main' }, 0, cwd);
    }),
  );
  expect((await readFile(join(folder.path, 'recorded'), 'utf8')).trim().split('\n')).toHaveLength(3);
  const database = join(folder.path, 'flake.db');
  await step(`git clone --quiet --branch mk-ci-data '${data}' data && cp data/flake.db '${database}'`);
  const { stdout } = await mkCi(['flake', 'export', '--database', database], { cwd: project, env: base });
  expect(stdout).toContain('TestGood');
  expect(stdout).toContain('TestBad');
});

it('runs the scripts of the other systems', { timeout: 900_000 }, async () => {
  const text = (system: 'gitlab' | 'jenkins' | 'prow' | 'tekton') => renderPipeline(system)[0]?.text ?? '';
  const job = z.object({ script: z.array(z.string()) });
  const gitlab = z.object({ 'mk-ci': job, 'mk-ci-report': job }).parse(parse(text('gitlab')));
  for (const index of ['1', '2'])
    await step(
      gitlab['mk-ci'].script.join('\n'),
      { CI_NODE_INDEX: index, CI_NODE_TOTAL: '2' },
      (await isBadShard(index)) ? 1 : 0,
    );
  await step(gitlab['mk-ci-report'].script.join('\n'));
  const [merged = ''] = (await readdir(join(project, 'report'))).filter((name) => name.startsWith('merged-'));
  expect(await readFile(join(project, 'report', merged, 'junit.xml'), 'utf8')).toMatch(
    /TestBad[\s\S]*TestGood|TestGood[\s\S]*TestBad/,
  );

  const prow = z
    .object({
      presubmits: z.array(
        z.object({ spec: z.object({ containers: z.array(z.object({ args: z.array(z.string()) })) }) }),
      ),
    })
    .parse(parse(text('prow')));
  const artifacts = join(folder.path, 'prow');
  await mkdir(artifacts);
  await step(
    prow.presubmits[0]?.spec.containers[0]?.args.join('\n') ?? '',
    { ARTIFACTS: artifacts, PROW_JOB_ID: 'j' },
    1,
  );
  expect(await readFile(join(artifacts, 'junit_mk-ci.xml'), 'utf8')).toContain('TestBad');
  expect(await readFile(join(artifacts, 'junit_runner.xml'), 'utf8')).toContain('name="Up"');

  const tekton = z
    .object({ spec: z.object({ steps: z.array(z.object({ script: z.string() })) }) })
    .parse(parse(text('tekton')));
  await step(tekton.spec.steps[0]?.script ?? '', {}, 1);
  for (const [, command = ''] of text('jenkins').matchAll(/sh '(.*)'/g))
    await step(command, {}, command.includes('run') ? 1 : 0);
});

it('runs the steps of the action', { timeout: 900_000 }, async () => {
  const action = z.object({ runs: z.object({ steps: z.array(z.object({ run: z.string() })) }) });
  const [run, summary] = action.parse(parse(await readFile(join(ROOT, 'action.yml'), 'utf8'))).runs.steps;
  const inputs = {
    MK_CI_VERSION: 'latest',
    MK_CI_COMMAND: 'run',
    MK_CI_ARGUMENTS: '--out\nout folder\n\ngood\n',
    MK_CI_SUMMARY: 'out folder/latest',
  };
  await step(run?.run ?? '', { ...inputs, MK_CI_HEAD_SHA: HEAD });
  await step(summary?.run ?? '', { ...inputs, MK_CI_HEAD_SHA: HEAD });
  expect(await readFile(base['GITHUB_STEP_SUMMARY'] ?? '', 'utf8')).toContain('✅ All 1 test passed');
});

/** Which half has the failing suite is for the plan to say. */
async function isBadShard(index: string): Promise<boolean> {
  const { stdout } = await mkCi(['run', '--dry-run', '--shard', `${index}/2`], { cwd: project, env: base });
  return stdout.includes('bad');
}

it('is right for actionlint, as are the workflows of mk-ci itself', async ({ skip }) => {
  const ready = await exec(['go', 'run', ACTIONLINT, '-version'], {
    allowFailure: true,
    cwd: folder.path,
    env: { ...process.env },
    timeoutMs: 170_000,
  });
  if (ready.exitCode !== 0) skip('actionlint can not be built here: no Go, or no module proxy');
  for (const { path, text } of renderPipeline('github')) {
    await mkdir(join(project, '.github', 'workflows'), { recursive: true });
    await writeFile(join(project, path), text);
  }
  const own = join(ROOT, '.github', 'workflows');
  const files = [
    ...renderPipeline('github').map(({ path }) => join(project, path)),
    ...(await readdir(own)).map((name) => join(own, name)),
  ];
  const result = await exec(['go', 'run', ACTIONLINT, ...files], {
    allowFailure: true,
    cwd: folder.path,
    env: { ...process.env },
    timeoutMs: 170_000,
  });
  expect(result.stdout + result.stderr).toBe('');
});
