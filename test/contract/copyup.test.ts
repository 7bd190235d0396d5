// Copy-up: what triggers it, what does not, what it keeps, and what readers of the lower file see afterwards.
import t from 'tap';
import { O } from '../../src/sys/index.js';
import { dir, fifo, file, symlink } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

/** A file with everything on it that copy-up must keep. */
const rich = file('content', {
  mode: 0o640,
  uid: 3,
  gid: 4,
  mtime: 1_111_111_111,
  xattrs: { 'user.a': '1', 'trusted.b': '2' },
});

const rows: readonly Row[] = [
  {
    name: 'opening for writing keeps everything, times too',
    lowers: [{ f: rich }],
    steps: [
      does('open', 'p', 'f', O.RDWR),
      gives('reg 640 3:4 1 7', 'lstat', 'f'),
      gives('1111111111.123456789', 'times', 'f'),
      gives('content', 'read', 'p', 0, 99),
    ],
  },
  {
    name: 'reading copies nothing up and changes no time',
    lowers: [{ f: rich, 'd/x': '' }],
    steps: [
      gives('content', 'cat', 'f'),
      gives('x:8', 'readdir', 'd'),
      gives('1111111110.0 1111111111.123456789', 'times', 'f', 1),
    ],
  },
  {
    name: 'chmod, chown and utimes keep the data',
    lowers: [{ f: rich, g: rich, h: rich }],
    steps: [
      does('chmod', 'f', 0o600),
      does('chown', 'g', 7, 8),
      does('utimes', 'h', 1_200_000_000, 1_300_000_000, 5),
      gives('content', 'cat', 'f'),
      gives('content', 'cat', 'g'),
      gives('1200000000.5 1300000000.5', 'times', 'h', 1),
    ],
  },
  {
    name: 'O_TRUNC copies no data',
    lowers: [{ f: rich }],
    steps: [
      does('open', 'p', 'f', O.WRONLY | O.TRUNC),
      gives('reg 640 3:4 1 0', 'lstat', 'f'),
      gives('trusted.b user.a', 'listxattr', 'f'),
    ],
  },
  {
    name: 'the parents of a copied-up file keep their times',
    lowers: [
      {
        a: dir({ mtime: 1_010_000_000 }),
        'a/b': dir({ mtime: 1_020_000_000, mode: 0o711, uid: 9 }),
        'a/b/f': 'x',
      },
    ],
    steps: [
      does('append', 'a/b/f', '+'),
      gives('1010000000.123456789', 'times', 'a'),
      gives('1020000000.123456789', 'times', 'a/b'),
      gives('dir 711 9:0', 'lstat', 'a/b'),
    ],
  },
  {
    name: 'a reader that was there before sees what is written after',
    lowers: [{ f: 'old' }],
    steps: [
      does('open', 'p', 'f', O.RDONLY),
      gives('old', 'read', 'p', 0, 9),
      does('put', 'f', 'newer'),
      gives('newer', 'read', 'p', 0, 9),
    ],
  },
  {
    name: 'a reader that was there before sees what is appended and cut',
    lowers: [{ f: 'old' }],
    steps: [
      does('open', 'p', 'f', O.RDONLY),
      does('append', 'f', '+more'),
      gives('old+more', 'read', 'p', 0, 99),
      does('truncate', 'f', 2),
      gives('ol', 'read', 'p', 0, 99),
      gives('reg 644 0:0 1 2', 'fstat', 'p'),
    ],
  },
  {
    name: 'attributes by a descriptor that only reads',
    lowers: [{ f: 'old' }],
    steps: [
      does('open', 'p', 'f', O.RDONLY),
      does('fchmod', 'p', 0o600),
      does('fchown', 'p', 5, 6),
      does('futimes', 'p', 1_200_000_000, 1_300_000_000),
      does('fsetxattr', 'p', 'user.a', '1'),
      gives('reg 600 5:6 1 3', 'lstat', 'f'),
      gives('user.a', 'listxattr', 'f'),
    ],
    needs: ['vfs'],
  },
  {
    name: 'a symlink is copied up by chown',
    lowers: [{ l: symlink('target', { uid: 1 }) }],
    steps: [
      does('chown', 'l', 7, 8),
      gives('lnk 777 7:8 1 6', 'lstat', 'l'),
      gives('target', 'readlink', 'l'),
    ],
  },
  {
    name: 'a fifo is copied up by chmod, and opened without',
    lowers: [{ p: fifo({ mode: 0o600 }) }],
    steps: [
      does('open', 'p', 'p', O.RDONLY),
      does('close', 'p'),
      does('chmod', 'p', 0o644),
      gives('fifo 644 0:0 1 0', 'lstat', 'p'),
    ],
    needs: ['vfs'],
  },
  {
    name: 'a directory is copied up by chmod and keeps its lower content',
    lowers: [{ 'd/f': 'low' }, { 'd/g': '' }],
    steps: [does('chmod', 'd', 0o700), gives('f:8 g:8', 'readdir', 'd'), gives('dir 700 0:0', 'lstat', 'd')],
  },
  {
    name: 'a setuid file stays one over copy-up, and is none after a write by somebody else',
    lowers: [{ f: file('x', { mode: 0o4755 }), g: file('x', { mode: 0o6777, uid: 1, gid: 1 }) }],
    steps: [
      does('setxattr', 'f', 'user.a', '1'),
      gives('reg 4755 0:0 1 1', 'lstat', 'f'),
      [{ call: 'append', args: ['g', '+'], as: { uid: 1000, gid: 1000, umask: 0 } }, 'ok'],
      gives('reg 777 1:1 1 2', 'lstat', 'g'),
    ],
    needs: ['vfs', 'callers'],
  },
  {
    name: 'chown takes setuid and setgid',
    lowers: [{ f: file('x', { mode: 0o6755 }) }],
    steps: [does('chown', 'f', 5, 5), gives('reg 755 5:5 1 1', 'lstat', 'f')],
  },
  {
    name: 'a file without any permission is copied up',
    lowers: [{ f: file('secret', { mode: 0 }) }],
    steps: [does('append', 'f', '+'), gives('reg 0 0:0 1 7', 'lstat', 'f'), gives('secret+', 'cat', 'f')],
  },
  {
    name: 'a caller who may write copies up what it could not read',
    lowers: [{ f: file('secret', { mode: 0o602 }) }],
    steps: [
      [{ call: 'append', args: ['f', '+'], as: { uid: 1000, gid: 1000, umask: 0 } }, 'ok'],
      [{ call: 'cat', args: ['f'], as: { uid: 1000, gid: 1000, umask: 0 } }, 'EACCES'],
      gives('secret+', 'cat', 'f'),
    ],
    needs: ['vfs', 'callers'],
  },
  {
    name: 'many files of one directory',
    lowers: [Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`d/f${i}`, `${i}`]))],
    steps: Array.from({ length: 40 }, (_, i) => does('append', `d/f${i}`, '+')),
  },
  {
    name: 'writes beyond the end of a lower file',
    lowers: [{ f: 'abc' }],
    steps: [does('patch', 'f', 5, 'xyz'), gives('abc\\0\\0xyz', 'cat', 'f')],
  },
  {
    name: 'a directory opened for writing',
    lowers: [{ d: dir() }],
    steps: [fails('EISDIR', 'open', 'p', 'd', O.WRONLY), fails('EISDIR', 'truncate', 'd', 0)],
    needs: ['vfs'],
  },
];

contract(t, rows, candidates);
