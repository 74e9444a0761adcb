import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  isFullSet,
  parseCapabilitySet,
  parseCgroups,
  parseHardLimit,
  parseRoutes,
  readContainerHostFacts,
} from './host-facts.js';
import { parseObjects, readContainer, readNetwork, stateOfContainer } from './inspect.js';
import { engineLabels, hasLabels, isMadeFrom, labelFilters, readEngineLabels } from './labels.js';
import { candidateSubnets, cidrsOverlap, parseCidr } from './subnets.js';

describe('facts of the host', () => {
  it('come from files of /proc, as a Debian 12 virtual machine without SYS_RESOURCE showed them', () => {
    const files: Record<string, string> = {
      '/proc/self/status': 'Name:\tcat\nCapPrm:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\n',
      '/proc/sys/kernel/cap_last_cap': '40\n',
      '/proc/self/mounts':
        'tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n',
      '/proc/self/limits':
        'Limit                     Soft Limit           Hard Limit           Units     \nMax open files            20000                20000                files     \nMax processes             96365                unlimited            processes \n',
      '/proc/net/route':
        'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\ndocker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n',
    };
    const facts = readContainerHostFacts(
      (path) => files[path],
      (path) => ['/dev/kmsg', '/usr/lib/cni/bridge', '/opt/cni/bin/portmap', '/sbin/iptables'].includes(path),
    );
    expect(facts).toMatchObject({
      cgroups: 'hybrid',
      openFiles: 20_000,
      processes: Infinity,
      hasKmsg: true,
      hasModules: false,
      networkPlugins: ['bridge', 'portmap'],
      firewallPrograms: ['iptables'],
    });
    expect(facts.routes).toEqual(['172.17.0.0/16']);
    expect(isFullSet(facts)).toBe(false);
    expect(isFullSet({ ...facts, boundingSet: 0x1ff_ffff_ffffn })).toBe(true);
  });

  it('tell versions of cgroups apart by what is mounted', () => {
    expect(parseCgroups('cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n')).toBe('v2');
    expect(parseCgroups('cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n')).toBe('v1');
    expect(parseCgroups('')).toBe('unknown');
  });

  it('are cautious with what is not there', () => {
    expect(parseCapabilitySet('', 'CapBnd')).toBe(0n);
    expect(parseHardLimit('', 'Max processes')).toBe(Infinity);
    expect(parseRoutes('header\nx\n')).toEqual([]);
  });
});

describe('subnets', () => {
  it('are never ones in use, nor those of pods and Services', () => {
    const taken = ['192.168.64.0/20', '172.24.0.0/14', '10.0.0.0/8'];
    for (const subnet of candidateSubnets('c1', taken)) {
      expect(taken.some((other) => cidrsOverlap(other, subnet))).toBe(false);
    }
    expect(candidateSubnets('c1', ['192.168.0.0/16', '172.16.0.0/12'])).toEqual([]);
  });

  it('begin elsewhere for another name', () => {
    expect(new Set(['a', 'b', 'c', 'd'].map((name) => candidateSubnets(name, [])[0])).size).toBe(4);
  });

  it('overlap in either order, always with themselves', () => {
    const cidr = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })).map(([address, bits]) => `${address}/${bits}`);
    fc.assert(
      fc.property(cidr, cidr, (left, right) => {
        expect(cidrsOverlap(left, right)).toBe(cidrsOverlap(right, left));
        expect(cidrsOverlap(left, left)).toBe(true);
      }),
    );
    expect(cidrsOverlap('10.0.0.0/8', '10.96.0.0/16')).toBe(true);
    expect(cidrsOverlap('10.0.0.0/16', '10.1.0.0/16')).toBe(false);
  });

  it.each(['', '10.0.0.0', '10.0.0.256/8', '10.0.0.0/33', 'fc00::/7'])('do not read %j', (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });
});

describe('labels', () => {
  const spec = { name: 'm', labels: { cluster: 'c', folder: '/a b' }, image: 'i' };

  it('are read back as they were given', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.string()), (labels) => {
        expect(readEngineLabels(engineLabels({ name: 'm', labels }))).toEqual(labels);
      }),
    );
    expect(readEngineLabels({ other: 'x' })).toBeUndefined();
  });

  it('match only when all that are wanted are there, whatever an engine takes several filters for', () => {
    const labels = { cluster: 'a', run: 'r' };
    expect(hasLabels(labels, {})).toBe(true);
    expect(hasLabels(labels, { cluster: 'a', run: 'r' })).toBe(true);
    expect(hasLabels(labels, { cluster: 'a', run: 'another' })).toBe(false);
    expect(hasLabels(labels, { owner: 'a' })).toBe(false);
  });

  it('say from which spec a thing was made, whatever the order of its labels', () => {
    const made = engineLabels(spec);
    expect(isMadeFrom(made, { ...spec, labels: { folder: '/a b', cluster: 'c' } })).toBe(true);
    expect(isMadeFrom(made, { ...spec, image: 'other' })).toBe(false);
    expect(isMadeFrom({}, spec)).toBe(false);
  });

  it('narrow a list to what is ours', () => {
    expect(labelFilters({})).toEqual(['mk-ci.machine']);
    expect(labelFilters({ run: 'r' })).toEqual(['mk-ci.machine', 'mk-ci.label.run=r']);
  });
});

describe('what engines describe', () => {
  it('is read from the JSON of Docker', () => {
    const [container] = parseObjects(
      '[{"Id":"f00","Name":"/c1","State":{"Status":"running","StartedAt":"2026-11-23T08:20:01.123456789Z","Error":""},"Config":{"Labels":{"mk-ci.machine":"c1"}},' +
        '"NetworkSettings":{"Ports":{"6443/tcp":[{"HostIp":"127.0.0.1","HostPort":"32768"}],"22/tcp":null},"Networks":{"mk-ci-c1":{"IPAddress":"172.26.131.2"}}}}]',
    ).map(readContainer);
    expect(container).toEqual({
      id: 'f00',
      name: 'c1',
      labels: { 'mk-ci.machine': 'c1' },
      status: 'running',
      startedAt: Date.UTC(2026, 10, 23, 8, 20, 1, 123),
      addresses: { 'mk-ci-c1': '172.26.131.2' },
      ports: { '6443/tcp': { host: '127.0.0.1', port: 32768 } },
      error: '',
    });
  });

  it('is read from what Podman makes of networks too', () => {
    const docker = readNetwork({
      Id: 'i',
      Name: 'a',
      Labels: { x: '1' },
      IPAM: { Config: [{ Subnet: '10.1.0.0/24' }] },
    });
    const podman = readNetwork({
      id: 'i',
      name: 'a',
      labels: { x: '1' },
      subnets: [{ subnet: '10.1.0.0/24', gateway: '10.1.0.1' }],
    });
    expect(podman).toEqual(docker);
  });

  it('may be nothing at all', () => {
    expect(parseObjects('')).toEqual([]);
    expect(readContainer({})).toMatchObject({ name: '', status: '', ports: {} });
    expect(readNetwork({ Labels: null })).toEqual({ id: '', name: '', labels: {}, subnets: [] });
  });

  it('is broken for a container that never started', () => {
    expect(['running', 'paused', 'exited', 'created', 'dead'].map(stateOfContainer)).toEqual([
      'running',
      'paused',
      'stopped',
      'broken',
      'broken',
    ]);
  });
});
