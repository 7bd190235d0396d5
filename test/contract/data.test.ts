// Data: sizes, holes, ranges, and files that are used by descriptor after their names are gone.
import t from 'tap';
import { FALLOC, LOCK, O, SEEK } from '../../src/sys/index.js';
import { dir, file, hardlink } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { by, does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const MiB = 1 << 20;

const sizes: readonly Row[] = [
  {
    name: 'truncate to less, to more and to nothing',
    lowers: [{ f: 'abcdef', g: 'abcdef', h: 'abcdef' }],
    steps: [
      does('truncate', 'f', 3),
      does('truncate', 'g', 8),
      does('truncate', 'h', 0),
      gives('abc', 'cat', 'f'),
      gives('abcdef\\0\\0', 'cat', 'g'),
      gives('', 'cat', 'h'),
    ],
    tree: ['f="abc"', 'g="abcdef\\\\x0\\\\x0"', 'h=""'],
  },
  {
    name: 'a sparse lower file keeps its size and content',
    lowers: [{ f: file('head', { size: 8 * MiB }) }],
    steps: [does('patch', 'f', 4 * MiB, 'middle'), gives('reg 644 0:0 1 8388608', 'lstat', 'f')],
  },
  {
    name: 'holes of a copied-up file are holes',
    lowers: [{ f: file('', { size: 8 * MiB }) }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      fails('ENXIO', 'seek', 'p', 0, SEEK.DATA),
      gives('at 0', 'seek', 'p', 0, SEEK.HOLE),
      gives('1 bytes', 'write', 'p', 4 * MiB, 'x'),
      gives('at 4194304', 'seek', 'p', 0, SEEK.DATA),
    ],
    needs: ['seek'],
  },
  {
    name: 'a file past four gigabytes',
    lowers: [{ f: file('start', { size: 5 * 1024 * MiB }) }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      gives('3 bytes', 'write', 'p', 5 * 1024 * MiB - 3, 'end'),
      gives('\\0\\0end', 'read', 'p', 5 * 1024 * MiB - 5, 10),
      gives('reg 644 0:0 1 5368709120', 'fstat', 'p'),
      does('ftruncate', 'p', 5),
      gives('start', 'read', 'p', 0, 99),
    ],
    tree: ['f="start"'],
  },
  {
    name: 'fallocate',
    lowers: [{ f: 'abcdef' }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      does('fallocate', 'p', 0, 0, 10),
      gives('abcdef\\0\\0\\0\\0', 'read', 'p', 0, 99),
      does('fallocate', 'p', FALLOC.KEEP_SIZE, 0, 5000),
      gives('reg 644 0:0 1 10', 'fstat', 'p'),
      does('fallocate', 'p', FALLOC.KEEP_SIZE | FALLOC.PUNCH_HOLE, 1, 3),
      gives('a\\0\\0\\0ef\\0\\0\\0\\0', 'read', 'p', 0, 99),
    ],
    needs: ['fallocate'],
  },
  {
    name: 'fallocate by somebody else takes setuid',
    lowers: [{ f: file('x', { mode: 0o6755 }) }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      by(1000, 1000, does('fallocate', 'p', 0, 0, 10)),
      gives('reg 755 0:0 1 10', 'lstat', 'f'),
    ],
    needs: ['fallocate', 'callers'],
  },
  {
    name: 'fallocate through a descriptor that only reads',
    lowers: [{ f: 'abc' }],
    steps: [
      does('open', 'p', 'f', O.RDONLY),
      fails('EBADF', 'fallocate', 'p', 0, 0, 10),
      fails('EINVAL', 'ftruncate', 'p', 0),
    ],
    needs: ['vfs'],
  },
  {
    name: 'copy_file_range from a lower file to an upper one and back',
    lowers: [{ f: 'lower data', g: 'xxxxxxxxxx' }],
    steps: [
      does('create', 'u', 'upper'),
      does('open', 'p', 'f', O.RDONLY),
      does('open', 'q', 'u', O.RDWR),
      gives('5 bytes', 'copyRange', 'p', 0, 'q', 5, 5),
      gives('upperlower', 'read', 'q', 0, 99),
      does('open', 'r', 'g', O.RDWR),
      gives('10 bytes', 'copyRange', 'q', 0, 'r', 0, 99),
      gives('upperlower', 'cat', 'g'),
    ],
    needs: ['copy-range'],
  },
  {
    name: 'appends by two descriptors and by name',
    lowers: [{ f: '0' }],
    steps: [
      does('open', 'p', 'f', O.WRONLY | O.APPEND),
      does('open', 'q', 'f', O.WRONLY | O.APPEND),
      gives('1 bytes', 'write', 'p', 0, '1'),
      gives('1 bytes', 'write', 'q', 0, '2'),
      does('append', 'f', '3'),
      gives('1 bytes', 'write', 'p', 0, '4'),
    ],
    tree: ['f="01234"'],
  },
  {
    name: 'open flags: EXCL, NOFOLLOW, DIRECTORY',
    lowers: [{ f: 'x', d: dir() }],
    steps: [
      fails('EEXIST', 'open', 'p', 'f', O.RDWR | O.CREAT | O.EXCL),
      fails('ENOTDIR', 'open', 'p', 'f', O.RDONLY | O.DIRECTORY),
      does('symlink', 'l', 'f'),
      fails('ELOOP', 'open', 'p', 'l', O.RDONLY | O.NOFOLLOW),
      fails('EEXIST', 'open', 'p', 'l', O.RDWR | O.CREAT | O.EXCL),
    ],
    needs: ['vfs'],
  },
  {
    name: 'synchronous writes and fsync',
    lowers: [{ f: 'x', d: dir() }],
    steps: [
      does('open', 'p', 'f', O.RDWR | O.SYNC),
      gives('3 bytes', 'write', 'p', 0, 'new'),
      does('fsync', 'p'),
      does('fsync', 'p', 1),
      does('open', 'x', 'd', O.RDONLY | O.DIRECTORY),
      does('fsync', 'x'),
      does('open', 'q', 'f', O.RDONLY),
      does('fsync', 'q'),
    ],
    tree: ['d/', 'f="new"'],
  },
];

const nameless: readonly Row[] = [
  {
    name: 'a lower file that is unlinked while open is still read',
    lowers: [{ f: 'old' }],
    steps: [
      does('open', 'p', 'f', O.RDONLY),
      does('unlink', 'f'),
      gives('old', 'read', 'p', 0, 9),
      fails('ENOENT', 'lstat', 'f'),
    ],
    tree: [],
  },
  {
    name: 'an upper file that is unlinked while open is still read and written',
    lowers: [{ f: 'old' }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      does('unlink', 'f'),
      gives('3 bytes', 'write', 'p', 3, 'new'),
      gives('oldnew', 'read', 'p', 0, 99),
      gives('reg 644 0:0 0 6', 'fstat', 'p'),
      does('fchmod', 'p', 0o600),
      does('ftruncate', 'p', 1),
      gives('reg 600 0:0 0 1', 'fstat', 'p'),
    ],
    tree: [],
  },
  {
    name: 'a new file under the name of an unlinked open one',
    lowers: [{ f: 'old' }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      does('unlink', 'f'),
      does('create', 'f', 'new'),
      gives('old', 'read', 'p', 0, 9),
    ],
    tree: ['f="new"'],
  },
  {
    name: 'a directory that is removed while open can be listed no more',
    lowers: [{ 'd/f': '' }],
    steps: [
      does('open', 'x', 'd', O.RDONLY | O.DIRECTORY),
      does('rmtree', 'd'),
      fails('ENOENT', 'list', 'x'),
      does('mkdir', 'd'),
      does('create', 'd/g', ''),
      fails('ENOENT', 'list', 'x'),
    ],
    tree: ['d/', 'd/g=""'],
  },
  {
    name: 'one of two open names is unlinked',
    lowers: [{ f: 'one', g: hardlink('f') }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      does('unlink', 'f'),
      gives('3 bytes', 'write', 'p', 0, 'two'),
      gives('two', 'cat', 'g'),
      gives('reg 644 0:0 1 3', 'fstat', 'p'),
    ],
    tree: ['g="two"'],
  },
  {
    name: 'a lock that a reader holds still conflicts after copy-up',
    lowers: [{ f: 'x' }],
    steps: [
      does('open', 'p', 'f', O.RDONLY),
      does('flock', 'p', LOCK.EX),
      does('append', 'f', '+'),
      does('open', 'q', 'f', O.RDWR),
      fails('EAGAIN', 'flock', 'q', LOCK.EX | LOCK.NB),
      does('flock', 'p', LOCK.UN),
      does('flock', 'q', LOCK.EX | LOCK.NB),
    ],
    needs: ['locks' as const],
  },
].map(row => ({ ...row, needs: [...(row.needs ?? []), 'unlinked' as const] }));

contract(t, [...sizes, ...nameless], candidates);
