import { describe, expect, it } from 'vitest';

import type { Machine } from '../../../../drivers/driver.js';
import { MkCiError } from '../../../../errors.js';
import { exec } from '../../../../exec.js';
import { createTemporaryFolder } from '../../../../files.js';
import { clusterFolder } from '../../../folder.js';
import { createDeadline } from '../../../phases.js';
import { fetchCredentials } from './cluster-nodes.js';
import { readSettings } from '../settings.js';

const spec = { name: 'c', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 };

describe('credentials of the administrator', () => {
  it('are in no error, whatever ends the command that prints them', async () => {
    await using folder = await createTemporaryFolder();
    const machine: Machine = {
      name: 'c-control-plane',
      internalAddress: '',
      copyTo: async () => undefined,
      copyFrom: async () => undefined,
      endpoint: async () => ({ host: '', port: 0 }),
      exec: async (argv, { input } = {}) => {
        const script = String(input).replace('cat /etc/kubernetes/admin.conf', 'echo client-key-data; exit 1');
        return await exec(argv, { input: script });
      },
    };
    const { signal } = new AbortController();
    const work = { settings: readSettings(spec), signal, deadline: createDeadline(10_000) };
    const error: unknown = await fetchCredentials(machine, clusterFolder(folder.path, 'c'), work).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(MkCiError);
    const { message, details } = error as MkCiError;
    expect(`${message} ${JSON.stringify(details)}`).not.toContain('client-key-data');
  });
});
