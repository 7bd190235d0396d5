// What was wrong once and must hold: full pools and those who wait there, timers, and what is left when commits fail.
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { checkPool, Pool } from '../../src/thin/index.js';
import { scratch } from '../support/cleanup.js';
import { BLOCK, MIB, outcomeOf, TIB } from '../support/thin-pool.js';
import {
  byteAt,
  bytes,
  ends,
  fullOf,
  fullPool,
  Latch,
  LEAF,
  Meddled,
  meddleTimers,
  noRoom,
  turns,
} from '../support/thin-regress.js';

t.test('free blocks are found wherever the search for them begins', async t => {
  const size = 16 * MIB;
  const at = await Meddled.make(t, 10, { blockSize: size });
  await at.pool.createVolume({ name: 'v', size: 20 * size });
  const v = at.pool.volume('v');
  for (let i = 0; i < 10; i++) await v.write(i * size, bytes(1));
  for (let round = 0; round < 8; round++) {
    await v.discard(0, 3 * size);
    await at.pool.reclaimed();
    for (let i = 0; i < 3; i++) t.equal(await outcomeOf(() => v.write(i * size, bytes(2))), 'done');
    t.equal(await outcomeOf(() => v.write(15 * size, bytes(2))), 'ENOSPC');
    t.equal(at.pool.status().usedBlocks, 10);
  }
  await v.close();
  await at.pool.commit();
  await at.finish(t);
});

t.test('a discard does not wait for a write that waits for space', async t => {
  const { at, v, waiting } = await fullPool(t);
  await ends(v.discard(0, 64 * BLOCK));
  await ends(waiting);
  t.equal(await byteAt(v, 20 * BLOCK), 2);
  t.equal(await byteAt(v, 0), 0);
  t.equal(at.pool.info('v').mapped, 1);
  await v.close();
  await at.finish(t);
});

t.test(
  'making a volume smaller never waits for space: it fails at once, and nothing has changed',
  async t => {
    const at = await Meddled.make(t, 16, { onFull: 'queue', noSpaceTimeout: 0 });
    await at.volume('v', 16 * BLOCK, fullOf(16));
    await at.pool.snapshot([{ origin: 'v', name: 's' }]);
    t.equal(await ends(outcomeOf(() => at.pool.resizeVolume('v', 14 * BLOCK + 4096))), 'ENOSPC');
    t.equal(at.pool.info('v').size, 16 * BLOCK);
    t.equal(at.pool.info('v').mapped, 16);
    await ends(at.pool.grow(32 * BLOCK));
    await ends(at.pool.resizeVolume('v', 14 * BLOCK + 4096));
    await ends(at.pool.remove('s'));
    await at.finish(t);
  },
);

t.test('no timer is left when a pool is closed', async t => {
  const timers = meddleTimers(t, ms => ms);
  const at = await Meddled.make(t, 2000);
  await at.pool.createVolume({ name: 'v', size: 4 * TIB });
  const v = at.pool.volume('v');
  // More than a transaction gathers before it is committed unasked.
  for (let i = 0; i < 1500; i++) await v.write(i * LEAF, bytes(1));
  await turns();
  await v.close();
  await at.finish(t);
  t.equal(timers.left, 0);
});

t.test('a commit worker that cannot work says so, and the next one does', async t => {
  const dir = scratch(t, 'regress', { in: 'memory' }).path('pool');
  await Pool.create(dir, { size: 64 * BLOCK });
  const pool = await Pool.open(dir);
  const errors: SysError[] = [];
  pool.on('commitError', error => errors.push(error));
  await pool.createVolume({ name: 'v', size: 4 * MIB });
  const v = pool.volume('v');
  // The connection that is there stays; the worker opens its own.
  const path = join(dir, 'pool.db');
  await pool.commit();
  await pool.close();
  const again = await Pool.open(dir);
  again.on('commitError', error => errors.push(error));
  const w = again.volume('v');
  await w.write(0, bytes(1));
  renameSync(path, `${path}.away`);
  const failed = await ends(outcomeOf(() => w.flush()));
  t.not(failed, 'done');
  t.equal(errors.length, 1);
  if (existsSync(path)) t.fail('the worker made a new database');
  renameSync(`${path}.away`, path);
  t.equal(await ends(outcomeOf(() => w.flush())), 'done');
  await w.close();
  await v.close();
  await ends(again.close());
  t.same((await checkPool(dir)).findings, []);
});

t.test('a volume can be removed when the metadata is full and much is uncommitted', async t => {
  const at = await Meddled.make(t, 8000, { metadataLimit: 2 * MIB });
  await at.volume('w', 4 * MIB, [[0, 1]]);
  await at.pool.createVolume({ name: 'v', size: 8 * TIB });
  const v = at.pool.volume('v');
  const held = at.holdCommit({ works: true });
  // Writes end at once, so that one which does not waits for the commit.
  at.data.write = () => {};
  let written = 0;
  let waits: Promise<void> | null = null;
  while (waits === null && written < 6000) {
    // The commit that begins when much has gathered is held, and more gathers.
    const writing = Promise.resolve(v.write(written++ * LEAF, bytes(1)));
    const ended = writing.then(() => true);
    if (!(await Promise.race([ended, turns().then(() => false)]))) waits = writing;
  }
  t.ok(written > 1024 && written < 6000, `writers wait after ${written} writes`);
  held.end();
  t.equal(await ends(outcomeOf(() => waits)), 'ENOSPC');
  await v.close();
  t.equal(await ends(outcomeOf(() => at.pool.remove('w'))), 'done');
  t.equal(await ends(outcomeOf(() => at.pool.remove('v'))), 'done');
  await ends(at.pool.reclaimed());
  t.equal(at.pool.status().usedBlocks, 0);
  t.equal(at.pool.status().mode, 'rw');
  await at.finish(t);
});

t.test('a pool that has room again says so at once', async t => {
  const at = await Meddled.make(t, 8);
  const modes: string[] = [];
  at.pool.on('mode', mode => modes.push(mode));
  await at.volume('v', 64 * BLOCK, fullOf(8));
  const v = at.pool.volume('v');
  t.equal(await outcomeOf(() => v.write(8 * BLOCK, bytes(1))), 'ENOSPC');
  t.equal(at.pool.status().mode, 'out_of_data_space');
  await at.pool.grow(9 * BLOCK);
  t.equal(at.pool.status().mode, 'rw');
  await v.write(8 * BLOCK, bytes(1));
  t.equal(await outcomeOf(() => v.write(9 * BLOCK, bytes(1))), 'ENOSPC');
  await v.discard(0, BLOCK);
  await at.pool.reclaimed();
  t.equal(at.pool.status().mode, 'rw');
  t.same(modes, ['out_of_data_space', 'rw', 'out_of_data_space', 'rw']);
  await v.close();
  await at.finish(t);
});

t.test('a write that waits for space gets what a discard frees without waiting for a timer', async t => {
  meddleTimers(t, ms => (ms > 400 && ms <= 1000 ? null : ms));
  const { at, v, waiting } = await fullPool(t);
  await v.discard(0, BLOCK);
  await ends(waiting);
  t.equal(await byteAt(v, 20 * BLOCK), 2);
  await v.close();
  await at.finish(t);
});

t.test('writers that wait on a full disk look again, and leave nothing behind each time', async t => {
  meddleTimers(t, ms => (ms === 500 ? 1 : ms));
  const at = await Meddled.make(t, 1024, { onFull: 'queue', noSpaceTimeout: 0 });
  await at.pool.createVolume({ name: 'v', size: 64 * MIB });
  const v = at.pool.volume('v');
  const looked = new Latch();
  let looks = 0;
  at.data.prepare = async () => {
    if (++looks >= 60) looked.open();
    throw noRoom();
  };
  const writes = Array.from({ length: 10 }, (_, i) => v.write(i * BLOCK, bytes(i + 1)));
  await ends(looked.opened);
  const core: unknown = Reflect.get(at.pool, 'core');
  const space: unknown = Reflect.get(core as object, 'space');
  const waiting: unknown = Reflect.get(space as object, 'waiting');
  if (waiting instanceof Set) t.ok(waiting.size <= 10, `${waiting.size} wait`);
  else t.fail('nobody knows who waits');
  at.data.prepare = async () => {};
  await ends(Promise.all(writes));
  t.equal(await byteAt(v, 9 * BLOCK), 10);
  await v.close();
  await at.finish(t);
});

t.test('growing is undone when its commit fails, and one after the other', async t => {
  const at = await Meddled.make(t, 8, { growThreshold: 50, growPercent: 100 });
  const alone = at.holdCommit();
  const growing = outcomeOf(() => at.pool.grow(64 * BLOCK));
  await alone.begun;
  alone.end();
  t.equal(await ends(growing), 'ENOSPC');
  t.equal(at.pool.status().dataBlocks, 8);
  await at.volume('v', 64 * BLOCK, [[0, 1]]);
  const v = at.pool.volume('v');
  const byItself = at.holdCommit();
  for (let i = 1; i < 4; i++) await v.write(i * BLOCK, bytes(1));
  await byItself.begun;
  const byHand = at.pool.grow(32 * BLOCK);
  await turns();
  byItself.end();
  await ends(byHand);
  t.equal(at.pool.status().dataBlocks, 32);
  await v.close();
  await at.finish(t);
});

t.test('close lets go of everything when the commit of what is being reclaimed fails', async t => {
  const at = await Meddled.make(t, 2000);
  await at.pool.createVolume({ name: 'v', size: 8 * TIB });
  const v = at.pool.volume('v');
  for (let i = 0; i < 1500; i++) await v.write(i * LEAF, bytes(1));
  await v.close();
  await at.pool.remove('v');
  const first = at.holdCommit();
  const second = at.holdCommit();
  await ends(first.begun);
  const closing = outcomeOf(() => at.close());
  await turns();
  first.end();
  second.end();
  t.equal(await ends(closing), 'ENOSPC');
  await ends(at.open());
  await at.pool.reclaimed();
  t.equal(at.pool.status().usedBlocks, 0);
  await at.finish(t);
});

t.test('close lets go of everything when space cannot be given back', async t => {
  const at = await Meddled.make(t, 64);
  await at.volume('v', 4 * MIB, [[0, 1]]);
  at.data.punch = async () => {
    throw new SysError(E.EIO, 'the test does not punch');
  };
  t.equal(await ends(outcomeOf(() => at.close())), 'EIO');
  delete at.data.punch;
  await ends(at.open());
  await at.finish(t);
});
