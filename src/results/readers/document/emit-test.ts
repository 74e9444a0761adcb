import type { Failure, Status, TestId } from '../../model.js';
import type { Emit } from '../../reader.js';
import { LineCutter } from './lines.js';
import { cleanName } from './names.js';

/** One attempt as a finished document tells it. */
export interface KnownAttempt {
  readonly status: Status;
  readonly at?: string | undefined;
  readonly durationMs?: number | undefined;
  readonly failure?: Failure | undefined;
  readonly skipReason?: string | undefined;
  readonly stdout?: string | undefined;
  readonly stderr?: string | undefined;
}

export interface KnownTest {
  readonly test: TestId;
  readonly attempts: readonly KnownAttempt[];
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly attributes?: readonly (readonly [string, string])[];
}

/** Emits a test of which everything is known at once: start, output and end of each attempt. */
export function emitTest(emit: Emit, { test, attempts, file, line, attributes = [] }: KnownTest): void {
  for (const attempt of attempts) {
    emit({
      type: 'test-started',
      test,
      ...(attempt.at === undefined ? {} : { at: attempt.at }),
      ...(file === undefined || file === '' ? {} : { file }),
      ...(line === undefined ? {} : { line }),
    });
    emitOutput(emit, { test, stream: 'stdout' }, attempt.stdout);
    emitOutput(emit, { test, stream: 'stderr' }, attempt.stderr);
    const { durationMs, failure, skipReason } = attempt;
    emit({
      type: 'test-ended',
      test,
      status: attempt.status,
      ...(durationMs === undefined || durationMs < 0 ? {} : { durationMs }),
      ...(failure === undefined ? {} : { failure }),
      ...(skipReason === undefined || skipReason === '' ? {} : { skipReason: skipReason.slice(0, 1000) }),
    });
  }
  for (const [key, value] of attributes) emit({ type: 'attribute', test, key: cleanName(key), value });
}

/** Emits text line by line. */
export function emitOutput(
  emit: Emit,
  owner: { readonly test?: TestId; readonly package?: string; readonly stream?: 'stdout' | 'stderr' },
  text: string | undefined,
): void {
  if (text === undefined || text === '') return;
  const cutter = new LineCutter((line, partial) => {
    emit({ type: 'output', ...owner, text: line, ...(partial ? { partial } : {}) });
  });
  cutter.write(text);
  cutter.end();
}
