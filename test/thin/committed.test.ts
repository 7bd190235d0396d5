// What the last committed metadata names is not overwritten, whatever the open transaction has done to it since: a copy of the
// files without a commit is what a power cut leaves.
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import type { Pool, Volume } from '../../src/thin/index.js';
import { BLOCK, contentOf, difference, MIB, openHere, pattern, poolStage } from '../support/thin-pool.js';

interface Pair {
  readonly pool: Pool;
  readonly one: Volume;
  readonly other: Volume;
  /** What `one` and `other` hold by the committed metadata. */
  committed(): Promise<[Buffer, Buffer]>;
}

/**
 * Two volumes that hold the same MiB and share most of it, committed. `apart`: in maps that share no page any more, but for
 * the blocks named in them.
 */
async function pair(t: Test, apart = false): Promise<Pair> {
  const { pool, dir } = await poolStage(t);
  await pool.createVolume({ name: 'one', size: MIB });
  const one = pool.volume('one');
  await one.write(0, pattern(MIB, 1));
  await pool.snapshot([{ origin: 'one', name: 'other' }]);
  const other = pool.volume('other');
  if (apart) await one.write(15 * BLOCK, pattern(MIB, 1).subarray(15 * BLOCK));
  await pool.commit();
  let copies = 0;
  return {
    pool,
    one,
    other,
    async committed() {
      const to = `${dir}.${copies++}`;
      t.equal(spawnSync('cp', ['-r', '--sparse=always', dir, to]).status, 0);
      const copy = await openHere(to);
      const found = await Promise.all(['one', 'other'].map(name => contentOf(copy.volume(name))));
      await copy.close();
      return found as [Buffer, Buffer];
    },
  };
}

/** `found` must be what was committed: the write since may be missing, but nothing else may be there. */
async function check(t: Test, { committed }: Pair): Promise<void> {
  const [one, other] = await committed();
  t.equal(difference(one, pattern(MIB, 1)), null, 'the first volume as it was committed');
  t.equal(difference(other, pattern(MIB, 1)), null, 'the second volume as it was committed');
}

for (const apart of [false, true]) {
  const how = apart ? ', by maps of their own' : '';

  t.test(`both overwrite a block that they share${how}`, async t => {
    const place = await pair(t, apart);
    await place.one.write(0, pattern(BLOCK, 2));
    await place.other.write(0, pattern(BLOCK, 3));
    await place.one.write(5 * BLOCK + 10, pattern(20, 4));
    await place.other.write(5 * BLOCK + 10, pattern(20, 5));
    await check(t, place);
  });

  t.test(`one discards what it shares, the other overwrites it${how}`, async t => {
    for (const [offset, length] of [
      [0, MIB],
      [BLOCK, 3 * BLOCK],
    ] as const) {
      const place = await pair(t, apart);
      await place.one.discard(offset, length);
      await place.other.write(BLOCK, pattern(BLOCK, 3));
      await place.other.write(2 * BLOCK + 5, pattern(10, 4));
      await check(t, place);
    }
  });

  t.test(`one is zeroed, the other overwritten${how}`, async t => {
    const place = await pair(t, apart);
    await place.one.zero(0, MIB, true);
    // Not block 15: where the maps are apart it is shared no more, and an overwrite of it may show.
    await place.other.write(0, pattern(15 * BLOCK, 3));
    await check(t, place);
  });
}

t.test('a snapshot is removed, and the origin overwritten', async t => {
  const place = await pair(t);
  await place.other.close();
  const removal = place.pool.remove('other');
  await place.one.write(0, pattern(MIB, 3));
  await removal;
  // The removal was committed: there is no snapshot any more that could be harmed, and the origin is its own.
  await place.pool.commit();
  t.equal(difference(await contentOf(place.one), pattern(MIB, 3)), null);
});

t.test('blocks of a discard are not reused before its commit', async t => {
  const { pool, dir } = await poolStage(t, { size: 32 * BLOCK, onFull: 'error' });
  await pool.createVolume({ name: 'one', size: MIB });
  await pool.createVolume({ name: 'other', size: MIB });
  const [one, other] = [pool.volume('one'), pool.volume('other')];
  await one.write(0, pattern(MIB, 1));
  await one.flush();
  await one.discard(0, MIB);
  await other.write(0, pattern(MIB, 2));
  const to = `${dir}.copy`;
  t.equal(spawnSync('cp', ['-r', '--sparse=always', dir, to]).status, 0);
  const copy = await openHere(to);
  const found = await contentOf(copy.volume('one'));
  t.ok(found.equals(pattern(MIB, 1)) || found.every(byte => byte === 0));
  await copy.close();
});

t.test('once it is committed, what was shared is written in place', async t => {
  const { pool, one, other } = await pair(t);
  await one.write(0, pattern(BLOCK, 2));
  await pool.commit();
  const used = pool.status().usedBlocks;
  await other.write(100, pattern(10, 3));
  t.equal(pool.status().usedBlocks, used);
});
