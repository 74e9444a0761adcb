import type { RunResult } from '../results/model.js';
import { renderPage } from './html.js';
import { LogWriter, type LogSummary } from './log-writer.js';
import { reportModel, type HistoryOf } from './model.js';
import { loadPageAssets } from './page-assets.js';
import { createReportFiles } from './report-files.js';
import type { PageLog } from './shared/page-data.js';

/** Packed logs up to this size go into the page when nobody says otherwise. In the page they take 17 % more. */
const SINGLE_FILE_BYTES = 17_000_000;

export interface OpenReportOptions {
  /** Where the page goes, such as `run/report.html`; logs that do not go into it lie in `log/report/` beside it. */
  readonly htmlPath: string;
  /** Whether logs go into the page itself. @default 'auto': when the page stays under 20 MB */
  readonly singleFile?: boolean | 'auto';
  /** Year of log times that do not name it (klog, syslog). @default the current year, UTC */
  readonly year?: number;
}

export interface CellLogSource {
  readonly cell: string;
  readonly attempt: number;
}

export interface ClusterLogSource {
  readonly environment: string;
  /** Path below the cluster's folder, such as `node-1/kubelet.log`. */
  readonly title: string;
}

export interface FinishOptions {
  readonly history?: HistoryOf;
  readonly against?: RunResult;
  readonly serverUrl?: string;
}

export interface FinishedReport {
  readonly htmlPath: string;
  readonly singleFile: boolean;
  /** Size of all packed logs. */
  readonly logBytes: number;
}

/**
 * A report being made. Logs may be written one after another or at the same time; `finish` writes the page. Disposed
 * before that, nothing is left and an older report at the same place is untouched.
 *
 *     await using report = await openReport({ htmlPath });
 *     const log = report.log({ cell: 'local.e2e', attempt: 1 });
 *     for await (const piece of input) { reader.write(piece); await log.drain(); }   // the reader's emit calls log.add
 *     await log.end();
 *     await report.finish(run);
 */
export interface Report extends AsyncDisposable {
  /** The log of one attempt of a cell. Call its `end` before {@link finish}. */
  log(source: CellLogSource): ReportLog;
  /** A log of a cluster, shown in its own tab. */
  clusterLog(source: ClusterLogSource): ReportLog;
  finish(run: RunResult, options?: FinishOptions): Promise<FinishedReport>;
}

export type ReportLog = Pick<LogWriter, 'add' | 'line' | 'partialLine' | 'drain' | 'end'>;

type LogEntry = Omit<PageLog, 'cell'> & { readonly cellId?: string };

/** @throws {MkCiError} `HOST_DISK_FULL`, `HOST_PERMISSION`, `RPT_ASSETS` from the members of the result */
export async function openReport(options: OpenReportOptions): Promise<Report> {
  const files = await createReportFiles(options.htmlPath);
  const year = options.year ?? new Date().getUTCFullYear();
  const entries: LogEntry[] = [];
  let opened = 0;

  const openLog = (describe: Pick<LogEntry, 'kind' | 'title' | 'environment' | 'cellId' | 'attempt'>): ReportLog => {
    const id = opened;
    opened += 1;
    const blockBytes: number[] = [];
    let indexBytes = 0;
    const writer = new LogWriter({
      year,
      write: async (block, packed, unpackedBytes) => {
        if (block === 'index') indexBytes = unpackedBytes;
        else blockBytes[block] = unpackedBytes;
        await files.writeBlock(id, block, packed);
      },
    });
    return {
      add: (event) => {
        writer.add(event);
      },
      line: (text) => {
        writer.line(text);
      },
      partialLine: (text) => {
        writer.partialLine(text);
      },
      drain: () => writer.drain(),
      end: async (): Promise<LogSummary> => {
        const summary = await writer.end();
        entries.push({ ...describe, ...summary, id, blockBytes: [...blockBytes, indexBytes] });
        return summary;
      },
    };
  };

  return {
    log: ({ cell, attempt }) =>
      openLog({
        kind: 'cell',
        title: attempt === 1 ? cell : `${cell}, attempt ${String(attempt)}`,
        cellId: cell,
        attempt,
      }),
    clusterLog: ({ environment, title }) => openLog({ kind: 'cluster', title, environment }),
    async finish(run, finish = {}) {
      const inline =
        options.singleFile === 'auto' || options.singleFile === undefined
          ? files.blockBytes <= SINGLE_FILE_BYTES
          : options.singleFile;
      const data = reportModel(run, {
        ...finish,
        logs: entries.sort((a, b) => a.id - b.id),
        storage: inline ? { kind: 'inline' } : { kind: 'folder', path: files.folderName },
      });
      await files.publish(renderPage(data, await loadPageAssets()), inline);
      return { htmlPath: options.htmlPath, singleFile: inline, logBytes: files.blockBytes };
    },
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
  };
}
