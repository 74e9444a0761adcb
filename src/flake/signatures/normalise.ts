import { createHash } from 'node:crypto';

/** Rises with every change of the rules: signatures of different versions are not compared. */
export const SIGNATURE_VERSION = 1;

/** What two failures have in common when they have one cause. */
export interface Signature {
  /** First 16 hex digits of the SHA-256 of the text and its version. */
  readonly key: string;
  readonly version: number;
  /** The failure with everything that changes from run to run replaced by `<token>`s. */
  readonly text: string;
  /** Says nothing of the cause (`exit status 1`): shown, never a reason to excuse. */
  readonly weak: boolean;
}

/**
 * Ordered: an earlier rule takes its text from the later ones. Left alone on purpose, because they tell causes apart: exit
 * codes, HTTP statuses, errno names, Kubernetes versions, single digits.
 */
const RULES: readonly (readonly [RegExp, string])[] = [
  // eslint-disable-next-line no-control-regex -- colours of a terminal
  [/\u001b\[[0-9;?]*[A-Za-z]/g, ''],
  [/^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ (?=\S+:\d+\])/gm, ''],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?/g, '<time>'],
  [/\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?/g, '<time>'],
  [/\b\d\d:\d\d:\d\d(?:\.\d+)?\b/g, '<time>'],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '<uuid>'],
  [/\bsha256:[0-9a-f]{12,64}\b/gi, '<digest>'],
  [/\b0x[0-9a-f]+\b/gi, '<hex>'],
  [/\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?:\/\d{1,2})?\b/g, '<ip>'],
  [/\[[0-9a-f:]*:[0-9a-f:]+\](?::\d{1,5})?/gi, '<ip>'],
  [/\b(localhost|host\.docker\.internal):\d{2,5}\b/g, '$1:<port>'],
  [/(?:\/tmp|\/var\/folders|[A-Z]:\\[^\s"']*\\Temp)[^\s"':,)]*/g, '<tmp>'],
  // Hash and suffix of a pod of a Deployment, then of a ReplicaSet or DaemonSet: consonants and digits as Kubernetes uses.
  [/\b([a-z][a-z0-9-]*?)-[bcdfghjklmnpqrstvwxz2456789]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, '$1-<pod>'],
  [/\b([a-z][a-z0-9-]*?)-(?=[a-z0-9]*\d)[bcdfghjklmnpqrstvwxz2456789]{5}\b/g, '$1-<pod>'],
  [/\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b/gi, '<hex>'],
  [/\b([a-zA-Z]+(?:-[a-zA-Z]+)*)-\d{4,}\b/g, '$1-<n>'],
  [/(?<![\w.])\d+(?:\.\d+)?(?:ns|µs|us|ms|s|m|h)(?:\d+(?:\.\d+)?(?:ms|s|m))*\b/g, '<dur>'],
  [/(?<![\w.])\d+(?:\.\d+)? ?(?:[KMGT]i?B|bytes)\b/g, '<size>'],
  [/\bgoroutine \d+\b/g, 'goroutine <n>'],
  [/(\.(?:go|ts|js|py|java|rs|c|cc|cpp)):\d+(?::\d+)?/g, '$1:<line>'],
  [/:\d{4,5}\b/g, ':<port>'],
  // Exit codes and HTTP statuses come with their word in front.
  [
    /(?<!(?:code|status|exit|exited with|HTTP|HTTP\/\d\.\d|error)[ :=]{1,3})(?<![\w.<-])\d{2,}(?:\.\d+)?(?![\w.])/gi,
    '<n>',
  ],
];

/** Messages that many causes share, after normalising. */
const GENERIC: readonly RegExp[] = [
  /^$/,
  /^(?:command failed:? ?)?(?:process (?:completed|exited) with )?exit (?:status|code) \d+\.?$/i,
  /^process completed with exit code \d+\.?$/i,
  /^(?:error: )?context deadline exceeded\.?$/i,
  /^(?:error: )?timed out(?: waiting(?: for the condition)?)?\.?$/i,
  /^(?:panic: )?test timed out after <dur>\.?$/i,
  /^signal: (?:killed|terminated|aborted)$/i,
  /^(?:fail|failed|failure|error|test failed|assertion failed|unknown error)[.:!]?$/i,
  /^expected (?:true|false) (?:to be|but got|, got) (?:true|false)$/i,
];

/** Longest text that is compared; the head and the tail of a longer one are kept. */
const LONGEST = 10_000;

export interface NormaliseOptions {
  /** Names that belong to this run (profiles, namespaces, containers): replaced exactly, not guessed. */
  readonly runNames?: readonly string[];
}

/** Replaces what changes from run to run. Pure and idempotent. */
export function normaliseFailure(text: string, { runNames = [] }: NormaliseOptions = {}): string {
  const named = [...runNames]
    .filter((name) => name.length >= 3)
    .sort((left, right) => right.length - left.length)
    .reduce((current, name) => current.replaceAll(name, '<name>'), shorten(text));
  return RULES.reduce((current, [pattern, token]) => current.replace(pattern, token), named)
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .trim();
}

/** @param failure message, and the lines around it when they are known */
export function signatureOf(
  failure: { readonly message: string; readonly kind?: string },
  options: NormaliseOptions = {},
): Signature {
  const text = normaliseFailure(failure.message, options);
  return {
    key: createHash('sha256').update(`v${SIGNATURE_VERSION}\0${text}`).digest('hex').slice(0, 16),
    version: SIGNATURE_VERSION,
    text,
    weak: isGeneric(text),
  };
}

/** Whether a normalised message says nothing of the cause. */
export function isGeneric(text: string): boolean {
  return GENERIC.some((pattern) => pattern.test(text.trim()));
}

function shorten(text: string): string {
  if (text.length <= LONGEST) return text;
  return `${text.slice(0, LONGEST / 2)}\n...[truncated]...\n${text.slice(-LONGEST / 2)}`;
}
