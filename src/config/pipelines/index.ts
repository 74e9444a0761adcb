import { githubChat, githubReport, githubTests } from './github.js';
import { GITLAB, JENKINS, PROW, TEKTON } from './others.js';

/** CI systems that `mk-ci init --ci` writes a pipeline for. */
export const CI_SYSTEMS = ['github', 'gitlab', 'jenkins', 'prow', 'tekton'] as const;
export type CiSystem = (typeof CI_SYSTEMS)[number];

export interface PipelineFile {
  /** Relative to the root of the project. */
  readonly path: string;
  readonly text: string;
}

/** Pipelines that run every cell, keep the run folder and report. Pure. */
export function renderPipeline(system: CiSystem): PipelineFile[] {
  switch (system) {
    case 'github':
      return [
        { path: '.github/workflows/mk-ci.yml', text: githubTests() },
        { path: '.github/workflows/mk-ci-report.yml', text: githubReport() },
        { path: '.github/workflows/mk-ci-chat.yml', text: githubChat() },
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
