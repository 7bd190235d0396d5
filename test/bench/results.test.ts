// What the bench makes of its figures and of its words, without measuring anything.
import t from 'tap';
import { parseFlags } from '../../bench/flags.js';
import { plan } from '../../bench/measure.js';
import { makePlace, UsageError } from '../../bench/place.js';
import { baseOf, elapsedRatio, median, ratioOf, spread } from '../../bench/results.js';
import type { Suite } from '../../bench/suite.js';
import { TARGETS } from '../../bench/targets.js';
import { FULL, QUICK } from '../../bench/union/trees.js';
import { unionWorkloads } from '../../bench/union/workloads.js';
import { RESULTS } from './results.js';

t.test('medians, spreads and ratios', async t => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.equal(spread([90, 100, 110]), 10);
  t.equal(elapsedRatio('ms', 20, 10), 2, 'twice the time is 2');
  t.equal(elapsedRatio('MB/s', 20, 10), 0.5, 'twice the throughput is half the time');
  const [walk, change] = RESULTS.suites[0]!.rows;
  t.equal(ratioOf(walk!, 'lamina'), 1.5);
  t.equal(ratioOf(change!, 'mergerfs'), undefined);
  t.equal(baseOf({ ...walk!, bases: ['none', 'plain'] }), 'plain', 'the first base that has figures');
  t.equal(ratioOf({ ...walk!, bases: [] }, 'lamina'), undefined);
});

t.test('workloads have names of their own, and targets are of workloads', async t => {
  for (const scale of [FULL, QUICK]) {
    const names = unionWorkloads(scale).map(({ name }) => name);
    t.same(names, [...new Set(names)]);
    for (const name of Object.keys(TARGETS)) t.ok(names.includes(name), name);
  }
});

const SUITE: Suite = {
  name: 'union',
  title: 'a suite',
  needsRoot: true,
  space: () => 0,
  tools: {},
  subjects: () => [
    { name: 'here', about: '' },
    { name: 'peer', about: '', missing: 'apt-get install peer' },
  ],
  quickSubjects: ['here'],
  workloads: () =>
    ['one', 'two'].map(name => ({
      name,
      group: '',
      about: '',
      unit: 'ms',
      bases: [],
      quick: name === 'one',
      gaps: {},
    })),
  open: () => Promise.reject(new Error('not to be opened')),
};

const planned = (words: string[], root = true) => plan([SUITE], parseFlags(words, ['union']), root)[0]!;

t.test('a plan has what was asked for', async t => {
  t.same(
    planned([]).workloads.map(({ name }) => name),
    ['one', 'two'],
  );
  t.same(planned([]).missing, { peer: 'apt-get install peer' });
  t.same(
    planned(['--quick']).workloads.map(({ name }) => name),
    ['one'],
  );
  t.same(planned(['--quick']).missing, {}, 'what --quick does not measure is not missed');
  t.same(
    planned(['--quick', '--only', 'two']).workloads.map(({ name }) => name),
    ['two'],
    'a name counts for more',
  );
  t.same(
    planned(['--subjects', 'here']).subjects.map(({ name }) => name),
    ['here'],
  );
});

t.test('a plan that cannot be is refused in a sentence', async t => {
  t.throws(() => planned([], false), /^--suite union mounts file systems: run it as root/);
  t.throws(() => planned(['--only', 'three']), /nothing to measure/);
  t.throws(() => planned(['--subjects', 'peer']), /nothing to measure/);
  t.throws(() => planned(['--subjects', 'here,her']), /--subjects her: there are here, peer/);
  const toolless = { ...SUITE, tools: { 'no-such-program': 'some-package' } };
  t.throws(() => plan([toolless], parseFlags([], ['union']), true), /apt-get install some-package/);
  t.throws(() => makePlace('/tmp', 2 ** 60), new UsageError(), 'a disk that is too small');
});
