import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';

import type { FakeAnswer, FakeTool } from '../../vm/testing/fake-tools.js';
import { after, type FakeMachine, type FakeMachines } from './fake-machines.js';

/**
 * `VBoxManage` as its manual and `hashicorp/vagrant:plugins/providers/virtualbox/driver` show it: version 7.0 on Linux. What it is
 * not asked for is missing.
 */
export function fakeVBoxManage(machines: FakeMachines): FakeTool {
  const ids = new Map<string, string>();
  const rules = new Map<string, Map<string, string>>();
  const error = (text: string, code: string): FakeAnswer => ({
    exitCode: 1,
    stderr: `VBoxManage: error: ${text}\nVBoxManage: error: Details: code ${code}, component VirtualBoxWrap, interface IVirtualBox\n`,
  });
  const find = (name: string): FakeMachine | undefined =>
    machines.all.get(name) ?? [...machines.all.values()].find((machine) => ids.get(machine.name) === name);
  const rulesOf = (name: string): Map<string, string> => rules.get(name) ?? new Map<string, string>();

  const power = async (machine: FakeMachine): Promise<FakeAnswer> => {
    if (machine.state === 'running') return error(`The machine '${machine.name}' is already locked by a session`, 'x');
    const ssh = rulesOf(machine.name).get('p22')?.split(',')[3];
    await machines.boot(machine, 'running', { host: '127.0.0.1', port: Number(ssh) });
    return {
      stdout: `Waiting for VM "${machine.name}" to power on...\nVM "${machine.name}" has been successfully started.\n`,
    };
  };
  const control = async (machine: FakeMachine, action: string): Promise<FakeAnswer> => {
    if (!['running', 'paused'].includes(machine.state)) {
      return error(`Machine '${machine.name}' is not currently running.`, 'VBOX_E_INVALID_VM_STATE (0x80bb0002)');
    }
    if (action === 'pause') machine.state = 'paused';
    if (action === 'resume') machine.state = 'running';
    if (action === 'poweroff' || action === 'acpipowerbutton') await machines.halt(machine, 'poweroff');
    return {};
  };
  const snapshot = (machine: FakeMachine, [verb = '', name = '']: readonly string[]): FakeAnswer => {
    if (verb === 'take') machine.snapshots.set(name, machine.state === 'running' ? 'saved' : 'poweroff');
    if (verb === 'list') {
      if (machine.snapshots.size === 0) return { exitCode: 1, stdout: 'This machine does not have any snapshots\n' };
      const lines = [...machine.snapshots.keys()].map((one, index) => {
        const key = `SnapshotName${'-1'.repeat(index)}`;
        return `${key}="${one}"\n${key.replace('Name', 'UUID')}="${randomUUID()}"\n`;
      });
      return { stdout: `${lines.join('')}CurrentSnapshotName="${[...machine.snapshots.keys()].at(-1) ?? ''}"\n` };
    }
    if (verb === 'restore' || verb === 'delete') {
      const state = machine.snapshots.get(name);
      if (state === undefined) {
        return error(`Could not find a snapshot named '${name}'`, 'VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)');
      }
      if (verb === 'delete') machine.snapshots.delete(name);
      else machine.state = state;
    }
    return {};
  };

  return async ({ args }) => {
    const [verb = '', name = '', ...rest] = args;
    if (verb === '--version') return { stdout: '7.0.20r163906\n' };
    if (verb === 'list') {
      return { stdout: [...machines.all.keys()].map((one) => `"${one}" {${ids.get(one) ?? ''}}\n`).join('') };
    }
    if (verb === 'convertfromraw' || verb === 'clonemedium') {
      await writeFile(args.find((arg) => arg.endsWith('.vdi')) ?? '', '');
      return {};
    }
    if (verb === 'createvm') {
      const own = after(args, '--name');
      ids.set(own, randomUUID());
      rules.set(own, new Map());
      machines.add(own, 'poweroff');
      return { stdout: `Virtual machine '${own}' is created and registered.\n` };
    }
    const machine = find(name);
    if (machine === undefined) {
      return error(`Could not find a registered machine named '${name}'`, 'VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)');
    }
    switch (verb) {
      case 'setextradata':
        machine.notes = rest[1] ?? '';
        return {};
      case 'getextradata':
        return { stdout: machine.notes === '' ? 'No value set!\n' : `Value: ${machine.notes}\n` };
      case 'modifyvm': {
        const [flag, value = '', rule = ''] = rest;
        if (flag === '--natpf1' && value === 'delete') rulesOf(name).delete(rule);
        else if (flag === '--natpf1') rulesOf(name).set(value.split(',')[0] ?? '', value);
        return {};
      }
      case 'storageattach':
        if (after(args, '--type') === 'dvddrive') machine.seed = after(args, '--medium');
        return {};
      case 'storagectl':
        return {};
      case 'showvminfo': {
        const forwards = [...rulesOf(machine.name).values()].map((rule, index) => `Forwarding(${index})="${rule}"\n`);
        return {
          stdout: `name="${machine.name}"\ngroups="/"\nostype="Linux 2.6 / 3.x / 4.x / 5.x (64-bit)"\nmemory=4096\n${forwards.join('')}VMState="${machine.state}"\nVMStateChangeTime="2026-11-21T00:00:00.000000000"\n"SATA-0-0"="/m/disk.vdi"\n`,
        };
      }
      case 'startvm':
        return await power(machine);
      case 'controlvm':
        return await control(machine, rest[0] ?? '');
      case 'snapshot':
        return snapshot(machine, rest);
      case 'unregistervm':
        machines.all.delete(machine.name);
        return {};
      default:
        return { exitCode: 2, stderr: `Invalid command '${verb}'\n` };
    }
  };
}
