/**
 * What Podman 4.3.1 of Debian 12 said on 2026-11-22, as root beside crun 1.8.1 and runc 1.1.5 on a hybrid cgroup tree; shortened
 * to what tells something, nothing changed. For the failures the program in question was taken away first.
 */
export const PODMAN_VERSION = {
  Client: {
    APIVersion: '4.3.1',
    Version: '4.3.1',
    GoVersion: 'go1.19.8',
    GitCommit: '',
    BuiltTime: 'Thu Jan  1 00:00:00 1970',
    Built: 0,
    OsArch: 'linux/amd64',
    Os: 'linux',
  },
};

export const PODMAN_INFO = {
  host: {
    arch: 'amd64',
    buildahVersion: '1.28.2',
    cgroupManager: 'cgroupfs',
    cgroupVersion: 'v1',
    conmon: {
      package: 'conmon_2.1.6+ds1-1_amd64',
      path: '/usr/bin/conmon',
      version: 'conmon version 2.1.6, commit: unknown',
    },
    idMappings: { gidmap: null, uidmap: null },
    networkBackend: 'cni',
    ociRuntime: { name: 'crun', package: 'crun_1.8.1-1+deb12u1_amd64', path: '/usr/bin/crun' },
    os: 'linux',
    serviceIsRemote: false,
    security: { apparmorEnabled: false, rootless: false, seccompEnabled: true, selinuxEnabled: false },
    swapTotal: 0,
  },
  store: { configFile: '/etc/containers/storage.conf', graphDriverName: 'overlay', runRoot: '/run/containers/storage' },
  version: { APIVersion: '4.3.1', Version: '4.3.1', OsArch: 'linux/amd64', Os: 'linux' },
} as const;

/** `idMappings` of a user without lines in /etc/subuid and /etc/subgid, and with them. */
export const ONE_ID = {
  gidmap: [{ container_id: 0, host_id: 65534, size: 1 }],
  uidmap: [{ container_id: 0, host_id: 65534, size: 1 }],
};
export const RANGE_OF_IDS = {
  gidmap: [
    { container_id: 0, host_id: 65534, size: 1 },
    { container_id: 1, host_id: 200000, size: 65536 },
  ],
  uidmap: [
    { container_id: 0, host_id: 65534, size: 1 },
    { container_id: 1, host_id: 200000, size: 65536 },
  ],
};

/** Standard error of `podman info`, exit code 125. */
export const PODMAN_FAILS = {
  noRuntime: 'Error: default OCI runtime "runc" not found: invalid argument\n',
  noConmon:
    'Error: could not find a working conmon binary (configured options: [/usr/libexec/podman/conmon /usr/local/libexec/podman/conmon /usr/local/lib/podman/conmon /usr/bin/conmon /usr/sbin/conmon /usr/local/bin/conmon /usr/local/sbin/conmon /run/current-system/sw/bin/conmon]: invalid argument)\n',
  noNetavark:
    'Error: could not find "netavark" in one of [/usr/local/libexec/podman /usr/local/lib/podman /usr/libexec/podman /usr/lib/podman].  To resolve this error, set the helper_binaries_dir key in the `[engine]` section of containers.conf to the directory containing your helper binaries.\n',
  noNewuidmap:
    'time="2026-11-22T07:29:53Z" level=warning msg="\\"/\\" is not a shared mount, this could cause issues or missing mounts with rootless containers"\n' +
    'Error: command required for rootless mode with multiple IDs: exec: "newuidmap": executable file not found in $PATH\n',
} as const;

/** Standard error of `podman run`, exit code 126; Podman 5.4.2 says the same. The container is there then, as created. */
export const PODMAN_PORT_TAKEN =
  'Error: cannot listen on the TCP port: listen tcp4 127.0.0.1:39999: bind: address already in use\n';

/** Of `podman container inspect`. */
export const PODMAN_CONTAINER = {
  Id: 'a0f1121132ebf3b9fd4f5ac18bc056d6eb2c8440769b916226a293ff009c9e76',
  Name: 'try-one',
  State: {
    OciVersion: '1.0.2-dev',
    Status: 'running',
    Running: true,
    Paused: false,
    Restarting: false,
    OOMKilled: false,
    Dead: false,
    Pid: 15608,
    ConmonPid: 15599,
    ExitCode: 0,
    Error: '',
    StartedAt: '2026-11-22T07:20:40.656708534Z',
    FinishedAt: '0001-01-01T00:00:00Z',
    Health: { Status: '', FailingStreak: 0, Log: null },
    CgroupPath: '/libpod_parent/libpod-a0f1121132ebf3b9fd4f5ac18bc056d6eb2c8440769b916226a293ff009c9e76',
  },
  OCIRuntime: 'runc',
  Config: {
    Hostname: 'try-one',
    Labels: {
      'dev.mk-ci.kubernetes-version': 'v1.36.3',
      'mk-ci.label.cluster': 'try',
      'mk-ci.label.run': 'r',
      'mk-ci.machine': 'try-one',
      'mk-ci.network': 'mk-ci-try',
      'mk-ci.spec': 'ee2c403b86a0158f',
    },
  },
  NetworkSettings: {
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    Ports: {
      '22/tcp': [{ HostIp: '127.0.0.1', HostPort: '43653' }],
      '6443/tcp': [{ HostIp: '127.0.0.1', HostPort: '39759' }],
    },
    SandboxKey: '/run/netns/netns-7dd51470-0946-8eac-7eff-c07dca40c598',
    Networks: {
      'mk-ci-try': {
        EndpointID: '',
        Gateway: '172.27.148.1',
        IPAddress: '172.27.148.2',
        IPPrefixLen: 24,
        MacAddress: '2a:79:90:29:9b:3a',
        NetworkID: 'mk-ci-try',
        DriverOpts: null,
        IPAMConfig: null,
        Links: null,
        Aliases: ['a0f1121132eb'],
      },
    },
  },
};

/** The same after `podman stop`. */
export const PODMAN_CONTAINER_STOPPED = {
  ...PODMAN_CONTAINER,
  State: { ...PODMAN_CONTAINER.State, Status: 'exited', Running: false, Pid: 0, ExitCode: 130 },
  NetworkSettings: {
    ...PODMAN_CONTAINER.NetworkSettings,
    SandboxKey: '',
    Networks: {
      'mk-ci-try': { EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, NetworkID: 'mk-ci-try' },
    },
  },
};

/** Of `podman network inspect`. */
export const PODMAN_NETWORK = {
  name: 'mk-ci-try',
  id: '6e86d6533cc87d90057bf76e2b439fd7328aeb8a0fddd34cbe503ce3ac2d6492',
  driver: 'bridge',
  network_interface: 'cni-podman1',
  created: '2026-11-22T07:20:38.326639577Z',
  subnets: [{ subnet: '172.27.148.0/24', gateway: '172.27.148.1' }],
  ipv6_enabled: false,
  internal: false,
  dns_enabled: false,
  labels: { 'mk-ci.label.cluster': 'try', 'mk-ci.machine': 'try-one', 'mk-ci.network': 'mk-ci-try' },
  ipam_options: { driver: 'host-local' },
};

/** Of `podman volume inspect`. */
export const PODMAN_VOLUME = {
  Name: 'try-one-var',
  Driver: 'local',
  Mountpoint: '/var/lib/containers/storage/volumes/try-one-var/_data',
  CreatedAt: '2026-11-22T07:20:38.71663407Z',
  Labels: { 'mk-ci.label.cluster': 'try', 'mk-ci.machine': 'try-one', 'mk-ci.network': 'mk-ci-try' },
  Scope: 'local',
  Options: {},
  MountCount: 0,
};
