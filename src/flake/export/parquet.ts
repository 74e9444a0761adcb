import type { RunRecord } from '../store/record.js';
import { RESULT_COLUMNS, resultRows } from './rows.js';

/** Attempts in one row group: what is held in memory. */
const ROWS_AT_ONCE = 100_000;

type Column = (typeof RESULT_COLUMNS)[number];

/** Columns that are not text. Times are in milliseconds since 1970, UTC. */
const TYPES: Partial<Record<Column, 'INT32' | 'INT64' | 'TIMESTAMP'>> = {
  pull_request: 'INT32',
  attempt: 'INT32',
  duration_ms: 'INT64',
  started_at: 'TIMESTAMP',
};

/**
 * Writes one row an attempt, in the columns of the csv export, as Apache Parquet with row groups of
 * 100,000 attempts.
 *
 * @returns number of rows
 */
export async function writeParquet(
  path: string,
  runs: AsyncIterable<RunRecord> | Iterable<RunRecord>,
  signal?: AbortSignal,
): Promise<number> {
  // Loaded here: no other command needs it.
  const { ParquetWriter, fileWriter } = await import('hyparquet-writer');
  const writer = new ParquetWriter({
    writer: fileWriter(path),
    schema: [
      { name: 'root', num_children: RESULT_COLUMNS.length },
      ...RESULT_COLUMNS.map((name) => ({ name, repetition_type: 'OPTIONAL' as const, ...elementOf(TYPES[name]) })),
    ],
  });
  let rows: (string | number | undefined)[][] = [];
  let total = 0;
  const flush = async (): Promise<void> => {
    if (rows.length === 0) return;
    const group = rows;
    rows = [];
    total += group.length;
    await writer.write({
      columnData: RESULT_COLUMNS.map((name, index) => ({
        name,
        data: group.map((row) => valueOf(row[index], TYPES[name])),
      })),
    });
  };
  for await (const run of runs) {
    signal?.throwIfAborted();
    for (const row of resultRows(run)) rows.push(row);
    if (rows.length >= ROWS_AT_ONCE) await flush();
  }
  await flush();
  await writer.finish();
  return total;
}

function elementOf(type: (typeof TYPES)[Column]) {
  switch (type) {
    case 'INT32':
      return { type: 'INT32' } as const;
    case 'INT64':
      return { type: 'INT64' } as const;
    case 'TIMESTAMP':
      return { type: 'INT64', converted_type: 'TIMESTAMP_MILLIS' } as const;
    case undefined:
      return { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const;
    default:
      return type satisfies never;
  }
}

function valueOf(
  value: string | number | undefined,
  type: (typeof TYPES)[Column],
): string | number | bigint | Date | undefined {
  if (value === undefined || type === undefined || type === 'INT32') return value;
  return type === 'INT64' ? BigInt(Math.round(Number(value))) : new Date(value);
}
