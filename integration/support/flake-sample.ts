/** A history that looks like one of minikube's: flakes, a burst, a regression, a broken period, reruns, pull requests. */
import type { ResultRecord, RunRecord } from '../../src/flake/store/record.js';
import { createRandom } from '../../src/flake/statistics/random.js';

const DAY_MS = 86_400_000;

/** Would run as markup, as a script, as SQL or as a path if anything let it. */
export const HOSTILE_TEST = `</script><script>document.title='owned'</script><img src=x onerror=alert(1)> '); DROP TABLE run; -- \u202egnp.exe ../../etc`;

export interface SampleOptions {
  readonly days?: number;
  readonly runsADay?: number;
  /** @default 40 */
  readonly tests?: number;
  /** UTC day of the newest run. @default 2026-10-30 */
  readonly lastDay?: number;
}

export const SAMPLE_ENVIRONMENTS = [
  'docker-containerd-v1.36',
  'docker-crio-v1.36',
  'kvm2-containerd-v1.36',
  'local-v1.36',
  'podman-crio-v1.35',
] as const;

const PLAIN = [
  'Addons',
  'Functional',
  'MultiNode',
  'StartStop',
  'NetworkPlugins',
  'Pause',
  'Upgrade',
  'Mount',
] as const;

/** Records in the order of their start; the same for the same options. */
export function* sampleHistory({
  days = 100,
  runsADay = 3,
  tests = 40,
  lastDay = 20_756,
}: SampleOptions = {}): Generator<RunRecord> {
  const random = createRandom(7);
  for (let at = 0; at < days * runsADay; at += 1) {
    const day = lastDay - days + 1 + Math.floor(at / runsADay);
    const age = (lastDay - day) / days;
    const sha = hex(random, 40);
    for (const [index, environment] of SAMPLE_ENVIRONMENTS.entries()) {
      const startedAtMs = day * DAY_MS + Math.floor(((at % runsADay) * DAY_MS) / runsADay) + index * 240_000;
      const isPull = at % 7 === 5;
      const isOutage = environment.startsWith('kvm2') && at === days * runsADay - 20;
      const results = Array.from({ length: tests }, (_, test) =>
        attemptsOf(random, { test, index, age, isPull, isOutage }),
      ).flat();
      yield {
        uid: `sample/${String(at)}/${environment}`,
        repository: 'kubernetes/minikube',
        environment,
        suite: 'e2e',
        commit: { sha, position: at },
        ...(isPull ? { branch: `feature-${String(at)}`, pullRequest: 20_000 + at } : { branch: 'master' }),
        url: `https://ci.example/job/${String(at)}/${environment}/report.html`,
        startedAtMs,
        durationMs: 1_500_000 + index * 420_000 + random() * 300_000 + (age < 0.3 && index === 1 ? 900_000 : 0),
        complete: true,
        ...(isOutage ? { excluded: 'infrastructure: DRV_KVM_NO_DEVICE' } : {}),
        origin: 'sample',
        results,
      };
    }
  }
}

interface Situation {
  readonly test: number;
  readonly index: number;
  readonly age: number;
  readonly isPull: boolean;
  readonly isOutage: boolean;
}

function attemptsOf(random: () => number, situation: Situation): ResultRecord[] {
  const { test, index } = situation;
  const name =
    test === 4
      ? HOSTILE_TEST
      : `Test${PLAIN[test % PLAIN.length] ?? ''}/parallel/${['Deploy', 'Tunnel', 'Logs', 'Restart', 'Images'][test % 5] ?? ''}Cmd${String(test)}`;
  const chance = situation.isOutage ? 0.9 : chanceOf(situation);
  const base = 3_000 + test * 900 + index * 1_200;
  const attempt = (number: number): ResultRecord => {
    const isSkipped = test === 9 && index === 3;
    const failed = !isSkipped && random() < chance;
    const isTimeout = failed && test === 6;
    const status = isSkipped ? 'skipped' : isTimeout ? 'timedout' : failed ? 'failed' : 'passed';
    return {
      package: 'k8s.io/minikube/test/integration',
      name,
      attempt: number,
      status,
      durationMs: Math.round(isTimeout ? 120_000 : base * (0.8 + random() * 0.5) * (failed ? 1.6 : 1)),
      ...(failed ? { failure: { message: messageOf(random, test, isTimeout) } } : {}),
    };
  };
  const first = attempt(1);
  return first.status === 'failed' ? [first, attempt(2)] : [first];
}

/** Chance of a failure: a steady flake, a burst, a regression, a broken fortnight, and rare ones. */
function chanceOf({ test, index, age, isPull }: Situation): number {
  if (isPull && test === 11) return 0.5;
  if (test === 2) return 0.18 - index * 0.03;
  if (test === 4) return 0.3;
  if (test === 6) return age > 0.4 && age < 0.5 ? 0.7 : 0.01;
  if (test === 8) return age < 0.35 ? 0.32 : 0.01;
  if (test === 12) return index === 1 && age > 0.15 && age < 0.3 ? 1 : 0;
  return test % 3 === 0 ? 0.012 : 0.002;
}

function messageOf(random: () => number, test: number, isTimeout: boolean): string {
  if (isTimeout) return 'panic: test timed out after 2m0s';
  const pod = `coredns-${podHash(random, 9)}-${podHash(random, 5)}`;
  return test % 2 === 0 && random() < 0.7
    ? `functional_test.go:${String(100 + test)}: pod ${pod} is not ready after ${(random() * 200).toFixed(1)}s: context deadline exceeded\n  last seen: <b>CrashLoopBackOff</b>`
    : `start_stop_test.go:${String(200 + test)}: expected exit status 0, got exit status 80 at 10.244.${String(Math.floor(random() * 250))}.3:8443`;
}

function hex(random: () => number, length: number): string {
  return Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('');
}

/** Letters that Kubernetes uses in names of pods. */
function podHash(random: () => number, length: number): string {
  const letters = 'bcdfghjklmnpqrstvwxz2456789';
  return Array.from({ length }, () => letters.charAt(Math.floor(random() * letters.length))).join('');
}
