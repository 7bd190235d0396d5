// Bytes of open files: reading and writing parts of a buffer, space, position, and copies.
import t from 'tap';
import { E } from '../../src/base/index.js';
import {
  clone,
  close,
  copyFileRange,
  FALLOC,
  fallocate,
  flock,
  fsync,
  ftruncate,
  LOCK,
  lseek,
  O,
  openPath,
  pread,
  preadNowait,
  pwrite,
  SEEK,
} from '../../src/sys/index.js';
import { opened, put, scratch, stat, take } from './scratch.js';

t.test('reads and writes of parts of a buffer', async t => {
  const file = opened(t, scratch(t).fd, 'file');
  const bytes = Buffer.from('0123456789');
  t.equal(pwrite(file, bytes, 2, 5, 3), 5);
  t.equal(take(file, 99), '\0\0\x0023456');
  const into = Buffer.alloc(10, '.');
  t.equal(pread(file, into, 4, 3, 4), 3);
  t.equal(into.toString(), '....345...');
  t.equal(pread(file, into, 0, 10, 100), 0, 'beyond the end');
  t.equal(preadNowait(file, into, 0, 2, 3), 2, 'what was just written is cached');
  t.equal(into.toString('latin1', 0, 2), '23');
});

t.test('parts that do not lie in the buffer', async t => {
  const file = opened(t, scratch(t).fd, 'file');
  const bytes = Buffer.alloc(10);
  for (const [at, length] of [
    [-1, 1],
    [0, 11],
    [10, 1],
    [11, 0],
    [5, -1],
    [2 ** 53, 1],
    [1, 2 ** 53],
  ] as const) {
    t.equal(pread(file, bytes, at, length, 0), -E.EFAULT, `pread ${at} ${length}`);
    t.equal(preadNowait(file, bytes, at, length, 0), -E.EFAULT, `preadNowait ${at} ${length}`);
    t.equal(pwrite(file, bytes, at, length, 0), -E.EFAULT, `pwrite ${at} ${length}`);
  }
  t.equal(pread(file, bytes, 10, 0, 0), 0);
  t.equal(stat(file).size, 0);
});

t.test('offsets over 4 GiB, holes and space', async t => {
  const file = opened(t, scratch(t).fd, 'file');
  const far = 6 * 2 ** 30;
  put(file, 'far', far);
  t.equal(take(file, 9, far), 'far');
  t.equal(lseek(file, 0, SEEK.DATA), far);
  t.equal(lseek(file, 0, SEEK.HOLE), 0);
  t.equal(lseek(file, far + 3, SEEK.DATA), -E.ENXIO);
  t.equal(lseek(file, 0, SEEK.END), far + 3);
  t.equal(fallocate(file, FALLOC.KEEP_SIZE, 0, 1 << 20), 0);
  t.equal(stat(file).size, far + 3);
  t.ok(stat(file).blocks >= 2048);
  t.equal(fallocate(file, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 1 << 20), 0);
  t.ok(stat(file).blocks < 2048);
  t.equal(fallocate(file, 0, 0, 0), -E.EINVAL);
  t.equal(ftruncate(file, 3), 0);
  t.equal(stat(file).size, 3);
  t.equal(ftruncate(file, -1), -E.EINVAL);
  t.equal(fsync(file, false), 0);
  t.equal(fsync(file, true), 0);
  t.equal(fsync(-1, false), -E.EBADF);
});

t.test('copies within the kernel', async t => {
  const { fd } = scratch(t);
  const from = opened(t, fd, 'from');
  const to = opened(t, fd, 'to');
  put(from, 'abcdefgh');
  t.equal(copyFileRange(from, 2, to, 5, 100), 6);
  t.equal(take(to, 99), '\0\0\0\0\0cdefgh');
  t.equal(copyFileRange(from, 8, to, 0, 100), 0);
  t.equal(copyFileRange(from, 0, to, 0, -1), -E.EINVAL);
  t.equal(copyFileRange(fd, 0, to, 0, 1), -E.EISDIR);
  const cloned = clone(to, from);
  t.ok(cloned === 0 || cloned === -E.EOPNOTSUPP, `FICLONE where reflinks exist: ${cloned}`);
  t.equal(clone(-1, from), -E.EBADF);
});

t.test('locks', async t => {
  const { fd, path } = scratch(t);
  const mine = opened(t, fd, 'file');
  const other = openPath(`${path}/file`, O.RDWR);
  t.equal(flock(mine, LOCK.EX | LOCK.NB), 0);
  t.equal(flock(other, LOCK.SH | LOCK.NB), -E.EWOULDBLOCK);
  t.equal(flock(mine, LOCK.UN), 0);
  t.equal(flock(other, LOCK.SH | LOCK.NB), 0);
  t.equal(close(other), 0);
});
