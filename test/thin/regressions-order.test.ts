// What was wrong once and must hold: when a commit begins, what is in it, and what is not.
import { cpSync } from 'node:fs';
import t from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { checkPool, MetadataReader, type Pool } from '../../src/thin/index.js';
import { BLOCK, MIB, outcomeOf, TIB } from '../support/thin-pool.js';
import { byteAt, bytes, ends, fullPool, LEAF, Meddled, turns } from '../support/thin-regress.js';

t.test('a commit that is hurried for a writer does not begin in the middle of an unmapping', async t => {
  const { at, v, waiting } = await fullPool(t);
  const shots: string[] = [];
  at.committed = () => {
    shots.push(at.shot());
  };
  await v.discard(3 * BLOCK, 5 * BLOCK);
  await ends(waiting);
  await v.close();
  await at.finish(t);
  t.ok(shots.length > 0);
  for (const shot of shots) t.same((await checkPool(shot)).findings, []);
});

/** Operations, and what the first commit after each must hold: volumes, those in the metadata snapshot, and v's blocks in w. */
const WHOLE: readonly (readonly [string, (pool: Pool) => Promise<unknown>, string[], number])[] = [
  [
    'snapshots of one instant',
    pool =>
      pool.snapshot([
        { origin: 'v', name: 's1' },
        { origin: 'w', name: 's2' },
      ]),
    ['v', 'w', 's1', 's2'],
    0,
  ],
  ['a removal', pool => pool.remove('w'), ['v'], 0],
  ['a metadata snapshot', pool => pool.reserveMetadataSnapshot(), ['v', 'w'], 2],
  ['a rollback', pool => pool.rollback('w', 'v'), ['v', 'w'], 0],
];

for (const [what, run, names, held] of WHOLE) {
  t.test(`${what} is in one commit, also when much has gathered before`, async t => {
    const at = await Meddled.make(t, 4000);
    await at.pool.createVolume({ name: 'v', size: 8 * TIB });
    await at.volume('w', 16 * MIB, [[0, 1]]);
    const v = at.pool.volume('v');
    await v.write(0, bytes(1));
    const slow = at.holdCommit({ works: true });
    const flushing = v.flush();
    await slow.begun;
    for (let i = 1; i <= 1500; i++) await v.write(i * LEAF, bytes(1));
    let first: string | null = null;
    slow.end();
    await flushing;
    at.committed = () => {
      first ??= at.shot();
    };
    await run(at.pool);
    if (first === null) return t.fail('nothing was committed');
    const reader = MetadataReader.open(first);
    t.same(
      reader.volumes().map(row => row.name),
      names,
    );
    const times = reader.volumes().map(row => row.creation_time);
    t.same(times, what.startsWith('snap') ? [0, 0, 1, 1] : names.map(() => 0));
    t.equal(reader.held().length, held);
    t.equal(reader.pool.held_time !== null, held > 0);
    reader.close();
    t.same((await checkPool(first)).findings, []);
    await v.close();
    await at.finish(t);
  });
}

const UNDONE: readonly (readonly [string, (pool: Pool) => Promise<unknown>])[] = [
  ['snapshot', pool => pool.snapshot([{ origin: 'v', name: 's' }])],
  ['removal', pool => pool.remove('w')],
];

for (const [what, run] of UNDONE) {
  t.test(`a ${what} that failed is in no later commit`, async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', 4 * MIB, [[0, 1]]);
    await at.volume('w', 4 * MIB, []);
    const log: string[] = [];
    at.committed = () => {
      const reader = MetadataReader.open(at.dir);
      log.push(
        reader
          .volumes()
          .map(row => row.name)
          .join(' '),
      );
      reader.close();
    };
    const v = at.pool.volume('v');
    const first = at.holdCommit({ works: true });
    const second = at.holdCommit();
    await v.write(BLOCK, bytes(1, BLOCK));
    const flushed = v.flush();
    await first.begun;
    const failing = outcomeOf(() => run(at.pool));
    await turns();
    first.end();
    await flushed;
    await second.begun;
    await v.write(2 * BLOCK, bytes(1, BLOCK));
    const flushedAgain = v.flush();
    second.end();
    t.equal(await ends(failing), 'ENOSPC');
    await flushedAgain;
    await v.close();
    t.same(log, ['v w', 'v w']);
    await at.finish(t);
  });
}

t.test(
  'the mark of a damaged pool comes after the commit that is under way, and takes nothing back',
  async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', 4 * MIB, [[0, 1]]);
    await at.close();
    await at.open();
    const held = at.holdCommit({ works: true });
    const changing = at.pool.setTransactionId(0, 7);
    await held.begun;
    at.store.page = id => {
      throw new SysError(E.EUCLEAN, `page ${id} is damaged for the test`);
    };
    const v = at.pool.volume('v');
    t.equal(await outcomeOf(() => byteAt(v, 0)), 'EUCLEAN');
    t.equal(at.pool.status().mode, 'fail');
    await turns();
    held.end();
    await ends(changing);
    await v.close();
    await outcomeOf(() => at.close());
    delete at.store.page;
    const reader = MetadataReader.open(at.dir);
    t.equal(reader.pool.needs_check, 1);
    t.equal(reader.pool.transaction_id, 7);
    reader.close();
  },
);

t.test('metadata that cannot be read in the middle of a change is not committed half-changed', async t => {
  const base = await Meddled.make(t, 2200);
  await base.pool.createVolume({ name: 'v', size: 3000 * LEAF });
  const volume = base.pool.volume('v');
  for (let i = 0; i < 2100; i++) await volume.write(i * BLOCK, bytes(1));
  await volume.close();
  await base.pool.createVolume({ name: 'w', size: 64 * BLOCK });
  await base.pool.snapshot([{ origin: 'v', name: 's' }]);
  await base.close();
  const saved = base.place.path('saved.db');
  cpSync(`${base.dir}/pool.db`, saved);
  let failures = 0;
  for (let bad = 1; bad <= 8; bad++) {
    cpSync(saved, `${base.dir}/pool.db`);
    const pool = await base.open();
    const w = pool.volume('w');
    await w.write(0, bytes(2, BLOCK));
    await w.flush();
    let reads = 0;
    const fail = <T>(read: () => T): T => {
      if (++reads === bad) throw new SysError(E.EIO, 'read error of the test');
      return read();
    };
    base.store.page = id => fail(() => base.real.page(id));
    base.store.counts = (kind, chunk) => fail(() => base.real.counts(kind, chunk));
    const v = pool.volume('v');
    const written = await outcomeOf(() => v.write(BLOCK, bytes(2, BLOCK)));
    if (written !== 'done') {
      failures++;
      t.equal(pool.status().mode, 'fail');
      t.equal(await outcomeOf(() => v.flush()), 'EIO');
    }
    delete base.store.page;
    delete base.store.counts;
    await outcomeOf(() => pool.close());
    t.same((await checkPool(base.dir)).findings, [], `after an error at read ${bad}`);
  }
  t.ok(failures >= 2, `${failures} errors met the change`);
});
