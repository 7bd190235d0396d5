// Renaming files: everything over everything, with every flag, between layers and over whiteouts.
import t from 'tap';
import { RENAME } from '../../src/sys/index.js';
import { dir, fifo, file, hardlink, symlink } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const plain: readonly Row[] = [
  {
    name: 'a lower file leaves a whiteout where it was',
    lowers: [{ f: file('low', { mode: 0o640, xattrs: { 'user.a': 'b' } }) }],
    steps: [does('rename', 'f', 'g'), fails('ENOENT', 'lstat', 'f'), gives('low', 'cat', 'g')],
    tree: ['g="low"'],
  },
  {
    name: 'an upper file over a lower file',
    lowers: [{ f: 'low' }],
    steps: [does('create', 'n', 'new'), does('rename', 'n', 'f')],
    tree: ['f="new"'],
  },
  {
    name: 'a lower file over an upper file',
    lowers: [{ f: 'low' }],
    upper: { u: 'up' },
    steps: [does('rename', 'f', 'u')],
    tree: ['u="low"'],
  },
  {
    name: 'a lower file over a lower file',
    lowers: [{ f: 'one', g: 'two' }],
    steps: [does('rename', 'f', 'g')],
    tree: ['g="one"'],
  },
  {
    name: 'a file to where another was deleted',
    lowers: [{ f: 'one', g: 'two' }],
    steps: [does('unlink', 'g'), does('rename', 'f', 'g')],
    tree: ['g="one"'],
  },
  {
    name: 'there and back',
    lowers: [{ f: 'one' }],
    steps: [does('rename', 'f', 'g'), does('rename', 'g', 'f')],
    tree: ['f="one"'],
  },
  {
    name: 'into another directory, whose parents are lower',
    lowers: [{ f: 'one', 'd/e/x': '' }],
    steps: [does('rename', 'f', 'd/e/f')],
    tree: ['d/', 'd/e/', 'd/e/f="one"', 'd/e/x=""'],
  },
  {
    name: 'out of a lower directory, which can then be removed',
    lowers: [{ 'd/f': 'one' }],
    steps: [does('rename', 'd/f', 'f'), does('rmdir', 'd')],
    tree: ['f="one"'],
  },
  {
    name: 'onto itself',
    lowers: [{ f: 'one' }],
    steps: [does('rename', 'f', 'f')],
    tree: ['f="one"'],
  },
  {
    name: 'onto another name of the same file does nothing',
    lowers: [{ f: 'one', g: hardlink('f') }],
    steps: [does('rename', 'f', 'g'), gives('same', 'same', 'f', 'g')],
    tree: ['f="one"', 'g="one"'],
    needs: ['identity'],
  },
  {
    name: 'a hard link of a lower file keeps its fellows',
    lowers: [{ f: 'one', g: hardlink('f') }],
    steps: [
      does('rename', 'f', 'h'),
      gives('same', 'same', 'g', 'h'),
      does('append', 'g', '+'),
      gives('one+', 'cat', 'h'),
    ],
    needs: ['identity'],
  },
  {
    name: 'a symlink, a fifo and a device',
    lowers: [{ l: symlink('x'), p: fifo() }],
    steps: [does('rename', 'l', 'm'), does('rename', 'p', 'q'), does('rename', 'm', 'q')],
    tree: ['q->x'],
  },
  {
    name: 'what is not there',
    lowers: [{ d: dir(), f: '' }],
    steps: [
      fails('ENOENT', 'rename', 'n', 'm'),
      fails('ENOENT', 'rename', 'f', 'e/f'),
      fails('ENOENT', 'rename', 'd/x', 'f'),
    ],
  },
  {
    name: 'a file over a directory and a directory over a file',
    lowers: [{ d: dir(), f: 'x', e: dir() }],
    steps: [fails('EISDIR', 'rename', 'f', 'd'), fails('ENOTDIR', 'rename', 'd', 'f')],
    needs: ['vfs'],
    tree: ['d/', 'e/', 'f="x"'],
  },
  {
    name: 'a file that is open keeps its content under its new name',
    lowers: [{ f: 'one' }],
    steps: [
      does('open', 'p', 'f', 2),
      does('rename', 'f', 'g'),
      gives('3 bytes', 'write', 'p', 0, 'two'),
      gives('two', 'cat', 'g'),
      does('create', 'f', 'other'),
      gives('two', 'read', 'p', 0, 9),
    ],
    tree: ['f="other"', 'g="two"'],
    needs: ['unlinked'],
  },
  {
    name: 'over a file that is open: the descriptor keeps the old one',
    lowers: [{ f: 'one', g: 'two' }],
    steps: [
      does('open', 'p', 'g', 2),
      does('rename', 'f', 'g'),
      gives('two', 'read', 'p', 0, 9),
      gives('reg 644 0:0 0 3', 'fstat', 'p'),
    ],
    tree: ['g="one"'],
    needs: ['unlinked'],
  },
];

const flagged: readonly Row[] = [
  {
    name: 'NOREPLACE over something',
    lowers: [{ f: 'one', g: 'two', d: dir() }],
    steps: [
      fails('EEXIST', 'rename', 'f', 'g', RENAME.NOREPLACE),
      fails('EEXIST', 'rename', 'f', 'd', RENAME.NOREPLACE),
      fails('EEXIST', 'rename', 'd', 'f', RENAME.NOREPLACE),
    ],
    tree: ['d/', 'f="one"', 'g="two"'],
  },
  {
    name: 'NOREPLACE over nothing, and over a whiteout',
    lowers: [{ f: 'one', g: 'two' }],
    steps: [
      does('rename', 'f', 'n', RENAME.NOREPLACE),
      does('unlink', 'g'),
      does('rename', 'n', 'g', RENAME.NOREPLACE),
    ],
    tree: ['g="one"'],
  },
  {
    name: 'EXCHANGE of two lower files',
    lowers: [{ f: file('one', { mode: 0o600 }), g: 'two' }],
    steps: [does('rename', 'f', 'g', RENAME.EXCHANGE), gives('reg 600 0:0 1 3', 'lstat', 'g')],
    tree: ['f="two"', 'g="one"'],
  },
  {
    name: 'EXCHANGE of a lower file and an upper one',
    lowers: [{ f: 'one' }],
    upper: { g: 'two' },
    steps: [does('rename', 'f', 'g', RENAME.EXCHANGE), does('unlink', 'f'), does('unlink', 'g')],
    tree: [],
  },
  {
    name: 'EXCHANGE of a file and a directory',
    lowers: [{ f: 'one', 'd/x': '' }],
    steps: [
      does('rename', 'f', 'd', RENAME.EXCHANGE),
      gives('one', 'cat', 'd'),
      gives('x:8', 'readdir', 'f'),
    ],
    tree: ['d="one"', 'f/', 'f/x=""'],
  },
  {
    name: 'EXCHANGE of two lower directories',
    lowers: [{ 'a/x': '', 'b/y': '' }, { 'a/z': '' }],
    steps: [
      does('rename', 'a', 'b', RENAME.EXCHANGE),
      gives('y:8', 'readdir', 'a'),
      gives('x:8 z:8', 'readdir', 'b'),
    ],
  },
  {
    name: 'EXCHANGE with what is not there',
    lowers: [{ f: '', g: '' }],
    steps: [
      fails('ENOENT', 'rename', 'f', 'n', RENAME.EXCHANGE),
      does('unlink', 'g'),
      fails('ENOENT', 'rename', 'f', 'g', RENAME.EXCHANGE),
    ],
  },
  {
    name: 'EXCHANGE of a directory and what is in it',
    lowers: [{ 'd/f': '' }],
    steps: [
      fails('EINVAL', 'rename', 'd', 'd/f', RENAME.EXCHANGE),
      fails('EINVAL', 'rename', 'd/f', 'd', RENAME.EXCHANGE),
    ],
  },
  {
    name: 'EXCHANGE and NOREPLACE together',
    lowers: [{ f: '', g: '' }],
    steps: [fails('EINVAL', 'rename', 'f', 'g', RENAME.EXCHANGE | RENAME.NOREPLACE)],
  },
  {
    name: 'WHITEOUT by the caller',
    lowers: [{ f: 'one' }],
    steps: [fails('EINVAL', 'rename', 'f', 'g', RENAME.WHITEOUT)],
    differs: {
      why: 'a kernel overlay can use our mount as its upper, which needs RENAME_WHITEOUT; overlayfs refuses to be one',
      outcomes: ['ok'],
      tree: true,
    },
  },
].map(row => ({ ...row, needs: ['rename-flags' as const] }));

contract(t, [...plain, ...flagged], candidates);
