import { rootElement } from '../document/root-element.js';

/** xUnit.net v2 and v3; a lone `<assembly>` is v1 or a part of a report. */
export function sniffXunit(head: string): number {
  const root = rootElement(head);
  return root === 'assemblies' ? 0.95 : root === 'assembly' && /<(?:collection|class)\b|run-date=/.test(head) ? 0.9 : 0;
}

/** NUnit 3 (`test-run`) and 2 (`test-results`). */
export function sniffNunit(head: string): number {
  const root = rootElement(head);
  return root === 'test-run' || root === 'test-results' ? 0.95 : 0;
}

export function sniffTrx(head: string): number {
  return rootElement(head) === 'TestRun' ? 0.95 : 0;
}
