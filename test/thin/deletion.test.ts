// Deleting thins: dmtest's thin deletion tests by name, in our API.
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import type { Pool } from '../../src/thin/index.js';
import {
  BLOCK,
  contentOf,
  difference,
  GIB,
  MIB,
  outcomeOf,
  pattern,
  poolStage,
  refused,
} from '../support/thin-pool.js';

async function provision(pool: Pool, name: string, blocks: number, seed = 1): Promise<void> {
  const thin = pool.volume(name);
  await thin.write(0, pattern(blocks * BLOCK, seed));
  await thin.close();
}

async function nothingLeft(t: Test, pool: Pool): Promise<void> {
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 0);
  t.equal(pool.status().reclaiming, 0);
}

t.test('create_delete_cycle', async t => {
  const { pool, dir, close } = await poolStage(t);
  for (let i = 0; i < 100; i++) {
    await pool.createVolume({ name: 'thin', size: GIB, id: 0 });
    if (i % 10 === 0) await provision(pool, 'thin', 3);
    await pool.remove('thin');
  }
  await nothingLeft(t, pool);
  await close();
  t.equal((await checkPool(dir)).pages, 0);
});

t.test('create_many_delete_many', async t => {
  const { pool } = await poolStage(t);
  for (let i = 0; i < 100; i++) await pool.createVolume({ name: `thin${i}`, size: GIB });
  for (let i = 0; i < 100; i += 7) await provision(pool, `thin${i}`, 2);
  for (let i = 0; i < 100; i++) await pool.remove(`thin${i}`);
  await nothingLeft(t, pool);
  t.same(pool.list(), []);
});

t.test('create_delete_rolling', async t => {
  const { pool } = await poolStage(t);
  for (let i = 0; i < 120; i++) {
    if (i % 2 === 0) await pool.createVolume({ name: `thin${i}`, size: GIB });
    else await pool.snapshot([{ origin: `thin${i - 1}`, name: `thin${i}` }]);
    await provision(pool, `thin${i}`, 2, i);
    if (i >= 10) await pool.remove(`thin${i - 10}`);
  }
  t.equal(pool.list().length, 10);
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 20, 'each of the ten has overwritten what it shared');
});

t.test('delete_provisioned_thin', async t => {
  const { pool, dir, close } = await poolStage(t, { size: 100 * MIB });
  await pool.createVolume({ name: 'thin', size: 100 * MIB });
  await provision(pool, 'thin', 1000);
  t.equal(pool.status().usedBlocks, 1000);
  await pool.remove('thin');
  await nothingLeft(t, pool);
  await close();
  const report = await checkPool(dir);
  t.ok(report.clean);
  t.equal(report.pages, 0);
});

t.test('delete_unknown_id_fails', async t => {
  const { pool } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: GIB });
  await refused(t, () => pool.remove('other'), E.ENOENT, /no volume other/);
  await pool.remove('thin');
  await refused(t, () => pool.remove('thin'), E.ENOENT, /no volume thin/);
});

t.test('delete_active_id_fails', async t => {
  const { pool } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: GIB });
  const [one, other] = [pool.volume('thin'), pool.volume('thin')];
  await one.write(0, pattern(BLOCK, 1));
  await refused(t, () => pool.remove('thin'), E.EBUSY, /thin is in use/);
  await one.close();
  await refused(t, () => pool.remove('thin'), E.EBUSY, /thin is in use/);
  t.equal(difference(await contentOf(other, 0, BLOCK), pattern(BLOCK, 1)), null, 'and it still works');
  await other.close();
  await pool.remove('thin');
  await nothingLeft(t, pool);
});

t.test('delete_after_out_of_space', async t => {
  const { pool, dir, close } = await poolStage(t, { size: 20 * BLOCK, onFull: 'error' });
  await pool.createVolume({ name: 'thin', size: GIB });
  await pool.createVolume({ name: 'other', size: GIB });
  await provision(pool, 'other', 5);
  const thin = pool.volume('thin');
  let written = 0;
  while ((await outcomeOf(() => thin.write(written * BLOCK, pattern(BLOCK, written)))) === 'done') written++;
  t.equal(written, 15, 'all that was free');
  t.equal(await outcomeOf(() => thin.write(GIB - BLOCK, Buffer.alloc(10))), 'ENOSPC');
  t.equal(pool.status().mode, 'out_of_data_space');
  await thin.close();
  await pool.remove('thin');
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 5);
  await pool.createVolume({ name: 'thin', size: GIB });
  await provision(pool, 'thin', 15, 9);
  t.equal(pool.status().usedBlocks, 20, 'all the space can be used again');
  const other = pool.volume('other');
  t.equal(difference(await contentOf(other, 0, 5 * BLOCK), pattern(5 * BLOCK, 1)), null);
  await close();
  t.ok((await checkPool(dir)).clean);
});
