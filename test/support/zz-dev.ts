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
    const s = await shrink(sequence, lamina, { ...res, finding: res.finding }, doShrink * 1000);
    console.log(
      'SHRUNK',
      s.finding.what
        .split('\n')
        .map(l => l.slice(0, 260))
        .join('\n'),
    );
    console.log(
      s.steps
        .map(o =>
          showOp(o)
            .replace(/(.)\1{60,}/g, '$1..')
            .slice(0, 160),
        )
        .join('\n'),
    );
    const show = (l: object) =>
      JSON.stringify(l)
        .replace(/"\\u0002[^"]*"/g, '"ACL"')
        .replace(/"\\u0001[^"]*"/g, '"CAP"')
        .replace(/([a-z])\1{50,}/g, '$1..')
        .replaceAll('"xattrs":{}', '')
        .slice(0, 900);
    s.sequence.lowers.forEach((l, i) => Object.keys(l).length && console.log('lower', i, show(l)));
    console.log('upper', show(s.sequence.upper));
  } else console.log('last: ' + res.steps.slice(-6).map(showOp).join(' ; '));
}
console.log(`${bad} bad of ${to - from + 1}, ${Date.now() - t0} ms`);
