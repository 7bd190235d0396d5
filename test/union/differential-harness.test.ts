// The random differential test tested: kernel overlayfs differs in nothing from itself, and a subject that is wrong in one
// small thing is found out, with a short sequence that shows it.
import t from 'tap';
import type { Op, Outcome } from '../support/ops.js';
import { runSequence, sequenceOf } from '../support/random-run.js';
import { shrink } from '../support/random-shrink.js';
import { kernel, type Subject, type Tree } from '../support/subject.js';

const seeds = Number(process.env.LAMINA_SEEDS ?? 12);
const count = Number(process.env.LAMINA_OPS ?? 200);

t.setTimeout(600_000);

for (let seed = 1; seed <= seeds; seed++) {
  t.test(`kernel overlayfs beside itself, seed ${seed}`, async sub => {
    const { finding } = await runSequence(sequenceOf(seed, count), kernel);
    sub.equal(finding?.what ?? '', '', `LAMINA_OPS=${count}`);
  });
}

/** Kernel overlayfs, but whoever renames something onto something else is told that it was not there. */
const wrong: Subject = {
  ...kernel,
  name: 'wrong',
  async mount(spec) {
    const mounted = await kernel.mount(spec);
    const lie = (step: Op, outcome: Outcome): Outcome =>
      step.call === 'rename' && outcome === 'EEXIST' ? 'ENOENT' : outcome;
    const lying = (tree: Tree): Tree => ({
      view: tree.view,
      run: async step => lie(step, await tree.run(step)),
      close: () => tree.close(),
    });
    return { ...mounted, tree: path => lying(mounted.tree(path)) };
  },
};

t.test('a wrong subject is found out', async sub => {
  for (let seed = 1; seed < 100; seed++) {
    const sequence = sequenceOf(seed, 300);
    const { finding, ...result } = await runSequence(sequence, wrong);
    if (finding === null) continue;
    sub.match(finding.what, /op\('rename'.*\n {2}kernel overlayfs: EEXIST\n {2}wrong: ENOENT/);
    const small = await shrink(sequence, wrong, { ...result, finding });
    sub.ok(small.steps.length < 6, `${small.steps.length} steps show it`);
    const again = await runSequence(small.sequence, wrong);
    sub.equal(again.finding?.what, small.finding.what, 'the short sequence replays');
    return;
  }
  sub.fail('not found in a hundred seeds');
});
