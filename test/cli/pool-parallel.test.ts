// Commands at the same time: none fails because of another, whoever has the pool meanwhile; a process that dies with it
// leaves nothing in the way.
import { existsSync } from 'node:fs';
import t from 'tap';
import { needs } from '../support/needs.js';
import { PoolStage } from './pool-stage.js';

needs('mount');

const COUNT = 10;

const creates = (prefix: string) =>
  Array.from({ length: COUNT }, (_, i) => ['volume', 'create', `p/${prefix}${i}`, '--size', '1G']);

const failures = (results: readonly { status: number | null; stderr: string }[]) =>
  results.filter(({ status, stderr }) => status !== 0 || stderr !== '');

/** Leaves the event loop free: what is written to others goes on meanwhile. */
async function used(stage: PoolStage): Promise<number> {
  const { stdout } = await stage.start(['pool', 'status', 'p', '--json']).ended;
  return (JSON.parse(stdout) as { usedBlocks: number }).usedBlocks;
}

function listed(stage: PoolStage): number {
  return (JSON.parse(stage.ok('volume', 'ls', 'p', '--json')) as unknown[]).length;
}

t.test('many commands', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  t.same(failures(await stage.together(creates('a'))), [], 'nobody has the pool for long');
  t.equal(listed(stage), COUNT);
  stage.dir('mnt');
  // The mount begins while they run, and some of them end up asking it.
  const mount = ['pool', 'mount', 'p', 'mnt'];
  const mixed = [...creates('b').slice(0, 5), mount, ...creates('b').slice(5)];
  t.same(failures(await stage.together(mixed)), [], 'somebody begins to have it');
  t.equal(listed(stage), 2 * COUNT);
  t.same(failures(await stage.together(creates('c'))), [], 'somebody has it');
  t.equal(listed(stage), 3 * COUNT);
  const ending = [...creates('d').slice(0, 5), ['umount', 'mnt'], ...creates('d').slice(5)];
  t.same(failures(await stage.together(ending)), [], 'and lets go of it');
  t.equal(listed(stage), 4 * COUNT);
  t.match(stage.ok('pool', 'check', 'p'), /^40 volumes, .* nothing is wrong/);
});

t.test('of two that want the same, one gets it', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  const same = Array.from({ length: 4 }, () => ['volume', 'create', 'p/a', '--size', '1G']);
  const results = await stage.together(same);
  t.equal(results.filter(({ status }) => status === 0).length, 1);
  for (const { stderr } of failures(results)) t.match(stderr, /p already has a volume a; choose another/);
});

t.test('a process that was killed with the pool', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  stage.ok('volume', 'create', 'p/a', '--size', '1G');
  stage.dir('mnt');
  const holder = stage.start(['nbd', '--socket', 'nbd.sock', 'p/a']);
  await holder.says(/ready/);
  const waiting = stage.start(['volume', 'import', 'p/b', '-', '--size', '1G'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  waiting.child.stdin?.write(Buffer.alloc(1 << 20, 1));
  // Its import has begun, in the owner, when something is mapped.
  while ((await used(stage)) === 0);
  holder.child.kill('SIGKILL');
  await holder.ended;
  const left = await waiting.ended;
  t.match(left, { status: 1, stderr: /which has the pool .*\/p, ended before it was done/ });
  t.ok(existsSync(stage.path('p/control.sock')), 'the dead socket is there');
  stage.ok('volume', 'create', 'p/b', '--size', '1G');
  t.equal(stage.ok('pool', 'mount', 'p', 'mnt'), '', 'and replaced by who comes next');
  stage.ok('volume', 'create', 'p/c', '--size', '1G');
  t.same(stage.names('mnt'), ['a', 'b', 'c']);
  stage.ok('umount', 'mnt');
});

t.test('a pool whose data file another pool has', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '64M');
  stage.sh('$L pool dump p | $L pool restore q --data p/data');
  stage.ok('volume', 'create', 'p/a', '--size', '1G');
  const holder = stage.start(['nbd', '--socket', 'nbd.sock', 'p/a']);
  await holder.says(/ready/);
  t.match(stage.lamina('volume', 'ls', 'q'), { status: 1, stderr: /p\/data is another pool's data/ });
  holder.child.kill('SIGTERM');
  t.match(await holder.ended, { status: 0, stderr: '' });
  t.notOk(existsSync(stage.path('p/control.sock')));
  t.notOk(existsSync(stage.path('nbd.sock')));
});
