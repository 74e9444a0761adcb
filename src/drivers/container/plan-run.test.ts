import { describe, expect, it } from 'vitest';

import { DOCKER, PODMAN } from './engines.js';
import type { ContainerHostFacts } from './host-facts.js';
import { decideRunMode, rejectedCapability, runArguments } from './plan-run.js';
import { ENGINE, HOST, RESTRICTED } from './testing/facts.js';

describe('how nodes are run', () => {
  it('are privileged where no capability is missing', () => {
    expect(decideRunMode(DOCKER, ENGINE, HOST)).toMatchObject({ privileges: 'privileged', capabilities: [] });
  });

  it('get every capability that is there, by name, where Docker refuses --privileged', () => {
    const { privileges, capabilities } = decideRunMode(DOCKER, ENGINE, { ...HOST, boundingSet: RESTRICTED });
    expect(privileges).toBe('capabilities');
    expect(capabilities).toHaveLength(40);
    expect(capabilities).toContain('SYS_ADMIN');
    expect(capabilities).not.toContain('SYS_RESOURCE');
  });

  it('stay privileged with Podman, which bounds them itself, within limits that the host allows', () => {
    const { privileges, runFlags } = decideRunMode(PODMAN, ENGINE, { ...HOST, boundingSet: RESTRICTED });
    expect(privileges).toBe('privileged');
    expect(runFlags).toContain('nofile=20000:20000');
    expect(runFlags).toContain('nproc=32000:32000');
    expect(runFlags).toContain('--systemd=false');
    expect(runFlags.join(' ')).toContain('--pids-limit -1');
  });

  it('use runc in place of crun on version 1 of cgroups only', () => {
    const crun = { ...ENGINE, defaultRuntime: 'crun', runtimes: ['crun', 'runc'] };
    expect(decideRunMode(PODMAN, crun, { ...HOST, cgroups: 'hybrid' }).engineFlags).toEqual(['--runtime', 'runc']);
    expect(decideRunMode(PODMAN, crun, HOST).engineFlags).toEqual([]);
    expect(decideRunMode(DOCKER, crun, { ...HOST, cgroups: 'v1' }).engineFlags).toEqual([]);
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
      mode: decideRunMode(DOCKER, ENGINE, of),
      volume: 'v',
      rejected: new Set(rejected),
    }),
  ];

  it('publish on the loopback with a port of the choice of the engine, limit and label', () => {
    const text = arguments_(HOST).join(' ');
    expect(text).toContain('--publish 127.0.0.1::6443');
    expect(text).toContain('--memory 2048m --memory-swap 2048m --cpus 1.5');
    expect(text).toContain('--label mk-ci.label.cluster=c1');
    expect(text).toContain('--label mk-ci.machine=c1-control-plane');
    expect(text).toContain('--network mk-ci-c1 --privileged');
    expect(text).toContain('--cgroupns private');
  });

  it('leave out capabilities that the engine did not know', () => {
    const text = arguments_({ ...HOST, boundingSet: RESTRICTED }, ['BPF', 'PERFMON']).join(' ');
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
