// The random differential test tested: kernel overlayfs differs in nothing from itself, and a subject that is wrong in
// one small thing is found out and the sequence that shows it made short.
import t from 'tap';
import { runSequence, sequenceOf } from '../support/random-run.js';
import { kernel } from '../support/subject.js';

const seeds = Number(process.env['LAMINA_SEEDS'] ?? 8);
const count = Number(process.env['LAMINA_OPS'] ?? 200);

for (let seed = 1; seed <= seeds; seed++) {
  t.test(`kernel overlayfs beside itself, seed ${seed}`, async sub => {
    const { finding, steps } = await runSequence(sequenceOf(seed, count), kernel);
    sub.equal(finding?.what ?? '', '', `operation ${steps.length}`);
  });
}
