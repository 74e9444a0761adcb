/**
 * Seconds as test reporters print them, in milliseconds. Takes thousands separators as Surefire writes them
 * (`1,234.5`), decimal commas (`0,5`, `1.234,5`) and a trailing `s`. A comma before exactly three digits separates
 * thousands, as Jenkins reads it, unless the part before it is 0.
 *
 * @returns `undefined` for what is no number; `'negative'` for a time below zero, which means nothing
 */
export function parseSecondsToMs(text: string | undefined): number | 'negative' | undefined {
  if (text === undefined) return undefined;
  let digits = text
    .trim()
    .replace(/\s*s(?:ec(?:onds)?)?$/i, '')
    .replace(/[\s'_]/g, '');
  const comma = digits.lastIndexOf(',');
  if (comma !== -1) {
    const isDecimal = digits.includes('.')
      ? comma > digits.lastIndexOf('.')
      : !/^-?[1-9]\d{0,2}(?:,\d{3})+$/.test(digits);
    digits = isDecimal ? digits.replace(/\./g, '').replace(',', '.') : digits.replace(/,/g, '');
  }
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(digits)) return undefined;
  const ms = roundMs(Number(digits) * 1000);
  if (ms === undefined) return undefined;
  return ms < 0 ? 'negative' : ms;
}

/** Milliseconds to the microsecond, without the dust of binary fractions; `undefined` for NaN and infinities. */
export function roundMs(ms: number): number | undefined {
  return Number.isFinite(ms) ? Math.round(ms * 1000) / 1000 : undefined;
}

/** `hh:mm:ss.fraction` (TRX, .NET) in milliseconds; days may come first as `d.`. */
export function parseClockToMs(text: string | undefined): number | undefined {
  const match = /^(?:(\d+)\.)?(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)$/.exec(text?.trim() ?? '');
  if (match === null) return undefined;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = match;
  return roundMs((((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000);
}

/**
 * A moment in ISO 8601 and UTC.
 *
 * @returns `undefined` when the text names no time zone: a local time of an unknown place says nothing
 */
export function parseMoment(text: string | number | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (typeof text === 'string' && !/\d(?:Z| ?UTC|[+-]\d\d:?\d\d)$/i.test(text.trim())) return undefined;
  const normal =
    typeof text === 'string'
      ? text
          .trim()
          .replace(/^(\d{4}-\d\d-\d\d) /, '$1T')
          .replace(/ ?UTC$/i, 'Z')
          .replace(/(\.\d{3})\d+/, '$1')
          .replace(/ (?=[+-])/, '')
      : text;
  const moment = new Date(normal);
  const time = moment.getTime();
  // Years outside four digits would not sort as text.
  return Number.isNaN(time) || time < 0 || time > 253_402_300_799_999 ? undefined : moment.toISOString();
}

/** A positive whole number such as a line, or `undefined`. */
export function parseWhole(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text.trim()) ? Number(text) : undefined;
}
