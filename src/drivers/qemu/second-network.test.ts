import { describe, expect, it } from 'vitest';

import { isMkCiError } from '../../errors.js';
import { parseConnected } from './qmp-messages.js';
import { readSecondNetwork, waitForSecondNetwork } from './second-network.js';

const { signal } = new AbortController();

describe('the second network of a machine', () => {
  it('is a bridge, a socket or none, whatever else the options say', () => {
    expect(readSecondNetwork({ podSubnet: '10.0.0.0/16' }, 'linux')).toBeUndefined();
    const bridge = readSecondNetwork({ bridge: 'virbr0' }, 'linux');
    expect(bridge).toMatchObject({ kind: 'bridge', bridge: 'virbr0' });
    const socket = readSecondNetwork({ networkSocket: '/var/run/socket_vmnet' }, 'darwin');
    expect(socket).toMatchObject({ kind: 'socket', path: '/var/run/socket_vmnet' });
  });

  it('gives each machine a MAC of its own, which belongs to no manufacturer', () => {
    const macs = Array.from({ length: 20 }, () => readSecondNetwork({ bridge: 'br0' }, 'linux')?.mac ?? '');
    for (const mac of macs) expect(mac).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/);
    expect(new Set(macs).size).toBeGreaterThan(1);
  });

  it.each([
    [{ bridge: 'br0,helper=/bin/sh' }, 'options.bridge: the name of a bridge such as br0'],
    [{ bridge: 'a-name-of-16-chars' }, 'options.bridge'],
    [{ bridge: 7 }, 'options.bridge'],
    [{ networkSocket: 'vmnet.sock' }, 'options.networkSocket: an absolute path'],
    [{ networkSocket: `/${'x'.repeat(104)}` }, 'options.networkSocket'],
    [{ bridge: 'br0', networkSocket: '/s' }, 'options.networkSocket: not together with options.bridge'],
  ])('refuses %j', (options, message) => {
    const read = (): unknown => readSecondNetwork(options, 'linux');
    expect(read).toThrow(message);
    expect(read).toThrow(expect.objectContaining({ code: 'CFG_INVALID' }) as Error);
  });

  it('has no bridge on macOS, and says what there is', () => {
    const read = (): unknown => readSecondNetwork({ bridge: 'br0' }, 'darwin');
    expect(read).toThrow(expect.objectContaining({ code: 'DRV_UNSUPPORTED' }) as Error);
  });

  // Recorded with QEMU 7.2.22.
  const card =
    'virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n \\ net0: index=0,type=user,net=10.0.2.0,restrict=off\r\n';
  it.each([
    [' \\ net1: index=0,type=stream,connection error\r\n', false],
    [' \\ net1: index=0,type=stream,unix:/tmp/live.sock\r\n', true],
    [' \\ net1: index=0,type=stream,\r\n', undefined],
    ['', undefined],
  ])('is connected by %j: %s', (line, expected) => {
    expect(parseConnected(card + line)).toBe(expected);
  });

  it('is waited for while QEMU tries', async () => {
    const network = { kind: 'socket', path: '/s', mac: '52:54:00:00:00:01' } as const;
    const answers = [' net1: type=stream,', ' net1: type=stream,unix:/s'];
    await waitForSecondNetwork(network, async () => answers.shift() ?? '', signal);
    expect(answers).toEqual([]);
    const error: unknown = await waitForSecondNetwork(
      network,
      async () => ' net1: type=stream,connection error',
      signal,
    ).catch((thrown: unknown) => thrown);
    expect(isMkCiError(error, 'NET_UNREACHABLE')).toBe(true);
  });
});
