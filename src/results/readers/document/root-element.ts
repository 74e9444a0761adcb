/** A name without its namespace prefix. */
export function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

/** Name of the first element in the beginning of a document, or `undefined` when it is no XML. */
export function rootElement(head: string): string | undefined {
  const text = head.replace(/<!--[\s\S]*?(?:-->|$)/g, '').replace(/<\?[\s\S]*?(?:\?>|$)/g, '');
  const name = /^[^<]{0,4096}(?:<![A-Z][^>[]*(?:\[[\s\S]*?\])?\s*>\s*)?<([A-Za-z_][\w.:-]*)/.exec(text)?.[1];
  return name === undefined ? undefined : localName(name);
}
