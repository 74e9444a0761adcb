/** One column of a table for people. */
export interface Column<Row> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly value: (row: Row) => string;
  /** Colour of a cell; absent or `undefined` is the terminal's own. */
  readonly color?: (row: Row) => Color | undefined;
  /** Longest text; the middle of a longer one is left out. @default unlimited */
  readonly maxWidth?: number;
}

export type Color = 'red' | 'yellow' | 'green' | 'dim' | 'bold';

const CODES: Record<Color, readonly [number, number]> = {
  red: [31, 39],
  yellow: [33, 39],
  green: [32, 39],
  dim: [2, 22],
  bold: [1, 22],
};

export function paint(text: string, color: Color | undefined, enabled: boolean): string {
  if (!enabled || color === undefined || text === '') return text;
  const [on, off] = CODES[color];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

/**
 * Aligned columns with a header, two spaces between them, no trailing spaces. Control characters of foreign names are
 * shown as `?`, so a name can not write to the terminal.
 */
export function formatTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: { readonly color?: boolean } = {},
): string {
  const color = options.color ?? false;
  const cells = rows.map((row) => columns.map((column) => shorten(harmless(column.value(row)), column.maxWidth)));
  const widths = columns.map(({ title }, index) =>
    Math.max(width(title), ...cells.map((row) => width(row[index] ?? ''))),
  );
  const line = (texts: readonly string[], colors: readonly (Color | undefined)[]): string =>
    texts
      .map((text, index) => {
        const padding = ' '.repeat(Math.max(0, (widths[index] ?? 0) - width(text)));
        const painted = paint(text, colors[index], color);
        return columns[index]?.align === 'right' ? padding + painted : painted + padding;
      })
      .join('  ')
      .trimEnd();
  const header = line(
    columns.map(({ title }) => title),
    columns.map(() => 'bold'),
  );
  const body = rows.map((row, index) =>
    line(
      cells[index] ?? [],
      columns.map((column) => column.color?.(row)),
    ),
  );
  return `${[header, ...body].join('\n')}\n`;
}

/** Columns a text takes; emoji and CJK characters take two. */
export function width(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/\p{Mark}/u.test(character)) continue;
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return columns;
}

function shorten(text: string, maxWidth: number | undefined): string {
  if (maxWidth === undefined || width(text) <= maxWidth) return text;
  const characters = Array.from(text);
  const keep = Math.max(2, maxWidth - 1);
  const tail = Math.floor(keep / 2);
  return `${characters.slice(0, keep - tail).join('')}…${characters.slice(characters.length - tail).join('')}`;
}

export function harmless(text: string): string {
  // eslint-disable-next-line no-control-regex -- these are what must not reach a terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/**
 * One character for each value: a bar from 0 to `max`, `·` where there is no value.
 *
 * @param values in order of time; `undefined` is a day without runs
 * @param max value of the full bar. @default the largest value
 */
export function sparkline(values: readonly (number | undefined)[], max?: number): string {
  const top = max ?? Math.max(0, ...values.filter((value) => value !== undefined));
  return values
    .map((value) => {
      if (value === undefined) return '·';
      if (value <= 0 || top <= 0) return BARS[0];
      return BARS[Math.max(1, Math.min(7, Math.ceil((value / top) * 7)))];
    })
    .join('');
}

/** `12.3 %`, with enough digits that a rare flake is not shown as 0. */
export function percent(rate: number | undefined): string {
  if (rate === undefined) return '–';
  const value = rate * 100;
  if (value === 0 || value >= 10) return `${value.toFixed(value === 0 || value === 100 ? 0 : 1)} %`;
  return `${value.toPrecision(2)} %`;
}

/** `350 ms`, `12.3 s`, `4 m 05 s`. */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return '–';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`;
}
