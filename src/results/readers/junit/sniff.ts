import { rootElement } from '../document/root-element.js';

/** JUnit XML is known by its root element. */
export function sniffJunit(head: string): number {
  const root = rootElement(head);
  return root === 'testsuites' || root === 'testsuite' ? 0.95 : root === 'testcase' ? 0.5 : 0;
}
