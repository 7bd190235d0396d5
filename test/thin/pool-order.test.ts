// Operations at the same time: each finds what the ones before it have left, and none waits for what only another can give.
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { checkPool } from '../../src/thin/check.js';
import {
  BLOCK,
  contentOf,
  difference,
  GIB,
  MIB,
  outcomeOf,
  pattern,
  poolStage,
} from '../support/thin-pool.js';

async function sound(t: Test, dir: string, close: () => Promise<void>): Promise<void> {
  await close();
  t.same((await checkPool(dir)).findings, []);
}

t.test('of several removals of one volume one is made', async t => {
  const { pool, dir, close } = await poolStage(t);
  for (let round = 0; round < 5; round++) {
    await pool.createVolume({ name: 'thin', size: MIB });
    const thin = pool.volume('thin');
    await thin.write(0, pattern(MIB, round));
    await thin.close();
    const other = { name: `other${round}`, size: MIB };
    const outcomes = await Promise.all([
      outcomeOf(() => pool.remove('thin')),
      outcomeOf(() => pool.createVolume(other)),
      outcomeOf(() => pool.remove('thin')),
      outcomeOf(() => pool.remove('thin')),
    ]);
    t.same(outcomes, ['done', 'done', 'ENOENT', 'ENOENT']);
    const volume = pool.volume(other.name);
    await volume.write(0, pattern(MIB, 9));
    await volume.close();
  }
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 5 * 16);
  await sound(t, dir, close);
});

t.test('names mean what they mean when it is an operation’s turn', async t => {
  const { pool, dir, close } = await poolStage(t);
  await pool.createVolume({ name: 'a', size: MIB, id: 1 });
  await pool.createVolume({ name: 'b', size: MIB, id: 2 });
  const outcomes = await Promise.all([
    outcomeOf(() => pool.rename('a', 'c')),
    outcomeOf(() => pool.rename('b', 'a')),
    outcomeOf(() => pool.remove('a')),
    outcomeOf(() => pool.snapshot([{ origin: 'a', name: 'd' }])),
    outcomeOf(() => pool.snapshot([{ origin: 'c', name: 'a' }])),
  ]);
  t.same(outcomes, ['done', 'done', 'done', 'ENOENT', 'done']);
  t.same(
    pool.list().map(info => [info.id, info.name, info.origin]),
    [
      [1, 'c', null],
      [2, 'a', 'c'],
    ],
  );
  await sound(t, dir, close);
});

t.test('a discard does not wait for a write that waits for space', async t => {
  const { pool, dir, close } = await poolStage(t, { size: 8 * BLOCK, noSpaceTimeout: 0 });
  await pool.createVolume({ name: 'thin', size: GIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(8 * BLOCK, 1));
  const full = once(pool, 'mode');
  const writes = [20, 21, 22].map(block => outcomeOf(() => thin.write(block * BLOCK, pattern(BLOCK, block))));
  await full;
  // It covers what is to be written, and gives the space for it.
  await thin.discard(0, 100 * BLOCK);
  await thin.flush();
  t.same(await Promise.all(writes), ['done', 'done', 'done']);
  await sound(t, dir, close);
});

t.test('a removal does not wait for an operation that waits for space', async t => {
  const { pool, dir, close } = await poolStage(t, { size: 8 * BLOCK, noSpaceTimeout: 0 });
  await pool.createVolume({ name: 'thin', size: 8 * BLOCK });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(8 * BLOCK, 1));
  await thin.close();
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  // The block that the new size cuts through is shared: what is beyond must be zeroed in a copy, for which there is no room.
  const size = 4 * BLOCK + BLOCK / 2;
  const resize = outcomeOf(() => pool.resizeVolume('thin', size));
  t.equal(await outcomeOf(() => pool.remove('snap')), 'done');
  t.equal(await resize, 'ENOSPC', 'it does not keep the removal waiting');
  t.equal(pool.info('thin').size, 8 * BLOCK);
  t.equal(pool.info('thin').mapped, 8);
  await pool.reclaimed();
  await pool.resizeVolume('thin', size);
  await pool.resizeVolume('thin', 8 * BLOCK);
  const wanted = Buffer.concat([pattern(8 * BLOCK, 1).subarray(0, size)], 8 * BLOCK);
  t.equal(difference(await contentOf(pool.volume('thin')), wanted), null);
  await sound(t, dir, close);
});

t.test('a volume that is being rolled back cannot be opened', async t => {
  const { pool, dir, close } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(MIB, 1));
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  await thin.write(0, pattern(MIB, 2));
  await thin.close();
  const rollback = pool.rollback('thin', 'snap');
  const opened = await outcomeOf(async () => {
    const handle = pool.volume('thin');
    await handle.write(100, pattern(10, 3));
    await handle.close();
  });
  const outcome = await outcomeOf(() => rollback);
  // Whoever was first: the other was refused.
  t.ok((opened === 'done') !== (outcome === 'done') || opened === 'done', `${opened}, ${outcome}`);
  if (outcome === 'done' && opened === 'EBUSY') {
    t.equal(difference(await contentOf(pool.volume('thin')), pattern(MIB, 1)), null);
  }
  await sound(t, dir, close);
});
