import { inCommitOrder } from '../commit-order.js';
import { clusterSignatures } from '../signatures/clusters.js';
import { signatureOf } from '../signatures/normalise.js';
import { findChangepoints, type CommitCounts } from '../statistics/changepoint.js';
import { outcomeOf } from '../store/record.js';
import type { TestRunRow } from '../store/test-runs.js';
import type { ShownRun } from './runs-cache.js';
import type { TestPage, TestRun } from './schemas.js';

/** Longest text of a signature that a page shows. */
const SIGNATURE_CHARACTERS = 2_000;
/** Signatures of one test that are compared with each other; the rarest of more stay as they are. */
const MOST_COMPARED = 100;

type Signature = TestPage['signatures'][number];

/** Attempts and signatures as the page shows them. @param rows newest first */
export function attemptsOf(rows: readonly TestRunRow<ShownRun>[]): Pick<TestPage, 'attempts' | 'signatures'> {
  const signatures = new Map<string, Signature>();
  const ofMessage = new Map<string, ReturnType<typeof signatureOf>>();
  const attempts = rows.map((row): TestRun => {
    const { uid, at, shown } = row.run;
    let signature = row.message === null ? undefined : ofMessage.get(row.message);
    if (row.message !== null && signature === undefined) {
      signature = signatureOf({ message: row.message });
      ofMessage.set(row.message, signature);
    }
    // What failed by the infrastructure is shown as a dot, and is no signature of the test.
    if (signature !== undefined && row.run.excluded === null) {
      const { key, text, weak } = signature;
      const seen = signatures.get(key);
      if (seen === undefined) {
        signatures.set(key, {
          key,
          text: text.slice(0, SIGNATURE_CHARACTERS),
          weak,
          count: 1,
          firstAt: at,
          lastAt: at,
        });
      } else {
        seen.count += 1;
        seen.firstAt = at;
      }
    }
    return {
      run: uid,
      attempt: row.attempt,
      at,
      status: row.status,
      ...(row.durationMs === null ? {} : { durationMs: row.durationMs }),
      ...shown,
      ...(signature === undefined ? {} : { signature: signature.key }),
    };
  });
  return merged(attempts, [...signatures.values()]);
}

/** Near-duplicates become one, under the key of the most frequent; those that name no cause stay apart. */
function merged(
  attempts: readonly TestRun[],
  signatures: readonly Signature[],
): Pick<TestPage, 'attempts' | 'signatures'> {
  const sorted = [...signatures].sort((left, right) => right.count - left.count);
  const founders = clusterSignatures(sorted.filter(({ weak }) => !weak).slice(0, MOST_COMPARED));
  const clusters = new Map<string, Signature>();
  for (const signature of sorted) {
    const key = founders.get(signature.key) ?? signature.key;
    const old = clusters.get(key);
    if (old === undefined) clusters.set(key, { ...signature });
    else {
      old.count += signature.count;
      if (signature.firstAt < old.firstAt) old.firstAt = signature.firstAt;
      if (signature.lastAt > old.lastAt) old.lastAt = signature.lastAt;
    }
  }
  return {
    attempts: attempts.map((attempt) => {
      const founder = attempt.signature === undefined ? undefined : founders.get(attempt.signature);
      return founder === undefined || founder === attempt.signature ? attempt : { ...attempt, signature: founder };
    }),
    signatures: [...clusters.values()].sort((left, right) => right.count - left.count),
  };
}

/**
 * Where the rate changed, over the runs of the base branch: a pull request's failures say something of the pull request.
 *
 * @param rows newest first
 */
export function changepointsOf(rows: readonly TestRunRow[], dispersion: number): TestPage['changepoints'] {
  const commits = commitsOf(rows);
  return findChangepoints(commits, dispersion).map((change) => {
    const name = (index: number): string => commits[index]?.commit ?? '';
    return {
      at: new Date(commits[change.index]?.firstAtMs ?? 0).toISOString(),
      commit: name(change.index),
      certainty: change.certainty,
      fromCommit: name(change.range[0]),
      toCommit: name(change.range[1]),
      rangeCommits: change.range[1] - change.range[0] + 1,
      before: change.before,
      after: change.after,
    };
  });
}

interface CommitSums extends CommitCounts {
  failed: number;
  attempts: number;
  firstAtMs: number;
}

/** In the order of first-parent numbers where all are known, else of first runs. */
function commitsOf(rows: readonly TestRunRow[]): CommitSums[] {
  const commits = new Map<string, CommitSums>();
  for (let at = rows.length - 1; at >= 0; at -= 1) {
    const row = rows[at];
    if (row === undefined) continue;
    const { run, status } = row;
    const outcome = outcomeOf(status);
    if (outcome === undefined || run.excluded !== null || run.pullRequest !== null) continue;
    const old = commits.get(run.sha);
    const commit: CommitSums = old ?? {
      commit: run.sha.startsWith('run:') ? run.uid : run.sha,
      failed: 0,
      attempts: 0,
      firstAtMs: run.startedAtMs,
      ...(run.position === null ? {} : { position: run.position }),
    };
    if (old === undefined) commits.set(run.sha, commit);
    commit.attempts += 1;
    if (outcome === 'fail') commit.failed += 1;
  }
  return inCommitOrder([...commits.values()]);
}
