import sax from 'sax';

import { messageOf } from '../../../errors.js';
import { localName } from './root-element.js';

/** Deeper documents are not test reports; deeper nesting would make closing tags slow. */
const DEPTH_LIMIT = 1000;
/** After so many errors the rest of a document is noise. */
const ERROR_LIMIT = 1000;
/** Attributes are held whole by the tokenizer; text is not, and has no limit. */
const ATTRIBUTE_LIMIT = 16 * 1024 * 1024;
/** The tokenizer checks its buffers once per call. */
const PIECE = 64 * 1024;

export interface XmlHandler {
  /** Names come without a namespace prefix. */
  open(name: string, attributes: ReadonlyMap<string, string>, line: number): void;
  /** A piece of text or CDATA; long text comes in many pieces. */
  text(piece: string): void;
  close(name: string): void;
  /**
   * Something irregular. `malformed-xml` was worked around, `dtd-ignored` is a document type declaration (its entities
   * are never expanded, nothing outside is fetched), `truncated` ends the document here.
   */
  irregular(kind: 'malformed-xml' | 'dtd-ignored' | 'truncated', message: string, line: number): void;
}

/** Ends the tokenizer's loop from inside a handler. */
class Stop extends Error {}

/**
 * Push parser for XML that may be broken. What can be worked around is (a bare `&`, control characters, an unescaped
 * `<nil>`); at what can not be, the document ends and all elements still open are closed, so that everything before the
 * break is kept. Text before the first `<` is skipped.
 */
export class XmlParser {
  readonly #handler: XmlHandler;
  readonly #parser: sax.SAXParser;
  readonly #attributeLimit: number;
  readonly #open: string[] = [];
  #attributes = new Map<string, string>();
  #errors = 0;
  #attributeLength = 0;
  #begun = false;
  #stopped = false;
  #sawRoot = false;

  /** @param options.attributeLimit characters of one attribute, tag or comment after which the document ends; default 16 Mi */
  constructor(handler: XmlHandler, options: { readonly attributeLimit?: number } = {}) {
    this.#handler = handler;
    this.#attributeLimit = options.attributeLimit ?? ATTRIBUTE_LIMIT;
    this.#parser = sax.parser(true, { position: true });
    this.#parser.onopentagstart = () => {
      this.#attributes = new Map();
    };
    this.#parser.onattribute = ({ name, value }) => {
      this.#attributeLength = 0;
      this.#attributes.set(localName(name), value);
    };
    this.#parser.onopentag = ({ name }) => {
      if (this.#open.length >= DEPTH_LIMIT) this.#stop('truncated', `elements nested deeper than ${DEPTH_LIMIT}`);
      this.#sawRoot = true;
      this.#open.push(localName(name));
      this.#handler.open(localName(name), this.#attributes, this.#line);
    };
    this.#parser.ontext = (text) => {
      this.#attributeLength = 0;
      if (this.#open.length > 0) this.#handler.text(text);
    };
    this.#parser.oncdata = (text) => {
      this.#attributeLength = 0;
      if (this.#open.length > 0) this.#handler.text(text);
    };
    this.#parser.oncomment = () => {
      this.#attributeLength = 0;
    };
    this.#parser.onclosetag = () => {
      const name = this.#open.pop();
      if (name !== undefined) this.#handler.close(name);
    };
    this.#parser.ondoctype = () => {
      this.#handler.irregular('dtd-ignored', 'a document type declaration is not followed', this.#line);
    };
    this.#parser.onerror = (error) => {
      this.#onError(messageOf(error));
    };
  }

  /** True once an element was seen. */
  get sawRoot(): boolean {
    return this.#sawRoot;
  }

  write(piece: string): void {
    if (this.#stopped) return;
    let start = 0;
    if (!this.#begun) {
      start = piece.indexOf('<');
      if (start === -1) return;
      this.#begun = true;
    }
    for (; start < piece.length && !this.#isStopped(); start += PIECE) {
      const part = piece.slice(start, start + PIECE);
      this.#attributeLength += part.length;
      this.#guarded(() => this.#parser.write(part));
      // The tokenizer puts a value together character by character, each a link of a chain in memory; to look into the
      // chain makes V8 write it out.
      const value: unknown = Reflect.get(this.#parser, 'attribValue');
      if (typeof value === 'string') value.charCodeAt(0);
    }
  }

  /** Closes what is open; says so when the document was not complete. */
  end(): void {
    if (this.#begun && !this.#stopped) {
      // The tokenizer holds text back until its element closes.
      this.#guarded(() => {
        this.#parser.flush();
      });
      if (this.#open.length > 0 && !this.#isStopped()) {
        this.#handler.irregular('truncated', `the document ends inside <${this.#open.join('><')}>`, this.#line);
      }
    }
    this.#stopped = true;
    for (let name = this.#open.pop(); name !== undefined; name = this.#open.pop()) this.#handler.close(name);
  }

  get #line(): number {
    return this.#parser.line + 1;
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  #guarded(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof Stop) return;
      // The tokenizer calls methods of an object that holds the document's attributes: `hasOwnProperty="…"` breaks it.
      if (!(error instanceof TypeError)) throw error;
      this.#stopped = true;
      this.#handler.irregular('truncated', `the document can not be read further: ${error.message}`, this.#line);
    }
  }

  #onError(message: string): void {
    // A set error would make the next write throw.
    this.#parser.resume();
    const reason = message.split('\n', 1)[0] ?? message;
    if (/^Max buffer length exceeded/.test(reason)) {
      if (this.#attributeLength <= this.#attributeLimit) return;
      this.#stop('truncated', `an attribute, tag or comment exceeds ${this.#attributeLimit} characters`);
    }
    // Reported once at the end, with what was open.
    if (reason === 'Unclosed root tag' || reason === 'Unexpected end') return;
    this.#errors += 1;
    if (this.#errors > ERROR_LIMIT) this.#stop('truncated', `more than ${ERROR_LIMIT} XML errors, the last: ${reason}`);
    this.#handler.irregular('malformed-xml', reason, this.#line);
  }

  #stop(kind: 'truncated', message: string): never {
    this.#stopped = true;
    this.#handler.irregular(kind, message, this.#line);
    throw new Stop(message);
  }
}
