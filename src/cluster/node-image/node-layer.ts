import type { Bundle, BundleProgram } from '../bundle/index.js';
import { programsOf } from '../bundle/index.js';
import type { ComponentImage } from './component-image.js';
import { containerdStore } from './containerd-store.js';
import { dockerStore } from './docker-store.js';
import { LAYERS_FOLDER, type NodeImageFacts } from './model.js';
import { textEntry, type TarContent, type TarEntry } from './tar.js';

/** What a node image has above the root file system: programs, units, stores. Pure. */

const PROGRAMS: readonly BundleProgram[] = [
  ...(['kubeadm', 'kubelet', 'kubectl', 'containerd', 'containerd-shim-runc-v2', 'ctr', 'cri-dockerd'] as const),
];

/** Units that wait for hardware, terminals or time, or that a node starts when it wants them. */
const MASKED = [
  ...['getty.target', 'console-getty.service', 'getty@.service', 'systemd-logind.service', 'systemd-firstboot.service'],
  ...[
    'systemd-udevd.service',
    'systemd-udevd-kernel.socket',
    'systemd-udevd-control.socket',
    'systemd-udev-trigger.service',
  ],
  ...['systemd-networkd-wait-online.service', 'systemd-update-done.service', 'systemd-resolved.service'],
  ...['sys-kernel-debug.mount', 'sys-kernel-tracing.mount', 'dev-hugepages.mount', 'dev-mqueue.mount'],
  ...['proc-sys-fs-binfmt_misc.automount', 'systemd-binfmt.service', 'e2scrub_reap.service', 'e2scrub_all.timer'],
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'fstrim.timer'],
  // For modules of the kernel that nobody asked for.
  ...['sys-fs-fuse-connections.mount', 'sys-kernel-config.mount', 'systemd-pstore.service'],
  // Most of what it sets is the host's, where a node is a container.
  'systemd-sysctl.service',
] as const;

/** systemd compares their time with that of `/usr`: links of libraries, users and the like are as the packages made them. */
const UPDATED = ['etc/.updated', 'var/.updated'] as const;

const CONTAINERD_UNIT = `[Unit]
Description=containerd
After=network.target local-fs.target dbus.service mk-ci-store.service

[Service]
Type=notify
ExecStart=/usr/local/bin/containerd
Delegate=yes
KillMode=process
Restart=always
RestartSec=1
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`;

// kubeadm starts the kubelet before it has written all of its configuration: it may fail as often as it wants.
const KUBELET_UNIT = `[Unit]
Description=kubelet
After=network.target
StartLimitIntervalSec=0

[Service]
ExecStart=/usr/local/bin/kubelet
Restart=always
RestartSec=1
CPUAccounting=true
MemoryAccounting=true

[Install]
WantedBy=multi-user.target
`;

// The variables that kubeadm counts on, as in the packages of Kubernetes.
const KUBELET_DROP_IN = `[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`;

const CRI_DOCKERD_UNIT = `[Unit]
Description=CRI of docker
After=docker.service
Requires=docker.service

[Service]
Type=notify
EnvironmentFile=-/etc/default/cri-dockerd
ExecStart=/usr/local/bin/cri-dockerd --container-runtime-endpoint=unix:///run/cri-dockerd.sock --network-plugin=cni $CRI_DOCKERD_ARGS
Delegate=yes
KillMode=process
Restart=always
RestartSec=1

[Install]
WantedBy=multi-user.target
`;

const STORE_UNIT = `[Unit]
Description=layers of the node image in the stores of the runtimes
DefaultDependencies=no
After=local-fs.target
Before=containerd.service docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/mk-ci/settle-store
`;

/** Where a kernel refuses overlay mounts above the layers (too many overlays upon each other), the layers are copied. */
const SETTLE_STORE = `#!/bin/sh
set -eu
layers=${LAYERS_FOLDER}
probe=/var/lib/mk-ci-probe
mkdir -p $probe/upper $probe/work $probe/mount
lower=$layers/$(ls $layers | head -n 1)
if mount -t overlay -o lowerdir=$lower,upperdir=$probe/upper,workdir=$probe/work overlay $probe/mount; then
  umount $probe/mount
  rm -rf $probe
  exit 0
fi
rm -rf $probe
echo 'overlay above the layers is refused, copying them'
for link in /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs /var/lib/docker/overlay2/*/diff; do
  [ -L "$link" ] || continue
  rm -rf "$link.copy"
  cp -a "$(readlink "$link")" "$link.copy"
  rm "$link"
  mv "$link.copy" "$link"
done
`;

export interface NodeLayerInput {
  readonly bundle: Pick<Bundle, 'path'>;
  readonly images: readonly ComponentImage[];
  readonly facts: NodeImageFacts;
  readonly sizeOf: (file: string) => number;
}

export function nodeLayerEntries({ bundle, images, facts, sizeOf }: NodeLayerInput): TarEntry[] {
  const program = (name: BundleProgram): TarContent => ({
    file: bundle.path(name),
    sizeBytes: sizeOf(bundle.path(name)),
  });
  const plugins = programsOf(['node']).filter(({ component }) => component === 'cni-plugins');
  const units = 'usr/local/lib/systemd/system';
  return [
    ...PROGRAMS.map((name): TarEntry => ({
      kind: 'file',
      path: `usr/local/bin/${name}`,
      content: program(name),
      mode: 0o755,
    })),
    ...plugins.map(({ name }): TarEntry => ({
      kind: 'file',
      path: `opt/cni/bin/${name}`,
      content: program(name),
      mode: 0o755,
    })),
    textEntry(`${units}/containerd.service`, CONTAINERD_UNIT),
    textEntry(`${units}/kubelet.service`, KUBELET_UNIT),
    textEntry(`${units}/kubelet.service.d/10-kubeadm.conf`, KUBELET_DROP_IN),
    textEntry(`${units}/cri-dockerd.service`, CRI_DOCKERD_UNIT),
    textEntry(`${units}/mk-ci-store.service`, STORE_UNIT),
    textEntry('usr/local/lib/mk-ci/settle-store', SETTLE_STORE, 0o755),
    {
      kind: 'link',
      path: 'etc/systemd/system/multi-user.target.wants/mk-ci-store.service',
      target: `/${units}/mk-ci-store.service`,
    },
    { kind: 'link', path: 'etc/systemd/system/default.target', target: '/usr/lib/systemd/system/multi-user.target' },
    ...MASKED.map((unit): TarEntry => ({ kind: 'link', path: `etc/systemd/system/${unit}`, target: '/dev/null' })),
    ...UPDATED.map((path) => textEntry(path, '')),
    textEntry('etc/mk-ci/node-image.json', `${JSON.stringify(facts, undefined, 2)}\n`),
    ...images.flatMap(({ folder, entries }) => [
      { kind: 'folder', path: `${LAYERS_FOLDER.slice(1)}/${folder}` } as const,
      ...entries.map((entry): TarEntry => ({ ...entry, path: `${LAYERS_FOLDER.slice(1)}/${folder}/${entry.path}` })),
    ]),
    ...below('var/lib/containerd', containerdStore(images, LAYERS_FOLDER), 0o711),
    ...below('var/lib/docker', dockerStore(images, LAYERS_FOLDER), 0o710),
  ];
}

function below(folder: string, entries: readonly TarEntry[], mode: number): TarEntry[] {
  return [
    { kind: 'folder', path: folder, mode },
    ...entries.map((entry): TarEntry => ({ ...entry, path: `${folder}/${entry.path}` })),
  ];
}
