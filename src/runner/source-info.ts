import { redactSecrets } from '../errors.js';
import type { SourceInfo } from '../results/model.js';

/** What git says of the work tree; absent parts are unknown. */
export interface GitFacts {
  readonly commit?: string;
  readonly branch?: string;
  /** URL of the remote `origin`. */
  readonly remote?: string;
  readonly dirty?: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

interface CiSystem {
  readonly isHere: (env: Env) => boolean;
  readonly read: (env: Env) => Record<keyof SourceInfo, string | undefined>;
}

/**
 * Variables by which CI systems say what is tested. Where a pull request is tested, the commit is its head where the system
 * tells it, so that results belong to the change and not to a merge made for the test.
 *
 * @see {@link https://docs.github.com/actions/reference/workflows-and-actions/variables} and
 *   {@link https://docs.gitlab.com/ci/variables/predefined_variables/}, {@link https://docs.prow.k8s.io/docs/jobs/#job-environment-variables},
 *   {@link https://www.jenkins.io/doc/book/pipeline/jenkinsfile/#using-environment-variables},
 *   {@link https://buildkite.com/docs/pipelines/configure/environment-variables},
 *   {@link https://circleci.com/docs/variables/}, {@link https://learn.microsoft.com/azure/devops/pipelines/build/variables}
 */
const CI_SYSTEMS: readonly CiSystem[] = [
  {
    isHere: (env) => env['GITHUB_ACTIONS'] === 'true',
    read: (env) => ({
      repository: env['GITHUB_REPOSITORY'],
      commit: env['MK_CI_HEAD_SHA'] ?? env['GITHUB_SHA'],
      branch: env['GITHUB_HEAD_REF'] || env['GITHUB_REF_NAME'],
      pullRequest: /^refs\/pull\/(\d+)\//.exec(env['GITHUB_REF'] ?? '')?.[1],
      jobUrl: join(env['GITHUB_SERVER_URL'], env['GITHUB_REPOSITORY'], 'actions/runs', env['GITHUB_RUN_ID']),
      dirty: undefined,
    }),
  },
  {
    isHere: (env) => env['GITLAB_CI'] === 'true',
    read: (env) => ({
      repository: env['CI_PROJECT_PATH'],
      commit: env['CI_MERGE_REQUEST_SOURCE_BRANCH_SHA'] || env['CI_COMMIT_SHA'],
      branch: env['CI_MERGE_REQUEST_SOURCE_BRANCH_NAME'] ?? env['CI_COMMIT_REF_NAME'],
      pullRequest: env['CI_MERGE_REQUEST_IID'],
      jobUrl: env['CI_JOB_URL'],
      dirty: undefined,
    }),
  },
  {
    isHere: (env) => env['PROW_JOB_ID'] !== undefined,
    read: (env) => ({
      repository: join(env['REPO_OWNER'], env['REPO_NAME']),
      commit: env['PULL_PULL_SHA'] ?? env['PULL_BASE_SHA'],
      branch: env['PULL_HEAD_REF'] ?? env['PULL_BASE_REF'],
      pullRequest: env['PULL_NUMBER'],
      jobUrl: env['JOB_URL'],
      dirty: undefined,
    }),
  },
  {
    isHere: (env) => env['BUILDKITE'] === 'true',
    read: (env) => ({
      repository: env['BUILDKITE_REPO'],
      commit: env['BUILDKITE_COMMIT'],
      branch: env['BUILDKITE_BRANCH'],
      pullRequest: env['BUILDKITE_PULL_REQUEST'],
      jobUrl: env['BUILDKITE_BUILD_URL'],
      dirty: undefined,
    }),
  },
  {
    isHere: (env) => env['CIRCLECI'] === 'true',
    read: (env) => ({
      repository: join(env['CIRCLE_PROJECT_USERNAME'], env['CIRCLE_PROJECT_REPONAME']),
      commit: env['CIRCLE_SHA1'],
      branch: env['CIRCLE_BRANCH'],
      pullRequest: env['CIRCLE_PULL_REQUEST']?.split('/').at(-1),
      jobUrl: env['CIRCLE_BUILD_URL'],
      dirty: undefined,
    }),
  },
  {
    isHere: (env) => env['TF_BUILD'] !== undefined,
    read: (env) => ({
      repository: env['BUILD_REPOSITORY_NAME'],
      commit: env['SYSTEM_PULLREQUEST_SOURCECOMMITID'] ?? env['BUILD_SOURCEVERSION'],
      branch: (env['SYSTEM_PULLREQUEST_SOURCEBRANCH'] ?? env['BUILD_SOURCEBRANCH'])?.replace(/^refs\/heads\//, ''),
      pullRequest: env['SYSTEM_PULLREQUEST_PULLREQUESTNUMBER'] ?? env['SYSTEM_PULLREQUEST_PULLREQUESTID'],
      jobUrl: join(
        env['SYSTEM_TEAMFOUNDATIONCOLLECTIONURI']?.replace(/\/$/, ''),
        env['SYSTEM_TEAMPROJECT'],
        env['BUILD_BUILDID'] === undefined ? undefined : `_build/results?buildId=${env['BUILD_BUILDID']}`,
      ),
      dirty: undefined,
    }),
  },
  {
    isHere: (env) => env['JENKINS_URL'] !== undefined || env['JENKINS_HOME'] !== undefined,
    read: (env) => ({
      repository: env['GIT_URL'],
      commit: env['GIT_COMMIT'],
      branch: env['CHANGE_BRANCH'] ?? env['BRANCH_NAME'] ?? env['GIT_BRANCH']?.replace(/^origin\//, ''),
      pullRequest: env['CHANGE_ID'],
      jobUrl: env['BUILD_URL'],
      dirty: undefined,
    }),
  },
];

/** Where the code under test comes from: what the CI system says, filled up from git. Unknown is left out. */
export function sourceInfo(env: Env, git: GitFacts): SourceInfo {
  const ci = CI_SYSTEMS.find((system) => system.isHere(env))?.read(env);
  const repository = ci?.repository || git.remote;
  const commit = ci?.commit || git.commit;
  const branch = ci?.branch || git.branch;
  const pullRequest = Number(ci?.pullRequest);
  return {
    ...(repository ? { repository: repositoryName(repository) } : {}),
    ...(commit ? { commit } : {}),
    ...(branch && branch !== 'HEAD' ? { branch } : {}),
    ...(Number.isInteger(pullRequest) && pullRequest > 0 ? { pullRequest } : {}),
    ...(ci?.jobUrl ? { jobUrl: redactSecrets(ci.jobUrl) } : {}),
    ...(git.dirty === undefined ? {} : { dirty: git.dirty }),
  };
}

/** `owner/name` of a GitHub URL; any other URL without credentials and `.git`. */
export function repositoryName(remote: string): string {
  const github = /^(?:https?:\/\/(?:[^@/]*@)?|ssh:\/\/(?:[^@/]*@)?|git@)github\.com[/:](.+?)(?:\.git)?\/?$/.exec(
    remote,
  );
  if (github?.[1] !== undefined) return github[1];
  return remote.replace(/^([a-z+]+:\/\/)[^@/]*@/, '$1').replace(/\.git\/?$/, '');
}

function join(...parts: readonly (string | undefined)[]): string | undefined {
  return parts.every((part) => part) ? parts.join('/') : undefined;
}
