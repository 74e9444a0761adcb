import type { Failure } from '../../model.js';
import { BoundedText, makeFailure } from '../document/failure.js';

/** Keys that hold one value of interest; only these are looked at, so a block may be YAML, or nearly, or not at all. */
const KEYS =
  /^(message|error|severity|duration_ms|file|line|location|failureType|code|expected|actual|operator)\s*:\s*(.*)$/;

/**
 * The YAML block below a result. It is not parsed as YAML: a block of any length and shape is kept as text, and a few
 * keys of its first level are picked out. Anchors, tags and aliases therefore do nothing.
 */
export class YamlBlock {
  readonly #text = new BoundedText();
  readonly #values = new Map<string, string>();
  #folding: string | undefined;

  add(line: string): void {
    this.#text.add(`${line}\n`);
    const match = KEYS.exec(line);
    if (match === null) {
      if (this.#folding === undefined) return;
      if (/^\s/.test(line) || line === '') this.#append(this.#folding, line.trim());
      else this.#folding = undefined;
      return;
    }
    const [, key = '', raw = ''] = match;
    this.#folding = undefined;
    if (/^[|>][+-]?\d*\s*$/.test(raw)) this.#folding = key;
    if (!this.#values.has(key)) this.#values.set(key, this.#folding === undefined ? unquote(raw.trim()) : '');
  }

  get durationMs(): number | undefined {
    const value = Number(this.#values.get('duration_ms') ?? Number.NaN);
    return Number.isFinite(value) && value >= 0 ? value : undefined;
  }

  failure(description: string): Failure {
    const place = /^(.*?):(\d+)(?::\d+)?$/.exec(this.#values.get('location') ?? '');
    const line = Number(this.#values.get('line') ?? place?.[2]);
    const text = this.#text.toString();
    return makeFailure({
      message: firstFilled(this.#values.get('error'), this.#values.get('message'), description),
      text,
      type: this.#values.get('failureType') ?? this.#values.get('code'),
      kind:
        /^ERR_ASSERTION|^assert/i.test(this.#values.get('code') ?? '') || this.#values.has('expected')
          ? 'assertion'
          : undefined,
      file: this.#values.get('file') ?? place?.[1],
      line: Number.isInteger(line) && line > 0 ? line : undefined,
    });
  }

  #append(key: string, text: string): void {
    const known = this.#values.get(key) ?? '';
    if (known.length < 4096) this.#values.set(key, known === '' ? text : `${known}\n${text}`);
  }
}

function firstFilled(...texts: readonly (string | undefined)[]): string | undefined {
  return texts.find((text) => text !== undefined && text.trim() !== '');
}

function unquote(text: string): string {
  const match = /^(["'])([\s\S]*)\1$/.exec(text);
  return match?.[2] ?? text;
}
