// Power cuts at every write, punch, fsync and commit of a scripted workload and at moments of random ones (promises 3 and 5).
// LAMINA_SEED, LAMINA_ROUNDS (random workloads) and LAMINA_CUTS (power cuts in each) choose others, for long runs by hand.
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { scratch } from '../support/cleanup.js';
import { Random } from '../support/random.js';
import { BLOCK } from '../support/thin-crash-model.js';
import { crash, POOL } from '../support/thin-crash-run.js';
import type { CrashWork } from '../support/thin-crash-work.js';
import { randomWork } from './crash-random.js';

const SEED = Number(process.env.LAMINA_SEED ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env.LAMINA_ROUNDS ?? 3);
const CUTS = Number(process.env.LAMINA_CUTS ?? 100);
/** Of the scripted workloads: for most moments one or more; by hand all four of each. */
const [MOST, SOME] = process.env.LAMINA_CUTS === undefined ? [600, 300] : [Infinity, Infinity];
/** Milliseconds: that long only by hand. */
const TIME = 3_000_000;
const KIB = 1024;

/** Bytes from a virtual block. */
function at(block: number, offset = 0, length = 4 * KIB): [number, number] {
  return [block * BLOCK + offset, length];
}

/** Every operation once or more, each after writes that are durable and writes that are not. */
async function scripted(work: CrashWork): Promise<void> {
  await work.create('a', 620 * BLOCK);
  await work.write('a', at(0, 0, 3 * BLOCK), at(511), at(600, 1024, 512));
  await work.flush('a');
  await work.write('a', at(0, 8 * KIB), at(1, 0, BLOCK), at(4));
  await work.snapshot({ origin: 'a', name: 's' });
  await work.write('a', at(0, 8 * KIB), at(1, 512, 1024), at(512, 0, 2 * BLOCK));
  await work.write('s', at(0, 8 * KIB), at(1, 0, BLOCK), at(600));
  work.flushAside('a');
  await work.write('a', at(2, 0, BLOCK), at(600, 0, 2 * BLOCK));
  await work.write('s', at(2, 4 * KIB, 4 * KIB));
  await work.discard('a', at(0, 0, 2 * BLOCK));
  await work.write('s', at(0, 0, 512), at(1, 0, 512));
  await work.flush('s');
  await work.zero('s', at(2, 512, BLOCK), true);
  await work.zero('s', at(511, 0, BLOCK), false);
  await work.create('b', 6 * BLOCK);
  await work.write('b', at(0, 0, 6 * BLOCK));
  await work.snapshot({ origin: 'a', name: 'x' }, { origin: 'b', name: 'y' });
  await work.write('b', at(0), at(5));
  await work.write('a', at(2));
  await work.hold();
  await work.write('a', at(2, 4 * KIB), at(600, 8 * KIB));
  await work.remove('s');
  await work.write('a', at(600), at(601), at(2));
  await work.rollback('a', 'x');
  await work.write('a', at(600), at(512));
  await work.resize('b', 613 * BLOCK);
  await work.write('b', at(602), at(605));
  await work.resize('b', 603 * BLOCK);
  await work.flush('b');
  await work.remove('y');
  await work.grow(POOL + 7 * BLOCK);
  await work.write('b', at(3), at(600, 0, 3 * BLOCK));
  await work.resize('b', 4 * BLOCK + 512);
  await work.unhold();
  await work.remove('x');
  await work.write('a', at(2), at(512, 0, BLOCK));
  await work.remove('b');
  await work.write('a', at(2), at(3, 0, BLOCK));
  await work.write('a', at(0, 0, 6 * BLOCK));
  await work.flush('a');
  work.recorder.slow = true;
  await work.snapshotDuring('a', 'd', at(0, 0, 6 * BLOCK));
  work.flushAside('a');
  await work.snapshotDuring('a', 'e', at(0, 0, 6 * BLOCK), at(602, 0, 2 * BLOCK));
  await work.remove('d');
  await work.write('e', at(0), at(602));
  await work.holdDuring('a', at(0), at(1), at(3), at(603));
  await work.write('a', at(0, 8 * KIB), at(1, 8 * KIB, 512));
  await work.unhold();
  await work.rollbackDuring('e', 'a', at(0, 16 * KIB), at(602, 0, BLOCK));
  await work.write('a', at(0, 4 * KIB), at(604));
  await work.flush('e');
  await work.remove('e');
}

/** Volumes that arrive whole or not at all, and one over an external origin that ends within a block. */
async function arriving(work: CrashWork, origin: string): Promise<void> {
  await work.createExternal('x', 6 * BLOCK, origin, 2 * BLOCK + 3 * KIB);
  await work.write('x', at(0, 8 * KIB), at(2, 8 * KIB, 512), at(4));
  await work.snapshot({ origin: 'x', name: 'y' });
  await work.write('x', at(0, 512, 512), at(1, 0, BLOCK), at(5, 0, 512));
  await work.zero('x', at(2, 0, 512), true);
  await work.flush('x');
  await work.write('y', at(1, 512, 1024), at(4));
  await work.receive('r', 602 * BLOCK + 512, [at(0, 0, 2 * BLOCK), at(600)]);
  await work.write('r', at(0), at(601));
  await work.drop('z', 6 * BLOCK, [at(0, 0, 6 * BLOCK)]);
  await work.rename('y', 'z');
  await work.receive('y', 602 * BLOCK + 512, [at(0), at(511, 0, BLOCK), at(602, 0, 512)], 'r');
  await work.remove('r');
  await work.write('y', at(0, 0, 2 * BLOCK));
  await work.rollback('z', 'y');
  await work.rename('x', 'r');
  await work.snapshot({ origin: 'r', name: 'x' }, { origin: 'z', name: 'w' });
  await work.write('r', at(0), at(5, 0, BLOCK));
  await work.flush('y');
  await work.remove('r');
  await work.write('x', at(0, 0, 3 * BLOCK));
}

async function survives(
  t: Test,
  work: (work: CrashWork) => Promise<void>,
  seed: number,
  budget: { cuts: number; time: number },
): Promise<void> {
  const place = scratch(t, 'crash', { in: 'memory' });
  const { moments, cuts, failures } = await crash(place, work, new Random(seed), budget);
  t.comment(`LAMINA_SEED=${seed}: ${moments} moments, ${cuts} power cuts`);
  t.ok(cuts > 0);
  t.same(failures, []);
}

t.test('a scripted workload', { timeout: 600_000 }, t =>
  survives(t, scripted, SEED, { cuts: MOST, time: TIME }),
);

t.test('volumes that arrive', { timeout: 600_000 }, t => {
  const origin = join(scratch(t, 'crash-origin', { in: 'memory' }).dir, 'origin');
  return survives(t, work => arriving(work, origin), SEED, { cuts: SOME, time: TIME });
});

for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
  t.test(`random work ${seed}`, { timeout: 3_600_000 }, t =>
    survives(t, work => randomWork(work, new Random(seed), { failing: seed % 2 === 0 }), seed, {
      cuts: CUTS,
      time: TIME,
    }),
  );
}
