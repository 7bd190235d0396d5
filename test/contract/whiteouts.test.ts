// Deletion: every spelling of a whiteout in every place, opaque directories, and what comes to stand where something
// was deleted.
import t from 'tap';
import {
  dir,
  file,
  opaque,
  redirect,
  symlink,
  whiteout,
  xattrWhiteout,
  xwhiteouts,
} from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

/** A directory that was copied up and holds whiteouts, as every overlay's upper marks it. */
const copiedUp = dir({ xattrs: { 'trusted.overlay.origin': '' } });

const aufs =
  'kernel overlayfs does not know AUFS spellings; fuse-overlayfs does, and container tools write them';

const reading: readonly Row[] = [
  {
    name: 'a whiteout in the upper hides a lower file',
    lowers: [{ f: 'low', g: 'stays' }],
    upper: { f: whiteout() },
    steps: [fails('ENOENT', 'lstat', 'f'), gives('g:8', 'readdir', '.')],
    tree: ['g="stays"'],
  },
  {
    name: 'a whiteout in the upper hides a lower directory and all below it',
    lowers: [{ 'd/x/y': 'low' }],
    upper: { d: whiteout() },
    steps: [fails('ENOENT', 'lstat', 'd/x/y')],
    tree: [],
  },
  {
    name: 'a whiteout in a middle layer hides what lies below it and not what lies above',
    lowers: [{ a: 'top' }, { a: whiteout(), b: whiteout() }, { a: 'low', b: 'low' }],
    steps: [gives('top', 'cat', 'a'), fails('ENOENT', 'cat', 'b')],
    tree: ['a="top"'],
  },
  {
    name: 'a whiteout in the lowest layer hides nothing and shows nothing',
    lowers: [{ a: 'x' }, { b: whiteout(), a: whiteout() }],
    steps: [fails('ENOENT', 'lstat', 'b')],
    tree: ['a="x"'],
  },
  {
    name: 'a file above a whiteout is a new file',
    lowers: [{ f: 'new' }, { f: whiteout() }, { f: 'old' }],
    steps: [does('unlink', 'f')],
    tree: [],
  },
  {
    name: 'a directory above a whiteout does not merge with what the whiteout hides',
    lowers: [{ 'd/new': '1' }, { d: whiteout() }, { 'd/old': '2' }],
    steps: [gives('new:8', 'readdir', 'd')],
    tree: ['d/', 'd/new="1"'],
  },
  {
    name: 'an xattr whiteout in a lower layer hides what lies below it',
    lowers: [
      { '': xwhiteouts(), d: xwhiteouts(), 'd/f': xattrWhiteout() },
      { 'd/f': 'low', 'd/g': 'low' },
    ],
    steps: [fails('ENOENT', 'lstat', 'd/f'), gives('g:8', 'readdir', 'd')],
    tree: ['d/', 'd/g="low"'],
    alone: true,
  },
  {
    name: 'an xattr whiteout under userxattr',
    lowers: [
      { '': xwhiteouts('user'), d: xwhiteouts('user'), 'd/f': xattrWhiteout('user') },
      { 'd/f': 'low' },
    ],
    steps: [fails('ENOENT', 'lstat', 'd/f')],
    tree: ['d/'],
    alone: true,
    options: ['userxattr'],
  },
  {
    name: 'an empty file is no whiteout without the attribute',
    lowers: [{ d: xwhiteouts(), 'd/f': file('') }, { 'd/f': 'low' }],
    steps: [gives('', 'cat', 'd/f')],
    tree: ['d/', 'd/f=""'],
  },
  {
    name: 'an opaque directory in the upper hides the lower one',
    lowers: [{ 'd/low': '1' }],
    upper: { d: opaque(), 'd/up': '2' },
    steps: [gives('up:8', 'readdir', 'd')],
    tree: ['d/', 'd/up="2"'],
  },
  {
    name: 'an opaque directory in a middle layer hides only what is below it',
    lowers: [{ 'd/a': '1' }, { d: opaque(), 'd/b': '2' }, { 'd/c': '3' }],
    steps: [gives('a:8 b:8', 'readdir', 'd')],
    tree: ['d/', 'd/a="1"', 'd/b="2"'],
  },
  {
    name: 'a nested directory below an opaque one does not merge either',
    lowers: [{ d: opaque(), 'd/e/new': '1' }, { 'd/e/old': '2' }],
    steps: [gives('new:8', 'readdir', 'd/e')],
    tree: ['d/', 'd/e/', 'd/e/new="1"'],
  },
  {
    name: 'an opaque directory in the lowest layer changes nothing',
    lowers: [{ 'd/a': '1' }, { d: opaque(), 'd/b': '2' }],
    steps: [gives('a:8 b:8', 'readdir', 'd')],
    tree: ['d/', 'd/a="1"', 'd/b="2"'],
  },
  {
    name: 'a value of the opaque attribute other than y and x means nothing',
    lowers: [{ d: dir({ xattrs: { 'trusted.overlay.opaque': 'n' } }), 'd/a': '1' }, { 'd/b': '2' }],
    steps: [gives('a:8 b:8', 'readdir', 'd')],
    tree: ['d/', 'd/a="1"', 'd/b="2"'],
  },
  {
    name: 'trusted marks mean nothing under userxattr',
    lowers: [{ d: opaque(), 'd/a': '1' }, { 'd/b': '2' }],
    steps: [gives('a:8 b:8', 'readdir', 'd')],
    tree: ['d/', 'd/a="1"', 'd/b="2"'],
    options: ['userxattr'],
    differs: {
      why: 'we read every spelling in every layer, so that layers of different makers can be stacked',
      outcomes: ['a:8'],
      tree: true,
    },
  },
  {
    name: 'user marks mean nothing without userxattr',
    lowers: [{ d: opaque({}, 'user'), 'd/a': '1' }, { 'd/b': '2' }],
    steps: [gives('a:8 b:8', 'readdir', 'd')],
    differs: {
      why: 'we read every spelling in every layer, so that layers of different makers can be stacked',
      outcomes: ['a:8'],
      tree: true,
    },
  },
  {
    name: 'a file hides a lower directory of the same name',
    lowers: [{ n: 'file' }, { 'n/x': 'in a directory' }],
    steps: [gives('file', 'cat', 'n'), fails('ENOTDIR', 'lstat', 'n/x')],
    tree: ['n="file"'],
  },
  {
    name: 'a directory above a file does not merge with directories below the file',
    lowers: [{ 'n/a': '1' }, { n: 'file' }, { 'n/b': '2' }],
    steps: [gives('a:8', 'readdir', 'n')],
    tree: ['n/', 'n/a="1"'],
  },
  {
    name: 'a directory above a symlink does not merge with what the symlink means',
    lowers: [{ 'n/a': '1' }, { n: symlink('m'), 'm/b': '2' }],
    steps: [gives('a:8', 'readdir', 'n')],
    tree: ['m/', 'm/b="2"', 'n/', 'n/a="1"'],
  },
  {
    name: 'a redirect to a sibling merges with the old name',
    lowers: [
      { new: redirect('old'), 'new/a': '1', old: whiteout() },
      { 'old/b': '2', 'new/c': 'hidden' },
    ],
    steps: [gives('a:8 b:8', 'readdir', 'new'), fails('ENOENT', 'lstat', 'old')],
    tree: ['new/', 'new/a="1"', 'new/b="2"'],
  },
  {
    name: 'an absolute redirect merges with the path from the root',
    lowers: [{ 'x/new': redirect('/y/old'), 'x/new/a': '1', 'y/old': whiteout() }, { 'y/old/b': '2' }],
    steps: [gives('a:8 b:8', 'readdir', 'x/new')],
    tree: ['x/', 'x/new/', 'x/new/a="1"', 'x/new/b="2"', 'y/'],
    alone: true,
  },
  {
    name: 'an absolute redirect is followed out of an opaque directory',
    lowers: [
      { x: opaque(), 'x/new': redirect('/y/old'), 'x/new/a': '1', 'y/old': whiteout() },
      { 'y/old/b': '2', 'x/z': 'hidden' },
    ],
    steps: [gives('a:8 b:8', 'readdir', 'x/new'), gives('new:4', 'readdir', 'x')],
    alone: true,
  },
  {
    name: 'a redirect whose target is gone merges with nothing',
    lowers: [{ new: redirect('nowhere'), 'new/a': '1' }, { 'old/b': '2' }],
    steps: [gives('a:8', 'readdir', 'new')],
    tree: ['new/', 'new/a="1"', 'old/', 'old/b="2"'],
  },
  {
    name: 'a chain of redirects through three layers',
    lowers: [
      { c: redirect('b'), 'c/3': '', b: whiteout() },
      { b: redirect('a'), 'b/2': '', a: whiteout() },
      { 'a/1': '' },
    ],
    steps: [gives('1:8 2:8 3:8', 'readdir', 'c')],
  },
];

const spelledAsNames: readonly Row[] = [
  {
    name: 'an AUFS whiteout in a lower layer hides the name it carries',
    lowers: [{ 'd/.wh.f': '' }, { 'd/f': 'low', 'd/g': 'low' }],
    steps: [gives('.wh.f:8 f:8 g:8', 'readdir', 'd'), gives('low', 'cat', 'd/f')],
    differs: { why: aufs, outcomes: ['g:8', 'ENOENT'], tree: true },
  },
  {
    name: 'an AUFS opaque mark hides the lower directory',
    lowers: [{ 'd/.wh..wh..opq': '', 'd/new': '1' }, { 'd/old': '2' }],
    steps: [gives('.wh..wh..opq:8 new:8 old:8', 'readdir', 'd')],
    differs: { why: aufs, outcomes: ['new:8'], tree: true },
  },
  {
    name: 'the opaque attribute of fuse-overlayfs hides the lower directory',
    lowers: [{ d: dir({ xattrs: { 'user.fuseoverlayfs.opaque': 'y' } }), 'd/a': '1' }, { 'd/b': '2' }],
    steps: [gives('a:8 b:8', 'readdir', 'd')],
    differs: { why: aufs, outcomes: ['a:8'], tree: true },
  },
];

const stale: readonly Row[] = [
  {
    name: 'whiteouts in a directory that merges with nothing are not listed',
    lowers: [{ d: dir(), 'd/w': whiteout(), 'd/f': 'x' }, {}],
    steps: [gives('f:8 w:2', 'readdir', 'd'), fails('ENOENT', 'lstat', 'd/w')],
    differs: {
      why: 'kernel overlayfs lists a whiteout that it then denies, unless the directory carries an origin mark',
      outcomes: ['f:8', 'ENOENT'],
      tree: true,
    },
  },
  {
    name: 'whiteouts in a marked directory that merges with nothing are not listed',
    lowers: [{ d: copiedUp, 'd/w': whiteout(), 'd/f': 'x' }, {}],
    steps: [gives('f:8', 'readdir', 'd')],
    tree: ['d/', 'd/f="x"'],
  },
  {
    name: 'a directory with nothing but whiteouts can be removed',
    lowers: [{ 'd/f': 'low' }],
    upper: { d: copiedUp, 'd/f': whiteout(), 'd/never': whiteout() },
    steps: [gives('', 'readdir', 'd'), does('rmdir', 'd')],
    tree: [],
  },
  {
    name: 'a directory with only xattr whiteouts in a lower layer can be removed',
    lowers: [{ d: xwhiteouts(), 'd/f': xattrWhiteout() }, { 'd/f': 'low' }],
    steps: [gives('', 'readdir', 'd'), fails('ENOTEMPTY', 'rmdir', 'd')],
    differs: {
      why: 'overlayfs takes xattr whiteouts for content when it removes a directory',
      outcomes: ['', 'ok'],
      tree: true,
    },
  },
  {
    name: 'a directory with only whiteouts in a lower layer can be removed',
    lowers: [{ d: copiedUp, 'd/f': whiteout() }, { 'd/f': 'low' }],
    steps: [does('rmdir', 'd')],
    tree: [],
  },
  {
    name: 'a name over a whiteout of nothing can be made and removed',
    lowers: [{}],
    upper: { d: copiedUp, 'd/never': whiteout() },
    steps: [does('create', 'd/never', 'x'), does('unlink', 'd/never'), does('mkdir', 'd/never')],
    tree: ['d/', 'd/never/'],
  },
];

contract(t, [...reading, ...spelledAsNames, ...stale], candidates);
