import { describe, expect, it } from 'vitest';

import { ciSourceOf } from './ci-environment.js';

describe('ciSourceOf', () => {
  it('reads the job from the variables of each system', () => {
    expect(
      ciSourceOf({
        GITHUB_ACTIONS: 'true',
        GITHUB_REPOSITORY: 'o/r',
        GITHUB_SHA: 'abc',
        GITHUB_REF: 'refs/pull/12/merge',
        GITHUB_REF_NAME: '12/merge',
        GITHUB_HEAD_REF: 'fix',
        GITHUB_SERVER_URL: 'https://ghes.example',
        GITHUB_RUN_ID: '5',
        GITHUB_RUN_ATTEMPT: '2',
        GITHUB_JOB: 'test',
      }),
    ).toEqual({
      system: 'github-actions',
      repository: 'o/r',
      commit: 'abc',
      branch: 'fix',
      pullRequest: 12,
      url: 'https://ghes.example/o/r/actions/runs/5',
      ciRun: 'github-actions:https://ghes.example/o/r/5/2/test',
    });
    const prow = {
      PROW_JOB_ID: 'x',
      REPO_OWNER: 'o',
      REPO_NAME: 'r',
      PULL_BASE_SHA: 'b',
      BUILD_ID: '9',
      JOB_NAME: 'j',
    };
    expect(ciSourceOf({ ...prow, JENKINS_URL: 'set too' })).toMatchObject({
      system: 'prow',
      repository: 'o/r',
      commit: 'b',
      ciRun: 'prow:j/9/x',
    });
    expect(ciSourceOf({ GITLAB_CI: 'true', CI_PROJECT_PATH: 'g/s/r', CI_MERGE_REQUEST_IID: '3' })).toMatchObject({
      repository: 'g/s/r',
      pullRequest: 3,
    });
    const buildkite = { BUILDKITE: 'true', BUILDKITE_REPO: 'git@host:o/r.git', BUILDKITE_PULL_REQUEST: 'false' };
    expect(ciSourceOf(buildkite)).toEqual({ system: 'buildkite', repository: 'o/r' });
    const circle = { CIRCLECI: 'true', CIRCLE_PULL_REQUEST: 'https://host/o/r/pull/8' };
    expect(ciSourceOf(circle)).toMatchObject({ pullRequest: 8 });
    const azure = { TF_BUILD: 'True', BUILD_SOURCEBRANCH: 'refs/heads/main', BUILD_SOURCEVERSION: 'c' };
    expect(ciSourceOf(azure)).toMatchObject({ branch: 'main', commit: 'c' });
    const jenkins = { JENKINS_URL: 'https://j/', GIT_URL: 'https://host/o/r.git', CHANGE_ID: '4', BUILD_TAG: 'job-1' };
    expect(ciSourceOf(jenkins)).toMatchObject({ repository: 'o/r', pullRequest: 4, ciRun: 'jenkins:https://j//job-1' });
  });

  it('says nothing outside of CI, or of what is empty', () => {
    expect(ciSourceOf({})).toBeUndefined();
    expect(ciSourceOf({ GITHUB_ACTIONS: 'true', GITHUB_SHA: '' })).toEqual({ system: 'github-actions' });
  });

  it('gives branches as the other runs of them call them', () => {
    const azure = { TF_BUILD: 'True', BUILD_SOURCEBRANCH: 'refs/pull/5/merge' };
    expect(ciSourceOf({ ...azure, SYSTEM_PULLREQUEST_SOURCEBRANCH: 'refs/heads/fix/a' })?.branch).toBe('fix/a');
    expect(ciSourceOf({ ...azure, BUILD_SOURCEBRANCH: 'refs/heads/main' })?.branch).toBe('main');
    const jenkins = { JENKINS_URL: 'https://ci.example/' };
    expect(ciSourceOf({ ...jenkins, GIT_BRANCH: 'origin/main' })?.branch).toBe('main');
    expect(ciSourceOf({ ...jenkins, GIT_BRANCH: 'origin/x', BRANCH_NAME: 'origin/x' })?.branch).toBe('origin/x');
  });

  it('takes no name that moves for a commit: runs of different code would be one commit', () => {
    const buildkite = { BUILDKITE: 'true', BUILDKITE_BRANCH: 'main' };
    expect(ciSourceOf({ ...buildkite, BUILDKITE_COMMIT: 'HEAD' })).not.toHaveProperty('commit');
    expect(ciSourceOf({ ...buildkite, BUILDKITE_COMMIT: 'abc' })?.commit).toBe('abc');
  });
});
