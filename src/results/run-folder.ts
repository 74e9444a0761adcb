import { join } from 'node:path';

/**
 * Layout of the folder that a run leaves (`docs/running.md` shows it). Paths are functions of the run folder, so that
 * writers, reports and the runner can not disagree; nothing here touches the disk.
 */
export interface RunFolder {
  readonly root: string;
  /** The record: one JSON object a line. */
  readonly events: string;
  readonly started: string;
  readonly finished: string;
  readonly html: string;
  /** Chunks of logs that the page loads. */
  readonly logChunks: string;
  readonly junit: string;
  readonly ctrf: string;
  /** Summary with gopogh's fields. */
  readonly summaryJson: string;
  readonly summaryMarkdown: string;
  /** Folder of one cell. */
  readonly cell: (cell: string) => string;
  readonly attempt: (cell: string, attempt: number) => AttemptFolder;
  /** Logs of all clusters, a folder each. */
  readonly clusters: string;
  /** Logs of nodes and components of an environment's shared cluster. */
  readonly cluster: (environment: string) => string;
}

export interface AttemptFolder {
  readonly root: string;
  /** As `attempt-started.folder` names it: below the run folder, with `/` between parts. */
  readonly relative: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly artifacts: string;
}

export function runFolderAt(root: string): RunFolder {
  return {
    root,
    events: join(root, 'events.jsonl'),
    started: join(root, 'started.json'),
    finished: join(root, 'finished.json'),
    html: join(root, 'report.html'),
    logChunks: join(root, 'log'),
    junit: join(root, 'junit.xml'),
    ctrf: join(root, 'ctrf.json'),
    summaryJson: join(root, 'summary.json'),
    summaryMarkdown: join(root, 'summary.md'),
    cell: (cell) => join(root, 'cells', cell),
    attempt: (cell, attempt) => {
      const folder = join(root, 'cells', cell, `attempt-${attempt}`);
      return {
        root: folder,
        relative: `cells/${cell}/attempt-${attempt}`,
        stdout: join(folder, 'stdout.log'),
        stderr: join(folder, 'stderr.log'),
        artifacts: join(folder, 'artifacts'),
      };
    },
    clusters: join(root, 'clusters'),
    cluster: (environment) => join(root, 'clusters', environment),
  };
}

/**
 * Id of a run: sorts by start time, unique by its random end, usable as a folder name; such as `20261121-101500-ab12cd`.
 *
 * @param random six or more hexadecimal digits
 */
export function runIdOf(startedAt: Date, random: string): string {
  const digits = startedAt.toISOString().replaceAll(/\D/g, '');
  return `${digits.slice(0, 8)}-${digits.slice(8, 14)}-${random.slice(0, 6)}`;
}

/** A name as a part of a path: everything but letters, digits, `.`, `_` and `-` becomes `-`; never empty, `.` or `..`. */
export function folderNameOf(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 120);
  return /^\.*$/.test(safe) ? `_${safe}` : safe;
}
