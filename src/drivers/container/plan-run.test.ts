import { describe, expect, it } from 'vitest';

import { DOCKER, PODMAN } from './engines.js';
import type { ContainerHostFacts } from './host-facts.js';
import type { EngineFacts } from './judge-engine.js';
import { decideRunMode, rejectedCapability, runArguments } from './plan-run.js';

const FULL = (1n << 41n) - 1n;
/** Bit 24: SYS_RESOURCE. */
const RESTRICTED = FULL & ~(1n << 24n);

const host: ContainerHostFacts = {
  boundingSet: FULL,
  lastCapability: 40,
  cgroups: 'v2',
  openFiles: 20_000,
  processes: 96_365,
  hasKmsg: true,
  hasModules: false,
  routes: [],
  networkPlugins: [],
  firewallPrograms: [],
};
const engine: EngineFacts = {
  version: '28.2.2',
  isRootless: false,
  cgroupVersion: '2',
  storageDriver: 'overlay2',
  defaultRuntime: 'runc',
  runtimes: ['runc'],
};

describe('how nodes are run', () => {
  it('are privileged where no capability is missing', () => {
    expect(decideRunMode(DOCKER, engine, host)).toMatchObject({ privileges: 'privileged', capabilities: [] });
  });

  it('get every capability that is there, by name, where Docker refuses --privileged', () => {
    const { privileges, capabilities } = decideRunMode(DOCKER, engine, { ...host, boundingSet: RESTRICTED });
    expect(privileges).toBe('capabilities');
    expect(capabilities).toHaveLength(40);
    expect(capabilities).toContain('SYS_ADMIN');
    expect(capabilities).not.toContain('SYS_RESOURCE');
  });

  it('stay privileged with Podman, which bounds them itself, within limits that the host allows', () => {
    const { privileges, runFlags } = decideRunMode(PODMAN, engine, { ...host, boundingSet: RESTRICTED });
    expect(privileges).toBe('privileged');
    expect(runFlags).toContain('nofile=20000:20000');
    expect(runFlags).toContain('nproc=32000:32000');
    expect(runFlags).toContain('--systemd=false');
    expect(runFlags.join(' ')).toContain('--pids-limit -1');
  });

  it('use runc in place of crun on version 1 of cgroups only', () => {
    const crun = { ...engine, defaultRuntime: 'crun', runtimes: ['crun', 'runc'] };
    expect(decideRunMode(PODMAN, crun, { ...host, cgroups: 'hybrid' }).engineFlags).toEqual(['--runtime', 'runc']);
    expect(decideRunMode(PODMAN, crun, host).engineFlags).toEqual([]);
    expect(decideRunMode(DOCKER, crun, { ...host, cgroups: 'v1' }).engineFlags).toEqual([]);
  });
});

describe('arguments of run', () => {
  const spec = {
    name: 'c1-control-plane',
    labels: { cluster: 'c1' },
    network: 'c1',
    image: 'mk-ci-node:v1',
    publishedPorts: [6443],
    cpus: 1.5,
    memoryMiB: 2048,
  };
  const arguments_ = (of: ContainerHostFacts, rejected: readonly string[] = []): string[] => [
    ...runArguments(DOCKER, {
      spec,
      mode: decideRunMode(DOCKER, engine, of),
      volume: 'v',
      rejected: new Set(rejected),
    }),
  ];

  it('publish on the loopback with a port of the choice of the engine, limit and label', () => {
    const text = arguments_(host).join(' ');
    expect(text).toContain('--publish 127.0.0.1::6443');
    expect(text).toContain('--memory 2048m --memory-swap 2048m --cpus 1.5');
    expect(text).toContain('--label mk-ci.label.cluster=c1');
    expect(text).toContain('--label mk-ci.machine=c1-control-plane');
    expect(text).toContain('--network mk-ci-c1 --privileged');
    expect(text).toContain('--cgroupns private');
  });

  it('leave out capabilities that the engine did not know', () => {
    const text = arguments_({ ...host, boundingSet: RESTRICTED }, ['BPF', 'PERFMON']).join(' ');
    expect(text).toContain('--cap-add SYS_ADMIN');
    expect(text).not.toMatch(/--cap-add (BPF|PERFMON|SYS_RESOURCE) /);
    expect(text).not.toContain('--privileged');
  });

  it('find the name in the refusal of an old engine', () => {
    expect(
      rejectedCapability('docker: Error response from daemon: invalid CapAdd: unknown capability: "CAP_BPF".'),
    ).toBe('BPF');
    expect(rejectedCapability('no space left on device')).toBeUndefined();
  });
});
