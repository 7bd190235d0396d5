// Mounts that must be refused: at once, with an exit status that is not 0, a message that names the thing and the rule, and
// nothing left behind: no mount, no daemon, no change to any directory.
import { chmodSync } from 'node:fs';
import t from 'tap';
import { mountsBelow, type Scratch, scratch } from '../support/cleanup.js';
import { lamina, laminafs, MAIN, run } from '../support/daemon.js';
import { fingerprint } from '../support/daemon-tree.js';

interface Row {
  readonly name: string;
  /** Options; `$` stands for the scratch directory, which has l1, l2, upper, work, mnt and file. */
  readonly options: string;
  readonly mountpoint?: string;
  /** What the message must say; `$` as above. */
  readonly says: readonly RegExp[];
}

const GOOD = 'lowerdir=$/l1:$/l2,upperdir=$/upper,workdir=$/work';

const ROWS: readonly Row[] = [
  {
    name: 'a lower that is not there',
    options: 'lowerdir=$/l1:$/none',
    says: [/\/none/, /no such|not exist|ENOENT/i],
  },
  {
    name: 'an upper that is not there',
    options: 'lowerdir=$/l1,upperdir=$/no,workdir=$/work',
    says: [/\/no\b/, /upperdir/],
  },
  {
    name: 'a work that is not there',
    options: 'lowerdir=$/l1,upperdir=$/upper,workdir=$/no',
    says: [/\/no\b/, /workdir/],
  },
  { name: 'a mount point that is not there', options: GOOD, mountpoint: '$/nowhere', says: [/\/nowhere/] },
  { name: 'a file as lower', options: 'lowerdir=$/file', says: [/\/file/, /not a directory|ENOTDIR/i] },
  {
    name: 'a file as upper',
    options: 'lowerdir=$/l1,upperdir=$/file,workdir=$/work',
    says: [/\/file/, /not a directory|ENOTDIR/i],
  },
  {
    name: 'a file as mount point',
    options: GOOD,
    mountpoint: '$/file',
    says: [/\/file/, /not a directory|ENOTDIR/i],
  },
  { name: 'no layers', options: 'ro', says: [/lowerdir/] },
  { name: 'an empty lowerdir', options: 'lowerdir=', says: [/lowerdir/] },
  { name: 'a trailing colon', options: 'lowerdir=$/l1:', says: [/lowerdir/] },
  { name: 'an upper without work', options: 'lowerdir=$/l1,upperdir=$/upper', says: [/workdir/] },
  {
    name: 'work inside upper',
    options: 'lowerdir=$/l1,upperdir=$/upper,workdir=$/upper/w',
    says: [/upper\/w/, /workdir/],
  },
  {
    name: 'upper inside work',
    options: 'lowerdir=$/l1,upperdir=$/upper/w,workdir=$/upper',
    says: [/upper/, /workdir/],
  },
  {
    name: 'work that is upper',
    options: 'lowerdir=$/l1,upperdir=$/upper,workdir=$/upper',
    says: [/upper/, /workdir/],
  },
  {
    name: 'a lower that is the upper',
    options: 'lowerdir=$/upper,upperdir=$/upper,workdir=$/work',
    says: [/\/upper/],
  },
  {
    name: 'a lower inside the upper',
    options: 'lowerdir=$/upper/w,upperdir=$/upper,workdir=$/work',
    says: [/\/upper/],
  },
  {
    name: 'an upper inside a lower',
    options: 'lowerdir=$/l1,upperdir=$/l1/d,workdir=$/work',
    says: [/\/l1/],
  },
  { name: 'a mount point inside a lower', options: GOOD, mountpoint: '$/l1/d', says: [/\/l1/] },
  { name: 'a mount point inside the upper', options: GOOD, mountpoint: '$/upper/w', says: [/\/upper/] },
  { name: 'a mount point inside work', options: GOOD, mountpoint: '$/work/w', says: [/\/work/] },
  { name: 'a misspelt option', options: `${GOOD},redirct_dir=on`, says: [/redirct_dir/, /redirect_dir/] },
  { name: 'a misspelt layer option', options: 'lowerdri=$/l1', says: [/lowerdri/, /lowerdir/] },
  { name: 'an impossible value', options: `${GOOD},redirect_dir=maybe`, says: [/redirect_dir/, /maybe/] },
  { name: 'an impossible id mapping', options: `${GOOD},uidmapping=0:1`, says: [/uidmapping/] },
  { name: 'verity', options: `${GOOD},verity=on`, says: [/verity/] },
  { name: 'nfs_export', options: `${GOOD},nfs_export=on`, says: [/nfs_export/] },
];

function stage(s: Scratch): void {
  for (const dir of ['l1/d', 'l2', 'upper/w', 'work/w', 'mnt']) s.mkdir(dir);
  s.write('l1/d/file', 'one');
  s.write('file', 'a file');
}

for (const row of ROWS) {
  void t.test(row.name, { timeout: 120_000 }, async t => {
    const s = scratch(t, 'refused');
    stage(s);
    const fill = (text: string): string => text.replaceAll('$', s.dir);
    const before = fingerprint(s.dir);
    const result = lamina(['mount', '-o', fill(row.options), fill(row.mountpoint ?? '$/mnt')], {
      timeout: 60_000,
    });
    t.equal(result.signal, null, 'it does not hang');
    t.not(result.status, 0, 'it fails');
    for (const pattern of row.says) t.match(result.stderr, pattern);
    t.ok(result.stderr.trim().split('\n').length <= 3, `in few words: ${result.stderr}`);
    t.strictSame(mountsBelow(s.dir), [], 'nothing is mounted');
    t.equal(fingerprint(s.dir), before, 'and nothing has changed');
  });
}

void t.test('an unknown option is told, and does not stop the mount', async t => {
  const s = scratch(t, 'unknown');
  stage(s);
  const options = `lowerdir=${s.path('l1')},frobnicate=7`;
  const result = lamina(['mount', '-o', options, s.path('mnt')]);
  t.equal(result.status, 0);
  t.match(result.stderr, /frobnicate/);
  t.strictSame(mountsBelow(s.dir), [s.path('mnt')]);
});

void t.test('the same upper twice', async t => {
  const s = scratch(t, 'twice');
  stage(s);
  const view = { lowers: [s.path('l1')], upper: s.path('upper'), work: s.path('work') };
  const first = laminafs.mount({ ...view, mountpoint: s.path('mnt') });
  for (const second of [view, { ...view, work: s.mkdir('work2') }, { ...view, upper: s.mkdir('upper2') }]) {
    t.throws(() => laminafs.mount({ ...second, mountpoint: s.mkdir('mnt2') }), /in use|busy|EBUSY/i);
  }
  t.strictSame(mountsBelow(s.dir), [s.path('mnt')], 'the first mount is still there');
  first.umount();
  laminafs.mount({ ...view, mountpoint: s.path('mnt2') }).umount();
  t.pass('and free when it has gone');
});

void t.test('a layer that the user may not read', async t => {
  const s = scratch(t, 'unreadable');
  stage(s);
  chmodSync(s.dir, 0o755);
  chmodSync(s.path('l1'), 0o700);
  const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const argv = [
    'setpriv',
    ...user,
    process.execPath,
    MAIN,
    'mount',
    '-o',
    `lowerdir=${s.path('l1')}`,
    s.path('mnt'),
  ];
  const result = run(argv, { timeout: 60_000 });
  t.equal(result.signal, null);
  t.not(result.status, 0);
  t.match(result.stderr, /\/l1/);
  t.match(result.stderr, /permission|denied|EACCES|read/i);
});
