// Extended attributes of files, symlinks and O_PATH descriptors, with the kernel's *xattrat calls and without them.
import t from 'tap';
import { E } from '../../src/base/index.js';
import {
  getxattr,
  getxattrat,
  listxattr,
  listxattrat,
  mkdirat,
  mknodat,
  O,
  removexattr,
  setxattr,
  symlinkat,
  XATTR,
} from '../../src/sys/index.js';
import { opened, runWithout, scratch } from './scratch.js';

const OPAQUE = 'trusted.overlay.opaque';

t.test('values and names are bytes', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  const value = Buffer.from([0, 255, 10, 0]);
  t.equal(setxattr(fd, 'file', 'user.caf\xe9\xff', value), 0);
  t.strictSame(getxattr(fd, 'file', 'user.caf\xe9\xff'), value);
  t.strictSame(getxattr(file, '', 'user.caf\xe9\xff'), value);
  t.strictSame(listxattr(file, ''), ['user.caf\xe9\xff']);
  t.equal(setxattr(file, '', 'user.empty', Buffer.alloc(0)), 0);
  t.strictSame(getxattr(fd, 'file', 'user.empty'), Buffer.alloc(0));
  t.equal(removexattr(file, '', 'user.caf\xe9\xff'), 0);
  t.equal(removexattr(fd, 'file', 'user.empty'), 0);
  t.strictSame(listxattr(fd, 'file'), []);
});

t.test('a value that was read stays as it was', async t => {
  const { fd } = scratch(t);
  mkdirat(fd, 'dir', 0o755);
  setxattr(fd, 'dir', 'user.a', Buffer.from('first'));
  setxattr(fd, 'dir', 'user.b', Buffer.from('other'));
  const first = getxattr(fd, 'dir', 'user.a');
  getxattr(fd, 'dir', 'user.b');
  t.strictSame(first, Buffer.from('first'));
});

t.test('flags and errors', async t => {
  const { fd } = scratch(t);
  mkdirat(fd, 'dir', 0o755);
  const value = Buffer.from('y');
  t.equal(setxattr(fd, 'dir', OPAQUE, value, XATTR.REPLACE), -E.ENODATA);
  t.equal(setxattr(fd, 'dir', OPAQUE, value, XATTR.CREATE), 0);
  t.equal(setxattr(fd, 'dir', OPAQUE, value, XATTR.CREATE), -E.EEXIST);
  t.equal(getxattr(fd, 'dir', 'trusted.none'), -E.ENODATA);
  t.equal(getxattr(fd, 'none', OPAQUE), -E.ENOENT);
  t.equal(getxattr(fd, 'dir', 'nonsense'), -E.EOPNOTSUPP);
  t.equal(removexattr(fd, 'dir', 'trusted.none'), -E.ENODATA);
  t.equal(listxattr(fd, 'none'), -E.ENOENT);
  t.equal(getxattr(-1, '', OPAQUE), -E.EBADF);
  t.equal(getxattr(-1, 'dir', OPAQUE), -E.EBADF);
  t.equal(listxattr(999_999, ''), -E.EBADF);
  t.equal(getxattrat(fd, 'dir', OPAQUE, Buffer.alloc(0)), 1, 'an empty buffer asks for the length');
  t.equal(setxattr(fd, 'dir', OPAQUE, Buffer.from('long')), 0);
  t.equal(getxattrat(fd, 'dir', OPAQUE, Buffer.alloc(2)), -E.ERANGE);
  t.equal(listxattrat(fd, 'dir', Buffer.alloc(2)), -E.ERANGE);
});

t.test('nodes that cannot be opened: symlinks, devices, O_PATH', async t => {
  const { fd } = scratch(t);
  opened(t, fd, 'target');
  symlinkat('target', fd, 'link');
  mknodat(fd, 'device', 0o020000, 0, 0);
  for (const name of ['link', 'device', 'target']) {
    const node = opened(t, fd, name, O.PATH);
    t.equal(setxattr(fd, name, 'trusted.a', Buffer.from(name)), 0);
    t.equal(setxattr(node, '', 'trusted.b', Buffer.from('by descriptor')), 0);
    t.strictSame(getxattr(node, '', 'trusted.a'), Buffer.from(name));
    t.strictSame(getxattr(fd, name, 'trusted.b'), Buffer.from('by descriptor'));
    const names = listxattr(node, '');
    t.strictSame(typeof names === 'number' ? names : names.sort(), ['trusted.a', 'trusted.b']);
    t.equal(removexattr(node, '', 'trusted.b'), 0);
    t.strictSame(listxattr(fd, name), ['trusted.a']);
    t.equal(setxattr(fd, name, 'user.a', Buffer.from('')), name === 'target' ? 0 : -E.EPERM);
  }
});

t.test('a kernel without the *xattrat calls gives the same answers', async t => {
  const script = (path: string) => `
    const dir = n.openat2(-100, ${JSON.stringify(path)}, 0o200000, 0, 0);
    const link = n.openat2(dir, 'link', 0o10400000, 0, 0);
    const buffer = Buffer.alloc(64);
    const free = n.dup(0);
    n.close(free);
    const text = length => (length < 0 ? length : buffer.toString('latin1', 0, length));
    console.log(JSON.stringify([
      n.setxattrat(dir, 'link', 'trusted.a', Buffer.from('value'), 0),
      n.setxattrat(dir, 'link', 'trusted.a', Buffer.from('value'), 1),
      text(n.getxattrat(dir, 'link', 'trusted.a', buffer)),
      text(n.getxattrat(link, '', 'trusted.a', buffer)),
      n.getxattrat(dir, 'target', 'trusted.a', buffer),
      n.getxattrat(dir, 'none', 'trusted.a', buffer),
      n.getxattrat(999, '', 'trusted.a', buffer),
      n.getxattrat(-1, '', 'trusted.a', buffer),
      n.getxattrat(-1, 'link', 'trusted.a', buffer),
      n.setxattrat(dir, '', 'user.b', Buffer.alloc(0), 0),
      text(n.listxattrat(dir, '', buffer)),
      text(n.listxattrat(link, '', buffer)),
      n.removexattrat(dir, 'link', 'trusted.a'),
      n.removexattrat(link, '', 'trusted.a'),
      n.getxattrat(-100, '', 'trusted.none', buffer),
      n.dup(0) - free,
    ]));`;
  const answers = [[463, 464, 465, 466], [999]].map(calls => {
    const { path, fd } = scratch(t);
    opened(t, fd, 'target');
    symlinkat('target', fd, 'link');
    return runWithout(calls, E.ENOSYS, script(path));
  });
  t.strictSame(answers[0], answers[1]);
  t.strictSame(answers[0], [
    0,
    -E.EEXIST,
    'value',
    'value',
    -E.ENODATA,
    -E.ENOENT,
    ...Array(3).fill(-E.EBADF),
    0,
    'user.b\0',
    'trusted.a\0',
    0,
    -E.ENODATA,
    -E.ENODATA,
    0,
  ]);
});
