import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../../../files.js';
import { identifySelf } from '../../../../process.js';
import { clusterFolder, type ClusterFolder, type ClusterRecord } from '../../../folder.js';
import { createJournal, type Journal } from '../../../journal.js';
import { planMachines } from '../machines/cluster-machines.js';
import { pkiBefore, settleRestore, type SettleContext } from './settle-restore.js';

const { signal } = new AbortController();

describe('settleRestore', () => {
  let temporary: TemporaryFolder;
  let paths: ClusterFolder;
  let journal: Journal;
  let there: string[];
  let asked: number;

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    paths = clusterFolder(temporary.path, 'demo');
    await mkdir(paths.pki, { recursive: true });
    await writeFile(join(paths.pki, 'ca.crt'), 'of the snapshot');
    journal = createJournal({ folder: join(temporary.path, 'journal') });
    there = ['demo-control-plane', 'demo-control-plane-b'];
    asked = 0;
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  const settle = async (record: ClusterRecord): Promise<void> => {
    const machines: SettleContext['machines'] = {
      operationsOf: () => ({
        remove: async (name) => {
          there = there.filter((other) => other !== name);
        },
      }),
      list: async () => {
        asked += 1;
        return there.map((name) => ({ name, state: 'running', labels: {} }));
      },
    };
    await settleRestore({ machines, journal }, record, { paths, signal });
  };
  const recordOf = async (name: string): Promise<ClusterRecord> => {
    const [machine] = planMachines({ name: 'demo', nodes: 1 });
    const notes = await Promise.all(
      ['demo-control-plane', 'demo-control-plane-b'].map((noted) =>
        journal.intend(
          { kind: 'resource', driver: 'docker', type: 'machine', name: noted },
          { cluster: 'demo', folder: paths.folder, owner: identifySelf() },
        ),
      ),
    );
    const journalId = notes[name.endsWith('-b') ? 1 : 0]?.id ?? '';
    return {
      version: 1,
      spec: { name: 'demo', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 },
      createdAt: '2026-11-22T00:00:00Z',
      wanted: 'running',
      server: '',
      binaries: '',
      machines: [{ ...machine!, name, journalId }],
    };
  };
  const begin = async (): Promise<void> => {
    const before = pkiBefore(paths, { machines: planMachines({ name: 'demo', nodes: 1 }) });
    await mkdir(before);
    await writeFile(join(before, 'ca.crt'), 'of before');
  };

  it('asks no engine where no restore was begun', async () => {
    await settle(await recordOf('demo-control-plane'));
    expect(asked).toBe(0);
    expect(there).toHaveLength(2);
  });

  it('takes away the new machines, and puts the certificates back, while the record names the old ones', async () => {
    await begin();
    await settle(await recordOf('demo-control-plane'));
    expect(there).toEqual(['demo-control-plane']);
    expect(await readFile(join(paths.pki, 'ca.crt'), 'utf8')).toBe('of before');
    expect(await readdir(paths.folder)).toEqual(['pki']);
    const { entries } = await journal.list();
    expect(entries.map(({ thing, ownership }) => [thing, ownership.owner])).toEqual([
      [expect.objectContaining({ name: 'demo-control-plane' }), undefined],
    ]);
  });

  it('takes away the old machines once the record names the new ones', async () => {
    await begin();
    await settle(await recordOf('demo-control-plane-b'));
    expect(there).toEqual(['demo-control-plane-b']);
    expect(await readFile(join(paths.pki, 'ca.crt'), 'utf8')).toBe('of the snapshot');
    expect(await readdir(paths.folder)).toEqual(['pki']);
  });
});
