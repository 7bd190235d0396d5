// What a pool must refuse: a SysError that names the thing and the rule, and nothing changed: the pool's directory, its data
// file and its list of volumes are as before.
import { symlinkSync } from 'node:fs';
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import { type CreateOptions, Pool, type PoolOptions } from '../../src/thin/index.js';
import { type Scratch, scratch } from '../support/cleanup.js';
import {
  BLOCK,
  contentOf,
  GIB,
  KIB,
  MIB,
  openHere,
  pattern,
  poolStage,
  refused,
  snapshotOf,
  TIB,
} from '../support/thin-pool.js';

interface Creation {
  readonly name: string;
  readonly options: Partial<Record<keyof CreateOptions, unknown>>;
  readonly errno: number;
  readonly says: readonly RegExp[];
  /** Runs before, in a scratch directory `$`; `$` in options.data stands for it too. */
  readonly before?: (place: Scratch) => void;
  /** The pool's directory; `pool` unless given. */
  readonly dir?: string;
}

const size = (name: string, value: unknown, ...says: RegExp[]): Creation => ({
  name,
  options: { size: value },
  errno: E.EINVAL,
  says: [/size/, ...says],
});

const option = (name: keyof PoolOptions, value: unknown, ...says: RegExp[]): Creation => ({
  name: `${name} ${String(value)}`,
  options: { [name]: value },
  errno: E.EINVAL,
  says: [new RegExp(name), ...says],
});

const blocks = (blockSize: unknown): Creation => ({
  name: `block size ${String(blockSize)}`,
  options: { blockSize },
  errno: E.EINVAL,
  says: [/block size/, /64 KiB/, /1 GiB/],
});

const CREATIONS: readonly Creation[] = [
  ...[0, 1, 100 * KIB, 2 * GIB, -BLOCK, BLOCK + 0.5, Number.NaN].map(blocks),
  size('size 0', 0, /65536/),
  size('a size below one block', BLOCK - 1, /65536/),
  size('a size below zero', -GIB),
  size('no whole number', GIB + 0.5),
  size('not a number', Number.NaN),
  { name: 'too large a size', options: { size: 2 ** 60 }, errno: E.EINVAL, says: [/too large/, /\d{19}/] },
  option('onFull', 'panic', /queue, error/),
  option('growThreshold', 101, /percent/),
  option('growThreshold', 0, /percent/),
  option('growPercent', 0, /percent/),
  option('noSpaceTimeout', -1, /milliseconds/),
  option('lowWater', -1, /blocks/),
  option('lowWater', 1.5, /blocks/),
  option('discards', 'maybe', /passdown/),
  option('zeroing', 'yes', /true or false/),
  option('metadataLimit', MIB, /bytes/, /2097152/),
  option('colour' as keyof PoolOptions, 'red', /no option/),
  {
    name: 'a directory that is not empty',
    options: {},
    errno: E.ENOTEMPTY,
    says: [/pool/, /not empty/],
    before: place => place.write('pool/file', 'x'),
  },
  {
    name: 'a directory that has a pool',
    options: {},
    errno: E.EEXIST,
    says: [/pool/, /already holds a pool/],
    before: place => place.write('pool/pool.db', 'x'),
  },
  {
    name: 'a file in the place of the directory',
    options: {},
    errno: E.ENOTDIR,
    says: [/pool/],
    before: place => place.write('pool', 'x'),
  },
  {
    name: 'a parent that is not there',
    dir: 'none/pool',
    options: {},
    errno: E.ENOENT,
    says: [/none\/pool/],
  },
  {
    name: 'a data file that is too small',
    options: { data: '$/data' },
    errno: E.EINVAL,
    says: [/\/data/, /1000/, /67108864/],
    before: place => place.write('data', 'x'.repeat(1000)),
  },
  {
    name: 'a directory as data file',
    options: { data: '$/data' },
    errno: E.EISDIR,
    says: [/\/data/],
    before: place => place.mkdir('data'),
  },
  {
    name: 'a character device as data file',
    options: { data: '/dev/null' },
    errno: E.EINVAL,
    says: [/\/dev\/null/, /file or a block device/],
  },
  {
    name: 'a data file whose directory is not there',
    options: { data: '$/none/data' },
    errno: E.ENOENT,
    says: [/none\/data/],
  },
  {
    name: 'a data file behind a dangling link',
    options: { data: '$/link' },
    errno: E.EEXIST,
    says: [/link/],
    before: place => symlinkSync(place.path('nowhere'), place.path('link')),
  },
];

for (const { name, options, errno, says, before, dir } of CREATIONS) {
  t.test(`create: ${name}`, async t => {
    const place = scratch(t, 'thin');
    before?.(place);
    const found = snapshotOf(place.dir);
    const inside = snapshotOf(place.path('pool'));
    const wanted = { size: 64 * MIB, ...options } as CreateOptions;
    if (typeof options.data === 'string')
      Object.assign(wanted, { data: options.data.replace('$', place.dir) });
    await refused(t, () => Pool.create(place.path(dir ?? 'pool'), wanted), errno, ...says);
    t.same(snapshotOf(place.dir), found, 'nothing was made');
    t.same(snapshotOf(place.path('pool')), inside, 'nothing was changed');
  });
}

t.test('create: the data file of another pool', async t => {
  const { dir, scratch: place } = await poolStage(t);
  const other = place.path('other');
  await refused(
    t,
    () => Pool.create(other, { size: 64 * MIB, data: `${dir}/data` }),
    E.EEXIST,
    /data/,
    /pool/,
  );
  t.same(snapshotOf(other), {});
});

const NAMES: readonly [what: string, name: string][] = [
  ['nothing', ''],
  ['a slash', 'a/b'],
  ['a dot', '.'],
  ['two dots', '..'],
  ['a newline', 'a\nb'],
  ['a zero byte', 'a\0b'],
  ['an escape', '\x1b[31m'],
  ['DEL', 'a\x7f'],
  ['256 bytes', 'x'.repeat(256)],
  ['128 two-byte letters', 'ä'.repeat(128)],
];

/** Runs `body` on a pool with two volumes and a snapshot, and looks that nothing has changed. */
async function unchanged(t: Test, body: (pool: Pool, dir: string) => Promise<void>): Promise<void> {
  const { pool, dir } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB, id: 3 });
  await pool.createVolume({ name: 'busy', size: MIB, id: 4 });
  const busy = pool.volume('busy');
  await busy.write(0, pattern(100_000, 1));
  await pool.snapshot([{ origin: 'busy', name: 'snap', readOnly: true }]);
  await pool.commit();
  const [files, volumes, status] = [snapshotOf(dir), pool.list(), pool.status()];
  await body(pool, dir);
  await pool.commit();
  t.same(pool.list(), volumes);
  t.same(pool.status(), status);
  t.same(snapshotOf(dir), files);
  t.ok((await contentOf(busy, 0, 100_000)).equals(pattern(100_000, 1)));
}

t.test('names', t =>
  unchanged(t, async pool => {
    for (const [what, name] of NAMES) {
      t.comment(what);
      await refused(t, () => pool.createVolume({ name, size: MIB }), E.EINVAL, /name/);
      await refused(t, () => pool.snapshot([{ origin: 'thin', name }]), E.EINVAL, /name/);
      await refused(t, () => pool.rename('thin', name), E.EINVAL, /name/);
    }
    await refused(t, () => pool.createVolume({ name: 'thin', size: MIB }), E.EEXIST, /thin/);
    await refused(t, () => pool.rename('thin', 'busy'), E.EEXIST, /busy/);
    await refused(t, () => pool.snapshot([{ origin: 'thin', name: 'busy' }]), E.EEXIST, /busy/);
  }),
);

t.test('sizes and ids', t =>
  unchanged(t, async pool => {
    for (const bad of [0, -MIB, 100, MIB + 1, 0.5, Number.NaN, 2 ** 60]) {
      await refused(t, () => pool.createVolume({ name: 'new', size: bad }), E.EINVAL, /size/, /512/);
      await refused(t, () => pool.resizeVolume('thin', bad), E.EINVAL, /size/, /512/);
    }
    for (const id of [-1, 1.5, 2 ** 24, Number.NaN]) {
      await refused(
        t,
        () => pool.createVolume({ name: 'new', size: MIB, id }),
        E.EINVAL,
        /\bid\b/,
        /16777215/,
      );
    }
    await refused(t, () => pool.createVolume({ name: 'new', size: MIB, id: 3 }), E.EEXIST, /\b3\b/);
    await refused(t, () => pool.snapshot([{ origin: 'thin', name: 'new', id: 4 }]), E.EEXIST, /\b4\b/);
    await refused(t, () => pool.grow(32 * MIB), E.EINVAL, /shrink/);
    await refused(t, () => pool.grow(Number.NaN), E.EINVAL, /size/);
    for (const [name, value] of [
      ['onFull', 'x'],
      ['lowWater', -1],
      ['none', 1],
    ]) {
      await refused(
        t,
        () => pool.configure({ [name as string]: value }),
        E.EINVAL,
        new RegExp(name as string),
      );
    }
  }),
);

t.test('volumes that are not there', t =>
  unchanged(t, async pool => {
    const calls: readonly (() => unknown)[] = [
      () => pool.volume('none'),
      () => pool.info('none'),
      () => pool.remove('none'),
      () => pool.resizeVolume('none', MIB),
      () => pool.setReadOnly('none', true),
      () => pool.rename('none', 'other'),
      () => pool.rollback('none', 'snap'),
      () => pool.rollback('thin', 'none'),
      () => pool.usage('none'),
      () => pool.writtenSince('none', 'snap'),
      () => pool.writtenSince('thin', 'none'),
      () => pool.snapshot([{ origin: 'none', name: 'other' }]),
    ];
    for (const call of calls) await refused(t, call, E.ENOENT, /none/);
    await refused(t, () => pool.nameOf(77), E.ENOENT, /77/);
  }),
);

t.test('volumes that are in use', t =>
  unchanged(t, async pool => {
    await refused(t, () => pool.remove('busy'), E.EBUSY, /busy is in use/);
    await refused(t, () => pool.rollback('busy', 'snap'), E.EBUSY, /busy is in use/);
    await refused(t, () => pool.resizeVolume('busy', 512 * KIB), E.EBUSY, /busy is in use/);
    await refused(t, () => pool.setReadOnly('busy', true), E.EBUSY, /busy is in use/);
    await refused(t, () => pool.rollback('snap', 'busy'), E.EROFS, /snap is read-only/);
    await refused(t, () => pool.rollback('thin', 'thin'), E.EINVAL, /thin/);
  }),
);

t.test('a pool that is open already', async t => {
  const { dir } = await poolStage(t);
  await refused(t, () => openHere(dir), E.EBUSY, /pool is in use/, new RegExp(`process ${process.pid}`));
  await refused(t, () => Pool.open(dir, { readOnly: true }), E.EBUSY, /pool is in use/);
});

t.test('sizes at the limits are taken', async t => {
  const place = scratch(t, 'thin');
  await Pool.create(place.path('pool'), { size: 8 * TIB, blockSize: GIB });
  const pool = await openHere(place.path('pool'));
  await pool.createVolume({ name: 'x'.repeat(255), size: 2 ** 52 });
  await pool.createVolume({ name: 'ä'.repeat(127), size: 512, id: 0xffffff });
  await pool.createVolume({ name: ' …"\'\\ ', size: 1024 });
  t.equal(pool.list().length, 3);
  await pool.close();
});
