// Listings, link counts, inode identity, times, special files, flags and numbers of the whole file system.
import t from 'tap';
import { S } from '../../src/base/index.js';
import { O, UTIME } from '../../src/sys/index.js';
import { blk, chr, dir, fifo, file, hardlink, socket, symlink, whiteout } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const many = (prefix: string, count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`d/${prefix}${i}`, '']));
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => `${prefix}${i}:8`);

const listings: readonly Row[] = [
  {
    name: 'every name once, from three layers',
    lowers: [
      { 'd/a': '', 'd/b': '' },
      { 'd/b': '', 'd/c': dir() },
      { 'd/c': '', 'd/d': symlink('x') },
    ],
    steps: [gives('a:8 b:8 c:4 d:10', 'readdir', 'd')],
  },
  {
    name: 'a thousand names from two layers',
    lowers: [many('a', 500), many('b', 500)],
    steps: [gives([...names('a', 500), ...names('b', 500)].sort().join(' '), 'readdir', 'd')],
  },
  {
    name: 'a listing that is open sees changes when it starts anew',
    lowers: [{ 'd/a': '', 'd/b': '' }],
    steps: [
      does('open', 'x', 'd', O.RDONLY | O.DIRECTORY),
      gives('a:8 b:8', 'list', 'x'),
      does('create', 'd/c', ''),
      does('unlink', 'd/a'),
      gives('b:8 c:8', 'list', 'x'),
    ],
    needs: ['unlinked'],
  },
  {
    name: 'listing what is no directory, and what is not there',
    lowers: [{ f: '' }],
    steps: [fails('ENOTDIR', 'readdir', 'f'), fails('ENOENT', 'readdir', 'n')],
    needs: ['vfs'],
  },
  {
    name: 'the types of all kinds of files',
    lowers: [
      {
        'd/b': blk(240, 7),
        'd/c': chr(1, 3),
        'd/d': dir(),
        'd/f': '',
        'd/l': symlink('x'),
        'd/p': fifo(),
        'd/s': socket(),
      },
    ],
    steps: [gives('b:6 c:2 d:4 f:8 l:10 p:1 s:12', 'readdir', 'd'), does('create', 'd/g', '')],
  },
  {
    name: 'an empty directory',
    lowers: [{ d: dir() }],
    steps: [gives('', 'readdir', 'd'), does('rmdir', 'd')],
    tree: [],
  },
  {
    name: 'a directory whose lower names are all deleted',
    lowers: [many('a', 30)],
    steps: [
      ...Array.from({ length: 30 }, (_, i) => does('unlink', `d/a${i}`)),
      gives('', 'readdir', 'd'),
      does('rmdir', 'd'),
    ],
    tree: [],
  },
];

const identity: readonly Row[] = [
  {
    name: 'a merged directory counts one link, a lower one its real number',
    lowers: [{ 'm/a': dir(), 'l/a': dir(), 'l/b': dir() }, { 'm/b': dir() }],
    steps: [gives('1', 'links', 'm'), gives('4', 'links', 'l'), gives('2', 'links', 'l/a')],
  },
  {
    name: 'a new directory counts its subdirectories',
    lowers: [{}],
    steps: [
      does('mkdir', 'd'),
      gives('2', 'links', 'd'),
      does('mkdir', 'd/e'),
      gives('3', 'links', 'd'),
      does('rmdir', 'd/e'),
      gives('2', 'links', 'd'),
    ],
  },
  {
    name: 'a copied-up directory counts one link',
    lowers: [{ 'd/e': dir() }],
    steps: [does('chmod', 'd', 0o700), gives('1', 'links', 'd')],
  },
  {
    name: 'links of a pair in a lower layer and in the upper',
    lowers: [{ f: '', g: hardlink('f') }],
    upper: { u: '', v: hardlink('u'), w: hardlink('u') },
    steps: [gives('2', 'links', 'f'), gives('3', 'links', 'u'), gives('same', 'same', 'v', 'w')],
    needs: ['identity'],
  },
  {
    name: 'files of one lower number in different layers are different files',
    lowers: [{ a: 'x' }, { b: 'x' }, { c: 'x' }],
    steps: [
      gives('different', 'same', 'a', 'b'),
      gives('different', 'same', 'b', 'c'),
      gives('same', 'same', 'a', 'a'),
    ],
  },
];

const times: readonly Row[] = [
  {
    name: 'times in the past, the future and before 1970',
    lowers: [{ f: file('', { mtime: 1 }) }],
    steps: [
      gives('1.123456789', 'times', 'f'),
      does('utimes', 'f', 4_000_000_000, 4_000_000_001, 999_999_999),
      gives('4000000000.999999999 4000000001.999999999', 'times', 'f', 1),
      does('utimes', 'f', -5, -6, 0),
      gives('-5.0 -6.0', 'times', 'f', 1),
    ],
  },
  {
    name: 'one of two times',
    lowers: [{ f: file('', { mtime: 1_100_000_000 }) }],
    steps: [does('utimes', 'f', 0, 0, UTIME.OMIT), gives('1100000000.123456789', 'times', 'f')],
  },
  {
    name: 'times of a symlink and of a directory',
    lowers: [{ l: symlink('x'), 'd/f': '' }],
    steps: [
      does('utimes', 'l', 1_200_000_000, 1_300_000_000),
      does('utimes', 'd', 1_200_000_000, 1_300_000_000),
      gives('1300000000.0', 'times', 'l'),
      gives('1300000000.0', 'times', 'd'),
    ],
  },
  {
    name: 'rename, link and chmod leave the times of the file',
    lowers: [{ f: file('', { mtime: 1_100_000_000 }) }],
    steps: [
      does('rename', 'f', 'g'),
      does('link', 'g', 'h'),
      does('chmod', 'h', 0o600),
      gives('1100000000.123456789', 'times', 'g'),
    ],
  },
];

const special: readonly Row[] = [
  {
    name: 'device nodes, fifos and sockets are made',
    lowers: [{ p: '', q: '' }],
    steps: [
      does('mknod', 'a', S.IFCHR | 0o600, 1, 3),
      does('mknod', 'b', S.IFBLK | 0o600, 240, 7),
      does('mknod', 'c', S.IFIFO | 0o600),
      does('mknod', 'd', S.IFSOCK | 0o600),
      does('unlink', 'p'),
      does('mknod', 'p', S.IFCHR | 0o666, 1, 5),
      does('unlink', 'q'),
      does('mknod', 'q', S.IFIFO | 0o666),
    ],
    tree: ['a 1:3', 'b 240:7', 'c|', 'd=|', 'p 1:5', 'q|'],
  },
  {
    name: 'a device 0/0 by the caller would be a whiteout',
    lowers: [{ f: 'low' }],
    steps: [
      fails('EPERM', 'mknod', 'w', S.IFCHR | 0o666, 0, 0),
      fails('EEXIST', 'mknod', 'f', S.IFCHR | 0o666, 0, 0),
    ],
    differs: {
      why: 'a kernel overlay can use our mount as its upper, and makes its whiteouts so; overlayfs refuses to be one',
      outcomes: ['ok', 'EEXIST'],
      tree: true,
    },
  },
  {
    name: 'a device with large numbers',
    lowers: [{ a: chr(511, 1_000_000) }],
    steps: [does('chown', 'a', 5, 6), does('mknod', 'b', S.IFCHR | 0o600, 300, 70_000)],
    tree: ['a 511:1000000', 'b 300:70000'],
  },
  {
    name: 'a lower device is opened, written and renamed',
    lowers: [{ n: chr(1, 3, { mode: 0o666 }), z: chr(1, 5) }],
    steps: [
      does('patch', 'n', 0, 'gone'),
      gives('', 'cat', 'n'),
      does('rename', 'n', 'm'),
      does('chmod', 'm', 0o600),
    ],
    tree: ['m 1:3', 'z 1:5'],
    needs: ['vfs', 'devices'],
  },
  {
    name: 'special files are hard-linked and unlinked',
    lowers: [{ p: fifo(), s: socket(), n: chr(1, 3) }],
    steps: [
      does('link', 'p', 'p2'),
      does('link', 's', 's2'),
      does('link', 'n', 'n2'),
      does('unlink', 'p'),
      does('unlink', 's'),
    ],
    tree: ['n 1:3', 'n2 1:3', 'p2|', 's2=|'],
  },
  {
    name: 'inode flags are carried over copy-up',
    lowers: [{ f: 'x' }],
    steps: [
      does('setflags', 'f', 0x80),
      gives('0x80', 'getflags', 'f'),
      does('append', 'f', '+'),
      does('setflags', 'f', 0),
      gives('0x0', 'getflags', 'f'),
    ],
    needs: ['file-flags'],
  },
  {
    name: 'an immutable file refuses changes and an append-only one takes appends',
    lowers: [{ f: 'x', g: 'x' }],
    steps: [
      does('setflags', 'f', 0x10),
      fails('EPERM', 'append', 'f', '+'),
      fails('EPERM', 'unlink', 'f'),
      fails('EPERM', 'chmod', 'f', 0o600),
      does('setflags', 'g', 0x20),
      does('append', 'g', '+'),
      fails('EPERM', 'patch', 'g', 0, '-'),
      fails('EPERM', 'unlink', 'g'),
      does('setflags', 'f', 0),
      does('setflags', 'g', 0),
      does('unlink', 'f'),
    ],
    tree: ['g="x+"'],
    needs: ['file-flags'],
  },
  {
    name: 'statfs is the upper file system s',
    lowers: [{ f: '' }],
    steps: [gives('bsize 4096 blocks 262144 namelen 255', 'statfs', 'f')],
    needs: ['statfs'],
  },
];

const frozen: readonly Row[] = [
  {
    name: 'a mount without an upper is read',
    lowers: [
      { 'd/a': 'top', w: whiteout() },
      { 'd/b': 'low', w: 'hidden' },
    ],
    steps: [gives('a:8 b:8', 'readdir', 'd'), gives('low', 'cat', 'd/b'), fails('ENOENT', 'lstat', 'w')],
    tree: ['d/', 'd/a="top"', 'd/b="low"'],
  },
  {
    name: 'a mount without an upper refuses every change',
    lowers: [{ f: 'x', d: dir() }, { g: '' }],
    steps: [
      fails('EROFS', 'create', 'n', ''),
      fails('EROFS', 'append', 'f', '+'),
      fails('EROFS', 'mkdir', 'n'),
      fails('EROFS', 'symlink', 'n', 'x'),
      fails('EROFS', 'unlink', 'f'),
      fails('EROFS', 'rmdir', 'd'),
      fails('EROFS', 'rename', 'f', 'n'),
      fails('EROFS', 'link', 'f', 'n'),
      fails('EROFS', 'chmod', 'f', 0o600),
      fails('EROFS', 'chown', 'f', 1, 1),
      fails('EROFS', 'utimes', 'f', 1, 1),
      fails('EROFS', 'setxattr', 'f', 'user.a', '1'),
      fails('EROFS', 'removexattr', 'f', 'user.a'),
      fails('EROFS', 'truncate', 'f', 0),
      fails('EROFS', 'mknod', 'n', S.IFIFO | 0o600),
      fails('EROFS', 'tmpfile', 'p', 'd'),
    ],
    tree: ['d/', 'f="x"', 'g=""'],
    needs: ['tmpfile'],
  },
].map(row => ({ ...row, readonly: true }) as Row);

contract(t, [...listings, ...identity, ...times, ...special, ...frozen], candidates);
