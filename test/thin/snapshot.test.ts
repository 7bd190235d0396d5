// Snapshots: dmtest's thin snapshot tests by name, in our API. Those that dmtest makes for file systems write and read real
// file system images here (filesystems.test.ts): what a pool sees of a file system is blocks.
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import type { Pool } from '../../src/thin/index.js';
import { Random } from '../support/random.js';
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
import { slowed } from '../support/thin-pool-count.js';

const SIZE = 4 * MIB;

/** Writes random pieces to a volume and to its flat copy. */
async function stomp(pool: Pool, name: string, flat: Buffer, seed: number, count = 40): Promise<void> {
  const random = new Random(seed);
  const volume = pool.volume(name);
  const tasks: unknown[] = [];
  const taken = new Set<number>();
  for (let i = 0; i < count; i++) {
    // Pieces of 4 KiB at most in places of 8 KiB, none twice: they may be written at once.
    const slot = random.below(flat.length / (8 * KIB));
    if (taken.has(slot)) continue;
    taken.add(slot);
    const offset = slot * 8 * KIB + random.below(4 * KIB);
    const data = pattern(random.below(4 * KIB) + 1, seed * 1000 + i);
    data.copy(flat, offset);
    tasks.push(volume.write(offset, data));
  }
  await Promise.all(tasks);
  await volume.close();
}

async function holds(t: Test, pool: Pool, name: string, flat: Buffer, what = name): Promise<void> {
  const volume = pool.volume(name);
  t.equal(difference(await contentOf(volume, 0, flat.length), flat), null, what);
  await volume.close();
}

async function filled(pool: Pool, name: string, seed: number, size = SIZE): Promise<Buffer> {
  await pool.createVolume({ name, size });
  const flat = pattern(size, seed);
  const volume = pool.volume(name);
  await volume.write(0, flat);
  await volume.close();
  return flat;
}

async function sound(t: Test, dir: string, close: () => Promise<void>): Promise<void> {
  await close();
  const report = await checkPool(dir);
  t.same(report.findings, []);
}

t.test('space_use', async t => {
  const { pool, dir, close } = await poolStage(t);
  const flat = await filled(pool, 'origin', 1);
  const used = pool.status().usedBlocks;
  t.equal(used, SIZE / BLOCK);
  await pool.snapshot([{ origin: 'origin', name: 'snap' }]);
  t.equal(pool.status().usedBlocks, used, 'a snapshot takes no block');
  const origin = pool.volume('origin');
  for (let i = 0; i < 10; i++) await origin.write(i * BLOCK, flat.subarray(i * BLOCK, (i + 1) * BLOCK));
  t.equal(pool.status().usedBlocks, used + 10, 'ten overwritten blocks take ten');
  for (let i = 0; i < 10; i++) await origin.write(i * BLOCK + 100, flat.subarray(0, 50));
  t.equal(pool.status().usedBlocks, used + 10, 'and no more when they are written again');
  t.same(await pool.usage('snap'), { mapped: 64, exclusive: 10, shared: 54, highest: 63 });
  await origin.close();
  await sound(t, dir, close);
});

t.test('many_snapshots_of_same_volume', async t => {
  const { pool, dir, close } = await poolStage(t);
  const flat = await filled(pool, 'origin', 1, MIB);
  const snapshots: Buffer[] = [];
  for (let i = 0; i < 60; i++) {
    await pool.snapshot([{ origin: 'origin', name: `snap${i}` }]);
    snapshots.push(Buffer.from(flat));
    await stomp(pool, 'origin', flat, i, 3);
  }
  for (const [i, wanted] of snapshots.entries()) await holds(t, pool, `snap${i}`, wanted);
  await holds(t, pool, 'origin', flat);
  await sound(t, dir, close);
});

t.test('parallel_io_to_shared_thins', async t => {
  const { pool, dir, close } = await poolStage(t, { size: 128 * MIB });
  const first = await filled(pool, 't0', 1);
  const flats = [first];
  for (let i = 1; i < 6; i++) {
    await pool.snapshot([{ origin: `t${i >> 1}`, name: `t${i}` }]);
    flats.push(Buffer.from(first));
  }
  await Promise.all(flats.map((flat, i) => stomp(pool, `t${i}`, flat, i, 120)));
  for (const [i, flat] of flats.entries()) await holds(t, pool, `t${i}`, flat);
  await sound(t, dir, close);
});

t.test('ref_count_tree', async t => {
  // A tree of snapshots, each written to a little; then all are removed in a random order, and nothing stays.
  const { pool, dir, close } = await poolStage(t, { size: 128 * MIB });
  const volumes = new Map([['v0', await filled(pool, 'v0', 1, MIB)]]);
  for (let i = 1; i < 32; i++) {
    const [origin, name] = [`v${(i - 1) >> 1}`, `v${i}`];
    await pool.snapshot([{ origin, name }]);
    volumes.set(name, Buffer.from(volumes.get(origin)!));
    await stomp(pool, name, volumes.get(name)!, i, 4);
    await stomp(pool, origin, volumes.get(origin)!, i + 100, 2);
  }
  for (const [name, flat] of volumes) await holds(t, pool, name, flat);
  const random = new Random(5);
  while (volumes.size > 0) {
    const name = random.pick([...volumes.keys()]);
    await pool.remove(name);
    volumes.delete(name);
    if (volumes.size % 8 === 0) for (const [other, flat] of volumes) await holds(t, pool, other, flat);
  }
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 0);
  await close();
  const report = await checkPool(dir);
  t.ok(report.clean);
  t.equal(report.pages, 0, 'no page is left');
});

t.test('stomp_snap', async t => {
  const { pool, dir, close } = await poolStage(t);
  const flat = await filled(pool, 'origin', 1);
  await pool.snapshot([{ origin: 'origin', name: 'snap' }]);
  const snap = Buffer.from(flat);
  await stomp(pool, 'snap', snap, 2, 200);
  await holds(t, pool, 'origin', flat, 'the origin as it was');
  await holds(t, pool, 'snap', snap);
  await sound(t, dir, close);
});

t.test('stomp_origin', async t => {
  const { pool, dir, close } = await poolStage(t);
  const flat = await filled(pool, 'origin', 1);
  await pool.snapshot([{ origin: 'origin', name: 'snap' }]);
  const snap = Buffer.from(flat);
  await stomp(pool, 'origin', flat, 2, 200);
  await holds(t, pool, 'snap', snap, 'the snapshot as it was');
  await holds(t, pool, 'origin', flat);
  await sound(t, dir, close);
});

t.test('many_snaps_with_changes', async t => {
  // Each snapshot is of the one before, and both go on being written to.
  const { pool, dir, close, reopen } = await poolStage(t, { size: 256 * MIB });
  const flats = [await filled(pool, 's0', 1, MIB)];
  for (let i = 1; i < 40; i++) {
    await pool.snapshot([{ origin: `s${i - 1}`, name: `s${i}` }]);
    flats.push(Buffer.from(flats[i - 1]!));
    await stomp(pool, `s${i - 1}`, flats[i - 1]!, 2 * i, 5);
    await stomp(pool, `s${i}`, flats[i]!, 2 * i + 1, 5);
  }
  const again = await reopen();
  for (const [i, flat] of flats.entries()) await holds(t, again, `s${i}`, flat);
  await sound(t, dir, close);
});

t.test('try_and_create_duplicates', async t => {
  const { pool } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: GIB, id: 5 });
  await pool.snapshot([{ origin: 'thin', name: 'snap', id: 6 }]);
  const before = pool.list();
  const { time } = pool.status();
  await refused(t, () => pool.createVolume({ name: 'thin', size: GIB }), E.EEXIST, /thin/);
  await refused(t, () => pool.createVolume({ name: 'other', size: GIB, id: 5 }), E.EEXIST, /\b5\b/);
  await refused(t, () => pool.createVolume({ name: 'other', size: GIB, id: 6 }), E.EEXIST, /\b6\b/);
  await refused(t, () => pool.snapshot([{ origin: 'thin', name: 'snap' }]), E.EEXIST, /snap/);
  await refused(t, () => pool.snapshot([{ origin: 'thin', name: 'thin' }]), E.EEXIST, /thin/);
  await refused(t, () => pool.snapshot([{ origin: 'thin', name: 'other', id: 5 }]), E.EEXIST, /\b5\b/);
  await refused(t, () => pool.snapshot([{ origin: 'none', name: 'other' }]), E.ENOENT, /none/);
  t.same(pool.list(), before);
  t.equal(pool.status().time, time);
});

t.test('several snapshots are taken all or none', async t => {
  const { pool, dir, close } = await poolStage(t);
  const flat = await filled(pool, 'one', 1, MIB);
  await filled(pool, 'other', 2, MIB);
  const before = pool.list();
  const requests = [
    { origin: 'one', name: 'a' },
    { origin: 'other', name: 'b' },
    { origin: 'one', name: 'a' },
  ];
  await refused(t, () => pool.snapshot(requests), E.EEXIST, /\ba\b/);
  t.same(pool.list(), before);
  await pool.snapshot(requests.slice(0, 2));
  await stomp(pool, 'one', Buffer.from(flat), 3);
  await holds(t, pool, 'a', flat);
  t.equal(pool.info('a').creationTime, pool.info('b').creationTime, 'of one instant');
  t.equal(pool.info('a').origin, 'one');
  await sound(t, dir, close);
});

/** Opens a pool where a write may take longer than a commit. */
function slowWrites(seed: number): (dir: string) => Promise<Pool> {
  const random = new Random(seed);
  return dir =>
    openHere(dir, file => {
      const { write } = slowed(file, () => random.pick([0, 1, 5, 200]));
      return { ...slowed(file, () => 0), size: file.size, write };
    });
}

t.test('snapshots of volumes that are being written are of one instant', async t => {
  // Two volumes are written one after the other, always the same number to both, by a writer that never stops; the data file
  // is slow. A snapshot of both shows two numbers that differ by one at most, and each block whole.
  const { pool, dir, close } = await poolStage(t, {}, slowWrites(1));
  for (const name of ['one', 'other']) await pool.createVolume({ name, size: MIB });
  const volumes = [pool.volume('one'), pool.volume('other')];
  let stop = false;
  const writer = (async () => {
    for (let n = 1; !stop; n++) {
      const data = Buffer.alloc(8 * KIB);
      for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(n, at);
      // Half of each block at a time, so that copies are made of what is shared.
      for (const volume of volumes) await volume.write((n % 2) * 8 * KIB, data);
    }
  })();
  for (let i = 0; i < 30; i++) {
    await pool.snapshot([
      { origin: 'one', name: `one${i}` },
      { origin: 'other', name: `other${i}` },
    ]);
    const [a, b] = await Promise.all([newest(pool, `one${i}`), newest(pool, `other${i}`)]);
    if (a - b !== 0 && a - b !== 1) t.fail(`snapshot ${i}: ${a} and ${b}`);
  }
  stop = true;
  await writer;
  for (const volume of volumes) await volume.close();
  await sound(t, dir, close);
});

/** The highest number in the two halves; the other must be one less. */
async function newest(pool: Pool, name: string): Promise<number> {
  const volume = pool.volume(name);
  const content = await contentOf(volume, 0, 16 * KIB);
  await volume.close();
  const [first, second] = [content.readUInt32LE(0), content.readUInt32LE(8 * KIB)];
  for (let at = 0; at < content.length; at += 4) {
    const wanted = at < 8 * KIB ? first : second;
    if (content.readUInt32LE(at) !== wanted) throw new Error(`${name}: torn at ${at}`);
  }
  if (Math.abs(first - second) > 1) throw new Error(`${name}: ${first} and ${second}`);
  return Math.max(first, second);
}

t.test('a snapshot does not change while its origin is written to', async t => {
  const { pool, dir, close } = await poolStage(t, {}, slowWrites(2));
  const flat = await filled(pool, 'origin', 1, MIB);
  const origin = pool.volume('origin');
  for (let round = 0; round < 10; round++) {
    const writes = Array.from({ length: 20 }, (_, i) =>
      Promise.resolve(origin.write(((i * 7) % 16) * BLOCK + i * 512, pattern(512, round * 100 + i))),
    );
    await pool.snapshot([{ origin: 'origin', name: `snap${round}` }]);
    const snap = pool.volume(`snap${round}`);
    const first = await contentOf(snap);
    await Promise.all(writes);
    t.equal(difference(await contentOf(snap), first), null, `round ${round}`);
    await snap.close();
  }
  t.not(difference(await contentOf(origin), flat), null);
  await origin.close();
  await sound(t, dir, close);
});

t.test('rollback', async t => {
  const { pool, dir, close } = await poolStage(t);
  const flat = await filled(pool, 'origin', 1, MIB);
  await pool.snapshot([{ origin: 'origin', name: 'snap', readOnly: true }]);
  await stomp(pool, 'origin', Buffer.from(flat), 2);
  const volume = pool.volume('origin');
  await refused(t, () => pool.rollback('origin', 'snap'), E.EBUSY, /origin is in use/);
  await volume.close();
  await pool.rollback('origin', 'snap');
  await holds(t, pool, 'origin', flat, 'what the snapshot has');
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 16, 'what was written since is gone');
  await stomp(pool, 'origin', Buffer.from(flat), 3);
  await holds(t, pool, 'snap', flat, 'the snapshot as it was');
  t.equal(await outcomeOf(() => pool.rollback('origin', 'none')), 'ENOENT');
  t.equal(await outcomeOf(() => pool.rollback('snap', 'origin')), 'EROFS');
  await sound(t, dir, close);
});
