// What was wrong once and must hold: writes that are under way when the blocks they go to become shared, are cut off, or
// belong to a pool that fails.
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { E, SysError } from '../../src/base/index.js';
import type { PartialVolume, Volume } from '../../src/thin/index.js';
import { checkPool, MetadataReader } from '../../src/thin/index.js';
import { BLOCK, MIB, outcomeOf } from '../support/thin-pool.js';
import {
  byteAt,
  bytes,
  ends,
  fullPool,
  Latch,
  LEAF,
  Meddled,
  noRoom,
  turns,
} from '../support/thin-regress.js';

/** A write of one page that is under way until `end`. */
function slowWrite(at: Meddled, volume: Volume, offset: number, byte: number): { end(): Promise<void> } {
  const latch = new Latch();
  at.data.write = async (to, data) => {
    await latch.opened;
    return at.file.write(to, data);
  };
  const writing = Promise.resolve(volume.write(offset, bytes(byte)));
  delete at.data.write;
  return {
    end() {
      latch.open();
      return ends(writing);
    },
  };
}

t.test('a write under way when a metadata snapshot is reserved is not lost to one beside it', async t => {
  const at = await Meddled.make(t, 64);
  await at.volume('v', 4 * MIB, [[0, 1]]);
  const v = at.pool.volume('v');
  // At once, so that what is read is what is there now.
  const fd = openSync(join(at.dir, 'data'), 'r');
  at.data.read = (offset, length, into, to) => void readSync(fd, into, to, length, offset);
  const slow = slowWrite(at, v, 0, 2);
  const reserving = at.pool.reserveMetadataSnapshot();
  await turns();
  const beside = Promise.resolve(v.write(8192, bytes(3)));
  await turns();
  await slow.end();
  await ends(Promise.all([beside, reserving]));
  t.equal(await byteAt(v, 0), 2);
  t.equal(await byteAt(v, 8192), 3);
  t.equal(await byteAt(v, 4096), 1);
  await v.close();
  closeSync(fd);
  await at.finish(t);
});

t.test(
  'snapshots of one instant: also of an origin that comes into use while another is waited for',
  async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', 4 * MIB, [[0, 1]]);
    await at.volume('w', 4 * MIB, [[0, 1]]);
    const v = at.pool.volume('v');
    const slow = slowWrite(at, v, 0, 2);
    const requests = [
      { origin: 'v', name: 'vs' },
      { origin: 'w', name: 'ws' },
    ];
    const snapping = at.pool.snapshot(requests);
    await turns();
    const w = at.pool.volume('w');
    const late = slowWrite(at, w, 0, 3);
    await turns();
    await slow.end();
    await ends(snapping);
    const ws = at.pool.volume('ws');
    const instant = await byteAt(ws, 0);
    await late.end();
    t.equal(await byteAt(w, 0), 3);
    t.equal(await byteAt(ws, 0), instant, 'a snapshot does not change');
    for (const volume of [v, w, ws]) await volume.close();
    await at.finish(t);
  },
);

t.test('no commit that was asked for earlier follows the mark of a damaged pool', async t => {
  const at = await Meddled.make(t, 64);
  await at.volume('v', 4 * MIB, [[0, 1]]);
  await at.close();
  await at.open();
  const held = at.holdCommit({ works: true });
  const changing = at.pool.setTransactionId(0, 7);
  await held.begun;
  const asked = outcomeOf(() => at.pool.commit());
  at.store.page = id => {
    throw new SysError(E.EUCLEAN, `page ${id} is damaged for the test`);
  };
  const v = at.pool.volume('v');
  t.equal(await outcomeOf(() => byteAt(v, 0)), 'EUCLEAN');
  held.end();
  await ends(changing);
  t.equal(await ends(asked), 'EUCLEAN');
  await v.close();
  await outcomeOf(() => at.close());
  const reader = MetadataReader.open(at.dir);
  t.equal(reader.pool.needs_check, 1);
  reader.close();
});

const LARGER: readonly (readonly [string, number])[] = [
  ['in as high a map', 32],
  ['in a higher map', 600],
];

for (const [what, place] of LARGER) {
  t.test(`a growth of a volume that fails leaves nothing beyond its end, ${what}`, async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', MIB, [[0, 1]]);
    const v = at.pool.volume('v');
    const held = at.holdCommit();
    const growing = outcomeOf(() => at.pool.resizeVolume('v', 2 * LEAF));
    await held.begun;
    t.equal(v.size, MIB);
    t.equal(await outcomeOf(() => v.write(place * BLOCK, bytes(2, BLOCK))), 'EINVAL');
    const slow = slowWrite(at, v, 0, 3);
    held.end();
    t.equal(await ends(growing), 'ENOSPC');
    await v.write(8192, bytes(4));
    await slow.end();
    t.equal(await byteAt(v, 0), 3);
    t.equal(at.pool.info('v').size, MIB);
    await ends(at.pool.resizeVolume('v', 2 * LEAF));
    t.equal(v.size, 2 * LEAF);
    t.equal(await byteAt(v, place * BLOCK), 0);
    t.equal(at.pool.info('v').mapped, 1);
    await v.close();
    await at.finish(t);
  });
}

/** Sets the count of v's block 1 to zero in the database, as damage would. */
async function miscounted(t: Test): Promise<Meddled> {
  const at = await Meddled.make(t, 64);
  await at.volume('v', 4 * MIB, [
    [0, 1],
    [1, 1],
    [2, 1],
  ]);
  await at.pool.createVolume({ name: 'w', size: MIB });
  await at.pool.snapshot([{ origin: 'v', name: 's' }]);
  const s = at.pool.volume('s');
  await s.write(5 * BLOCK, bytes(5, BLOCK));
  await s.close();
  await at.close();
  const reader = MetadataReader.open(at.dir);
  const [row] = reader.volumes();
  const damaged = [...reader.mappings(row!)][0]!.block + 1;
  reader.close();
  at.store.counts = (kind, chunk) => {
    const counts = at.real.counts(kind, chunk);
    if (kind === 'data') counts[damaged] = 0;
    return counts;
  };
  await at.open();
  return at;
}

t.test('a reference count that cannot be right stops the pool before it is made worse', async t => {
  const at = await miscounted(t);
  const counts = (): string => {
    const reader = MetadataReader.open(at.dir);
    const all = JSON.stringify([[...reader.counts('data')], reader.doomed()]);
    reader.close();
    return all;
  };
  const w = at.pool.volume('w');
  await at.pool.remove('s');
  const before = counts();
  await outcomeOf(() => at.pool.reclaimed());
  t.equal(at.pool.status().mode, 'fail');
  t.equal(await outcomeOf(() => w.write(0, bytes(9))), 'EIO');
  t.equal(await outcomeOf(() => at.pool.commit()), 'EUCLEAN');
  await w.close();
  await outcomeOf(() => at.close());
  t.equal(counts(), before, 'nothing half-done is committed');
  const reader = MetadataReader.open(at.dir);
  t.equal(reader.pool.needs_check, 1);
  reader.close();
});

t.test('who waits for space is told when the pool fails', async t => {
  const { at, v, waiting } = await fullPool(t);
  at.store.commit = async () => {
    throw new SysError(E.EIO, 'write error of the test');
  };
  await v.write(0, bytes(3));
  await at.pool.commit().catch(() => {});
  t.equal(await outcomeOf(() => at.pool.setTransactionId(0, 1)), 'EIO');
  t.equal(await outcomeOf(() => ends(waiting)), 'EIO');
  await v.close();
  await outcomeOf(() => at.close());
  delete at.store.commit;
  t.same((await checkPool(at.dir)).findings, []);
});

t.test('zeroing ends when all its pieces have, also when one fails at once', async t => {
  const at = await Meddled.make(t, 64);
  await at.volume('v', 4 * LEAF, [
    [0, 1],
    [512, 1],
  ]);
  await at.close();
  await at.open();
  const v = at.pool.volume('v');
  await v.write(0, bytes(2));
  const latch = new Latch();
  at.data.write = async (offset, data) => {
    await latch.opened;
    return at.file.write(offset, data);
  };
  at.store.page = id => {
    throw new SysError(E.EUCLEAN, `page ${id} is damaged for the test`);
  };
  let ended = false;
  const zeroing = outcomeOf(() => v.zero(4096, 2 * LEAF, true)).finally(() => {
    ended = true;
  });
  await turns();
  t.notOk(ended);
  latch.open();
  t.equal(await ends(zeroing), 'EUCLEAN');
  await v.close();
  await outcomeOf(() => at.close());
});

t.test('zeroing a large range lets others have their turns', async t => {
  const at = await Meddled.make(t, 2048);
  await at.pool.createVolume({ name: 'v', size: 2 ** 44 });
  const v = at.pool.volume('v');
  let pieces = 0;
  at.data.write = () => {
    pieces++;
  };
  const zeroing = v.zero(0, 1024 * BLOCK, false);
  t.ok(pieces < 200, `${pieces} blocks at once`);
  await ends(zeroing);
  t.equal(at.pool.info('v').mapped, 1024);
  // 2^28 blocks, none of them there: that must not take as many steps.
  await at.pool.configure({ discards: 'ignore' });
  const begun = setImmediate('a turn');
  const holes = Promise.resolve(v.zero(1024 * BLOCK, 2 ** 44 - 1024 * BLOCK, true));
  t.equal(await Promise.race([begun, holes.then(() => 'all of it')]), 'a turn');
  await ends(holes);
  await v.close();
  await at.finish(t);
});

t.test('an id that is used again is not taken for the origin of a snapshot', async t => {
  const at = await Meddled.make(t, 64);
  await at.pool.createVolume({ name: 'v', size: MIB, id: 9 });
  await at.pool.snapshot([{ origin: 'v', name: 's', id: 3 }]);
  t.equal(at.pool.info('s').origin, 'v');
  await at.pool.remove('v');
  t.equal(at.pool.info('s').origin, null);
  await at.pool.createVolume({ name: 'other', size: MIB, id: 9 });
  t.equal(at.pool.info('s').origin, null);
  await at.finish(t);
});

const DROPPED: readonly (readonly [string, (partial: PartialVolume) => Promise<unknown>])[] = [
  ['cannot be finished', partial => partial.finish({ readOnly: false })],
  ['is abandoned', partial => partial.abandon()],
];

for (const [what, end] of DROPPED) {
  t.test(`a half-made volume that ${what} while nothing can be committed goes when it can`, async t => {
    const at = await Meddled.make(t, 64);
    const partial = await at.pool.partialVolume({ name: 'p', size: MIB, guid: 'p' });
    await partial.write(0, bytes(2, BLOCK));
    at.store.commit = async () => {
      throw noRoom();
    };
    t.equal(await outcomeOf(() => end(partial)), 'ENOSPC');
    delete at.store.commit;
    await at.pool.commit();
    await at.pool.createVolume({ name: 'p', size: MIB });
    await ends(at.pool.reclaimed());
    t.equal(at.pool.status().usedBlocks, 0);
    await at.finish(t);
  });
}

t.test('a pool with a half-made volume opens on a full disk', async t => {
  const at = await Meddled.make(t, 64);
  await at.volume('v', MIB, [[0, 1]]);
  const partial = await at.pool.partialVolume({ name: 'p', size: MIB, guid: 'p' });
  await partial.write(0, bytes(2, BLOCK));
  await at.pool.commit();
  await partial.close();
  await at.close();
  at.store.commit = async () => {
    throw new SysError(E.ENOSPC, 'no room for the test');
  };
  t.equal(await outcomeOf(() => at.open()), 'done');
  const v = at.pool.volume('v');
  t.equal(await byteAt(v, 0), 1);
  await v.close();
  delete at.store.commit;
  await at.pool.commit();
  await at.pool.setTransactionId(0, 1);
  await ends(at.pool.reclaimed());
  t.equal(at.pool.status().usedBlocks, 1);
  await at.finish(t);
});
