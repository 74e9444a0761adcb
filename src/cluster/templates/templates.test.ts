import { mkdir, readFile, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createTemporaryFolder, type TemporaryFolder } from '../../files.js';
import { choosePrunable, createTemplates, templateKey, type Templates } from './templates.js';

const { signal } = new AbortController();
const ABOUT = { kubernetesVersion: 'v1.36.3' };

describe('createTemplates', () => {
  let temporary: TemporaryFolder;
  let templates: Templates;
  const parts = (name: string): { readonly etcd: string; readonly pki: string } => ({
    etcd: join(temporary.path, name, 'etcd'),
    pki: join(temporary.path, name, 'pki'),
  });

  beforeEach(async () => {
    temporary = await createTemporaryFolder();
    templates = createTemplates({ folder: join(temporary.path, 'templates'), now: () => new Date() });
    const source = parts('source');
    await mkdir(join(source.etcd, 'member', 'wal'), { recursive: true });
    await mkdir(source.pki, { recursive: true });
    await writeFile(join(source.etcd, 'member', 'db'), 'data');
    await writeFile(join(source.etcd, 'member', 'wal', '0.wal'), 'log');
    await writeFile(join(source.etcd, 'member', 'wal', '1.tmp'), Buffer.alloc(1000));
    await writeFile(join(source.pki, 'ca.key'), 'key', { mode: 0o600 });
  });
  afterEach(async () => {
    await temporary[Symbol.asyncDispose]();
  });

  it('gives copies of what it was made from', async () => {
    expect(await templates.copy('k', parts('early'), signal)).toBeUndefined();
    await templates.make('k', parts('source'), ABOUT, signal);
    expect(await templates.copy('k', parts('clone'), signal)).toBeDefined();
    expect(await readFile(join(parts('clone').etcd, 'member', 'db'), 'utf8')).toBe('data');
    expect(await readFile(join(parts('clone').pki, 'ca.key'), 'utf8')).toBe('key');
    expect(await readdir(join(parts('clone').etcd, 'member', 'wal'))).toEqual(['0.wal']);
    // A clone that is written to changes neither the template nor the next clone.
    await writeFile(join(parts('clone').etcd, 'member', 'db'), 'dirty');
    await templates.copy('k', parts('next'), signal);
    expect(await readFile(join(parts('next').etcd, 'member', 'db'), 'utf8')).toBe('data');
  });

  it('keeps the first of two that are made at the same time', async () => {
    await Promise.all([1, 2, 3].map(() => templates.make('k', parts('source'), ABOUT, signal)));
    expect(await readdir(join(temporary.path, 'templates'))).toEqual(['k']);
    expect(await templates.has('k')).toBe(true);
  });

  it('removes a damaged template, copies nothing of it, and lets it be made again', async () => {
    const data = join(temporary.path, 'templates', 'k', 'data');
    const damages = [
      () => writeFile(join(data, 'etcd', 'member', 'db'), 'dbta'),
      () => writeFile(join(data, 'pki', 'more'), ''),
      () => rm(join(data, 'etcd', 'member', 'wal', '0.wal')),
      () => rm(data, { recursive: true }),
      () => rm(join(data, '..', 'manifest.json')),
      () => writeFile(join(data, '..', 'manifest.json'), '{"version":1'),
    ];
    for (const damage of damages) {
      await templates.make('k', parts('source'), ABOUT, signal);
      await damage();
      expect(await templates.copy('k', parts('clone'), signal)).toBeUndefined();
      expect(await readdir(join(temporary.path, 'clone')).catch(() => [])).toEqual([]);
      expect(await readdir(join(temporary.path, 'templates'))).toEqual([]);
    }
  });

  it('finds damage of files that copies have in common with it, when all is compared', async () => {
    const memory = join(parts('source').etcd, 'ram.fixed');
    await writeFile(memory, 'what the guest sees');
    await templates.make('k', parts('source'), ABOUT, signal);
    const whole = await templates.copy('k', parts('clone'), signal);
    await expect(whole?.check(signal)).resolves.toBeUndefined();
    const inTemplate = join(temporary.path, 'templates', 'k', 'data', 'etcd', 'ram.fixed');
    expect((await stat(inTemplate)).nlink).toBeGreaterThan(1);
    await writeFile(inTemplate, 'what the guest sees.');
    const longer = await templates.copy('k', parts('second'), signal);
    await expect(longer?.check(signal)).rejects.toThrow('ram.fixed has 20 bytes in place of 19');
    await writeFile(inTemplate, 'what the guest saws');
    const changed = await templates.copy('k', parts('third'), signal);
    await expect(changed?.check(signal)).rejects.toThrow('ram.fixed does not match its checksum');
    // One that is removed while it is compared is not known to be whole either.
    await templates.discard('k');
    await expect(changed?.check(signal)).rejects.toMatchObject({ code: 'K8S_SNAPSHOT_BROKEN' });
  });

  it('forgets one that is discarded', async () => {
    await templates.discard('k');
    await templates.make('k', parts('source'), ABOUT, signal);
    await templates.discard('k');
    expect(await templates.copy('k', parts('clone'), signal)).toBeUndefined();
    expect(await readdir(join(temporary.path, 'templates'))).toEqual([]);
  });

  it('removes those that are old, then the longest unused of those that take too much, and what was left half made', async () => {
    const now = new Date('2026-11-22T00:00:00Z');
    const hoursAgo = (hours: number): Date => new Date(now.getTime() - hours * 3_600_000);
    const folder = join(temporary.path, 'templates');
    // Each holds ten bytes.
    const few = createTemplates({ folder, now: () => now, maxAgeMs: 10 * 3_600_000, maxBytes: 25 });
    for (const [name, hours] of Object.entries({ aged: 11, oldest: 9, older: 8, used: 7 })) {
      await few.make(name, parts('source'), ABOUT, signal);
      await utimes(join(folder, name), hoursAgo(hours), hoursAgo(hours));
    }
    await mkdir(join(folder, 'half.tmp', 'data'), { recursive: true });
    await utimes(join(folder, 'half.tmp'), hoursAgo(2), hoursAgo(2));
    expect(await few.copy('oldest', parts('clone'), signal)).toBeDefined();
    expect([...(await few.prune())].sort()).toEqual(['aged', 'half.tmp', 'older']);
    expect((await readdir(folder)).sort()).toEqual(['oldest', 'used']);
  });

  it('counts what templates take on the disk, not their holes', async () => {
    const few = createTemplates({
      folder: join(temporary.path, 'templates'),
      now: () => new Date(),
      maxBytes: 2 ** 20,
    });
    const source = parts('source');
    await truncate(join(source.etcd, 'member', 'db'), 2 ** 22);
    await few.make('sparse', source, ABOUT, signal);
    expect(await few.prune()).toEqual([]);
  });

  it('does not use one that was interrupted', async () => {
    const aborted = AbortSignal.abort(new Error('killed'));
    await expect(templates.make('k', parts('source'), ABOUT, aborted)).rejects.toThrow('killed');
    expect(await templates.has('k')).toBe(false);
    expect(await readdir(join(temporary.path, 'templates'))).toEqual([]);
  });
});

describe('templateKey', () => {
  const spec = { driver: 'local', kubernetesVersion: 'v1.36.3', nodes: 1, options: { a: 1, b: { c: 2, d: 3 } } };

  it('does not depend on the order of keys, and on nothing else', () => {
    const key = templateKey('digest', spec);
    expect(templateKey('digest', { ...spec, options: { b: { d: 3, c: 2 }, a: 1 } })).toBe(key);
    expect(templateKey('other', spec)).not.toBe(key);
    expect(templateKey('digest', { ...spec, nodes: 2 })).not.toBe(key);
    expect(templateKey('digest', { ...spec, options: { a: 1 } })).not.toBe(key);
    expect(key).toMatch(/^[0-9a-f]{24}$/);
  });
});

describe('choosePrunable', () => {
  const now = new Date('2026-08-24T00:00:00Z');
  const use = (name: string, hoursAgo: number, bytes = 10, isPartial = false) => ({
    name,
    usedAt: new Date(now.getTime() - hoursAgo * 3_600_000),
    bytes,
    isPartial,
  });
  const limits = { now, maxAgeMs: 10 * 3_600_000, maxBytes: 25 };

  it('removes by age, then the longest unused by size, and partial ones after an hour', () => {
    const templates = [use('new', 1), use('older', 2), use('oldest', 3), use('aged', 11), use('p.tmp', 2, 0, true)];
    expect(choosePrunable(templates, limits)).toEqual(['aged', 'p.tmp', 'oldest']);
    expect(choosePrunable([use('being-made.tmp', 0.1, 0, true)], limits)).toEqual([]);
    expect(choosePrunable([], limits)).toEqual([]);
  });
});
