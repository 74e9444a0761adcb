/** `0.4 s`, `12 s`, `3 min 5 s`. */
export function seconds(durationMs: number): string {
  const total = Math.max(0, durationMs) / 1000;
  if (total < 10) return `${total.toFixed(1)} s`;
  const whole = Math.round(total);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Text from outside on one line, without control characters that a terminal would act on. */
export function oneLine(text: string): string {
  const line = text
    // eslint-disable-next-line no-control-regex -- escape sequences are what is taken out
    .replaceAll(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, '')
    .replaceAll(/\p{Cc}+/gu, ' ')
    .trim();
  return line.length > 300 ? `${line.slice(0, 299)}…` : line;
}
