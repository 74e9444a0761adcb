export function sniffGopoghSummary(head: string): number {
  return /^\s*\{/m.test(head) &&
    /"NumberOfTests"\s*:/.test(head) &&
    /"(?:NumberOfFail|GopoghVersion|PassedTests|FailedTests)"\s*:/.test(head)
    ? 0.95
    : 0;
}
