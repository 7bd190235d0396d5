// Waiting for a pool that somebody has: for its lock, for a control socket, in a queue, and not for ever.
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import type { PoolQueue as Queue } from '../../src/cli/pool-queue.js';
import { flock, LOCK } from '../../src/sys/index.js';
import { MAIN } from './run.js';

// The built one: it starts a process of its own.
const { PoolQueue } = (await import(join(dirname(MAIN), 'pool-queue.js'))) as {
  PoolQueue: new (dir: string, patience?: number) => Queue;
};

/** A directory with a lock, which is held until `release`. */
function held(t: Test): { dir: string; release(): void; queue(patience?: number): Queue } {
  const dir = mkdtempSync(join(tmpdir(), 'lamina-queue-'));
  const fd = openSync(join(dir, 'lock'), 'w');
  t.equal(flock(fd, LOCK.EX | LOCK.NB), 0);
  const queues: Queue[] = [];
  t.teardown(() => {
    for (const queue of queues) queue.leave();
    rmSync(dir, { recursive: true, force: true });
  });
  return {
    dir,
    release: () => closeSync(fd),
    queue: patience => {
      queues.push(new PoolQueue(dir, patience));
      return queues.at(-1)!;
    },
  };
}

t.test('the first turn is at once, the next when the lock is free', async t => {
  const { release, queue } = held(t);
  const waiting = queue();
  t.equal(await waiting.turn(), true);
  let over = false;
  const turn = waiting.turn().finally(() => {
    over = true;
  });
  await new Promise(resolve => setTimeout(resolve, 300));
  t.equal(over, false, 'it waits');
  release();
  t.equal(await turn, true);
});

t.test('or when somebody listens', async t => {
  const { dir, queue } = held(t);
  const waiting = queue();
  await waiting.turn();
  const turn = waiting.turn();
  writeFileSync(join(dir, 'control.sock'), '');
  t.equal(await turn, true);
});

t.test('one after the other', async t => {
  const { release, queue } = held(t);
  const all = Array.from({ length: 4 }, () => queue());
  await Promise.all(all.map(waiting => waiting.turn()));
  const done: number[] = [];
  const turns = all.map(async (waiting, i) => {
    t.equal(await waiting.turn(), true);
    done.push(i);
  });
  release();
  await Promise.race(turns);
  await new Promise(resolve => setTimeout(resolve, 300));
  t.equal(done.length, 1, 'the others wait until the first one leaves');
  for (let count = 2; count <= 4; count++) {
    all[done.at(-1)!]!.leave();
    while (done.length < count) await Promise.race(turns.filter((_, i) => !done.includes(i)));
  }
  await Promise.all(turns);
});

t.test('not for ever', async t => {
  const { dir, queue } = held(t);
  const waiting = queue(500);
  await waiting.turn();
  const begun = Date.now();
  const others = setInterval(() => writeFileSync(join(dir, 'lock'), '1'), 100);
  setTimeout(() => clearInterval(others), 1000);
  t.equal(await waiting.turn(), false);
  t.ok(Date.now() - begun > 1400, 'but as long as others get the pool');
});

t.test('not when the lock is free and the pool is busy all the same', async t => {
  const { release, queue } = held(t);
  release();
  const waiting = queue();
  let turns = 0;
  while (await waiting.turn()) turns++;
  t.ok(turns > 3 && turns < 20, `${turns} turns`);
});
