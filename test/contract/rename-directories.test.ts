// Renaming directories: pure, merged and lower ones, by redirect, over empty ones, into each other; and without redirects.
import t from 'tap';
import { RENAME } from '../../src/sys/index.js';
import { dir, opaque, whiteout } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const off = ['redirect_dir=off', 'index=on', 'xino=on'];

const redirected: readonly Row[] = [
  {
    name: 'a lower directory in its parent',
    lowers: [{ 'd/e/f': 'low', 'd/g': '' }],
    steps: [does('rename', 'd', 'n'), fails('ENOENT', 'lstat', 'd'), gives('low', 'cat', 'n/e/f')],
    tree: ['n/', 'n/e/', 'n/e/f="low"', 'n/g=""'],
  },
  {
    name: 'a merged directory of three layers',
    lowers: [{ 'd/1': '' }, { 'd/2': '' }, { 'd/3': '' }],
    steps: [does('rename', 'd', 'n'), gives('1:8 2:8 3:8', 'readdir', 'n')],
  },
  {
    name: 'a lower directory into another parent',
    lowers: [{ 'd/f': 'low', 'p/q/x': '' }],
    steps: [does('rename', 'd', 'p/q/d'), gives('low', 'cat', 'p/q/d/f'), does('append', 'p/q/d/f', '+')],
    tree: ['p/', 'p/q/', 'p/q/d/', 'p/q/d/f="low+"', 'p/q/x=""'],
  },
  {
    name: 'a directory twice',
    lowers: [{ 'd/f': 'low' }],
    steps: [
      does('rename', 'd', 'e'),
      does('rename', 'e', 'g'),
      does('create', 'g/n', ''),
      does('unlink', 'g/f'),
    ],
    tree: ['g/', 'g/n=""'],
  },
  {
    name: 'a directory there and back',
    lowers: [{ 'd/f': 'low' }],
    steps: [does('rename', 'd', 'e'), does('rename', 'e', 'd')],
    tree: ['d/', 'd/f="low"'],
  },
  {
    name: 'a directory in a renamed directory',
    lowers: [{ 'a/b/f': 'low' }],
    steps: [
      does('rename', 'a', 'x'),
      does('rename', 'x/b', 'x/y'),
      does('rename', 'x/y', 'z'),
      gives('low', 'cat', 'z/f'),
    ],
    tree: ['x/', 'z/', 'z/f="low"'],
  },
  {
    name: 'a new directory under the old name is empty',
    lowers: [{ 'd/f': 'low' }],
    steps: [
      does('rename', 'd', 'e'),
      does('mkdir', 'd'),
      gives('', 'readdir', 'd'),
      gives('f:8', 'readdir', 'e'),
    ],
    tree: ['d/', 'e/', 'e/f="low"'],
  },
  {
    name: 'two directories change places by a third name',
    lowers: [{ 'a/1': '', 'b/2': '' }],
    steps: [does('rename', 'a', 'c'), does('rename', 'b', 'a'), does('rename', 'c', 'b')],
    tree: ['a/', 'a/2=""', 'b/', 'b/1=""'],
  },
  {
    name: 'over an empty upper directory',
    lowers: [{ 'd/f': 'low' }],
    steps: [does('mkdir', 'e'), does('rename', 'd', 'e')],
    tree: ['e/', 'e/f="low"'],
  },
  {
    name: 'over an empty lower directory',
    lowers: [{ 'd/f': 'low', e: dir() }],
    steps: [does('rename', 'd', 'e')],
    tree: ['e/', 'e/f="low"'],
  },
  {
    name: 'over a directory that has only whiteouts',
    lowers: [{ 'd/f': 'low', 'e/g': '' }],
    steps: [does('unlink', 'e/g'), does('rename', 'd', 'e'), gives('f:8', 'readdir', 'e')],
    tree: ['e/', 'e/f="low"'],
  },
  {
    name: 'an upper directory over a merged one that is empty',
    lowers: [{ 'e/g': '' }],
    steps: [
      does('mkdir', 'd'),
      does('create', 'd/f', 'new'),
      does('unlink', 'e/g'),
      does('rename', 'd', 'e'),
    ],
    tree: ['e/', 'e/f="new"'],
  },
  {
    name: 'over a directory that is not empty',
    lowers: [{ 'd/f': 'low', 'e/g': '' }],
    steps: [
      fails('ENOTEMPTY', 'rename', 'd', 'e'),
      does('mkdir', 'n'),
      fails('ENOTEMPTY', 'rename', 'n', 'e'),
    ],
    tree: ['d/', 'd/f="low"', 'e/', 'e/g=""', 'n/'],
  },
  {
    name: 'an upper directory to where one was deleted hides the deleted one',
    lowers: [{ 'd/old': '' }],
    steps: [does('mkdir', 'n'), does('create', 'n/new', ''), does('rmtree', 'd'), does('rename', 'n', 'd')],
    tree: ['d/', 'd/new=""'],
  },
  {
    name: 'an upper directory into a merged parent hides what a lower layer has of its name',
    lowers: [{ p: opaque() }, { 'p/d/hidden': '' }],
    steps: [does('mkdir', 'n'), does('rename', 'n', 'p/d'), gives('', 'readdir', 'p/d')],
    tree: ['p/', 'p/d/'],
  },
  {
    name: 'a directory into itself',
    lowers: [{ 'd/e/f': '' }],
    steps: [
      fails('EINVAL', 'rename', 'd', 'd/x'),
      fails('EINVAL', 'rename', 'd', 'd/e/x'),
      fails('ENOTEMPTY', 'rename', 'd/e', 'd'),
    ],
    needs: ['vfs'],
  },
  {
    name: 'the parent of a directory that was moved out can be removed',
    lowers: [{ 'a/b/f': '' }],
    steps: [does('rename', 'a/b', 'b'), does('rmdir', 'a'), gives('f:8', 'readdir', 'b')],
    tree: ['b/', 'b/f=""'],
  },
  {
    name: 'a moved directory can be removed',
    lowers: [{ 'd/f': '', 'd/e/g': '' }],
    steps: [does('rename', 'd', 'n'), does('rmtree', 'n'), does('mkdir', 'd'), does('mkdir', 'n')],
    tree: ['d/', 'n/'],
  },
  {
    name: 'a moved directory into an opaque one',
    lowers: [{ 'd/f': 'low', 'o/hidden': '' }],
    steps: [does('recreate', 'o'), does('rename', 'd', 'o/d'), gives('low', 'cat', 'o/d/f')],
    tree: ['o/', 'o/d/', 'o/d/f="low"'],
  },
  {
    name: 'a directory with a long name that stays in its parent',
    lowers: [{ [`${'n'.repeat(200)}/f`]: 'low' }],
    steps: [does('rename', 'n'.repeat(200), 'm'.repeat(200)), gives('low', 'cat', `${'m'.repeat(200)}/f`)],
  },
  {
    name: 'a descriptor of a directory stays with it',
    lowers: [{ 'd/f': 'low' }],
    steps: [
      does('open', 'x', 'd', 0),
      does('rename', 'd', 'e'),
      does('create', 'e/g', ''),
      gives('f:8 g:8', 'list', 'x'),
    ],
    needs: ['unlinked'],
  },
  {
    name: 'EXCHANGE of a merged directory and an upper one',
    lowers: [{ 'd/f': 'low' }],
    upper: { 'd/g': '', 'u/h': '' },
    steps: [
      does('rename', 'd', 'u', RENAME.EXCHANGE),
      gives('h:8', 'readdir', 'd'),
      gives('f:8 g:8', 'readdir', 'u'),
    ],
    needs: ['rename-flags'],
  },
];

const without: readonly Row[] = [
  {
    name: 'without redirects a lower directory cannot be renamed',
    lowers: [{ 'd/f': 'low' }],
    steps: [fails('EXDEV', 'rename', 'd', 'e')],
    tree: ['d/', 'd/f="low"'],
  },
  {
    name: 'without redirects a merged directory cannot be renamed',
    lowers: [{ 'd/f': 'low' }],
    upper: { 'd/g': '' },
    steps: [fails('EXDEV', 'rename', 'd', 'e'), fails('EXDEV', 'rename', 'd', 'e', RENAME.NOREPLACE)],
    needs: ['rename-flags'],
  },
  {
    name: 'without redirects an upper directory can be renamed',
    lowers: [{ 'p/x': '' }],
    steps: [
      does('mkdir', 'd'),
      does('create', 'd/f', ''),
      does('rename', 'd', 'e'),
      does('rename', 'e', 'p/e'),
    ],
    tree: ['p/', 'p/e/', 'p/e/f=""', 'p/x=""'],
  },
  {
    name: 'without redirects a directory that was made over a deleted one can be renamed',
    lowers: [{ 'd/old': '' }],
    steps: [does('recreate', 'd'), does('create', 'd/new', ''), does('rename', 'd', 'e')],
    tree: ['e/', 'e/new=""'],
  },
  {
    name: 'without redirects an opaque directory can be renamed',
    lowers: [{ 'd/old': '' }],
    upper: { d: opaque(), 'd/new': '' },
    steps: [does('rename', 'd', 'e'), fails('ENOENT', 'lstat', 'd')],
    tree: ['e/', 'e/new=""'],
  },
  {
    name: 'without redirects files still move',
    lowers: [{ 'd/f': 'low', g: 'x' }],
    upper: { w: whiteout() },
    steps: [does('rename', 'd/f', 'f'), does('rename', 'f', 'd/h'), does('rename', 'd/h', 'g')],
    tree: ['d/', 'g="low"'],
  },
].map(row => ({ ...row, options: off }) as Row);

contract(t, [...redirected, ...without], candidates);
