export const GITLAB = `# Runs the cells of mk-ci.yaml in four jobs, then joins their results into one report.
stages: [test, report]

mk-ci:
  stage: test
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

mk-ci-report:
  stage: report
  image: node:20
  when: always
  timeout: 15m
  script:
    - npx --yes mk-ci merge out/*-*-* --out report
  artifacts:
    when: always
    expire_in: 1 month
    paths: [report]
`;

export const JENKINS = `// Runs every cell of mk-ci.yaml and keeps the report.
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

export const PROW = `# Presubmit for Prow; what lies in $ARTIFACTS is uploaded: the run folder, and for Spyglass and TestGrid junit_mk-ci.xml and
# junit_runner.xml with the phases Up, Test and Down as kubetest2 leaves them.
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

export const TEKTON = `# A Task that runs every cell of mk-ci.yaml on the sources in its workspace.
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
