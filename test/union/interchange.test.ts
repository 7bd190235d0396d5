// One upper in turns: every few operations lamina and kernel overlayfs change places, so that each goes on with whiteouts,
// opaque marks, redirects, origins, index entries and link counts that the other wrote, many times over.
import t from 'tap';
import { showOp } from '../support/ops.js';
import { runSequence, sequenceOf } from '../support/random-run.js';
import { lamina } from '../support/subject.js';

const seeds = Number(process.env.LAMINA_SEEDS ?? 8);
const turns = Number(process.env.LAMINA_TURNS ?? 6);

t.setTimeout(1_200_000);

for (let seed = 1001; seed <= 1000 + seeds; seed++) {
  t.test(`seed ${seed}, ${turns} turns`, async sub => {
    const { finding, steps } = await runSequence(sequenceOf(seed, turns * 20, 20), lamina);
    sub.equal(finding?.what ?? '', '', { last: steps.slice(-12).map(showOp) });
  });
}
