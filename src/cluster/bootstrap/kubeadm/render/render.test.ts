import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

import { planDnsPatch } from './dns-patch.js';
import { parseNodeFacts, type NodeFacts } from './node-facts.js';
import { renderInit, renderJoin } from './render-kubeadm.js';
import {
  firstPodSubnet,
  renderCniList,
  renderNetworkScript,
  renderResolvConf,
  type PeerNode,
} from './render-network.js';
import { planRuntime, renderDockerDaemon } from './render-runtimes.js';
import { readSettings, type KubeadmSettings } from '../settings.js';
import { renderStorageScript } from './storage.js';

const spec = { name: 'c1', driver: 'docker', kubernetesVersion: 'v1.36.3', nodes: 1 };

const restricted: NodeFacts = {
  cgroups: 'v1',
  hasSysResource: false,
  oomScoreAdj: 100,
  isContainer: true,
  isTranslated: false,
  programs: { kubelet: '/usr/local/bin/kubelet', runc: '/usr/sbin/runc', containerd: '/usr/local/bin/containerd' },
  containerdMajor: 2,
  imageArchive: undefined,
  pauseImage: 'registry.k8s.io/pause:3.10.2',
  nameservers: [],
  gateway: '172.26.131.1',
};
const full: NodeFacts = { ...restricted, cgroups: 'v2', hasSysResource: true };

function documentsOf(text: string): Record<string, Record<string, unknown>> {
  const values = parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown>);
  return Object.fromEntries(values.map((value) => [String(value['kind']), value]));
}

function init(options: Record<string, unknown> = {}, facts = restricted, version = 'v1.36.3') {
  const settings = readSettings({ ...spec, kubernetesVersion: version, options });
  return documentsOf(
    renderInit({ settings, facts, clusterName: 'c1', node: 'control-plane', token: 'a.b', timeoutSeconds: 90 }),
  );
}

function fileOf(settings: KubeadmSettings, facts: NodeFacts, path: string): string {
  return planRuntime(settings, facts).files.find((file) => file.path === path)?.content ?? '';
}

describe('addons', () => {
  const read = (options: Record<string, unknown>) => readSettings({ ...spec, options }, []);

  it('are names and texts of manifests, in their order', () => {
    const addons = [{ manifest: 'kind: B' }, 'metrics-server', { manifest: 'kind: A' }];
    expect(read({ addons }).addons).toEqual(addons);
    expect(read({}).addons).toEqual([]);
  });

  it('are refused in another form, with the names that there are, and where there is no Kubernetes', () => {
    expect(() => read({ addons: 'metrics-server' })).toThrow(
      /addons: a list of metrics-server or \{ manifest: text \}/,
    );
    expect(() => read({ addons: ['metrics'] })).toThrow(
      /addons\[0\]: no addon 'metrics'; give metrics-server or \{ manifest: text \}/,
    );
    expect(() => read({ addons: [{ path: 'a' }] })).toThrow(/addons\[0\]: metrics-server or/);
    expect(() => read({ addons: ['metrics-server'], noKubernetes: true })).toThrow(/addons: none with noKubernetes/);
    expect(() => read({ addons: [{ manifest: 'kind: A' }], noKubernetes: true })).toThrow(
      /addons: none with noKubernetes/,
    );
  });

  it('are refused where Kubernetes is older than what they are for', () => {
    const from = (kubernetesVersion: string) =>
      readSettings({ ...spec, kubernetesVersion, options: { addons: ['metrics-server'] } }, []);
    expect(() => from('v1.33.4')).toThrow(/addons\[0\]: metrics-server v\S+ is for Kubernetes v1\.34 and later/);
    expect(from('v1.35.4').addons).toEqual(['metrics-server']);
  });
});

describe('kubeadm configuration', () => {
  it('is v1beta4 with lists of arguments, one address for the API server and no leader election', () => {
    const { InitConfiguration, ClusterConfiguration } = init({ extraArgs: { apiServer: { v: 4, profiling: false } } });
    expect(InitConfiguration).toMatchObject({
      apiVersion: 'kubeadm.k8s.io/v1beta4',
      localAPIEndpoint: { advertiseAddress: '10.99.0.1', bindPort: 6443 },
      nodeRegistration: { name: 'control-plane', taints: [] },
      timeouts: { kubernetesAPICall: '90s' },
    });
    expect(ClusterConfiguration).toMatchObject({
      controlPlaneEndpoint: '10.99.0.1:6443',
      encryptionAlgorithm: 'ECDSA-P256',
      apiServer: {
        extraArgs: [
          { name: 'v', value: '4' },
          { name: 'profiling', value: 'false' },
        ],
      },
      scheduler: { extraArgs: expect.arrayContaining([{ name: 'leader-elect', value: 'false' }]) as unknown },
    });
  });

  it('lets nothing wait for limits and elections that a cluster of this size has no use for, unless asked to', () => {
    const single = init({ extraArgs: { etcd: { 'heartbeat-interval': '50' } } }).ClusterConfiguration;
    const rate = [
      { name: 'kube-api-qps', value: '1000' },
      { name: 'kube-api-burst', value: '2000' },
    ];
    expect(single).toMatchObject({
      apiServer: { extraEnvs: expect.arrayContaining([{ name: 'GOGC', value: '400' }]) as unknown },
      controllerManager: { extraArgs: expect.arrayContaining(rate) as unknown },
      scheduler: { extraArgs: expect.arrayContaining(rate) as unknown },
      etcd: {
        local: {
          extraArgs: [
            { name: 'unsafe-no-fsync', value: 'true' },
            { name: 'heartbeat-interval', value: '50' },
            { name: 'election-timeout', value: '200' },
          ],
        },
      },
    });
  });

  it('lets etcd wait for the disk where what a node wrote can be lost with its kernel', () => {
    const etcdOn = (facts: NodeFacts): string => JSON.stringify(init({}, facts).ClusterConfiguration?.['etcd']);
    expect(etcdOn(restricted)).toContain('unsafe-no-fsync');
    expect(etcdOn({ ...restricted, isContainer: false })).not.toContain('unsafe-no-fsync');
  });

  it('has CoreDNS asked every second whether it is ready, from 1.31 on, and one of it on a lone node', () => {
    const { files, init: members } = planDnsPatch({ kubernetesVersion: 'v1.36.3' });
    const folder = (members['patches'] as { directory: string }).directory;
    expect(init()['InitConfiguration']?.['patches']).toEqual({ directory: folder });
    expect(files.map(({ path }) => path)).toEqual([`${folder}/corednsdeployment+strategic.yaml`]);
    expect(parse(files[0]?.content ?? '')).toEqual({
      spec: { template: { spec: { containers: [{ name: 'coredns', readinessProbe: { periodSeconds: 1 } }] } } },
    });
    const [alone] = planDnsPatch({ kubernetesVersion: 'v1.36.3' }, 1).files;
    expect(parse(alone?.content ?? '')).toMatchObject({ spec: { replicas: 1, template: {} } });
    expect(planDnsPatch({ kubernetesVersion: 'v1.30.4' })).toEqual({ files: [], init: {} });
    expect(init({}, restricted, 'v1.30.4')['InitConfiguration']).not.toHaveProperty('patches');
  });

  it('is v1beta3 with maps before 1.31', () => {
    const { InitConfiguration, ClusterConfiguration, KubeletConfiguration } = init({}, restricted, 'v1.30.9');
    expect(InitConfiguration).toMatchObject({ apiVersion: 'kubeadm.k8s.io/v1beta3' });
    expect(InitConfiguration).not.toHaveProperty('timeouts');
    expect(ClusterConfiguration).not.toHaveProperty('encryptionAlgorithm');
    expect(ClusterConfiguration).toMatchObject({
      apiServer: { timeoutForControlPlane: '90s' },
      scheduler: { extraArgs: { 'leader-elect': 'false', 'kube-api-qps': '1000' } },
    });
    expect(JSON.stringify(ClusterConfiguration)).not.toContain('extraEnvs');
    expect(KubeletConfiguration).not.toHaveProperty('failCgroupV1');
  });

  it('makes the kubelet content with a restricted host, and leaves it alone on a full one', () => {
    const onRestricted = init();
    expect(onRestricted.KubeProxyConfiguration).toMatchObject({ oomScoreAdj: 100 });
    expect(onRestricted.KubeletConfiguration).toMatchObject({
      cgroupDriver: 'cgroupfs',
      failCgroupV1: false,
      localStorageCapacityIsolation: false,
      oomScoreAdj: 100,
      featureGates: { KubeletInUserNamespace: true },
    });
    const { KubeletConfiguration, KubeProxyConfiguration } = init({}, full);
    expect(KubeProxyConfiguration).not.toHaveProperty('oomScoreAdj');
    expect(KubeletConfiguration).toMatchObject({ cgroupDriver: 'systemd', featureGates: {} });
    expect(KubeletConfiguration).not.toHaveProperty('oomScoreAdj');
    expect(KubeletConfiguration).not.toHaveProperty('failCgroupV1');
    expect(KubeletConfiguration).not.toHaveProperty('localStorageCapacityIsolation');
  });

  it('lets the controller manager make folders for claims, where they outlive a stop, unless it shall not', () => {
    const { ClusterConfiguration } = init();
    expect(ClusterConfiguration).toMatchObject({
      controllerManager: {
        extraArgs: expect.arrayContaining([{ name: 'enable-hostpath-provisioner', value: 'true' }]) as unknown,
        extraVolumes: [{ hostPath: '/var/lib/mk-ci/volumes', mountPath: '/tmp/hostpath_pv' }],
      },
    });
    expect(renderStorageScript({ hasDefaultStorage: true })).toContain(
      'mountpoint -q /tmp/hostpath_pv || mount --bind /var/lib/mk-ci/volumes /tmp/hostpath_pv',
    );
    const without = JSON.stringify(init({ defaultStorage: false }).ClusterConfiguration?.['controllerManager']);
    expect(without).not.toMatch(/hostpath|extraVolumes/);
    expect(renderStorageScript({ hasDefaultStorage: false })).toBe('');
    expect(() => init({ defaultStorage: 'no' })).toThrow('options.defaultStorage: true or false');
  });

  it('tells every component of feature gates', () => {
    const { ClusterConfiguration, KubeletConfiguration, KubeProxyConfiguration } = init({
      featureGates: { Some: true },
    });
    expect(ClusterConfiguration).toMatchObject({
      controllerManager: {
        extraArgs: expect.arrayContaining([{ name: 'feature-gates', value: 'Some=true' }]) as unknown,
      },
    });
    expect(KubeletConfiguration).toMatchObject({ featureGates: { Some: true } });
    expect(KubeProxyConfiguration).toMatchObject({ featureGates: { Some: true }, mode: 'iptables' });
  });

  it('lets kube-proxy write the rules of a new Service at once, in every mode that would wait', () => {
    const { KubeProxyConfiguration } = init();
    // Zero is read as absent, and absent is one second.
    expect(KubeProxyConfiguration).toMatchObject({
      iptables: { minSyncPeriod: '10ms' },
      nftables: { minSyncPeriod: '10ms' },
    });
  });

  it('joins with the hash of the CA', () => {
    const settings = readSettings({ ...spec, containerRuntime: 'docker' });
    const { JoinConfiguration } = documentsOf(
      renderJoin({
        settings,
        facts: restricted,
        node: 'worker-1',
        token: 'a.b',
        caHash: 'sha256:00',
        timeoutSeconds: 60,
      }),
    );
    expect(JoinConfiguration).toMatchObject({
      discovery: { bootstrapToken: { token: 'a.b', apiServerEndpoint: '10.99.0.1:6443', caCertHashes: ['sha256:00'] } },
      nodeRegistration: { name: 'worker-1', criSocket: 'unix:///run/cri-dockerd.sock' },
    });
  });
});

describe('options of a cluster', () => {
  it('are all checked, with every problem named at once', () => {
    const bad = { podSubnet: '10.96.0.0/12', proxyMode: 'magic', extraArgs: { nobody: {} }, nope: 1, cni: 3 };
    expect(() => readSettings({ ...spec, options: bad }, [])).toThrow(/podSubnet.*proxyMode|nope.*podSubnet/s);
    try {
      readSettings({ ...spec, options: bad }, []);
    } catch (error) {
      const { problems } = (error as { readonly details: { readonly problems: readonly string[] } }).details;
      expect(problems.map((problem) => problem.split(':')[0])).toEqual([
        'options.nope',
        'options.podSubnet',
        'options.podSubnet',
        'options.proxyMode',
        'options.extraArgs.nobody',
        'options.cni',
      ]);
    }
  });

  it('may be those that the driver reads', () => {
    const options = { host: '192.0.2.7', podSubnet: '10.1.0.0/16' };
    expect(readSettings({ ...spec, options }, ['host']).podSubnet).toBe('10.1.0.0/16');
  });

  it('have defaults that do not overlap', () => {
    expect(readSettings(spec)).toMatchObject({
      runtime: 'containerd',
      podSubnet: '10.244.0.0/16',
      serviceSubnet: '10.96.0.0/16',
      cni: 'own',
    });
  });
});

describe('runtimes', () => {
  it('are configured in format 3 for containerd 2 and in format 2 for containerd 1', () => {
    const settings = readSettings(spec);
    const three = fileOf(settings, restricted, '/etc/containerd/config.toml');
    expect(three).toContain('version = 3\n');
    expect(three).toContain(
      '[plugins."io.containerd.cri.v1.images".pinned_images]\nsandbox = "registry.k8s.io/pause:3.10.2"',
    );
    expect(three).toContain('restrict_oom_score_adj = true');
    expect(three).toContain('SystemdCgroup = false');
    expect(three).toContain('stats_collect_period = "10s"');
    const two = fileOf(settings, { ...full, containerdMajor: 1 }, '/etc/containerd/config.toml');
    expect(two).toContain('version = 2\n');
    expect(two).toContain('sandbox_image = "registry.k8s.io/pause:3.10.2"');
    expect(two).toContain('restrict_oom_score_adj = false');
    expect(two).toContain('SystemdCgroup = true');
  });

  it('of docker go through a wrapper only where oom scores can not be lowered', () => {
    const settings = readSettings({ ...spec, containerRuntime: 'docker' });
    const inRestricted = JSON.parse(renderDockerDaemon(settings, restricted)) as Record<string, unknown>;
    expect(inRestricted).toMatchObject({
      bridge: 'none',
      'default-runtime': 'mk-ci',
      'exec-opts': ['native.cgroupdriver=cgroupfs'],
    });
    expect(fileOf(settings, restricted, '/usr/local/sbin/mk-ci-runc')).toContain('exec /usr/sbin/runc "$@"');
    expect(JSON.parse(renderDockerDaemon(settings, full))).not.toHaveProperty('runtimes');
    expect(fileOf(settings, full, '/usr/local/sbin/mk-ci-runc')).toBe('');
  });

  it('of CRI-O get one file of settings', () => {
    const settings = readSettings({ ...spec, containerRuntime: 'cri-o' });
    const text = fileOf(settings, full, '/etc/crio/crio.conf.d/10-mk-ci.conf');
    expect(text).toContain('cgroup_manager = "systemd"');
    expect(text).toContain('pause_image = "registry.k8s.io/pause:3.10.2"');
    expect(planRuntime(settings, full).needs).toContain('crio');
  });

  it('know mirrors and registries without TLS', () => {
    const options = { registryMirrors: { 'docker.io': ['mirror:5000'] }, insecureRegistries: ['reg:5000'] };
    const containerd = readSettings({ ...spec, options });
    expect(fileOf(containerd, full, '/etc/containerd/certs.d/docker.io/hosts.toml')).toContain(
      '[host."http://mirror:5000"]',
    );
    expect(fileOf(containerd, full, '/etc/containerd/certs.d/reg:5000/hosts.toml')).toContain('skip_verify = true');
    const docker = readSettings({ ...spec, containerRuntime: 'docker', options });
    expect(JSON.parse(renderDockerDaemon(docker, full))).toMatchObject({
      'registry-mirrors': ['http://mirror:5000'],
      'insecure-registries': ['reg:5000'],
    });
    const crio = readSettings({ ...spec, containerRuntime: 'cri-o', options });
    expect(fileOf(crio, full, '/etc/containers/registries.conf.d/10-mk-ci.conf')).toContain('location = "mirror:5000"');
  });
});

describe('network of nodes', () => {
  const peers: PeerNode[] = [
    { node: 'control-plane', address: '172.20.0.2', isControlPlane: true, podSubnet: '10.244.0.0/24' },
    { node: 'worker-1', address: '172.20.0.3', isControlPlane: false, podSubnet: '10.244.1.0/24' },
  ];

  it('gives the control plane its fixed address and the workers a way to it', () => {
    const settings = readSettings(spec);
    const control = renderNetworkScript(settings, 'control-plane', peers);
    expect(control).toContain('ip address replace 10.99.0.1/32 dev lo');
    expect(control).toContain('ip route replace 10.244.1.0/24 via 172.20.0.3');
    expect(control).not.toContain('10.244.0.0/24');
    const worker = renderNetworkScript(settings, 'worker-1', peers);
    expect(worker).toContain('ip route replace 10.99.0.1/32 via 172.20.0.2');
    for (const chain of ['FORWARD', 'OUTPUT']) {
      expect(worker).toContain(`iptables -w -A ${chain} -d 10.96.0.0/16 -m comment --comment mk-ci -j REJECT`);
    }
    expect(worker).not.toContain('ip route replace unreachable');
  });

  it.each([
    ['10.96.0.0/16', '10.96.0.1'],
    ['192.168.255.128/25', '192.168.255.129'],
  ])(
    'leads the Service of the API server there before kube-proxy does, with services in %s',
    (serviceSubnet, address) => {
      const script = renderNetworkScript(readSettings({ ...spec, options: { serviceSubnet } }), 'worker-1', peers);
      for (const chain of ['PREROUTING', 'OUTPUT']) {
        expect(script).toContain(
          `iptables -w -t nat -A ${chain} -d ${address}/32 -p tcp -m tcp --dport 443 -m comment --comment mk-ci -j DNAT --to-destination 10.99.0.1:6443`,
        );
      }
    },
  );

  it.each(['nftables', 'ipvs'])('does not come before kube-proxy where its mode is %s', (proxyMode) => {
    const script = renderNetworkScript(readSettings({ ...spec, options: { proxyMode } }), 'worker-1', peers);
    expect(script).not.toContain('DNAT');
  });

  it('leaves pods alone when another network plugin does them', () => {
    const script = renderNetworkScript(readSettings({ ...spec, options: { cni: 'none' } }), 'worker-1', peers);
    expect(script).not.toContain('MASQUERADE');
    expect(script).not.toContain('10.244.0.0/24 via');
  });

  it('gives each node a list of its own subnet', () => {
    expect(JSON.parse(renderCniList('10.244.1.0/24'))).toMatchObject({
      plugins: [{ type: 'ptp', ipam: { ranges: [[{ subnet: '10.244.1.0/24' }]] } }, { type: 'portmap' }],
    });
    expect(firstPodSubnet('10.244.0.0/16')).toBe('10.244.0.0/24');
    expect(firstPodSubnet('10.244.0.0/26')).toBe('10.244.0.0/26');
  });

  it('never hands pods a name server on the loopback, and never none', () => {
    const of = (nameservers: string[], host: string): string =>
      renderResolvConf({ ...restricted, nameservers }, host).content;
    expect(of([], 'nameserver 127.0.0.53\nnameserver 10.0.0.2\n')).toBe('nameserver 10.0.0.2\n');
    expect(of(['1.2.3.4'], 'nameserver 1.2.3.4\n')).toBe('nameserver 1.2.3.4\n');
    expect(of([], '')).toBe('nameserver 172.26.131.1\n');
  });
});

describe('facts of a node', () => {
  it('are read from what it prints, as the node image of v1.36.3 did', () => {
    const facts = parseNodeFacts(
      [
        'cgroups tmpfs',
        'bounding CapBnd:\t000001fffeffffff',
        'userids  0 0 4294967295 ',
        'oom -17',
        'kernel shared',
        'program kubeadm /usr/local/bin/kubeadm',
        'program runc /usr/sbin/runc',
        'containerd containerd github.com/containerd/containerd/v2 v2.4.2 unknown',
        'archive /opt/mk-ci/images.tar',
        'pause {"pauseImage": "registry.k8s.io/pause:3.10"}',
        'nameserver 127.0.0.11',
        'gateway 172.26.131.1',
      ].join('\n'),
    );
    expect(facts).toEqual({
      cgroups: 'v1',
      hasSysResource: false,
      oomScoreAdj: -17,
      isContainer: true,
      isTranslated: false,
      programs: { kubeadm: '/usr/local/bin/kubeadm', runc: '/usr/sbin/runc' },
      containerdMajor: 2,
      imageArchive: '/opt/mk-ci/images.tar',
      pauseImage: 'registry.k8s.io/pause:3.10',
      nameservers: [],
      gateway: '172.26.131.1',
    });
    expect(parseNodeFacts('')).toMatchObject({
      cgroups: 'v1',
      hasSysResource: false,
      oomScoreAdj: 0,
      isContainer: false,
      containerdMajor: 0,
      programs: {},
    });
    expect(parseNodeFacts('processor translated').isTranslated).toBe(true);
  });

  it('tell a capability from one of a namespace of users, as the engine of a user showed it', () => {
    const full = 'bounding CapBnd:\t000001ffffffffff';
    expect(parseNodeFacts(`${full}\nuserids  0 0 4294967295 `).hasSysResource).toBe(true);
    expect(parseNodeFacts(`${full}\nuserids  0 1001 1 1 100000 65536 `).hasSysResource).toBe(false);
  });
});
