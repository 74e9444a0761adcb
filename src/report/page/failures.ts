/** What did not pass, in the order to read it. */

import { plural } from '../shared/format.js';
import { formatRoute } from '../shared/route.js';
import type { PageAttempt, PageTest } from '../shared/page-data.js';
import { duration, historyBadge, statusBadge } from './badges.js';
import { addressOf, cellOf, packageOf, routeOfTest, statusWord, type Context } from './context.js';
import { append, button, copyText, element, visible } from './dom.js';
import { visibleLines } from './log-screen.js';

const CARDS_AT_ONCE = 50;
const LINES_SHOWN = 12;

export function failuresTab(context: Context, chosen: readonly number[]): HTMLElement {
  const { data } = context;
  const node = element('section', { class: 'failures', aria: { label: 'Failures' } });
  for (const broken of data.brokenPackages) {
    const card = element(
      'article',
      { class: 'card s-failed' },
      element('h3', {}, statusBadge(broken.status), ' ', visible(broken.name || '(no package)', 400)),
      element('p', { class: 'where' }, `package · ${data.cells[broken.cell]?.id ?? ''}`),
    );
    if (broken.message !== undefined) card.append(element('p', { class: 'message' }, visible(broken.message)));
    if (broken.text !== undefined && broken.text !== broken.message)
      card.append(element('pre', {}, visibleLines(broken.text)));
    node.append(card);
  }
  if (chosen.length === 0 && data.brokenPackages.length === 0) {
    const clean = data.failures.length === 0 && data.counts.tests > 0;
    node.append(
      element('p', { class: 'note big' }, clean ? 'Every test passed. Nothing to read here.' : 'Nothing here matches.'),
    );
  }
  let shown = 0;
  const more = button(
    '',
    () => {
      showMore();
    },
    { class: 'more-cards' },
  );
  const showMore = (): void => {
    more.remove();
    for (const index of chosen.slice(shown, shown + CARDS_AT_ONCE)) {
      const test = data.tests[index];
      if (test !== undefined) node.append(failureCard(context, test));
    }
    shown = Math.min(chosen.length, shown + CARDS_AT_ONCE);
    if (shown < chosen.length) {
      more.textContent = `Show more (${plural(chosen.length - shown, 'test')} left)`;
      node.append(more);
    }
  };
  showMore();
  return node;
}

function failureCard(context: Context, test: PageTest): HTMLElement {
  const { data } = context;
  const word = statusWord(test);
  const attempt = telling(test);
  const address = formatRoute(routeOfTest(data, test));
  const title = element('h3', {}, statusBadge(word), ' ', element('a', { href: address }, visible(test.name, 400)));
  if (test.isNew === true) title.append(element('span', { class: 'chip new' }, 'new'));
  if (attempt?.kind !== undefined && attempt.kind !== 'other' && attempt.kind !== 'assertion') {
    title.append(element('span', { class: 'chip' }, attempt.kind));
  }
  const card = element(
    'article',
    { class: `card s-${word}`, id: `test-${test.id}-${String(test.cell)}`, tabindex: -1 },
    title,
  );
  const where = element(
    'p',
    { class: 'where' },
    visible(
      [packageOf(data, test), cellOf(data, test)?.id, attempt?.where ?? test.where, duration(test.ms)]
        .filter(Boolean)
        .join(' · '),
      600,
    ),
  );
  if (test.owner !== undefined) where.append(' · owner ', visible(test.owner, 100));
  card.append(where);
  if (attempt?.message !== undefined) card.append(element('p', { class: 'message' }, visible(attempt.message, 1_000)));
  if (attempt?.text !== undefined) card.append(reasonLines(attempt));
  card.append(cardFoot(context, test, attempt));
  return card;
}

/** The attempt that says why: of a flaky test the one that failed. */
function telling(test: PageTest): PageAttempt | undefined {
  return test.attempts?.findLast(({ message }) => message !== undefined) ?? test.attempts?.at(-1);
}

function reasonLines(attempt: PageAttempt): HTMLElement {
  const text = attempt.text ?? '';
  const lines = text.split('\n');
  const pre = element(
    'pre',
    { class: 'reason-lines', tabindex: 0 },
    visibleLines(lines.slice(0, LINES_SHOWN).join('\n')),
  );
  if (lines.length <= LINES_SHOWN) return pre;
  const holder = element('div', {}, pre);
  const more = button(
    `show ${plural(lines.length - LINES_SHOWN, 'more line')}`,
    () => {
      pre.replaceChildren(visibleLines(text));
      more.remove();
    },
    { class: 'more' },
  );
  holder.append(more);
  return holder;
}

function cardFoot(context: Context, test: PageTest, attempt: PageAttempt | undefined): HTMLElement {
  const { data } = context;
  const foot = element('footer', {});
  foot.append(
    button(
      'Open log',
      () => {
        context.go(routeOfTest(data, test));
      },
      { class: 'primary' },
    ),
  );
  if ((test.attempts?.length ?? 0) > 1) {
    const tries = element('span', { class: 'tries' });
    for (const [index, one] of (test.attempts ?? []).entries()) {
      tries.append(
        index === 0 ? 'Attempts: ' : ', then ',
        element(
          'a',
          { class: `s-${one.status}`, href: formatRoute(routeOfTest(data, test, one.attempt)) },
          `#${String(one.attempt)} ${one.status}`,
        ),
      );
    }
    foot.append(tries);
  }
  append(foot, [test.history && historyBadge(test.history, 'long')]);
  if (test.history?.verdict !== undefined)
    foot.append(element('span', { class: 'chip' }, visible(test.history.verdict, 120)));
  const text = [test.name, attempt?.message, attempt?.text].filter((part) => part !== undefined).join('\n');
  foot.append(
    element('span', { class: 'grow' }),
    button('Copy', () => void copyText(text), { title: 'Copy name and reason' }),
    button('Link', () => void copyText(addressOf(routeOfTest(data, test))), { title: 'Copy a link to this test' }),
  );
  return foot;
}
