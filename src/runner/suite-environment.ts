import { delimiter } from 'node:path';

import type { RunningCluster } from '../cluster/cluster.js';
import type { CellInfo } from '../results/model.js';

export interface SuiteEnvironmentInput {
  /** Environment that mk-ci itself was given. */
  readonly host: Readonly<Record<string, string | undefined>>;
  readonly runId: string;
  readonly cell: CellInfo;
  readonly attempt: number;
  readonly cluster: Pick<RunningCluster, 'name' | 'kubeconfig' | 'binaries'>;
  /** Folder of this attempt for whatever the suite wants to keep. */
  readonly artifacts: string;
  /** `env` of the suite. */
  readonly extra: Readonly<Record<string, string>>;
  /** File with the tests that are to run again, one JSON object a line; absent in the first attempt. */
  readonly rerunFile?: string;
  /** Pattern given with `--select`. */
  readonly select?: string;
}

/**
 * Environment variables of a suite's command: those of the host, then mk-ci's, then the suite's own.
 * The table in `docs/running.md` lists them.
 */
export function suiteEnvironment(input: SuiteEnvironmentInput): Record<string, string | undefined> {
  const { host, cell, cluster } = input;
  return {
    ...host,
    KUBECONFIG: cluster.kubeconfig,
    ARTIFACTS: input.artifacts,
    MK_CI_ARTIFACTS: input.artifacts,
    MK_CI_RUN_ID: input.runId,
    // What kubetest2 gives its testers, so that any kubetest2-tester-* can be a suite's command.
    KUBETEST2_RUN_DIR: input.artifacts,
    KUBETEST2_RUN_ID: input.runId,
    MK_CI_ENVIRONMENT: cell.environment,
    MK_CI_CLUSTER: cluster.name,
    MK_CI_SUITE: cell.suite,
    MK_CI_CELL: cell.id,
    MK_CI_ATTEMPT: String(input.attempt),
    MK_CI_SHARD: String(cell.shard?.index ?? 1),
    MK_CI_SHARDS: String(cell.shard?.total ?? 1),
    MK_CI_RERUN_FILE: input.rerunFile,
    MK_CI_SELECT: input.select,
    PATH: [cluster.binaries, host['PATH']].filter(Boolean).join(delimiter),
    ...input.extra,
  };
}
