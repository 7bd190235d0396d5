// The life of a pool by the command line: alone, and the same commands while another process has the pool.
import { existsSync, statSync } from 'node:fs';
import t, { type Test } from 'tap';
import { needs } from '../support/needs.js';
import { PoolStage } from './pool-stage.js';

needs('mount');

const STATUS =
  /^0 \d+\/4194304 \d+\/16384 - rw discard_passdown queue_if_no_space - \d+\npool {9}.*\/p \([-0-9a-f]{36}\)\nmode {9}rw\n/;

/** Names and states of the volumes, as programs see them. */
function volumes(stage: PoolStage): unknown[] {
  const list = JSON.parse(stage.ok('volume', 'ls', 'p', '--json')) as Record<string, unknown>[];
  return list.map(({ id, name, size, mapped, readOnly, origin }) => [
    id,
    name,
    size,
    mapped,
    readOnly,
    origin,
  ]);
}

/** Everything that there is to do with volumes; gives all that was printed, without what is random. */
function life(t: Test, stage: PoolStage): string {
  const printed: string[] = [];
  const say = (...words: string[]) => printed.push(stage.ok(...words));
  const G = 2 ** 30;
  say('volume', 'create', 'p/a', '--size', '10G');
  say('volume', 'create', 'p/b', '--size', '1T', '--id', '16777215', '--read-only');
  stage.sh('head -c 300000 /dev/zero | tr "\\0" x >image; $L volume import p/c image');
  say('volume', 'snapshot', 'p/c', 'p/c1', 'p/a', 'p/a1', '--read-only');
  say('volume', 'snapshot', 'p/c1', 'p/c2');
  t.same(volumes(stage), [
    [0, 'a', 10 * G, 0, false, null],
    [1, 'c', 300_032, 5, false, null],
    [2, 'c1', 300_032, 5, true, 'c'],
    [3, 'a1', 10 * G, 0, true, 'a'],
    [4, 'c2', 300_032, 5, false, 'c1'],
    [16_777_215, 'b', 1024 * G, 0, true, null],
  ]);
  say('volume', 'ls', 'p');
  say('volume', 'status', 'p/c', '--since', 'p/c1');
  t.match(
    printed.at(-1),
    /^640 639\nvolume .*\n.*\n.*\nexclusive +0 bytes.*\nshared +320.0 KiB \(5 blocks\)\nsince c1 +0 bytes/,
  );
  say('volume', 'rename', 'p/c2', 'p/ç €');
  say('volume', 'resize', 'p/a', '20G');
  t.match(stage.lamina('volume', 'resize', 'p/a', '1G'), {
    status: 1,
    stderr: /shrinking volume a .* --force/,
  });
  const cut = stage.lamina('volume', 'resize', 'p/a', '1G', '--force');
  t.match(cut, { status: 0, stderr: /^lamina: volume a was cut by 19.0 GiB; what was there is lost\n$/ });
  say('volume', 'set', 'p/a', '--read-only');
  say('volume', 'set', 'p/a', '--writable');
  say('volume', 'rollback', 'p/c', 'p/c1');
  say('volume', 'rm', 'p/c1', 'p/a1');
  t.same(volumes(stage), [
    [0, 'a', G, 0, false, null],
    [1, 'c', 300_032, 5, false, null],
    [4, 'ç €', 300_032, 5, false, null],
    [16_777_215, 'b', 1024 * G, 0, true, null],
  ]);
  say(
    'pool',
    'set',
    'p',
    '--on-full',
    'error',
    '--low-water',
    '10M',
    '--grow-threshold',
    '80',
    '--no-zeroing',
  );
  say('pool', 'grow', 'p', '2G');
  say('pool', 'set-transaction-id', 'p', '0', '7');
  say('pool', 'reserve-metadata-snapshot', 'p');
  t.match(JSON.parse(stage.ok('pool', 'status', 'p', '--json')), {
    transactionId: 7,
    dataBlocks: 32_768,
    usedBlocks: 5,
    held: true,
    mode: 'rw',
    volumes: 4,
    line: /^7 /,
  });
  tools(t, stage, say);
  return printed
    .join('')
    .replace(/[-0-9a-f]{36}/g, 'UUID')
    .replace(/metadata .*/g, '');
}

/** What reads the metadata. */
function tools(t: Test, stage: PoolStage, say: (...words: string[]) => void): void {
  const dump = stage.ok('pool', 'dump', 'p');
  t.match(
    dump,
    /^<superblock uuid="" time="\d+" transaction="7" .*data_block_size="128" nr_data_blocks="32768"/,
  );
  t.match(dump, /<device dev_id="1" mapped_blocks="5"/);
  say('volume', 'rm', 'p/ç €');
  t.notMatch(stage.ok('pool', 'dump', 'p'), /dev_id="4"/);
  t.match(
    stage.ok('pool', 'dump', 'p', '--metadata-snapshot'),
    /dev_id="4"/,
    'as it was when it was reserved',
  );
  say('pool', 'release-metadata-snapshot', 'p');
  say('pool', 'dump', 'p', '-o', 'x.xml', '--names');
  t.notOk(existsSync(stage.path('x.xml.partial')));
  say('pool', 'dump', 'p', '--format', 'human_readable');
  say('pool', 'rmap', 'p', '--region', '0..100');
  say('pool', 'ls', 'p', '-o', 'DEV,MAPPED_BLOCKS,NAME', '--no-headers');
  say('volume', 'delta', 'p/a', 'p/c');
  asJson(t, stage);
  say('pool', 'check', 'p');
  t.match(JSON.parse(stage.ok('pool', 'check', 'p', '--json')), { clean: true, findings: [], volumes: 3 });
}

/** What tools print for programs says what they print for people. */
function asJson(t: Test, stage: PoolStage): void {
  const json = (...words: string[]) => JSON.parse(stage.ok(...words, '--json')) as Record<string, unknown>[];
  const fields = 'DEV,NAME,MAPPED,EXCLUSIVE_BLOCKS,SNAP_TIME';
  const table = json('pool', 'ls', 'p', '-o', fields).map(row => Object.values(row).join(' '));
  const text = stage.ok('pool', 'ls', 'p', '-o', fields, '--no-headers').trim().split('\n');
  t.same(
    table,
    text.map(line => line.trim().replace(/ +/g, ' ')),
  );
  t.match(json('pool', 'ls', 'p')[1], { DEV: 1, NAME: 'c', SIZE: 300_032, MAPPED_BLOCKS: 5 });
  const runs = json('pool', 'rmap', 'p', '--region', '0..100', '--region', '100..200');
  const lines = runs.map(
    ({ dataBegin, dataEnd, dev, begin, end }) =>
      `data ${dataBegin}..${dataEnd} -> thin(${dev}) ${begin}..${end}\n`,
  );
  t.ok(lines.length > 0 && runs.every(({ name }) => name === 'c'));
  t.equal(lines.join(''), stage.ok('pool', 'rmap', 'p', '--region', '0..200'));
  t.match(JSON.parse(stage.ok('volume', 'delta', 'p/a', 'p/c', '--json')), {
    left: { id: 0, name: 'a' },
    right: { id: 1, name: 'c' },
    blockSize: 65_536,
    ranges: [{ kind: 'right_only', begin: 0, length: 5 }],
  });
  t.same(JSON.parse(stage.ok('volume', 'delta', 'p/a', 'p/a', '--json')).ranges, []);
}

t.test('alone, and while another process has the pool', async t => {
  const outputs: string[] = [];
  for (const held of [false, true]) {
    await t.test(held ? 'held' : 'alone', async t => {
      const stage = new PoolStage(t);
      stage.ok('pool', 'create', 'p', '--size', '1G');
      t.match(stage.ok('pool', 'status', 'p'), STATUS);
      stage.dir('mnt');
      if (held) t.equal(stage.ok('pool', 'mount', 'p', 'mnt'), '');
      outputs.push(life(t, stage));
      t.equal(existsSync(stage.path('p/control.sock')), held, 'the control socket');
      if (held) {
        t.equal(statSync(stage.path('p/control.sock')).mode & 0o777, 0o600);
        t.same(stage.names('mnt'), ['a', 'b', 'c']);
        const repair = stage.lamina('pool', 'repair', 'p');
        t.match(repair, { status: 1, stderr: /pool .*\/p is in use: end what uses it/ });
        stage.ok('umount', 'mnt');
      }
      t.match(stage.ok('pool', 'repair', 'p'), /^3 volumes, 1 pages: nothing is wrong\n$/);
      restored(t, stage);
    });
  }
  t.equal(outputs[1], outputs[0], 'both print the same');
});

/** The pool again from its XML, with the same data. */
function restored(t: Test, stage: PoolStage): void {
  stage.sh('cp --sparse=always p/data copy; $L pool restore q --data copy --json <x.xml >made');
  t.same(JSON.parse(stage.sh('cat made')), { volumes: 3, mapped: 5 });
  t.equal(stage.ok('pool', 'dump', 'q', '--names'), stage.ok('pool', 'dump', 'p', '--names'));
  t.equal(stage.sh('$L volume export q/c - | cmp - image -n 300000 && echo same'), 'same\n');
  t.match(stage.ok('pool', 'check', 'q'), /nothing is wrong/);
}
