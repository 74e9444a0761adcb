import { parse } from 'yaml';
import { z } from 'zod';
import { describe, expect, it } from 'vitest';

import { CI_SYSTEMS, renderPipeline } from './index.js';

const workflow = z.object({
  jobs: z.record(z.string(), z.object({ steps: z.array(z.object({ run: z.string().optional() })) })),
});
const stepsOf = (text: string) => Object.values(workflow.parse(parse(text)).jobs).flatMap(({ steps }) => steps);

describe('pipelines for CI systems', () => {
  it('are YAML, but for Jenkins, and run mk-ci', () => {
    for (const system of CI_SYSTEMS) {
      const files = renderPipeline(system);
      expect(files.map(({ text }) => text).join('')).toContain('mk-ci run --out');
      for (const { path, text } of files) if (!path.endsWith('Jenkinsfile')) expect(parse(text)).toBeTypeOf('object');
    }
  });

  it('pin actions by commit, limit every job and give no more rights than needed', () => {
    for (const { text } of renderPipeline('github')) {
      for (const [, uses = ''] of text.matchAll(/uses: (.*)/g)) expect(uses).toMatch(/@[0-9a-f]{40} # v\d/);
      expect(text.match(/runs-on:/g)).toHaveLength(text.match(/timeout-minutes:/g)?.length ?? 0);
      expect(text).toContain('permissions:\n  contents: read\n');
      // Nothing that an author of a pull request can choose stands in a script.
      for (const { run = '' } of stepsOf(text)) expect(run).not.toContain('${{');
    }
  });

  it('write on GitHub only from workflows that run no code of a pull request', () => {
    const [tests, report, chat] = renderPipeline('github');
    expect(tests?.text).not.toContain('write');
    expect(report?.text).toContain('workflow_run:');
    expect(chat?.text).toContain('issue_comment:');
    for (const text of [report?.text, chat?.text]) expect(text).not.toMatch(/ref:|pull_request_target/);
  });
});
