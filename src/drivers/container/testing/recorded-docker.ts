/**
 * `docker info` of Docker 20.10.24 (Debian 12) on 2026-11-22, which an ordinary user had started with rootlesskit 1.1.0 on a hybrid
 * cgroup tree; shortened to what tells something, nothing changed.
 */
export const ROOTLESS_DOCKER_INFO = {
  ServerVersion: '20.10.24+dfsg1',
  Driver: 'overlay2',
  SecurityOptions: ['name=seccomp,profile=default', 'name=rootless'],
  CgroupVersion: '1',
  CgroupDriver: 'none',
  DefaultRuntime: 'runc',
  Runtimes: { 'io.containerd.runc.v2': { path: 'runc' }, runc: { path: 'runc' } },
  MemoryLimit: false,
  PidsLimit: false,
  CPUShares: false,
} as const;
