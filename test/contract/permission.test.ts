// Permissions: what callers other than root may do, by mode, owner, group, sticky bit and search rights, is decided by the
// merged attributes and not by those of the layers' own directories.
import t from 'tap';
import { dir, file, symlink } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { by, does, fails, gives, type Row, type Step } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const user = (step: Step) => by(1000, 1000, step);
const other = (step: Step) => by(1001, 1001, step);

const rows = [
  {
    name: 'a file for its owner only',
    lowers: [{ f: file('x', { mode: 0o600, uid: 1000 }) }],
    steps: [user(gives('x', 'cat', 'f')), other(fails('EACCES', 'cat', 'f')), gives('x', 'cat', 'f')],
  },
  {
    name: 'a file for its group',
    lowers: [{ f: file('x', { mode: 0o060, uid: 5, gid: 1000 }) }],
    steps: [user(does('append', 'f', '+')), other(fails('EACCES', 'append', 'f', '+'))],
  },
  {
    name: 'a directory that cannot be searched',
    lowers: [{ d: dir({ mode: 0o700 }), 'd/f': 'x' }],
    steps: [user(fails('EACCES', 'lstat', 'd/f')), user(fails('EACCES', 'readdir', 'd'))],
  },
  {
    name: 'the mode of the top directory counts, not that of the one below',
    lowers: [
      { d: dir({ mode: 0o755 }), 'd/a': 'x' },
      { d: dir({ mode: 0o700 }), 'd/b': 'y' },
    ],
    steps: [user(gives('a:8 b:8', 'readdir', 'd')), user(gives('y', 'cat', 'd/b'))],
  },
  {
    name: 'making and removing needs write permission on the directory',
    lowers: [{ d: dir({ mode: 0o755 }), 'd/f': file('', { uid: 1000 }) }],
    steps: [
      user(fails('EACCES', 'create', 'd/n', '')),
      user(fails('EACCES', 'unlink', 'd/f')),
      user(fails('EACCES', 'rename', 'd/f', 'd/g')),
      user(fails('EACCES', 'mkdir', 'd/e')),
    ],
  },
  {
    name: 'a sticky directory lets only owners remove',
    lowers: [{ d: dir({ mode: 0o1777 }), 'd/f': file('', { uid: 1000 }), 'd/g': file('', { uid: 1001 }) }],
    steps: [
      user(fails('EPERM', 'unlink', 'd/g')),
      user(fails('EPERM', 'rename', 'd/g', 'd/h')),
      user(fails('EPERM', 'rename', 'd/f', 'd/g')),
      user(does('unlink', 'd/f')),
      other(does('rename', 'd/g', 'd/f')),
    ],
    tree: ['d/', 'd/f=""'],
  },
  {
    name: 'chmod and utimes are for the owner',
    lowers: [{ f: file('', { uid: 1000, mode: 0o666 }) }],
    steps: [
      other(fails('EPERM', 'chmod', 'f', 0o777)),
      other(fails('EPERM', 'utimes', 'f', 1, 1)),
      user(does('chmod', 'f', 0o600)),
      user(does('utimes', 'f', 1_000_000, 1_000_000)),
    ],
  },
  {
    name: 'chown is for root',
    lowers: [{ f: file('', { uid: 1000, gid: 1000 }) }],
    steps: [
      user(fails('EPERM', 'chown', 'f', 1001, -1)),
      user(fails('EPERM', 'chown', 'f', -1, 1001)),
      user(does('chown', 'f', 1000, 1000)),
      does('chown', 'f', 1001, 1001),
    ],
  },
  {
    name: 'chmod by an owner outside the group drops setgid',
    lowers: [{ f: file('', { uid: 1000, gid: 50, mode: 0o644 }) }],
    steps: [user(does('chmod', 'f', 0o2755)), gives('reg 755 1000:50 1 0', 'lstat', 'f')],
  },
  {
    name: 'device nodes are for root',
    lowers: [{ d: dir({ mode: 0o777 }) }],
    steps: [user(fails('EPERM', 'mknod', 'd/n', 0o020666, 1, 3)), user(does('mknod', 'd/p', 0o010644))],
    tree: ['d/', 'd/p|'],
  },
  {
    name: 'a hard link to what belongs to somebody else',
    lowers: [{ d: dir({ mode: 0o777 }), f: file('x', { mode: 0o600 }) }],
    steps: [does('link', 'f', 'd/g'), user(fails('EACCES', 'cat', 'd/g'))],
    tree: ['d/', 'd/g="x"', 'f="x"'],
  },
  {
    name: 'writing to a lower file one may write but in a directory one may not',
    lowers: [{ d: dir({ mode: 0o755 }), 'd/f': file('x', { mode: 0o666 }) }],
    steps: [user(does('append', 'd/f', '+')), user(does('setxattr', 'd/f', 'user.a', '1'))],
    tree: ['d/', 'd/f="x+"'],
  },
  {
    name: 'through a symlink into a directory that cannot be searched',
    lowers: [{ l: symlink('d/f'), d: dir({ mode: 0o700 }), 'd/f': 'x' }],
    steps: [user(fails('EACCES', 'cat', 'l')), user(gives('d/f', 'readlink', 'l'))],
  },
  {
    name: 'trusted attributes are for root, security ones too',
    lowers: [{ f: file('', { uid: 1000, xattrs: { 'user.a': '1' } }) }],
    steps: [user(does('setxattr', 'f', 'user.a', '2')), user(does('removexattr', 'f', 'user.a'))],
  },
  {
    name: 'a write by somebody else takes setuid and a capability',
    lowers: [
      {
        f: file('x', {
          mode: 0o4777,
          xattrs: { 'security.capability': `\x01\0\0\x02\0\x20${'\0'.repeat(14)}` },
        }),
      },
    ],
    steps: [
      user(does('append', 'f', '+')),
      gives('reg 777 0:0 1 2', 'lstat', 'f'),
      gives('', 'listxattr', 'f'),
    ],
  },
  {
    name: 'truncation by somebody else takes setuid',
    lowers: [{ f: file('xyz', { mode: 0o4777 }) }],
    steps: [user(does('truncate', 'f', 1)), gives('reg 777 0:0 1 1', 'lstat', 'f')],
  },
  {
    name: 'O_TRUNC by somebody else takes setuid',
    lowers: [{ f: file('xyz', { mode: 0o4777 }) }],
    steps: [user(does('put', 'f', 'ab')), gives('reg 777 0:0 1 2', 'lstat', 'f')],
  },
].map(row => ({ ...row, needs: ['vfs', 'callers'] }) as Row);

contract(t, rows, candidates);
