// The contract of BlockDevice (test/support/thin-pool-rows.ts) over everything that implements it.
import t from 'tap';
import { needs } from '../support/needs.js';
import { BLOCK, merged, outcomeOf, type Piece, pattern, piecesOf } from '../support/thin-pool.js';
import { nbd } from '../support/thin-pool-nbd.js';
import { type Place, ROWS, SIZE } from '../support/thin-pool-rows.js';
import { type Device, LOCAL_SUBJECTS, type Stage } from '../support/thin-pool-subjects.js';

needs('nbdsh');

for (const subject of [...LOCAL_SUBJECTS, nbd]) {
  t.test(subject.name, async t => {
    for (const [name, run] of ROWS) {
      await t.test(name, async t => {
        const stage = await subject.stage(t, SIZE);
        const place: Place = Object.assign(Object.create(stage) as Stage, {
          t,
          subject,
          flat: Buffer.alloc(SIZE),
        });
        await run(place);
        await stage.verify();
      });
    }
  });
}

t.test('extents stops when it is told to', async t => {
  for (const subject of LOCAL_SUBJECTS) {
    const stage = await subject.stage(t, SIZE);
    const device = stage.device as Device & Parameters<typeof piecesOf>[0];
    await device.write(0, pattern(BLOCK, 1));
    await device.write(2 * BLOCK, pattern(BLOCK, 1));
    const seen: Piece[] = [];
    device.extents(0, SIZE, (length, hole) => seen.push([length, hole]) < 1);
    t.equal(seen.length, 1, subject.name);
    t.same(merged(piecesOf(device, 0, BLOCK)), [[BLOCK, false]]);
    t.equal(await outcomeOf(() => device.extents(0, SIZE + 1, () => true)), 'EINVAL');
    await stage.verify();
  }
});
