/** What a CI system says of the job in its environment variables. */
export interface CiSource {
  /** Name of the system. */
  readonly system: string;
  readonly repository?: string;
  readonly commit?: string;
  readonly branch?: string;
  readonly pullRequest?: number;
  readonly url?: string;
  /** Identity of the job's execution, the same in each of its steps and another after a rerun. */
  readonly ciRun?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

interface CiSystem {
  readonly system: string;
  /** Variable that only this system sets. */
  readonly marker: string;
  readonly repository: (env: Environment) => string | undefined;
  readonly commit: (env: Environment) => string | undefined;
  readonly branch: (env: Environment) => string | undefined;
  readonly pullRequest: (env: Environment) => string | undefined;
  readonly url: (env: Environment) => string | undefined;
  /** Parts that together are the identity of a job's execution. */
  readonly run: (env: Environment) => readonly (string | undefined)[];
}

/** Ordered: Prow sets variables that look like Jenkins's. Names from the reference page of each system. */
const SYSTEMS: readonly CiSystem[] = [
  {
    system: 'github-actions',
    marker: 'GITHUB_ACTIONS',
    repository: (env) => env['GITHUB_REPOSITORY'],
    commit: (env) => env['GITHUB_SHA'],
    branch: (env) => env['GITHUB_HEAD_REF'] || env['GITHUB_REF_NAME'],
    pullRequest: (env) => /^refs\/pull\/(\d+)\//.exec(env['GITHUB_REF'] ?? '')?.[1],
    url: (env) => joined('/', env['GITHUB_SERVER_URL'], env['GITHUB_REPOSITORY'], 'actions/runs', env['GITHUB_RUN_ID']),
    run: (env) => [
      env['GITHUB_SERVER_URL'],
      env['GITHUB_REPOSITORY'],
      env['GITHUB_RUN_ID'],
      env['GITHUB_RUN_ATTEMPT'],
      env['GITHUB_JOB'],
    ],
  },
  {
    system: 'prow',
    marker: 'PROW_JOB_ID',
    repository: (env) => joined('/', env['REPO_OWNER'], env['REPO_NAME']),
    commit: (env) => env['PULL_PULL_SHA'] || env['PULL_BASE_SHA'],
    branch: (env) => env['PULL_BASE_REF'],
    pullRequest: (env) => env['PULL_NUMBER'],
    url: (env) => env['JOB_URL'],
    run: (env) => [env['JOB_NAME'], env['BUILD_ID'], env['PROW_JOB_ID']],
  },
  {
    system: 'gitlab',
    marker: 'GITLAB_CI',
    repository: (env) => env['CI_PROJECT_PATH'],
    commit: (env) => env['CI_COMMIT_SHA'],
    branch: (env) => env['CI_COMMIT_REF_NAME'],
    pullRequest: (env) => env['CI_MERGE_REQUEST_IID'],
    url: (env) => env['CI_JOB_URL'],
    run: (env) => [env['CI_SERVER_HOST'], env['CI_JOB_ID']],
  },
  {
    system: 'buildkite',
    marker: 'BUILDKITE',
    repository: (env) => repositoryOfUrl(env['BUILDKITE_REPO']),
    // HEAD, where somebody started the build by hand: runs of different code would be one commit.
    commit: (env) => (env['BUILDKITE_COMMIT'] === 'HEAD' ? undefined : env['BUILDKITE_COMMIT']),
    branch: (env) => env['BUILDKITE_BRANCH'],
    pullRequest: (env) => env['BUILDKITE_PULL_REQUEST'],
    url: (env) => env['BUILDKITE_BUILD_URL'],
    run: (env) => [env['BUILDKITE_JOB_ID'], env['BUILDKITE_RETRY_COUNT']],
  },
  {
    system: 'circleci',
    marker: 'CIRCLECI',
    repository: (env) => joined('/', env['CIRCLE_PROJECT_USERNAME'], env['CIRCLE_PROJECT_REPONAME']),
    commit: (env) => env['CIRCLE_SHA1'],
    branch: (env) => env['CIRCLE_BRANCH'],
    pullRequest: (env) => /\/(\d+)$/.exec(env['CIRCLE_PULL_REQUEST'] ?? '')?.[1],
    url: (env) => env['CIRCLE_BUILD_URL'],
    run: (env) => [env['CIRCLE_WORKFLOW_ID'], env['CIRCLE_WORKFLOW_JOB_ID'], env['CIRCLE_NODE_INDEX']],
  },
  {
    system: 'azure-pipelines',
    marker: 'TF_BUILD',
    repository: (env) => env['BUILD_REPOSITORY_NAME'],
    commit: (env) => env['SYSTEM_PULLREQUEST_SOURCECOMMITID'] || env['BUILD_SOURCEVERSION'],
    // Of a pull request the second one is refs/pull/5/merge.
    branch: (env) =>
      (env['SYSTEM_PULLREQUEST_SOURCEBRANCH'] || env['BUILD_SOURCEBRANCH'])?.replace(/^refs\/heads\//, ''),
    pullRequest: (env) => env['SYSTEM_PULLREQUEST_PULLREQUESTNUMBER'] || env['SYSTEM_PULLREQUEST_PULLREQUESTID'],
    url: (env) =>
      env['SYSTEM_COLLECTIONURI'] === undefined
        ? undefined
        : `${env['SYSTEM_COLLECTIONURI']}${env['SYSTEM_TEAMPROJECT'] ?? ''}/_build/results?buildId=${env['BUILD_BUILDID'] ?? ''}`,
    run: (env) => [
      env['SYSTEM_COLLECTIONURI'],
      env['SYSTEM_TEAMPROJECT'],
      env['BUILD_BUILDID'],
      env['SYSTEM_JOBID'],
      env['SYSTEM_JOBATTEMPT'],
    ],
  },
  {
    system: 'jenkins',
    marker: 'JENKINS_URL',
    repository: (env) => repositoryOfUrl(env['GIT_URL']),
    commit: (env) => env['GIT_COMMIT'],
    // The git plugin names its remote too.
    branch: (env) => env['CHANGE_BRANCH'] || env['BRANCH_NAME'] || env['GIT_BRANCH']?.replace(/^origin\//, ''),
    pullRequest: (env) => env['CHANGE_ID'],
    url: (env) => env['BUILD_URL'],
    run: (env) => [env['JENKINS_URL'], env['BUILD_TAG']],
  },
];

/** The job that this process runs in, or `undefined` outside of the systems known. Pure. */
export function ciSourceOf(env: Environment): CiSource | undefined {
  const system = SYSTEMS.find(({ marker }) => (env[marker] ?? '') !== '');
  if (system === undefined) return undefined;
  const text = (value: string | undefined): string | undefined => (value === '' ? undefined : value);
  const repository = text(system.repository(env));
  const commit = text(system.commit(env));
  const branch = text(system.branch(env));
  const number = Number(system.pullRequest(env));
  const url = text(system.url(env));
  const parts = system.run(env).filter((part) => part !== undefined && part !== '');
  return {
    system: system.system,
    ...(repository === undefined ? {} : { repository }),
    ...(commit === undefined ? {} : { commit }),
    ...(branch === undefined ? {} : { branch }),
    ...(Number.isInteger(number) && number > 0 ? { pullRequest: number } : {}),
    ...(url === undefined ? {} : { url }),
    ...(parts.length === 0 ? {} : { ciRun: `${system.system}:${parts.join('/')}` }),
  };
}

/** `owner/name` of a clone URL, ssh or https. */
function repositoryOfUrl(url: string | undefined): string | undefined {
  return /[:/]([^/:]+\/[^/]+?)(?:\.git)?\/?$/.exec(url ?? '')?.[1];
}

function joined(separator: string, ...parts: readonly (string | undefined)[]): string | undefined {
  return parts.some((part) => part === undefined || part === '') ? undefined : parts.join(separator);
}
