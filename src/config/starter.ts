/** What `mk-ci init` looks at to suggest suites. */
export interface ProjectFacts {
  /** There is a `go.mod`. */
  readonly hasGoModule: boolean;
  /** Test runners among the dependencies of `package.json`. */
  readonly javascriptRunners: readonly ('vitest' | 'jest' | 'playwright')[];
  /** There is a `pyproject.toml`, `pytest.ini` or `requirements.txt`. */
  readonly hasPython: boolean;
}

interface StarterSuite {
  readonly name: string;
  readonly lines: readonly string[];
}

const JAVASCRIPT_SUITES: Readonly<Record<'vitest' | 'jest' | 'playwright', StarterSuite>> = {
  vitest: {
    name: 'vitest',
    lines: [
      'command: npx vitest run --reporter=default --reporter=json --outputFile.json="$ARTIFACTS/vitest.json"',
      'results: vitest.json',
    ],
  },
  jest: { name: 'jest', lines: ['command: npx jest --json --outputFile="$ARTIFACTS/jest.json"', 'results: jest.json'] },
  playwright: {
    name: 'playwright',
    lines: ['command: npx playwright test --reporter=json', 'format: playwright-json'],
  },
};

/** A commented `mk-ci.yaml` for a project. Pure; what it gives is a valid configuration, whatever the facts. */
export function renderStarterConfig(facts: ProjectFacts): string {
  const suites: StarterSuite[] = [];
  if (facts.hasGoModule) {
    suites.push({ name: 'go', lines: ['command: go test -json ./...', 'format: go-json'] });
  }
  suites.push(...facts.javascriptRunners.map((runner) => JAVASCRIPT_SUITES[runner]));
  if (facts.hasPython) {
    suites.push({
      name: 'pytest',
      lines: ['command: python3 -m pytest --junitxml="$ARTIFACTS/junit.xml"', 'results: junit.xml'],
    });
  }
  if (suites.length === 0) {
    suites.push({
      name: 'smoke',
      lines: [
        '# Replace this by your tests. A suite finds its cluster through $KUBECONFIG.',
        "command: kubectl get --raw /readyz >&2 && printf '1..1\\nok 1 - the API server is ready\\n'",
        'format: tap',
      ],
    });
  }
  return [
    '# Configuration of mk-ci. Every key: docs/reference/configuration.md of mk-ci.',
    'version: 1',
    '',
    '# Kubernetes version of environments that name none.',
    'kubernetes: v1.36.3',
    '',
    '# Where suites run. Every list is an axis of the matrix.',
    'environments:',
    '  - driver: local # a real control plane as processes of this host; nodes are simulated',
    '    nodes: 1',
    '',
    '# What runs there. A command gets KUBECONFIG, ARTIFACTS (a folder of its own) and kubectl in PATH.',
    'suites:',
    ...suites.flatMap(({ name, lines }) => [
      `  - name: ${name}`,
      ...lines.map((line) => `    ${line}`),
      '    timeoutMinutes: 30',
      '    retries: 1 # failed tests only, where the tool can select them',
    ]),
    '',
    '# Every attempt of every test is recorded here.',
    'flake:',
    '  database: .mk-ci/flake.db',
    '',
  ].join('\n');
}
