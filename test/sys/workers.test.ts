// Calls on worker threads: the same numbers as the synchronous ones, and copies of whole files that keep their holes.
import { mkdirSync } from 'node:fs';
import t from 'tap';
import { E, ok } from '../../src/base/index.js';
import {
  close,
  closeAsync,
  copyFileAsync,
  copyFileRangeAsync,
  decodeDirents,
  dup,
  fallocateAsync,
  fsyncAsync,
  ftruncate,
  getdentsAsync,
  lseek,
  mkdirat,
  mount,
  O,
  openPath,
  preadAsync,
  pwriteAsync,
  SEEK,
  syncfsAsync,
  umount,
  umountAsync,
} from '../../src/sys/index.js';
import { opened, put, runWithout, scratch, stat, type Test, take } from './scratch.js';

/** The assertions that sameSparse makes. */
interface Checks {
  equal(found: unknown, wanted: unknown): boolean;
  ok(value: unknown, message: string): boolean;
}

const GIB = 2 ** 30;

/** A file of over 5 GiB with three islands of data. */
function sparse(t: Test, dir: number): { fd: number; size: number } {
  const fd = opened(t, dir, 'sparse');
  put(fd, 'first');
  put(fd, 'middle'.repeat(1000), 4 * GIB + 4096 * 3);
  put(fd, 'last', 5 * GIB);
  ok(ftruncate(fd, 5 * GIB + 10_000_000), 'ftruncate');
  return { fd, size: 5 * GIB + 10_000_000 };
}

function sameSparse(t: Checks, copy: number, size: number): void {
  t.equal(stat(copy).size, size);
  t.ok(stat(copy).blocks * 512 < 1 << 20, `${stat(copy).blocks} blocks: holes are holes`);
  t.equal(take(copy, 5), 'first');
  t.equal(take(copy, 6000, 4 * GIB + 4096 * 3), 'middle'.repeat(1000));
  t.equal(take(copy, 9, 5 * GIB), 'last\0\0\0\0\0');
  t.equal(lseek(copy, 4096, SEEK.DATA), 4 * GIB + 4096 * 3);
}

function tmpfs(t: Test, options: string): ReturnType<typeof scratch> {
  const { path } = scratch(t);
  const target = `${path}/tmpfs`;
  mkdirSync(target);
  ok(mount('lamina-test', target, 'tmpfs', 0, options), 'mount');
  const fd = ok(openPath(target, O.RDONLY), target);
  t.teardown(() => {
    close(fd);
    ok(umount(target, 0), 'umount');
  });
  return { path: target, fd };
}

t.test('reads, writes, space and syncs', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  const bytes = Buffer.from('0123456789');
  t.equal(await pwriteAsync(file, bytes, 2, 5, 3), 5);
  const into = Buffer.alloc(10, '.');
  t.equal(await preadAsync(file, into, 4, 3, 4), 3);
  t.equal(into.toString(), '....345...');
  t.equal(await preadAsync(file, into, 5, 6, 0), -E.EFAULT);
  t.equal(await fallocateAsync(file, 0, 0, 5 * GIB), 0);
  t.equal(stat(file).size, 5 * GIB);
  t.equal(await copyFileRangeAsync(file, 3, file, 100, 3), 3);
  t.equal(take(file, 3, 100), '234');
  t.equal(await fsyncAsync(file, false), 0);
  t.equal(await fsyncAsync(file, true), 0);
  t.equal(await syncfsAsync(fd), 0);
  t.equal(await fsyncAsync(-1, true), -E.EBADF);
  const copy = dup(file);
  t.equal(await closeAsync(copy), 0);
  t.equal(close(copy), -E.EBADF);
});

t.test('many at once, whose buffers nobody else holds', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  const size = 64 * 1024;
  const writes = Array.from({ length: 200 }, (_, i) =>
    pwriteAsync(file, Buffer.alloc(size, i), 0, size, i * size),
  );
  t.ok((await Promise.all(writes)).every(length => length === size));
  for (let i = 0; i < 200; i++) t.equal(take(file, 1, i * size + size - 1).charCodeAt(0), i);
});

t.test('a directory', async t => {
  const { fd } = scratch(t);
  for (let i = 0; i < 3000; i++) mkdirat(fd, `a rather long name for one directory ${i}`, 0o755);
  for (const time of ['once', 'again from the beginning']) {
    const found = new Set<string>();
    const listing = await getdentsAsync(fd);
    if (typeof listing === 'number') throw new Error(`getdentsAsync ${listing}`);
    decodeDirents(listing, listing.length, name => found.add(name));
    t.equal(found.size, 3000, time);
  }
  t.equal(await getdentsAsync(opened(t, fd, 'file')), -E.ENOTDIR);
  t.equal(await getdentsAsync(-1), -E.EBADF);
});

t.test('a sparse file over 4 GiB in one file system', async t => {
  const { fd } = scratch(t);
  const { fd: from, size } = sparse(t, fd);
  const to = opened(t, fd, 'copy');
  t.equal(await copyFileAsync(from, to, size, true), 0);
  sameSparse(t, to, size);
});

t.test('a sparse file into another file system', async t => {
  const { fd: from, size } = sparse(t, scratch(t).fd);
  const to = opened(t, tmpfs(t, 'size=8m').fd, 'copy');
  t.equal(await copyFileAsync(from, to, size, false), 0);
  sameSparse(t, to, size);
});

t.test('reading and writing where copy_file_range fails', async t => {
  const { path, fd } = scratch(t);
  const { size } = sparse(t, fd);
  const call = process.arch === 'x64' ? 326 : 285;
  for (const errno of [E.EXDEV, E.EOPNOTSUPP, E.EINVAL, E.ENOSYS]) {
    const rc = runWithout(
      [call],
      errno,
      `const from = n.openat2(-100, ${JSON.stringify(path)} + '/sparse', 0, 0, 0);
       const to = n.openat2(-100, ${JSON.stringify(path)} + '/copy${errno}', 0o102, 0o600, 0);
       n.copyFileAsync(from, to, ${size}, true).then(rc => console.log(rc));`,
    );
    t.equal(rc, 0);
    sameSparse(t, opened(t, fd, `copy${errno}`, O.RDONLY), size);
  }
});

t.test('dense data, sizes off by one, and files that changed', async t => {
  const { fd } = scratch(t);
  const from = opened(t, fd, 'from');
  const text = 'x'.repeat(3 * 2 ** 20 + 1);
  put(from, text);
  const other = tmpfs(t, 'size=64m').fd;
  for (const [name, dir] of Object.entries({ same: fd, other })) {
    const to = opened(t, dir, name);
    t.equal(await copyFileAsync(from, to, text.length, false), 0);
    t.ok(take(to, text.length + 1) === text, name);
    const short = opened(t, dir, `${name} short`);
    t.equal(await copyFileAsync(from, short, 5, false), 0);
    t.equal(take(short, 9), 'xxxxx', 'size is the limit');
    const long = opened(t, dir, `${name} long`);
    t.equal(await copyFileAsync(from, long, text.length + 5, false), 0);
    t.equal(stat(long).size, text.length + 5, 'a source that shrank ends in a hole');
    const empty = opened(t, dir, `${name} empty`);
    t.equal(await copyFileAsync(from, empty, 0, true), 0);
    t.equal(stat(empty).size, 0);
  }
});

t.test('a copy that fails says why', async t => {
  const { fd } = scratch(t);
  const from = opened(t, fd, 'from');
  put(from, 'y'.repeat(4 * 2 ** 20));
  const to = opened(t, tmpfs(t, 'size=1m').fd, 'full');
  t.equal(await copyFileAsync(from, to, 4 * 2 ** 20, false), -E.ENOSPC);
  t.equal(await copyFileAsync(from, -1, 4, false), -E.EBADF);
  t.equal(await copyFileAsync(-1, to, 4, false), -E.EBADF);
  t.equal(await copyFileAsync(from, to, -1, false), -E.EINVAL);
});

t.test('umount', async t => {
  const { path } = scratch(t);
  const target = `${path}/mnt`;
  mkdirSync(target);
  ok(mount('lamina-test', target, 'tmpfs', 0, ''), 'mount');
  const fd = ok(openPath(target, O.RDONLY), target);
  t.equal(await umountAsync(target, 0), -E.EBUSY);
  close(fd);
  t.equal(await umountAsync(target, 0), 0);
  t.equal(await umountAsync(target, 0), -E.EINVAL);
  t.equal(await umountAsync(`${target}/${'x'.repeat(5000)}`, 0), -E.ENAMETOOLONG);
  t.equal(await umountAsync('a\0b', 0), -E.EINVAL);
});
