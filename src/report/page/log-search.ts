/** Search through the text of every log: how many lines match where. */

import { formatCount, plural } from '../shared/format.js';
import { lineOfRow, ownerOfRow } from '../shared/log-data.js';
import { parseQuery } from '../shared/search.js';
import { formatRoute, type Route } from '../shared/route.js';
import { routeOfLog, type Context } from './context.js';
import { button, element, visible } from './dom.js';
import { appendText } from './log-row.js';
import { chunkNumberOf, type LogSource } from './log-source.js';

const LINES_SHOWN = 6;
const LOGS_AT_ONCE = 2;

export class LogSearch {
  readonly node = element('section', { class: 'log-search', hidden: true, aria: { label: 'Matches in logs' } });
  readonly #context: Context;
  readonly #openLog: (route: Route, query: string) => void;
  #abort: AbortController | undefined;

  constructor(context: Context, openLog: (route: Route, query: string) => void) {
    this.#context = context;
    this.#openLog = openLog;
  }

  clear(): void {
    this.#abort?.abort();
    this.node.hidden = true;
    this.node.replaceChildren();
  }

  async run(typed: string): Promise<void> {
    this.clear();
    const abort = new AbortController();
    this.#abort = abort;
    const headline = element('b', { role: 'status' }, 'Searching the logs…');
    const results = element('div');
    this.node.append(
      element(
        'div',
        { class: 'bar' },
        headline,
        button('Close', () => {
          this.clear();
        }),
      ),
      results,
    );
    this.node.hidden = false;
    let query;
    try {
      query = parseQuery(typed);
    } catch (error) {
      headline.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    if (query === undefined) {
      this.clear();
      return;
    }
    const began = performance.now();
    let total = 0;
    let withMatches = 0;
    const queue = [...this.#context.logs];
    const wanted = query;
    const stopped = (): boolean => abort.signal.aborted;
    const work = async (): Promise<void> => {
      for (let source = queue.shift(); source !== undefined && !stopped(); source = queue.shift()) {
        const rows: number[] = [];
        await source.search(
          wanted,
          (found) => {
            for (const row of found) rows.push(row);
          },
          abort.signal,
        );
        if (rows.length === 0 || stopped()) continue;
        rows.sort((a, b) => a - b);
        total += rows.length;
        withMatches += 1;
        headline.textContent = `${formatCount(total)} lines…`;
        results.append(await this.#result(source, rows, typed));
      }
    };
    await Promise.all(Array.from({ length: LOGS_AT_ONCE }, work));
    if (stopped()) return;
    const seconds = ((performance.now() - began) / 1_000).toFixed(1);
    headline.textContent =
      total === 0
        ? `No line of any log has “${typed}”`
        : `${plural(total, 'line')} in ${plural(withMatches, 'log')} (${seconds} s)`;
    this.node.dataset['done'] = String(total);
  }

  async #result(source: LogSource, rows: readonly number[], typed: string): Promise<HTMLElement> {
    const { data } = this.#context;
    const index = await source.index();
    const query = parseQuery(typed);
    const list = element('ol', { class: 'plain' });
    for (const row of rows.slice(0, LINES_SHOWN)) {
      const chunk = await source.chunk(chunkNumberOf(index, row));
      const owner = index.owners[ownerOfRow(index, row)];
      const line = lineOfRow(index, row);
      const code = element('code');
      appendText(code, (chunk.lines[row - chunk.firstRow] ?? '').slice(0, 400), query);
      const route = { ...routeOfLog(data, source.log), lines: { from: line, to: line } } as Route;
      list.append(
        element(
          'li',
          {},
          element('a', { href: formatRoute(route) }, `L${String(line)}`),
          ' ',
          owner !== undefined && owner.name !== '' && element('span', { class: 'dim' }, visible(owner.name, 60), ' '),
          code,
        ),
      );
    }
    const open = button(
      `All ${plural(rows.length, 'line')} in the log`,
      () => {
        this.#openLog(routeOfLog(data, source.log), typed);
      },
      { class: 'more' },
    );
    return element(
      'article',
      { class: 'card' },
      element(
        'h3',
        {},
        visible(source.log.title, 200),
        ' ',
        element('span', { class: 'dim' }, formatCount(rows.length)),
      ),
      list,
      open,
    );
  }
}
