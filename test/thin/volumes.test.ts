// Volumes as things: what they are called, their ids, sizes, guids and times; resizing, read-only, handles.
import t from 'tap';
import { E } from '../../src/base/index.js';
import { checkPool } from '../../src/thin/check.js';
import {
  BLOCK,
  contentOf,
  difference,
  GIB,
  KIB,
  MIB,
  pattern,
  piecesOf,
  poolStage,
  refused,
} from '../support/thin-pool.js';

t.test('what a volume says about itself', async t => {
  const { pool, reopen } = await poolStage(t);
  const made = await pool.createVolume({ name: 'thin', size: GIB });
  t.match(made, {
    id: 0,
    name: 'thin',
    size: GIB,
    mapped: 0,
    readOnly: false,
    active: false,
    transactionId: 0,
    creationTime: 0,
    origin: null,
    external: null,
  });
  t.same(pool.info('thin'), made);
  t.same(pool.list(), [made]);
  const thin = pool.volume('thin');
  t.match(thin, { name: 'thin', id: 0, size: GIB, blockSize: BLOCK, readOnly: false });
  t.ok(pool.info('thin').active);
  await thin.write(0, pattern(3 * BLOCK, 1));
  await pool.snapshot([{ origin: 'thin', name: 'snap', id: 77, readOnly: true }]);
  const snap = pool.info('snap');
  t.match(snap, {
    id: 77,
    size: GIB,
    mapped: 3,
    readOnly: true,
    origin: 'thin',
    creationTime: 1,
    snapTime: 1,
  });
  t.not(snap.guid, made.guid);
  t.equal(pool.info('thin').snapTime, 1);
  t.equal((await pool.createVolume({ name: 'next', size: MIB })).id, 78, 'ids go on after the highest');
  const before = pool.list().map(info => ({ ...info, active: false }));
  t.same((await reopen()).list(), before);
});

t.test('renaming', async t => {
  const { pool, reopen } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const handle = pool.volume('thin');
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  await pool.rename('thin', 'other');
  t.equal(handle.name, 'other', 'also while it is in use');
  t.equal(pool.info('snap').origin, 'other');
  await refused(t, () => pool.volume('thin'), E.ENOENT, /thin/);
  await pool.createVolume({ name: 'thin', size: MIB });
  // Names change hands within one transaction.
  await Promise.all([pool.rename('other', 'third'), pool.rename('thin', 'other')]);
  const again = await reopen();
  t.same(
    again.list().map(info => [info.id, info.name]),
    [
      [0, 'third'],
      [1, 'snap'],
      [2, 'other'],
    ],
  );
  t.equal(again.nameOf(0), 'third');
});

t.test('read-only volumes', async t => {
  const { pool, reopen } = await poolStage(t);
  const made = await pool.createVolume({ name: 'thin', size: MIB });
  await pool.setReadOnly('thin', true);
  const frozen = pool.info('thin');
  t.ok(frozen.readOnly);
  t.not(frozen.guid, made.guid, 'its content has a name now');
  const thin = pool.volume('thin');
  await refused(t, () => thin.write(0, Buffer.alloc(1)), E.EROFS, /thin is read-only/);
  await refused(t, () => pool.setReadOnly('thin', false), E.EBUSY, /thin is in use/);
  await thin.close();
  await pool.setReadOnly('thin', true);
  t.equal(pool.info('thin').guid, frozen.guid, 'nothing changed, and so the name stays');
  const again = await reopen();
  t.equal(again.info('thin').guid, frozen.guid);
  await again.setReadOnly('thin', false);
  t.not(again.info('thin').guid, frozen.guid, 'it may be written: the name is not its content’s any more');
  const writable = again.volume('thin');
  await writable.write(0, pattern(10, 1));
  t.equal(difference(await contentOf(writable, 0, 10), pattern(10, 1)), null);
});

t.test('a read-only volume cannot be resized in place of its content', async t => {
  const { pool } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(MIB, 1));
  await thin.close();
  await pool.setReadOnly('thin', true);
  await refused(t, () => pool.resizeVolume('thin', MIB / 2), E.EROFS, /thin/);
  t.equal(pool.info('thin').size, MIB);
  t.equal(pool.info('thin').mapped, 16);
});

t.test('growing and shrinking', async t => {
  const { pool, dir, reopen, close } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  const flat = pattern(MIB, 1);
  await thin.write(0, flat);
  // Over what one page and two levels of pages map, and back: 32 MiB and 16 GiB.
  for (const size of [2 * MIB, 33 * MIB, 20 * GIB, 20 * GIB + 512]) {
    await pool.resizeVolume('thin', size);
    t.equal(thin.size, size, 'seen by an open handle');
    await thin.write(size - 100, pattern(100, size / 512));
    t.equal(difference(await contentOf(thin, size - 100, 100), pattern(100, size / 512)), null);
    t.equal(difference(await contentOf(thin, 0, MIB), flat), null);
  }
  await refused(t, () => pool.resizeVolume('thin', MIB), E.EBUSY, /in use/);
  await thin.close();
  await pool.resizeVolume('thin', MIB / 2 + 1024);
  t.equal(pool.info('thin').mapped, 9);
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 9);
  const again = await reopen();
  await again.resizeVolume('thin', 2 * MIB);
  const larger = again.volume('thin');
  const wanted = Buffer.concat([flat.subarray(0, MIB / 2 + 1024)], 2 * MIB);
  t.equal(difference(await contentOf(larger), wanted), null, 'what was cut off reads as zeros');
  await close();
  t.ok((await checkPool(dir)).clean);
});

t.test('a snapshot is not changed by what becomes of its origin', async t => {
  const { pool, dir, close } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const thin = pool.volume('thin');
  await thin.write(0, pattern(MIB, 1));
  await thin.close();
  await pool.snapshot([{ origin: 'thin', name: 'snap' }]);
  await pool.resizeVolume('thin', 100 * KIB);
  await pool.resizeVolume('thin', 40 * GIB);
  const snap = pool.volume('snap');
  t.equal(difference(await contentOf(snap), pattern(MIB, 1)), null);
  await pool.remove('thin');
  t.equal(pool.info('snap').origin, null);
  t.equal(difference(await contentOf(snap), pattern(MIB, 1)), null);
  await pool.reclaimed();
  t.equal(pool.status().usedBlocks, 16);
  await close();
  t.ok((await checkPool(dir)).clean);
});

t.test('handles of one volume are one volume', async t => {
  const { pool } = await poolStage(t);
  await pool.createVolume({ name: 'thin', size: MIB });
  const handles = [pool.volume('thin'), pool.volume('thin'), pool.volume('thin')];
  await Promise.all(handles.map((handle, i) => handle.write(i * 20 * KIB, pattern(20 * KIB, i))));
  for (const handle of handles) {
    for (let i = 0; i < 3; i++) {
      t.equal(difference(await contentOf(handle, i * 20 * KIB, 20 * KIB), pattern(20 * KIB, i)), null);
    }
  }
  t.equal(pool.info('thin').mapped, 1);
  await handles[0]!.close();
  await handles[0]!.close();
  await refused(t, () => handles[0]!.write(0, Buffer.alloc(1)), E.EBADF, /closed/);
  await refused(t, () => handles[0]!.flush(), E.EBADF, /closed/);
  t.ok(pool.info('thin').active, 'two are left');
  await handles[1]!.write(0, pattern(5, 5));
  await handles[1]!.close();
  await handles[2]!.close();
  t.notOk(pool.info('thin').active);
});

t.test('very large, nearly empty', async t => {
  const { pool, dir, close } = await poolStage(t);
  const size = 2 ** 50;
  await pool.createVolume({ name: 'thin', size });
  const thin = pool.volume('thin');
  const places = [0, BLOCK * 511, BLOCK * 512, 2 ** 40 - 100, 2 ** 45 + 12345, size - 1000];
  for (const at of places) await thin.write(at, pattern(200, at % 1000));
  for (const at of places) {
    t.equal(difference(await contentOf(thin, at, 200), pattern(200, at % 1000)), null, `at ${at}`);
  }
  const before = performance.now();
  const pieces = piecesOf(thin, 0, 2 ** 46);
  t.equal(pieces.filter(([, hole]) => !hole).length, 4);
  t.ok(performance.now() - before < 1000, 'holes are skipped, not counted');
  await thin.discard(0, size);
  await thin.flush();
  t.equal(pool.info('thin').mapped, 0);
  await close();
  const report = await checkPool(dir);
  t.ok(report.clean);
  t.equal(report.pages, 0);
});
