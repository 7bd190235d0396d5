// Making things: over nothing, over whiteouts, over each other, with the owner, mode and attributes that are due.
import t from 'tap';
import { S } from '../../src/base/index.js';
import { O } from '../../src/sys/index.js';
import { dir, file, opaque, symlink, whiteout } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { by, does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const rows: readonly Row[] = [
  {
    name: 'a file in a lower directory',
    lowers: [{ 'd/e/f': 'low' }],
    steps: [does('create', 'd/e/g', 'new'), gives('f:8 g:8', 'readdir', 'd/e')],
    tree: ['d/', 'd/e/', 'd/e/f="low"', 'd/e/g="new"'],
  },
  {
    name: 'a file over a whiteout',
    lowers: [{ f: file('low', { mode: 0o600, uid: 7 }) }],
    steps: [does('unlink', 'f'), does('create', 'f', 'new', 0o644), gives('reg 644 0:0 1 3', 'lstat', 'f')],
    tree: ['f="new"'],
  },
  {
    name: 'an exclusive file over a lower file',
    lowers: [{ f: 'low' }],
    steps: [fails('EEXIST', 'create', 'f', 'new')],
    tree: ['f="low"'],
  },
  {
    name: 'open with O_CREAT finds the lower file',
    lowers: [{ f: 'low' }],
    steps: [does('open', 'p', 'f', O.RDWR | O.CREAT), gives('low', 'read', 'p', 0, 9)],
    tree: ['f="low"'],
  },
  {
    name: 'open with O_CREAT on a directory',
    lowers: [{ d: dir() }],
    steps: [fails('EISDIR', 'open', 'p', 'd', O.RDWR | O.CREAT), fails('EISDIR', 'put', 'd', 'x')],
    needs: ['vfs'],
  },
  {
    name: 'a directory over a whiteout is empty and opaque',
    lowers: [{ 'd/old': 'low', 'd/e/older': '' }],
    steps: [
      does('rmtree', 'd'),
      does('mkdir', 'd'),
      gives('', 'readdir', 'd'),
      does('mkdir', 'd/e'),
      gives('', 'readdir', 'd/e'),
    ],
    tree: ['d/', 'd/e/'],
  },
  {
    name: 'a directory over an existing one',
    lowers: [{ d: dir(), f: '' }],
    steps: [fails('EEXIST', 'mkdir', 'd'), fails('EEXIST', 'mkdir', 'f')],
  },
  {
    name: 'a directory where a file was',
    lowers: [{ n: 'file' }, { 'n/hidden': 'x' }],
    steps: [does('unlink', 'n'), does('mkdir', 'n'), gives('', 'readdir', 'n')],
    tree: ['n/'],
  },
  {
    name: 'a file where a directory was',
    lowers: [{ 'n/x': '' }],
    steps: [does('rmtree', 'n'), does('create', 'n', 'file')],
    tree: ['n="file"'],
  },
  {
    name: 'a directory in a merged one does not show what a lower layer once had there',
    lowers: [{ d: opaque() }, { 'd/e/hidden': '' }],
    steps: [does('mkdir', 'd/e'), gives('', 'readdir', 'd/e')],
    tree: ['d/', 'd/e/'],
  },
  {
    name: 'recreate three levels',
    lowers: [{ 'a/b/c/f': '1', 'a/b/g': '2' }],
    steps: [
      does('rmtree', 'a'),
      does('mkdir', 'a'),
      does('mkdir', 'a/b'),
      does('mkdir', 'a/b/c'),
      does('create', 'a/b/c/new', 'x'),
      gives('c:4', 'readdir', 'a/b'),
    ],
    tree: ['a/', 'a/b/', 'a/b/c/', 'a/b/c/new="x"'],
  },
  {
    name: 'remove and make the same directory again and again',
    lowers: [{ 'd/f': '' }],
    steps: [does('recreate', 'd'), does('recreate', 'd'), does('create', 'd/f', 'x'), does('recreate', 'd')],
    tree: ['d/'],
  },
  {
    name: 'a symlink over a whiteout',
    lowers: [{ l: 'file' }],
    steps: [does('unlink', 'l'), does('symlink', 'l', 'target'), gives('lnk 777 0:0 1 6', 'lstat', 'l')],
    tree: ['l->target'],
  },
  {
    name: 'a symlink over something',
    lowers: [{ l: symlink('a'), f: '' }],
    steps: [fails('EEXIST', 'symlink', 'l', 'b'), fails('EEXIST', 'symlink', 'f', 'b')],
    tree: ['f=""', 'l->a'],
  },
  {
    name: 'a regular file by mknod',
    lowers: [{}],
    steps: [does('mknod', 'f', S.IFREG | 0o640), gives('reg 640 0:0 1 0', 'lstat', 'f')],
    tree: ['f=""'],
  },
  {
    name: 'below what is not there',
    lowers: [{ d: dir() }],
    steps: [
      fails('ENOENT', 'create', 'd/e/f', ''),
      fails('ENOENT', 'mkdir', 'x/y'),
      fails('ENOENT', 'symlink', 'x/y', 'z'),
    ],
    needs: ['vfs'],
  },
  {
    name: 'the umask applies',
    lowers: [{ d: dir() }],
    steps: [
      by(0, 0, does('create', 'd/f', '', 0o666), 0o027),
      by(0, 0, does('mkdir', 'd/e', 0o777), 0o077),
      gives('reg 640 0:0 1 0', 'lstat', 'd/f'),
      gives('dir 700 0:0', 'lstat', 'd/e'),
    ],
    needs: ['callers'],
  },
  {
    name: 'what a caller makes belongs to the caller',
    lowers: [{ d: dir({ mode: 0o777 }), 'd/w': '' }],
    steps: [
      by(1000, 1001, does('create', 'd/f', '')),
      by(1000, 1001, does('mkdir', 'd/e')),
      by(1000, 1001, does('symlink', 'd/l', 'x')),
      by(1000, 1001, does('unlink', 'd/w')),
      by(1000, 1001, does('mkdir', 'd/w')),
      gives('reg 644 1000:1001 1 0', 'lstat', 'd/f'),
      gives('dir 755 1000:1001', 'lstat', 'd/e'),
      gives('lnk 777 1000:1001 1 1', 'lstat', 'd/l'),
      gives('dir 755 1000:1001', 'lstat', 'd/w'),
    ],
    needs: ['callers'],
  },
  {
    name: 'a setgid directory gives its group',
    lowers: [{ d: dir({ mode: 0o2777, gid: 50 }), 'd/w': '', 'd/x': '' }],
    steps: [
      by(1000, 1001, does('create', 'd/f', '')),
      by(1000, 1001, does('mkdir', 'd/e')),
      by(1000, 1001, does('unlink', 'd/w')),
      by(1000, 1001, does('create', 'd/w', '')),
      by(1000, 1001, does('unlink', 'd/x')),
      by(1000, 1001, does('mkdir', 'd/x')),
      gives('reg 644 1000:50 1 0', 'lstat', 'd/f'),
      gives('dir 2755 1000:50', 'lstat', 'd/e'),
      gives('reg 644 1000:50 1 0', 'lstat', 'd/w'),
      gives('dir 2755 1000:50', 'lstat', 'd/x'),
    ],
    needs: ['callers'],
  },
  {
    name: 'a setgid file made by somebody outside the group loses the bit',
    lowers: [{ d: dir({ mode: 0o2777, gid: 50 }) }],
    steps: [by(1000, 1001, does('create', 'd/f', '', 0o2775)), gives('reg 755 1000:50 1 0', 'lstat', 'd/f')],
    needs: ['callers', 'vfs'],
  },
  {
    name: 'a file with no permissions for its maker can be written through the descriptor that made it',
    lowers: [{ d: dir({ mode: 0o777 }) }],
    steps: [
      by(1000, 1000, does('create', 'd/f', 'data', 0o000)),
      gives('reg 0 1000:1000 1 4', 'lstat', 'd/f'),
    ],
    needs: ['callers'],
  },
  {
    name: 'a directory with mode 0555',
    lowers: [{ d: dir({ mode: 0o777 }) }],
    steps: [
      by(1000, 1000, does('mkdir', 'd/e', 0o555)),
      by(1000, 1000, fails('EACCES', 'create', 'd/e/f', '')),
      does('create', 'd/e/f', 'root may'),
      gives('dir 555 1000:1000', 'lstat', 'd/e'),
    ],
    needs: ['callers', 'vfs'],
  },
  {
    name: 'a tmpfile gets a name',
    lowers: [{ 'd/f': 'low' }],
    steps: [
      does('tmpfile', 'p', 'd', 0o640),
      gives('4 bytes', 'write', 'p', 0, 'data'),
      gives('reg 640 0:0 0 4', 'fstat', 'p'),
      gives('f:8', 'readdir', 'd'),
      does('linkSlot', 'p', 'd/g'),
      gives('reg 640 0:0 1 4', 'fstat', 'p'),
      fails('EEXIST', 'linkSlot', 'p', 'd/f'),
    ],
    tree: ['d/', 'd/f="low"', 'd/g="data"'],
    needs: ['tmpfile'],
  },
  {
    name: 'a tmpfile that nobody names leaves nothing',
    lowers: [{ d: dir() }],
    steps: [does('tmpfile', 'p', 'd'), gives('1 bytes', 'write', 'p', 0, 'x'), does('close', 'p')],
    tree: ['d/'],
    needs: ['tmpfile'],
  },
  {
    name: 'a tmpfile gets a name where a whiteout is',
    lowers: [{ f: 'low' }],
    steps: [
      does('unlink', 'f'),
      does('tmpfile', 'p', '.'),
      gives('1 bytes', 'write', 'p', 0, 'x'),
      does('linkSlot', 'p', 'f'),
    ],
    tree: ['f="x"'],
    needs: ['tmpfile'],
  },
  {
    name: 'a mark that stands in the upper already',
    lowers: [{ 'd/f': 'low' }],
    upper: { d: opaque({ xattrs: { 'trusted.overlay.origin': '' } }), 'd/w': whiteout() },
    steps: [does('create', 'd/f', 'new'), does('mkdir', 'd/e')],
    tree: ['d/', 'd/e/', 'd/f="new"'],
  },
];

contract(t, rows, candidates);
