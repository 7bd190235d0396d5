// Reads, writes, discards, snapshots, removals, rollbacks and commits that overtake one another on a pool that runs full.
// LAMINA_SEED and LAMINA_ROUNDS choose other work, for long runs by hand.
import t from 'tap';
import { checkPool } from '../../src/thin/index.js';
import { Random } from '../support/random.js';
import { Meddled } from '../support/thin-regress.js';
import { Fuzz } from '../support/thin-regress-fuzz.js';

const SEED = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.LAMINA_ROUNDS ?? 4);
const STEPS = 12_000;

for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
  const failing = seed % 2 === 0 ? 3 : 0;
  t.test(`concurrent work ${seed}${failing > 0 ? ', commits fail' : ''}`, { timeout: 120_000 }, async t => {
    t.comment(`LAMINA_SEED=${seed}`);
    const at = await Meddled.make(t, 96);
    const fuzz = new Fuzz(at, new Random(seed), failing);
    await fuzz.run(STEPS);
    t.same(fuzz.problems, []);
    const { mode, usedBlocks, dataBlocks } = at.pool.status();
    if (usedBlocks < dataBlocks) t.equal(mode, 'rw');
    if (failing > 0) t.ok(fuzz.failures > 0, 'commits have failed');
    await at.close();
    t.same((await checkPool(at.dir)).findings, []);
    await at.open();
    await fuzz.verify('when it is opened again');
    t.same(fuzz.problems, []);
    await at.finish(t);
  });
}
