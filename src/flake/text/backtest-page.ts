import type { BacktestScore, CalibrationBin } from '../backtest/score.js';
import { wilsonInterval } from '../statistics/intervals.js';
import { percent } from './table.js';

/** Of the plot, in user units of the SVG; the page scales it. */
const SIZE = 400;
const LEFT = 56;
const TOP = 16;

/**
 * The score as one HTML page without scripts: what was said against what came out, by tenths, with the 95 % interval of
 * each share, and the numbers as tables. Nothing in it comes from outside, so there is nothing to escape but the window.
 */
export function backtestPage(score: BacktestScore, { window }: { readonly window: string }): string {
  const share = (value: number | undefined): string => (value === undefined ? '–' : percent(value));
  const number = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(4));
  const verdicts = Object.entries(score.verdicts).map(([kind, { said, caused, flake }]) => [kind, said, caused, flake]);
  const bins = score.calibration.filter(({ judgements }) => judgements > 0);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Verdicts against what came out</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Verdicts against what came out</h1>
<p>${score.judgements} failures on pull requests ${escaped(window)}; of ${score.settled} it came out later what they were.</p>
<dl>
<div><dt>wrong accusations</dt><dd>${share(score.wrongAccusations)}</dd></div>
<div><dt>wrong excuses</dt><dd>${share(score.wrongExcuses)}</dd></div>
<div><dt>Brier score</dt><dd>${number(score.brier)}</dd><dd class="small">always saying the mean: ${number(score.brierOfBaseRate)}</dd></div>
</dl>
<h2>Calibration of “caused by this change”</h2>
${score.settled === 0 ? '<p>Nothing has come out yet.</p>' : chartOf(bins)}
${tableOf(
  ['said', 'failures', 'mean said', 'came true'],
  bins.map(({ from, to, judgements, said, came }) => [rangeOf(from, to), judgements, share(said), share(came)]),
)}
<h2>Verdicts</h2>
${tableOf(['verdict', 'said', 'was caused', 'was a flake'], verdicts)}
</body>
</html>
`;
}

/** Points on the diagonal were said rightly; above it the change was blamed too little, below too much. */
function chartOf(bins: readonly CalibrationBin[]): string {
  const x = (value: number): string => (LEFT + value * SIZE).toFixed(1);
  const y = (value: number): string => (TOP + (1 - value) * SIZE).toFixed(1);
  const most = Math.max(...bins.map(({ judgements }) => judgements));
  const grid = [0, 0.2, 0.4, 0.6, 0.8, 1].map(
    (at) => `<path class="grid" d="M${x(0)} ${y(at)}H${x(1)}M${x(at)} ${y(0)}V${y(1)}"/>
<text x="${LEFT - 8}" y="${y(at)}" class="end">${at * 100} %</text><text x="${x(at)}" y="${TOP + SIZE + 20}" class="middle">${at * 100} %</text>`,
  );
  const points = bins.map(({ from, to, judgements, said = 0, came = 0 }) => {
    const { low, high } = wilsonInterval(Math.round(came * judgements), judgements);
    const radius = 4 + 8 * Math.sqrt(judgements / most);
    return `<g><title>said ${rangeOf(from, to)}: ${Math.round(came * judgements)} of ${judgements} were caused</title>
<path class="interval" d="M${x(said)} ${y(low)}V${y(high)}"/><circle cx="${x(said)}" cy="${y(came)}" r="${radius.toFixed(1)}"/></g>`;
  });
  return `<svg viewBox="0 0 ${LEFT + SIZE + 24} ${TOP + SIZE + 48}" role="img" aria-label="Share that was caused against the probability said">
${grid.join('\n')}
<path class="diagonal" d="M${x(0)} ${y(0)}L${x(1)} ${y(1)}"/>
${points.join('\n')}
<text x="${x(0.5)}" y="${TOP + SIZE + 42}" class="middle">said</text>
<text x="14" y="${y(0.5)}" class="middle" transform="rotate(-90 14 ${y(0.5)})">came true</text>
</svg>`;
}

function rangeOf(from: number, to: number): string {
  return `${(from * 100).toFixed(0)} – ${(to * 100).toFixed(0)} %`;
}

function tableOf(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = (tag: 'th' | 'td', row: readonly (string | number)[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;
  return `<table>${cells('th', head)}${rows.map((row) => cells('td', row)).join('')}</table>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --ink: light-dark(#2457c5, #8ab0ff); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
dl { display: flex; flex-wrap: wrap; gap: 2rem; } dt { opacity: .7; } dd { margin: 0; font-size: 1.4rem; } dd.small { font-size: .85rem; opacity: .7; }
svg { width: 100%; max-width: 34rem; } svg text { font-size: 12px; fill: currentColor; dominant-baseline: middle; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: var(--line); fill: none; } .diagonal { stroke: currentColor; stroke-dasharray: 4 4; opacity: .6; }
circle { fill: var(--ink); } .interval { stroke: var(--ink); stroke-width: 2; opacity: .5; }
table { border-collapse: collapse; } th, td { text-align: right; padding: .2rem 1rem .2rem 0; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
`;
