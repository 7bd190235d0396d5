// What was wrong once and must hold: operations that meet one another, undo, close, and errors in the middle of things. Space
// is in regressions-space.test.ts, commits in regressions-order.test.ts.
import { closeSync, fstatSync, openSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { RefCounts } from '../../src/thin/counts.js';
import { CHUNK, PAGE_WORDS } from '../../src/thin/entry.js';
import { checkPool, type Pool } from '../../src/thin/index.js';
import { PageCache } from '../../src/thin/pages.js';
import { MapTree, type Root } from '../../src/thin/tree.js';
import { Random } from '../support/random.js';
import { BLOCK, MIB, outcomeOf } from '../support/thin-pool.js';
import { byteAt, bytes, ends, fullOf, Latch, LEAF, Meddled, turns } from '../support/thin-regress.js';

const UNDONE: readonly (readonly [string, (pool: Pool) => Promise<void>])[] = [
  ['remove', pool => pool.remove('v')],
  ['rollback', pool => pool.rollback('v', 'w')],
  ['release of the metadata snapshot', pool => pool.releaseMetadataSnapshot()],
];

for (const [what, run] of UNDONE) {
  t.test(`a ${what} that failed leaves each sharer of the map its own data`, async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', 4 * MIB, [
      [0, 0x56],
      [1, 0x56],
    ]);
    await at.volume('w', 4 * MIB, [[0, 0x57]]);
    await at.pool.snapshot([{ origin: 'v', name: 's' }]);
    if (what.startsWith('release')) {
      // The root is then the metadata snapshot's and `s`'s alone.
      await at.pool.reserveMetadataSnapshot();
      await at.pool.remove('v');
      await at.pool.reclaimed();
    }
    const s = at.pool.volume('s');
    const held = at.holdCommit();
    const failing = outcomeOf(() => run(at.pool));
    await held.begun;
    await s.write(0, bytes(0x53, BLOCK));
    await s.discard(BLOCK, BLOCK);
    held.end();
    t.equal(await ends(failing), 'ENOSPC');
    if (!what.startsWith('release')) {
      const v = at.pool.volume('v');
      t.equal(await byteAt(v, 0), 0x56);
      t.equal(await byteAt(v, BLOCK), 0x56);
      await v.close();
    }
    t.equal(at.pool.status().held, what.startsWith('release'));
    t.equal(await byteAt(s, 0), 0x53);
    t.equal(await byteAt(s, BLOCK), 0);
    await s.close();
    await at.pool.reclaimed();
    t.same((await checkPool(at.dir)).findings, []);
    await at.finish(t);
  });
}

t.test('a page that was dropped while somebody held it is back when it is changed', async t => {
  const cache = new PageCache(1, () => new Uint32Array(PAGE_WORDS));
  const page = cache.get(1);
  for (let id = 2; id < 10; id++) cache.get(id);
  page.words[0] = 7;
  cache.change(page);
  t.equal(cache.get(1).words[0], 7);
  t.ok(cache.has(page));
});

t.test('a page that is being changed stays in the cache, however small the cache is', async t => {
  const stored = {
    pages: new Map<number, Uint32Array>(),
    data: new Map<number, Uint32Array>(),
    counts: new Map<number, Uint32Array>(),
  };
  const load =
    (from: Map<number, Uint32Array>, words: number) =>
    (id: number): Uint32Array =>
      from.get(id)?.slice() ?? new Uint32Array(words);
  const pages = new PageCache(1, load(stored.pages, PAGE_WORDS));
  const pageCounts = new RefCounts(1, Number.POSITIVE_INFINITY, 1, [], load(stored.counts, CHUNK));
  const dataCounts = new RefCounts(1, 64 * CHUNK, 0, [], load(stored.data, CHUNK));
  const tree = new MapTree(pages, pageCounts, dataCounts, () => {});
  const commit = (): void => {
    for (const page of pages.changed) stored.pages.set(page.id, page.words.slice());
    for (const id of pages.removed) stored.pages.delete(id);
    pages.removed.clear();
    for (const [counts, into] of [
      [pageCounts, stored.counts],
      [dataCounts, stored.data],
    ] as const) {
      for (const chunk of counts.changed) into.set(chunk.id, chunk.counts.slice());
      for (const chunk of counts.changed) chunk.dirty = false;
      counts.changed.clear();
      counts.freeze();
      counts.thaw(true);
    }
    for (const page of pages.changed) page.dirty = false;
    pages.changed.clear();
  };
  const random = new Random(5);
  const maps: { map: Root; model: Map<number, number> }[] = [
    { map: { root: 0, depth: 3, mapped: 0 }, model: new Map() },
  ];
  let block = 0;
  for (let step = 0; step < 3000; step++) {
    const { map, model } = random.pick(maps);
    const index = random.below(20) * 512 * 512 + random.below(4) * 512 + random.below(3);
    if (random.oneIn(5)) {
      tree.unmap(map, index, index + 1);
      model.delete(index);
    } else {
      // Blocks of all chunks in turn, each once.
      const fresh = (block % 64) * CHUNK + Math.floor(block / 64);
      block++;
      tree.insert(map, index, fresh, 0);
      model.set(index, fresh);
    }
    if (random.oneIn(100) && maps.length < 8) {
      tree.share(map);
      maps.push({ map: { ...map }, model: new Map(model) });
    }
    if (random.oneIn(2)) commit();
  }
  for (const { map, model } of maps) {
    t.same(map.mapped, model.size);
    const found = [...model.keys()].map(index => [index, tree.find(map, index)]);
    t.same(found, [...model]);
  }
});

t.test('a handle closes when its writes have ended, and a later handle does not meet them', async t => {
  const at = await Meddled.make(t, 64);
  await at.volume('v', 4 * MIB, [[5, 9]]);
  const a = at.pool.volume('v');
  const latch = new Latch();
  at.data.write = async (offset, data) => {
    await latch.opened;
    return at.file.write(offset, data);
  };
  const first = a.write(0, bytes(1));
  delete at.data.write;
  let closed = false;
  const closing = a.close().then(() => {
    closed = true;
  });
  await turns();
  t.equal(closed, false, 'the handle is not closed while its write is under way');
  t.equal(await outcomeOf(() => at.pool.remove('v')), 'EBUSY');
  const b = at.pool.volume('v');
  const second = b.write(8192, bytes(2));
  latch.open();
  await ends(Promise.all([first, second, closing]));
  await b.flush();
  t.equal(await byteAt(b, 0), 1);
  t.equal(await byteAt(b, 8192), 2);
  await b.close();
  await at.pool.remove('v');
  t.same(at.pool.list(), []);
  await at.finish(t);
});

t.test('a write of which a piece fails at once ends when its other pieces have', async t => {
  const at = await Meddled.make(t, 8);
  await at.volume('v', 4 * MIB, [
    [0, 1],
    [2, 1],
  ]);
  const v = at.pool.volume('v');
  const latch = new Latch();
  let calls = 0;
  at.data.write = () => {
    if (calls++ > 0) throw new SysError(E.EIO, 'at once');
    return latch.opened.then(() => {
      throw new SysError(E.EIO, 'later');
    });
  };
  let told = false;
  const writing = Promise.resolve(v.write(0, bytes(9, 3 * BLOCK))).finally(() => {
    told = true;
  });
  await turns();
  t.equal(told, false, 'the caller keeps his buffer until all pieces have ended');
  latch.open();
  t.equal(await outcomeOf(() => writing), 'EIO');
  for (let i = 0; i < 20; i++) t.equal(await outcomeOf(() => v.write(5 * BLOCK, bytes(9, BLOCK))), 'EIO');
  for (let i = 0; i < 20; i++) t.equal(await outcomeOf(() => v.write(6 * BLOCK, bytes(9))), 'EIO');
  delete at.data.write;
  for (let i = 10; i < 16; i++) await v.write(i * BLOCK, bytes(1, BLOCK));
  t.equal(at.pool.status().usedBlocks, 8, 'blocks of failed writes can be used');
  await v.close();
  await at.finish(t);
});

t.test('a read of which a piece fails at once ends when its other pieces have', async t => {
  const at = await Meddled.make(t, 8);
  // Written in this order, they do not follow one another in the data file.
  await at.volume('v', 4 * MIB, [
    [1, 1],
    [0, 1],
  ]);
  const v = at.pool.volume('v');
  const latch = new Latch();
  let calls = 0;
  at.data.read = () => {
    if (calls++ > 0) throw new SysError(E.EIO, 'at once');
    return latch.opened;
  };
  let told = false;
  const reading = Promise.resolve(v.read(0, 2 * BLOCK, Buffer.alloc(2 * BLOCK), 0)).finally(() => {
    told = true;
  });
  await turns();
  t.equal(told, false);
  latch.open();
  t.equal(await outcomeOf(() => reading), 'EIO');
  delete at.data.read;
  await v.close();
  await at.finish(t);
});

t.test(
  'a close whose commit fails first ends the freeing of blocks: no descriptor is used after its end',
  async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', 4 * MIB, fullOf(20));
    const v = at.pool.volume('v');
    for (let i = 0; i < 20; i += 2) await v.discard(i * BLOCK, BLOCK);
    const begun = new Latch();
    const latch = new Latch();
    let closed = false;
    const punched: boolean[] = [];
    at.data.punch = async (offset, length) => {
      begun.open();
      await latch.opened;
      punched.push(closed);
      return at.file.punch(offset, length);
    };
    at.data.close = () => {
      closed = true;
      at.file.close();
    };
    await v.flush();
    await begun.opened;
    const held = at.holdCommit();
    await v.write(BLOCK, bytes(2));
    await v.write(30 * BLOCK, bytes(2));
    const closing = outcomeOf(() => at.close());
    await held.begun;
    held.end();
    await turns();
    latch.open();
    t.equal(await ends(closing), 'ENOSPC');
    t.ok(punched.length >= 10, `${punched.length} punches`);
    t.notOk(punched.includes(true), 'none after the data file was closed');
    // Whatever gets its number now must not be met.
    const other = at.place.write('other', 'x');
    const opened = Array.from({ length: 12 }, () => openSync(other, 'r+'));
    t.equal(await outcomeOf(() => at.file.punch(0, BLOCK)), 'EBADF');
    t.equal(await outcomeOf(() => at.file.write(0, bytes(1))), 'EBADF');
    for (const fd of opened) closeSync(fd);
    delete at.data.punch;
    delete at.data.close;
    await at.open();
    await at.finish(t);
  },
);

t.test('an external origin is closed once, when its reads have ended', async t => {
  const at = await Meddled.make(t, 64);
  const origin = at.place.write('origin', '\x11'.repeat(16 * MIB));
  const other = at.place.write('other', '\x22'.repeat(16 * MIB));
  await at.pool.createVolume({ name: 'e', size: 16 * MIB, external: origin });
  const opened: number[] = [];
  const openMany = (): void => {
    for (let i = 0; i < 12; i++) opened.push(openSync(other, 'r'));
  };
  t.teardown(() => {
    for (const fd of opened) closeSync(fd);
  });
  const wanted = bytes(0x11, MIB);
  for (const close of ['handle', 'pool']) {
    const handle = at.pool.volume('e');
    const buffers = Array.from({ length: 16 }, () => Buffer.alloc(MIB));
    const reads = buffers.map((into, i) => handle.read(i * MIB, MIB, into, 0));
    const closing = close === 'handle' ? handle.close() : at.close();
    openMany();
    await Promise.all(reads);
    await closing;
    t.ok(
      buffers.every(found => found.equals(wanted)),
      `reads under way when the ${close} closes`,
    );
    openMany();
    await handle.close();
    for (const fd of opened) t.ok(fstatSync(fd).isFile(), 'a descriptor of somebody else');
  }
  await at.open();
  await at.finish(t);
});

t.test('nobody opens a volume while it is rolled back or made smaller', async t => {
  const at = await Meddled.make(t, 128);
  await at.volume('v', 4 * MIB, [[40, 1]]);
  await at.volume('s', 2 * MIB, [[0, 2]]);
  const s = at.pool.volume('s');
  const latch = new Latch();
  at.data.write = async (offset, data) => {
    await latch.opened;
    return at.file.write(offset, data);
  };
  const writing = s.write(0, bytes(3, BLOCK));
  delete at.data.write;
  const rolling = at.pool.rollback('v', 's');
  await turns();
  t.equal(await outcomeOf(() => at.pool.volume('v')), 'EBUSY');
  latch.open();
  await ends(Promise.all([writing, rolling]));
  t.equal(at.pool.info('v').size, 2 * MIB);
  await s.close();

  await at.pool.createVolume({ name: 'r', size: 100 * LEAF });
  const r = at.pool.volume('r');
  for (let leaf = 0; leaf < 100; leaf++) await r.write(leaf * LEAF, bytes(7));
  await r.close();
  const shrinking = at.pool.resizeVolume('r', BLOCK);
  // The map's end is cut off in turns of 32 leaves: this is between two of them.
  await setImmediate();
  t.equal(await outcomeOf(() => at.pool.volume('r')), 'EBUSY');
  await ends(shrinking);
  t.equal(at.pool.info('r').mapped, 1);
  await at.finish(t);
});

const MADE: readonly (readonly [string, string, (pool: Pool) => Promise<unknown>])[] = [
  ['a snapshot', 's', pool => pool.snapshot([{ origin: 'v', name: 's' }])],
  ['a new volume', 'n', pool => pool.createVolume({ name: 'n', size: MIB })],
  ['a volume that becomes writable', 'ro', pool => pool.setReadOnly('ro', false)],
];

for (const [what, name, run] of MADE) {
  t.test(`${what} cannot be used before it is durable`, async t => {
    const at = await Meddled.make(t, 64);
    await at.volume('v', 4 * MIB, [[0, 0x56]]);
    await at.pool.createVolume({ name: 'ro', size: MIB, readOnly: true });
    const before = at.pool.list();
    const held = at.holdCommit();
    const failing = outcomeOf(() => run(at.pool));
    await held.begun;
    t.equal(await outcomeOf(() => at.pool.volume(name)), 'EBUSY');
    held.end();
    t.equal(await ends(failing), 'ENOSPC');
    const fields = (pool: Pool) => pool.list().map(({ name, guid, readOnly }) => ({ name, guid, readOnly }));
    t.same(
      fields(at.pool),
      before.map(({ name, guid, readOnly }) => ({ name, guid, readOnly })),
    );
    await at.pool.commit();
    const v = at.pool.volume('v');
    await v.write(0, bytes(1));
    await v.close();
    await run(at.pool);
    await at.finish(t);
  });
}
