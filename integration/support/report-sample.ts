/** A run with a bit of everything, made up for tests and pictures of the report. Nothing random: the same every time. */

import type { CellResult, Phase, RunResult, Status, TestAttempt, TestResult } from '../../src/results/model.js';
import type { ReadEvent } from '../../src/results/events.js';
import type { HistoryOf, Report } from '../../src/report/index.js';

const START = Date.UTC(2026, 8, 14, 9, 30, 0);
const at = (seconds: number): string => new Date(START + seconds * 1000).toISOString();

/** `I0914 09:30:12.345678    2201 file.go:12] text` */
export function klog(letter: string, seconds: number, text: string, file = 'reconciler.go:224'): string {
  const time = new Date(START + Math.round(seconds * 1000));
  const clock = time.toISOString().slice(11, 23);
  return `${letter}0914 ${clock}678    2201 ${file}] ${text}`;
}

export const HOSTILE_NAME = 'TestEscapes/<img_src=x_onerror=alert(1)>\u202Egnp.exe';
export const HOSTILE_LINE =
  '    escape_test.go:9: </script><script>document.title="owned"</script> \u202Eevil \u0007 & "quotes"';

const ENVIRONMENTS = ['local-v1.36', 'docker-containerd-v1.36', 'docker-crio-v1.36'] as const;
const PACKAGE = 'example.com/shop/test/e2e';

function attempt(status: Status, extra: Partial<TestAttempt> = {}): TestAttempt {
  return { attempt: 1, status, cellAttempt: 1, durationMs: 1_240, ...extra };
}

function test(name: string, attempts: readonly TestAttempt[], extra: Partial<TestResult> = {}): TestResult {
  const status = attempts.at(-1)?.status ?? 'notrun';
  const flaky = attempts.some((one) => one.status === 'passed') && attempts.some((one) => one.status === 'failed');
  return { id: { package: PACKAGE, name }, attempts, status, flaky, ...extra };
}

const CONNECTION_FAILURE = {
  message: 'functional_test.go:214: expected status 200 from /checkout, got 503 after 2m0s',
  text: [
    '    functional_test.go:201: waiting 2m0s for pods matching "app=checkout"',
    '    functional_test.go:214: expected status 200 from /checkout, got 503 after 2m0s',
    '        -- stdout --',
    '        upstream connect error or disconnect/reset before headers. reset reason: connection failure',
    '        -- /stdout --',
  ].join('\n'),
  kind: 'assertion' as const,
  file: 'functional_test.go',
  line: 214,
};

const PANIC = {
  message: 'panic: runtime error: invalid memory address or nil pointer dereference',
  text: [
    'panic: runtime error: invalid memory address or nil pointer dereference [recovered]',
    '[signal SIGSEGV: segmentation violation code=0x1 addr=0x18 pc=0x5f3a21]',
    '',
    'goroutine 87 [running]:',
    'testing.tRunner.func1.2({0x6b2f20, 0x8a1c30})',
    '\t/usr/lib/go/src/testing/testing.go:1734 +0x21c',
    'example.com/shop/test/e2e.(*cart).Total(0x0)',
    '\t/src/test/e2e/cart_test.go:41 +0x11',
  ].join('\n'),
  kind: 'panic' as const,
  file: 'cart_test.go',
  line: 41,
};

function cell(environment: string, suite: string, startSeconds: number, tests: readonly TestResult[]): CellResult {
  const bad = tests.some(({ status }) => status !== 'passed' && status !== 'skipped');
  return {
    id: `${environment}.${suite}`,
    environment,
    suite,
    attempts: [
      {
        attempt: 1,
        command: ['go', 'test', '-json', `./test/${suite}/...`],
        format: 'go-json',
        startedAt: at(startSeconds),
        durationMs: 184_000,
        exitCode: bad ? 1 : 0,
      },
    ],
    tests,
    packages: [{ package: PACKAGE, status: bad ? 'failed' : 'passed', durationMs: 183_000 }],
    repairs:
      suite === 'e2e' && environment === 'local-v1.36'
        ? [
            {
              kind: 'glued-marker',
              message: 'a result stood at the end of an unfinished line',
              line: 909,
              test: { package: PACKAGE, name: 'TestAddons/parallel/Registry' },
            },
          ]
        : [],
    startedAt: at(startSeconds),
    durationMs: 184_000,
    status: bad ? 'failed' : 'passed',
  };
}

function endToEnd(environment: string): TestResult[] {
  const onCrio = environment.includes('crio');
  const failing = onCrio
    ? attempt('failed', { failure: CONNECTION_FAILURE, durationMs: 121_402, startedAt: at(60) })
    : attempt('passed', { durationMs: 4_180 });
  return [
    test('TestFunctional', [attempt(onCrio ? 'failed' : 'passed', { durationMs: 133_200 })]),
    test('TestFunctional/serial', [attempt('passed', { durationMs: 9_000 })]),
    test('TestFunctional/serial/StartWithProxy', [attempt('passed', { durationMs: 8_700 })]),
    test('TestFunctional/parallel', [attempt(onCrio ? 'failed' : 'passed', { durationMs: 124_000 })]),
    test('TestFunctional/parallel/CheckoutCmd', [failing], {
      file: 'functional_test.go',
      line: 188,
      owner: 'team-checkout',
    }),
    test('TestFunctional/parallel/CartCmd', [attempt('passed', { durationMs: 3_100 })]),
    test('TestAddons/parallel/Registry', [
      attempt('failed', {
        durationMs: 31_000,
        failure: { message: 'addons_test.go:88: registry not ready: context deadline exceeded', kind: 'timeout' },
      }),
      attempt('passed', { attempt: 2, durationMs: 12_300 }),
    ]),
    test('TestMountGuest', [
      attempt('skipped', { skipReason: 'mount_test.go:22: needs a driver with mounts', durationMs: 0 }),
    ]),
    ...(environment === 'docker-containerd-v1.36'
      ? [
          test('TestCartTotal', [attempt('failed', { failure: PANIC, durationMs: 12 })]),
          test('TestUpgrade', [attempt('notrun')]),
          test(HOSTILE_NAME, [
            attempt('failed', { failure: { message: HOSTILE_LINE.trim(), kind: 'assertion' }, durationMs: 3 }),
          ]),
          test('__proto__', [attempt('passed')]),
        ]
      : []),
  ];
}

function conformance(): TestResult[] {
  return Array.from({ length: 160 }, (_, index) => {
    const area = ['Pods', 'Services', 'Volumes', 'ConfigMap', 'Ingress'][index % 5] ?? '';
    return test(`Test${area}/case_${String(Math.floor(index / 5)).padStart(2, '0')}`, [
      attempt(index % 37 === 11 ? 'skipped' : 'passed', { durationMs: ((index * 7919) % 9000) + 20 }),
    ]);
  });
}

export function sampleRun(): RunResult {
  const phases: Phase[] = ENVIRONMENTS.flatMap((environment, index) => {
    const scope = `cluster:${environment}`;
    const slow = index === 0 ? 1 : 6;
    return [
      { scope, environment, name: 'create', startedAt: at(2), durationMs: 900 * slow, status: 'ok' as const },
      {
        scope,
        environment,
        name: 'control plane',
        startedAt: at(2 + slow),
        durationMs: 1_700 * slow,
        status: 'ok' as const,
      },
      {
        scope,
        environment,
        name: 'readiness',
        startedAt: at(2 + 3 * slow),
        durationMs: 1_300 * slow,
        status: 'ok' as const,
      },
      { scope, environment, name: 'delete', startedAt: at(230 + index), durationMs: 2_400, status: 'ok' as const },
    ];
  });
  return {
    runId: '20260914-093000-7f3a',
    toolVersion: '0.1.0',
    startedAt: at(0),
    endedAt: at(236),
    title: 'Shop: end-to-end and conformance',
    source: {
      repository: 'example/shop',
      commit: '4f1d2c9ab8e7710d3b6a5c4e2f1908d7c6b5a493',
      branch: 'faster-checkout',
      pullRequest: 1482,
      jobUrl: 'https://ci.example.com/jobs/99812',
    },
    environments: ENVIRONMENTS.map((name) => ({
      name,
      driver: name.split('-')[0] ?? '',
      kubernetesVersion: 'v1.36.3',
    })),
    cells: ENVIRONMENTS.flatMap((environment, index) => [
      cell(environment, 'e2e', 12 + index * 9, endToEnd(environment)),
      cell(environment, 'conformance', 14 + index * 9, conformance()),
    ]),
    phases,
    errors: [
      {
        code: 'K8S_START_TIMEOUT',
        message: 'docker-crio-v1.36: node worker-2 was not Ready within 2 min; last seen: NetworkPluginNotReady',
        advice: 'Read what was awaited and seen last; raise --timeout on a slow host.',
        environment: 'docker-crio-v1.36',
        infrastructure: false,
      },
    ],
    repairs: [],
    complete: true,
    exitCode: 1,
  };
}

/** The run before: the checkout test passed, the cart test failed. */
export function sampleRunBefore(): RunResult {
  const run = sampleRun();
  return {
    ...run,
    runId: '20260913-093000-11aa',
    title: 'Shop: nightly of main',
    cells: run.cells.map((one) => ({
      ...one,
      tests: one.tests.map((result) =>
        result.id.name === 'TestFunctional/parallel/CheckoutCmd'
          ? test(result.id.name, [attempt('passed', { durationMs: 3_900 })])
          : result.id.name === 'TestFunctional/parallel/CartCmd'
            ? test(result.id.name, [attempt('failed', { failure: PANIC, durationMs: 900 })])
            : result,
      ),
    })),
  };
}

export const sampleHistory: HistoryOf = (id, environment) => {
  if (id.name === 'TestAddons/parallel/Registry') {
    return {
      recent: 'ppfpppkppppfppppkpppfppppppkpp',
      failed: 7,
      runs: 118,
      rate: 0.059,
      low: 0.029,
      high: 0.117,
      usualMs: 12_100,
      verdict: 'known flake',
    };
  }
  if (id.name === 'TestFunctional/parallel/CheckoutCmd') {
    return {
      recent: 'p'.repeat(30),
      failed: 0,
      runs: 212,
      rate: 0,
      low: 0,
      high: 0.012,
      usualMs: 4_050,
      ...(environment.includes('crio') ? { verdict: 'caused by this change' } : {}),
    };
  }
  return undefined;
};

/** Output of the e2e suite in the CRI-O environment: interleaved subtests, a long post-mortem, colours, groups. */
export function* sampleOutput(environment: string): Generator<ReadEvent> {
  const id = (name: string): { package: string; name: string } => ({ package: PACKAGE, name });
  const line = (name: string, text: string, seconds: number): ReadEvent => ({
    type: 'output',
    test: id(name),
    text,
    at: at(seconds),
  });
  const plain = (text: string): ReadEvent => ({ type: 'output', text, at: at(12) });
  const checkout = 'TestFunctional/parallel/CheckoutCmd';
  const cart = 'TestFunctional/parallel/CartCmd';
  yield plain('::group::Set up');
  for (let step = 0; step < 12; step += 1)
    yield plain(`\u001b[32m✓\u001b[0m step ${String(step)} \u001b[2mdone\u001b[0m`);
  yield plain('::endgroup::');
  yield plain('downloading 1 %\rdownloading 50 %\rdownloading 100 %');
  yield { type: 'test-started', test: id('TestFunctional') };
  yield line('TestFunctional', '=== RUN   TestFunctional', 13);
  yield { type: 'test-started', test: id(checkout) };
  yield { type: 'test-started', test: id(cart) };
  yield line(cart, `=== RUN   ${cart}`, 14);
  yield line(checkout, `=== RUN   ${checkout}`, 14);
  for (let step = 0; step < 40; step += 1) {
    yield line(cart, `    cart_test.go:31: added item ${String(step)}`, 15 + step / 10);
    yield line(
      checkout,
      `    functional_test.go:201: waiting 2m0s for pods matching "app=checkout" (${String(step)})`,
      15 + step / 10,
    );
  }
  yield line(cart, `    --- PASS: ${cart} (3.10s)`, 19);
  yield { type: 'test-ended', test: id(cart), status: 'passed' };
  if (environment.includes('crio')) {
    yield line(checkout, '    functional_test.go:214: expected status 200 from /checkout, got 503 after 2m0s', 139);
    yield line(
      checkout,
      '    helpers_test.go:222: -----------------------post-mortem--------------------------------',
      140,
    );
    yield line(
      checkout,
      '    helpers_test.go:230: ======>  post-mortem[TestFunctional]: network settings <======',
      140,
    );
    for (let step = 0; step < 30; step += 1)
      yield line(checkout, `    HOST ENV snippets: PROXY: HTTP_PROXY="${String(step)}"`, 140);
    yield line(
      checkout,
      '    helpers_test.go:244: <<< TestFunctional/parallel/CheckoutCmd FAILED: start of post-mortem logs <<<',
      141,
    );
    yield line(checkout, '    helpers_test.go:245: ======>  post-mortem[TestFunctional]: minikube logs <======', 141);
    yield line(checkout, '        -- stdout --', 141);
    for (const [section, letter] of [
      ['kubelet', 'E'],
      ['kernel', 'I'],
      ['dmesg', 'I'],
      ['describe nodes', 'W'],
    ] as const) {
      yield line(checkout, `        \t* ==> ${section} <==`, 141);
      for (let step = 0; step < 2400; step += 1) {
        const bad = step % 97 === 3;
        yield line(
          checkout,
          `        \t* ${klog(bad ? letter : 'I', 20 + step / 20, bad ? `"Error syncing pod, skipping" err="failed to \\"StartContainer\\"" pod="shop/checkout-${String(step)}"` : `operationExecutor.VerifyControllerAttachedVolume started for volume "kube-api-access-${((step * 2654435761) >>> 8).toString(16)}"`)}`,
          141,
        );
      }
    }
    yield line(checkout, '        -- /stdout --', 142);
    yield line(
      checkout,
      '    helpers_test.go:285: <<< TestFunctional/parallel/CheckoutCmd FAILED: end of post-mortem logs <<<',
      142,
    );
    yield line(
      checkout,
      '    helpers_test.go:286: ---------------------/post-mortem---------------------------------',
      142,
    );
    yield line(checkout, `    --- FAIL: ${checkout} (121.40s)`, 143);
  } else yield line(checkout, `    --- PASS: ${checkout} (4.18s)`, 23);
  yield { type: 'test-ended', test: id(checkout), status: environment.includes('crio') ? 'failed' : 'passed' };
  for (const [occurrence, word] of [
    [1, 'FAIL'],
    [2, 'PASS'],
  ] as const) {
    const registry = 'TestAddons/parallel/Registry';
    yield { type: 'test-started', test: id(registry) };
    for (let step = 0; step < 25; step += 1)
      yield line(
        registry,
        `    addons_test.go:71: try ${String(occurrence)}: registry pod is Pending (${String(step)})`,
        144 + occurrence * 20 + step / 5,
      );
    if (word === 'FAIL')
      yield line(registry, '    addons_test.go:88: registry not ready: context deadline exceeded: timed out', 170);
    yield line(registry, `--- ${word}: ${registry} (12.30s)`, 171);
    yield { type: 'test-ended', test: id(registry), status: word === 'FAIL' ? 'failed' : 'passed' };
  }
  if (environment === 'docker-containerd-v1.36') {
    yield line(HOSTILE_NAME, HOSTILE_LINE, 172);
    yield line('TestCartTotal', PANIC.text.split('\n')[0] ?? '', 172);
    for (const text of PANIC.text.split('\n').slice(1)) yield line('TestCartTotal', text, 172);
    yield line('__proto__', '    proto_test.go:1: fine', 173);
  }
  yield { type: 'output', package: PACKAGE, text: 'FAIL', at: at(196) };
  yield { type: 'output', package: PACKAGE, text: `FAIL\t${PACKAGE}\t184.2s`, at: at(196) };
}

/** Writes the logs of the sample into a report. */
export async function addSampleLogs(report: Report): Promise<void> {
  for (const environment of ENVIRONMENTS) {
    const log = report.log({ cell: `${environment}.e2e`, attempt: 1 });
    for (const event of sampleOutput(environment)) log.add(event);
    await log.drain();
    await log.end();
    for (const component of ['kubelet', 'kube-apiserver', 'etcd']) {
      const cluster = report.clusterLog({ environment, title: `control-plane/${component}.log` });
      for (let step = 0; step < 3_000; step += 1) {
        const bad = component === 'kubelet' && step % 211 === 7;
        cluster.line(
          klog(
            bad ? 'E' : 'I',
            step / 15,
            bad
              ? '"Failed to create sandbox" err="rpc error: code = Unknown"'
              : `${component} step ${String(step)} is fine`,
          ),
        );
      }
      await cluster.drain();
      await cluster.end();
    }
  }
}
