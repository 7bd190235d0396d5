// Random sequences on a pool and on flat Buffers side by side (test/support/thin-pool-run.ts). LAMINA_SEED is the first seed
// (given alone, the only one), LAMINA_SEEDS their number, LAMINA_OPS the steps of each; LAMINA_SHRINK=1 looks for a shorter
// failing sequence.
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { Random } from '../support/random.js';
import { runSequence } from '../support/thin-pool-run.js';
import { shrink } from '../support/thin-pool-shrink.js';
import { sequenceOf, showStep } from '../support/thin-pool-steps.js';

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

const first = number('LAMINA_SEED', 0);
const seeds = number('LAMINA_SEEDS', first === 0 ? 24 : 1);
const count = number('LAMINA_OPS', 150);

t.setTimeout(0);

const place = scratch(t, 'thin');

for (let seed = first || 1; seed < (first || 1) + seeds; seed++) {
  t.test(`seed ${seed}`, async t => {
    const sequence = sequenceOf(new Random(seed), seed, count);
    const failure = await runSequence(sequence, place.path(`pool-${seed}`));
    if (failure === null)
      return t.pass(`${count} steps, blocks of ${sequence.blockSize}, ${sequence.factor} apart`);
    const small =
      process.env.LAMINA_SHRINK === '1'
        ? await shrink(sequence, failure, place.path('shrunk'), 120_000)
        : { sequence, failure };
    const { steps } = small.sequence;
    t.fail(`seed ${seed}, step ${small.failure.step}`, {
      replay: `LAMINA_SEED=${seed} LAMINA_OPS=${count} npx tap test/thin/differential.test.ts`,
      failure: small.failure.what,
      last: steps.slice(Math.max(0, small.failure.step - 20), small.failure.step + 1).map(showStep),
    });
  });
}
