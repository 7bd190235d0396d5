// What only the thin backend does: its pool and base, sizes, mounts that several have, users that stay, space that runs out.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlinkSync } from 'node:fs';
import t from 'tap';
import { E } from '../../src/base/index.js';
import { callPool } from '../../src/cli/pool-call.js';
import type { ThinOptions } from '../../src/store/index.js';
import { parseSuperblock } from '../../src/store/thin-superblock.js';
import { mountsBelow, scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import {
  changesOf,
  fails,
  fill,
  look,
  loopsBelow,
  MIB,
  mountLine,
  REALM,
  SMALL,
  Store,
  sh,
  site,
  tarOf,
} from './stage.js';

needs('mount', 'losetup', 'mkfs.ext4', 'mkfs.xfs', 'xfs_growfs', 'e2fsck', 'resize2fs');

const volumes = async (root: string) =>
  (await callPool(`${root}/pool`, 'volume.list', {})).volumes.map(({ name }) => name).sort();

t.test('the pool while it is served, and what docker info says of it', async t => {
  const all = await site(t, 'thin');
  await fill(all, 'a', null, 'head -c 1M /dev/urandom >f');
  t.same(await volumes(all.root), ['base', 'layer-1']);
  const { options, usedBlocks, volumes: count } = await callPool(`${all.root}/pool`, 'pool.status', {});
  t.match({ options, count }, { options: { onFull: 'error', growThreshold: 80 }, count: 2 });
  t.ok(usedBlocks > 16);
  const rows = new Map(await all.store.status());
  t.match(Object.fromEntries(rows), {
    'Pool Blocksize': '65.54kB',
    'Base Device Size': '50.33MB',
    'Backing Filesystem': 'ext4',
    'Data Space Total': '1.074GB',
    'Data Space Used': /^[1-9][0-9.]*MB$/,
    'Data Space Available': /GB|MB$/,
    'Metadata Space Used': /kB$/,
    'Thin Pool Minimum Free Space': '107.4MB',
    'Deferred Deleted Device Count': '0',
  });
  const mounted = await all.layers.acquire('a');
  const { MergedDir, DeviceName, DeviceSize, Pool } = all.layers.describe('a');
  t.same(
    [MergedDir, DeviceName, DeviceSize, Pool],
    [mounted, 'layer-1', String(48 * MIB), `${all.root}/pool`],
  );
  const removal = callPool(`${all.root}/pool`, 'volume.remove', { names: ['layer-1'] });
  await t.rejects(removal, /layer-1 is in use/);
  await all.layers.release('a');
});

t.test('options that cannot be, and that change', async t => {
  const s = scratch(t, 'store');
  const open = (thin: ThinOptions) => Store.open(s.path('root'), { backend: 'thin', thin });
  for (const [thin, what] of [
    [{ baseSize: 0 }, 'no size'],
    [{ minFreeSpace: 100 }, 'all free'],
    [{ filesystem: 'vfat' as 'ext4' }, 'another file system'],
    [{ mountOptions: 'a b' }, 'a blank'],
    [{ colour: 1 } as ThinOptions, 'an unknown one'],
    [{ blockSize: 1000 }, 'a block size that pools do not have'],
  ] as const)
    await fails(t, E.EINVAL, open(thin), what);
  await fails(t, E.EIO, open({ ...SMALL, mkfsArgs: ['--nonsense'] }), 'what mkfs does not take');
  await (await open(SMALL)).close();
  await fails(t, E.EINVAL, open({ blockSize: 128 * 1024 }), 'another block size');
  await fails(t, E.EINVAL, open({ filesystem: 'xfs' }), 'another file system than there is');
  await fails(t, E.EINVAL, open({ baseSize: 32 * MIB }), 'a smaller base');
  const store = await open({
    dataSize: 2048 * MIB,
    baseSize: 64 * MIB,
    growThreshold: 100,
    mountOptions: 'sync',
  });
  const rows = new Map(await store.status());
  t.same([rows.get('Base Device Size'), rows.get('Data Space Total')], ['67.11MB', '2.147GB']);
  const layers = store.layers(REALM);
  await layers.prepare({ name: 'a', parent: null, kind: 'active' });
  const path = await layers.acquire('a');
  t.ok(Number(await sh(path, 'df --block-size=1M --output=size . | tail -n 1')) > 50, 'the larger base');
  t.match(mountLine(path), /noatime.*sync/);
  await layers.release('a');
  await store.close();
  t.same(await loopsBelow(s.dir), []);
});

t.test('a quota smaller than what is under the layer', async t => {
  const all = await site(t, 'thin');
  const prepare = (name: string, parent: string | null, quota: number) =>
    all.layers.prepare({ name, parent, kind: 'active', quota });
  await fails(t, E.EINVAL, prepare('a', null, 20 * MIB), 'than the base');
  await prepare('b', null, 60 * MIB + 1);
  await fails(t, E.EINVAL, prepare('c', 'b', 50 * MIB), 'than the parent');
  await prepare('d', 'b', 61 * MIB);
  t.same(await volumes(all.root), ['base', 'layer-2', 'layer-4']);
});

t.test('xfs', async t => {
  const all = await site(t, 'thin', { dataSize: 4096 * MIB, baseSize: 320 * MIB, filesystem: 'xfs' });
  await fill(all, 'a', null, 'mkdir d; echo 1 >d/f; touch g');
  await all.layers.prepare({ name: 'b', parent: 'a', kind: 'active', quota: 400 * MIB });
  const b = await all.layers.acquire('b');
  const a = await all.layers.acquire('a');
  t.ok(Number(await sh(b, 'df --block-size=1M --output=size . | tail -n 1')) > 300, 'it has grown');
  await sh(b, 'echo 2 >>d/f; rm g');
  t.equal(await sh(a, 'cat d/f'), '1\n', 'both are mounted, with one uuid');
  t.same(await changesOf(all, 'b', 'a'), ['D g', 'C d', 'C d/f']);
  const tar = await tarOf(all, 'b', 'a');
  await all.layers.prepare({ name: 'c', parent: 'a', kind: 'active' });
  await all.layers.apply('c', [tar]);
  t.equal(await look(all, 'c', 'cat d/f; ls'), '1\n2\nd\n');
  t.equal((await all.layers.usage('b')).inodes, 0, 'one fewer is none more');
  for (const name of ['a', 'b']) await all.layers.release(name);
});

t.test('a lazy user and a new mount share one file system', async t => {
  const all = await site(t, 'thin');
  await all.layers.prepare({ name: 'a', parent: null, kind: 'active' });
  const path = await all.layers.acquire('a');
  const user = await holder(path, 'echo 1 >f; exec 5>>f');
  await all.layers.release('a');
  t.match(all.warnings.splice(0), [/is in use/]);
  t.equal(await all.layers.acquire('a'), path);
  await sh(path, 'echo 2 >>f');
  t.equal((await loopsBelow(all.root)).length, 1, 'one loop device');
  await all.layers.release('a');
  user.stdin.end('\n');
  await once(user, 'close');
  t.equal(await look(all, 'a', 'cat f'), '1\n2\n');
});

t.test('a volume whose layer is removed goes with its last user', async t => {
  const all = await site(t, 'thin');
  await all.layers.prepare({ name: 'a', parent: null, kind: 'active' });
  const user = await holder(await all.layers.acquire('a'), 'exec 5>f');
  await all.layers.remove('a');
  t.same(all.layers.list(), []);
  t.same(await volumes(all.root), ['base', 'layer-1']);
  t.equal(new Map(await all.store.status()).get('Deferred Deleted Device Count'), '1');
  user.stdin.end('\n');
  await once(user, 'close');
  await gone(all.root, 'layer-1');
  await all.layers.prepare({ name: 'b', parent: null, kind: 'active' });
  const other = await holder(await all.layers.acquire('b'), 'exec 5>f');
  await all.layers.remove('b');
  await all.close();
  other.stdin.end('\n');
  await once(other, 'close');
  await all.reopen();
  t.same(await volumes(all.root), ['base'], 'or when the store is opened next');
});

t.test('no new layer when the pool is nearly full, and errors when it is', async t => {
  const full = { dataSize: 64 * MIB, baseSize: 60 * MIB, growThreshold: 100, minFreeSpace: 30 };
  const all = await site(t, 'thin', full);
  for (const name of ['a', 'b']) await all.layers.prepare({ name, parent: null, kind: 'active' });
  const [a, b] = [await all.layers.acquire('a'), await all.layers.acquire('b')];
  await sh(a, 'head -c 45M /dev/urandom >f; sync -f .');
  await fails(t, E.ENOSPC, all.layers.prepare({ name: 'c', parent: 'a', kind: 'active' }), 'a new layer');
  await t.rejects(sh(b, 'head -c 30M /dev/urandom >f; sync f'), /No space left|Input\/output|Read-only/);
  t.equal(await sh(a, 'wc -c <f'), `${45 * MIB}\n`, 'what is there can be read');
  for (const name of ['a', 'b']) await all.layers.release(name);
  await all.layers.remove('b');
  await callPool(`${all.root}/pool`, 'pool.grow', { size: 256 * MIB });
  await all.layers.prepare({ name: 'c', parent: 'a', kind: 'active' });
  t.equal(await look(all, 'c', 'echo more >g; wc -c <f'), `${45 * MIB}\n`);
});

t.test('the tar that breaks off, and the one that is damaged', async t => {
  const all = await site(t, 'thin');
  const broken = new Error('the engine has gone');
  async function* breaking(): AsyncGenerator<Buffer, void, undefined> {
    yield Buffer.alloc(512);
    throw broken;
  }
  await all.layers.prepare({ name: 'a', parent: null, kind: 'active' });
  await t.rejects(all.layers.apply('a', breaking()), broken);
  await all.layers.remove('a');
  await all.layers.prepare({ name: 'b', parent: null, kind: 'active' });
  await fails(t, E.EBADMSG, all.layers.apply('b', [Buffer.alloc(5120, 'x')]), 'garbage');
  await all.layers.remove('b');
  await fill(all, 'c', null, 'head -c 20M /dev/urandom >f');
  for await (const _piece of all.layers.diff('c', null)) break;
  t.same(mountsBelow(`${all.root}/scratch`), [], 'a diff that nobody wants to the end leaves nothing');
  t.same(await volumes(all.root), ['base', 'layer-3']);
});

t.test('a root with a symlink in its path', async t => {
  const s = scratch(t, 'store');
  s.mkdir('real place');
  symlinkSync('real place', s.path('link'));
  const store = await Store.open(s.path('link/root'), { backend: 'thin', thin: SMALL });
  const layers = store.layers(REALM);
  await layers.prepare({ name: 'a', parent: null, kind: 'active' });
  await sh(await layers.acquire('a'), 'touch f');
  await layers.release('a');
  await store.close();
  t.same(mountsBelow(s.dir), []);
});

t.test('a superblock is read only from what has one', async t => {
  t.equal(parseSuperblock(Buffer.alloc(4096)), null);
  t.equal(parseSuperblock(Buffer.alloc(4096, 0xff)), null);
});

/** A process that has done something in a directory and stays there until its standard input ends. */
async function holder(dir: string, script: string) {
  const child = spawn('sh', ['-c', `cd "$0"; ${script}; echo in; read x`, dir], { cwd: '/', stdio: 'pipe' });
  await once(child.stdout, 'data');
  return child;
}

/** Resolves when the pool has no such volume any more. */
async function gone(root: string, name: string): Promise<void> {
  while ((await volumes(root)).includes(name)) await new Promise(resolve => setTimeout(resolve, 20));
}
