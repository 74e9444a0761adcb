import { dirname } from 'node:path';

import { writeFileAtomically } from '../../files.js';
import type { ReadEvent, RunResult } from '../../results/index.js';
import { runFolderAt } from '../../results/run-folder.js';
import type { Background } from './background.js';

/** Where a report writes. One row of {@link REPORT_OUTPUTS} is one option of the command. */
export interface ReportOutput {
  /** Name of the option without dashes; its value is the path of the file. */
  readonly option: string;
  readonly description: string;
  /** Loaded when the option is given. */
  readonly load: () => Promise<OpenReportOutput>;
}

/** Begins an output, before anything is read. */
export type OpenReportOutput = (path: string, options: OutputOptions) => Promise<OpenOutput>;

export interface OutputOptions {
  readonly signal: AbortSignal;
  /** Whether logs go into the page. @default when it stays under 20 MB */
  readonly singleFile?: boolean | undefined;
}

/** An output in progress. Disposed before `finish`, it leaves nothing behind. */
export interface OpenOutput extends AsyncDisposable {
  /** Takes the log of one attempt of a cell, when the output shows logs. */
  readonly log?: (source: { readonly cell: string; readonly attempt: number }) => LogSink;
  /** Writes the file; all logs have ended. */
  finish(run: RunResult, background?: Background): Promise<void>;
}

/** Takes the events of a log in order. */
export interface LogSink {
  add(event: ReadEvent): void;
  /** Resolves when more may be added without filling the memory. */
  drain(): Promise<void>;
  end(): Promise<unknown>;
}

/** An output that is made from the finished run alone. */
function rendered(
  option: string,
  description: string,
  load: () => Promise<(run: RunResult, background: Background) => string | Iterable<string>>,
): ReportOutput {
  return {
    option,
    description,
    load: async () => {
      const render = await load();
      return async (path) => ({
        finish: async (run, background = {}) => {
          const text = render(run, background);
          await writeFileAtomically(path, typeof text === 'string' ? text : [...text].join(''));
        },
        [Symbol.asyncDispose]: async () => undefined,
      });
    },
  };
}

/** Every output of `mk-ci report`, in the order of its help. */
export const REPORT_OUTPUTS: readonly ReportOutput[] = [
  {
    option: 'html',
    description: 'page with all logs, opened from disk',
    load: async () => {
      const { addClusterLogs, openReport } = await import('../../report/index.js');
      return async (htmlPath, { signal, singleFile }) => {
        const report = await openReport({ htmlPath, ...(singleFile === undefined ? {} : { singleFile }) });
        return {
          log: (source) => report.log(source),
          finish: async (run, { against, history } = {}) => {
            // Beside the page of a run lie the logs of its clusters; beside any other page there are none.
            await addClusterLogs(report, runFolderAt(dirname(htmlPath)).clusters, signal);
            await report.finish(run, {
              ...(against === undefined ? {} : { against }),
              ...(history === undefined ? {} : { history }),
            });
          },
          [Symbol.asyncDispose]: async () => {
            await report[Symbol.asyncDispose]();
          },
        };
      };
    },
  },
  rendered(
    'junit',
    'JUnit XML with all attempts',
    async () => (await import('../../results/writers/index.js')).renderJunit,
  ),
  rendered('ctrf', 'CTRF JSON', async () => (await import('../../results/writers/index.js')).renderCtrf),
  rendered('markdown', 'Markdown for a step summary', async () => {
    const { renderMarkdown } = await import('../../results/writers/index.js');
    const { compareRuns } = await import('../../results/index.js');
    return (run, { against, history }) =>
      renderMarkdown(run, {
        ...(against === undefined ? {} : { comparison: compareRuns(run, against) }),
        ...(history === undefined ? {} : { historyOf: history }),
      });
  }),
  rendered('summary', 'JSON with the fields of a gopogh summary', async () => {
    const { renderGopoghSummary } = await import('../../results/writers/index.js');
    return (run) => renderGopoghSummary(run);
  }),
];
