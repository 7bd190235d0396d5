// Extended attributes: every namespace, over copy-up, and the private ones hidden and escaped.
import t from 'tap';
import { XATTR } from '../../src/sys/index.js';
import { dir, file, opaque, symlink } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { by, does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const capability = '\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00';

const rows: readonly Row[] = [
  {
    name: 'attributes of a lower file are seen',
    lowers: [{ f: file('', { xattrs: { 'user.a': '1', 'trusted.b': '2', 'security.c': '3' } }) }],
    steps: [
      gives('security.c trusted.b user.a', 'listxattr', 'f'),
      gives('1', 'getxattr', 'f', 'user.a'),
      fails('ENODATA', 'getxattr', 'f', 'user.none'),
    ],
  },
  {
    name: 'all attributes survive copy-up',
    lowers: [{ f: file('x', { xattrs: { 'user.a': '1', 'trusted.b': '2', 'security.c': '3' } }) }],
    steps: [does('append', 'f', '+'), gives('security.c trusted.b user.a', 'listxattr', 'f')],
  },
  {
    name: 'attributes of a lower directory survive copy-up',
    lowers: [{ d: dir({ xattrs: { 'user.a': '1', 'trusted.b': '2' } }), 'd/f': '' }],
    steps: [does('unlink', 'd/f'), gives('trusted.b user.a', 'listxattr', 'd')],
  },
  {
    name: 'setting an attribute copies up and keeps the data',
    lowers: [{ f: 'data' }],
    steps: [
      does('setxattr', 'f', 'user.a', 'v'),
      gives('v', 'getxattr', 'f', 'user.a'),
      gives('data', 'cat', 'f'),
    ],
  },
  {
    name: 'removing an attribute of a lower file',
    lowers: [{ f: file('', { xattrs: { 'user.a': '1', 'user.b': '2' } }) }],
    steps: [does('removexattr', 'f', 'user.a'), gives('user.b', 'listxattr', 'f')],
  },
  {
    name: 'removing what is not there',
    lowers: [{ f: '' }],
    steps: [fails('ENODATA', 'removexattr', 'f', 'user.none')],
  },
  {
    name: 'CREATE and REPLACE',
    lowers: [{ f: file('', { xattrs: { 'user.a': '1' } }) }],
    steps: [
      fails('EEXIST', 'setxattr', 'f', 'user.a', '2', XATTR.CREATE),
      fails('ENODATA', 'setxattr', 'f', 'user.b', '2', XATTR.REPLACE),
      does('setxattr', 'f', 'user.b', '2', XATTR.CREATE),
      does('setxattr', 'f', 'user.a', '3', XATTR.REPLACE),
      gives('3', 'getxattr', 'f', 'user.a'),
    ],
  },
  {
    name: 'an empty value is not none',
    lowers: [{ f: file('', { xattrs: { 'user.a': '' } }) }],
    steps: [
      gives('', 'getxattr', 'f', 'user.a'),
      does('setxattr', 'f', 'user.b', ''),
      gives('user.a user.b', 'listxattr', 'f'),
    ],
  },
  {
    name: 'values that are binary, and longer than most',
    lowers: [{ f: file('', { xattrs: { 'user.bin': '\0\xff\0', 'user.long': 'l'.repeat(3000) } }) }],
    steps: [
      does('append', 'f', '+'),
      gives('\0\xff\0', 'getxattr', 'f', 'user.bin'),
      gives('l'.repeat(3000), 'getxattr', 'f', 'user.long'),
    ],
  },
  {
    name: 'a symlink carries trusted attributes and no user ones',
    lowers: [{ l: symlink('x', { xattrs: { 'trusted.a': '1' } }) }],
    steps: [
      gives('1', 'getxattr', 'l', 'trusted.a'),
      fails('EPERM', 'setxattr', 'l', 'user.a', '1'),
      does('setxattr', 'l', 'trusted.b', '2'),
      gives('trusted.a trusted.b', 'listxattr', 'l'),
    ],
    tree: ['l->x'],
  },
  {
    name: 'marks of the overlay are hidden',
    lowers: [{ d: opaque({ xattrs: { 'trusted.overlay.origin': '', 'user.a': '1' } }), 'd/f': '' }],
    steps: [
      gives('user.a', 'listxattr', 'd'),
      fails('ENODATA', 'getxattr', 'd', 'trusted.overlay.none'),
      does('unlink', 'd/f'),
      gives('user.a', 'listxattr', 'd'),
    ],
  },
  {
    name: 'a mark that the caller sets is escaped: it is data, and is read back',
    lowers: [{ d: dir(), 'd/f': '' }, { 'd/g': '' }],
    steps: [
      does('setxattr', 'd', 'trusted.overlay.opaque', 'y'),
      gives('y', 'getxattr', 'd', 'trusted.overlay.opaque'),
      gives('trusted.overlay.opaque', 'listxattr', 'd'),
      gives('f:8 g:8', 'readdir', 'd'),
    ],
  },
  {
    name: 'an escaped mark in a lower layer shows one level less',
    lowers: [{ f: file('', { xattrs: { 'trusted.overlay.overlay.redirect': '/x' } }) }],
    steps: [
      gives('trusted.overlay.redirect', 'listxattr', 'f'),
      gives('/x', 'getxattr', 'f', 'trusted.overlay.redirect'),
    ],
  },
  {
    name: 'an escaped mark can be removed, and survives copy-up',
    lowers: [
      { f: file('', { xattrs: { 'trusted.overlay.overlay.a': '1', 'trusted.overlay.overlay.b': '2' } }) },
    ],
    steps: [does('removexattr', 'f', 'trusted.overlay.a'), gives('trusted.overlay.b', 'listxattr', 'f')],
  },
  {
    name: 'only the prefix with its dot is private',
    lowers: [{ f: file('', { xattrs: { 'trusted.overlayfoo': '1' } }) }],
    steps: [gives('trusted.overlayfoo', 'listxattr', 'f'), does('setxattr', 'f', 'trusted.overlay', '2')],
  },
  {
    name: 'user marks are user data without userxattr',
    lowers: [{ f: file('', { xattrs: { 'user.overlay.origin': 'x' } }) }],
    steps: [gives('user.overlay.origin', 'listxattr', 'f')],
  },
  {
    name: 'under userxattr the user marks are hidden and escaped',
    lowers: [{ f: file('', { xattrs: { 'user.overlay.origin': '', 'user.b': '1' } }) }],
    steps: [
      gives('user.b', 'listxattr', 'f'),
      does('setxattr', 'f', 'user.overlay.x', 'y'),
      gives('user.b user.overlay.x', 'listxattr', 'f'),
    ],
    options: ['userxattr'],
  },
  {
    name: 'a file capability survives chmod, rename and linking, and is lost to a write',
    lowers: [{ f: file('x', { mode: 0o755, xattrs: { 'security.capability': capability } }) }],
    steps: [
      does('chmod', 'f', 0o700),
      does('rename', 'f', 'g'),
      gives(capability, 'getxattr', 'g', 'security.capability'),
      does('append', 'g', '+'),
      fails('ENODATA', 'getxattr', 'g', 'security.capability'),
    ],
  },
  {
    name: 'a file capability is lost to chown',
    lowers: [{ f: file('x', { mode: 0o755, xattrs: { 'security.capability': capability } }) }],
    steps: [does('chown', 'f', 5, 5), fails('ENODATA', 'getxattr', 'f', 'security.capability')],
  },
  {
    name: 'a namespace that nobody knows',
    lowers: [{ f: '' }],
    steps: [
      fails('ENOTSUP', 'setxattr', 'f', 'nonsense.a', '1'),
      fails('ENOTSUP', 'getxattr', 'f', 'nonsense.a'),
    ],
  },
  {
    name: 'user attributes follow the permissions of the file',
    lowers: [
      { f: file('', { mode: 0o600, xattrs: { 'user.a': '1' } }), g: file('', { mode: 0o644, uid: 1000 }) },
    ],
    steps: [
      by(1000, 1000, fails('EACCES', 'getxattr', 'f', 'user.a')),
      by(1000, 1000, fails('EACCES', 'setxattr', 'f', 'user.a', '2')),
      by(1000, 1000, does('setxattr', 'g', 'user.a', '2')),
    ],
    needs: ['vfs', 'callers'],
  },
  {
    name: 'a sticky directory keeps its user attributes to its owner',
    lowers: [{ d: dir({ mode: 0o1777, uid: 1000 }) }],
    steps: [
      by(1001, 1001, fails('EPERM', 'setxattr', 'd', 'user.a', '2')),
      by(1000, 1000, does('setxattr', 'd', 'user.a', '2')),
    ],
    needs: ['vfs', 'callers'],
  },
];

contract(t, rows, candidates);
