import { MkCiError } from '../../../errors.js';
import type { Emit, Format, Reader, ReaderOptions } from '../../reader.js';
import { BoundedText } from './failure.js';
import { RepairNotes } from './repairs.js';
import { XmlParser } from './xml.js';

/** An element with all that is in it; its text keeps beginning and end only. */
export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

/** An element around the one that is given, without its content. */
export interface XmlFrame {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
}

export interface XmlShape {
  /** Names of root elements of the format. */
  readonly roots: ReadonlySet<string>;
  /** Elements that are given whole. */
  readonly collect: ReadonlySet<string>;
  /** @param isCut the document ended inside the element */
  element(element: XmlElement, around: readonly XmlFrame[], isCut: boolean): void;
  finish?(): void;
}

export interface XmlContext {
  readonly emit: Emit;
  readonly repairs: RepairNotes;
  readonly options: ReaderOptions;
}

interface Building {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly text: BoundedText;
  readonly children: XmlElement[];
}

/** More children than this of one test (steps, attachments) are left out. */
const CHILDREN_LIMIT = 10_000;

/**
 * A reader of an XML format whose tests are elements of moderate size. Its `end` throws `RES_MALFORMED` when the document
 * has another root.
 */
export function createXmlReader(
  format: Format,
  emit: Emit,
  options: ReaderOptions,
  create: (context: XmlContext) => XmlShape,
): Reader {
  const repairs = new RepairNotes();
  const shape = create({ emit, repairs, options });
  const frames: XmlFrame[] = [];
  const building: Building[] = [];
  let root: string | undefined;
  let isCut = false;
  const parser = new XmlParser({
    open: (name, attributes) => {
      root ??= name;
      if (building.length > 0 || shape.collect.has(name)) {
        building.push({ name, attributes, text: new BoundedText(), children: [] });
      } else frames.push({ name, attributes });
    },
    text: (piece) => {
      building.at(-1)?.text.add(piece);
    },
    close: () => {
      const closed = building.pop();
      if (closed === undefined) {
        frames.pop();
        return;
      }
      const element = { ...closed, text: closed.text.toString() };
      const parent = building.at(-1);
      if (parent === undefined) shape.element(element, frames, isCut);
      else if (parent.children.length < CHILDREN_LIMIT) parent.children.push(element);
    },
    irregular: (kind, message, line) => {
      if (kind === 'truncated') isCut = true;
      repairs.add(kind, message, { line });
    },
  });
  return {
    format,
    write: (piece) => {
      parser.write(piece);
    },
    end: () => {
      parser.end();
      shape.finish?.();
      repairs.emitAll(emit);
      if (root !== undefined && shape.roots.has(root)) return;
      const found = root === undefined ? 'no XML element' : `<${root.slice(0, 100)}>`;
      throw new MkCiError('RES_MALFORMED', { message: `this is no ${format} report: ${found} was found` });
    },
  };
}

/** First child at this path of names. */
export function childAt(element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  let current = element;
  for (const name of path) current = current?.children.find((child) => child.name === name);
  return current;
}

/** Text of the first child at this path; `undefined` when there is none or it is blank. */
export function textAt(element: XmlElement | undefined, ...path: readonly string[]): string | undefined {
  const text = childAt(element, ...path)?.text;
  return text === undefined || text.trim() === '' ? undefined : text;
}
