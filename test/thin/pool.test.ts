// What can be set about a pool and asked of it: low water, growth, out of space, transaction ids, the metadata snapshot, counts,
// the status line.
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import { Pool, type PoolMode, statusLine, thinStatusLine } from '../../src/thin/index.js';
import { MetadataReader } from '../../src/thin/reader.js';
import { scratch } from '../support/cleanup.js';
import {
  BLOCK,
  contentOf,
  difference,
  GIB,
  KIB,
  MIB,
  openHere,
  outcomeOf,
  pattern,
  poolStage,
  refused,
} from '../support/thin-pool.js';

const block = (n: number): Buffer => pattern(BLOCK, n);

t.test('low water is told once, and again when the pool has grown', async t => {
  const { pool } = await poolStage(t, { size: 20 * BLOCK, lowWater: 5 });
  const told: number[] = [];
  pool.on('lowWater', free => told.push(free));
  await pool.createVolume({ name: 'thin', size: GIB });
  const thin = pool.volume('thin');
  for (let i = 0; i < 15; i++) await thin.write(i * BLOCK, block(i));
  t.same(told, [], 'five blocks are free: not fewer than the mark');
  await thin.write(15 * BLOCK, block(15));
  t.same(told, [4], 'with the block that leaves four');
  for (let i = 16; i < 18; i++) await thin.write(i * BLOCK, block(i));
  t.same(told, [4], 'once');
  await pool.grow(30 * BLOCK);
  t.same(told, [4]);
  for (let i = 18; i < 30; i++) await thin.write(i * BLOCK, block(i));
  t.same(told, [4, 4], 'and once more');
  await pool.grow(32 * BLOCK);
  await thin.write(30 * BLOCK, block(30));
  t.same(told, [4, 4, 1], 'at once when it is still below the mark');
});

t.test('it grows by itself', async t => {
  const { pool, dir, close } = await poolStage(t, { size: 100 * BLOCK, growThreshold: 80, growPercent: 50 });
  const grown: number[] = [];
  pool.on('grown', blocks => grown.push(blocks));
  await pool.createVolume({ name: 'thin', size: GIB });
  const thin = pool.volume('thin');
  for (let i = 0; i < 79; i++) await thin.write(i * BLOCK, block(i));
  t.same(grown, []);
  const growth = once(pool, 'grown');
  for (let i = 79; i < 82; i++) await thin.write(i * BLOCK, block(i));
  await growth;
  t.equal(grown[0], 150);
  for (let i = 82; i < 400; i++) await thin.write(i * BLOCK, block(i));
  t.ok(pool.status().dataBlocks >= 400, `${pool.status().dataBlocks} blocks`);
  t.equal(pool.status().mode, 'rw');
  t.equal(difference(await contentOf(thin, 399 * BLOCK, BLOCK), block(399)), null);
  await close();
  t.ok((await checkPool(dir)).clean);
});

t.test(
  'a full pool that queues goes on when it grows, when space is freed, and fails after its time',
  async t => {
    const { pool } = await poolStage(t, { size: 8 * BLOCK, noSpaceTimeout: 300 });
    const modes: PoolMode[] = [];
    pool.on('mode', mode => modes.push(mode));
    await pool.createVolume({ name: 'thin', size: GIB });
    const thin = pool.volume('thin');
    await thin.write(0, pattern(8 * BLOCK, 1));
    const first = outcomeOf(() => thin.write(8 * BLOCK, block(8)));
    await once(pool, 'mode');
    t.same(modes, ['out_of_data_space']);
    t.equal(
      difference(await contentOf(thin, 0, BLOCK), pattern(8 * BLOCK, 1).subarray(0, BLOCK)),
      null,
      'it reads',
    );
    await thin.write(100, block(3));
    t.equal(difference(await contentOf(thin, 100, BLOCK), block(3)), null, 'and overwrites');
    await pool.grow(9 * BLOCK);
    t.equal(await first, 'done', 'the write that waited for growth');
    const second = outcomeOf(() => thin.write(9 * BLOCK, block(9)));
    await thin.discard(0, BLOCK);
    await thin.flush();
    t.equal(await second, 'done', 'the write that waited for a discard');
    const begun = performance.now();
    t.equal(
      await outcomeOf(() => thin.write(20 * BLOCK, block(20))),
      'ENOSPC',
      'the write that nothing came for',
    );
    t.ok(performance.now() - begun >= 250, 'after a while');
    await pool.configure({ onFull: 'error' });
    t.equal(await outcomeOf(() => thin.write(20 * BLOCK, block(20))), 'ENOSPC', 'at once');
    await pool.grow(12 * BLOCK);
    await thin.write(20 * BLOCK, block(20));
    t.equal(pool.status().mode, 'rw');
    t.equal(modes.at(-1), 'rw');
  },
);

t.test('a change of options lets those that wait look again', async t => {
  const { pool } = await poolStage(t, { size: 2 * BLOCK, noSpaceTimeout: 0 });
  await pool.createVolume({ name: 'thin', size: GIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(2 * BLOCK, 1));
  const waits = outcomeOf(() => thin.write(5 * BLOCK, block(1)));
  await once(pool, 'mode');
  await pool.configure({ onFull: 'error' });
  t.equal(await waits, 'ENOSPC');
});

t.test('transaction ids are compared and swapped', async t => {
  const { pool, reopen } = await poolStage(t);
  await pool.setTransactionId(0, 7);
  t.equal(pool.status().transactionId, 7);
  await refused(t, () => pool.setTransactionId(0, 8), E.EINVAL, /transaction id is 7, not 0/);
  await refused(t, () => pool.setTransactionId(7, -1), E.EINVAL, /transaction id/);
  await refused(t, () => pool.setTransactionId(7, 0.5), E.EINVAL, /transaction id/);
  t.equal((await pool.createVolume({ name: 'thin', size: MIB })).transactionId, 7);
  const both = await Promise.all([
    outcomeOf(() => pool.setTransactionId(7, 8)),
    outcomeOf(() => pool.setTransactionId(7, 9)),
  ]);
  t.same(both, ['done', 'EINVAL'], 'of two at once one wins');
  t.equal((await reopen()).status().transactionId, 8);
});

t.test('the metadata snapshot stays as it was', async t => {
  const { pool, dir, reopen } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(4 * BLOCK, 1));
  await refused(t, () => pool.releaseMetadataSnapshot(), E.EINVAL, /no metadata snapshot/);
  await pool.reserveMetadataSnapshot();
  t.ok(pool.status().held);
  await refused(t, () => pool.reserveMetadataSnapshot(), E.EBUSY, /metadata snapshot/);
  const held = (): [string, number, number][] => {
    const reader = MetadataReader.open(dir);
    const rows = reader
      .held()
      .flatMap(volume =>
        [...reader.mappings(volume)].map((run): [string, number, number] => [
          volume.name,
          run.begin,
          run.block,
        ]),
      );
    reader.close();
    return rows;
  };
  const before = held();
  t.equal(before.length, 1);
  await thin.write(BLOCK, block(5));
  await thin.discard(0, BLOCK);
  await thin.close();
  await pool.createVolume({ name: 'later', size: MIB });
  await pool.remove('thin');
  await pool.reclaimed();
  t.same(held(), before);
  t.equal(pool.status().usedBlocks, 4, 'what it names is not freed');
  const again = await reopen();
  t.ok(again.status().held);
  t.same(held(), before);
  await again.releaseMetadataSnapshot();
  await again.reclaimed();
  t.same(held(), []);
  t.equal(again.status().usedBlocks, 0);
});

t.test('usage', async t => {
  const { pool } = await poolStage(t);
  await pool.createVolume({ name: 'one', size: 4 * MIB });
  t.same(await pool.usage('one'), { mapped: 0, exclusive: 0, shared: 0, highest: null });
  const one = pool.volume('one');
  await one.write(0, pattern(10 * BLOCK, 1));
  await one.write(40 * BLOCK, block(1));
  t.same(await pool.usage('one'), { mapped: 11, exclusive: 11, shared: 0, highest: 40 });
  await pool.snapshot([{ origin: 'one', name: 'two' }]);
  t.same(await pool.usage('one'), { mapped: 11, exclusive: 0, shared: 11, highest: 40 });
  t.equal(await pool.writtenSince('one', 'two'), 0);
  await one.write(0, pattern(3 * BLOCK, 2));
  await one.discard(40 * BLOCK, BLOCK);
  await one.write(50 * BLOCK, Buffer.alloc(1));
  t.same(await pool.usage('one'), { mapped: 11, exclusive: 4, shared: 7, highest: 50 });
  t.same(await pool.usage('two'), { mapped: 11, exclusive: 4, shared: 7, highest: 40 });
  t.equal(await pool.writtenSince('one', 'two'), 5, 'three written, one discarded, one new');
  await pool.remove('two');
  await pool.reclaimed();
  t.same(await pool.usage('one'), { mapped: 11, exclusive: 11, shared: 0, highest: 50 });
});

t.test('the status line is dm-thin’s', async t => {
  const { pool } = await poolStage(t, { size: 10 * BLOCK, onFull: 'error', metadataLimit: 4 * MIB });
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(5 * BLOCK, block(1));
  await pool.setTransactionId(0, 3);
  const form = /^3 \d+\/1024 1\/10 - rw discard_passdown error_if_no_space - \d+$/;
  t.match(statusLine(pool.status()), form);
  t.equal(thinStatusLine(1, 5, BLOCK), '128 767');
  t.equal(thinStatusLine(0, null, BLOCK), '0 -');
  await pool.configure({ onFull: 'queue', discards: 'nopassdown' });
  await pool.reserveMetadataSnapshot();
  t.match(statusLine(pool.status()), / \d+ rw no_discard_passdown queue_if_no_space /);
  await pool.configure({ onFull: 'error', discards: 'ignore' });
  await outcomeOf(() => thin.write(0, pattern(16 * BLOCK, 1)));
  t.match(statusLine(pool.status()), / 10\/10 \d+ out_of_data_space ignore_discard error_if_no_space /);
});

t.test('options last', async t => {
  const { pool, reopen } = await poolStage(t, { zeroing: false, lowWater: 7 });
  const changed = {
    onFull: 'error',
    growThreshold: 90,
    growPercent: 10,
    discards: 'ignore',
    noSpaceTimeout: 5,
  } as const;
  await pool.configure(changed);
  t.match((await reopen()).status().options, { ...changed, zeroing: false, lowWater: 7 });
});

t.test('a change that nobody flushes is committed after a second', async t => {
  const { pool, dir } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, block(1));
  const mapped = (): number => {
    const reader = MetadataReader.open(dir);
    const [volume] = reader.volumes();
    reader.close();
    return volume!.mapped;
  };
  t.equal(mapped(), 0);
  const begun = performance.now();
  while (mapped() === 0 && performance.now() - begun < 60_000) await sleep(50);
  t.equal(mapped(), 1, `after ${Math.round(performance.now() - begun)} ms`);
});

t.test('closing commits, closes all handles, and is done once', async t => {
  const { pool, dir, close, reopen } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(10 * KIB, 1));
  await Promise.all([close(), pool.close()]);
  t.equal(await outcomeOf(() => thin.write(0, Buffer.alloc(1))), 'EBADF');
  t.equal(await outcomeOf(() => contentOf(thin, 0, 1)), 'EBADF');
  t.equal(await outcomeOf(() => pool.status()), 'EBADF');
  t.ok((await checkPool(dir)).clean);
  const again = (await reopen()).volume('thin');
  t.equal(difference(await contentOf(again, 0, 10 * KIB), pattern(10 * KIB, 1)), null);
});

t.test('a write that is under way when the pool is closed is done, or refused', async t => {
  const { pool, dir, reopen } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  const writes = Array.from({ length: 16 }, (_, i) => outcomeOf(() => thin.write(i * BLOCK, block(i))));
  const again = (await reopen()).volume('thin');
  for (const [i, outcome] of (await Promise.all(writes)).entries()) {
    const content = await contentOf(again, i * BLOCK, BLOCK);
    if (outcome === 'done') t.equal(difference(content, block(i)), null);
    else t.equal(outcome, 'EBADF');
  }
  t.ok((await checkPool(dir)).clean);
});

t.test('the data may lie elsewhere', async t => {
  const place = scratch(t, 'thin');
  const [dir, data] = [place.path('pool'), place.path('elsewhere')];
  await Pool.create(dir, { size: 64 * MIB, data });
  const pool = await openHere(dir);
  t.equal(pool.status().data, data);
  await pool.createVolume({ name: 'thin', size: MIB });
  await pool.volume('thin').write(0, block(1));
  await pool.close();
  t.ok((await checkPool(dir)).clean);
});
