// What a layer changes, as a list: golden lists for every spelling of a deletion, and the classes A, C and D as
// `docker diff` has them.
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { E, fromText, isErrno } from '../../src/base/index.js';
import { diffLayer } from '../../src/oci/index.js';
import { scratch } from '../support/cleanup.js';
import { changeOverlay, diffLines, sh, tarTo } from './stage.js';

interface Row {
  name: string;
  /** Makes `low` and `up`, which exist. */
  make: string;
  /** With the lowers. */
  known: string[];
  /** Names in the tar with the lowers. */
  tar?: string;
  /** Without them. */
  unknown?: string[];
}

const WHITEOUTS: Row[] = [
  {
    name: 'a character device 0/0',
    make: 'touch low/f; mknod up/f c 0 0',
    known: ['D f'],
    tar: '.wh.f',
    unknown: ['D f'],
  },
  {
    name: 'a .wh. file',
    make: 'touch low/f; touch up/.wh.f',
    known: ['D f'],
    tar: '.wh.f',
    unknown: ['D f'],
  },
  {
    name: 'an xattr whiteout',
    make: 'mkdir low/d up/d; touch low/d/f up/d/f; setfattr -n trusted.overlay.opaque -v x up/d; setfattr -n trusted.overlay.whiteout up/d/f',
    known: ['C d', 'D d/f'],
    tar: 'd/ d/.wh.f',
    unknown: ['A d', 'D d/f'],
  },
  {
    name: 'an xattr whiteout of an ordinary user',
    make: 'mkdir low/d up/d; touch low/d/f up/d/f; setfattr -n user.overlay.opaque -v x up/d; setfattr -n user.overlay.whiteout up/d/f',
    known: ['C d', 'D d/f'],
    tar: 'd/ d/.wh.f',
  },
  {
    name: 'a whiteout of what never was',
    make: 'mknod up/f c 0 0; touch up/.wh.g',
    known: [],
    tar: '',
    unknown: ['D f', 'D g'],
  },
  { name: 'a device of other numbers', make: 'touch low/f; mknod up/f c 1 3', known: ['C f'], tar: 'f' },
  { name: 'AUFS keeping house', make: 'touch up/.wh..wh.aufs; mkdir up/.wh..wh.plnk', known: [], tar: '' },
];

const OPAQUE = [
  'setfattr -n trusted.overlay.opaque -v y up/d',
  'setfattr -n user.overlay.opaque -v y up/d',
  'setfattr -n user.fuseoverlayfs.opaque -v y up/d',
  'touch up/d/.wh..wh..opq',
  'touch up/.wh.d',
].map(mark => ({
  name: `an opaque directory: ${mark}`,
  make: `mkdir low/d up/d; touch low/d/{a,b} up/d/{b,c}; touch -r low/d/b up/d/b; ${mark}`,
  known: ['C d', 'D d/a', 'A d/c'],
  tar: 'd/ d/.wh.a d/c',
  unknown: ['A d', 'A d/b', 'A d/c'],
}));

const CHANGES: Row[] = [
  { name: 'nothing', make: 'mkdir low/d up/d; touch low/d/f', known: [], tar: '' },
  {
    name: 'parents of a change',
    make: 'mkdir -p {low,up}/d/e; touch up/d/e/f',
    known: ['C d', 'C d/e', 'A d/e/f'],
    tar: 'd/ d/e/ d/e/f',
  },
  {
    name: 'parents of a deletion',
    make: 'mkdir -p {low,up}/d; touch low/d/f; mknod up/d/f c 0 0',
    known: ['C d', 'D d/f'],
  },
  { name: 'a directory of another mode', make: 'mkdir low/d; mkdir -m 700 up/d', known: ['C d'] },
  { name: 'a directory of another owner', make: 'mkdir low/d up/d; chown 5 up/d', known: ['C d'] },
  {
    name: 'a directory with an xattr',
    make: 'mkdir low/d up/d; setfattr -n user.x -v 1 up/d',
    known: ['C d'],
  },
  { name: 'only the time of a directory', make: 'mkdir low/d up/d; touch -d @1 up/d', known: [], tar: '' },
  {
    name: 'a file that was copied up and is as it was',
    make: 'echo 1 >low/f; cp -a low/f up/f',
    known: [],
    tar: '',
  },
  {
    name: 'other data with the same size and time',
    make: 'echo 1 >low/f; echo 2 >up/f; touch -r low/f up/f',
    known: ['C f'],
  },
  { name: 'only the time of a file', make: 'echo 1 >low/f; echo 1 >up/f; touch -d @1 up/f', known: ['C f'] },
  {
    name: 'a file in place of a directory',
    make: 'mkdir low/d; touch low/d/x up/d',
    known: ['C d'],
    tar: 'd',
  },
  {
    name: 'a directory in place of a file',
    make: 'touch low/d; mkdir up/d; touch up/d/x',
    known: ['C d', 'A d/x'],
    tar: 'd/ d/x',
  },
  {
    name: 'a symlink to elsewhere',
    make: 'ln -s a low/s; ln -s b up/s; touch -h -d @1 low/s up/s',
    known: ['C s'],
  },
  {
    name: 'a hard link to a file that is as it was',
    make: 'echo 1 >low/f; cp -a low/f up/f; ln up/f up/g',
    known: ['C f', 'A g'],
    tar: 'f g',
  },
  {
    name: 'hard links as they were',
    make: 'echo 1 >low/f; ln low/f low/g; cp -a low/. up',
    known: [],
    tar: '',
  },
  {
    name: 'the order of bytes',
    make: 'touch up/{b,B,a.c,ab}; mkdir up/a; touch up/a/x; touch "up/$(printf "\\377")"',
    known: ['A B', 'A a', 'A a/x', 'A a.c', 'A ab', 'A b', 'A \ufffd'],
  },
  {
    name: 'deletions in front of their siblings',
    make: 'touch low/z; mknod up/z c 0 0; touch up/a',
    known: ['D z', 'A a'],
    tar: '.wh.z a',
  },
  {
    name: 'private notes',
    make: 'touch -d @1 low/f up/f; for n in origin impure nlink; do setfattr -n trusted.overlay.$n -v y up/f; done',
    known: [],
    tar: '',
  },
  {
    name: 'what was copied up, by its origin',
    make: 'touch -d @1 low/f; touch up/f; setfattr -n trusted.overlay.origin up/f; touch up/g',
    known: ['C f', 'A g'],
    unknown: ['C f', 'A g'],
  },
];

for (const row of [...WHITEOUTS, ...OPAQUE, ...CHANGES] as Row[]) {
  void t.test(row.name, async t => {
    const { dir } = scratch(t, 'oci-diff');
    sh(dir, `mkdir low up; ${row.make}; touch -d @1600000000 low up`);
    const [up, low] = [`${dir}/up`, `${dir}/low`];
    t.same(await diffLines(up, [low]), row.known, 'with the lower');
    t.same(
      (await diffLines(up, [])).filter(line => line.startsWith('D')),
      [],
      'nothing is below',
    );
    if (row.unknown !== undefined) t.same(await diffLines(up), row.unknown, 'without the lower');
    await tarTo(`${dir}/l.tar`, up, [low]);
    if (row.tar !== undefined) t.equal(sh(dir, 'tar -tf l.tar').trim().split('\n').join(' '), row.tar);
    t.notMatch(
      sh(dir, 'tar --xattrs --xattrs-include="*" -tvvf l.tar'),
      /overlay/,
      'no private note is exported',
    );
  });
}

void t.test('without the lowers an opaque directory is marked in front of its entries', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(dir, 'mkdir -p up/d; touch up/d/{a,.b}; setfattr -n trusted.overlay.opaque -v y up/d');
  await tarTo(`${dir}/l.tar`, `${dir}/up`);
  t.equal(sh(dir, 'tar -tf l.tar'), './\nd/\nd/.wh..wh..opq\nd/.b\nd/a\n');
});

void t.test('three lowers: what each of them hides is not there', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(
    dir,
    `mkdir -p l1/d l1/e l2/d l2/e l3/d up/d up/e; touch l1/d/{a,b} l2/d/c l1/e/x l2/e/y; mknod l2/d/a c 0 0; touch l3/d/.wh.c
    setfattr -n trusted.overlay.opaque -v y l2/e; touch up/d/{a,b,c}; for n in x y; do mknod up/e/$n c 0 0; done`,
  );
  const lowers = ['l3', 'l2', 'l1'].map(name => `${dir}/${name}`);
  t.same(await diffLines(`${dir}/up`, lowers), ['C d', 'A d/a', 'C d/b', 'A d/c', 'C e', 'D e/y']);
});

void t.test('a renamed directory is a deletion and all of its content anew', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(
    dir,
    'mkdir -p l1/a/sub l2/a l2/other; echo 1 >l1/a/one; echo 2 >l1/a/sub/two; echo 3 >l2/a/three; echo 4 >l2/other/f',
  );
  changeOverlay(
    dir,
    ['l2', 'l1'],
    'echo 5 >a/four; rm a/one; mv a b; mv other b/other; mkdir a; echo >a/new',
    'redirect_dir=on',
  );
  const lowers = [`${dir}/l2`, `${dir}/l1`];
  t.same(await diffLines(`${dir}/upper`, lowers), [
    'D other',
    'C a',
    'D a/one',
    'D a/sub',
    'D a/three',
    'A a/new',
    'A b',
    'A b/four',
    'A b/other',
    'A b/other/f',
    'A b/sub',
    'A b/sub/two',
    'A b/three',
  ]);
  const error: unknown = await diffLines(`${dir}/upper`).catch(reason => reason);
  t.ok(isErrno(error, E.EINVAL), String(error));
  t.match(String(error), /upper\/b was renamed: its content is in the lower layers, which must be given/);
});

void t.test('a copy of metadata only has its data in the lowers', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(dir, 'mkdir low; echo data >low/f; echo data >low/g');
  changeOverlay(dir, ['low'], 'chmod 600 f; chmod 600 g; mv g h', 'metacopy=on,redirect_dir=on');
  t.not(sh(dir, 'getfattr -m overlay.metacopy upper/f'), '', 'the kernel made one');
  await tarTo(`${dir}/l.tar`, `${dir}/upper`, [`${dir}/low`]);
  t.equal(sh(dir, 'tar -xOf l.tar f h'), 'data\ndata\n');
  await t.rejects(tarTo(`${dir}/l2.tar`, `${dir}/upper`), { message: /f holds only metadata/ });
});

void t.test('all names of a copied-up hard link are in the layer', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(
    dir,
    'mkdir -p low/d; echo 1 >low/a; ln low/a low/b; ln low/a low/d/c; ln low/a low/e; touch low/other; ln low/other low/other2',
  );
  changeOverlay(dir, ['low'], 'echo 2 >>a; rm e', 'index=on');
  t.equal(sh(dir, 'cat seen/d/c'), '1\n2\n', 'the kernel shows the copy under all names');
  t.same(await diffLines(`${dir}/upper`, [`${dir}/low`]), ['D e', 'C a', 'C b', 'C d', 'C d/c']);
});

void t.test('a new name of a copied-up hard link', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(dir, 'mkdir -p low/d; echo 1 >low/a; ln low/a low/d/b; ln low/a low/z');
  changeOverlay(dir, ['low'], 'ln a n; rm a', 'index=on');
  t.same(await diffLines(`${dir}/upper`, [`${dir}/low`]), ['D a', 'C d', 'C d/b', 'A n', 'C z']);
  await tarTo(`${dir}/l.tar`, `${dir}/upper`, [`${dir}/low`]);
  t.match(sh(dir, 'tar -tvf l.tar'), /d\/b\n.* n link to d\/b\n.* z link to d\/b\n/);
});

void t.test('a layer that is not there, or is a file, is an error that names it', async t => {
  const { dir } = scratch(t, 'oci-diff');
  writeFileSync(`${dir}/file`, '');
  for (const [upper, lower] of [
    ['none', '.'],
    ['file', '.'],
    ['.', 'none'],
  ]) {
    const error: unknown = await diffLines(`${dir}/${upper}`, [`${dir}/${lower}`]).catch(reason => reason);
    t.match(String(error), upper === 'file' ? /\/file: ENOTDIR/ : /\/none: ENOENT/);
  }
});

void t.test('the lowers do not change, not even in an access time', async t => {
  const { dir } = scratch(t, 'oci-diff');
  sh(
    dir,
    'mkdir -p low/d up/d; echo 1 >low/d/f; cp -a low/d/f up/d; touch -d @1 up/d/f; cp -a low/d/f up/d/g; ln -s f low/d/s; cp -a low/d/s up/d',
  );
  sh(dir, 'find low -exec touch -h -a -d @5 {} +');
  // stat(1) reads no directory and no link: looking leaves no trace either.
  const state = () => sh(dir, 'stat -c "%n %x %y %z" low low/d low/d/f low/d/s up up/d up/d/f up/d/g up/d/s');
  const before = state();
  for await (const _change of diffLayer(fromText(`${dir}/up`), { lowers: [fromText(`${dir}/low`)] }));
  await tarTo(`${dir}/l.tar`, `${dir}/up`, [`${dir}/low`]);
  t.equal(state(), before);
});
