// Two plain trees compared: golden lists, names and xattrs that only look like a union's, hard links, random changes through
// tar and apply; and the same tar as the upper of a kernel overlay that was changed in the same way.
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import { E, fromText, isErrno, toText } from '../../src/base/index.js';
import { diffTrees, treeTar } from '../../src/oci/index.js';
import { scratch } from '../support/cleanup.js';
import { needsMounts } from '../support/needs.js';
import { Script, withoutDirectoryTimes } from './script.js';
import { applyTo, changeOverlay, openDescriptors, sh, tarTo, treeDifference } from './stage.js';

needsMounts();

const FIRST = Number(process.env.OCI_SEED ?? 1);
const COUNT = Number(process.env.OCI_COUNT ?? 3);

async function lines(tree: string, parent: string | null, snapshot = false): Promise<string[]> {
  const found: string[] = [];
  const options = { parent: parent === null ? null : fromText(parent), snapshot };
  for await (const { kind, path } of diffTrees(fromText(tree), options))
    found.push(`${kind} ${toText(path)}`);
  return found;
}

async function treeTarTo(
  file: string,
  tree: string,
  parent: string | null,
  snapshot = false,
): Promise<string[]> {
  const notes: string[] = [];
  const options = { parent: parent === null ? null : fromText(parent), snapshot };
  const pieces = treeTar(fromText(tree), { ...options, onNote: note => notes.push(note) });
  await pipeline(pieces, createWriteStream(file));
  return notes;
}

/** A small ext4 file system with what `make` makes, mounted at `old`, and a snapshot of it that was changed, at `now`. */
function snapshots(t: Test, make: string, change: string): string {
  const { dir } = scratch(t, 'tree-diff');
  sh(
    dir,
    `truncate -s 24M old.img; mkfs.ext4 -q -F -O ^has_journal old.img; mkdir old now; mount old.img old
    cd old; rmdir lost+found; ${make}
    cd ..; umount old; cp --sparse=always old.img now.img; mount -o ro,noload old.img old; mount now.img now`,
  );
  sh(`${dir}/now`, change);
  return dir;
}

const ROWS: { name: string; make: string; change: string; expected: string[] }[] = [
  { name: 'nothing', make: 'mkdir d; echo 1 >d/f', change: ':', expected: [] },
  {
    name: 'a new file, below directories',
    make: 'mkdir -p d/e',
    change: 'touch d/e/f',
    expected: ['C d', 'C d/e', 'A d/e/f'],
  },
  {
    name: 'deletions',
    make: 'mkdir -p d/e; touch d/e/f d/g; mkdir x',
    change: 'rm -r d/e x',
    expected: ['D x', 'C d', 'D d/e'],
  },
  {
    name: 'other data of the same size and time',
    make: 'echo 1 >f',
    change: 'touch -r f ref; echo 2 >f; touch -r ref f; rm ref',
    expected: ['C f'],
  },
  {
    name: 'a time, in nanoseconds',
    make: 'touch -d @1.5 f',
    change: 'touch -d @1.500000001 f',
    expected: ['C f'],
  },
  { name: 'a mode', make: 'touch f', change: 'chmod 600 f', expected: ['C f'] },
  { name: 'an xattr', make: 'touch f', change: 'setfattr -n user.x -v 1 f', expected: ['C f'] },
  {
    name: 'a capability',
    make: 'touch f; setcap cap_chown+ep f',
    change: 'setcap cap_net_raw+ep f',
    expected: ['C f'],
  },
  {
    name: 'written and put back',
    make: 'echo 1 >f; touch -d @5 f',
    change: 'echo 2 >f; echo 1 >f; touch -d @5 f',
    expected: [],
  },
  { name: 'only the time of a directory', make: 'mkdir d', change: 'touch -d @1 d', expected: [] },
  {
    name: 'another kind',
    make: 'mkdir d; touch d/f g',
    change: 'rm -r d g; touch d; mkdir g; touch g/x',
    expected: ['C d', 'C g', 'A g/x'],
  },
  { name: 'a rename', make: 'mkdir d; touch d/f', change: 'mv d e', expected: ['D d', 'A e', 'A e/f'] },
  { name: 'a new link', make: 'touch f', change: 'ln f g', expected: ['C f', 'A g'] },
  { name: 'one link fewer', make: 'touch f; ln f g', change: 'rm g', expected: ['D g'] },
  {
    name: 'a link that became a file of its own',
    make: 'echo 1 >f; ln f g; touch -d @5 f',
    change: 'cp -a f h; mv h f',
    expected: ['C f'],
  },
  {
    name: 'two files that became one',
    make: 'touch -d @5 f g',
    change: 'ln -f f g',
    expected: ['C f', 'C g'],
  },
  {
    name: 'a link in a directory that was renamed',
    make: 'mkdir d; touch d/f; ln d/f g',
    change: 'mv d e',
    expected: ['D d', 'A e', 'A e/f', 'C g'],
  },
  {
    name: 'names and notes that would be a union’s elsewhere',
    make: 'touch f .wh.f; mknod null c 0 0; mkdir d; setfattr -n trusted.overlay.opaque -v y d; touch d/.wh..wh..opq',
    change: 'touch .wh.g; setfattr -n trusted.overlay.redirect -v /x d; rm .wh.f',
    expected: ['D .wh.f', 'A .wh.g', 'C d'],
  },
];

for (const { name, make, change, expected } of ROWS) {
  void t.test(name, async t => {
    const dir = snapshots(t, make, change);
    t.same(await lines(`${dir}/now`, `${dir}/old`, true), expected, 'as snapshots');
    t.same(await lines(`${dir}/now`, `${dir}/old`), expected, 'as any two trees');
    t.same(
      (await lines(`${dir}/now`, null)).filter(line => !line.startsWith('A ')),
      [],
      'alone',
    );
  });
}

void t.test('what a tar cannot hold is left out, and its links are not', async t => {
  const { dir } = scratch(t, 'tree-diff');
  sh(
    dir,
    'mkdir a b; touch b/.wh.f; ln b/.wh.f b/z; mkdir b/.wh.d; touch b/.wh.d/in a/.wh.gone; touch -d @5 a',
  );
  const notes = await treeTarTo(`${dir}/l.tar`, `${dir}/b`, `${dir}/a`);
  t.match(notes, [/^\.wh\.d: a name that means a deletion/, /^\.wh\.d\/in: /, /^\.wh\.f: /]);
  t.equal(notes.length, 3);
  t.equal(sh(dir, 'tar -tvf l.tar | sed "s/.* //"'), './\nz\n');
});

void t.test('notes of an inner union survive a plain tree', async t => {
  const { dir } = scratch(t, 'tree-diff');
  sh(
    dir,
    'mkdir -p a b/d; setfattr -n trusted.overlay.opaque -v y b/d; setfattr -n trusted.mine -v 1 b/d; touch -d @5 a; touch -d @6 b',
  );
  await treeTarTo(`${dir}/l.tar`, `${dir}/b`, `${dir}/a`);
  const { notes } = await applyTo(`${dir}/l.tar`, `${dir}/a`, { whiteouts: 'apply', plain: true });
  t.same(notes, []);
  t.equal(treeDifference(dir, 'a', 'b'), '');
  t.match(sh(dir, 'getfattr -d -m . a/d'), /overlay\.opaque="y"/);
});

void t.test('a tree that is not there is an error that names it', async t => {
  const { dir } = scratch(t, 'tree-diff');
  const before = openDescriptors();
  for (const [tree, parent] of [
    ['none', '.'],
    ['.', 'none'],
  ]) {
    const error: unknown = await lines(`${dir}/${tree}`, `${dir}/${parent}`).catch(reason => reason);
    t.ok(isErrno(error, E.ENOENT));
    t.match(String(error), /\/none: ENOENT/);
  }
  t.same(openDescriptors(), before);
});

for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
  const script = new Script(seed);
  void t.test(`random changes, seed ${seed}`, async t => {
    const dir = snapshots(t, script.lines(60), script.lines(40));
    const before = openDescriptors();
    for (const snapshot of [true, false]) {
      await treeTarTo(`${dir}/${snapshot}.tar`, `${dir}/now`, `${dir}/old`, snapshot);
      sh(dir, 'rm -rf flat; cp -a old flat');
      const { notes } = await applyTo(`${dir}/${snapshot}.tar`, `${dir}/flat`, {
        whiteouts: 'apply',
        plain: true,
      });
      t.same(notes, []);
      t.same(withoutDirectoryTimes(treeDifference(dir, 'now', 'flat')), [], `snapshot: ${snapshot}`);
    }
    t.same(openDescriptors(), before, 'no descriptor is left open');
  });
}

void t.test('the same tar as an upper that was changed in the same way', async t => {
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const script = new Script(seed);
    const { dir } = scratch(t, 'tree-diff');
    // Hard links and renamed directories are as exact here, but overlays break and copy them: not the same change.
    const make = script.lines(60).replaceAll(/\( ln [a-d].*/g, '');
    const change = script.lines(40).replaceAll(/\( (ln [a-d]|mv ).*/g, '');
    sh(dir, `mkdir low; cd low; ${make}\nfind . -exec touch -h -d @7 {} +`);
    changeOverlay(dir, ['low'], `${change}\ntouch -d @9 .`);
    await tarTo(`${dir}/union.tar`, `${dir}/upper`, [`${dir}/low`]);
    await treeTarTo(`${dir}/tree.tar`, `${dir}/seen`, `${dir}/low`);
    t.equal(sh(dir, 'cmp union.tar tree.tar && echo same || true'), 'same\n', `seed ${seed}`);
  }
});
