const PARTS = /^(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?)(Z|[+-]\d\d:\d\d)$/;

let lastMinute = '';
let lastUtcMinute = '';

/**
 * A time of Go in UTC, all digits of the second kept: `2018-10-24T14:32:01.310248-04:00` → `…T18:32:01.310248Z`.
 *
 * @returns `undefined` when it is no time
 */
export function utcTime(text: string): string | undefined {
  const match = PARTS.exec(text);
  if (match === null) return undefined;
  const [, minute = '', rest = '', zone = ''] = match;
  if (zone === 'Z') return text;
  // Offsets are whole minutes, and a log has many lines a minute.
  const key = minute + zone;
  if (key !== lastMinute) {
    const ms = Date.parse(`${minute}:00${zone}`);
    if (Number.isNaN(ms)) return undefined;
    lastMinute = key;
    lastUtcMinute = new Date(ms).toISOString().slice(0, 16);
  }
  return `${lastUtcMinute}${rest}Z`;
}
