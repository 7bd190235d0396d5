// Mounts as the kernel lists them, private clones that nothing can be written through, and unmounting.
import { mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { E, fromText, ok } from '../../src/base/index.js';
import {
  AT,
  clonePrivate,
  close,
  fchmodat,
  listMounts,
  listxattr,
  MNT,
  MOUNT_ATTR,
  MS,
  mkdirat,
  mount,
  mountSetattr,
  O,
  OPEN_TREE,
  openChild,
  openPath,
  openTree,
  parseMountinfo,
  setxattr,
  umount,
  unlinkat,
  utimensat,
} from '../../src/sys/index.js';
import { opened, put, scratch, stat, take } from './scratch.js';

t.test('mountinfo lines with every kind of field', async t => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue',
    '41 35 0:52 / /with\\040space\\011and\\134 ro - fuse.lamina lamina\\040it ro,lowerdir=/a\\040b:/c',
    '',
  ].join('\n');
  t.strictSame(parseMountinfo(text), [
    {
      id: 36,
      parentId: 35,
      devMajor: 98,
      devMinor: 0,
      root: '/mnt1',
      mountpoint: '/mnt2',
      options: ['rw', 'noatime'],
      propagation: ['master:1', 'shared:2'],
      type: 'ext3',
      source: '/dev/root',
      superOptions: ['rw', 'errors=continue'],
    },
    {
      id: 41,
      parentId: 35,
      devMajor: 0,
      devMinor: 52,
      root: '/',
      mountpoint: '/with space\tand\\',
      options: ['ro'],
      propagation: [],
      type: 'fuse.lamina',
      source: 'lamina it',
      superOptions: ['ro', 'lowerdir=/a b:/c'],
    },
  ]);
});

t.test('mount, list, unmount', async t => {
  const { path } = scratch(t);
  const target = fromText(`${path}/a space, é`);
  mkdirSync(`${path}/a space, é`);
  const here = () => listMounts().filter(mounted => mounted.mountpoint === target);
  t.strictSame(here(), []);
  t.equal(mount('one', target, 'tmpfs', MS.NOSUID | MS.NODEV, 'size=1m'), 0);
  t.teardown(() => umount(target, MNT.DETACH));
  const [found] = here();
  t.match(found, { type: 'tmpfs', source: 'one' });
  t.ok(found?.options.includes('nosuid') && found.superOptions.includes('size=1024k'));
  const inside = ok(openPath(target, O.RDONLY), target);
  t.equal(stat(inside).mountId, found?.id);
  t.equal(umount(target, 0), -E.EBUSY);
  t.equal(umount(target, MNT.DETACH | MNT.NOFOLLOW), 0);
  t.strictSame(here(), []);
  t.equal(close(inside), 0);
  t.equal(umount(target, 0), -E.EINVAL);
  t.equal(mount('one', target, 'nosuchfs', 0, ''), -E.ENODEV);
});

t.test('a private clone shows the tree and changes nothing', async t => {
  const { path, fd } = scratch(t);
  mkdirat(fd, 'lower', 0o755);
  writeFileSync(`${path}/lower/file`, 'text');
  const lower = opened(t, fd, 'lower', O.RDONLY | O.DIRECTORY);
  utimensat(lower, 'file', 1, 0, 2_000_000_000, 0);
  for (const root of [clonePrivate(AT.FDCWD, `${path}/lower`), clonePrivate(lower, '')]) {
    ok(root, 'clonePrivate');
    const file = openChild(root, 'file', O.RDONLY);
    t.equal(take(file, 9), 'text');
    t.equal(stat(file).atime, 1, 'no access time');
    t.equal(openChild(root, 'file', O.RDWR), -E.EROFS);
    t.equal(openChild(root, 'new', O.RDWR | O.CREAT, 0o644), -E.EROFS);
    t.equal(mkdirat(root, 'dir', 0o755), -E.EROFS);
    t.equal(unlinkat(root, 'file', 0), -E.EROFS);
    t.equal(fchmodat(root, 'file', 0o600), -E.EROFS);
    t.equal(fchmodat(file, '', 0o600), -E.EROFS);
    t.equal(setxattr(root, 'file', 'trusted.a', Buffer.from('')), -E.EROFS);
    t.strictSame(listxattr(root, 'file'), []);
    t.notOk(
      listMounts().some(mounted => mounted.id === stat(root).mountId),
      'nobody sees it',
    );
    close(file);
    close(root);
  }
  put(opened(t, lower, 'file'), 'mine');
  t.equal(clonePrivate(AT.FDCWD, `${path}/none`), -E.ENOENT);
});

t.test('open_tree and mount_setattr say what is wrong', async t => {
  const { path } = scratch(t);
  const tree = ok(openTree(AT.FDCWD, path, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC), path);
  const { RDONLY, NOATIME, _ATIME } = MOUNT_ATTR;
  t.equal(mountSetattr(tree, '', AT.EMPTY_PATH, NOATIME, 0), -E.EINVAL, 'atime is a field');
  t.equal(mountSetattr(tree, '', AT.EMPTY_PATH, NOATIME, _ATIME), 0);
  t.equal(close(openChild(tree, 'file', O.RDWR | O.CREAT, 0o644)), 0, 'not read-only');
  t.equal(close(tree), 0);
  t.equal(mountSetattr(-1, '', AT.EMPTY_PATH, RDONLY, 0), -E.EBADF);
});
