// Handles, uuids, inode flags, and reflinks, on file systems of the tests' own.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { E, ok } from '../../src/base/index.js';
import {
  AT,
  clone,
  close,
  copyFileAsync,
  FS_FLAG,
  FS_XFLAG,
  fileHandle,
  fstatfs,
  fsUuid,
  fsync,
  fsyncAsync,
  getFileFlags,
  getFsxattr,
  native,
  O,
  openChild,
  openHandle,
  openPath,
  pwrite,
  renameat2,
  setFileFlags,
  setFsxattr,
  symlinkat,
  umount,
  unlinkat,
} from '../../src/sys/index.js';
import { needs } from '../support/needs.js';
import { opened, put, run, type Scratch, scratch, stat, type Test, take } from './scratch.js';

needs('mount', 'mkfs.xfs', 'mkfs.ext4');

/** A new file system in a loop device; `format` is mkfs and its options. */
function volume(t: Test, megabytes: number, format: readonly [string, ...string[]]): Scratch {
  const { path } = scratch(t);
  const [command, ...options] = format;
  writeFileSync(`${path}/image`, '');
  truncateSync(`${path}/image`, megabytes * 2 ** 20);
  run(command, [...options, `${path}/image`]);
  mkdirSync(`${path}/volume`);
  run('mount', ['-o', 'loop', `${path}/image`, `${path}/volume`]);
  const fd = ok(openPath(`${path}/volume`, O.RDONLY), path);
  t.teardown(() => {
    close(fd);
    ok(umount(`${path}/volume`, 0), 'umount');
  });
  return { path: `${path}/volume`, fd };
}

t.test('a handle finds its file after a rename, and not after its end', async t => {
  const { fd } = scratch(t);
  const file = ok(openChild(fd, 'file', O.RDWR | O.CREAT, 0o644), 'file');
  put(file, 'text');
  const handle = fileHandle(fd, 'file');
  if (typeof handle === 'number') throw new Error(`fileHandle ${handle}`);
  t.equal(handle.mountId, stat(file).mountId);
  t.strictSame(fileHandle(file, ''), handle);
  renameat2(fd, 'file', fd, 'moved', 0);
  const found = openHandle(fd, handle, O.RDONLY);
  t.equal(take(found, 9), 'text');
  close(found);
  symlinkat('moved', fd, 'link');
  t.notSame(fileHandle(fd, 'link'), handle, "a symlink's own");
  t.equal(fileHandle(fd, 'none'), -E.ENOENT);
  t.equal(openHandle(fd, { type: handle.type, bytes: Buffer.alloc(129) }, O.RDONLY), -E.EINVAL);
  unlinkat(fd, 'moved', 0);
  close(file);
  t.equal(openHandle(fd, handle, O.RDONLY), -E.ESTALE);
});

t.test('a handle that does not fit its buffer', async t => {
  const { fd } = scratch(t);
  t.equal(native.nameToHandleAt(fd, '', Buffer.alloc(7), AT.EMPTY_PATH), -E.EOVERFLOW);
  t.equal(native.nameToHandleAt(fd, '', Buffer.alloc(9), AT.EMPTY_PATH), -E.EOVERFLOW);
  t.ok(native.nameToHandleAt(fd, '', Buffer.alloc(136), AT.EMPTY_PATH) > 0);
  t.equal(
    native.nameToHandleAt(fd, '', Buffer.alloc(136), AT.EMPTY_PATH | 1),
    -E.EINVAL,
    'AT_HANDLE_MNT_ID_UNIQUE',
  );
});

t.test('flags of an inode', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  const before = getFileFlags(file);
  t.equal(setFileFlags(file, before | FS_FLAG.IMMUTABLE), 0);
  t.equal(getFileFlags(file), before | FS_FLAG.IMMUTABLE);
  t.equal(unlinkat(fd, 'file', 0), -E.EPERM);
  const attributes = Buffer.alloc(28);
  t.equal(getFsxattr(file, attributes), 0);
  t.equal(attributes.readUInt32LE(0) & FS_XFLAG.IMMUTABLE, FS_XFLAG.IMMUTABLE);
  attributes.writeUInt32LE(FS_XFLAG.NODUMP, 0);
  t.equal(setFsxattr(file, attributes), 0);
  t.equal(getFileFlags(file), before | FS_FLAG.NODUMP);
  t.equal(getFsxattr(file, Buffer.alloc(27)), -E.EINVAL);
  t.equal(setFsxattr(file, Buffer.alloc(27)), -E.EINVAL);
  t.equal(getFileFlags(-1), -E.EBADF);
});

t.test('uuids', async t => {
  const uuid = '0b7e1c5a-2f43-4d0e-9b1a-77c6a1d2e3f4';
  const { fd } = volume(t, 16, ['mkfs.ext4', '-q', '-U', uuid]);
  t.equal(fsUuid(fd)?.toString('hex'), uuid.replaceAll('-', ''));
  t.equal(fsUuid(-1), null);
  const proc = openPath('/proc', O.RDONLY);
  t.equal(fsUuid(proc), null, 'a file system without one');
  close(proc);
});

t.test('reflinks share space, whole files by copyFileAsync too', async t => {
  const { fd } = volume(t, 400, ['mkfs.xfs', '-q', '-m', 'reflink=1']);
  const from = opened(t, fd, 'from');
  const size = 32 * 2 ** 20;
  ok(pwrite(from, Buffer.alloc(size, 'z'), 0, size, 0), 'pwrite');
  fsync(from, false);
  const free = () => {
    const out = new Float64Array(12);
    ok(fstatfs(fd, out), 'fstatfs');
    return out[3]! * out[1]!;
  };
  const before = free();
  const cloned = opened(t, fd, 'cloned');
  t.equal(clone(cloned, from), 0);
  const copied = opened(t, fd, 'copied');
  t.equal(await copyFileAsync(from, copied, size, true), 0);
  const shorter = opened(t, fd, 'shorter');
  t.equal(await copyFileAsync(from, shorter, 5, true), 0);
  t.equal(await fsyncAsync(cloned, false), 0);
  t.ok(before - free() < size / 2, `${before - free()} bytes used by three clones of ${size}`);
  t.equal(take(copied, 3, size - 3), 'zzz');
  t.strictSame([stat(cloned).size, stat(copied).size, stat(shorter).size], [size, size, 5]);
});
