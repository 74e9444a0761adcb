import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';

import { CI_SYSTEMS, renderPipeline } from './pipelines.js';

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
      for (const [, script = ''] of text.matchAll(/run: (.*)/g)) expect(script).not.toContain('${{');
    }
  });

  it('write on GitHub only from the workflow that runs no code of a pull request', () => {
    const [tests, report] = renderPipeline('github');
    expect(tests?.text).not.toContain('write');
    expect(report?.text).toContain('workflow_run:');
    expect(report?.text).not.toMatch(/ref:|pull_request_target/);
  });
});
