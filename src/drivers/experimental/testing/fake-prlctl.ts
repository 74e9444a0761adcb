import { randomUUID } from 'node:crypto';
import { appendFile } from 'node:fs/promises';

import type { FakeAnswer, FakeTool } from '../../vm/testing/fake-tools.js';
import { after, type FakeMachine, type FakeMachines } from './fake-machines.js';

/** `prlctl` with the fields that `Parallels/vagrant-parallels:lib/vagrant-parallels/driver/base.rb` reads, and its leases. */
export function fakePrlctl(machines: FakeMachines, leasesFile: string): FakeTool {
  const failed = (text: string): FakeAnswer => ({ exitCode: 255, stderr: `${text}\n` });
  const macs = new Map<string, string>();
  const infoOf = ({ name, state, notes }: FakeMachine): unknown => ({
    ID: '7ab2fb2f-0f0b-4ff9-a4f5-2f5d1a5f1a11',
    Name: name,
    Description: notes,
    Type: 'VM',
    State: state,
    Hardware: {
      cpu: { cpus: 2 },
      memory: { size: '4096Mb' },
      net0: { enabled: true, type: 'shared', mac: macs.get(name), card: 'virtio' },
    },
  });
  const boot = async (machine: FakeMachine): Promise<FakeAnswer> => {
    await machines.boot(machine, 'running');
    const mac = macs.get(machine.name)?.toLowerCase() ?? '';
    await appendFile(leasesFile, `${machine.address}="1418921112,1800,${mac},01${mac}"\n`);
    return { stdout: 'Starting the VM...\nThe VM has been successfully started.\n' };
  };
  return async ({ args }) => {
    const [verb = '', name = '', ...rest] = args;
    if (verb === '--version') return { stdout: 'prlctl version 19.4.1 (54985)\n' };
    if (verb === 'list' && name === '--all') return { stdout: JSON.stringify([...machines.all.values()].map(infoOf)) };
    if (verb === 'create') {
      machines.add(name, 'stopped');
      macs.set(name, `001C42${(machines.all.size + 0x100000).toString(16).toUpperCase()}`);
      return { stdout: 'Creating the virtual machine...\nThe VM has been successfully created.\n' };
    }
    const machine = machines.all.get(name);
    if (machine === undefined) {
      return failed(
        `Failed to get VM config: The virtual machine could not be found. The virtual machine "${name}" is not registered.`,
      );
    }
    const id = after(rest, '--id');
    switch (verb) {
      case 'list':
        return { stdout: JSON.stringify([infoOf(machine)]) };
      case 'set':
        if (rest[0] === '--description') machine.notes = rest[1] ?? '';
        if (rest[0] === '--device-set') machine.seed = after(rest, '--image');
        return {};
      case 'start':
        return machine.state === 'running' ? failed('The VM is already running.') : await boot(machine);
      case 'stop':
        await machines.halt(machine, 'stopped');
        return {};
      case 'pause':
        machine.state = 'paused';
        return {};
      case 'resume':
        machine.state = 'running';
        return {};
      case 'delete':
        machines.all.delete(name);
        return {};
      case 'snapshot': {
        const made = `{${randomUUID()}}`;
        machine.snapshots.set(made, after(rest, '--name'));
        return { stdout: `Creating the snapshot...\nThe snapshot with id ${made} has been successfully created.\n` };
      }
      case 'snapshot-list': {
        const kept = [...machine.snapshots].map(([key, one]) => [
          key,
          { name: one, date: '2026-11-21 00:00:00', state: 'poweron' },
        ]);
        return { stdout: kept.length === 0 ? '' : JSON.stringify(Object.fromEntries(kept)) };
      }
      case 'snapshot-switch':
        return machine.snapshots.has(id) ? await boot(machine) : failed('Unable to find the snapshot.');
      case 'snapshot-delete':
        return machine.snapshots.delete(id) ? {} : failed('Unable to find the snapshot.');
      default:
        return failed(`Unrecognized command: ${verb}`);
    }
  };
}
