import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { ATTACHED, HOLD_KUBELET, renderAttachKubelet } from './attach-kubelet.js';

const HOST_PATH = process.env['PATH'] ?? '';

/** Writes a program that notes how it is called, and then does as the text says: `$n` is the number of calls of all programs so far. */
async function writeTool(folder: string, name: string, text = ':'): Promise<void> {
  const body = `echo "${name} $*" >>${folder}/done\nn=$(PATH=${HOST_PATH} wc -l <${folder}/done)\n${text}`;
  await writeFile(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

async function readDone(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'done'), 'utf8');
  return text === '' ? [] : text.trimEnd().split('\n');
}

/**
 * Runs the script that attaches a kubelet, beside programs that stand for those of a node.
 *
 * @param curl what it does. @default there is none
 * @param held what is noted of connections that are held back. @default nothing
 * @param isStuck nobody lets go
 */
async function attach({
  curl,
  seconds = 60,
  held,
  isStuck = false,
  ss,
}: {
  readonly curl?: string | undefined;
  readonly seconds?: number;
  readonly held?: string;
  readonly isStuck?: boolean;
  readonly ss?: string;
}) {
  await using folder = await createTemporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  await writeFile(at('kubelet.conf'), 'clusters:\n- cluster:\n    server: https://10.99.0.1:6443\n');
  await writeFile(at('done'), '');
  if (held !== undefined) await writeFile(at('mk-ci-hold'), held);
  if (curl !== undefined) await writeTool(folder.path, 'curl', curl);
  await writeTool(folder.path, 'systemctl');
  await writeTool(folder.path, 'ss', ss);
  await writeTool(folder.path, 'iptables', 'exit 1');
  for (const [name, text] of [
    ['systemd-detect-virt', 'echo docker'],
    // What is held back is let go while the script sleeps.
    ['sleep', isStuck ? ':' : `[ ! -e ${at('mk-ci-hold')} ] || echo released >${at('mk-ci-hold')}`],
    ...['cat', 'cut', 'grep', 'sed'].map((name) => [name, `PATH=${HOST_PATH} exec ${name} "$@"`] as const),
  ] as const) {
    await writeFile(at(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const script = renderAttachKubelet('worker-1', seconds)
    .replaceAll('/etc/kubernetes', folder.path)
    .replaceAll('/run/', `${folder.path}/`);
  const { stdout } = await exec(['/bin/sh', '-e'], { input: script, timeoutMs: 20_000, env: { PATH: folder.path } });
  return { stdout, done: await readDone(folder.path) };
}

const RESTARTED = 'systemctl restart kubelet.service';

const CONNECTED = `echo 'ESTAB 0 0 10.99.0.1:40112 10.99.0.1:6443 users:(("kubelet",pid=7,fd=9))'`;

describe('renderAttachKubelet', () => {
  it('starts the kubelet again once the API server answers to its name, and not before', async () => {
    // No connection, no connection, a refusal, an answer.
    const { stdout, done } = await attach({ curl: '[ "$n" -gt 2 ] || exit 7; [ "$n" -gt 3 ] || exit 22' });
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
    const { stdout, done } = await attach({ curl, seconds });
    expect(stdout).toBe('');
    expect(done.filter((line) => line.startsWith('curl'))).toHaveLength(asked);
    expect(done).not.toContain(RESTARTED);
  });

  it('leaves one alone that was held back, as soon as it is connected', async () => {
    const { stdout, done } = await attach({ curl: ':', held: 'holding', ss: `[ "$n" -lt 3 ] || ${CONNECTED}` });
    expect(stdout).toBe(`${ATTACHED}\n`);
    expect(done.map((line) => line.split(' ')[0])).toEqual(['ss', 'ss', 'ss']);
  });

  it('lets go itself when nobody else does', async () => {
    const { stdout, done } = await attach({ curl: ':', held: 'holding', isStuck: true, ss: CONNECTED });
    expect(stdout).toBe(`${ATTACHED}\n`);
    expect(done).toHaveLength(2);
    expect(done[0]).toBe(
      'iptables -w -D INPUT -i lo -d 10.99.0.1/32 -p tcp --dport 6443 --syn -m comment --comment mk-ci -j DROP',
    );
  });

  it('starts one again that was held back and does not connect, whoever else does', async () => {
    const { stdout, done } = await attach({
      curl: ':',
      held: 'released',
      ss: CONNECTED.replace('kubelet', 'kube-proxy'),
    });
    expect(stdout).toBe(`${ATTACHED}\n`);
    expect(done.filter((line) => line.startsWith('ss'))).toHaveLength(30);
    expect(done.at(-1)).toBe(RESTARTED);
  });
});

/**
 * Runs the script that holds connections back.
 *
 * @param volumes paths below the folder of pods
 * @param mounted mount points of the node
 * @param refuses iptables takes no rule
 * @param listening local addresses of sockets that listen, as the kernel prints them
 */
async function hold({
  volumes = [],
  mounted = '/var',
  listening = '00000000:0016',
  refuses = false,
}: {
  readonly volumes?: readonly string[];
  readonly mounted?: string;
  readonly listening?: string;
  readonly refuses?: boolean;
}) {
  await using folder = await createTemporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  for (const volume of volumes) await mkdir(join(folder.path, 'pods', volume), { recursive: true });
  await writeFile(at('mountinfo'), `36 35 98:0 / ${mounted.replace('PODS', at('pods'))} rw - ext4 /dev/sda rw\n`);
  const sockets = (address: string): string => `  0: ${address} 00000000:0000 0A 00000000:00000000 00:00000000\n`;
  await writeFile(at('tcp'), sockets(listening));
  await writeFile(at('done'), '');
  // Rules are kept in a file, one a line. The look after the fourth pause finds the API server.
  const rules = at('rules');
  await writeFile(rules, '');
  await writeTool(
    folder.path,
    'iptables',
    `shift; verb=$1; shift
case $verb in
  -I) ${refuses ? 'exit 1' : `echo "$*" >>${rules}`};;
  -D) grep -qxF -e "$*" ${rules} || exit 1; : >${rules};;
esac`,
  );
  await writeTool(folder.path, 'ss');
  await writeTool(
    folder.path,
    'sleep',
    `if [ "$1" != 0.05 ]; then PATH=${HOST_PATH} exec sleep "$1"; fi
[ "$(grep -c 'sleep 0.05' ${at('done')})" -lt 4 ] || echo '${sockets('00000000000000000000000000000000:192B').trim()}' >${at('tcp')}`,
  );
  const script = HOLD_KUBELET.replaceAll('/var/lib/kubelet/pods', at('pods'))
    .replaceAll('/run/', `${folder.path}/`)
    .replaceAll('/proc/self/mountinfo', at('mountinfo'))
    .replaceAll('/proc/net/', `${folder.path}/`);
  const env = { PATH: `${folder.path}:${HOST_PATH}` };
  await exec(['/bin/sh', '-e'], { input: script, timeoutMs: 20_000, env });
  // Letting go has a process of its own.
  while (existsSync(at('mk-ci-hold')) && (await readFile(at('mk-ci-hold'), 'utf8')) !== 'released\n') await delay(5);
  const noted = existsSync(at('mk-ci-hold')) ? (await readFile(at('mk-ci-hold'), 'utf8')).trim() : undefined;
  return {
    done: (await readDone(folder.path))
      .map((line) => line.split(' ').slice(0, 3).join(' '))
      .filter((line) => line !== 'sleep 0.01'),
    noted,
    rules: await readFile(rules, 'utf8'),
    left: volumes.filter((volume) => existsSync(join(folder.path, 'pods', volume))),
  };
}

describe('HOLD_KUBELET', () => {
  it('drops packets to the API server until it listens', async () => {
    const { done, noted, rules } = await hold({});
    expect(done).toEqual([
      'iptables -w -I',
      'sleep 0.05',
      'sleep 0.05',
      'sleep 0.05',
      'sleep 0.05',
      'iptables -w -D',
      'iptables -w -D',
    ]);
    expect({ noted, rules }).toEqual({ noted: 'released', rules: '' });
  });

  it('removes volumes that the kubelet makes anew', async () => {
    const of = (kind: string): string => `6f/volumes/kubernetes.io~${kind}/name`;
    const { noted, left } = await hold({ volumes: ['projected', 'configmap', 'secret', 'downward-api'].map(of) });
    expect({ noted, left }).toEqual({ noted: 'released', left: [] });
  });

  it('goes on where no rule can be made', async () => {
    const { done, noted } = await hold({ refuses: true });
    expect({ done, noted }).toEqual({ done: ['iptables -w -I'], noted: undefined });
  });

  it.each([
    ['there is a volume with data', { volumes: ['6f/volumes/kubernetes.io~empty-dir/data'] }],
    ['there is a block device', { volumes: ['6f/volumeDevices/kubernetes.io~csi/data'] }],
    ['a volume is mounted', { mounted: 'PODS/6f/volumes/kubernetes.io~projected/token' }],
    ['the API server listens', { listening: '0100007F:192B' }],
  ])('does nothing when %s', async (_, node) => {
    const volumes = 'volumes' in node ? node.volumes : ['6f/volumes/kubernetes.io~configmap/name'];
    const { done, noted, left } = await hold({ ...node, volumes });
    expect({ done, noted, left }).toEqual({ done: [], noted: undefined, left: volumes });
  });
});
