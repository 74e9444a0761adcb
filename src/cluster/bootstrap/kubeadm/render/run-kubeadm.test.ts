import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { readSettings } from '../settings.js';
import { planInit, renderRunKubeadm } from './run-kubeadm.js';

/** Runs a script with programs of our own in front of PATH, and with the folders of a node in a temporary one. */
async function run(script: string, programs: Readonly<Record<string, string>>) {
  await using folder = await createTemporaryFolder();
  const at = (...names: string[]): string => join(folder.path, ...names);
  for (const part of ['bin', 'pki', 'kubernetes']) await mkdir(at(part));
  for (const [name, text] of Object.entries({ systemctl: 'echo 0', df: 'echo Avail; echo 1000000', ...programs })) {
    await writeFile(at('bin', name), `#!/bin/sh\ncd ${folder.path}\n${text}\n`, { mode: 0o755 });
  }
  await writeFile(at('pki', 'kubelet-client-current.pem'), '');
  const kubeconfig = at('kubernetes', 'kubelet.conf');
  await writeFile(
    kubeconfig,
    '    server: https://10.99.0.1:6443\n    client-certificate-data: QQ==\n    client-key-data: QUE=\n',
  );
  const placed = script
    .replaceAll('/var/log/kubeadm.log', at('log'))
    .replaceAll('/var/log/pods', at('pods'))
    .replaceAll('/etc/kubernetes', at('kubernetes'))
    .replaceAll('/var/lib/kubelet/pki', at('pki'))
    .replaceAll('/etc/mk-ci/api-server-was-slow', at('slow'));
  const { exitCode, stdout, stderr } = await exec(['sh', '-e'], {
    input: placed,
    allowFailure: true,
    timeoutMs: 20_000,
    env: { PATH: `${at('bin')}:${process.env['PATH'] ?? ''}` },
  });
  const read = async (path: string): Promise<string> => await readFile(path, 'utf8').catch(() => '');
  const files = { done: await read(at('done')), kubeconfig: await read(kubeconfig) };
  return { exitCode, stdout, stderr, ...files, folder: folder.path };
}

describe('renderRunKubeadm', () => {
  const script = renderRunKubeadm('kubeadm init');

  it('ends as it ends', async () => {
    expect(await run(script, { kubeadm: 'echo done' })).toMatchObject({ exitCode: 0, stdout: '' });
    expect(await run(script, { kubeadm: 'echo no >&2; exit 3' })).toMatchObject({ exitCode: 1, stderr: 'no\n' });
  });

  it('does not wait for a kubelet that ends again and again', async () => {
    const { exitCode, stderr } = await run(script, { kubeadm: 'echo waiting; exec sleep 600', systemctl: 'echo 9' });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('waiting\nthe kubelet ends again and again\n');
  });

  it('says when the node has no room left: its log may be empty then', async () => {
    const { exitCode, stderr } = await run(script, { kubeadm: 'echo last; exit 1', df: 'echo Avail; echo 1000' });
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: 'no space left on device: /var\nlast\n' });
  });

  it('does not say so when nobody knows', async () => {
    expect(await run(script, { kubeadm: 'echo last; exit 1', df: 'exit 1' })).toMatchObject({ stderr: 'last\n' });
  });

  it('goes on while systemd does not answer', async () => {
    expect(await run(script, { kubeadm: 'sleep 1.5', systemctl: 'exit 1' })).toMatchObject({ exitCode: 0 });
  });

  it('does not wait for a component that ends at once whenever it starts', async () => {
    const started = (attempt: number): string =>
      `mkdir -p pods/kube-system_etcd-1_u/etcd; touch pods/kube-system_etcd-1_u/etcd/${attempt}.log`;
    const ending = await run(script, { kubeadm: `${started(4)}; exec sleep 600` });
    expect(ending).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('etcd ends again and again\n') as string,
    });
    const others = `${started(3)}; mkdir -p pods/a_b/c; touch pods/a_b/c/4.log`;
    expect(await run(script, { kubeadm: `${others}; sleep 1.5` })).toMatchObject({ exitCode: 0 });
    // One that lives for half a minute each time may have too little of the processor.
    const slow = script.replace('begun=$(date +%s)', 'begun=$(($(date +%s) - 150))');
    expect(await run(slow, { kubeadm: `${started(4)}; sleep 1.5` })).toMatchObject({ exitCode: 0 });
  });

  it('fails with what runs beside it, and ends that when it fails', async () => {
    const beside = renderRunKubeadm('kubeadm init', 'kubeadm beside\n');
    const of = (init: string, other: string): string => `case $1 in init) ${init};; beside) ${other};; esac`;
    expect(await run(beside, { kubeadm: of('echo one', 'echo two') })).toMatchObject({ exitCode: 0, stderr: '' });
    const second = await run(beside, { kubeadm: of('echo one', 'sleep 0.2; echo two; exit 4') });
    expect(second).toMatchObject({ exitCode: 1, stderr: 'one\ntwo\n' });
    const first = await run(beside, { kubeadm: of('echo one; exit 4', 'exec sleep 600') });
    expect(first).toMatchObject({ exitCode: 1, stderr: 'one\n' });
  });
});

describe('planInit', () => {
  const plan = ({ version = 'v1.36.3', isTranslated = false, hasCurl = true } = {}) => {
    const settings = readSettings({ name: 'c', driver: 'docker', kubernetesVersion: version, nodes: 1 });
    const programs: Record<string, string> = hasCurl ? { curl: '/usr/bin/curl' } : {};
    return planInit(settings, { isTranslated, programs }, { config: '/c.yaml', seconds: 60 });
  };
  const KUBEADM = 'echo "kubeadm $*" >>done';
  const LATE = ['controller-manager', 'scheduler'];

  it('starts what waits for roles once they are there, while kubeadm goes on', async () => {
    const { skipped, beside, after } = plan();
    expect(skipped).toContain('control-plane/scheduler');
    // No connection, no roles yet, not ready, as the API server says one after the other.
    const codes = 'echo curl >>done; case $(wc -l <done) in 1) echo 000; exit 7;; 2) echo 403;; *) echo 500;; esac';
    const { exitCode, done } = await run(`( ${beside} )\n${after}`, { kubeadm: KUBEADM, curl: codes });
    expect(exitCode).toBe(0);
    const lines = done.trimEnd().split('\n');
    expect(lines.slice(0, 3)).toEqual(['curl', 'curl', 'curl']);
    expect(lines.slice(3).sort()).toEqual(
      LATE.map((component) => `kubeadm init phase control-plane ${component} --config /c.yaml`),
    );
  });

  it('fails when one of them can not be started, or the API server does not answer in time', async () => {
    const { beside } = plan();
    for (const component of LATE) {
      const failing = `case "$*" in *${component}*) exit 1;; esac`;
      expect((await run(beside, { kubeadm: failing, curl: 'echo 200' })).exitCode).toBe(1);
    }
    const late = beside.replace('begun=$(date +%s)', 'begun=0');
    expect(await run(late, { kubeadm: KUBEADM, curl: 'echo 403' })).toMatchObject({ exitCode: 1, done: '' });
  });

  it('lets the kubelet that is started next read the certificate that it renews', async () => {
    const { exitCode, kubeconfig, folder } = await run(plan().after, {});
    expect(exitCode).toBe(0);
    const identity = join(folder, 'pki', 'kubelet-client-current.pem');
    expect(kubeconfig.split('\n').slice(1, 3)).toEqual([
      `    client-certificate: ${identity}`,
      `    client-key: ${identity}`,
    ]);
  });

  it('starts a kubelet again that has waited long for the API server', async () => {
    const { beside, after } = plan();
    const kubelet = async (begun: string): Promise<string> => {
      const script = `( ${beside.replace('begun=$(date +%s)', `begun=${begun}`)} )\n${after}`;
      const { exitCode, done } = await run(script, { kubeadm: KUBEADM, curl: 'echo 200' });
      expect(exitCode).toBe(0);
      return done.trimEnd().split('\n').slice(LATE.length).join('\n');
    };
    expect(await kubelet('$(date +%s)')).toBe('');
    expect(await kubelet('$(($(date +%s) - 11))')).toBe('kubeadm init phase kubelet-finalize all --config /c.yaml');
  });

  it('leaves all to kubeadm where its limits are short or nobody can ask the API server', () => {
    const nothing = { skipped: [], beside: '', after: '' };
    expect(plan({ version: 'v1.30.0' })).toEqual(nothing);
    expect(plan({ hasCurl: false })).toEqual(nothing);
  });

  it('starts the rest last where processors are translated', () => {
    const { skipped, beside, after } = plan({ isTranslated: true });
    expect(skipped).toEqual(plan().skipped.filter((phase) => phase !== 'kubelet-finalize'));
    expect(beside).toBe('');
    expect(after).toMatch(/^.*control-plane controller-manager --config.*\n.*control-plane scheduler --config.*\n$/);
  });
});
