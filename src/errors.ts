/**
 * Every way in which mk-ci stops, with a stable code.
 *
 * A code never changes its meaning once released. Its prefix says where the trouble comes from; the exit code says the
 * same to scripts, in decades as minikube uses them (`pkg/minikube/reason/exitcodes.go`): 10s the program and its
 * input, 30s the host, 50s a driver, 70s the local network, 80s the guest (nodes, workloads), 90s the container runtime, 100s the control plane,
 * 110s a service elsewhere. Inside a decade the last digit is the kind: 0 error, 1 conflict, 2 timeout,
 * 3 not running, 4 usage, 5 not found, 6 unsupported, 7 permission, 8 configuration, 9 unavailable.
 *
 * `docs/reference/errors.md` shows this table to users; a test compares the two.
 */

/** What the catalogue knows of a code, whatever the occasion. */
export interface ErrorEntry {
  /** One line, without a full stop; the occasion is added in brackets by the thrower's `message`. */
  readonly summary: string;
  /** Process exit code when this error ends the program, 1…125. */
  readonly exitCode: number;
  /** What to do about it, in the imperative. */
  readonly advice: string;
}

export const ERROR_CATALOGUE = {
  // CLI: how mk-ci was called
  CLI_USAGE: { summary: 'The command line is not right', exitCode: 14, advice: 'Run the command with --help.' },
  CLI_UNKNOWN_COMMAND: { summary: 'There is no such command', exitCode: 14, advice: 'Run mk-ci --help for the list.' },
  CLI_NO_INPUT: {
    summary: 'An input file is missing or can not be read',
    exitCode: 15,
    advice: 'Check the path and its permissions.',
  },
  CLI_INTERNAL: {
    summary: 'mk-ci itself failed',
    exitCode: 10,
    advice: 'Report it with the command line and the lines below.',
  },

  // CFG: mk-ci.yaml
  CFG_NOT_FOUND: {
    summary: 'No mk-ci.yaml was found',
    exitCode: 18,
    advice: 'Run mk-ci init here, or name the file with --config.',
  },
  CFG_UNREADABLE: {
    summary: 'The configuration file can not be read',
    exitCode: 18,
    advice: 'Check the path and its permissions.',
  },
  CFG_INVALID: {
    summary: 'The configuration is not valid',
    exitCode: 18,
    advice: 'Correct the places listed; mk-ci.schema.json describes every key.',
  },
  CFG_MATRIX: {
    summary: 'The environment matrix is not possible',
    exitCode: 18,
    advice: 'Correct include, exclude or names so that every environment is distinct and supported.',
  },
  CFG_NOTHING_SELECTED: {
    summary: 'No cell is left to run',
    exitCode: 18,
    advice: 'Widen --driver, --environment, --select, --shard or the suite names.',
  },

  // RES: reading and writing results
  RES_UNKNOWN_FORMAT: {
    summary: 'The format of a test output was not recognised',
    exitCode: 18,
    advice: 'Name it with --format.',
  },
  RES_EMPTY: {
    summary: 'A test output is empty',
    exitCode: 18,
    advice: 'Check that the tests ran and that their output went into this file.',
  },
  RES_MALFORMED: {
    summary: 'A test output is broken',
    exitCode: 18,
    advice: 'Look at the place named; what could be read before it is in the report.',
  },
  RES_TOO_LARGE: {
    summary: 'A test output exceeds a safety limit',
    exitCode: 18,
    advice: 'Split the file, or raise the limit named.',
  },
  RES_NOT_A_RUN: {
    summary: 'The folder holds no mk-ci run',
    exitCode: 15,
    advice: 'Give the folder that contains events.jsonl.',
  },

  // HOST: this machine
  HOST_MISSING_TOOL: {
    summary: 'A program that is needed is not installed',
    exitCode: 35,
    advice: 'Install the program named.',
  },
  HOST_COMMAND_FAILED: { summary: 'A command failed', exitCode: 30, advice: 'Read the last lines of its output.' },
  HOST_COMMAND_TIMEOUT: {
    summary: 'A command did not end in time',
    exitCode: 32,
    advice: 'Read the last lines of its output; raise the limit when it was still at work.',
  },
  HOST_DISK_FULL: {
    summary: 'The disk is full',
    exitCode: 39,
    advice: 'Free space in the folder named, or choose another with --out or MK_CI_HOME.',
  },
  HOST_PERMISSION: {
    summary: 'The host refuses access',
    exitCode: 37,
    advice: 'Check owner and mode of the path named, or choose another folder with --out or MK_CI_HOME.',
  },
  HOST_NO_PORT: {
    summary: 'No free port was found',
    exitCode: 31,
    advice: 'End programs that hold ports of the range named, or run mk-ci gc.',
  },
  HOST_LOCKED: {
    summary: 'Another mk-ci process holds the lock',
    exitCode: 31,
    advice: 'Wait for the process named, or end it.',
  },
  HOST_RESOURCES: {
    summary: 'The host is too small for this',
    exitCode: 39,
    advice: 'Lower --jobs or the number of nodes, or free memory.',
  },
  HOST_UNSUPPORTED: {
    summary: 'This operating system or architecture is not supported',
    exitCode: 36,
    advice: 'See the driver table in README.md.',
  },

  // BND: bundles of Kubernetes binaries
  BND_NO_SOURCE: {
    summary: 'The bundle could not be had from any source',
    exitCode: 39,
    advice: 'Give a mirror with --from, allow network access, or install Go.',
  },
  BND_CHECKSUM: {
    summary: 'A file of the bundle does not match its checksum',
    exitCode: 38,
    advice:
      'Delete the bundle with mk-ci bundle delete and fetch it again; if it repeats, the source is not to be trusted.',
  },
  BND_UNKNOWN_VERSION: {
    summary: 'The Kubernetes version is not known',
    exitCode: 14,
    advice: 'Give a full version such as v1.36.3.',
  },
  BND_BUILD_FAILED: {
    summary: 'Building a Kubernetes program failed',
    exitCode: 30,
    advice: 'Read the compiler output in the log named.',
  },

  // IMG: node images
  IMG_NO_MIRROR: {
    summary: 'No Debian mirror is known',
    exitCode: 38,
    advice: 'Put one into /etc/apt/sources.list.d, or give a root file system with --rootfs FILE or --base IMAGE.',
  },
  IMG_ROOTFS_FAILED: {
    summary: 'The root file system of nodes could not be made',
    exitCode: 30,
    advice: 'Read the message of mmdebstrap, or give a root file system with --rootfs FILE or --base IMAGE.',
  },
  IMG_BAD_ROOTFS: {
    summary: 'The root file system can not be used for nodes',
    exitCode: 38,
    advice: 'Give the tar of a Linux root file system that has systemd, runc and iptables.',
  },
  IMG_NO_ENGINE: {
    summary: 'No container engine can take the image',
    exitCode: 59,
    advice: 'Start docker or podman (mk-ci doctor says how), or leave the image in the cache with --engine none.',
  },
  IMG_LOAD_FAILED: {
    summary: 'The container engine did not take the image',
    exitCode: 50,
    advice: 'Read the message of the engine; a full disk below its storage is the usual reason.',
  },

  // DRV: drivers
  DRV_UNKNOWN: { summary: 'There is no such driver', exitCode: 54, advice: 'Run mk-ci doctor for the list.' },
  DRV_UNUSABLE: {
    summary: 'The driver can not work on this host',
    exitCode: 59,
    advice: 'Run mk-ci doctor for the remedy.',
  },
  DRV_UNSUPPORTED: {
    summary: 'The driver can not do this',
    exitCode: 56,
    advice: 'Choose another driver or leave the option out.',
  },
  DRV_MACHINE_NOT_FOUND: { summary: 'The machine does not exist', exitCode: 55, advice: 'Run mk-ci cluster list.' },
  DRV_MACHINE_EXISTS: {
    summary: 'A foreign machine has this name',
    exitCode: 51,
    advice: 'Choose another cluster name.',
  },
  DRV_FAILED: { summary: 'The driver failed', exitCode: 50, advice: 'Read the cause above.' },
  DRV_HOST_IN_USE: {
    summary: 'The host is in use',
    exitCode: 51,
    advice: 'Delete the cluster that runs there, or take another host.',
  },
  DRV_NOT_CONFIRMED: {
    summary: 'This would change a host, and nobody agreed to it',
    exitCode: 54,
    advice: 'Read what would change, then repeat the command with --yes.',
  },
  DRV_SUDO: {
    summary: 'The user is not root and sudo asks for a password',
    exitCode: 57,
    advice: 'Allow it to this user without a password (NOPASSWD in sudoers), or log in as root.',
  },
  DRV_ROOTLESS: {
    summary: 'An engine that does not run as root can not run nodes here',
    exitCode: 57,
    advice: 'Run the engine as root, or use the driver local.',
  },
  DRV_RESTORE_FAILED: {
    summary: 'The host could not be put back as it was',
    exitCode: 50,
    advice: 'Look at what is named on the host, then repeat mk-ci cluster delete.',
  },

  // NET: local network
  NET_UNREACHABLE: {
    summary: 'An address can not be reached',
    exitCode: 79,
    advice: 'Check network, proxy and the address named.',
  },
  NET_SSH_AUTH: {
    summary: 'The host does not accept the ssh key',
    exitCode: 77,
    advice: 'Check the user and that the public key is in its authorized_keys.',
  },
  NET_SSH_HOST_UNKNOWN: {
    summary: 'The ssh key of the host is not known',
    exitCode: 78,
    advice: 'Compare its fingerprint, then give the key, or accept-new to note the first one that it shows.',
  },
  NET_SSH_HOST_KEY: {
    summary: 'The host shows another ssh key than it should',
    exitCode: 71,
    advice: 'Make sure that it is the right host; if its key was changed on purpose, give the new one.',
  },

  // K8S: control plane, nodes, workloads
  K8S_COMPONENT_FAILED: {
    summary: 'A component of the control plane ended',
    exitCode: 100,
    advice: "Read the component's last lines above.",
  },
  K8S_START_TIMEOUT: {
    summary: 'The cluster was not ready in time',
    exitCode: 102,
    advice: 'Read what was awaited and seen last; raise --timeout on a slow host.',
  },
  K8S_NOT_RUNNING: { summary: 'The cluster is not running', exitCode: 103, advice: 'Run mk-ci cluster start NAME.' },
  K8S_CLUSTER_NOT_FOUND: { summary: 'There is no such cluster', exitCode: 105, advice: 'Run mk-ci cluster list.' },
  K8S_ABSENT: {
    summary: 'The cluster has no Kubernetes',
    exitCode: 106,
    advice: 'Start another cluster without --no-kubernetes.',
  },
  K8S_ONE_CONTROL_PLANE: {
    summary: 'The cluster was made for one control plane',
    exitCode: 106,
    advice: 'Start another one with --control-planes 1 or more, which can have others later.',
  },
  K8S_NODE_NOT_FOUND: {
    summary: 'The cluster has no such node',
    exitCode: 105,
    advice: 'Run mk-ci cluster node list NAME.',
  },
  K8S_CLUSTER_EXISTS: {
    summary: 'The cluster exists with another configuration',
    exitCode: 101,
    advice: 'Delete it first, or choose another name.',
  },
  K8S_DOWNGRADE: {
    summary: 'The version is before the one that the cluster has',
    exitCode: 101,
    advice: 'Start another cluster of that version.',
  },
  K8S_SKIPPED_MINOR: {
    summary: 'The upgrade leaves out a minor version',
    exitCode: 101,
    advice: 'Upgrade to the next minor version first.',
  },
  K8S_UPGRADE_FAILED: {
    summary: 'The upgrade did not come to its end',
    exitCode: 100,
    advice: 'Remove what is named as its cause, and upgrade again.',
  },
  K8S_KUBECONFIG: {
    summary: 'The kubeconfig can not be used',
    exitCode: 108,
    advice: 'Check file, context and credentials.',
  },
  K8S_API_ERROR: { summary: 'The Kubernetes API refused a request', exitCode: 100, advice: 'Read the status above.' },
  K8S_SNAPSHOT_NOT_FOUND: {
    summary: 'There is no such snapshot',
    exitCode: 105,
    advice: 'Run mk-ci cluster snapshot list NAME.',
  },
  K8S_SNAPSHOT_BROKEN: {
    summary: 'A snapshot or template is damaged',
    exitCode: 108,
    advice: 'Delete it; a template is made again by itself.',
  },

  // RUN: running suites
  RUN_SUITE_START: {
    summary: 'The command of a suite can not be started',
    exitCode: 18,
    advice: 'Check the command, its path and its executable bit.',
  },
  RUN_SUITE_TIMEOUT: {
    summary: 'A suite did not end in time',
    exitCode: 1,
    advice: 'Raise timeoutMinutes, or look at the tests listed as unfinished.',
  },
  RUN_SUITE_EXIT: {
    summary: 'A suite ended badly though no test failed',
    exitCode: 1,
    advice: 'Read the last lines of its standard error; something outside the tests failed.',
  },
  RUN_NO_TESTS: {
    summary: 'No test ran',
    exitCode: 18,
    advice: 'Check the command and format of the suites; a run without tests never passes.',
  },
  RUN_CONSERVATION: {
    summary: 'Started tests and results do not add up',
    exitCode: 10,
    advice: 'Report it with the events.jsonl of the run.',
  },
  RUN_ENGINE_CELL: {
    summary: 'The engine can not run this cell',
    exitCode: 56,
    advice: 'Select environments with driver existing (--driver existing), or leave --engine out.',
  },
  RUN_ENGINE_IMAGE: {
    summary: 'The pods of the run can not start from the image',
    exitCode: 59,
    advice: 'Name with --engine-image an image that the nodes have or can pull.',
  },
  RUN_POD_LOST: {
    summary: 'The pod of a cell was lost',
    exitCode: 80,
    advice:
      'Look at the reason named: node, memory limit or eviction; what the pod had sent is in lost-pods of the run.',
  },
  RUN_OUTPUT: {
    summary: 'The output folder can not be written',
    exitCode: 39,
    advice: 'Free space or choose another folder with --out.',
  },

  // RPT: the report page
  RPT_ASSETS: {
    summary: 'The script of the report page is missing',
    exitCode: 10,
    advice: 'Install the package again; in a source tree run npm run build.',
  },

  // DB: flake database
  DB_OPEN: { summary: 'The database can not be opened', exitCode: 38, advice: 'Check path and permissions.' },
  DB_FOREIGN: {
    summary: 'The file is not a database of mk-ci',
    exitCode: 38,
    advice: 'Name another file with --database.',
  },
  DB_NEWER: { summary: 'The database was written by a newer mk-ci', exitCode: 36, advice: 'Update mk-ci.' },
  DB_CORRUPT: {
    summary: 'The database is damaged',
    exitCode: 38,
    advice: 'Restore a backup; mk-ci flake merge can save what is readable.',
  },
  DB_BUSY: { summary: 'Another process writes to the database', exitCode: 31, advice: 'Try again when it has ended.' },
  DB_BAD_INPUT: { summary: 'The data to import is not right', exitCode: 18, advice: 'Correct the rows named.' },
  DB_NO_RUNS: {
    summary: 'The database holds no run to show',
    exitCode: 35,
    advice: 'Record runs with mk-ci flake record, or widen --days.',
  },
  DB_NOT_FOUND: {
    summary: 'The database holds no such thing',
    exitCode: 35,
    advice: 'Check the names; they are compared as they stand.',
  },
  DB_BAD_COUNTS: {
    summary: 'Counts are negative or contradict each other',
    exitCode: 10,
    advice: 'Report it with the database.',
  },

  // SRV: the dashboard's server
  SRV_PORT_TAKEN: {
    summary: 'Another program listens on this port',
    exitCode: 31,
    advice: 'Choose another with --listen 127.0.0.1:PORT; port 0 takes a free one.',
  },
  SRV_LISTEN: {
    summary: 'The address can not be listened on',
    exitCode: 34,
    advice: 'Give an address of this host as 127.0.0.1:7117 or [::1]:7117.',
  },
  SRV_TOKEN: {
    summary: 'There is no usable token or secret',
    exitCode: 18,
    advice: 'Write at least 16 characters into the file, such as what openssl rand -hex 32 prints.',
  },
  SRV_BAD_REQUEST: { summary: 'The request is not right', exitCode: 14, advice: 'See /api/openapi.json.' },
  SRV_UNAUTHORIZED: {
    summary: 'The token is missing or is another one',
    exitCode: 37,
    advice: 'Send the header Authorization: Bearer TOKEN.',
  },
  SRV_READ_ONLY: {
    summary: 'This server takes no results',
    exitCode: 36,
    advice: 'Start it with --token-file FILE.',
  },
  SRV_TOO_LARGE: {
    summary: 'The request is larger than this server takes',
    exitCode: 14,
    advice: 'Send one run at a time, without its logs, or start the server with a larger --max-upload.',
  },
  SRV_OVERLOADED: { summary: 'Too many uploads at once', exitCode: 39, advice: 'Send it again in a moment.' },

  // GH: GitHub
  GH_FAILED: { summary: 'GitHub refused a request', exitCode: 119, advice: 'Read the status above.' },
  GH_USAGE: {
    summary: 'It is not known which repository, commit or pull request is meant',
    exitCode: 114,
    advice: 'Give it by a flag, or run inside a GitHub Actions job.',
  },
  GH_NO_TOKEN: {
    summary: 'There is no token for GitHub',
    exitCode: 117,
    advice: 'Set GITHUB_TOKEN, or MK_CI_GITHUB_APP_ID and MK_CI_GITHUB_APP_KEY.',
  },
  GH_UNAUTHORIZED: {
    summary: 'GitHub does not accept the token',
    exitCode: 117,
    advice: 'Check that the token is whole, has not expired and belongs to this server.',
  },
  GH_FORBIDDEN: {
    summary: 'GitHub does not allow this to the token',
    exitCode: 117,
    advice: 'Give the job or the App the permission that docs/github.md names for this command.',
  },
  GH_RATE_LIMIT: {
    summary: 'The rate limit of GitHub is used up',
    exitCode: 112,
    advice: 'Try again later, or use the token of a GitHub App, which has a limit of its own.',
  },
  GH_NOT_FOUND: {
    summary: 'GitHub does not know this, or hides it from the token',
    exitCode: 115,
    advice: 'Check repository and number, and that the token may read the repository.',
  },
  GH_GONE: {
    summary: 'This is switched off or deleted on GitHub',
    exitCode: 116,
    advice: 'Switch issues on in the settings of the repository, or do without this command.',
  },
  GH_INVALID: {
    summary: 'GitHub found the content of a request not right',
    exitCode: 118,
    advice: 'Report it with the message above.',
  },
  GH_UNREACHABLE: {
    summary: 'GitHub can not be reached',
    exitCode: 119,
    advice: 'Check network, HTTPS_PROXY and GITHUB_API_URL.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

export interface ErrorOptions {
  /** What happened on this occasion, one line; appended to the catalogue's summary. */
  readonly message?: string;
  /** Replaces the catalogue's advice when the occasion allows a better one. */
  readonly advice?: string;
  readonly cause?: unknown;
  /** Facts for machines and for the lines printed below the message. Secrets are removed. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The only error class that mk-ci throws on purpose; anything else that surfaces is a bug. */
export class MkCiError extends Error {
  override readonly name = 'MkCiError';
  readonly code: ErrorCode;
  readonly exitCode: number;
  readonly advice: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    const entry: ErrorEntry = ERROR_CATALOGUE[code];
    const message = options.message === undefined ? entry.summary : `${entry.summary}: ${options.message}`;
    super(redactSecrets(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.exitCode = entry.exitCode;
    this.advice = redactSecrets(options.advice ?? entry.advice);
    this.details = redactDetails(options.details ?? {});
  }
}

/** True for an error of the given code, or of any code when none is given. */
export function isMkCiError(error: unknown, code?: ErrorCode): error is MkCiError {
  return error instanceof MkCiError && (code === undefined || error.code === code);
}

/** `code` of a Node system error (`ENOENT`, `ENOSPC` …), or `undefined` for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Message of whatever was thrown, without a stack trace. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The catalogue's word for a file system error, so that a full disk or a read-only home reads the same everywhere.
 *
 * @returns `HOST_DISK_FULL` for ENOSPC and EDQUOT, `HOST_PERMISSION` for EACCES, EPERM, EROFS and for a file where a folder
 *   should be (ENOTDIR), else `undefined`
 */
export function hostErrorOf(error: unknown, path: string): MkCiError | undefined {
  switch (systemErrorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new MkCiError('HOST_DISK_FULL', { message: path, cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new MkCiError('HOST_PERMISSION', { message: path, cause: error });
    case 'ENOTDIR':
      return new MkCiError('HOST_PERMISSION', {
        message: `${path} (a file is where a folder should be)`,
        advice: 'Move the file away, or choose another folder with --out or MK_CI_HOME.',
        cause: error,
      });
    default:
      return undefined;
  }
}

// Values that must never reach a log, a report or a comment: tokens by their published prefixes, bearer headers,
// credentials in URLs, private keys.
const SECRETS: readonly RegExp[] = [
  /\bgh[pousr]_[A-Za-z0-9]{20,}\b/g,
  /\bgithub_pat_[A-Za-z0-9_]{20,}\b/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\b/g,
  /(?<=\b[Bb]earer )[A-Za-z0-9._~+/=-]{8,}/g,
  /(?<=:\/\/[^\s/:@]{1,256}:)[^\s/@]{1,512}(?=@)/g,
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g,
];

/** Replaces tokens, bearer headers, passwords in URLs and private keys by `***`. */
export function redactSecrets(text: string): string {
  return SECRETS.reduce((current, pattern) => current.replace(pattern, '***'), text);
}

function redactDetails(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(details).map(([key, value]) => [key, typeof value === 'string' ? redactSecrets(value) : value]),
  );
}
