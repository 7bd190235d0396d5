// A pool's volumes as files, seen through the kernel: what programs that read and write files find there.

import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { FALLOC } from '../../src/sys/index.js';
import { attempts, MiB, setStage } from './stage.js';

const { KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE } = FALLOC;

/** Each statement ends as its row says. */
async function rows(
  t: Test,
  setup: string,
  table: readonly (readonly [statement: string, errno: string])[],
): Promise<void> {
  const ends = await attempts(
    table.map(([statement]) => statement),
    setup,
  );
  for (const [i, [statement, errno]] of table.entries()) t.equal(ends[i], errno, statement);
}

t.test('names, attributes and space', async t => {
  const { pool, mount, scratch, sh } = await setStage(t, { one: 3 * MiB, 'zwei äöü': 2 ** 40 });
  await pool.snapshot([{ origin: 'one', name: 'snap', readOnly: true }]);
  const { dataBlocks, usedBlocks } = pool.status();
  const ino = (name: string): number => pool.info(name).id + 2;
  await mount();
  const dir = scratch.path('disks');
  t.same(await readdir(dir), ['one', 'snap', 'zwei äöü']);
  t.match(await stat(`${dir}/one`), { size: 3 * MiB, mode: 0o100600, ino: ino('one'), blocks: 0, nlink: 1 });
  t.match(await stat(`${dir}/zwei äöü`), { size: 2 ** 40, mode: 0o100600, ino: ino('zwei äöü') });
  t.match(await stat(`${dir}/snap`), { size: 3 * MiB, mode: 0o100400 });
  await sh('dd if=/dev/urandom of=$S/disks/one bs=4k count=1 conv=notrunc status=none');
  t.equal((await stat(`${dir}/one`)).blocks * 512, pool.blockSize, 'one block is mapped');
  t.ok((await stat(`${dir}/one`)).mtimeMs > (await stat(`${dir}/snap`)).mtimeMs, 'a write is noted');
  t.match(await statfs(dir), {
    bsize: pool.blockSize,
    blocks: dataBlocks,
    bfree: dataBlocks - usedBlocks - 1,
    files: 3,
  });
  await t.rejects(stat(`${dir}/none`), { code: 'ENOENT' });
  await t.rejects(stat(Buffer.from(`${dir}/\xff`, 'latin1')), { code: 'ENOENT' });
});

t.test('a file and its volume hold the same bytes', async t => {
  const { pool, mount, sh } = await setStage(t, { v: 8 * MiB });
  await mount();
  await sh(`dd if=/dev/urandom of=$S/data bs=1M count=8 status=none
    dd if=$S/data of=$S/disks/v bs=1M conv=notrunc,fsync status=none; cmp $S/data $S/disks/v
    dd if=$S/data of=$S/disks/v bs=4k skip=7 seek=100 count=3 oflag=direct conv=notrunc status=none
    dd if=$S/data of=$S/data bs=4k skip=7 seek=100 count=3 conv=notrunc status=none
    dd if=$S/disks/v bs=512 iflag=direct status=none | cmp - $S/data
    printf odd | dd of=$S/disks/v bs=1 seek=1234567 conv=notrunc status=none
    printf odd | dd of=$S/data bs=1 seek=1234567 conv=notrunc status=none
    for i in 1 2 3 4 5 6; do cmp $S/data $S/disks/v & done; wait`);
  const volume = pool.volume('v');
  const got = Buffer.alloc(3);
  await volume.read(1234567, 3, got, 0);
  t.equal(got.toString(), 'odd');
  await volume.write(0, Buffer.from('written by another way'));
  t.equal(await sh('head -c 22 $S/disks/v'), 'written by another way', 'nothing stale is in the page cache');
  await volume.close();
});

t.test('mapped, shared and private', async t => {
  const { mount, sh, scratch } = await setStage(t, { v: MiB });
  await mount();
  const file = scratch.path('disks/v');
  const setup = `fd = os.open('${file}', os.O_RDWR); m = mmap.mmap(fd, 0)`;
  t.same(await attempts(["m[5000:5005] = b'hello'; m.flush(); os.fsync(fd)"], setup), ['ok']);
  t.equal(await sh('dd if=$S/disks/v bs=1 skip=5000 count=5 status=none'), 'hello');
  await sh('printf J | dd of=$S/disks/v bs=1 seek=5000 conv=notrunc status=none');
  t.same(await attempts(["assert m[5000:5005] == b'Jello', m[5000:5005]"], setup), ['ok']);
});

t.test('holes', async t => {
  const { pool, mount, sh, scratch } = await setStage(t, { v: 2 * MiB });
  await mount();
  const file = scratch.path('disks/v');
  const block = pool.blockSize;
  await sh(
    `head -c ${8 * block} /dev/zero | tr '\\0' x | dd of=$S/disks/v bs=64k iflag=fullblock conv=notrunc status=none`,
  );
  t.equal(pool.info('v').mapped, 8);
  await sh(`fallocate --punch-hole --offset ${block + 100} --length ${3 * block} $S/disks/v`);
  t.equal(pool.info('v').mapped, 6, 'whole blocks are given back');
  const data = await readFile(file);
  const expected = Buffer.alloc(2 * MiB);
  expected.fill('x', 0, 8 * block).fill(0, block + 100, 4 * block + 100);
  t.ok(data.equals(expected), 'all of the hole reads as zeros');
  await sh(`fallocate --zero-range --offset ${5 * block} --length ${block} $S/disks/v`);
  t.ok((await readFile(file)).equals(expected.fill(0, 5 * block, 6 * block)));
  t.equal(pool.info('v').mapped, 6, 'zeros keep their space');
  await sh(`fallocate --zero-range --offset ${7 * block + 9} --length ${9 * block} $S/disks/v`);
  t.ok((await readFile(file)).equals(expected.fill(0, 7 * block + 9)));
  t.equal(pool.info('v').mapped, 6, 'and take none');
  const setup = `fd = os.open('${file}', os.O_RDWR)`;
  const seek = (at: number, whence: string, to: number): readonly [string, string] => [
    `assert os.lseek(fd, ${at}, os.${whence}) == ${to}`,
    'ok',
  ];
  const allocate = (mode: number, offset: number, length: number): string =>
    `fallocate(fd, ${mode}, ${offset}, ${length})`;
  await rows(t, setup, [
    seek(0, 'SEEK_DATA', 0),
    seek(0, 'SEEK_HOLE', 2 * block),
    seek(2 * block + 5, 'SEEK_HOLE', 2 * block + 5),
    seek(2 * block + 5, 'SEEK_DATA', 4 * block),
    seek(7 * block, 'SEEK_HOLE', 8 * block),
    [`os.lseek(fd, ${8 * block}, os.SEEK_DATA)`, 'ENXIO'],
    [`os.lseek(fd, ${2 * MiB}, os.SEEK_HOLE)`, 'ENXIO'],
    [allocate(0, 0, block), 'ENOTSUP'],
    [allocate(KEEP_SIZE, 0, block), 'ENOTSUP'],
    [allocate(COLLAPSE_RANGE, 0, block), 'ENOTSUP'],
    [allocate(INSERT_RANGE, 0, block), 'ENOTSUP'],
    [allocate(KEEP_SIZE | PUNCH_HOLE, MiB, 4 * MiB), 'ok'],
    [allocate(ZERO_RANGE, MiB, 4 * MiB), 'EPERM'],
  ]);
  t.equal((await stat(file)).size, 2 * MiB);
});

t.test('what cannot be done', async t => {
  const { pool, mount, sh, scratch } = await setStage(t, { v: MiB });
  await pool.snapshot([{ origin: 'v', name: 'ro', readOnly: true }]);
  await mount();
  const dir = scratch.path('disks');
  await sh('printf kept | dd of=$S/disks/v conv=notrunc status=none');
  await rows(t, '', [
    [`os.open('${dir}/v', os.O_WRONLY | os.O_TRUNC)`, 'EPERM'],
    [`os.open('${dir}/ro', os.O_RDWR)`, 'EROFS'],
    [`os.truncate('${dir}/v', 0)`, 'EPERM'],
    [`os.truncate('${dir}/v', ${2 * MiB})`, 'EPERM'],
    [`os.truncate('${dir}/v', ${MiB})`, 'ok'],
    [`os.utime('${dir}/v', (1, 1))`, 'EPERM'],
    [`os.utime('${dir}/v')`, 'EPERM'],
    [`os.chmod('${dir}/v', 0o644)`, 'EPERM'],
    [`os.chown('${dir}/v', 1, 1)`, 'EPERM'],
    [`os.chmod('${dir}', 0o700)`, 'EPERM'],
    [`os.unlink('${dir}/v')`, 'EPERM'],
    [`os.rename('${dir}/v', '${dir}/w')`, 'EPERM'],
    [`os.link('${dir}/v', '${dir}/w')`, 'EPERM'],
    [`os.symlink('v', '${dir}/w')`, 'EPERM'],
    [`os.mkdir('${dir}/w')`, 'EPERM'],
    [`os.mknod('${dir}/w')`, 'EPERM'],
    [`os.open('${dir}/w', os.O_RDWR | os.O_CREAT)`, 'EPERM'],
    [`os.open('${dir}/v', os.O_RDWR | os.O_CREAT | os.O_EXCL)`, 'EEXIST'],
    [`os.open('${dir}/v', os.O_RDWR | os.O_CREAT)`, 'ok'],
    [`os.open('${dir}', os.O_RDWR | os.O_TMPFILE)`, 'EPERM'],
    [`os.setxattr('${dir}/v', 'user.k', b'v')`, 'ENOTSUP'],
    [`os.getxattr('${dir}/v', 'user.k')`, 'ENOTSUP'],
    [`assert os.listxattr('${dir}/v') == []`, 'ok'],
    [`os.pwrite(os.open('${dir}/v', os.O_WRONLY), b'x', ${MiB})`, 'ENOSPC'],
    [`assert os.pwrite(os.open('${dir}/v', os.O_WRONLY), b'xyz', ${MiB - 1}) == 1`, 'ok'],
    [`assert os.pread(os.open('${dir}/v', os.O_RDONLY), 9, ${MiB - 1}) == b'x'`, 'ok'],
    [`assert os.pread(os.open('${dir}/v', os.O_RDONLY), 9, ${MiB}) == b''`, 'ok'],
    [`os.ftruncate(os.open('${dir}/v', os.O_RDWR), ${MiB})`, 'ok'],
    [`fcntl.ioctl(os.open('${dir}/v', os.O_RDONLY), 0x80086601, b'12345678')`, 'ENOTTY'],
  ]);
  t.equal(await sh('head -c 4 $S/disks/v; cp $S/disks/v $S/copy; cmp $S/disks/v $S/copy'), 'kept');
});

t.test('volumes come, grow, are renamed and go while they are looked at', async t => {
  const { pool, mount, sh, scratch } = await setStage(t, { v: MiB });
  await mount();
  const dir = scratch.path('disks');
  t.same(await readdir(dir), ['v']);
  await pool.createVolume({ name: 'w', size: MiB });
  t.same(await readdir(dir), ['v', 'w']);
  await pool.resizeVolume('w', 2 * MiB);
  t.equal((await stat(`${dir}/w`)).size, 2 * MiB);
  await sh('printf end | dd of=$S/disks/w bs=1 seek=2097149 conv=notrunc status=none; tail -c 3 $S/disks/w');
  await pool.rename('w', 'x');
  t.same(await readdir(dir), ['v', 'x']);
  await t.rejects(stat(`${dir}/w`), { code: 'ENOENT' });
  await pool.remove('x');
  t.same(await readdir(dir), ['v']);
  await t.rejects(stat(`${dir}/x`), { code: 'ENOENT' });
});

t.test('an open file keeps its volume active, under its new name too', async t => {
  const { pool, mount, sh } = await setStage(t, { v: MiB });
  const counts: number[] = [];
  const disks = await mount('disks', { opens: count => counts.push(count) });
  await sh('mkfifo $S/opened $S/go');
  const holding = sh(`exec 3<> $S/disks/v 4< $S/disks/v; printf x >&3; echo > $S/opened; read < $S/go
    stat -L -c %s /dev/fd/3`);
  await sh('read < $S/opened');
  await pool.remove('v').then(
    () => t.fail('removed while active'),
    error => t.ok(isErrno(error, E.EBUSY)),
  );
  await pool.rename('v', 'w');
  await disks.unmount().then(
    () => t.fail('unmounted while in use'),
    error => t.ok(isErrno(error, E.EBUSY)),
  );
  await sh('echo > $S/go');
  t.equal(await holding, `${MiB}\n`);
  await disks.unmount();
  await disks.closed;
  t.same(counts, [1, 2, 1, 0]);
  await pool.remove('w');
});

t.test('a read-only mount, and one volume alone', async t => {
  const { pool, mount, scratch } = await setStage(t, { v: MiB, w: MiB });
  await mount('ro', { readOnly: true });
  await rows(t, `v = '${scratch.path('ro/v')}'`, [
    ['os.open(v, os.O_RDWR)', 'EROFS'],
    ['os.open(v, os.O_RDONLY)', 'ok'],
  ]);
  await mount('one', { only: pool.info('w').id });
  t.same(await readdir(scratch.path('one')), ['w']);
  await t.rejects(stat(scratch.path('one/v')), { code: 'ENOENT' });
});
