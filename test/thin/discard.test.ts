// Discards: dmtest's thin discard tests by name, and what becomes of the space.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { MetadataReader } from '../../src/thin/reader.js';
import {
  BLOCK,
  contentOf,
  difference,
  MIB,
  openHere,
  pattern,
  piecesOf,
  poolStage,
} from '../support/thin-pool.js';
import { type Books, openCounted } from '../support/thin-pool-count.js';

/** Bytes that the pool's data file takes on its disk. */
function taken(dir: string): number {
  return statSync(join(dir, 'data')).blocks * 512;
}

t.test('unmaps_with_passdown_discardable_pool', async t => {
  const { pool, dir, reopen } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: 32 * MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(32 * MIB, 1));
  await thin.flush();
  t.equal(pool.status().usedBlocks, 512);
  t.ok(taken(dir) >= 32 * MIB);
  await thin.discard(MIB + 100, 20 * MIB);
  await thin.flush();
  await pool.reclaimed();
  // 319 whole blocks; the two at the ends are kept.
  t.equal(pool.status().usedBlocks, 512 - 319);
  t.equal(pool.info('thin').mapped, 512 - 319);
  await thin.close();
  await reopen();
  // What a pool keeps ready for writes goes back when it is closed.
  t.ok(taken(dir) < 13 * MIB, `${taken(dir)} bytes on disk`);
});

t.test('blktrace', async t => {
  // dmtest watches what reaches the data device; here the data file's own book says it.
  const books: Books = { data: [], batches: [] };
  const { pool } = await poolStage(t, {}, dir => openCounted(dir, books));
  await pool.createVolume({ name: 'thin', size: 4 * MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(4 * MIB, 1));
  const snapshot = async (name: string): Promise<void> => {
    await pool.snapshot([{ origin: 'thin', name }]);
  };
  const punched = async (offset: number, length: number): Promise<number> => {
    await thin.flush();
    await pool.reclaimed();
    books.data.length = 0;
    await thin.discard(offset, length);
    t.ok(
      books.data.every(each => each.kind !== 'punch'),
      'nothing before the commit',
    );
    await thin.flush();
    await pool.reclaimed();
    return books.data.filter(each => each.kind === 'punch').reduce((sum, each) => sum + each.length, 0);
  };
  t.equal(await punched(0, BLOCK), BLOCK, 'a whole block');
  t.equal(await punched(BLOCK, BLOCK - 1), 0, 'less than a block');
  t.equal(await punched(BLOCK + 1, 2 * BLOCK), BLOCK, 'one whole block in two');
  t.equal(await punched(0, BLOCK), 0, 'what was not mapped');
  await snapshot('snap');
  t.equal(await punched(4 * BLOCK, 10 * BLOCK), 0, 'what is shared');
  await pool.remove('snap');
  t.equal(await punched(4 * BLOCK, 10 * BLOCK), 0, 'which is not mapped any more');
  await pool.configure({ discards: 'nopassdown' });
  t.equal(await punched(20 * BLOCK, 5 * BLOCK), 0, 'no passdown');
  t.equal(piecesOf(thin, 20 * BLOCK, 5 * BLOCK)[0]?.[1], true, 'but unmapped');
  await pool.configure({ discards: 'ignore' });
  const used = pool.status().usedBlocks;
  t.equal(await punched(30 * BLOCK, 5 * BLOCK), 0, 'ignored');
  t.equal(pool.status().usedBlocks, used);
  t.same(piecesOf(thin, 30 * BLOCK, 5 * BLOCK), [[5 * BLOCK, false]]);
});

t.test('xml', async t => {
  // dmtest discards and compares the mappings in thin_dump's XML; the reader gives the same mappings.
  const { pool, dir } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: 4 * MIB });
  const thin = pool.volume('thin');
  const mapped = (): [number, number][] => {
    const reader = MetadataReader.open(dir);
    const [volume] = reader.volumes();
    const found = [...reader.mappings(volume!)].map(run => [run.begin, run.length] as [number, number]);
    reader.close();
    // Runs also end where the data blocks do not follow one another.
    return found.reduce<[number, number][]>((all, [begin, length]) => {
      const last = all.at(-1);
      if (last !== undefined && last[0] + last[1] === begin) last[1] += length;
      else all.push([begin, length]);
      return all;
    }, []);
  };
  await thin.write(0, pattern(4 * MIB, 1));
  await thin.flush();
  t.same(mapped(), [[0, 64]]);
  for (let block = 1; block < 64; block += 2) await thin.discard(block * BLOCK, BLOCK);
  await thin.flush();
  t.same(
    mapped(),
    Array.from({ length: 32 }, (_, i) => [2 * i, 1]),
  );
  await thin.discard(BLOCK / 2, 4 * MIB - BLOCK);
  await thin.flush();
  t.same(mapped(), [[0, 1]], 'the last block is not covered wholly, but was unmapped before');
  await thin.discard(0, 4 * MIB);
  await thin.flush();
  t.same(mapped(), []);
});

/** What a file system may take to note where the pieces of a file are (bytes). */
const EXTENTS = 65_536;

t.test('space is given back at once, also when the pool is not closed', async t => {
  const { pool, dir } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: 60 * MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(48 * MIB, 1));
  await thin.flush();
  const before = taken(dir);
  await thin.discard(0, 40 * MIB);
  await thin.flush();
  await pool.reclaimed();
  t.ok(before - taken(dir) >= 40 * MIB - EXTENTS, `${before} bytes, then ${taken(dir)}`);
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  const shared = taken(dir);
  await thin.discard(0, 60 * MIB);
  await thin.flush();
  await pool.reclaimed();
  t.equal(taken(dir), shared, 'but not what a snapshot shares');
  await pool.remove('snap');
  await pool.reclaimed();
  t.ok(shared - taken(dir) >= 8 * MIB - EXTENTS, 'until that is gone');
});

t.test('discarded blocks are not given to anybody before the commit', async t => {
  const { pool, dir } = await poolStage(t, { size: 8 * BLOCK, onFull: 'error' });
  await pool.createVolume({ name: 'one', size: MIB });
  await pool.createVolume({ name: 'other', size: MIB });
  const [one, other] = [pool.volume('one'), pool.volume('other')];
  await one.write(0, pattern(8 * BLOCK, 1));
  await one.flush();
  await one.discard(0, 4 * BLOCK);
  // The pool is full but for what is being freed: the write waits for that.
  await other.write(0, pattern(3 * BLOCK, 2));
  t.equal(difference(await contentOf(other, 0, 3 * BLOCK), pattern(3 * BLOCK, 2)), null);
  t.equal(
    difference(await contentOf(one, 4 * BLOCK, BLOCK), pattern(8 * BLOCK, 1).subarray(4 * BLOCK, 5 * BLOCK)),
    null,
  );
  const reader = MetadataReader.open(dir);
  const volume = reader.volumes().find(each => each.name === 'one');
  t.equal(volume?.mapped, 4, 'the transaction that freed them was committed');
  reader.close();
});

t.test('a discard that nobody flushed lasts when the pool is closed', async t => {
  const { pool, reopen } = await poolStage(t, {}, openHere);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(MIB, 1));
  await thin.discard(0, MIB);
  await thin.close();
  const again = await reopen();
  t.equal(again.info('thin').mapped, 0);
  t.equal(again.status().usedBlocks, 0);
});
