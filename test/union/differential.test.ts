// Random sequences of operations over random layers, on lamina and on kernel overlayfs side by side: nothing may differ
// but what random-differences.ts lists. LAMINA_SEED is the first seed (given alone, the only one), LAMINA_OPS how many operations for
// each seed, LAMINA_SEEDS the number of seeds; LAMINA_SHRINK=1 looks for a shorter failing sequence, and LAMINA_RING=1 has the
// requests come over io_uring.
import t from 'tap';
import { showOp } from '../support/ops.js';
import { runSequence, sequenceOf } from '../support/random-run.js';
import { shrink } from '../support/random-shrink.js';
import { lamina, laminaRing } from '../support/subject.js';

const subject = process.env.LAMINA_RING === '1' ? laminaRing : lamina;
subject.prepare?.(t);

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

const first = number('LAMINA_SEED', 0);
const seeds = Array.from(
  { length: number('LAMINA_SEEDS', first === 0 ? 40 : 1) },
  (_, i) => (first || 1) + i,
);
const count = number('LAMINA_OPS', 250);

t.setTimeout(1_200_000);

for (const each of seeds) {
  t.test(`seed ${each}`, async sub => {
    const sequence = sequenceOf(each, count);
    const result = await runSequence(sequence, subject);
    if (result.finding === null) {
      sub.pass(
        `${count} operations over ${sequence.lowers.length} lowers, ${sequence.variant.options.join()}`,
      );
      return;
    }
    const failed = { ...result, finding: result.finding };
    const small = process.env.LAMINA_SHRINK === '1' ? await shrink(sequence, subject, failed) : null;
    const { steps, finding } = small ?? failed;
    const layers = small === null ? '' : JSON.stringify([small.sequence.lowers, small.sequence.upper]);
    sub.fail(`seed ${each}, operation ${finding.step}: ${finding.what.slice(0, 300)}`, {
      options: sequence.variant,
      finding: finding.what,
      replay: `LAMINA_SEED=${each} LAMINA_OPS=${count} npx tap test/union/differential.test.ts --disable-coverage`,
      last: steps.slice(Math.max(0, finding.step - 12), finding.step + 1).map(showOp),
      layers,
    });
  });
}
