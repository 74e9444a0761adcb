/** Looked up beside the tag in public workflows; the tag of each commit is beside its use. */
const CHECKOUT = `- uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
        with:
          persist-credentials: false`;
const SETUP_NODE = `- uses: actions/setup-node@2028fbc5c25fe9cf00d9f06a71cc4710d4507903 # v6.0.0
        with:
          node-version: '20.20'`;
const UPLOAD = 'actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2';
/** Branch that holds nothing but the flake database. */
const DATABASE_BRANCH = 'mk-ci-data';

/** Brings the flake database of its branch into `flake.db`; without one the first run starts empty. */
const FETCH_DATABASE = `- run: |
          gh auth setup-git
          if git ls-remote --exit-code --heads "$DATA_URL" ${DATABASE_BRANCH}; then
            git clone --depth 1 --branch ${DATABASE_BRANCH} "$DATA_URL" data
            cp data/flake.db flake.db
          fi
        env:
          DATA_URL: \${{ github.server_url }}/\${{ github.repository }}
          GH_TOKEN: \${{ github.token }}`;

export function githubTests(): string {
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
      ${CHECKOUT}
      ${SETUP_NODE}
      - id: matrix
        run: |
          npx --yes mk-ci matrix --jobs 10 > matrix.json
          echo "matrix=$(cat matrix.json)" >> "$GITHUB_OUTPUT"
      - uses: ${UPLOAD}
        with:
          name: mk-ci-plan
          path: matrix.json
          retention-days: 7

  test:
    needs: plan
    runs-on: ubuntu-latest
    timeout-minutes: \${{ matrix.timeoutMinutes }}
    strategy:
      fail-fast: false
      matrix: \${{ fromJSON(needs.plan.outputs.matrix) }}
    env:
      MK_CI_HEAD_SHA: \${{ github.event.pull_request.head.sha || github.sha }}
    steps:
      ${CHECKOUT}
      ${SETUP_NODE}
      - run: npx --yes mk-ci run --out out --cell "$CELLS"
        env:
          CELLS: \${{ matrix.cells }}
      - if: \${{ !cancelled() }}
        run: npx --yes mk-ci github summary out/latest --key "$NAME"
        env:
          NAME: \${{ matrix.name }}
      - if: \${{ !cancelled() }}
        uses: ${UPLOAD}
        with:
          name: mk-ci-\${{ matrix.name }}
          path: |
            out
            !out/latest
          retention-days: 7
`;
}

export function githubReport(): string {
  return `# After the tests, with code and permissions of the default branch, so that it works for pull requests of forks. What the
# tests left was written by strangers: it is read as data and never run, and only results of the default branch are recorded.
name: mk-ci-report

on:
  workflow_run:
    workflows: [mk-ci]
    types: [completed]

permissions:
  contents: read

jobs:
  comment:
    if: github.event.workflow_run.event == 'pull_request' && github.event.workflow_run.conclusion != 'cancelled'
    runs-on: ubuntu-latest
    timeout-minutes: 15
    concurrency:
      group: mk-ci-comment-\${{ github.event.workflow_run.head_repository.full_name }}-\${{ github.event.workflow_run.head_branch }}
    permissions:
      actions: read
      contents: read
      pull-requests: write
    steps:
      ${CHECKOUT}
      ${SETUP_NODE}
      ${FETCH_DATABASE}
      - run: |
          gh run download "$RUN_ID" --repo "$GITHUB_REPOSITORY" --dir shards
          find shards -type l -delete
        env:
          GH_TOKEN: \${{ github.token }}
          RUN_ID: \${{ github.event.workflow_run.id }}
      - run: npx --yes mk-ci github comment shards/mk-ci-[0-9]* --plan shards/mk-ci-plan/matrix.json --database flake.db
        env:
          GITHUB_TOKEN: \${{ github.token }}

  record:
    if: github.event.workflow_run.event == 'push' && github.event.workflow_run.conclusion != 'cancelled'
    runs-on: ubuntu-latest
    timeout-minutes: 15
    permissions:
      actions: read
      contents: write
      issues: write
    env:
      GH_TOKEN: \${{ github.token }}
    steps:
      ${CHECKOUT}
      ${SETUP_NODE}
      - run: |
          gh run download "$RUN_ID" --repo "$GITHUB_REPOSITORY" --dir shards
          find shards -type l -delete
          npx --yes mk-ci merge shards/mk-ci-[0-9]*/*/ --out merged
        env:
          RUN_ID: \${{ github.event.workflow_run.id }}
      # Another run may record at the same time: whoever comes second takes the newer database and adds to that one.
      - run: |
          gh auth setup-git
          for attempt in 1 2 3 4 5; do
            rm -rf data
            git init --quiet --initial-branch ${DATABASE_BRANCH} data
            old=$(git ls-remote "$DATA_URL" refs/heads/${DATABASE_BRANCH} | cut -f 1)
            if [ -n "$old" ]; then
              git -C data fetch --quiet --depth 1 "$DATA_URL" "$old"
              git -C data show FETCH_HEAD:flake.db > data/flake.db
            fi
            npx --yes mk-ci flake record merged/*/ --database data/flake.db --commit "$SHA" --branch "$BRANCH"
            git -C data add flake.db
            git -C data -c user.name=mk-ci -c user.email=mk-ci@users.noreply.github.com commit --quiet --message "Results of $SHA"
            if git -C data push --quiet --force-with-lease="${DATABASE_BRANCH}:$old" "$DATA_URL" HEAD:refs/heads/${DATABASE_BRANCH}; then
              exit 0
            fi
            sleep $((attempt * 2))
          done
          exit 1
        env:
          DATA_URL: \${{ github.server_url }}/\${{ github.repository }}
          SHA: \${{ github.event.workflow_run.head_sha }}
          BRANCH: \${{ github.event.workflow_run.head_branch }}
      - run: npx --yes mk-ci github issues --database data/flake.db
        env:
          GITHUB_TOKEN: \${{ github.token }}
`;
}

export function githubChat(): string {
  return `# Does what comments on pull requests ask for: /retest /flake-status /quarantine /ok-to-test. Runs code of the default
# branch only; who may do what is checked by mk-ci.
name: mk-ci-chat

on:
  issue_comment:
    types: [created]

permissions:
  contents: read

concurrency:
  group: mk-ci-chat-\${{ github.event.comment.id }}

jobs:
  chat:
    if: github.event.issue.pull_request && contains(github.event.comment.body, '/')
    runs-on: ubuntu-latest
    timeout-minutes: 10
    permissions:
      actions: write # /retest, /ok-to-test
      contents: write # the branch of /quarantine
      issues: write # reactions and labels
      pull-requests: write # answers
    steps:
      ${CHECKOUT}
      ${SETUP_NODE}
      ${FETCH_DATABASE}
      - run: npx --yes mk-ci github chat --database flake.db
        env:
          GITHUB_TOKEN: \${{ github.token }}
`;
}
