/** Dark, light, or as the system says. Remembered where the browser allows it. */

import { button } from './dom.js';

type Theme = 'auto' | 'light' | 'dark';
const NEXT: Readonly<Record<Theme, Theme>> = { auto: 'dark', dark: 'light', light: 'auto' };
const LABELS: Readonly<Record<Theme, string>> = { auto: '◐ Auto', dark: '● Dark', light: '○ Light' };
const KEY = 'mk-ci-theme';

export function themeButton(): HTMLButtonElement {
  let theme = remembered();
  const node = button(
    '',
    () => {
      theme = NEXT[theme];
      remember(theme);
      apply();
    },
    { title: 'Colours', class: 'theme' },
  );
  const apply = (): void => {
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    node.textContent = LABELS[theme];
  };
  apply();
  return node;
}

function remembered(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'auto';
  } catch {
    // Pages from disk may have no storage.
    return 'auto';
  }
}

function remember(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // See above: then it lasts as long as the page.
  }
}
