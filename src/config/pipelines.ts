/** CI systems that `mk-ci init --ci` writes a pipeline for. */
export const CI_SYSTEMS = ['github', 'gitlab', 'jenkins', 'prow', 'tekton'] as const;
export type CiSystem = (typeof CI_SYSTEMS)[number];

export interface PipelineFile {
  /** Relative to the root of the project. */
  readonly path: string;
  readonly text: string;
}

/** Version tags of these commits are beside each use. */
const ACTIONS = {
  checkout: 'actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0',
  setupNode: 'actions/setup-node@2028fbc5c25fe9cf00d9f06a71cc4710d4507903 # v6.0.0',
  upload: 'actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2',
} as const;

/** Pipelines that run every cell, keep the run folder and report. Pure. */
export function renderPipeline(system: CiSystem): PipelineFile[] {
  switch (system) {
    case 'github':
      return [
        { path: '.github/workflows/mk-ci.yml', text: githubTests() },
        { path: '.github/workflows/mk-ci-report.yml', text: githubReport() },
      ];
    case 'gitlab':
      return [{ path: '.gitlab-ci.yml', text: GITLAB }];
    case 'jenkins':
      return [{ path: 'Jenkinsfile', text: JENKINS }];
    case 'prow':
      return [{ path: '.prow/mk-ci.yaml', text: PROW }];
    case 'tekton':
      return [{ path: '.tekton/mk-ci.yaml', text: TEKTON }];
    default:
      return system satisfies never;
  }
}

function githubTests(): string {
  return `# Runs every cell of mk-ci.yaml, spread over machines. Needs no secret and only reads: it is safe for forks.
name: mk-ci

on:
  push:
    branches: [main]
  pull_request:

permissions:
  contents: read

concurrency:
  group: mk-ci-\${{ github.ref }}
  cancel-in-progress: \${{ github.event_name == 'pull_request' }}

jobs:
  plan:
    runs-on: ubuntu-latest
    timeout-minutes: 10
    outputs:
      matrix: \${{ steps.matrix.outputs.matrix }}
    steps:
      - uses: ${ACTIONS.checkout}
        with:
          persist-credentials: false
      - uses: ${ACTIONS.setupNode}
        with:
          node-version: '20.20'
      - id: matrix
        run: echo "matrix=$(npx --yes mk-ci matrix --jobs 10)" >> "$GITHUB_OUTPUT"

  test:
    needs: plan
    runs-on: ubuntu-latest
    timeout-minutes: \${{ matrix.timeoutMinutes }}
    strategy:
      fail-fast: false
      matrix: \${{ fromJSON(needs.plan.outputs.matrix) }}
    steps:
      - uses: ${ACTIONS.checkout}
        with:
          persist-credentials: false
      - uses: ${ACTIONS.setupNode}
        with:
          node-version: '20.20'
      - run: npx --yes mk-ci run --out out --cell "$CELLS"
        env:
          CELLS: \${{ matrix.cells }}
      - if: \${{ !cancelled() }}
        run: npx --yes mk-ci github summary out/latest --key "$NAME"
        env:
          NAME: \${{ matrix.name }}
      - if: \${{ !cancelled() }}
        uses: ${ACTIONS.upload}
        with:
          name: mk-ci-\${{ matrix.name }}
          path: |
            out
            !out/latest
          retention-days: 7
`;
}

function githubReport(): string {
  return `# Comments on the pull request. Runs with code and permissions of the default branch after the tests, so that it works
# for forks; what the tests left is read as data, never run.
name: mk-ci-report

on:
  workflow_run:
    workflows: [mk-ci]
    types: [completed]

permissions:
  contents: read

concurrency:
  group: mk-ci-report-\${{ github.event.workflow_run.head_sha }}

jobs:
  report:
    if: github.event.workflow_run.event == 'pull_request' && github.event.workflow_run.conclusion != 'cancelled'
    runs-on: ubuntu-latest
    timeout-minutes: 15
    permissions:
      actions: read
      contents: read
      pull-requests: write
    steps:
      - uses: ${ACTIONS.checkout}
        with:
          persist-credentials: false
      - uses: ${ACTIONS.setupNode}
        with:
          node-version: '20.20'
      - run: gh run download "$RUN_ID" --repo "$GITHUB_REPOSITORY" --dir shards
        env:
          GH_TOKEN: \${{ github.token }}
          RUN_ID: \${{ github.event.workflow_run.id }}
      - run: npx --yes mk-ci github comment shards/*/*
        env:
          GITHUB_TOKEN: \${{ github.token }}
`;
}

const GITLAB = `# Runs the cells of mk-ci.yaml in four jobs.
mk-ci:
  image: node:20
  parallel: 4
  timeout: 1h
  script:
    - npx --yes mk-ci run --out out --shard "$CI_NODE_INDEX/$CI_NODE_TOTAL"
  artifacts:
    when: always
    expire_in: 1 week
    paths: [out]
    reports:
      junit: out/*/junit.xml
`;

const JENKINS = `// Runs every cell of mk-ci.yaml and keeps the report.
pipeline {
  agent any
  options {
    timeout(time: 1, unit: 'HOURS')
    disableConcurrentBuilds(abortPrevious: true)
  }
  stages {
    stage('mk-ci') {
      steps {
        sh 'npx --yes mk-ci run --out out'
      }
    }
  }
  post {
    always {
      junit testResults: 'out/*/junit.xml', allowEmptyResults: true
      archiveArtifacts artifacts: 'out/**', allowEmptyArchive: true
    }
    cleanup {
      sh 'npx --yes mk-ci gc --yes'
    }
  }
}
`;

const PROW = `# Presubmit for Prow; $ARTIFACTS is uploaded by pod-utils, with started.json and finished.json of the run inside.
presubmits:
  - name: pull-mk-ci
    decorate: true
    always_run: true
    decoration_config:
      timeout: 1h
      grace_period: 5m
    spec:
      containers:
        - image: node:20
          command: [sh, -c]
          args:
            - npx --yes mk-ci run --out "$ARTIFACTS"
          resources:
            requests:
              cpu: "2"
              memory: 4Gi
            limits:
              cpu: "2"
              memory: 4Gi
`;

const TEKTON = `# A Task that runs every cell of mk-ci.yaml on the sources in its workspace.
apiVersion: tekton.dev/v1
kind: Task
metadata:
  name: mk-ci
spec:
  workspaces:
    - name: source
  stepTemplate:
    workingDir: $(workspaces.source.path)
  steps:
    - name: run
      image: node:20
      timeout: 1h
      script: |
        #!/bin/sh
        set -eu
        npx --yes mk-ci run --out out
`;
