// Hard links: within a layer, over copy-up with and without an index, and their counts.
import t from 'tap';
import { dir, fifo, file, hardlink, symlink } from '../support/lowers.js';
import { contract } from '../support/oracle-contract.js';
import { does, fails, gives, type Row } from '../support/oracle-row.js';
import { candidates } from '../support/oracle-subjects.js';

const off = ['redirect_dir=on', 'index=off', 'xino=on'];
const pair = { f: 'one', 'd/g': hardlink('f') };

const indexed: readonly Row[] = [
  {
    name: 'a write by one name shows by the other',
    lowers: [pair],
    steps: [does('append', 'f', '+'), gives('one+', 'cat', 'd/g'), gives('same', 'same', 'f', 'd/g')],
    tree: ['d/', 'd/g="one+"', 'f="one+"'],
  },
  {
    name: 'attributes set by one name show by the other',
    lowers: [pair],
    steps: [does('chmod', 'd/g', 0o600), does('chown', 'd/g', 5, 6), gives('reg 600 5:6 2 3', 'lstat', 'f')],
  },
  {
    name: 'the count of a copied-up pair stays two',
    lowers: [pair],
    steps: [
      does('append', 'f', '+'),
      gives('reg 644 0:0 2 4', 'lstat', 'f'),
      gives('reg 644 0:0 2 4', 'lstat', 'd/g'),
    ],
  },
  {
    name: 'unlinking a lower name takes one from the count',
    lowers: [pair],
    steps: [does('unlink', 'f'), gives('reg 644 0:0 1 3', 'lstat', 'd/g'), does('append', 'd/g', '+')],
    tree: ['d/', 'd/g="one+"'],
  },
  {
    name: 'unlinking both names of a lower file, then making one anew',
    lowers: [pair],
    steps: [
      does('unlink', 'f'),
      does('unlink', 'd/g'),
      does('create', 'f', 'new'),
      gives('reg 644 0:0 1 3', 'lstat', 'f'),
    ],
    tree: ['d/', 'f="new"'],
  },
  {
    name: 'a new name for a lower file',
    lowers: [{ f: 'one' }],
    steps: [does('link', 'f', 'g'), gives('same', 'same', 'f', 'g'), gives('reg 644 0:0 2 3', 'lstat', 'f')],
    tree: ['f="one"', 'g="one"'],
  },
  {
    name: 'a new name for one of a lower pair',
    lowers: [pair],
    steps: [
      does('link', 'f', 'h'),
      gives('same', 'same', 'd/g', 'h'),
      gives('reg 644 0:0 3 3', 'lstat', 'd/g'),
    ],
  },
  {
    name: 'a third name, and the two old ones go',
    lowers: [pair],
    steps: [
      does('link', 'f', 'h'),
      does('unlink', 'f'),
      does('unlink', 'd/g'),
      gives('reg 644 0:0 1 3', 'lstat', 'h'),
    ],
    tree: ['d/', 'h="one"'],
  },
  {
    name: 'a name over a whiteout',
    lowers: [{ f: 'one', g: 'two' }],
    steps: [does('unlink', 'g'), does('link', 'f', 'g'), gives('one', 'cat', 'g')],
    tree: ['f="one"', 'g="one"'],
  },
  {
    name: 'a name over something',
    lowers: [{ f: 'one', g: 'two', d: dir() }],
    steps: [
      fails('EEXIST', 'link', 'f', 'g'),
      fails('EEXIST', 'link', 'f', 'd'),
      fails('EEXIST', 'link', 'f', 'f'),
    ],
    tree: ['d/', 'f="one"', 'g="two"'],
  },
  {
    name: 'a name for a directory',
    lowers: [{ d: dir() }],
    steps: [fails('EPERM', 'link', 'd', 'e')],
    needs: ['vfs'],
  },
  {
    name: 'a name for a symlink and for a fifo',
    lowers: [{ l: symlink('x'), p: fifo() }],
    steps: [does('link', 'l', 'm'), does('link', 'p', 'q'), gives('lnk 777 0:0 2 1', 'lstat', 'm')],
    tree: ['l->x', 'm->x', 'p|', 'q|'],
  },
  {
    name: 'a lower pair of symlinks',
    lowers: [{ l: symlink('x'), m: hardlink('l') }],
    steps: [does('chown', 'l', 5, 6), gives('lnk 777 5:6 2 1', 'lstat', 'm'), does('unlink', 'l')],
    tree: ['m->x'],
  },
  {
    name: 'names in different layers of what was one file are two files',
    lowers: [{ f: 'one' }, { f: 'other', g: hardlink('f') }],
    steps: [gives('different', 'same', 'f', 'g'), gives('reg 644 0:0 2 5', 'lstat', 'g')],
  },
  {
    name: 'a pair, one name of which a higher layer hides',
    lowers: [{ g: 'hides' }, { f: 'low', g: hardlink('f') }],
    steps: [does('append', 'f', '+'), gives('hides', 'cat', 'g'), gives('reg 644 0:0 2 4', 'lstat', 'f')],
  },
  {
    name: 'a pair in the upper',
    lowers: [{}],
    upper: pair,
    steps: [
      does('append', 'f', '+'),
      gives('one+', 'cat', 'd/g'),
      does('unlink', 'f'),
      gives('reg 644 0:0 1 4', 'lstat', 'd/g'),
    ],
  },
  {
    name: 'a pair of which one name is replaced by a rename',
    lowers: [{ ...pair, h: 'other' }],
    steps: [does('rename', 'h', 'f'), gives('reg 644 0:0 1 3', 'lstat', 'd/g'), gives('other', 'cat', 'f')],
    tree: ['d/', 'd/g="one"', 'f="other"'],
  },
  {
    name: 'a pair with attributes keeps them over copy-up',
    lowers: [{ f: file('x', { mode: 0o640, uid: 3, xattrs: { 'user.a': 'b' } }), g: hardlink('f') }],
    steps: [
      does('patch', 'g', 0, 'y'),
      gives('b', 'getxattr', 'f', 'user.a'),
      gives('reg 640 3:0 2 1', 'lstat', 'f'),
    ],
  },
  {
    name: 'three names, each written in turn',
    lowers: [{ a: '0', b: hardlink('a'), 'd/c': hardlink('a') }],
    steps: [
      does('append', 'a', '1'),
      does('append', 'b', '2'),
      does('append', 'd/c', '3'),
      gives('0123', 'cat', 'a'),
    ],
    tree: ['a="0123"', 'b="0123"', 'd/', 'd/c="0123"'],
  },
  {
    name: 'a lower pair that is open by one name and written by the other',
    lowers: [pair],
    steps: [does('open', 'p', 'f', 0), does('append', 'd/g', '+'), gives('one+', 'read', 'p', 0, 9)],
  },
].map(row => ({ ...row, needs: [...('needs' in row ? (row.needs ?? []) : []), 'identity'] }) as Row);

const unindexed: readonly Row[] = [
  {
    name: 'without an index copy-up breaks a lower pair',
    lowers: [pair],
    steps: [does('append', 'f', '+'), gives('one', 'cat', 'd/g'), gives('different', 'same', 'f', 'd/g')],
    tree: ['d/', 'd/g="one"', 'f="one+"'],
  },
  {
    name: 'without an index a copied-up name counts one link',
    lowers: [pair],
    steps: [
      does('chmod', 'f', 0o600),
      gives('reg 600 0:0 1 3', 'lstat', 'f'),
      gives('reg 644 0:0 2 3', 'lstat', 'd/g'),
    ],
  },
  {
    name: 'without an index a new name for a lower file is still one file',
    lowers: [{ f: 'one' }],
    steps: [does('link', 'f', 'g'), does('append', 'g', '+'), gives('one+', 'cat', 'f')],
  },
  {
    name: 'without an index unlinking a lower name leaves the count of the other',
    lowers: [pair],
    steps: [does('unlink', 'f'), gives('reg 644 0:0 2 3', 'lstat', 'd/g')],
  },
].map(row => ({ ...row, options: off, needs: ['identity'] }) as Row);

contract(t, [...indexed, ...unindexed], candidates);
