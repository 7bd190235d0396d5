// dev only
import { showOp } from './ops.js';
import { runSequence, sequenceOf } from './random-run.js';
import { shrink } from './random-shrink.js';
import { lamina } from './subject.js';

const [from, to, count, doShrink] = process.argv.slice(2).map(Number) as [number, number, number, number];
let bad = 0;
const t0 = Date.now();
for (let seed = from; seed <= to; seed++) {
  const sequence = sequenceOf(seed, count);
  let res;
  try {
    res = await runSequence(sequence, lamina);
  } catch (e) {
    console.log(`seed ${seed}: THROWN ${e instanceof Error ? e.message + (e.stack ?? '') : e}`);
    bad++;
    continue;
  }
  if (res.finding === null) continue;
  bad++;
  console.log(
    `---- seed ${seed} step ${res.finding.step} ${sequence.variant.options.join()} fs=${sequence.variant.otherFs}`,
  );
  console.log(
    res.finding.what
      .split('\n')
      .map(l => l.slice(0, 260))
      .join('\n'),
  );
  if (doShrink) {
    const s = await shrink(
      { ...sequence, ops: res.ops.slice(0, res.finding.step + 1) },
      lamina,
      res.finding,
      doShrink * 1000,
    );
    console.log(
      'SHRUNK',
      s.finding.what
        .split('\n')
        .map(l => l.slice(0, 260))
        .join('\n'),
    );
    console.log(s.ops.map(showOp).join('\n'));
    s.sequence.lowers.forEach((l, i) => console.log('lower', i, JSON.stringify(l).slice(0, 700)));
    console.log('upper', JSON.stringify(s.sequence.upper).slice(0, 500));
  } else console.log('last: ' + res.ops.slice(-6).map(showOp).join(' ; '));
}
console.log(`${bad} bad of ${to - from + 1}, ${Date.now() - t0} ms`);
