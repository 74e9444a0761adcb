/** What the part of the address behind `#` says. Links in reports live long: forms are only added, never changed. */

export type Tab = 'failures' | 'tests' | 'timeline' | 'clusters' | 'compare';
export const TABS = ['failures', 'tests', 'timeline', 'clusters', 'compare'] as const satisfies readonly Tab[];

/** 1-based, inclusive. */
export interface LineRange {
  readonly from: number;
  readonly to: number;
}

export type Route =
  | { readonly kind: 'tab'; readonly tab: Tab }
  /** A test: its log, at its first error or at the lines named. `cell` is the id of the cell. */
  | {
      readonly kind: 'test';
      readonly test: string;
      readonly cell: string;
      readonly attempt?: number;
      readonly lines?: LineRange;
    }
  | { readonly kind: 'cell'; readonly cell: string; readonly attempt: number; readonly lines?: LineRange }
  | { readonly kind: 'cluster'; readonly environment: string; readonly title: string; readonly lines?: LineRange };

/**
 * `#tests`, `#test/<id>/<cell>[@attempt][:L120[-L138]]`, `#log/<cell>@<attempt>[:L…]`, `#cluster/<environment>/<title>[:L…]`.
 *
 * @returns `undefined` for anything else
 */
export function parseRoute(hash: string): Route | undefined {
  const text = hash.replace(/^#/, '');
  const tab = TABS.find((name) => name === text);
  if (tab !== undefined) return { kind: 'tab', tab };
  const [, path, fromText, toText] = /^(.*?)(?::L(\d{1,12})(?:-L?(\d{1,12}))?)?$/s.exec(text) ?? [];
  if (path === undefined) return undefined;
  const lines = fromText === undefined ? {} : { lines: rangeOf(Number(fromText), Number(toText ?? fromText)) };
  const parts = decodeParts(path);
  if (parts === undefined) return undefined;
  const [kind, first, second] = parts;
  if (kind === 'test' && first !== undefined && second !== undefined && /^[0-9a-f]{12}$/.test(first)) {
    const [, cell = second, attempt] = /^(.*)@(\d{1,6})$/s.exec(second) ?? [];
    return { kind, test: first, cell, ...(attempt === undefined ? {} : { attempt: Number(attempt) }), ...lines };
  }
  if (kind === 'log' && first !== undefined) {
    const [, cell = first, attempt] = /^(.*)@(\d{1,6})$/s.exec(first) ?? [];
    return { kind: 'cell', cell, attempt: Number(attempt ?? 1), ...lines };
  }
  if (kind === 'cluster' && first !== undefined && second !== undefined) {
    return { kind, environment: first, title: second, ...lines };
  }
  return undefined;
}

/** Inverse of {@link parseRoute}, with `#`. */
export function formatRoute(route: Route): string {
  switch (route.kind) {
    case 'tab':
      return `#${route.tab}`;
    case 'test':
      return `#test/${route.test}/${encode(route.cell)}${route.attempt === undefined ? '' : `@${String(route.attempt)}`}${formatLines(route.lines)}`;
    case 'cell':
      return `#log/${encode(route.cell)}@${String(route.attempt)}${formatLines(route.lines)}`;
    case 'cluster':
      return `#cluster/${encode(route.environment)}/${encode(route.title)}${formatLines(route.lines)}`;
  }
}

function formatLines(lines: LineRange | undefined): string {
  if (lines === undefined) return '';
  return lines.from === lines.to ? `:L${String(lines.from)}` : `:L${String(lines.from)}-L${String(lines.to)}`;
}

function rangeOf(first: number, second: number): LineRange {
  return { from: Math.max(1, Math.min(first, second)), to: Math.max(1, first, second) };
}

/** `:` and `@` are encoded by it too; half a surrogate pair, which it would throw at, becomes U+FFFD. */
function encode(part: string): string {
  return encodeURIComponent(new TextDecoder().decode(new TextEncoder().encode(part)));
}

function decodeParts(path: string): string[] | undefined {
  try {
    return path.split('/').map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
