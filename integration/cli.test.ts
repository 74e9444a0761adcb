/** The real program from outside: exit codes, standard output, standard error. Needs the build, nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { COMMANDS } from '../src/cli/commands.js';
import { exec } from '../src/exec.js';
import { createTemporaryFolder } from '../src/files.js';
import { ROOT, PROGRAM, mkCi } from './mk-ci.js';

describe('mk-ci', () => {
  it('prints its version on standard output and nothing else', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await mkCi(['--version'])).toMatchObject({ exitCode: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('lists every command in its help', async () => {
    const { exitCode, stdout } = await mkCi(['--help']);
    expect(exitCode).toBe(0);
    for (const { name, summary } of COMMANDS) {
      expect(stdout).toContain(name);
      expect(stdout).toContain(summary.split(' ').slice(0, 3).join(' '));
    }
  });

  it.each(COMMANDS.map(({ name }) => name))('%s has a help with an example', async (name) => {
    const { exitCode, stdout, stderr } = await mkCi([name, '--help']);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`Usage: mk-ci ${name}`));
    expect(stdout).toMatch(/Examples?:/);
  });

  it('answers a wrong command and a wrong flag with code 14 and advice, without a stack trace', async () => {
    for (const args of [['rnu'], ['run', '--driverr=x'], ['--nonsense']]) {
      const { exitCode, stdout, stderr } = await mkCi(args);
      expect(exitCode).toBe(14);
      expect(stdout).toBe('');
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(stderr).toMatch(/--help|Known commands|did you mean/i);
    }
  });

  it('ends quietly when its reader goes away', async () => {
    const { exitCode, stderr } = await exec([
      'sh',
      '-c',
      `'${process.execPath}' '${PROGRAM}' --help | head -n 1 >/dev/null`,
    ]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });

  it('names a missing configuration with its own code', async () => {
    await using folder = await createTemporaryFolder();
    const { exitCode, stderr } = await mkCi(['run'], { cwd: folder.path });
    expect(exitCode).toBe(18);
    expect(stderr).toContain('CFG_NOT_FOUND');
  });
});

describe('./mk-ci', () => {
  it('is the same program from a checkout', async () => {
    const direct = await mkCi(['--version']);
    const launched = await exec([join(ROOT, 'mk-ci'), '--version']);
    expect(launched.stdout).toBe(direct.stdout);
  });
});
