// Images out of volumes and volumes out of images: raw and fixed VHD, against qemu-img; and what goes wrong leaves nothing.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import t, { type Test } from 'tap';
import { E, errnoName } from '../../src/base/index.js';
import { exportVolume } from '../../src/thin/image-export.js';
import { importVolume } from '../../src/thin/image-import.js';
import type { Pool } from '../../src/thin/pool.js';
import { type Scratch, scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { Random } from '../support/random.js';
import {
  change,
  chunked,
  contentOf,
  freeze,
  GiB,
  KiB,
  MiB,
  makePool,
  names,
  noise,
  write,
} from './send-fixture.js';

needs('mount', 'qemu-img', 'losetup', 'mkfifo');

interface Info {
  readonly format: string;
  readonly 'virtual-size': number;
}

function qemuInfo(...image: string[]): Info {
  return JSON.parse(
    execFileSync('qemu-img', ['info', '--output=json', ...image], { encoding: 'utf8' }),
  ) as Info;
}

const SIZE = 20 * MiB;

/** Volume v with data in three places, in a pool of 64 MiB. */
async function volume(
  t: Test,
  blockSize = 64 * KiB,
): Promise<{ pool: Pool; files: Scratch; content: Buffer }> {
  const pool = await makePool(t, blockSize, 64 * MiB);
  const random = new Random(21);
  await pool.createVolume({ name: 'v', size: SIZE });
  await write(pool, 'v', 0, noise(random, MiB));
  await write(pool, 'v', 9 * MiB + 100, noise(random, 2 * MiB));
  await write(pool, 'v', SIZE - 512, noise(random, 512));
  return { pool, files: scratch(t, 'image'), content: await contentOf(pool, 'v') };
}

function loop(files: Scratch, name: string, size: number): string {
  const file = files.write(name, '');
  truncateSync(file, size);
  return execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
}

t.test('a raw image has the content and the holes', async t => {
  const { pool, files, content } = await volume(t);
  const path = files.path('v.raw');
  await exportVolume(pool, 'v', path, { format: 'raw' });
  t.ok(readFileSync(path).equals(content));
  t.ok(statSync(path).blocks * 512 < 4 * MiB, 'it is sparse');
  t.match(qemuInfo('-f', 'raw', path), { format: 'raw', 'virtual-size': SIZE });
  t.same(readdirSync(files.dir), ['v.raw'], 'and nothing beside it');
  const info = await importVolume(pool, 'back', path, { format: 'raw' });
  t.match(info, { name: 'back', size: SIZE, readOnly: false });
  t.equal(info.mapped, pool.info('v').mapped);
  t.ok((await contentOf(pool, 'back')).equals(content));
});

t.test('a VHD is what qemu takes for one', async t => {
  const { pool, files, content } = await volume(t);
  const vhd = files.path('v.vhd');
  const raw = files.path('v.raw');
  await exportVolume(pool, 'v', vhd, { format: 'vhd' });
  writeFileSync(raw, content);
  t.equal(statSync(vhd).size, SIZE + 512);
  t.ok(statSync(vhd).blocks * 512 < 4 * MiB, 'it is sparse');
  t.match(qemuInfo('-f', 'vpc', vhd), { format: 'vpc', 'virtual-size': SIZE });
  const compare = ['compare', '-f', 'vpc', '-F', 'raw', vhd, raw];
  t.match(execFileSync('qemu-img', compare, { encoding: 'utf8' }), /identical/);
  await importVolume(pool, 'back', vhd, { format: 'vhd', readOnly: true });
  t.match(pool.info('back'), { readOnly: true, size: SIZE, mapped: pool.info('v').mapped });
  t.ok((await contentOf(pool, 'back')).equals(content));
});

t.test("qemu's fixed VHDs are taken, its dynamic ones refused", async t => {
  const { pool, files, content } = await volume(t);
  const raw = files.path('v.raw');
  writeFileSync(raw, content);
  const convert = (subformat: string, to: string): void => {
    execFileSync('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      'vpc',
      '-o',
      `subformat=${subformat},force_size`,
      raw,
      to,
    ]);
  };
  convert('fixed', files.path('fixed.vhd'));
  await importVolume(pool, 'fixed', files.path('fixed.vhd'), { format: 'vhd' });
  t.ok((await contentOf(pool, 'fixed')).equals(content));
  convert('dynamic', files.path('dynamic.vhd'));
  const dynamic = importVolume(pool, 'x', files.path('dynamic.vhd'), { format: 'vhd' });
  await t.rejects(dynamic, { code: 'EPROTO', message: /dynamic/ });
  execFileSync('qemu-img', ['create', '-f', 'vhdx', files.path('v.vhdx'), '4M']);
  const vhdx = importVolume(pool, 'x', files.path('v.vhdx'), { format: 'vhd' });
  await t.rejects(vhdx, { code: 'EPROTO', message: /VHDX/ });
  t.same(names(pool), ['fixed', 'v']);
});

t.test('a sink gets all bytes in order', async t => {
  const { pool, content } = await volume(t, MiB);
  for (const format of ['raw', 'vhd'] as const) {
    const chunks: Buffer[] = [];
    const calls: [number, number][] = [];
    await exportVolume(
      pool,
      'v',
      async chunk => {
        chunks.push(Buffer.from(chunk));
      },
      { format, progress: (done, total) => calls.push([done, total]) },
    );
    const all = Buffer.concat(chunks);
    t.ok(all.subarray(0, content.length).equals(content));
    t.equal(all.length - content.length, format === 'vhd' ? 512 : 0);
    t.same(calls.at(-1), [5 * MiB, 5 * MiB]);
    t.ok(calls.every(([done], i) => done >= (calls[i - 1]?.[0] ?? 0)));
  }
});

t.test('an image from a pipe', async t => {
  const { pool, content } = await volume(t);
  const info = await importVolume(pool, 'back', chunked(content, 12_345), {
    format: 'raw',
    size: SIZE + MiB,
  });
  t.equal(info.mapped, pool.info('v').mapped, 'blocks of zeros take no space');
  t.ok((await contentOf(pool, 'back')).equals(Buffer.concat([content, Buffer.alloc(MiB)])));
  const attempts: [AsyncIterable<Buffer>, Parameters<typeof importVolume>[3], RegExp][] = [
    [chunked(content, MiB), { format: 'raw', size: SIZE - 512 }, /the volume is to have/],
    [chunked(content, MiB), { format: 'raw' }, /needs the size/],
    [chunked(content, MiB), { format: 'vhd', size: SIZE }, /from a file/],
  ];
  for (const [input, options, message] of attempts) {
    await t.rejects(importVolume(pool, 'x', input, options), { code: 'EINVAL', message });
  }
  t.same(names(pool), ['back', 'v']);
});

t.test('a block device, both ways', async t => {
  const { pool, files, content } = await volume(t);
  const device = loop(files, 'disk', 24 * MiB);
  execFileSync('dd', ['if=/dev/urandom', `of=${device}`, 'bs=1M', 'count=24', 'status=none']);
  await exportVolume(pool, 'v', device, { format: 'raw' });
  t.ok(readFileSync(device).subarray(0, content.length).equals(content), 'also where there are holes');
  await importVolume(pool, 'back', device, { format: 'raw' });
  t.equal(pool.info('back').size, 24 * MiB);
  t.ok((await contentOf(pool, 'back')).subarray(0, content.length).equals(content));
  await t.rejects(exportVolume(pool, 'v', device, { format: 'vhd' }), { code: 'EINVAL' });
  const small = loop(files, 'small', SIZE - MiB);
  await t.rejects(exportVolume(pool, 'v', small, { format: 'raw' }), {
    code: 'ENOSPC',
    message: /19922944.*20971520/,
  });
  t.ok(readFileSync(small).equals(Buffer.alloc(SIZE - MiB)), 'nothing was written');
});

t.test('sizes of imported images', async t => {
  const { pool, files } = await volume(t);
  const odd = files.write('odd', 'x'.repeat(1000));
  t.equal((await importVolume(pool, 'odd', odd, { format: 'raw' })).size, 1024);
  t.equal((await importVolume(pool, 'larger', odd, { format: 'raw', size: MiB })).size, MiB);
  t.equal((await contentOf(pool, 'larger')).toString('latin1', 0, 1001), `${'x'.repeat(1000)}\0`);
  const small = importVolume(pool, 'x', odd, { format: 'raw', size: 512 });
  await t.rejects(small, { code: 'EINVAL', message: /1000 bytes/ });
  await t.rejects(importVolume(pool, 'x', files.write('empty', ''), { format: 'raw' }), { code: 'EINVAL' });
  await t.rejects(importVolume(pool, 'x', files.write('short', 'x'), { format: 'vhd' }), {
    code: errnoName(E.EMEDIUMTYPE),
  });
});

t.test('a large sparse image costs its data only', async t => {
  const { pool, files } = await volume(t);
  const path = files.write('large', '');
  truncateSync(path, 200 * GiB);
  const fd = openSync(path, 'r+');
  writeSync(fd, 'here', 150 * GiB + 5);
  const info = await importVolume(pool, 'large', path, { format: 'raw' });
  t.match(info, { size: 200 * GiB, mapped: 1 });
  const found = Buffer.alloc(4);
  await change(pool, 'large', async volume => volume.read(150 * GiB + 5, 4, found, 0));
  t.equal(found.toString(), 'here');
  const out = files.path('out');
  await exportVolume(pool, 'large', out, { format: 'raw' });
  t.ok(statSync(out).blocks * 512 < MiB);
  t.equal(statSync(out).size, 200 * GiB);
});

t.test('a failed export leaves what was there', async t => {
  const { pool, files } = await volume(t);
  const small = files.mkdir('small');
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', small]);
  const path = files.write('small/v.raw', 'the old one');
  await t.rejects(exportVolume(pool, 'v', path, { format: 'raw' }), { code: 'ENOSPC' });
  t.equal(readFileSync(path, 'utf8'), 'the old one');
  t.same(readdirSync(small), ['v.raw']);
  await t.rejects(exportVolume(pool, 'v', files.path('no', 'v'), { format: 'raw' }), { code: 'ENOENT' });
  await t.rejects(exportVolume(pool, 'v', files.dir, { format: 'raw' }), { code: 'EINVAL' });
  await t.rejects(exportVolume(pool, 'v', '/dev/null', { format: 'raw' }), { code: 'EINVAL' });
  await t.rejects(exportVolume(pool, 'x', files.path('x'), { format: 'raw' }), { code: 'ENOENT' });
  t.notOk(existsSync(files.path('x')));
  t.same(names(pool), ['v']);
});

t.test('a failed import leaves no volume', async t => {
  const { pool, files, content } = await volume(t);
  const image = files.path('image');
  writeFileSync(image, content);
  await t.rejects(importVolume(pool, 'v', image, { format: 'raw' }), { code: 'EEXIST' });
  await t.rejects(importVolume(pool, 'x', files.path('absent'), { format: 'raw' }), { code: 'ENOENT' });
  await t.rejects(importVolume(pool, 'x', files.dir, { format: 'raw' }), { code: 'EINVAL' });
  spawnSync('mkfifo', [files.path('fifo')]);
  await t.rejects(importVolume(pool, 'x', files.path('fifo'), { format: 'raw' }), { code: 'EINVAL' });
  writeFileSync(image, Buffer.alloc(70 * MiB, 'x'));
  await t.rejects(importVolume(pool, 'x', image, { format: 'raw' }), { code: 'ENOSPC' });
  t.same(names(pool), ['v']);
  await pool.reclaimed();
  await pool.commit();
  t.equal(pool.status().usedBlocks, pool.info('v').mapped);
});

t.test('an export of a writable volume is of one moment, and replaces a file with its mode', async t => {
  const { pool, files, content } = await volume(t);
  const path = files.path('v.raw');
  writeFileSync(path, 'old', { mode: 0o600 });
  const writer = pool.volume('v');
  t.teardown(() => writer.close());
  let writing: unknown;
  let calls = 0;
  await exportVolume(pool, 'v', path, {
    format: 'raw',
    progress: () => {
      if (calls++ === 0) writing = writer.write(0, Buffer.alloc(SIZE, 7));
    },
  });
  await writing;
  t.ok(readFileSync(path).equals(content));
  t.equal(statSync(path).mode & 0o777, 0o600);
  await freeze(pool, 'v', 's');
  t.ok((await contentOf(pool, 's')).equals(Buffer.alloc(SIZE, 7)));
});
