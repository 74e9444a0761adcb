import { ERROR_CATALOGUE, type ErrorEntry } from './errors.js';

const ORIGINS: Readonly<Record<string, string>> = {
  CLI: 'Command line',
  CFG: 'Configuration',
  RES: 'Test outputs',
  HOST: 'This host',
  BND: 'Bundles of Kubernetes programs',
  DRV: 'Drivers',
  NET: 'Network',
  K8S: 'Clusters',
  RUN: 'Runs',
  RPT: 'Reports',
  DB: 'Flake database',
  SRV: 'Server of the dashboard',
  GH: 'GitHub',
};

/** `docs/reference/errors.md`: the catalogue as tables, one for each origin. */
export function renderErrorReference(): string {
  const entries: [string, ErrorEntry][] = Object.entries(ERROR_CATALOGUE);
  const origins = [...new Set(entries.map(([code]) => originOf(code)))];
  const sections = origins.flatMap((origin) => [
    `## ${ORIGINS[origin] ?? origin}`,
    '',
    '| Code | Meaning | Exit code | What to do |',
    '| --- | --- | --- | --- |',
    ...entries
      .filter(([code]) => originOf(code) === origin)
      .map(([code, entry]) => `| \`${code}\` | ${entry.summary} | ${entry.exitCode} | ${entry.advice} |`),
    '',
  ]);
  return [
    '# Errors and exit codes',
    '',
    'Generated from `src/errors.ts` by `npm run generate`; do not edit.',
    '',
    'A run exits with 0 when all tests passed (a flaky test counts as passed unless `--fail-on-flaky` is given), with 1 when',
    'tests failed, with 128 + n when it was ended by signal n, and otherwise with the code below. The tens tell the origin: 10 the',
    'program and its input, 30 the host, 50 a driver, 70 the local network, 100 the control plane, 110 a service elsewhere.',
    '',
    ...sections,
  ].join('\n');
}

function originOf(code: string): string {
  return code.split('_')[0] ?? code;
}
