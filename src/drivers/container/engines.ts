/** In what the engines differ, as data. Everything else in this folder is the same for all of them. */
export interface EngineTraits {
  /** Program, and name of the driver. */
  readonly name: 'docker' | 'podman';
  readonly summary: string;
  /** Oldest version with private cgroup namespaces and all flags used here. */
  readonly minVersion: readonly [number, number];
  /** `--privileged` gives what the host has, in place of failing when a capability is missing. */
  readonly privilegedIsBounded: boolean;
  /** Its default limits may lie above the hard limits of the host, and a container then does not start. */
  readonly setsOwnLimits: boolean;
  /** It prepares containers for systemd in its own way, which is switched off: the entry script does it for all engines. */
  readonly systemdFlag?: string;
  /** OCI runtimes that can not make containers on version 1 of cgroups, and what to use in their place. */
  readonly cgroupV1Runtime?: string;
  /** Options of `network create`: names are not asked for, and a server for them would be one more program to have. */
  readonly networkFlags: readonly string[];
  /** What tells a network for good. Podman 4 looks for the users of a network by the word it was given: by id it finds none. */
  readonly networkKey: 'id' | 'name';
  /** Options of `rm` beside `--force`: without them it first waits for an orderly end. */
  readonly removeFlags: readonly string[];
  /** It has a daemon that may not run. */
  readonly hasDaemon: boolean;
  /** Programs beside it without which it says nothing but these words. */
  readonly missingParts: readonly {
    readonly words: RegExp;
    readonly reason: string;
    readonly message: string;
    readonly fix: string;
    /** Only an engine that does not run as root needs it. */
    readonly isForRootless?: true;
  }[];
  readonly installUrl: string;
}

export const DOCKER: EngineTraits = {
  name: 'docker',
  summary: 'nodes are containers of Docker, with systemd, kubelet and a container runtime inside',
  minVersion: [20, 10],
  privilegedIsBounded: false,
  setsOwnLimits: false,
  networkFlags: [],
  networkKey: 'id',
  removeFlags: [],
  hasDaemon: true,
  missingParts: [],
  installUrl: 'https://docs.docker.com/engine/install/',
};

export const PODMAN: EngineTraits = {
  name: 'podman',
  summary: 'nodes are containers of Podman, with systemd, kubelet and a container runtime inside',
  minVersion: [4, 0],
  privilegedIsBounded: true,
  setsOwnLimits: true,
  systemdFlag: '--systemd=false',
  cgroupV1Runtime: 'runc',
  networkFlags: ['--disable-dns'],
  networkKey: 'name',
  removeFlags: ['--time', '0'],
  hasDaemon: false,
  missingParts: [
    {
      words: /OCI runtime "[^"]*" not found/,
      reason: 'RUNTIME',
      message: 'finds no OCI runtime',
      fix: 'Install runc, or crun where cgroups have version 2.',
    },
    {
      words: /conmon/,
      reason: 'CONMON',
      message: 'finds no conmon that it can use',
      fix: 'Install conmon, of the same release as podman.',
    },
    {
      words: /could not find "netavark"/,
      reason: 'NETWORK',
      message: 'finds no netavark, with which it makes networks',
      fix: 'Install netavark.',
    },
    {
      words: /new[ug]idmap/,
      reason: 'ROOTLESS_IDS',
      isForRootless: true,
      message: 'finds no newuidmap, which it needs for users that are not root',
      fix: 'Install uidmap and give the user 65536 ids in /etc/subuid and /etc/subgid, or run podman as root.',
    },
  ],
  installUrl: 'https://podman.io/docs/installation',
};
