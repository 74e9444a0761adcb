/** What one line of a log says about itself: how bad it is and when it was written. Used by the writer and by the page. */

export type Severity = 'fail' | 'error' | 'warning' | 'info' | 'none';

// klog: severity letter, month and day, time with microseconds, process, file:line].
// https://github.com/kubernetes/klog: header format "Lmmdd hh:mm:ss.uuuuuu threadid file:line] msg"
const KLOG = /(?:^|[\s|:])([IWEF])(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3})\d*\s+\d+ [^\s\]]+:\d+\]/;
const RFC3339 = /(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?/;
const CLOCK_SLASHES = /(\d{4})\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?/;
const SYSLOG =
  /(?:^|\s)(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\s/;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Where a log line says when it was written; characters `start` to `end` hold it. */
export interface LineTime {
  /** Milliseconds since 1970, UTC. */
  readonly at: number;
  readonly start: number;
  readonly end: number;
}

/** A time stands near the start of a line; what comes later is text. */
const HEAD_CHARACTERS = 160;

/**
 * Time in a line: klog, RFC 3339 (also with a space, also without zone: taken as UTC), Go's log package, syslog.
 *
 * @param year for formats that do not name it, such as klog
 */
export function timeOf(line: string, year: number): LineTime | undefined {
  const head = line.length > HEAD_CHARACTERS ? line.slice(0, HEAD_CHARACTERS) : line;
  if (!/\d\d:\d\d:\d\d/.test(head)) return undefined;
  const klog = KLOG.exec(head);
  if (klog !== null) {
    const at = utc(year, number(klog[2]), number(klog[3]), klog[4], klog[5], klog[6], klog[7]);
    const start = klog.index + klog[0].indexOf(klog[1] ?? '');
    const fraction = /\.\d+/.exec(klog[0]);
    return valid(at, start, klog.index + (fraction === null ? 0 : fraction.index + fraction[0].length));
  }
  const rfc = RFC3339.exec(head);
  if (rfc !== null) {
    const at = utc(number(rfc[1]), number(rfc[2]), number(rfc[3]), rfc[4], rfc[5], rfc[6], rfc[7]);
    return valid(at - zoneMs(rfc[8]), rfc.index, rfc.index + rfc[0].length);
  }
  const slashes = CLOCK_SLASHES.exec(head);
  if (slashes !== null) {
    const [, y, month, day, h, m, s, fraction] = slashes;
    return valid(
      utc(number(y), number(month), number(day), h, m, s, fraction),
      slashes.index,
      slashes.index + slashes[0].length,
    );
  }
  const syslog = SYSLOG.exec(head);
  if (syslog !== null) {
    const month = MONTHS.indexOf(syslog[1] ?? '') + 1;
    const at = utc(year, month, number(syslog[2]), syslog[3], syslog[4], syslog[5], syslog[6]);
    const start = syslog.index + syslog[0].search(/\S/);
    return valid(at, start, syslog.index + syslog[0].trimEnd().length);
  }
  return undefined;
}

function number(digits: string | undefined): number {
  return Number(digits ?? '0');
}

function utc(
  year: number,
  month: number,
  day: number,
  hour?: string,
  minute?: string,
  second?: string,
  fraction = '',
): number {
  if (month < 1 || month > 12 || day < 1 || day > 31 || number(hour) > 23 || number(minute) > 59) return Number.NaN;
  const milliseconds = Math.floor(Number(`0.${fraction || '0'}`) * 1000);
  return Date.UTC(year, month - 1, day, number(hour), number(minute), number(second), milliseconds);
}

function zoneMs(zone: string | undefined): number {
  if (zone === undefined || zone === 'Z') return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  return sign * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60_000;
}

function valid(at: number, start: number, end: number): LineTime | undefined {
  return Number.isFinite(at) ? { at, start, end } : undefined;
}

// `fail` is the word of the test tool or of the runtime that something broke; one in a log is where reading starts.
const FAIL =
  /^\s*(?:--- FAIL|FAIL\b|panic: |fatal error: |not ok\b)|WARNING: DATA RACE|\bpanic: (?:test timed out|runtime error)|OOMKilled/;
const ASSERTION =
  /^\s+\S+_test\.go:\d+:.*(?:[Ee]rror|ERROR|[Ff]ail|FAIL|[Ee]xpected|[Uu]nexpected|\bwant|\bgot\b|not (?:equal|found|ready)|mismatch|timed out)|^\s+(?:Error Trace|Error):\s/;
const ERROR =
  /\bError:|\b(?:ERROR|FATAL|fatal)\b[:\s]|\blevel=(?:error|fatal)\b|"level":"(?:error|fatal)"|\btimed out\b|\bexit status [1-9]|Non-zero exit/;
const WARNING = /\bWARN(?:ING)?\b[:\s]|\blevel=warn(?:ing)?\b|"level":"warn(?:ing)?"/;

/** Lines are judged by their first characters: what a megabyte holds behind them is data. */
const JUDGED_CHARACTERS = 600;

/** How bad a line is, by the words of Go, klog, logfmt, JSON logs, TAP and the kernel. */
export function severityOf(line: string): Severity {
  const head = line.length > JUDGED_CHARACTERS ? line.slice(0, JUDGED_CHARACTERS) : line;
  const letter = KLOG.exec(head)?.[1];
  if (letter !== undefined) {
    return letter === 'F' ? 'fail' : letter === 'E' ? 'error' : letter === 'W' ? 'warning' : 'info';
  }
  if (FAIL.test(head) || ASSERTION.test(head)) return 'fail';
  if (ERROR.test(head)) return 'error';
  return WARNING.test(head) ? 'warning' : 'none';
}

export function isErrorSeverity(severity: Severity): boolean {
  return severity === 'fail' || severity === 'error';
}
