import type { Labels } from '../../process.js';
import type { MachineOwner } from '../vm/index.js';
import { childOf, childrenOf, element, type XmlElement } from './xml.js';

/** Whose a thing of libvirt is, as an element in its `<metadata>`. It is on the thing itself: no file is needed to find it. Pure. */

const METADATA_URI = 'urn:mk-ci:machine:1';
const LOCAL_NAME = 'machine';
const METADATA_NAME = `mk-ci:${LOCAL_NAME}`;

/** @param name of the machine, where the thing itself has another */
export function renderOwner({ folder, network, labels }: MachineOwner, name?: string): string {
  return element(
    METADATA_NAME,
    { 'xmlns:mk-ci': METADATA_URI, folder, network, name },
    Object.entries(labels).map(([key, value]) => element('mk-ci:label', { name: key, value })),
  );
}

/**
 * The owner that a document of libvirt names, which keeps prefixes; an element of another namespace under our prefix is not ours.
 *
 * @returns `undefined` for a thing that is not ours; with the `name` that was rendered
 */
export function findOwner(thing: XmlElement): (MachineOwner & { readonly name?: string }) | undefined {
  const found = childOf(thing, 'metadata')?.children.find(isOurs);
  if (found === undefined) return undefined;
  const prefix = found.name.slice(0, found.name.length - LOCAL_NAME.length);
  const labels: Labels = Object.fromEntries(
    childrenOf(found, `${prefix}label`).map(({ attributes }) => [attributes['name'] ?? '', attributes['value'] ?? '']),
  );
  const { folder = '', network = '', name } = found.attributes;
  return { folder, network, labels, ...(name === undefined ? {} : { name }) };
}

function isOurs({ name, attributes }: XmlElement): boolean {
  const prefix = name.endsWith(`:${LOCAL_NAME}`) ? name.slice(0, -`:${LOCAL_NAME}`.length) : undefined;
  return prefix === undefined
    ? name === LOCAL_NAME && attributes['xmlns'] === METADATA_URI
    : attributes[`xmlns:${prefix}`] === METADATA_URI;
}
