import type { Rate } from '../flake/charts/index.js';

export interface Badge {
  readonly label: string;
  readonly value: string;
  readonly tone: 'good' | 'fair' | 'bad' | 'unknown';
}

const COLORS = { good: '#1a7f4b', fair: '#a16207', bad: '#c92a2f', unknown: '#66707e' } as const;
/** Longest label; the end of a test's name tells it from others. */
const LABEL_CHARACTERS = 60;

/** What a badge says of a rate: the share with k of n, judged by the interval and not by the point. */
export function badgeOfRate(label: string, rate: Rate): Badge {
  if (rate.rate === undefined) return { label, value: 'no runs', tone: 'unknown' };
  const percent = (rate.rate * 100).toFixed(rate.rate > 0 && rate.rate < 0.095 ? 1 : 0);
  const value = `${percent} % failed (${String(rate.failed)} of ${String(rate.attempts)})`;
  if (rate.failed === 0) return { label, value, tone: 'good' };
  return { label, value, tone: rate.low > 0.05 ? 'bad' : 'fair' };
}

/** The badge as SVG without any reference to elsewhere. */
export function renderBadge({ label, value, tone }: Badge): string {
  const left = escapeXml(label.length <= LABEL_CHARACTERS ? label : `…${label.slice(1 - LABEL_CHARACTERS)}`);
  const right = escapeXml(value);
  const leftWidth = widthOf(label.slice(-LABEL_CHARACTERS)) + 12;
  const rightWidth = widthOf(value) + 12;
  const width = leftWidth + rightWidth;
  const text = (x: number, content: string, length: number): string =>
    `<text x="${String(x)}" y="14" textLength="${String(length)}" lengthAdjust="spacingAndGlyphs">${content}</text>`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(width)}" height="20" role="img" aria-label="${left}: ${right}">` +
    `<title>${left}: ${right}</title>` +
    `<clipPath id="r"><rect width="${String(width)}" height="20" rx="3"/></clipPath>` +
    `<g clip-path="url(#r)"><rect width="${String(leftWidth)}" height="20" fill="#3d4654"/>` +
    `<rect x="${String(leftWidth)}" width="${String(rightWidth)}" height="20" fill="${COLORS[tone]}"/></g>` +
    `<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">` +
    `${text(6, left, leftWidth - 12)}${text(leftWidth + 6, right, rightWidth - 12)}</g></svg>\n`
  );
}

/** About the width of the text in Verdana 11; `textLength` makes the rest fit. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[ilj.,:;'|!()[\] ]/.test(character) ? 4 : /[A-ZmwMW%]/.test(character) ? 8.5 : 6.8;
  return Math.ceil(width);
}

/** Text and attribute values; characters that XML forbids become U+FFFD. */
function escapeXml(text: string): string {
  return text
    .replace(
      // eslint-disable-next-line no-control-regex -- these are the characters in question
      /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\u202a-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g,
      '\ufffd',
    )
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
