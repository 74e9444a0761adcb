import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { readNodeFailure, renderFailureScript } from './node-scripts.js';

const UID = '513b86be7af2a90af281eacca7a8ead1';

/** What the script finds in a node that is ten seconds old, with a kernel that ended a process some seconds ago. */
async function failureOf({
  seconds = 5,
  uid = UID,
  availableKib = 1_000_000,
}: {
  readonly seconds?: number;
  readonly uid?: string;
  readonly availableKib?: number | string;
}) {
  await using folder = await createTemporaryFolder();
  const at = (...names: string[]): string => join(folder.path, ...names);
  const tool = async (name: string, text: string): Promise<void> => {
    await writeFile(at('bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  };
  for (const part of ['bin', 'cgroup', 'pods']) await mkdir(at(part));
  const log = at('pods', `kube-system_kube-apiserver-control-plane_${UID}`, 'kube-apiserver');
  await mkdir(log, { recursive: true });
  await writeFile(join(log, '1.log'), '2026-11-21T00:00:00Z stderr F E1121 the last words\n');
  await writeFile(at('created'), '');
  const begun = new Date(Date.now() - 10_000);
  await utimes(at('created'), begun, begun);
  await tool('systemctl', 'case $1 in is-active) echo active;; *) echo 0;; esac');
  await tool('journalctl', ':');
  await tool('df', `echo Avail; echo ${availableKib}`);
  const stamp = (uptime() - seconds).toFixed(6).padStart(12);
  const killed = `task_memcg=/docker/a66e6f/kubepods/burstable/pod${uid}/acdb73,task=kube-apiserver,pid=1525,uid=0`;
  await tool('dmesg', `echo '[${stamp}] oom-kill:constraint=CONSTRAINT_MEMCG,${killed}'`);
  const script = renderFailureScript(['containerd.service'])
    .replaceAll('/sys/fs/cgroup', at('cgroup'))
    .replaceAll('/var/log/pods', at('pods'))
    .replaceAll('/var/lib/mk-ci/created', at('created'));
  const { stdout } = await exec(['sh'], {
    input: script,
    timeoutMs: 20_000,
    env: { PATH: `${at('bin')}:${process.env['PATH'] ?? ''}` },
  });
  return readNodeFailure(stdout);
}

describe('renderFailureScript', () => {
  it('finds what the kernel ended in this node for want of memory', async () => {
    expect(await failureOf({})).toMatchObject({
      component: 'kube-apiserver',
      lines: ['E1121 the last words'],
      lacks: 'memory',
    });
  });

  it('does not take that of other pods, or of a node before it with the same static pods', async () => {
    expect(await failureOf({ uid: '0123456789abcdef0123456789abcdef' })).not.toHaveProperty('lacks');
    expect(await failureOf({ seconds: 15 })).not.toHaveProperty('lacks');
  });

  it('finds a full disk', async () => {
    expect(await failureOf({ uid: 'other', availableKib: 1000 })).toMatchObject({ lacks: 'disk' });
    expect(await failureOf({ uid: 'other', availableKib: '-' })).not.toHaveProperty('lacks');
  });
});
