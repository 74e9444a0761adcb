import { readFile, rm, writeFile } from 'node:fs/promises';

import type { FakeAnswer, FakeTool } from '../../vm/testing/fake-tools.js';
import { parseVmx } from '../vmware.js';
import type { FakeMachines } from './fake-machines.js';

/**
 * `vmrun` and `vmware-vdiskmanager`, with the words of "Using vmrun to Control Virtual Machines" and of the tests of
 * `hashicorp/packer-plugin-vmware:builder/vmware`.
 */
export function fakeVmware(machines: FakeMachines): Readonly<Record<'vmrun' | 'vmware-vdiskmanager', FakeTool>> {
  const failed = (text: string): FakeAnswer => ({ exitCode: 255, stdout: `Error: ${text}\n` });
  return {
    'vmware-vdiskmanager': async ({ args }) => {
      await writeFile(args.at(-1) ?? '', '');
      return { stdout: 'Creating disk\n  Convert: 100% done.\nVirtual disk conversion successful.\n' };
    },
    vmrun: async ({ args }) => {
      if (args.length === 0) {
        return {
          exitCode: 255,
          stdout: '\nvmrun version 1.17.0 build-24400281\n\nUsage: vmrun [AUTHENTICATION-FLAGS] COMMAND\n',
        };
      }
      const [, , verb = '', vmx = '', snapshot = ''] = args;
      if (verb === 'list') {
        const running = [...machines.all.values()].filter(({ state }) => state !== 'off').map(({ name }) => name);
        return { stdout: [`Total running VMs: ${running.length}`, ...running, ''].join('\n') };
      }
      const text = await readFile(vmx, 'utf8').catch(() => undefined);
      if (text === undefined) return failed(`Cannot open VM: ${vmx}, The virtual machine cannot be found`);
      const machine = machines.all.get(vmx) ?? machines.add(vmx, 'off');
      machine.seed = parseVmx(text).get('sata0:1.fileName') ?? '';
      const isOff = machine.state === 'off';
      switch (verb) {
        case 'start':
          await machines.boot(machine, 'on');
          return {};
        case 'stop':
          if (isOff) return failed('The virtual machine is not powered on: ' + vmx);
          await machines.halt(machine, 'off');
          return {};
        case 'pause':
        case 'unpause':
          return isOff ? failed('The virtual machine is not powered on: ' + vmx) : {};
        case 'getGuestIPAddress':
          return machine.guest === undefined
            ? failed('The VMware Tools are not running in the virtual machine: ' + vmx)
            : { stdout: `${machine.address}\n` };
        case 'snapshot':
          machine.snapshots.set(snapshot, machine.state);
          return {};
        case 'listSnapshots':
          return { stdout: [`Total snapshots: ${machine.snapshots.size}`, ...machine.snapshots.keys(), ''].join('\n') };
        case 'revertToSnapshot':
        case 'deleteSnapshot':
          if (!machine.snapshots.has(snapshot)) return failed('The snapshot does not exist');
          if (verb === 'deleteSnapshot') machine.snapshots.delete(snapshot);
          else await machines.halt(machine, 'off');
          return {};
        case 'deleteVM':
          machines.all.delete(vmx);
          await rm(vmx);
          return {};
        default:
          return failed(`Unrecognized command: ${verb}`);
      }
    },
  };
}
