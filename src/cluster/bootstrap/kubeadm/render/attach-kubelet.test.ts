import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { ATTACHED, renderAttachKubelet } from './node-scripts.js';

/** Runs the script beside programs that stand for those of a node. */
async function attach(curl: string | undefined, seconds = 60) {
  await using folder = await createTemporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  const tool = async (name: string, text: string): Promise<void> => {
    await writeFile(at(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  };
  await writeFile(at('kubelet.conf'), 'clusters:\n- cluster:\n    server: https://10.99.0.1:6443\n');
  await writeFile(at('done'), '');
  if (curl !== undefined) await tool('curl', `echo "curl $*" >>${at('done')}; n=$(wc -l <${at('done')})\n${curl}`);
  await tool('systemctl', `echo "systemctl $*" >>${at('done')}`);
  await tool('systemd-detect-virt', 'echo docker');
  await tool('sleep', ':');
  for (const name of ['sed', 'cut', 'wc']) await tool(name, `PATH=${process.env['PATH'] ?? ''} exec ${name} "$@"`);
  const script = renderAttachKubelet('worker-1', seconds).replaceAll('/etc/kubernetes', folder.path);
  const { stdout } = await exec(['/bin/sh', '-e'], { input: script, timeoutMs: 20_000, env: { PATH: folder.path } });
  return { stdout, done: (await readFile(at('done'), 'utf8')).trimEnd().split('\n') };
}

const RESTARTED = 'systemctl restart kubelet.service';

describe('renderAttachKubelet', () => {
  it('starts the kubelet again once the API server answers to its name, and not before', async () => {
    // No connection, no connection, a refusal, an answer.
    const { stdout, done } = await attach('[ "$n" -gt 2 ] || exit 7; [ "$n" -gt 3 ] || exit 22');
    expect(stdout).toBe(`${ATTACHED}\n`);
    expect(done).toHaveLength(5);
    expect(done[3]).toContain('https://10.99.0.1:6443/api/v1/nodes/worker-1');
    expect(done[4]).toBe(RESTARTED);
  });

  it.each([
    ['there is no curl', undefined, 60, 0],
    ['the API server goes on to refuse', 'exit 22', 60, 100],
    ['its time is up', 'exit 7', 0, 1],
  ])('leaves it alone when %s', async (_, curl, seconds, asked) => {
    const { stdout, done } = await attach(curl, seconds);
    expect(stdout).toBe('');
    expect(done.filter((line) => line.startsWith('curl'))).toHaveLength(asked);
    expect(done).not.toContain(RESTARTED);
  });
});
