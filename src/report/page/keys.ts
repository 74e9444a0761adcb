/** Keys of the page. They stay out of the way of fields and of the browser's own. */

import { button, element } from './dom.js';

export interface KeyActions {
  search(): void;
  move(by: number): void;
  next(direction: 1 | -1): void;
  open(): void;
  back(): void;
  page(by: number): void;
  edge(end: boolean): void;
}

const HELP: readonly (readonly [string, string])[] = [
  ['/', 'Search: tests by name, Enter for all logs; in a log its lines'],
  ['j  k', 'Next and previous line, test or failure'],
  ['n  p', 'Next and previous error or failure'],
  ['Enter', 'Open what is selected'],
  ['Page Up  Page Down  Home  End', 'Move through a log'],
  ['Esc', 'Back'],
  ['?', 'This help'],
];

export function installKeys(actions: KeyActions): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector('dialog[open]') !== null) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    const inField = target.matches('input, textarea, select');
    if (inField) return;
    const act = actionFor(event.key, target, actions);
    if (act === undefined) return;
    event.preventDefault();
    act();
  });
}

function actionFor(key: string, target: HTMLElement, actions: KeyActions): (() => void) | undefined {
  const inLog = target.closest('.log') !== null;
  switch (key) {
    case '/':
      return () => {
        actions.search();
      };
    case 'j':
      return () => {
        actions.move(1);
      };
    case 'k':
      return () => {
        actions.move(-1);
      };
    case 'n':
      return () => {
        actions.next(1);
      };
    case 'p':
      return () => {
        actions.next(-1);
      };
    case '?':
      return helpDialog;
    case 'Escape':
      return () => {
        actions.back();
      };
    case 'Enter':
      return target.matches('button, a, summary')
        ? undefined
        : () => {
            actions.open();
          };
    case 'ArrowDown':
      return inLog
        ? () => {
            actions.move(1);
          }
        : undefined;
    case 'ArrowUp':
      return inLog
        ? () => {
            actions.move(-1);
          }
        : undefined;
    case 'PageDown':
      return inLog
        ? () => {
            actions.page(1);
          }
        : undefined;
    case 'PageUp':
      return inLog
        ? () => {
            actions.page(-1);
          }
        : undefined;
    case 'Home':
      return inLog
        ? () => {
            actions.edge(false);
          }
        : undefined;
    case 'End':
      return inLog
        ? () => {
            actions.edge(true);
          }
        : undefined;
    default:
      return undefined;
  }
}

export function helpDialog(): void {
  const rows = HELP.map(([keys, meaning]) =>
    element('tr', {}, element('td', {}, element('kbd', {}, keys)), element('td', {}, meaning)),
  );
  const dialog = element(
    'dialog',
    { class: 'help', aria: { label: 'Keys' } },
    element('h2', {}, 'Keys'),
    element('table', {}, element('tbody', {}, ...rows)),
  );
  dialog.append(
    button('Close', () => {
      dialog.close();
    }),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
