import type { Generated } from 'kysely';

/** Tables as kysely sees them; the same for both engines. Migrations make them, `migrations.ts` says what they hold. */
export interface Schema {
  readonly meta: { readonly key: string; readonly value: string };
  readonly repository: Named;
  readonly environment: Named & { readonly version: Generated<number> };
  readonly suite: Named;
  readonly test: {
    readonly id: Generated<number>;
    readonly repository_id: number;
    readonly package: string;
    readonly name: string;
    readonly alias_of: number | null;
  };
  readonly series: {
    readonly id: Generated<number>;
    readonly test_id: number;
    readonly environment_id: number;
  };
  readonly revision: {
    readonly id: Generated<number>;
    readonly repository_id: number;
    readonly sha: string;
    readonly tree_sha: string | null;
    readonly position: number | null;
    readonly first_run_at: number;
  };
  readonly run: {
    readonly id: Generated<number>;
    readonly uid: string;
    readonly repository_id: number;
    readonly environment_id: number;
    readonly suite_id: number;
    readonly revision_id: number;
    readonly branch: string | null;
    readonly pull_request: number | null;
    readonly url: string | null;
    readonly started_at: number;
    readonly duration_ms: number | null;
    readonly complete: number;
    readonly excluded: string | null;
    readonly origin: string;
    readonly tests: number;
    readonly failed_tests: number;
    readonly pruned: Generated<number>;
  };
  readonly signature: {
    readonly id: Generated<number>;
    readonly key: string;
    readonly version: number;
    readonly text: string;
    readonly weak: number;
    readonly cluster_id: number | null;
    readonly first_at: number | null;
    readonly last_at: number | null;
  };
  readonly failure: {
    readonly id: Generated<number>;
    readonly hash: Uint8Array;
    readonly kind: string | null;
    readonly message: string;
    readonly body: Uint8Array | null;
    readonly signature_id: number | null;
  };
  readonly result: {
    readonly run_id: number;
    readonly test_id: number;
    readonly attempt: number;
    readonly status: number;
    readonly duration_ms: number | null;
    readonly failure_id: number | null;
  };
  readonly daily: {
    readonly series_id: number;
    readonly day: number;
    readonly pull: number;
    readonly passed: number;
    readonly failed: number;
    readonly skipped: number;
    readonly error: number;
    readonly timedout: number;
    readonly notrun: number;
    readonly runs: number;
    readonly failed_runs: number;
    readonly mixed_runs: number;
    readonly passed_ms: number;
    readonly failed_ms: number;
  };
  readonly daily_block: {
    readonly day: number;
    readonly block: number;
    readonly pull: number;
    readonly sums: Uint8Array;
  };
  readonly failing_commit: {
    readonly series_id: number;
    readonly revision_id: number;
    readonly pull: number;
    readonly passed: number;
    readonly failed: number;
    readonly last_at: number;
  };
}

interface Named {
  readonly id: Generated<number>;
  readonly name: string;
}
