// What an operation costs and touches, by the books of the data file and of the commits: a snapshot is O(1), a block is copied
// once, a whole block is not copied or zeroed at all, and nobody reads a block that has become somebody else's.
import t from 'tap';
import type { Pool } from '../../src/thin/index.js';
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
  TIB,
} from '../support/thin-pool.js';
import { type Books, openCounted, slowed } from '../support/thin-pool-count.js';

const newBooks = (): Books => ({ data: [], batches: [] });

const sum = (books: Books, kind: string): number =>
  books.data.filter(each => each.kind === kind).reduce((bytes, each) => bytes + each.length, 0);

function clear(books: Books): void {
  books.data.length = 0;
  books.batches.length = 0;
}

t.test('a snapshot writes the same metadata whatever is mapped', async t => {
  const books = newBooks();
  const { pool } = await poolStage(t, { size: TIB }, dir => openCounted(dir, books));
  await pool.createVolume({ name: 'thin', size: TIB });
  const thin = pool.volume('thin');
  const costs: number[] = [];
  let mapped = 0;
  for (const until of [0, 1, 300, 1500]) {
    // One byte in each block, far apart, so that every block takes a part of the map of its own.
    for (; mapped < until; mapped++) await thin.write(mapped * 37 * BLOCK, Buffer.alloc(1, 1));
    await pool.commit();
    clear(books);
    await pool.snapshot([{ origin: 'thin', name: `snap${until}` }]);
    costs.push(books.batches.reduce((bytes, each) => bytes + each, 0));
    t.equal(
      books.data.filter(each => each.kind !== 'sync' && each.kind !== 'prepare').length,
      0,
      'no data is touched',
    );
  }
  t.ok(Math.max(...costs) < 16 * KIB, `${costs.join(', ')} bytes`);
});

t.test('reading does not depend on how deep a snapshot is', async t => {
  const books = newBooks();
  const { pool } = await poolStage(t, {}, dir => openCounted(dir, books));
  await pool.createVolume({ name: 's0', size: GIB });
  const costs: number[] = [];
  for (let depth = 0; depth <= 30; depth++) {
    const volume = pool.volume(`s${depth}`);
    if (depth === 0) await volume.write(0, pattern(MIB, 1));
    clear(books);
    t.equal(difference(await contentOf(volume, 0, MIB), pattern(MIB, 1)), null);
    costs.push(books.data.length);
    await volume.close();
    await pool.snapshot([{ origin: `s${depth}`, name: `s${depth + 1}` }]);
  }
  t.ok(
    costs.every(cost => cost === costs[0]),
    costs.join(', '),
  );
});

t.test('a write of a whole block copies nothing and zeroes nothing', async t => {
  const books = newBooks();
  const { pool } = await poolStage(t, {}, dir => openCounted(dir, books));
  await pool.createVolume({ name: 'thin', size: 4 * MIB });
  const thin = pool.volume('thin');
  clear(books);
  await thin.write(0, pattern(MIB, 1));
  t.equal(sum(books, 'write'), MIB, 'of new blocks');
  t.equal(sum(books, 'read') + sum(books, 'zero'), 0);
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  clear(books);
  await thin.write(0, pattern(MIB, 2));
  t.equal(sum(books, 'write'), MIB, 'of shared blocks');
  t.equal(sum(books, 'read') + sum(books, 'zero'), 0);
  clear(books);
  await thin.write(BLOCK / 2, pattern(MIB, 3));
  t.equal(sum(books, 'write'), MIB, 'of own blocks, and half of a new one');
  t.equal(sum(books, 'read') + sum(books, 'zero'), 0);
});

t.test('after a snapshot each block is copied once', async t => {
  const books = newBooks();
  const { pool } = await poolStage(t, {}, dir => openCounted(dir, books));
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  const flat = pattern(MIB, 1);
  await thin.write(0, flat);
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  clear(books);
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 16; i++) {
      const data = pattern(4 * KIB, round * 16 + i);
      const offset = i * BLOCK + round * 8 * KIB;
      data.copy(flat, offset);
      await thin.write(offset, data);
    }
  }
  t.equal(sum(books, 'read'), MIB, 'every block was read once');
  t.equal(sum(books, 'write'), MIB + 4 * 16 * 4 * KIB, 'and written once; the rest are writes of 4 KiB');
  t.equal(difference(await contentOf(thin), flat), null);
});

t.test('a small first write of a block reads nothing, and the rest is zeros', async t => {
  const books = newBooks();
  const { pool } = await poolStage(t, {}, dir => openCounted(dir, books));
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  // Blocks that were another volume's, and hold its data.
  await thin.write(0, pattern(MIB, 1));
  await thin.discard(0, MIB);
  await thin.flush();
  await pool.reclaimed();
  clear(books);
  const flat = Buffer.alloc(MIB);
  for (let i = 0; i < 16; i++) {
    pattern(100, i).copy(flat, i * BLOCK + 500);
    await thin.write(i * BLOCK + 500, pattern(100, i));
  }
  t.equal(sum(books, 'read'), 0);
  t.equal(difference(await contentOf(thin), flat), null, 'nothing of what was there before');
});

t.test('metadata of volumes written in order is at most 16 bytes a block', async t => {
  const { pool } = await poolStage(t, { size: 64 * GIB, zeroing: false }, dir =>
    // Only the maps count here: data goes nowhere.
    openHere(dir, file => ({
      ...slowed(file, () => 0),
      size: file.size,
      write: () => {},
      prepare: async () => {},
      punch: async () => {},
      sync: async () => {},
    })),
  );
  await pool.createVolume({ name: 'thin', size: 64 * GIB });
  await pool.commit();
  const before = pool.status().metadataUsed;
  const thin = pool.volume('thin');
  const blocks = 200_000;
  const data = Buffer.alloc(16 * BLOCK);
  for (let i = 0; i < blocks; i += 16) await thin.write(i * BLOCK, data);
  await pool.commit();
  const bytes = (pool.status().metadataUsed - before) / blocks;
  t.ok(bytes <= 16, `${bytes.toFixed(1)} bytes a block`);
});

t.test('a slow reader does not see whose block it has become', async t => {
  // The data file is slow to read; meanwhile the block is discarded, committed, and written to by another volume.
  let turns = 0;
  const slow = (dir: string): Promise<Pool> =>
    openHere(dir, file => ({
      ...slowed(file, () => turns),
      size: file.size,
      write: (o, d) => file.write(o, d),
    }));
  const { pool } = await poolStage(t, { size: 16 * BLOCK }, slow);
  await pool.createVolume({ name: 'one', size: MIB });
  await pool.createVolume({ name: 'other', size: MIB });
  const [one, other] = [pool.volume('one'), pool.volume('other')];
  for (let round = 0; round < 5; round++) {
    await one.write(0, pattern(MIB, 1));
    await one.flush();
    turns = 50;
    const read = contentOf(one);
    turns = 0;
    await one.discard(0, MIB);
    await one.flush();
    await other.write(0, pattern(MIB, 2));
    const content = await read;
    const good = pattern(MIB, 1);
    for (let at = 0; at < MIB; at += BLOCK) {
      const piece = content.subarray(at, at + BLOCK);
      t.ok(piece.equals(good.subarray(at, at + BLOCK)) || piece.every(byte => byte === 0), `block at ${at}`);
    }
    await other.discard(0, MIB);
    await other.flush();
  }
});
