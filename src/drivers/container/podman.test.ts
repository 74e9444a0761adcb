import { describe, expect, it } from 'vitest';

import type { Exec, ExecResult } from '../../exec.js';
import type { DriverHealth } from '../driver.js';
import { createContainerDriver } from './container-driver.js';
import { NOT_THERE } from './engine.js';
import { PODMAN } from './engines.js';
import type { ContainerHostFacts } from './host-facts.js';
import { readContainer, readNetwork, readVolume, stateOfContainer } from './inspect.js';
import {
  ONE_ID,
  PODMAN_CONTAINER,
  PODMAN_CONTAINER_STOPPED,
  PODMAN_FAILS,
  PODMAN_INFO,
  PODMAN_NETWORK,
  PODMAN_PORT_TAKEN,
  PODMAN_VERSION,
  PODMAN_VOLUME,
  RANGE_OF_IDS,
} from './testing/recorded-podman.js';

const { signal } = new AbortController();
const FULL = (1n << 41n) - 1n;
const host: ContainerHostFacts = {
  boundingSet: FULL,
  lastCapability: 40,
  cgroups: 'hybrid',
  openFiles: 20_000,
  processes: 96_365,
  hasKmsg: true,
  hasModules: false,
  routes: [],
  networkPlugins: ['bridge', 'firewall', 'host-local', 'portmap', 'tuning'],
  firewallPrograms: ['iptables'],
};

interface Situation {
  readonly info?: unknown;
  /** `podman info` fails with these words. */
  readonly words?: string;
  readonly host?: Partial<ContainerHostFacts>;
  readonly hasRunc?: boolean;
}

async function check({
  info = PODMAN_INFO,
  words,
  host: other = {},
  hasRunc = true,
}: Situation): Promise<DriverHealth> {
  const exec: Exec = (argv) => {
    const [program, command] = argv;
    const said = (stdout: string, stderr = '', exitCode = 0): Promise<ExecResult> => {
      const end = { signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 1 };
      return Promise.resolve({ ...end, argv, exitCode, stdout, stderr });
    };
    if (program === 'runc') return said('', '', hasRunc ? 0 : 127);
    if (command === 'version') return said(JSON.stringify(PODMAN_VERSION));
    return words === undefined ? said(JSON.stringify(info)) : said('', words, 125);
  };
  const readHost = () => ({ ...host, ...other });
  return await createContainerDriver({ traits: PODMAN, exec, readHost, architecture: 'x64' }).check(signal);
}

const reasons = ({ problems }: DriverHealth): string[] => problems.map(({ reason }) => reason);

describe('what doctor says of podman', () => {
  it('is which runtime is used where all is well', async () => {
    expect(await check({})).toEqual({
      usable: true,
      problems: [],
      facts: {
        version: '4.3.1',
        cgroups: 'hybrid',
        storage: 'overlay',
        runtime: 'runc',
        privileges: 'privileged',
        rootless: 'no',
      },
    });
  });

  it.each([
    ['an OCI runtime', PODMAN_FAILS.noRuntime, 'DRV_PODMAN_RUNTIME', /runc/],
    ['conmon', PODMAN_FAILS.noConmon, 'DRV_PODMAN_CONMON', /conmon/],
    ['netavark', PODMAN_FAILS.noNetavark, 'DRV_PODMAN_NETWORK', /netavark/],
  ])('names what is missing when podman does not work for want of %s', async (_, words, reason, fix) => {
    const { usable, problems } = await check({ words });
    expect(usable).toBe(false);
    expect(problems).toMatchObject([{ reason }]);
    expect(problems[0]?.fix).toMatch(fix);
  });

  it('is the error of podman, not the warnings before it, and nothing of a daemon that it does not have', async () => {
    const { problems } = await check({ words: 'time="x" level=warning msg="harmless"\nError: something else\n' });
    expect(problems).toMatchObject([{ reason: 'DRV_PODMAN_NOT_RUNNING' }]);
    expect(problems[0]?.message).toContain('something else');
    expect(problems[0]?.message).not.toContain('harmless');
    expect(problems[0]?.fix).not.toMatch(/Start|DOCKER_HOST/);
  });

  it('is that no network can be made without plugins or without iptables, which podman itself finds out when a container starts', async () => {
    const none = await check({ host: { networkPlugins: [] } });
    expect([none.usable, reasons(none)]).toEqual([false, ['DRV_PODMAN_NETWORK']]);
    expect(none.problems[0]?.message).toContain('bridge, firewall, host-local, portmap, tuning');
    const noIptables = await check({ host: { firewallPrograms: ['nft'] } });
    expect([noIptables.usable, reasons(noIptables)]).toEqual([false, ['DRV_PODMAN_FIREWALL']]);
  });

  it('asks for no plugins of CNI with netavark, and for one program of a firewall', async () => {
    const info = { ...PODMAN_INFO, host: { ...PODMAN_INFO.host, networkBackend: 'netavark' } };
    expect(reasons(await check({ info, host: { networkPlugins: [], firewallPrograms: ['nft'] } }))).toEqual([]);
    expect(reasons(await check({ info, host: { firewallPrograms: [] } }))).toEqual(['DRV_PODMAN_FIREWALL']);
  });

  it('is that a runtime which does not start is none', async () => {
    const info = { ...PODMAN_INFO, host: { ...PODMAN_INFO.host, ociRuntime: null } };
    expect(reasons(await check({ info }))).toEqual([]); // runc is taken here in any case
    expect(reasons(await check({ info, hasRunc: false }))).toEqual(['DRV_PODMAN_RUNTIME']);
    const other = await check({ info, hasRunc: false, host: { cgroups: 'v2' } });
    expect([other.usable, reasons(other)]).toEqual([false, ['DRV_PODMAN_RUNTIME']]);
  });

  it('is that a user has no use for newuidmap where nodes can not run anyway, and needs it elsewhere', async () => {
    const old = await check({ words: PODMAN_FAILS.noNewuidmap });
    expect([old.usable, reasons(old)]).toEqual([false, ['DRV_ROOTLESS']]);
    expect(old.problems[0]?.fix).toMatch(/version 2 of cgroups.*podman as root.*driver local/);
    const other = await check({ words: PODMAN_FAILS.noNewuidmap, host: { cgroups: 'v2' } });
    expect([other.usable, reasons(other)]).toEqual([false, ['DRV_PODMAN_ROOTLESS_IDS']]);
    expect(other.problems[0]?.fix).toContain('uidmap');
  });

  it('is that a user needs a range of ids for the users in a node, and controllers of cgroups', async () => {
    const infoOf = (idMappings: unknown, cgroupControllers: readonly string[]) => ({
      ...PODMAN_INFO,
      host: {
        ...PODMAN_INFO.host,
        security: { ...PODMAN_INFO.host.security, rootless: true },
        idMappings,
        cgroupControllers,
      },
    });
    const all = ['cpu', 'memory', 'pids'];
    const one = await check({ info: infoOf(ONE_ID, all), host: { cgroups: 'v2' } });
    expect([one.usable, reasons(one)]).toEqual([false, ['DRV_PODMAN_ROOTLESS', 'DRV_PODMAN_ROOTLESS_IDS']]);
    expect(one.problems.at(-1)?.fix).toContain('/etc/subuid');
    const old = await check({ info: infoOf(RANGE_OF_IDS, []) });
    expect([old.usable, reasons(old)]).toEqual([false, ['DRV_ROOTLESS']]);
    const few = await check({ info: infoOf(RANGE_OF_IDS, ['memory', 'pids']), host: { cgroups: 'v2' } });
    expect([few.usable, reasons(few)]).toEqual([false, ['DRV_ROOTLESS']]);
    const many = await check({ info: infoOf(RANGE_OF_IDS, all), host: { cgroups: 'v2' } });
    expect([many.usable, reasons(many)]).toEqual([true, ['DRV_PODMAN_ROOTLESS']]);
    expect(many.facts['rootless']).toBe('yes');
  });
});

describe('a machine of podman', () => {
  it('gets another port when somebody took the one that podman had chosen, and nothing is left of the first attempt', async () => {
    let container: object | undefined;
    const commands: string[] = [];
    const exec: Exec = (argv) => {
      const end = { signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 1 };
      const said = (stdout: string, stderr = '', exitCode = 0): Promise<ExecResult> =>
        Promise.resolve({ ...end, argv, exitCode, stdout, stderr });
      const line = argv
        .slice(1)
        .join(' ')
        .replace(/^--runtime runc /, '');
      const verb = /^(run|rm|container inspect|volume inspect|version|info)/.exec(line)?.[1];
      if (verb === 'info') return said(JSON.stringify(PODMAN_INFO));
      if (verb === 'version') return said(JSON.stringify(PODMAN_VERSION));
      if (verb === 'container inspect')
        return container === undefined
          ? said('[]', 'Error: inspecting object: no such container try-one', 125)
          : said(JSON.stringify([container]));
      if (verb === 'volume inspect') return said('[]', 'Error: inspecting object: no such volume try-one-var', 125);
      if (verb === 'rm') container = undefined;
      if (verb === 'run') {
        if (container !== undefined) return said('', 'Error: the container name "try-one" is already in use', 125);
        const isFirst = !commands.includes('run');
        const State = { ...PODMAN_CONTAINER.State, Status: isFirst ? 'created' : 'running' };
        container = { ...PODMAN_CONTAINER, State };
        commands.push('run');
        return isFirst ? said('', PODMAN_PORT_TAKEN, 126) : said(PODMAN_CONTAINER.Id);
      }
      commands.push(verb ?? argv[1] ?? '');
      return said('');
    };
    const driver = createContainerDriver({ traits: PODMAN, exec, readHost: () => host, architecture: 'x64' });
    const spec = { name: 'try-one', labels: {}, image: 'i', network: 'try', publishedPorts: [6443] };
    const machine = await driver.machines?.create(spec, signal);
    expect(await machine?.endpoint(6443)).toEqual({ host: '127.0.0.1', port: 39759 });
    expect(commands.filter((command) => /^r/.test(command))).toEqual(['run', 'rm', 'run']);
  });
});

describe('a network of podman', () => {
  it('is removed by its name: by its id podman removes one that another machine uses', async () => {
    const commands: string[] = [];
    const exec: Exec = (argv) => {
      const end = { signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 1 };
      const line = argv.slice(1).join(' ');
      if (line.startsWith('network rm')) commands.push(line);
      const network = line.startsWith('network ls') ? PODMAN_NETWORK.id : JSON.stringify([PODMAN_NETWORK]);
      const stdout = line.startsWith('network') ? network : line.includes('inspect') ? '[]' : '';
      return Promise.resolve({ ...end, argv, exitCode: 0, stdout, stderr: '' });
    };
    const driver = createContainerDriver({ traits: PODMAN, exec, readHost: () => host, architecture: 'x64' });
    await driver.machines?.remove('try-one', signal);
    expect(commands).toEqual(['network rm mk-ci-try']);
  });
});

describe('the network of new machines', () => {
  it('holds no address of their pods and Services', async () => {
    const made: string[] = [];
    const exec: Exec = (argv) => {
      const end = { signal: undefined, timedOut: false, aborted: false, leftChildren: false, durationMs: 1 };
      const line = argv.slice(1).join(' ');
      made.push(...(/network create .*?(\d+\.\d+\.\d+\.\d+\/\d+)/.exec(line)?.slice(1) ?? []));
      if (line.includes(' info') || line.startsWith('info'))
        return Promise.resolve({ ...end, argv, exitCode: 0, stdout: JSON.stringify(PODMAN_INFO), stderr: '' });
      if (line.startsWith('version'))
        return Promise.resolve({ ...end, argv, exitCode: 0, stdout: JSON.stringify(PODMAN_VERSION), stderr: '' });
      const stderr = line.includes('inspect') ? 'Error: inspecting object: no such container try-one' : '';
      return Promise.resolve({ ...end, argv, exitCode: stderr === '' ? 0 : 125, stdout: '', stderr });
    };
    const driver = createContainerDriver({ traits: PODMAN, exec, readHost: () => host, architecture: 'x64' });
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const subnets = ['192.168.0.0/16', '172.24.0.0/15', '172.26.0.0/16'];
      const spec = { name: 'try-one', labels: {}, image: 'i', network: name, subnets };
      await driver.machines?.create(spec, signal).catch(() => undefined);
    }
    expect(made.length).toBeGreaterThan(5);
    expect(made.filter((subnet) => !subnet.startsWith('172.27.'))).toEqual([]);
  });
});

describe('what podman describes', () => {
  it('are containers with their address and ports, also while they have none', () => {
    expect(readContainer(PODMAN_CONTAINER)).toEqual({
      id: PODMAN_CONTAINER.Id,
      name: 'try-one',
      labels: PODMAN_CONTAINER.Config.Labels,
      status: 'running',
      startedAt: Date.UTC(2026, 10, 22, 7, 20, 40, 656),
      addresses: { 'mk-ci-try': '172.27.148.2' },
      ports: { '22/tcp': { host: '127.0.0.1', port: 43653 }, '6443/tcp': { host: '127.0.0.1', port: 39759 } },
      error: '',
    });
    const stopped = readContainer(PODMAN_CONTAINER_STOPPED);
    expect(stopped.addresses).toEqual({});
    expect(stateOfContainer(stopped.status)).toBe('stopped');
  });

  it('are networks and volumes with their labels', () => {
    expect(readNetwork(PODMAN_NETWORK)).toEqual({
      id: PODMAN_NETWORK.id,
      name: 'mk-ci-try',
      labels: PODMAN_NETWORK.labels,
      subnets: ['172.27.148.0/24'],
    });
    expect(readVolume(PODMAN_VOLUME)).toMatchObject({ name: 'try-one-var', labels: PODMAN_VOLUME.Labels });
  });

  it.each([
    'Error: inspecting object: no such container nobody',
    'Error: inspecting object: network nobody: unable to find network with name or ID nobody: network not found',
    'Error: inspecting object: no such volume nobody',
    'Error: inspecting object: nobody: image not known',
  ])('is not there when it says: %s', (words) => {
    expect(words).toMatch(NOT_THERE);
  });
});
