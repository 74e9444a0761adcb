import { describe, expect, it } from 'vitest';

import type { ClusterStatus, RunningCluster } from '../cluster/cluster.js';
import { MkCiError } from '../errors.js';
import { callCommand, createTestContext } from './call.test-kit.js';
import { buildUpgradeCommand } from './cluster-upgrade.js';

/** A manager that writes down what it is asked for. */
function call(args: readonly string[], plan: 'upgrade' | 'nothing' | 'refused' = 'upgrade') {
  const asked: string[] = [];
  const test = createTestContext('/');
  const build = () =>
    buildUpgradeCommand(
      test.context,
      () => ({ signal: test.context.signal }),
      () => ({
        manager: {
          status: async () => ({ driver: 'docker', kubernetesVersion: 'v1.35.4' }) as ClusterStatus,
          planUpgrade: async (_name, to) => {
            if (plan === 'refused') throw new MkCiError('K8S_DOWNGRADE');
            return { from: 'v1.35.4', to, does: plan };
          },
          upgrade: async (name, version, { drainSeconds }) => {
            asked.push(`upgrade ${name} ${version}${drainSeconds === undefined ? '' : `, drained in ${drainSeconds}`}`);
            return {} as RunningCluster;
          },
          planUndo: async () => {
            if (plan === 'refused') throw new MkCiError('K8S_SNAPSHOT_NOT_FOUND');
            return 'v1.34.9';
          },
          undoUpgrade: async (name) => {
            asked.push(`undo ${name}`);
            return {} as RunningCluster;
          },
        },
        prepare: async (driver, version) => {
          asked.push(`prepare ${driver} ${version}`);
        },
      }),
    );
  return callCommand(build, args, test).then((observed) => ({ ...observed, asked }));
}

describe('cluster upgrade', () => {
  it('gets what new nodes are made of before its deadline begins', async () => {
    const { asked, stderr } = await call(['demo', '--kubernetes-version', 'v1.36.3']);
    expect(asked).toEqual(['prepare docker v1.36.3', 'upgrade demo v1.36.3']);
    expect(stderr).toBe('demo has v1.36.3 now; it had v1.35.4\n');
  });

  it('hands on how long the pods of a node may take', async () => {
    const { asked } = await call(['demo', '--kubernetes-version', 'v1.36.3', '--drain-timeout', '30']);
    expect(asked).toEqual(['prepare docker v1.36.3', 'upgrade demo v1.36.3, drained in 30']);
  });

  it('gets nothing for an upgrade that is refused, has been done or is only planned', async () => {
    expect(await call(['demo', '--kubernetes-version', 'v1.34.4'], 'refused')).toMatchObject({
      asked: [],
      code: 'K8S_DOWNGRADE',
    });
    expect(await call(['demo', '--kubernetes-version', 'v1.35.4'], 'nothing')).toMatchObject({ asked: [] });
    const { asked, stdout } = await call(['demo', '--kubernetes-version', 'v1.36.3', '--dry-run']);
    expect([asked, stdout]).toEqual([[], 'demo: v1.35.4, would upgrade to v1.36.3\n']);
  });

  it('takes the last one back', async () => {
    const undone = await call(['demo', '--undo']);
    expect([undone.asked, undone.stderr]).toEqual([['undo demo'], 'demo has v1.34.9 now; it had v1.35.4\n']);
    const planned = await call(['demo', '--undo', '--dry-run']);
    expect([planned.asked, planned.stdout]).toEqual([[], 'demo: v1.35.4, would go back to v1.34.9\n']);
  });

  it('has nothing to take back in a cluster that was not upgraded, and says so when it is only planned, too', async () => {
    for (const args of [
      ['demo', '--undo'],
      ['demo', '--undo', '--dry-run'],
    ]) {
      expect(await call(args, 'refused')).toMatchObject({ asked: [], code: 'K8S_SNAPSHOT_NOT_FOUND' });
    }
  });

  it('wants a version or --undo, and not both', async () => {
    expect((await call(['demo'])).code).toBe('CLI_USAGE');
    expect((await call(['demo', '--undo', '--kubernetes-version', 'v1.36.3'])).code).toBe('CLI_USAGE');
  });
});
