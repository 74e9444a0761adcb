import { isoImage } from './iso9660.js';

/** An address that is known before the guest runs, or one that it asks for. */
export type SeedNetwork =
  'dhcp' | { readonly address: string; readonly prefix: number; readonly gateway: string; readonly nameserver: string };

/** What a new virtual machine must know of itself. */
export interface SeedInput {
  /** Also its name in the guest. */
  readonly name: string;
  /** Line of `authorized_keys` for root. */
  readonly authorizedKey: string;
  /** OpenSSH's format, both of them ed25519. */
  readonly hostKey: { readonly privateKey: string; readonly publicKey: string };
  readonly network: SeedNetwork;
  /** Of a second network card, in small letters, whose network has a server for addresses; images with cloud-init see to it themselves. @default there is none */
  readonly secondMac?: string;
  readonly createdAt: Date;
}

/** The script in the seed that images of mk-ci run; see {@link renderSetup}. */
export const SETUP_FILE = 'mk-ci-setup';
/** Label by which cloud-init finds it. @see {@link https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html} */
export const SEED_LABEL = 'cidata';

/**
 * CD that tells a guest its name, its keys and its address: `user-data` and `meta-data` for images with cloud-init, one
 * script for images of mk-ci, which have none. Pure.
 */
export function renderSeed(input: SeedInput): Buffer {
  return isoImage({
    volumeId: SEED_LABEL,
    modifiedAt: input.createdAt,
    files: [
      { name: 'user-data', content: renderUserData(input) },
      {
        name: 'meta-data',
        content: `${JSON.stringify({ 'instance-id': `mk-ci-${input.name}`, 'local-hostname': input.name })}\n`,
      },
      { name: SETUP_FILE, content: renderSetup(input) },
    ],
  });
}

/** JSON is YAML: nothing has to be quoted by hand. */
export function renderUserData({ authorizedKey, hostKey }: SeedInput): string {
  const config = {
    disable_root: false,
    ssh_pwauth: false,
    ssh_deletekeys: true,
    ssh_genkeytypes: ['ed25519'],
    ssh_keys: { ed25519_private: hostKey.privateKey, ed25519_public: hostKey.publicKey },
    users: [{ name: 'root', lock_passwd: true, ssh_authorized_keys: [authorizedKey] }],
    growpart: { mode: 'auto', devices: ['/'] },
  };
  return `#cloud-config\n${JSON.stringify(config, undefined, 1)}\n`;
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Everything that differs between machines of one image, done before the guest's network and ssh start. */
export function renderSetup({ name, authorizedKey, hostKey, network, secondMac }: SeedInput): string {
  return [
    '#!/bin/sh',
    'set -eu',
    'umask 077',
    `echo ${quote(name)} >/etc/hostname`,
    `hostname ${quote(name)} 2>/dev/null || echo ${quote(name)} >/proc/sys/kernel/hostname`,
    `printf '127.0.0.1 localhost\\n::1 localhost\\n%s %s\\n' ${quote(network === 'dhcp' ? '127.0.1.1' : network.address)} ${quote(name)} >/etc/hosts`,
    'mkdir -p /root/.ssh',
    `echo ${quote(authorizedKey)} >/root/.ssh/authorized_keys`,
    `printf '%s\\n' ${quote(hostKey.privateKey.trimEnd())} >/etc/ssh/ssh_host_ed25519_key`,
    `printf '%s\\n' ${quote(hostKey.publicKey)} >/etc/ssh/ssh_host_ed25519_key.pub`,
    'chmod 644 /etc/hostname /etc/hosts /etc/ssh/ssh_host_ed25519_key.pub',
    ...(network === 'dhcp' ? DHCP_LINES : addressLines(network, secondMac)),
    ...(secondMac === undefined ? [] : secondCardLines(secondMac)),
    PATIENT_TIMERS,
    ...CLOCK_LINES,
    '',
  ].join('\n');
}

/**
 * Programs in Go look for work every 20 µs to 10 ms, each of them; to a translated guest one interrupt of a timer costs more than
 * what it is for, and a control plane that does nothing took 1.7 processors. Timers of one time wait for each other by what
 * systemd, and so everything it starts later, inherits: they are up to 30 ms late.
 */
const PATIENT_TIMERS =
  '[ "$(systemd-detect-virt 2>/dev/null)" != qemu ] || echo 30000000 >/proc/1/timerslack_ns || true';

/** What a guest says at its console when it was told the time there. */
export const CLOCK_IS_SET = 'set';

/**
 * Waits for the time at a console, where the machine has one: seconds since 1970, a line each. A guest that goes on after a pause is
 * told it there, without a login. A process that waits is in memory, and is there at once.
 */
const CLOCK_LOOP = [
  // One opening for all: the console forgets how it was set when nobody has it open.
  'exec </dev/hvc0 >/dev/hvc0',
  'stty raw -echo',
  `while IFS= read -r time; do date -u -s "@$time" >/dev/null && echo ${CLOCK_IS_SET} || echo no; done`,
].join('; ');

const CLOCK_LINES = [
  '[ -c /dev/hvc0 ] || modprobe -q virtio_console || true',
  `[ ! -c /dev/hvc0 ] || systemd-run --quiet --no-block --unit=mk-ci-clock --property=Restart=always --property=RestartSec=1 sh -c ${quote(CLOCK_LOOP)} || true`,
];

function addressLines(
  { address, prefix, gateway, nameserver }: Exclude<SeedNetwork, 'dhcp'>,
  secondMac: string | undefined,
): string[] {
  // The loopback is no card, and the second one asks for its address.
  const others = ['00:00:00:00:00:00', ...(secondMac === undefined ? [] : [secondMac])].map((mac) => `-e ${mac}`);
  return [
    `link=$(cd /sys/class/net && grep -Lx ${others.join(' ')} */address | head -n 1 | cut -d / -f 1)`,
    'ip link set lo up',
    `ip address replace ${address}/${prefix} dev "$link"`,
    'ip link set "$link" up',
    `ip route replace default via ${gateway}`,
    `rm -f /etc/resolv.conf && echo ${quote(`nameserver ${nameserver}`)} >/etc/resolv.conf && chmod 644 /etc/resolv.conf`,
  ];
}

/**
 * Lets systemd see to a card. It leaves one alone until udev has said that it is set up, and images of mk-ci have no udev: this is
 * what its database has of such a card.
 *
 * @param content of a file for systemd-networkd, see `systemd.network(5)`, without quotes
 */
function networkLines(file: string, content: readonly string[]): string[] {
  const path = `/etc/systemd/network/${file}`;
  return [
    'mkdir -p /etc/systemd/network',
    `printf '${content.map((line) => `${line}\\n`).join('')}' >${path}`,
    `chmod 755 /etc/systemd/network && chmod 644 ${path}`,
    'if [ ! -x /usr/lib/systemd/systemd-udevd ]; then',
    '  mkdir -p /run/udev/data',
    '  for link in /sys/class/net/*; do echo I:1 >"/run/udev/data/n$(cat "$link/ifindex")"; done',
    '  chmod -R a+rX /run/udev',
    'fi',
    'systemctl --no-block start systemd-networkd',
  ];
}

/** systemd asks for its address; the way out stays that of the first card. */
function secondCardLines(mac: string): string[] {
  const unused = ['Gateway', 'Routes', 'DNS', 'Hostname'].map((what) => `Use${what}=no`);
  return networkLines('20-mk-ci-second.network', [
    ...['[Match]', `MACAddress=${mac}`, '[Network]', 'DHCP=ipv4', 'IPv6AcceptRA=no'],
    ...['[DHCPv4]', ...unused],
  ]);
}

/** systemd asks for the address: by its MAC, since some servers know no other name of a machine; and says which nameserver. */
const DHCP_LINES: readonly string[] = [
  'ip link set lo up',
  ...networkLines('10-mk-ci.network', [
    ...['[Match]', 'Name=e*', '[Network]', 'DHCP=ipv4'],
    ...['[DHCPv4]', 'ClientIdentifier=mac'],
  ]),
  // What the server says of names stays in a file of systemd's own where systemd-resolved does not run.
  `systemd-run --no-block sh -c ${quote(
    'until dns=$(sed -n "s/^DNS=//p" /run/systemd/netif/leases/* 2>/dev/null | head -n 1) && [ -n "$dns" ]; do sleep 1; done; ' +
      'rm -f /etc/resolv.conf; for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf; chmod 644 /etc/resolv.conf',
  )}`,
];
