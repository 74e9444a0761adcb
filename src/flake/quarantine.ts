import { parse } from 'yaml';
import { z } from 'zod';

import { MkCiError } from '../errors.js';

const DATE = /^\d{4}-\d\d-\d\d$/;

const schema = z.strictObject({
  quarantine: z
    .array(
      z.strictObject({
        /** Name or pattern with `*`. */
        test: z.string().min(1),
        environment: z.string().min(1).default('*'),
        issue: z.url(),
        owner: z.string().min(1),
        /** Last day, UTC. */
        until: z.string().regex(DATE, 'a day such as 2026-01-31, in quotes'),
      }),
    )
    .default([]),
  /** Owners by patterns with `*`; the first that fits decides, before CODEOWNERS. */
  owners: z
    .array(
      z.strictObject({
        test: z.string().min(1).optional(),
        package: z.string().min(1).optional(),
        owner: z.string().min(1),
      }),
    )
    .default([]),
  /** Old name to new name of renamed tests; both may end in `*`, which stands for the same text. */
  aliases: z.record(z.string().min(1), z.string().min(1)).default({}),
});

export type QuarantineFile = z.output<typeof schema>;
export type QuarantineEntry = QuarantineFile['quarantine'][number];

/**
 * Reads the quarantine file: tests known to be flaky that do not block, each with an issue, an owner and a last day.
 *
 * @throws {MkCiError} `CFG_INVALID` with all problems and their places
 */
export function parseQuarantine(text: string, path = 'quarantine.yaml'): QuarantineFile {
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    throw new MkCiError('CFG_INVALID', { message: path, cause: error, details: { problems: [String(error)] } });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path: at, message }) => `${at.join('.') || '(top)'}: ${message}`);
  throw new MkCiError('CFG_INVALID', { message: path, details: { problems } });
}

/**
 * What is wrong with the entries themselves.
 *
 * @param today `2026-01-31`, UTC; an entry holds through its last day
 */
export function lintQuarantine({ quarantine, aliases }: QuarantineFile, today: string): string[] {
  const problems = quarantine
    .filter(({ until }) => until < today)
    .map(
      ({ test, environment, until, owner, issue }) =>
        `${test} in ${environment}: expired on ${until} (${owner}, ${issue})`,
    );
  const seen = new Set<string>();
  for (const { test, environment } of quarantine) {
    const key = `${test}\0${environment}`;
    if (seen.has(key)) problems.push(`${test} in ${environment}: stands twice`);
    seen.add(key);
  }
  for (const [old, name] of Object.entries(aliases)) {
    if (old === name) problems.push(`alias ${old}: is itself`);
    else if (old.includes('*') && !(isPrefix(old) && isPrefix(name)))
      problems.push(`alias ${old}: a * may stand at the end only, in both names`);
    else if (resolveAlias(old, aliases) === undefined) problems.push(`alias ${old}: leads back to itself`);
  }
  return problems;
}

/** Whether a test is in quarantine on a day. */
export function isQuarantined(
  { quarantine }: QuarantineFile,
  at: { readonly test: string; readonly environment: string; readonly today: string },
): boolean {
  return quarantine.some(
    ({ test, environment, until }) =>
      until >= at.today && matchesPattern(test, at.test) && matchesPattern(environment, at.environment),
  );
}

/** Newest name of a renamed test; `undefined` for aliases that go in a circle. */
export function resolveAlias(name: string, aliases: Readonly<Record<string, string>>): string | undefined {
  const seen = new Set<string>();
  let current = name;
  for (let next = aliases[current]; next !== undefined; next = aliases[current]) {
    if (seen.has(current)) return undefined;
    seen.add(current);
    current = next;
  }
  return current;
}

function isPrefix(pattern: string): boolean {
  return pattern.indexOf('*') === pattern.length - 1;
}

/** `*` stands for any text, everything else for itself. */
export function matchesPattern(pattern: string, text: string): boolean {
  const source = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${source.join('[\\s\\S]*')}$`).test(text);
}
