// Attributes: what statx fills, and changes that never go through a final symlink.
import { lstatSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { E, Stat } from '../../src/base/index.js';
import {
  AT,
  fchmodat,
  fchownat,
  fstatfs,
  ftruncate,
  listMounts,
  mknodat,
  O,
  STATX,
  statx,
  symlinkat,
  UTIME,
  utimensat,
} from '../../src/sys/index.js';
import { opened, put, runWithout, scratch, stat } from './scratch.js';

t.test('statx fills every slot', async t => {
  const { path, fd } = scratch(t);
  const file = opened(t, fd, 'file');
  put(file, 'twelve bytes');
  const found = stat(fd, 'file');
  const seen = lstatSync(join(path, 'file'), { bigint: true });
  const { ino, mode, nlink, uid, gid, size, blocks, blksize } = seen;
  const ours = [
    found.ino,
    found.mode,
    found.nlink,
    found.uid,
    found.gid,
    found.size,
    found.blocks,
    found.blksize,
  ];
  t.strictSame(ours, [ino, mode, nlink, uid, gid, size, blocks, blksize].map(Number));
  t.equal(BigInt(found.mtime) * 10n ** 9n + BigInt(found.mtimeNsec), seen.mtimeNs);
  t.equal(BigInt(found.ctime) * 10n ** 9n + BigInt(found.ctimeNsec), seen.ctimeNs);
  t.equal(BigInt(found.btime) * 10n ** 9n + BigInt(found.btimeNsec), seen.birthtimeNs);
  t.equal(found.inoHigh * 2 ** 32 + found.inoLow, found.ino);
  t.equal(
    found.mask & (STATX.BASIC_STATS | STATX.BTIME | STATX.MNT_ID),
    STATX.BASIC_STATS | STATX.BTIME | STATX.MNT_ID,
  );
  const here = listMounts().find(mount => mount.id === found.mountId);
  t.strictSame([here?.devMajor, here?.devMinor], [found.devMajor, found.devMinor]);
});

t.test('sizes over 4 GiB and times before 1970', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  t.equal(ftruncate(file, 5 * 2 ** 30 + 1), 0);
  t.equal(utimensat(fd, 'file', -2, 999_999_999, 4_000_000_000, 1), 0);
  const { size, atime, atimeNsec, mtime, mtimeNsec } = stat(file);
  t.strictSame(
    [size, atime, atimeNsec, mtime, mtimeNsec],
    [5 * 2 ** 30 + 1, -2, 999_999_999, 4_000_000_000, 1],
  );
});

t.test('errors', async t => {
  const { fd } = scratch(t);
  t.equal(statx(fd, 'none', 0, new Stat().slots), -E.ENOENT);
  t.equal(statx(-1, '', AT.EMPTY_PATH, new Stat().slots), -E.EBADF);
  t.equal(statx(fd, '', AT.EMPTY_PATH, new Float64Array(25)), -E.EINVAL, 'too few slots');
  t.equal(fchmodat(fd, 'none', 0o600), -E.ENOENT);
  t.equal(fchownat(fd, 'none', 1, 1), -E.ENOENT);
  t.equal(utimensat(fd, 'none', 0, 0, 0, 0), -E.ENOENT);
  t.equal(utimensat(fd, '', 0, 1_000_000_000, 0, 0), -E.EINVAL);
});

t.test('changes reach a symlink, not its target', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  symlinkat('file', fd, 'link');
  const before = stat(file);
  const node = opened(t, fd, 'link', O.PATH);
  t.equal(fchownat(fd, 'link', 1000, 2000), 0);
  t.strictSame([stat(fd, 'link').uid, stat(fd, 'link').gid], [1000, 2000]);
  t.equal(fchownat(node, '', 4_000_000_000, -1), 0, 'through O_PATH');
  t.strictSame(
    [stat(node).uid, stat(node).gid],
    [4_000_000_000, 2000],
    'an id over 2^31, and one left alone',
  );
  t.equal(utimensat(fd, 'link', 1, 2, 3, 4), 0);
  t.equal(utimensat(node, '', 0, UTIME.OMIT, 5, 6), 0);
  const { atime, atimeNsec, mtime, mtimeNsec } = stat(node);
  t.strictSame([atime, atimeNsec, mtime, mtimeNsec], [1, 2, 5, 6]);
  t.equal(fchmodat(fd, 'link', 0o600), -E.EOPNOTSUPP);
  t.equal(fchmodat(node, '', 0o600), -E.EOPNOTSUPP);
  t.strictSame(stat(file).slots, before.slots);
});

t.test('changes through descriptors', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  const node = opened(t, fd, 'file', O.PATH);
  t.equal(fchmodat(file, '', 0o4751), 0);
  t.equal(stat(fd, 'file').mode & 0o7777, 0o4751);
  t.equal(fchmodat(node, '', 0o640), 0);
  t.equal(stat(fd, 'file').mode & 0o7777, 0o640);
  t.equal(utimensat(node, '', 0, UTIME.NOW, 0, UTIME.NOW), 0);
  t.equal(stat(file).atime, stat(file).mtime);
  t.equal(utimensat(file, '', 7, 8, 9, 10), 0);
  t.equal(stat(fd, 'file').mtimeNsec, 10);
});

t.test('mode changes on a kernel without fchmodat2', async t => {
  const { path, fd } = scratch(t);
  mknodat(fd, 'file', 0o100600, 0, 0);
  symlinkat('file', fd, 'link');
  const answers = runWithout(
    [452],
    E.ENOSYS,
    `const dir = n.openat2(-100, ${JSON.stringify(path)}, 0o200000, 0, 0);
     const link = n.openat2(dir, 'link', 0o10400000, 0, 0);
     const file = n.openat2(dir, 'file', 0o10400000, 0, 0);
     const free = n.dup(0);
     n.close(free);
     console.log(JSON.stringify([n.fchmodat(dir, 'file', 0o4711), n.fchmodat(dir, 'link', 0o600),
       n.fchmodat(link, '', 0o600), n.fchmodat(dir, 'none', 0), n.fchmodat(file, '', 0o4755),
       n.fchmodat(999, '', 0), n.fchmodat(-1, '', 0), n.dup(0) - free]));`,
  );
  t.strictSame(answers, [0, -E.EOPNOTSUPP, -E.EOPNOTSUPP, -E.ENOENT, 0, -E.EBADF, -E.EBADF, 0]);
  t.equal(stat(fd, 'file').mode & 0o7777, 0o4755);
});

t.test('fstatfs', async t => {
  const { path, fd } = scratch(t);
  const out = new Float64Array(12);
  t.equal(fstatfs(fd, out), 0);
  const { type, bsize, blocks, files } = statfsSync(path);
  t.strictSame([out[0], out[1], out[2], out[5]], [type, bsize, blocks, files]);
  t.equal(out[7], 255);
  t.equal(fstatfs(-1, out), -E.EBADF);
  t.equal(fstatfs(fd, new Float64Array(11)), -E.EINVAL);
});
