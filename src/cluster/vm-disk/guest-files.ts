import { textEntry, type TarEntry } from '../node-image/tar.js';

/** What the root file system of a node needs beyond what a container has of its engine: all of it is small. Pure. */

/** Raised when the same inputs give another disk. */
export const RECIPE = 1;

/** Nothing loads drivers of devices by itself: there is no udev. Others are loaded by those who use them. */
const MODULES = ['virtio_net', 'virtio_rng', 'isofs', 'evdev', 'button', 'overlay', 'br_netfilter'] as const;

const SETUP = `#!/bin/sh
# Runs what the seed, the second disk, says of this machine.
set -eu
mkdir -p /run/mk-ci/seed
mount -t iso9660 -o ro /dev/vdb /run/mk-ci/seed
trap 'umount /run/mk-ci/seed' EXIT
sh /run/mk-ci/seed/mk-ci-setup
`;

const SETUP_UNIT = `[Unit]
Description=name, keys and address of this machine
DefaultDependencies=no
After=systemd-modules-load.service local-fs.target
Before=network.target ssh.service multi-user.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/mk-ci/vm-setup
`;

/** The power button without logind, which needs udev: one press is one event of 24 bytes. */
const POWER = `#!/bin/sh
device=$(sed -n '/Name="\\(Power Button\\|gpio-keys\\)"/,/^$/s/.*Handlers=.*\\(event[0-9]*\\).*/\\1/p' /proc/bus/input/devices | head -n 1)
[ -n "$device" ] || exit 0
[ -e "/dev/input/$device" ] || exit 0
head -c 24 "/dev/input/$device" >/dev/null && exec systemctl poweroff
`;

const POWER_UNIT = `[Unit]
Description=power button
After=systemd-modules-load.service

[Service]
ExecStart=/usr/local/lib/mk-ci/vm-power
`;

const SSHD_CONFIG = `PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
UseDNS no
MaxSessions 64
MaxStartups 64
`;

/**
 * None of them finds anything on such a disk. systemd gives all of them together 90 seconds and does not start when that is not
 * enough, which a translated guest on a busy host needs for a dozen programs.
 */
const MASKED_GENERATORS = [
  ...[
    'debug',
    'fstab',
    'getty',
    'gpt-auto',
    'hibernate-resume',
    'rc-local',
    'run',
    'ssh',
    'system-update',
    'sysv',
    'tpm2',
  ],
] as const;
/** Work of a first boot after an update of packages, of which there is none, and of hardware that is not there. */
const MASKED_UNITS = [
  ...['ldconfig', 'systemd-journal-catalog-update', 'systemd-sysusers', 'systemd-hibernate-clear'],
  ...[
    'systemd-tpm2-setup',
    'systemd-tpm2-setup-early',
    'systemd-pcrphase',
    'systemd-pcrphase-sysinit',
    'systemd-pcrmachine',
  ],
] as const;

const units = 'usr/local/lib/systemd/system';
const wanted = 'etc/systemd/system/multi-user.target.wants';

export function guestFiles(): TarEntry[] {
  return [
    textEntry('etc/modules-load.d/mk-ci.conf', MODULES.map((name) => `${name}\n`).join('')),
    textEntry('etc/ssh/sshd_config.d/mk-ci.conf', SSHD_CONFIG),
    // A translated guest takes its time; a kubelet that is ended should not take much.
    textEntry(
      'etc/systemd/system.conf.d/mk-ci.conf',
      '[Manager]\nDefaultTimeoutStartSec=600s\nDefaultTimeoutStopSec=20s\n',
    ),
    textEntry('usr/local/lib/mk-ci/vm-setup', SETUP, 0o755),
    textEntry('usr/local/lib/mk-ci/vm-power', POWER, 0o755),
    textEntry(`${units}/mk-ci-setup.service`, SETUP_UNIT),
    textEntry(`${units}/mk-ci-power.service`, POWER_UNIT),
    ...['mk-ci-setup', 'mk-ci-power'].map((name): TarEntry => ({
      kind: 'link',
      path: `${wanted}/${name}.service`,
      target: `/${units}/${name}.service`,
    })),
    ...[
      ...MASKED_GENERATORS.map((name) => `etc/systemd/system-generators/systemd-${name}-generator`),
      ...MASKED_UNITS.map((name) => `etc/systemd/system/${name}.service`),
    ].map((path): TarEntry => ({ kind: 'link', path, target: '/dev/null' })),
    { kind: 'link', path: `${wanted}/ssh.service`, target: '/usr/lib/systemd/system/ssh.service' },
  ];
}

/** First program of the first root file system: finds the disk and becomes the init of what is on it. */
export const INITRAMFS_INIT = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs none /dev
$b mount -t proc none /proc
$b mount -t sysfs none /sys
for m in /modules/*.ko; do $b insmod $m || echo "mk-ci: $m can not be loaded"; done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 600 ]; do $b sleep 0.05; i=$((i+1)); done
if $b mount -t ext4 -o rw,noinit_itable /dev/vda /root; then
  $b umount /sys
  $b umount /proc
  $b mount -o move /dev /root/dev
  exec $b switch_root /root /sbin/init
fi
echo 'mk-ci: the disk can not be mounted'
$b poweroff -f
`;

/** Modules, by their path below `kernel`, without which the disk can not be read. */
export const INITRAMFS_MODULES = ['drivers/block/virtio_blk'] as const;
