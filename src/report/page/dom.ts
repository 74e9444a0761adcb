/** Making elements. Text only ever goes in as text nodes: nothing from a log or a name is read as markup. */

import { visibleParts } from '../shared/visible.js';

type Child = Node | string | undefined | false;

interface Properties {
  readonly class?: string;
  readonly id?: string;
  readonly title?: string;
  readonly href?: string;
  readonly type?: string;
  readonly value?: string;
  readonly placeholder?: string;
  readonly role?: string;
  readonly tabindex?: number;
  readonly hidden?: boolean;
  readonly aria?: Readonly<Record<string, string | boolean>>;
  readonly data?: Readonly<Record<string, string | number>>;
  readonly on?: { readonly [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };
}

export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const node = document.createElement(name);
  const { aria, data, on, hidden, class: className, ...attributes } = properties;
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, String(value));
  }
  if (className) node.className = className;
  if (hidden === true) node.hidden = true;
  for (const [key, value] of Object.entries(aria ?? {})) node.setAttribute(`aria-${key}`, String(value));
  for (const [key, value] of Object.entries(data ?? {})) node.dataset[key] = String(value);
  for (const [key, listener] of Object.entries(on ?? {})) node.addEventListener(key, listener as EventListener);
  append(node, children);
  return node;
}

export function append(node: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === undefined || child === false) continue;
    node.appendChild(typeof child === 'string' ? document.createTextNode(child) : child);
  }
}

/** Text with control and bidi characters as visible escapes; long text is cut. */
export function visible(text: string, limit = 4_000): DocumentFragment {
  const fragment = document.createDocumentFragment();
  for (const part of visibleParts(text.slice(0, limit))) {
    fragment.append(part.escaped ? element('span', { class: 'esc' }, part.text) : part.text);
  }
  if (text.length > limit) fragment.append(element('span', { class: 'dim' }, `… ${String(text.length - limit)} more`));
  return fragment;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  ...children: Node[]
): SVGElement {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

export function button(label: string, act: () => void, properties: Properties = {}): HTMLButtonElement {
  return element('button', { type: 'button', ...properties, on: { click: act } }, label);
}

/** Copies text; pages from disk may lack the clipboard API, then an invisible field does it. */
export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element('textarea', { class: 'offscreen' });
    field.value = text;
    document.body.append(field);
    field.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only way where the clipboard API is barred
    document.execCommand('copy');
    field.remove();
  }
  announce('Copied');
}

/** Says something to people who see and people who hear the page. */
export function announce(message: string): void {
  let toast = document.getElementById('toast');
  if (toast === null) {
    toast = element('div', { id: 'toast', role: 'status', aria: { live: 'polite' } });
    document.body.append(toast);
  }
  toast.textContent = message;
  toast.classList.add('on');
  setTimeout(() => {
    toast.classList.remove('on');
  }, 1_500);
}
