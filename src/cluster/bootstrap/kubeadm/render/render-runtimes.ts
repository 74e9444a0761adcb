import { stringify } from 'yaml';

import type { NodeFacts } from './node-facts.js';
import type { KubeadmSettings, RuntimeName } from '../settings.js';

/** A file of a node, as a whole. */
export interface NodeFile {
  readonly path: string;
  readonly content: string;
  /** @default 0o644 */
  readonly mode?: number;
}

/** What one runtime needs: files, units to start in this order, the socket that must then be there. */
export interface RuntimePlan {
  readonly files: readonly NodeFile[];
  readonly units: readonly string[];
  readonly socket: string;
  /** Programs without which it can not work. */
  readonly needs: readonly string[];
  /** Puts an archive of images into its store. */
  readonly importCommand: (path: string) => string;
}

export const CRI_SOCKETS = {
  containerd: 'unix:///run/containerd/containerd.sock',
  docker: 'unix:///run/cri-dockerd.sock',
  'cri-o': 'unix:///run/crio/crio.sock',
} as const satisfies Record<RuntimeName, string>;

/** Members of `[Service]` that runtimes have alike. */
const RUNTIME_SERVICE = {
  Restart: 'always',
  RestartSec: '1',
  LimitNOFILE: 'infinity',
  TasksMax: 'infinity',
} as const;

const CNI_BIN = '/opt/cni/bin';
const CNI_CONF = '/etc/cni/net.d';
const OOM_WRAPPER = '/usr/local/sbin/mk-ci-runc';

export function planRuntime(settings: KubeadmSettings, facts: NodeFacts): RuntimePlan {
  switch (settings.runtime) {
    case 'containerd':
      return planContainerd(settings, facts);
    case 'docker':
      return planDocker(settings, facts);
    case 'cri-o':
      return planCrio(settings, facts);
  }
}

function planContainerd(settings: KubeadmSettings, facts: NodeFacts): RuntimePlan {
  const content = facts.containerdMajor === 1 ? renderContainerdV2(facts) : renderContainerdV3(facts);
  return {
    files: [
      { path: '/etc/containerd/config.toml', content },
      ...renderHosts(settings),
      unit('containerd.service', {
        Unit: { Description: 'containerd', After: 'network.target' },
        Service: {
          ExecStart: facts.programs['containerd'] ?? '/usr/local/bin/containerd',
          Type: 'notify',
          Delegate: 'yes',
          // Containers outlive a restart of it.
          KillMode: 'process',
          ...RUNTIME_SERVICE,
        },
      }),
    ],
    units: ['containerd.service'],
    socket: '/run/containerd/containerd.sock',
    needs: ['containerd', 'runc'],
    importCommand: (path) => `ctr -n k8s.io images import --digests=false ${path}`,
  };
}

/** Format 3, of containerd 2.x. @see {@link https://github.com/containerd/containerd/blob/main/docs/cri/config.md} */
export function renderContainerdV3(facts: NodeFacts): string {
  return toml([
    ['', { version: 3, disabled_plugins: UNUSED_SNAPSHOTTERS }],
    [`plugins."io.containerd.cri.v1.images"`, { snapshotter: 'overlayfs' }],
    [`plugins."io.containerd.cri.v1.images".pinned_images`, { sandbox: facts.pauseImage }],
    [`plugins."io.containerd.cri.v1.images".registry`, { config_path: '/etc/containerd/certs.d' }],
    [
      `plugins."io.containerd.cri.v1.runtime"`,
      {
        restrict_oom_score_adj: !facts.hasSysResource,
        enable_unprivileged_ports: true,
        enable_unprivileged_icmp: true,
        tolerate_missing_hugetlb_controller: true,
        // Of every container, for a feature gate of the kubelet that is off (PodAndContainerStatsFromCRI). Each second by default,
        // which is a tenth of what an idle node does. Older versions do not collect, and warn of a key they do not know.
        stats_collect_period: '10s',
      },
    ],
    [`plugins."io.containerd.cri.v1.runtime".cni`, { bin_dirs: [CNI_BIN], conf_dir: CNI_CONF }],
    [`plugins."io.containerd.cri.v1.runtime".containerd`, { default_runtime_name: 'runc' }],
    [`plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc`, { runtime_type: 'io.containerd.runc.v2' }],
    [
      `plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options`,
      { SystemdCgroup: facts.cgroups === 'v2', BinaryName: facts.programs['runc'] ?? 'runc' },
    ],
  ]);
}

/** Format 2, of containerd 1.x. */
export function renderContainerdV2(facts: NodeFacts): string {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return toml([
    ['', { version: 2, disabled_plugins: UNUSED_SNAPSHOTTERS }],
    [
      cri,
      {
        sandbox_image: facts.pauseImage,
        restrict_oom_score_adj: !facts.hasSysResource,
        enable_unprivileged_ports: true,
        enable_unprivileged_icmp: true,
        tolerate_missing_hugetlb_controller: true,
      },
    ],
    [`${cri}.cni`, { bin_dir: CNI_BIN, conf_dir: CNI_CONF }],
    [`${cri}.registry`, { config_path: '/etc/containerd/certs.d' }],
    [`${cri}.containerd`, { snapshotter: 'overlayfs', default_runtime_name: 'runc' }],
    [`${cri}.containerd.runtimes.runc`, { runtime_type: 'io.containerd.runc.v2' }],
    [
      `${cri}.containerd.runtimes.runc.options`,
      { SystemdCgroup: facts.cgroups === 'v2', BinaryName: facts.programs['runc'] ?? 'runc' },
    ],
  ]);
}

/** They probe the file system at start and are of no use here. */
const UNUSED_SNAPSHOTTERS = ['btrfs', 'devmapper', 'zfs', 'blockfile', 'erofs'].map(
  (name) => `io.containerd.snapshotter.v1.${name}`,
);

/** `hosts.toml` for each registry with mirrors or without TLS. */
function renderHosts({ registryMirrors, insecureRegistries }: KubeadmSettings): NodeFile[] {
  const hosts = [...new Set([...Object.keys(registryMirrors), ...insecureRegistries])];
  return hosts.map((host) => {
    const isInsecure = insecureRegistries.includes(host);
    const server = host === 'docker.io' ? 'https://registry-1.docker.io' : `${isInsecure ? 'http' : 'https'}://${host}`;
    const targets = [...(registryMirrors[host] ?? []).map(withScheme), ...(isInsecure ? [server] : [])];
    const content = toml([
      ['', { server }],
      ...targets.map((target): [string, Record<string, TomlValue>] => [
        `host.${JSON.stringify(target)}`,
        { capabilities: ['pull', 'resolve'], ...(isInsecure ? { skip_verify: true } : {}) },
      ]),
    ]);
    return { path: `/etc/containerd/certs.d/${host}/hosts.toml`, content };
  });
}

function planDocker(settings: KubeadmSettings, facts: NodeFacts): RuntimePlan {
  const wrapper = facts.hasSysResource ? [] : [{ path: OOM_WRAPPER, content: renderOomWrapper(facts), mode: 0o755 }];
  return {
    files: [
      { path: '/etc/docker/daemon.json', content: renderDockerDaemon(settings, facts) },
      ...wrapper,
      unit('docker.service', {
        Unit: { Description: 'Docker', After: 'network.target' },
        Service: {
          ExecStart: `${facts.programs['dockerd'] ?? '/usr/sbin/dockerd'} -H unix:///run/docker.sock`,
          Type: 'notify',
          Delegate: 'yes',
          KillMode: 'process',
          ...RUNTIME_SERVICE,
        },
      }),
      ...(settings.hasKubernetes ? [criDockerdUnit(facts)] : []),
    ],
    ...(settings.hasKubernetes
      ? {
          units: ['docker.service', 'cri-dockerd.service'],
          socket: '/run/cri-dockerd.sock',
          needs: ['dockerd', 'cri-dockerd', 'runc'],
        }
      : { units: ['docker.service'], socket: '/run/docker.sock', needs: ['dockerd', 'runc'] }),
    importCommand: (path) => `docker load -q -i ${path}`,
  };
}

function criDockerdUnit(facts: NodeFacts): NodeFile {
  return unit('cri-dockerd.service', {
    Unit: { Description: 'CRI for Docker', After: 'docker.service', Requires: 'docker.service' },
    Service: {
      ExecStart: [
        facts.programs['cri-dockerd'] ?? '/usr/local/bin/cri-dockerd',
        `--container-runtime-endpoint ${CRI_SOCKETS.docker}`,
        `--pod-infra-container-image=${facts.pauseImage}`,
        '--network-plugin=cni',
        `--cni-bin-dir=${CNI_BIN}`,
        `--cni-conf-dir=${CNI_CONF}`,
        '--hairpin-mode=none',
      ].join(' '),
      Type: 'simple',
      Restart: 'always',
      RestartSec: '1',
    },
  });
}

export function renderDockerDaemon(settings: KubeadmSettings, facts: NodeFacts): string {
  const mirrors = settings.registryMirrors['docker.io'] ?? [];
  const config = {
    'exec-opts': [`native.cgroupdriver=${facts.cgroups === 'v2' ? 'systemd' : 'cgroupfs'}`],
    'storage-driver': 'overlay2',
    'log-driver': 'json-file',
    'log-opts': { 'max-size': '100m' },
    // Pods get their network from CNI; a bridge of its own is of no use to them and takes a subnet.
    ...(settings.hasKubernetes ? { bridge: 'none' } : {}),
    'live-restore': true,
    ...(mirrors.length === 0 ? {} : { 'registry-mirrors': mirrors.map(withScheme) }),
    ...(settings.insecureRegistries.length === 0 ? {} : { 'insecure-registries': settings.insecureRegistries }),
    ...(facts.hasSysResource ? {} : { runtimes: { 'mk-ci': { path: OOM_WRAPPER } }, 'default-runtime': 'mk-ci' }),
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

/**
 * Docker asks for a lower `oom_score_adj` for system pods, which needs SYS_RESOURCE, and has no setting against it as
 * containerd has: before runc reads the bundle, a negative value in it becomes 0.
 */
function renderOomWrapper(facts: NodeFacts): string {
  return [
    '#!/bin/sh',
    'bundle=$PWD; take=',
    'for a in "$@"; do',
    '  [ -n "$take" ] && { bundle=$a; take=; continue; }',
    '  case $a in --bundle|-b) take=1;; --bundle=*) bundle=${a#--bundle=};; esac',
    'done',
    '[ -f "$bundle/config.json" ] && sed -i \'s/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/\' "$bundle/config.json"',
    `exec ${facts.programs['runc'] ?? 'runc'} "$@"`,
    '',
  ].join('\n');
}

/** Rendered for images and packages that have CRI-O: it can not be built from the module proxy. */
function planCrio(settings: KubeadmSettings, facts: NodeFacts): RuntimePlan {
  const isV2 = facts.cgroups === 'v2';
  const registries = [...new Set([...Object.keys(settings.registryMirrors), ...settings.insecureRegistries])];
  return {
    files: [
      {
        path: '/etc/crio/crio.conf.d/10-mk-ci.conf',
        content: toml([
          ['crio.api', { listen: '/run/crio/crio.sock' }],
          ['crio.image', { pause_image: facts.pauseImage }],
          ['crio.network', { network_dir: CNI_CONF, plugin_dirs: [CNI_BIN] }],
          [
            'crio.runtime',
            {
              cgroup_manager: isV2 ? 'systemd' : 'cgroupfs',
              conmon_cgroup: 'pod',
              default_runtime: 'runc',
              default_sysctls: ['net.ipv4.ip_unprivileged_port_start=0'],
              ...(facts.hasSysResource ? {} : { minimum_mappable_uid: -1 }),
            },
          ],
          [
            'crio.runtime.runtimes.runc',
            { runtime_path: facts.programs['runc'] ?? '/usr/sbin/runc', runtime_type: 'oci' },
          ],
        ]),
      },
      ...(registries.length === 0
        ? []
        : [
            {
              path: '/etc/containers/registries.conf.d/10-mk-ci.conf',
              content: registries
                .map((host) => {
                  const lines = [
                    `[[registry]]`,
                    `prefix = ${JSON.stringify(host)}`,
                    `location = ${JSON.stringify(host)}`,
                  ];
                  if (settings.insecureRegistries.includes(host)) lines.push('insecure = true');
                  for (const mirror of settings.registryMirrors[host] ?? []) {
                    lines.push(
                      '[[registry.mirror]]',
                      `location = ${JSON.stringify(mirror.replace(/^https?:\/\//, ''))}`,
                    );
                    if (!mirror.startsWith('https://')) lines.push('insecure = true');
                  }
                  return `${lines.join('\n')}\n`;
                })
                .join('\n'),
            },
          ]),
      unit('crio.service', {
        Unit: { Description: 'CRI-O', After: 'network.target' },
        Service: {
          ExecStart: facts.programs['crio'] ?? '/usr/bin/crio',
          Type: 'notify',
          ...RUNTIME_SERVICE,
        },
      }),
    ],
    units: ['crio.service'],
    socket: '/run/crio/crio.sock',
    needs: ['crio', 'runc'],
    importCommand: (path) => `podman load -q -i ${path}`,
  };
}

type TomlValue = string | number | boolean | readonly string[];

/** Tables in the order given; JSON's texts, numbers, truth values and lists of texts are those of TOML. */
function toml(tables: readonly (readonly [string, Readonly<Record<string, TomlValue>>])[]): string {
  return tables
    .map(([name, values]) => {
      const lines = Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
      return [...(name === '' ? [] : [`[${name}]`]), ...lines, ''].join('\n');
    })
    .join('\n');
}

/** A unit in `/etc`, which wins over those of the image. */
export function unit(name: string, sections: Readonly<Record<string, Readonly<Record<string, string>>>>): NodeFile {
  const text = Object.entries(sections).map(([section, values]) =>
    [`[${section}]`, ...Object.entries(values).map(([key, value]) => `${key}=${value}`), ''].join('\n'),
  );
  return { path: `/etc/systemd/system/${name}`, content: text.join('\n') };
}

function withScheme(address: string): string {
  return /^https?:\/\//.test(address) ? address : `http://${address}`;
}

/** For `/etc/crictl.yaml`, where somebody installs crictl. */
export function renderCrictl(runtime: RuntimeName): string {
  return stringify({ 'runtime-endpoint': CRI_SOCKETS[runtime] });
}
