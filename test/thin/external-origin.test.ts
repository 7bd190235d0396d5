// External origins: dmtest's thin external_origin tests by name. The origin is a file here, and is never written to.
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import type { Pool, Volume } from '../../src/thin/index.js';
import {
  BLOCK,
  contentOf,
  difference,
  KIB,
  MIB,
  pattern,
  piecesOf,
  poolStage,
  refused,
} from '../support/thin-pool.js';

interface Place {
  readonly pool: Pool;
  readonly thin: Volume;
  /** What the volume must hold. */
  readonly flat: Buffer;
  readonly reopen: () => Promise<Pool>;
  readonly untouched: () => void;
}

async function stage(t: Test, originSize: number, size: number): Promise<Place> {
  const { pool, scratch, reopen } = await poolStage(t);
  const content = pattern(originSize, 3);
  const origin = scratch.path('origin');
  writeFileSync(origin, content);
  await pool.createVolume({ name: 'thin', size, external: origin });
  const flat = Buffer.alloc(size);
  content.copy(flat);
  const untouched = (): void => {
    t.ok(readFileSync(origin).equals(content), 'the origin was not written to');
  };
  return { pool, thin: pool.volume('thin'), flat, reopen, untouched };
}

/** Reads, small and large writes, snapshots: each as on a volume that had the origin's content written to it. */
async function exercise(t: Test, { pool, thin, flat, untouched }: Place): Promise<void> {
  const put = async (offset: number, length: number, seed: number): Promise<void> => {
    const data = pattern(length, seed);
    data.copy(flat, offset);
    await thin.write(offset, data);
  };
  t.equal(difference(await contentOf(thin), flat), null, 'at first');
  t.equal(pool.status().usedBlocks, 0, 'without a block of the pool');
  await put(100, 1000, 1);
  t.equal(pool.status().usedBlocks, 1, 'a small write copies its block');
  await put(3 * BLOCK, BLOCK, 2);
  await put(flat.length - 10, 10, 4);
  t.equal(difference(await contentOf(thin), flat), null, 'after writes');
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  const before = Buffer.from(flat);
  await put(5 * BLOCK - 5, 10, 5);
  await put(200, 10, 6);
  t.equal(difference(await contentOf(thin), flat), null, 'the origin of a snapshot');
  const snap = pool.volume('snap');
  t.equal(
    difference(await contentOf(snap), before),
    null,
    'the snapshot, which has the same external origin',
  );
  await snap.write(6 * BLOCK + 1, pattern(5, 7));
  pattern(5, 7).copy(before, 6 * BLOCK + 1);
  t.equal(difference(await contentOf(snap), before), null, 'the snapshot, written to');
  t.equal(difference(await contentOf(thin), flat), null);
  untouched();
}

t.test('snap_equal_size', async t => exercise(t, await stage(t, 2 * MIB, 2 * MIB)));

t.test('snap_smaller_than_origin', async t => exercise(t, await stage(t, 4 * MIB, 2 * MIB)));

t.test('snap_bigger_than_origin', async t => {
  const place = await stage(t, MIB, 2 * MIB);
  await exercise(t, place);
  t.ok(
    (await contentOf(place.thin, MIB + 100 * KIB, 100 * KIB)).every(byte => byte === 0),
    'zeros beyond it',
  );
});

t.test('snap_fractional_tail_block', async t => {
  // The origin ends within a block: the rest of that block is zeros, also when a write has copied it.
  const size = MIB + 20 * KIB;
  const place = await stage(t, size, 2 * MIB);
  await exercise(t, place);
  const data = pattern(10, 9);
  await place.thin.write(size - 5, data);
  data.copy(place.flat, size - 5);
  t.equal(difference(await contentOf(place.thin), place.flat), null);
});

t.test('a tail of a few bytes', async t => {
  const place = await stage(t, 5 * BLOCK + 1, 10 * BLOCK);
  await exercise(t, place);
});

t.test('a discard lets the origin show again; zeros do not', async t => {
  const { thin, flat } = await stage(t, 2 * MIB, 2 * MIB);
  await thin.write(0, pattern(3 * BLOCK, 1));
  await thin.discard(BLOCK, BLOCK);
  pattern(3 * BLOCK, 1).copy(flat, 0, 0, BLOCK);
  pattern(3 * BLOCK, 1).copy(flat, 2 * BLOCK, 2 * BLOCK);
  await thin.zero(5 * BLOCK + 7, 2 * BLOCK, true);
  flat.fill(0, 5 * BLOCK + 7, 7 * BLOCK + 7);
  t.equal(difference(await contentOf(thin), flat), null);
  t.same(piecesOf(thin, 8 * BLOCK, BLOCK), [[BLOCK, false]], 'what the origin has is no hole');
});

t.test('it is there when the pool is opened again', async t => {
  const { thin, flat, reopen } = await stage(t, MIB, 2 * MIB);
  await thin.write(50, pattern(20, 1));
  pattern(20, 1).copy(flat, 50);
  await thin.close();
  const pool = await reopen();
  t.equal(difference(await contentOf(pool.volume('thin')), flat), null);
  t.ok(pool.info('thin').external?.endsWith('/origin'));
});

t.test('an origin that cannot be read is refused', async t => {
  const { pool, scratch } = await poolStage(t);
  const create =
    (external: string): (() => unknown) =>
    async () => {
      await pool.createVolume({ name: 'thin', size: MIB, external });
      pool.volume('thin');
    };
  await refused(t, create(scratch.path('nowhere')), E.ENOENT, /nowhere/);
  t.same(pool.list(), [], 'and no volume made');
  await refused(t, create(scratch.mkdir('folder')), E.EINVAL, /folder/);
  t.same(pool.list(), [], 'and no volume made');
});
