import type { ErrorCode } from '../../errors.js';

/** A known way in which a component fails, recognised in the last lines of its log. */
export interface KnownFailure {
  readonly kind: 'port-taken' | 'disk-full' | 'permission' | 'flags' | 'data' | 'certificate' | 'limits' | 'memory';
  readonly pattern: RegExp;
  readonly advice: string;
}

/** A component that can not write its log either says nothing: then the disk itself is asked. */
export const DISK_FULL_FAILURE: KnownFailure = {
  kind: 'disk-full',
  pattern: /no space left on device|disk quota exceeded|mvcc: database space exceeded/i,
  advice:
    'Free space on the disk of the state folder and of the container engine, or set MK_CI_HOME to a folder elsewhere.',
};

export const MEMORY_FAILURE: KnownFailure = {
  kind: 'memory',
  pattern: /out of memory|cannot allocate memory/i,
  advice: 'Free memory, lower --jobs, or raise options.memoryMiB of the environment where it is set.',
};

/** The first that matches counts: general ones come last. */
export const KNOWN_FAILURES: readonly KnownFailure[] = [
  {
    kind: 'port-taken',
    pattern: /address already in use/i,
    advice: 'Another program took the port between lease and use; start again.',
  },
  DISK_FULL_FAILURE,
  {
    kind: 'flags',
    pattern: /unknown flag|flag provided but not defined|unknown shorthand flag|invalid argument .* for .*flag/i,
    advice: 'A flag is not known to this version: check the flags given in the options of the cluster.',
  },
  {
    kind: 'data',
    pattern: /crc mismatch|snap: .*corrupt|wal: .*(crc|corrupt|slice bounds)|invalid page type|file is truncated/i,
    advice: 'The data of etcd is damaged, as after a power cut: delete the cluster and start it again.',
  },
  {
    kind: 'certificate',
    pattern: /certificate has expired or is not yet valid|x509: certificate signed by unknown authority/i,
    advice: "Check the host's clock; delete the cluster and start it again for new certificates.",
  },
  {
    kind: 'limits',
    pattern: /too many open files|resource temporarily unavailable|cannot allocate memory: fork/i,
    advice: 'Raise the limit of open files or processes (ulimit -n, -u), or run fewer clusters at once.',
  },
  MEMORY_FAILURE,
  {
    kind: 'permission',
    pattern: /permission denied|read-only file system|operation not permitted/i,
    advice: 'Check owner and mode of the state folder.',
  },
];

/** A start that fails for want of room fails because of the host, whichever component meets it first. */
export function codeOfFailure(known: KnownFailure | undefined, otherwise: ErrorCode): ErrorCode {
  return known?.kind === 'disk-full' ? 'HOST_DISK_FULL' : otherwise;
}

/** @returns `undefined` when none of the patterns is in the text */
export function recogniseFailure(lines: readonly string[]): KnownFailure | undefined {
  const text = lines.join('\n');
  return KNOWN_FAILURES.find((failure) => failure.pattern.test(text));
}
