// Names: opening, making, linking, renaming and removing, and what a symlink in a layer can not do.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DT, E, ok, S } from '../../src/base/index.js';
import {
  ACCESS,
  AT,
  close,
  dup,
  faccessat,
  linkat,
  mkdirat,
  mknodat,
  O,
  openBeneath,
  openChild,
  openPath,
  RENAME,
  readDirents,
  readlinkat,
  renameat2,
  symlinkat,
  unlinkat,
} from '../../src/sys/index.js';
import { opened, put, scratch, stat, take } from './scratch.js';

const LATIN = 'caf\xe9\xff\x80';

function link(dir: number, name: string): string {
  const buffer = Buffer.alloc(4096);
  return buffer.toString('latin1', 0, readlinkat(dir, name, buffer));
}

function names(dir: number): string[] {
  const found: string[] = [];
  readDirents(dir, name => found.push(name));
  return found.sort();
}

t.test('names that are not UTF-8 arrive byte for byte', async t => {
  const { path, fd } = scratch(t);
  t.equal(mkdirat(fd, LATIN, 0o755), 0);
  t.strictSame(names(fd), [LATIN]);
  const inner = opened(t, fd, LATIN, O.RDONLY | O.DIRECTORY);
  t.equal(symlinkat(`../${LATIN}`, inner, LATIN), 0);
  t.equal(link(inner, LATIN), `../${LATIN}`);
  const raw = Buffer.concat([Buffer.from(`${path}/`), Buffer.from(LATIN, 'latin1')]);
  t.throws(() => writeFileSync(raw, ''), { code: 'EISDIR' }, 'node sees the same bytes');
});

t.test('every kind of node, and its removal', async t => {
  const { fd } = scratch(t);
  t.equal(mknodat(fd, 'whiteout', S.IFCHR | 0o600, 0, 0), 0);
  t.equal(mknodat(fd, 'disk', S.IFBLK | 0o600, 259, 1_000_000), 0);
  t.equal(mknodat(fd, 'fifo', S.IFIFO | 0o600, 0, 0), 0);
  t.equal(mknodat(fd, 'socket', S.IFSOCK | 0o600, 0, 0), 0);
  t.equal(mknodat(fd, 'file', S.IFREG | 0o600, 0, 0), 0);
  const types = new Map<string, number>();
  readDirents(fd, (name, ino, type, low, high) => {
    types.set(name, type);
    t.equal(ino, stat(fd, name).ino);
    t.equal(high * 2 ** 32 + low, ino);
  });
  const { CHR, BLK, FIFO, SOCK, REG } = DT;
  t.strictSame(Object.fromEntries(types), { whiteout: CHR, disk: BLK, fifo: FIFO, socket: SOCK, file: REG });
  t.strictSame([stat(fd, 'disk').rdevMajor, stat(fd, 'disk').rdevMinor], [259, 1_000_000]);
  for (const name of types.keys()) t.equal(unlinkat(fd, name, 0), 0);
  t.equal(unlinkat(fd, 'file', 0), -E.ENOENT);
  t.equal(mkdirat(fd, 'dir', 0o700), 0);
  t.equal(mkdirat(fd, 'dir', 0o700), -E.EEXIST);
  t.equal(unlinkat(fd, 'dir', 0), -E.EISDIR);
  t.equal(unlinkat(fd, 'dir', AT.REMOVEDIR), 0);
});

t.test('hard links, and an unnamed file that gets a name', async t => {
  const { fd } = scratch(t);
  put(opened(t, fd, 'one'), 'text');
  t.equal(linkat(fd, 'one', fd, 'two', 0), 0);
  t.equal(stat(fd, 'two').nlink, 2);
  t.equal(linkat(fd, 'one', fd, 'two', 0), -E.EEXIST);
  const unnamed = openBeneath(fd, '.', O.TMPFILE | O.RDWR, 0o600);
  t.ok(unnamed >= 0);
  t.equal(stat(unnamed).nlink, 0);
  t.equal(linkat(unnamed, '', fd, 'three', AT.EMPTY_PATH), 0);
  t.equal(stat(fd, 'three').ino, stat(unnamed).ino);
  t.equal(close(unnamed), 0);
  t.equal(close(unnamed), -E.EBADF);
});

t.test('renames with their flags', async t => {
  const { fd } = scratch(t);
  put(opened(t, fd, 'a'), 'A');
  put(opened(t, fd, 'b'), 'B');
  t.equal(renameat2(fd, 'a', fd, 'b', RENAME.NOREPLACE), -E.EEXIST);
  t.equal(renameat2(fd, 'a', fd, 'b', RENAME.EXCHANGE), 0);
  t.equal(take(opened(t, fd, 'a', O.RDONLY), 9), 'B');
  t.equal(renameat2(fd, 'a', fd, 'c', RENAME.WHITEOUT), 0);
  t.equal(stat(fd, 'a').mode & S.IFMT, S.IFCHR, 'a whiteout is left');
  t.equal(renameat2(fd, 'c', fd, 'b', 0), 0);
  t.strictSame(names(fd), ['a', 'b']);
});

t.test('openBeneath stays in its directory', async t => {
  const { path, fd } = scratch(t);
  writeFileSync(join(path, 'outside'), 'secret');
  t.equal(mkdirat(fd, 'layer', 0o755), 0);
  const layer = opened(t, fd, 'layer', O.RDONLY | O.DIRECTORY);
  symlinkat('../outside', layer, 'up');
  symlinkat(join(path, 'outside'), layer, 'absolute');
  symlinkat('/inside', layer, 'rooted');
  symlinkat('/proc/self/root', layer, 'magic');
  put(opened(t, layer, 'inside'), 'mine');
  t.equal(openBeneath(layer, 'up', O.RDONLY), -E.ENOENT);
  t.equal(openBeneath(layer, 'absolute', O.RDONLY), -E.ENOENT);
  t.equal(openBeneath(layer, '../../../outside', O.RDONLY), -E.ENOENT);
  t.equal(openBeneath(layer, 'magic', O.RDONLY), -E.ENOENT);
  const proc = ok(openPath('/proc', O.RDONLY), '/proc');
  t.equal(openBeneath(proc, 'self/root', O.RDONLY), -E.ELOOP, 'a magic link');
  close(proc);
  for (const name of ['rooted', '/inside', '../../inside']) {
    const inside = openBeneath(layer, name, O.RDONLY);
    t.equal(take(inside, 9), 'mine', name);
    close(inside);
  }
});

t.test('openChild takes one name and follows nothing', async t => {
  const { fd } = scratch(t);
  mkdirat(fd, 'dir', 0o755);
  put(opened(t, fd, 'file'), 'text');
  symlinkat('file', fd, 'link');
  symlinkat('dir', fd, 'dirlink');
  t.equal(openChild(fd, 'link', O.RDONLY), -E.ELOOP);
  t.equal(openChild(fd, 'dirlink/x', O.RDONLY | O.CREAT, 0o644), -E.ELOOP);
  t.equal(openChild(fd, '..', O.PATH), -E.EXDEV);
  t.equal(openChild(fd, '/etc', O.PATH), -E.EXDEV);
  const node = opened(t, fd, 'link', O.PATH);
  t.equal(stat(node).mode & S.IFMT, S.IFLNK, 'O_PATH opens the symlink itself');
  t.equal(link(node, ''), 'file');
});

t.test('access and copies of descriptors', async t => {
  const { fd } = scratch(t);
  const file = opened(t, fd, 'file');
  t.equal(faccessat(fd, 'file', ACCESS.R_OK | ACCESS.W_OK, 0), 0);
  t.equal(faccessat(fd, 'file', ACCESS.X_OK, AT.EACCESS), -E.EACCES);
  t.equal(faccessat(fd, 'none', ACCESS.F_OK, 0), -E.ENOENT);
  const copy = dup(file);
  t.not(copy, file);
  t.equal(stat(copy).ino, stat(file).ino);
  t.equal(close(copy), 0);
  t.equal(dup(copy), -E.EBADF);
});

t.test('paths that no call can take', async t => {
  const { fd } = scratch(t);
  t.equal(mkdirat(fd, 'a\0b', 0o755), -E.EINVAL);
  t.equal(mkdirat(fd, 'a'.repeat(256), 0o755), -E.ENAMETOOLONG, 'a name');
  t.equal(mkdirat(fd, './'.repeat(2048), 0o755), -E.ENAMETOOLONG, 'a path of 4096 bytes');
  t.equal(mkdirat(fd, 'x'.repeat(100_000), 0o755), -E.ENAMETOOLONG, 'far too long');
  t.equal(mkdirat(fd, `${'./'.repeat(2047)}d`, 0o755), 0, 'a path of 4095 bytes');
  t.equal(symlinkat('t'.repeat(4095), fd, 'long'), 0);
  t.equal(link(fd, 'long').length, 4095);
});

t.test('a large directory, read from within the reading of another', async t => {
  const { fd } = scratch(t);
  mkdirat(fd, 'many', 0o755);
  const many = opened(t, fd, 'many', O.RDONLY | O.DIRECTORY);
  const made = Array.from({ length: 3000 }, (_, i) => `${'n'.repeat(i % 90)}${i}`).sort();
  const expected = made.join();
  for (const name of made) mknodat(many, name, S.IFREG | 0o600, 0, 0);
  t.equal(names(many).join(), expected);
  t.equal(names(many).join(), expected, 'again from the beginning');
  let inner = 0;
  readDirents(many, () => {
    if (inner === 0) readDirents(fd, () => inner++);
  });
  t.equal(inner, 1);
  t.equal(
    readDirents(opened(t, fd, 'file'), () => t.fail()),
    -E.ENOTDIR,
  );
  t.equal(
    readDirents(-1, () => t.fail()),
    -E.EBADF,
  );
  t.throws(() =>
    readDirents(many, () => {
      throw new Error('from the visitor');
    }),
  );
  t.equal(names(many).join(), expected, 'after a visitor that threw');
});
