// Content that moves: send, receive, export and import by the command line, with and without an owner of the pool; and
// what is left when somebody dies in the middle of it (nothing).
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { needs } from '../support/needs.js';
import { PoolStage } from './pool-stage.js';

needs('mount');

/** A pool p with the volume a of 64 MiB, 10 MiB of them random, its snapshot s, and an empty pool q. */
function prepare(t: Test): PoolStage {
  const stage = new PoolStage(t);
  for (const pool of ['p', 'q']) stage.ok('pool', 'create', pool, '--size', '1G');
  stage.sh('head -c 10M /dev/urandom >image; truncate -s 64M image; $L volume import p/a image');
  stage.ok('volume', 'snapshot', '-r', 'p/a', 'p/s');
  return stage;
}

function names(stage: PoolStage, pool: string): string[] {
  const list = JSON.parse(stage.ok('volume', 'ls', pool, '--json')) as { name: string }[];
  return list.map(({ name }) => name);
}

for (const held of [false, true]) {
  t.test(held ? 'both pools are held by others' : 'nobody has the pools', async t => {
    const stage = prepare(t);
    for (const mnt of ['p.mnt', 'q.mnt']) stage.dir(mnt);
    if (held) stage.sh('$L pool mount p p.mnt; $L pool mount q q.mnt');
    stage.sh('$L volume export p/a image2; cmp image image2; $L volume export p/a - | cmp - image');
    t.ok(statSync(stage.path('image2')).blocks * 512 < 11 << 20, 'the image is sparse');
    stage.sh('$L volume export p/s image.vhd --format vhd; $L volume import q/v image.vhd --format vhd');
    stage.sh('$L volume export q/v - | cmp - image');
    stage.sh('$L volume import q/i - --size 64M <image; $L volume export q/i - | cmp - image');
    stage.sh('$L volume send p/s | $L volume receive q/s; $L volume export q/s - | cmp - image');
    // Within one pool: where nobody has it, one of the two stays for the other.
    stage.sh(
      '$L volume send p/s | $L volume receive p/t; $L volume export p/t - | cmp - image; $L volume rm p/t',
    );
    stage.sh('printf changed | dd of=image bs=1 seek=30000000 conv=notrunc status=none');
    stage.sh('$L volume import p/b image; $L volume rollback p/a p/b; $L volume snapshot -r p/a p/s2');
    t.match(JSON.parse(stage.ok('volume', 'send', 'p/s2', '--dry-run', '--json')), {
      name: 's2',
      size: 64 << 20,
    });
    stage.ok('volume', 'send', 'p/s2', '-o', 'whole');
    stage.ok('volume', 'send', 'p/s2', '--from', 'p/s', '-o', 'increment');
    stage.ok('volume', 'receive', 'q/s2', '--base', 'q/s', '-i', 'increment');
    stage.sh('$L volume export q/s2 - | cmp - image');
    t.match(stage.lamina('volume', 'receive', 'q/x', '-i', 'increment'), {
      status: 1,
      stderr: /incremental/,
    });
    t.match(stage.lamina('volume', 'receive', 'q/x', '--base', 'q/s2', '-i', 'increment'), { status: 1 });
    writeFileSync(stage.path('cut'), readFileSync(stage.path('whole')).subarray(0, 5_000_000));
    t.match(stage.lamina('volume', 'receive', 'q/x', '-i', 'cut'), { status: 1, stderr: /ends too early/ });
    t.same(names(stage, 'q'), ['v', 'i', 's', 's2'], 'nothing is half made');
    stage.sh('$L volume rm q/v q/i q/s q/s2');
    t.match(JSON.parse(stage.ok('pool', 'status', 'q', '--json')), { volumes: 0 });
    if (held) stage.sh('$L umount p.mnt; $L umount q.mnt');
    for (const pool of ['p', 'q']) t.match(stage.ok('pool', 'check', pool), /nothing is wrong/);
    t.match(JSON.parse(stage.ok('pool', 'status', 'q', '--json')), { usedBlocks: 0 });
  });
}

t.test('progress shows on a terminal, and nowhere else', t => {
  const stage = prepare(t);
  // script(1) gives a terminal. The last picture of a bar is all of it.
  const terminal = (words: string) => stage.sh(`script -qec "$L volume ${words}" /dev/null </dev/null`);
  const bar = /\r?.*100% 10\.0 MiB/;
  t.match(terminal('send p/s -o out'), bar, 'send');
  t.match(terminal('receive q/s -i out'), bar, 'receive');
  t.match(terminal('export p/s image2'), bar, 'export');
  t.match(terminal('import q/i image'), /100% 64\.0 MiB/, 'import');
  t.equal(stage.sh('$L volume send p/s -o out2 2>&1; $L volume receive q/t -i out2 2>&1'), '');
  t.end();
});

t.test('who dies in the middle', async t => {
  const stage = prepare(t);
  stage.ok('volume', 'send', 'p/s', '-o', 'whole');
  stage.dir('mnt');
  stage.ok('pool', 'mount', 'p', 'mnt');
  const before = stage.ok('volume', 'ls', 'p');
  // A sender whose reader has stopped: 10 MiB do not fit into a pipe and a socket.
  const sender = stage.start(['volume', 'send', 'p/a']);
  sender.child.stdout?.pause();
  const exporter = stage.start(['volume', 'export', 'p/s', '-']);
  exporter.child.stdout?.pause();
  const receiver = stage.start(['volume', 'receive', 'p/r'], { stdio: ['pipe', 'pipe', 'pipe'] });
  receiver.child.stdin?.write(readFileSync(stage.path('whole')).subarray(0, 3_000_000));
  const importer = stage.start(['volume', 'import', 'p/i', '-', '--size', '64M'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  importer.child.stdin?.write(Buffer.alloc(1 << 20, 1));
  stage.ok('volume', 'create', 'p/other', '--size', '1G');
  stage.ok('volume', 'rm', 'p/other');
  for (const each of [sender, exporter, receiver, importer]) each.child.kill('SIGKILL');
  for (const each of [sender, exporter, receiver, importer]) {
    each.child.stdout?.resume();
    each.child.stdin?.destroy();
    t.equal((await each.ended).status, null, 'killed');
  }
  t.equal(stage.ok('volume', 'ls', 'p'), before, 'the owner goes on, and nothing is half made');
  stage.ok('umount', 'mnt');
  t.match(stage.ok('pool', 'check', 'p'), /^2 volumes, \d+ pages: nothing is wrong/);
  t.match(JSON.parse(stage.ok('pool', 'status', 'p', '--json')), { usedBlocks: 160 });
});

t.test('who is asked to end in the middle', async t => {
  const stage = prepare(t);
  const importer = stage.start(['volume', 'import', 'p/i', '-', '--size', '64M'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  importer.child.stdin?.write(Buffer.alloc(1 << 20, 1));
  // It has the pool, and serves others while it waits for more.
  while (!existsSync(stage.path('p/control.sock'))) stage.ok('volume', 'ls', 'p');
  stage.ok('volume', 'create', 'p/b', '--size', '1G');
  importer.child.kill('SIGINT');
  t.match(await importer.ended, { status: 1, stderr: /^lamina: interrupted\n$/ });
  t.same(names(stage, 'p'), ['a', 's', 'b']);
  t.notOk(existsSync(stage.path('p/control.sock')));
  t.match(stage.ok('pool', 'check', 'p'), /nothing is wrong/);
});
