import { isBad, type Phase, type RunResult } from '../model.js';

import { xmlAttributes, xmlText } from './xml-text.js';

interface Step {
  readonly name: 'Up' | 'Test' | 'Down';
  readonly environment: string;
  readonly seconds: number;
  readonly failure?: string;
}

/** Phases of a cluster's end; all others belong to its start. */
const DOWN = new Set(['stop', 'delete']);

/**
 * `junit_runner.xml` as kubetest2 leaves it: how long the cluster took `Up`, the tests `Test` and the cluster `Down`, so that
 * TestGrid and Spyglass show the same rows for a job that switched. kubetest2 knows one cluster; the environment is the
 * class name here. Pure.
 *
 * @see {@link https://github.com/kubernetes-sigs/kubetest2/blob/master/pkg/app/app.go} for suite and step names
 */
export function renderKubetest2Junit(run: RunResult): string {
  const names = [...new Set(run.cells.map(({ environment }) => environment))].sort();
  const steps = names.flatMap((environment) => stepsOf(run, environment));
  const cases = steps.map(
    ({ name, environment, seconds, failure }) =>
      `    <testcase${xmlAttributes({ classname: environment, name, time: seconds.toFixed(3) })}>${failure === undefined ? '' : `<failure>${xmlText(failure)}</failure>`}</testcase>\n`,
  );
  const attributes = {
    name: 'kubetest2',
    tests: steps.length,
    failures: steps.filter(({ failure }) => failure !== undefined).length,
    time: steps.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(3),
  };
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n  <testsuite${xmlAttributes(attributes)}>\n${cases.join('')}  </testsuite>\n</testsuites>\n`;
}

function stepsOf(run: RunResult, environment: string): Step[] {
  const phases = run.phases.filter((phase) => phase.environment === environment && phase.scope.startsWith('cluster:'));
  const cells = run.cells.filter((cell) => cell.environment === environment);
  const bad = cells.filter(({ status }) => isBad(status));
  const wasTested = cells.some(({ attempts }) => attempts.length > 0);
  const test: Step = {
    name: 'Test',
    environment,
    seconds: spanSeconds(cells),
    ...(bad.length === 0 ? {} : { failure: bad.map(({ id, status }) => `${id}: ${status}`).join('\n') }),
  };
  return [
    ...stepOfPhases(
      'Up',
      environment,
      phases.filter(({ name }) => !DOWN.has(name)),
    ),
    ...(wasTested ? [test] : []),
    ...stepOfPhases(
      'Down',
      environment,
      phases.filter(({ name }) => DOWN.has(name)),
    ),
  ];
}

/** Phases overlap: the time is from the first start to the last end. */
function stepOfPhases(name: Step['name'], environment: string, phases: readonly Phase[]): Step[] {
  if (phases.length === 0) return [];
  const failed = phases.filter(({ status }) => status !== 'ok');
  return [
    {
      name,
      environment,
      seconds: spanSeconds(phases),
      ...(failed.length === 0
        ? {}
        : { failure: failed.map((phase) => `${phase.name}: ${phase.message ?? phase.status}`).join('\n') }),
    },
  ];
}

function spanSeconds(parts: readonly { readonly startedAt?: string; readonly durationMs?: number }[]): number {
  const spans = parts.flatMap(({ startedAt, durationMs = 0 }) => {
    const from = startedAt === undefined ? Number.NaN : Date.parse(startedAt);
    return Number.isNaN(from) ? [] : [[from, from + durationMs] as const];
  });
  if (spans.length === 0) return 0;
  const from = spans.reduce((least, [start]) => Math.min(least, start), Infinity);
  const to = spans.reduce((most, [, end]) => Math.max(most, end), 0);
  return (to - from) / 1_000;
}
