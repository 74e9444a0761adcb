import type { Incident } from '../signatures/incidents.js';
import { formatTable } from './table.js';

/** Incidents as a table. */
export function incidentsTable(
  incidents: readonly Incident[],
  { color, window }: { readonly color: boolean; readonly window: string },
): string {
  if (incidents.length === 0) return `no failure that three or more tests share ${window}\n`;
  return formatTable(
    incidents,
    [
      { title: 'signature', value: ({ key }) => key },
      { title: 'tests', align: 'right', value: ({ tests }) => String(tests.length) },
      { title: 'failures', align: 'right', value: ({ failures }) => String(failures) },
      { title: 'environments', value: ({ environments }) => environments.join(' '), maxWidth: 40 },
      { title: 'first seen', value: ({ firstAtMs }) => day(firstAtMs) },
      { title: 'last seen', value: ({ lastAtMs }) => day(lastAtMs) },
      { title: 'failure', value: ({ text }) => text.split('\n')[0] ?? '', maxWidth: 100 },
    ],
    { color },
  );
}

function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
