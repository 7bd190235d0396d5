// Random operations: over sixty kinds, weighted so that deep states arise (files that were copied up, renamed and
// unlinked while open; directories that were removed and made anew over what lies below).
import { S } from '../../src/base/index.js';
import { FALLOC, O, RENAME, SEEK, XATTR } from '../../src/sys/index.js';
import { as, type Op, op } from './ops.js';
import type { Random } from './random.js';
import { alphabet, capability, someAcl } from './random-layers.js';

/** What the choice of arguments may know: the paths that the oracle last showed. */
export interface Hints {
  paths: readonly string[];
}

const slots = ['p', 'q', 'r', 's'];
const dirSlots = ['x', 'y'];

type Make = (random: Random, path: () => string, fresh: () => string) => Op;

const slot = (random: Random): string => random.pick(slots);
const text = (random: Random): string =>
  random.pick(['new', 'longer text than before', 'x'.repeat(5000), '']);
const offset = (random: Random): number => random.pick([0, 0, 3, 4096, 5000, 20000]);
const user = (random: Random): string => `user.${random.pick(alphabet)}`;

const onNames: readonly (readonly [number, Make])[] = [
  [6, (_, __, fresh) => op('mkdir', fresh())],
  [2, (r, _, fresh) => op('mkdir', fresh(), r.pick([0o700, 0o2775, 0o1777, 0o000]))],
  [1, (_, __, fresh) => op('mknod', fresh(), S.IFIFO | 0o644)],
  [1, (_, __, fresh) => op('mknod', fresh(), S.IFSOCK | 0o644)],
  [1, (_, __, fresh) => op('mknod', fresh(), S.IFCHR | 0o666, 1, 3)],
  [1, (_, __, fresh) => op('mknod', fresh(), S.IFREG | 0o640)],
  [2, (r, _, fresh) => op('symlink', fresh(), r.pick(['a', 'b/c', 'c', 'd/e/f', './g', 'h/nowhere']))],
  [4, (_, path, fresh) => op('link', path(), fresh())],
  [1, (_, path) => op('link', path(), path())],
  [8, (_, path) => op('unlink', path())],
  [5, (_, path) => op('rmdir', path())],
  [2, (_, path) => op('rmtree', path())],
  [2, (_, path) => op('recreate', path())],
  [8, (_, path, fresh) => op('rename', path(), fresh())],
  [6, (_, path) => op('rename', path(), path())],
  [3, (_, path, fresh) => op('rename', path(), fresh(), RENAME.NOREPLACE)],
  [1, (_, path) => op('rename', path(), path(), RENAME.NOREPLACE)],
  [3, (_, path) => op('rename', path(), path(), RENAME.EXCHANGE)],
  [1, (_, path) => op('rename', path(), path(), RENAME.EXCHANGE | RENAME.NOREPLACE)],
  [3, (r, path) => op('chmod', path(), r.pick([0o600, 0o644, 0o755, 0o4755, 0o2755, 0o777, 0o1777]))],
  // Never -1 for both: a FUSE file system is then not asked, and keeps setuid (see test/contract/differences.md).
  [2, (r, path) => op('chown', path(), r.pick([0, 1000, 1001]), r.pick([0, 1000, 1001, -1]))],
  [1, (r, path) => op('chown', path(), -1, r.pick([0, 1000, 1001]))],
  [
    2,
    (r, path) => op('utimes', path(), 1_100_000_000 + r.below(9), 1_200_000_000 + r.below(9), r.below(1e9)),
  ],
  [2, (r, path) => op('setxattr', path(), user(r), r.pick(['', 'v', 'w'.repeat(300)]))],
  [1, (r, path) => op('setxattr', path(), user(r), 'created', XATTR.CREATE)],
  [1, (r, path) => op('setxattr', path(), user(r), 'replaced', XATTR.REPLACE)],
  [1, (r, path) => op('setxattr', path(), r.pick(['trusted.t', 'trusted.overlayx', 'security.other']), 'v')],
  [1, (r, path) => op('setxattr', path(), 'trusted.overlay.nested', r.pick(['y', 'x']))],
  [1, (_, path) => op('setxattr', path(), 'security.capability', capability)],
  [2, (_, path) => op('setxattr', path(), 'system.posix_acl_access', someAcl)],
  [1, (_, path) => op('setxattr', path(), 'system.posix_acl_default', someAcl)],
  [
    1,
    (r, path) => op('removexattr', path(), r.pick(['system.posix_acl_access', 'system.posix_acl_default'])),
  ],
  [2, (r, path) => op('removexattr', path(), r.pick([user(r), 'trusted.t', 'security.capability']))],
];

const looking: readonly (readonly [number, Make])[] = [
  [1, (r, path) => op('access', path(), r.below(8))],
  [1, (r, path) => op('getxattr', path(), user(r))],
  [1, (_, path) => op('listxattr', path())],
  [1, (_, path) => op('readlink', path())],
  [3, (_, path) => op('lstat', path())],
  [1, (_, path) => op('follow', path())],
  [1, (_, path) => op('same', path(), path())],
  [3, (_, path) => op('readdir', path())],
  [2, (_, path) => op('cat', path())],
];

const onFiles: readonly (readonly [number, Make])[] = [
  [5, (r, _, fresh) => op('create', fresh(), text(r), r.pick([0o644, 0o600, 0o4755, 0o2755]))],
  [4, (r, path) => op('put', path(), text(r))],
  [3, (r, path) => op('append', path(), text(r))],
  [3, (r, path) => op('patch', path(), offset(r), text(r))],
  [2, (r, path) => op('truncate', path(), offset(r))],
  [5, (r, path) => op('open', slot(r), path(), O.RDONLY)],
  [5, (r, path) => op('open', slot(r), path(), O.RDWR)],
  [1, (r, path) => op('open', slot(r), path(), O.WRONLY | O.APPEND)],
  [1, (r, path) => op('open', slot(r), path(), O.RDWR | O.TRUNC)],
  [1, (r, path) => op('open', slot(r), path(), O.RDWR | O.CREAT)],
  [1, (r, path) => op('open', slot(r), path(), O.RDWR | O.CREAT | O.EXCL)],
  [1, (r, path) => op('open', slot(r), path(), O.RDONLY | O.NOFOLLOW)],
  [2, (r, path) => op('open', r.pick(dirSlots), path(), O.RDONLY | O.DIRECTORY)],
  [2, r => op('list', r.pick(dirSlots))],
  [1, (r, path) => op('tmpfile', slot(r), path(), r.pick([0o644, 0o600]))],
  [2, (r, _, fresh) => op('linkSlot', slot(r), fresh())],
  [2, r => op('close', r.pick([...slots, ...dirSlots]))],
  [5, r => op('read', slot(r), offset(r), r.pick([10, 9000]))],
  [5, r => op('write', slot(r), offset(r), text(r))],
  [4, r => op('fstat', r.pick([...slots, ...dirSlots]))],
  [2, r => op('ftruncate', slot(r), offset(r))],
  [1, r => op('fallocate', slot(r), 0, offset(r), 6000)],
  [1, r => op('fallocate', slot(r), FALLOC.KEEP_SIZE, offset(r), 6000)],
  [1, r => op('fallocate', slot(r), FALLOC.KEEP_SIZE | FALLOC.PUNCH_HOLE, offset(r), 6000)],
  [1, r => op('seek', slot(r), offset(r), r.pick([SEEK.DATA, SEEK.HOLE]))],
  [1, r => op('copyRange', slot(r), offset(r), slot(r), offset(r), r.pick([10, 5000]))],
  [1, r => op('fsync', slot(r), r.below(2))],
  [1, r => op('fchmod', slot(r), r.pick([0o600, 0o4755]))],
  [1, r => op('fchown', slot(r), r.pick([0, 1000]), r.pick([0, 1000]))],
  [1, r => op('futimes', slot(r), 1_100_000_000, 1_200_000_000 + r.below(9))],
  [1, r => op('fsetxattr', slot(r), user(r), 'by descriptor')],
];

/** The next operation. */
export function randomOp(random: Random, hints: Hints): Op {
  const fresh = (): string => {
    const parts = Array.from({ length: 1 + random.below(3) }, () => random.pick(alphabet));
    // A name below something that exists, more often than one whose parents do not.
    const known = random.oneIn(3) || hints.paths.length === 0 ? '' : random.pick(hints.paths);
    return known === '' || known.split('/').length > 3 ? parts.join('/') : `${known}/${parts[0]}`;
  };
  const path = (): string =>
    hints.paths.length > 0 && !random.oneIn(5) ? random.pick(hints.paths) : fresh();
  const step = random.weighted([...onNames, ...looking, ...onFiles])(random, path, fresh);
  if (!random.oneIn(7)) return step;
  return as(random.pick([1000, 1000, 1001]), 1000, step, random.pick([0o022, 0o077, 0]));
}

/** How many kinds of operation there are. */
export const kindsOfOp = onNames.length + looking.length + onFiles.length;
