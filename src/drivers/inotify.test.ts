import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { createTemporaryFolder } from '../files.js';
import { checkInotify, hasRoomBeside, readInotifyHost, type InotifyHost, type InotifyNode } from './inotify.js';

const node = (id: string, startedAt: number, instances = 30): InotifyNode => ({ id, startedAt, instances });
const host = (over: Partial<InotifyHost> = {}): InotifyHost => ({
  limit: 128,
  canCount: true,
  countWithout: async () => 0,
  ...over,
});

describe('checkInotify', () => {
  it('lets those begin that were started first, and says what the others need', async () => {
    const nodes = ['e', 'd', 'c', 'b', 'a'].map((id) => node(id, 0));
    for (const id of ['a', 'b', 'c', 'd']) await checkInotify(id, nodes, host());
    await expect(checkInotify('e', nodes, host())).rejects.toMatchObject({
      code: 'HOST_RESOURCES',
      message: expect.stringContaining(
        'inotify allows 128 instances, other programs have 0 and nodes want 150',
      ) as unknown,
      advice: expect.stringContaining('sysctl fs.inotify.max_user_instances=512') as unknown,
    });
  });

  it('counts what other programs have, and nodes with what they will have', async () => {
    const nodes = [node('new', 2), node('old', 1)];
    const asked: string[][] = [];
    const taken = (count: number): InotifyHost =>
      host({
        countWithout: async (ids) => {
          asked.push([...ids]);
          return count;
        },
      });
    await checkInotify('new', nodes, taken(68));
    await expect(checkInotify('new', nodes, taken(69))).rejects.toThrow('other programs have 69 and nodes want 60');
    await checkInotify('old', nodes, taken(69));
    expect(asked).toEqual(Array.from({ length: 3 }, () => ['new', 'old']));
  });

  it('counts all nodes where processes can not be seen', async () => {
    const nodes = ['a', 'b', 'c', 'd', 'e'].map((id, index) => node(id, index));
    await expect(checkInotify('e', nodes, host({ canCount: false }))).rejects.toThrow('want 150');
  });

  it('does not look where the limit is far away or not known', async () => {
    const countWithout = async (): Promise<number> => await Promise.reject(new Error('looked'));
    await checkInotify('a', [node('a', 0)], host({ countWithout }));
    await checkInotify('a', [node('a', 0, 500)], host({ limit: undefined, countWithout }));
  });
});

describe('hasRoomBeside', () => {
  it('counts what is there, or as many again where that can not be seen', async () => {
    const taken = async (): Promise<number> => 82;
    expect(await hasRoomBeside(46, host({ countWithout: taken }))).toBe(true);
    expect(await hasRoomBeside(47, host({ countWithout: taken }))).toBe(false);
    expect(await hasRoomBeside(64, host({ canCount: false }))).toBe(true);
    expect(await hasRoomBeside(65, host({ canCount: false }))).toBe(false);
    expect(await hasRoomBeside(1000, host({ limit: undefined }))).toBe(true);
  });
});

describe('readInotifyHost', () => {
  it('counts the instances of processes that are not in these containers', async () => {
    await using folder = await createTemporaryFolder();
    const add = async (pid: string, cgroup: string, targets: readonly string[], uid = 0): Promise<void> => {
      const fds = join(folder.path, pid, 'fd');
      await mkdir(fds, { recursive: true });
      await writeFile(join(folder.path, pid, 'status'), `Name:\tx\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nGid:\t0\n`);
      await writeFile(join(folder.path, pid, 'cgroup'), cgroup);
      for (const [fd, target] of targets.entries()) await symlink(target, join(fds, String(fd)));
    };
    await add('1', '0::/init.scope\n', ['anon_inode:inotify', '/dev/null', 'anon_inode:inotify']);
    await add('20', '1:cpu:/docker/abc\n', ['anon_inode:inotify']);
    await add('30', '1:cpu:/docker/def/kubelet\n', ['anon_inode:inotify']);
    await add('31', '1:cpu:/user.slice\n', ['anon_inode:inotify'], 1000);
    await mkdir(join(folder.path, '40')); // has ended
    await mkdir(join(folder.path, 'sys/fs/inotify'), { recursive: true });
    await writeFile(join(folder.path, 'sys/fs/inotify/max_user_instances'), '128\n');

    const root = await readInotifyHost(folder.path, 0);
    expect(root).toMatchObject({ limit: 128, canCount: true });
    expect(await root.countWithout(['def'])).toBe(3);
    const user = await readInotifyHost(folder.path, 1000);
    expect(user.canCount).toBe(false);
    expect(await user.countWithout([])).toBe(0);
    expect((await readInotifyHost(join(folder.path, 'nothing'), 0)).limit).toBeUndefined();
  });
});
