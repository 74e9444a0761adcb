import { describe, expect, it } from 'vitest';

import { repositoryName, sourceInfo } from './source-info.js';

const git = { commit: 'c0ffee', branch: 'main', remote: 'git@github.com:acme/app.git', dirty: true };

describe('sourceInfo', () => {
  it('comes from git outside of CI', () => {
    expect(sourceInfo({}, git)).toEqual({ repository: 'acme/app', commit: 'c0ffee', branch: 'main', dirty: true });
    expect(sourceInfo({}, {})).toEqual({});
    expect(sourceInfo({}, { branch: 'HEAD' })).toEqual({});
  });

  it.each([
    [
      'GitHub Actions',
      {
        GITHUB_ACTIONS: 'true',
        GITHUB_REPOSITORY: 'acme/app',
        GITHUB_SHA: 'abc',
        GITHUB_HEAD_REF: 'fix',
        GITHUB_REF: 'refs/pull/12/merge',
        GITHUB_SERVER_URL: 'https://github.com',
        GITHUB_RUN_ID: '99',
      },
      {
        repository: 'acme/app',
        commit: 'abc',
        branch: 'fix',
        pullRequest: 12,
        jobUrl: 'https://github.com/acme/app/actions/runs/99',
      },
    ],
    [
      'GitLab',
      {
        GITLAB_CI: 'true',
        CI_PROJECT_PATH: 'g/p',
        CI_COMMIT_SHA: 'abc',
        CI_COMMIT_REF_NAME: 'b',
        CI_MERGE_REQUEST_IID: '3',
        CI_JOB_URL: 'https://gitlab/j/1',
      },
      { repository: 'g/p', commit: 'abc', branch: 'b', pullRequest: 3, jobUrl: 'https://gitlab/j/1' },
    ],
    [
      'Prow',
      {
        PROW_JOB_ID: 'x',
        REPO_OWNER: 'k',
        REPO_NAME: 'm',
        PULL_BASE_SHA: 'base',
        PULL_PULL_SHA: 'head',
        PULL_BASE_REF: 'master',
        PULL_NUMBER: '7',
      },
      { repository: 'k/m', commit: 'head', branch: 'master', pullRequest: 7 },
    ],
    [
      'Jenkins',
      {
        JENKINS_URL: 'http://j',
        GIT_URL: 'https://user:pw@host/x.git',
        GIT_COMMIT: 'abc',
        GIT_BRANCH: 'origin/b',
        BUILD_URL: 'http://j/1',
      },
      { repository: 'https://host/x', commit: 'abc', branch: 'b', jobUrl: 'http://j/1' },
    ],
    [
      'Buildkite',
      {
        BUILDKITE: 'true',
        BUILDKITE_REPO: 'https://github.com/a/b.git',
        BUILDKITE_COMMIT: 'abc',
        BUILDKITE_BRANCH: 'b',
        BUILDKITE_PULL_REQUEST: 'false',
        BUILDKITE_BUILD_URL: 'u',
      },
      { repository: 'a/b', commit: 'abc', branch: 'b', jobUrl: 'u' },
    ],
    [
      'CircleCI',
      {
        CIRCLECI: 'true',
        CIRCLE_PROJECT_USERNAME: 'a',
        CIRCLE_PROJECT_REPONAME: 'b',
        CIRCLE_SHA1: 'abc',
        CIRCLE_BRANCH: 'x',
        CIRCLE_PULL_REQUEST: 'https://github.com/a/b/pull/5',
      },
      { repository: 'a/b', commit: 'abc', branch: 'x', pullRequest: 5 },
    ],
    [
      'Azure',
      {
        TF_BUILD: 'True',
        BUILD_REPOSITORY_NAME: 'a/b',
        BUILD_SOURCEVERSION: 'abc',
        BUILD_SOURCEBRANCH: 'refs/heads/x',
        SYSTEM_TEAMFOUNDATIONCOLLECTIONURI: 'https://dev.azure.com/o/',
        SYSTEM_TEAMPROJECT: 'p',
        BUILD_BUILDID: '4',
      },
      { repository: 'a/b', commit: 'abc', branch: 'x', jobUrl: 'https://dev.azure.com/o/p/_build/results?buildId=4' },
    ],
  ])('comes from the variables of %s', (_, env, expected) => {
    expect(sourceInfo(env, {})).toEqual(expected);
  });

  it('names repositories without credentials', () => {
    expect(repositoryName('https://x-access-token:secret@github.com/acme/app')).toBe('acme/app');
    expect(repositoryName('ssh://git@github.com/acme/app.git')).toBe('acme/app');
    expect(repositoryName('https://u:p@git.example.com/a/b.git')).toBe('https://git.example.com/a/b');
  });
});
