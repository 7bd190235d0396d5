// Creating thins and snapshots: dmtest's thin creation tests by name, in our API.
import t from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { Pool } from '../../src/thin/index.js';
import { scratch } from '../support/cleanup.js';
import {
  BLOCK,
  contentOf,
  difference,
  GIB,
  KIB,
  MIB,
  openHere,
  pattern,
  poolStage,
  refused,
} from '../support/thin-pool.js';

const LOTS = 300;

t.test('create_lots_of_empty_thins', async t => {
  const { pool, dir, close } = await poolStage(t);
  for (let id = 0; id < LOTS; id++) await pool.createVolume({ name: `thin${id}`, size: GIB, id });
  t.equal(pool.list().length, LOTS);
  t.equal(pool.status().usedBlocks, 0);
  await close();
  t.ok((await checkPool(dir)).clean);
});

t.test('create_lots_of_snaps', async t => {
  const { pool, dir, close } = await poolStage(t);
  await pool.createVolume({ name: 'origin', size: GIB });
  const origin = pool.volume('origin');
  await origin.write(5 * BLOCK, pattern(3 * BLOCK, 1));
  for (let i = 0; i < LOTS; i++) await pool.snapshot([{ origin: 'origin', name: `snap${i}` }]);
  t.equal(pool.status().usedBlocks, 3, 'all of them share the three blocks');
  const last = pool.volume(`snap${LOTS - 1}`);
  t.equal(difference(await contentOf(last, 5 * BLOCK, 3 * BLOCK), pattern(3 * BLOCK, 1)), null);
  await close();
  t.ok((await checkPool(dir)).clean);
});

t.test('create_lots_of_recursive_snaps', async t => {
  const { pool, dir, close } = await poolStage(t);
  await pool.createVolume({ name: 's0', size: GIB });
  const origin = pool.volume('s0');
  await origin.write(0, pattern(BLOCK, 7));
  await origin.close();
  for (let i = 1; i <= LOTS; i++) await pool.snapshot([{ origin: `s${i - 1}`, name: `s${i}` }]);
  const last = pool.volume(`s${LOTS}`);
  t.equal(difference(await contentOf(last, 0, BLOCK), pattern(BLOCK, 7)), null);
  await last.write(BLOCK, pattern(BLOCK, 8));
  t.equal(pool.status().usedBlocks, 2);
  await close();
  t.ok((await checkPool(dir)).clean);
});

t.test('activate_thin_while_pool_suspended_fails', async t => {
  // Nothing is suspended here; a pool that does not answer any more is one that was closed.
  const { pool, close } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: GIB });
  await close();
  await refused(t, () => pool.volume('thin'), E.EBADF, /closed/);
  await refused(t, () => pool.createVolume({ name: 'other', size: GIB }), E.EBADF, /closed/);
});

t.test('huge_block_size', async t => {
  const blockSize = 64 * MIB;
  const { pool, reopen } = await poolStage(t, { size: 4 * blockSize, blockSize });
  await pool.createVolume({ name: 'thin', size: 3 * blockSize });
  const thin = pool.volume('thin');
  const data = pattern(10 * KIB, 1);
  await thin.write(blockSize - 5 * KIB, data);
  t.equal(pool.status().usedBlocks, 2);
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  await thin.write(blockSize - 10, Buffer.alloc(5));
  await thin.close();
  const again = await reopen();
  const [one, other] = [again.volume('thin'), again.volume('snap')];
  t.equal(difference(await contentOf(other, blockSize - 5 * KIB, 10 * KIB), data), null);
  data.fill(0, 5 * KIB - 10, 5 * KIB - 5);
  t.equal(difference(await contentOf(one, blockSize - 5 * KIB, 10 * KIB), data), null);
  const around = await contentOf(one, 0, blockSize - 5 * KIB);
  t.ok(
    around.every(byte => byte === 0),
    'the rest of a large block is zeros',
  );
});

/** A pool with blocks of this size works: a write is there again, the rest is zeros. */
async function works(t: Parameters<typeof poolStage>[0], blockSize: number, size: number): Promise<void> {
  const { pool, dir, close } = await poolStage(t, { size, blockSize });
  await pool.createVolume({ name: 'thin', size: 3 * blockSize });
  const thin = pool.volume('thin');
  await thin.write(blockSize - 100, pattern(200, 1));
  const expected = Buffer.alloc(4 * KIB);
  pattern(200, 1).copy(expected, 2 * KIB - 100);
  t.equal(difference(await contentOf(thin, blockSize - 2 * KIB, 4 * KIB), expected), null);
  t.equal(pool.status().usedBlocks, 2);
  await close();
  t.ok((await checkPool(dir)).clean);
}

async function fails(t: Parameters<typeof poolStage>[0], blockSize: number): Promise<void> {
  const dir = scratch(t, 'thin').path('pool');
  await refused(t, () => Pool.create(dir, { size: 4 * GIB, blockSize }), E.EINVAL, /block size/, /64 KiB/);
  await refused(t, () => openHere(dir), E.ENOENT, /pool/);
}

t.test('non_power_of_2_block_size_fails', async t => {
  // As dm-thin since Linux 3.6: any multiple of 64 KiB will do, and nothing else.
  await works(t, 192 * KIB, 100 * MIB);
  for (const size of [96 * KIB, 65 * KIB, 64 * KIB + 512, 1000 * 1000]) await fails(t, size);
});

t.test('too_small_block_size_fails', async t => {
  for (const size of [0, 1, 512, 32 * KIB, -64 * KIB, 0.5]) await fails(t, size);
});

t.test('too_large_block_size_fails', async t => {
  for (const size of [GIB + 64 * KIB, 2 * GIB, Number.POSITIVE_INFINITY, Number.NaN]) await fails(t, size);
});

t.test('largest_block_size_succeeds', t => works(t, GIB, 2 * GIB));

t.test('too_large_a_thin_id_fails', async t => {
  const { pool } = await poolStage(t);
  for (const id of [2 ** 24, 2 ** 32, -1, 1.5]) {
    await refused(
      t,
      () => pool.createVolume({ name: 'thin', size: GIB, id }),
      E.EINVAL,
      /\bid\b/,
      /16777215/,
    );
  }
  await pool.createVolume({ name: 'origin', size: GIB });
  await refused(t, () => pool.snapshot([{ origin: 'origin', name: 's', id: 2 ** 24 }]), E.EINVAL, /\bid\b/);
  t.same(
    pool.list().map(info => info.name),
    ['origin'],
  );
});

t.test('largest_thin_id_succeeds', async t => {
  const { pool, reopen } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: GIB, id: 2 ** 24 - 1 });
  t.equal((await reopen()).nameOf(2 ** 24 - 1), 'thin');
  const next = await (await reopen()).createVolume({ name: 'next', size: GIB });
  t.ok(next.id >= 0 && next.id < 2 ** 24 - 1, 'and the next gets a free one');
});

t.test('too_small_a_metadata_dev_fails', async t => {
  const dir = scratch(t, 'thin').path('pool');
  for (const metadataLimit of [0, 4096, 2 * MIB - 1]) {
    await refused(
      t,
      () => Pool.create(dir, { size: GIB, metadataLimit }),
      E.EINVAL,
      /metadataLimit/,
      /2097152/,
    );
  }
  await Pool.create(dir, { size: GIB, metadataLimit: 2 * MIB });
});
