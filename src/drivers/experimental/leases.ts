/** Files in which servers of macOS write which address they gave to whom. Pure. */

export interface Lease {
  readonly address: string;
  /** Six pairs of digits; '' when it is not told. */
  readonly mac: string;
  /** As the guest calls itself; '' when it does not. */
  readonly name: string;
  /** When it ends, in whatever unit; later ones are newer. */
  readonly until: number;
}

/**
 * `/var/db/dhcpd_leases` of vmnet: blocks in braces with `name=`, `ip_address=`, `hw_address=1,…` (without leading zeros) and
 * `lease=0x…`.
 *
 * @see `kubernetes/minikube:pkg/drivers/common/vmnet` and `crc-org/vfkit:doc/usage.md` for the file
 */
export function parseDhcpdLeases(text: string): Lease[] {
  return [...text.matchAll(/\{([^}]*)\}/g)].flatMap(([, block = '']) => {
    const value = (key: string): string => new RegExp(`^\\s*${key}=(.*)$`, 'm').exec(block)?.[1]?.trim() ?? '';
    const address = value('ip_address');
    const mac = normalMac(value('hw_address').replace(/^\w+,/, ''));
    return address === '' ? [] : [{ address, mac, name: value('name'), until: Number(value('lease')) || 0 }];
  });
}

/**
 * `/Library/Preferences/Parallels/parallels_dhcp_leases`: lines such as `10.211.55.5="1418921112,1800,001c42593396,01001c42593396"`.
 *
 * @see `Parallels/vagrant-parallels:lib/vagrant-parallels/driver/base.rb` (`read_guest_ip`) for the fields
 */
export function parseParallelsLeases(text: string): Lease[] {
  return [...text.matchAll(/^([\d.]+)="(\d+),\d+,([0-9a-f]{12}),/gim)].map(
    ([, address = '', until = '', mac = '']) => ({
      address,
      mac: normalMac(mac.replace(/(..)(?=.)/g, '$1:')),
      name: '',
      until: Number(until),
    }),
  );
}

/** The newest address of a machine, by its MAC or its name. */
export function addressIn(
  leases: readonly Lease[],
  who: { readonly mac?: string; readonly name?: string },
): string | undefined {
  const mac = who.mac === undefined ? undefined : normalMac(who.mac);
  return leases
    .filter((lease) => (mac !== undefined && lease.mac === mac) || (who.name !== undefined && lease.name === who.name))
    .reduce<Lease | undefined>(
      (newest, lease) => (newest === undefined || lease.until >= newest.until ? lease : newest),
      undefined,
    )?.address;
}

/** Small letters, two digits each, colons. */
export function normalMac(mac: string): string {
  return mac
    .split(/[:-]/)
    .map((byte) => byte.toLowerCase().padStart(2, '0'))
    .join(':');
}
