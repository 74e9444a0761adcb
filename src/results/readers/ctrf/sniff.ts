export function sniffCtrf(head: string): number {
  if (!/^\s*\{/m.test(head)) return 0;
  if (/"reportFormat"\s*:\s*"CTRF"/.test(head)) return 1;
  return /"results"\s*:\s*\{/.test(head) &&
    /"tool"\s*:\s*\{\s*"name"/.test(head) &&
    /"(?:tests|summary)"\s*:/.test(head)
    ? 0.9
    : 0;
}
