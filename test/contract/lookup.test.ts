// Finding names: who wins, how far a path goes, what stands in the way.
import t from 'tap';
import { chr, dir, fifo, file, symlink, whiteout } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const rows: readonly Row[] = [
  {
    name: 'the top layer wins',
    lowers: [{ f: 'top' }, { f: 'middle' }, { f: 'low' }],
    steps: [gives('top', 'cat', 'f')],
    tree: ['f="top"'],
  },
  {
    name: 'the upper wins',
    lowers: [{ f: 'low' }],
    upper: { f: 'up' },
    steps: [gives('up', 'cat', 'f'), gives('reg 644 0:0 1 2', 'lstat', 'f')],
  },
  {
    name: 'attributes of a merged directory are the top one s',
    lowers: [
      { d: dir({ mode: 0o700, uid: 5, gid: 6 }), 'd/a': '' },
      { d: dir({ mode: 0o777 }), 'd/b': '' },
    ],
    steps: [gives('dir 700 5:6', 'lstat', 'd')],
  },
  {
    name: 'a name that no layer has',
    lowers: [{ f: '' }],
    steps: [fails('ENOENT', 'lstat', 'nothing'), fails('ENOENT', 'lstat', 'nothing/below')],
  },
  {
    name: 'a path through a file',
    lowers: [{ f: '' }],
    steps: [fails('ENOTDIR', 'lstat', 'f/below'), fails('ENOTDIR', 'create', 'f/below', 'x')],
    needs: ['vfs'],
  },
  {
    name: 'a path through a symlink to a directory of another layer',
    lowers: [{ l: symlink('d/e') }, { 'd/e/f': 'found' }],
    steps: [
      gives('found', 'cat', 'l/f'),
      gives('d/e', 'readlink', 'l'),
      gives('lnk 777 0:0 1 3', 'lstat', 'l'),
    ],
    needs: ['vfs'],
  },
  {
    name: 'a symlink that climbs and comes back',
    lowers: [{ 'd/e/l': symlink('../../f'), f: 'up there' }],
    steps: [gives('up there', 'cat', 'd/e/l')],
    needs: ['vfs'],
  },
  {
    name: 'a symlink loop',
    lowers: [{ a: symlink('b') }, { b: symlink('a') }],
    steps: [fails('ELOOP', 'cat', 'a'), gives('b', 'readlink', 'a')],
    needs: ['vfs'],
  },
  {
    name: 'readlink of what is not a symlink',
    lowers: [{ f: '', d: dir() }],
    steps: [fails('EINVAL', 'readlink', 'f'), fails('EINVAL', 'readlink', 'd')],
    needs: ['vfs'],
  },
  {
    name: 'a long symlink target',
    lowers: [{ l: symlink('x'.repeat(4000)) }],
    steps: [gives('x'.repeat(4000), 'readlink', 'l'), does('rename', 'l', 'm')],
    tree: [`m->${'x'.repeat(4000)}`],
  },
  {
    name: 'names of 255 bytes, and one byte too many',
    lowers: [{ ['n'.repeat(255)]: 'long' }],
    steps: [
      gives('long', 'cat', 'n'.repeat(255)),
      does('create', 'm'.repeat(255), 'x'),
      fails('ENAMETOOLONG', 'create', 'm'.repeat(256), 'x'),
      does('unlink', 'n'.repeat(255)),
    ],
    tree: [`${'m'.repeat(255)}="x"`],
  },
  {
    name: 'names that are not UTF-8',
    lowers: [{ '\xff\xfe': 'raw', 'd\x80/\x01': 'control' }],
    steps: [
      gives('raw', 'cat', '\xff\xfe'),
      does('rename', '\xff\xfe', '\xe4'),
      does('unlink', 'd\x80/\x01'),
      does('create', 'd\x80/\xc3', 'half a character'),
    ],
    tree: ['d\x80/', 'd\x80/\xc3="half a character"', '\xe4="raw"'],
    needs: ['raw-names'],
  },
  {
    name: 'names with spaces, colons, commas and backslashes',
    lowers: [{ 'a b': '1', 'c:d': '2', 'e,f': '3', 'g\\h': '4' }],
    steps: [
      does('append', 'a b', '+'),
      does('unlink', 'c:d'),
      does('rename', 'e,f', ' '),
      does('chmod', 'g\\h', 0o600),
    ],
    tree: [' ="3"', 'a b="1+"', 'g\\h="4"'],
  },
  {
    name: 'names that look like work files and marks',
    lowers: [{ '#1': 'a', work: 'b', index: 'c', '.wh': 'd' }],
    steps: [does('append', '#1', '+'), does('rename', 'work', 'merged'), does('unlink', 'index')],
    tree: ['#1="a+"', '.wh="d"', 'merged="b"'],
  },
  {
    name: 'types of one name in different layers',
    lowers: [
      { a: fifo(), b: chr(1, 3) },
      { a: 'file', b: dir(), 'b/x': '' },
    ],
    steps: [gives('fifo 644 0:0 1 0', 'lstat', 'a'), gives('chr 644 0:0 1 0', 'lstat', 'b')],
    tree: ['a|', 'b 1:3'],
  },
  {
    name: 'a deep path that changes its layer at every step',
    lowers: [{ 'a/b/c/1': '' }, { 'a/b/2': '', 'a/b/c/d/e/f': 'deep' }, { 'a/3': '', 'a/b/c/d/4': '' }],
    steps: [gives('deep', 'cat', 'a/b/c/d/e/f'), gives('4:8 e:4', 'readdir', 'a/b/c/d')],
  },
  {
    name: 'a lookup that missed before the name was made',
    lowers: [{ d: dir() }],
    steps: [
      fails('ENOENT', 'lstat', 'd/n'),
      does('create', 'd/n', '1'),
      gives('1', 'cat', 'd/n'),
      does('unlink', 'd/n'),
      fails('ENOENT', 'lstat', 'd/n'),
      does('symlink', 'd/n', 'x'),
      gives('x', 'readlink', 'd/n'),
    ],
  },
  {
    name: 'a whiteout between a file and its former self',
    lowers: [{ f: file('third', { mode: 0o600 }) }, { f: whiteout() }, { f: file('first', { mode: 0o666 }) }],
    steps: [gives('reg 600 0:0 1 5', 'lstat', 'f'), does('chmod', 'f', 0o640), gives('third', 'cat', 'f')],
  },
  {
    name: 'access asks the merged attributes',
    lowers: [{ f: file('', { mode: 0o600 }), g: file('', { mode: 0o755 }) }],
    steps: [does('access', 'f', 6), fails('EACCES', 'access', 'f', 1), does('access', 'g', 7)],
    needs: ['vfs'],
  },
];

contract(t, rows, candidates);
