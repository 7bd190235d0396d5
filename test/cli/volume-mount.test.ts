// `lamina volume mount`: file systems on volumes, several in one pool, while other commands change it; and `lamina pool mount`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { needs } from '../support/needs.js';
import { PoolStage } from './pool-stage.js';
import { servedNoMore } from './run.js';

needs('mount', 'mkfs.ext4', 'losetup', 'fsfreeze');

t.test('two volumes of a pool', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  const [one, two] = [stage.dir('one'), stage.dir('two')];
  for (const name of ['a', 'b']) stage.ok('volume', 'create', `p/${name}`, '--size', '64M');
  t.match(stage.lamina('volume', 'mount', 'p/a', 'one'), { status: 1 }, 'there is no file system');
  stage.ok('volume', 'mount', 'p/a', 'one', '--format', 'ext4');
  stage.ok('volume', 'mount', 'p/b', 'two', '--format', 'ext4');
  writeFileSync(`${one}/file`, 'kept');
  const mounts = JSON.parse(stage.ok('volume', 'mounts', '--json')) as { mountpoint: string }[];
  t.match(
    mounts.filter(({ mountpoint }) => mountpoint.startsWith(stage.base)),
    [
      { volume: 'a', mountpoint: one },
      { volume: 'b', mountpoint: two },
    ],
  );
  t.match(stage.lamina('volume', 'rm', 'p/a'), {
    status: 1,
    stderr: /volume a is in use; end its use first/,
  });
  t.match(stage.lamina('volume', 'rollback', 'p/a', 'p/b'), {
    status: 1,
    stderr: /a is in use.*; end its use/,
  });
  stage.ok('volume', 'snapshot', 'p/a', 'p/s');
  stage.ok('volume', 'resize', 'p/a', '128M');
  t.equal(stage.sh(`blockdev --getsize64 $(findmnt -no SOURCE ${one})`).trim(), String(128 << 20), 'at once');
  for (const words of [
    ['export', 'p/b', `${one}/image`],
    ['import', 'p/c', `${one}/file`],
  ] as const) {
    t.match(
      stage.lamina('volume', ...words),
      { status: 1, stderr: /lies in the pool .*\/p itself/ },
      words[0],
    );
  }
  writeFileSync(`${one}/file`, 'changed');
  stage.ok('volume', 'umount', 'one');
  t.notOk(existsSync(`${one}/file`));
  t.ok(existsSync(`${two}/lost+found`), 'the process that served the first serves the second');
  stage.ok('volume', 'mount', 'p/s', 'one');
  t.equal(readFileSync(`${one}/file`, 'utf8'), 'kept', 'the snapshot was taken of a frozen file system');
  stage.sh('umount two; $L volume umount one');
  t.match(stage.ok('pool', 'check', 'p'), /^3 volumes, .* nothing is wrong/);
  t.ok(servedNoMore(one));
});

t.test('files of the mount that the pool is asked to read or write', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  stage.ok('volume', 'create', 'p/a', '--size', '64M');
  const mnt = stage.dir('mnt');
  stage.ok('pool', 'mount', 'p', 'mnt');
  for (const words of [
    'volume export p/a mnt/b',
    'volume export p/a mnt/a',
    'volume import p/b mnt/a',
    'volume create p/b --size 1G --external-origin mnt/a',
    'nbd --socket mnt/socket p/a',
    'pool mount p mnt',
  ]) {
    const { status, stderr } = stage.lamina(...words.split(' '));
    t.match([status, stderr], [1, /mnt.* lies in the pool .*\/p itself, which would wait for itself/]);
  }
  t.same(stage.names('mnt'), ['a']);
  stage.ok('umount', mnt);
});

t.test('signals', async t => {
  const stage = new PoolStage(t);
  stage.ok('pool', 'create', 'p', '--size', '1G');
  const mnt = stage.dir('mnt');
  stage.ok('volume', 'create', 'p/a', '--size', '64M');
  for (const [words, live] of [
    [['pool', 'mount', '-f', 'p', 'mnt'], `${mnt}/a`],
    [['volume', 'mount', '-f', 'p/a', 'mnt', '--format', 'ext4'], `${mnt}/lost+found`],
  ] as const) {
    const serving = stage.start(words);
    while (!existsSync(live)) {
      if (serving.child.exitCode !== null) throw new Error(serving.stderr);
      stage.ok('volume', 'ls', 'p');
    }
    serving.child.kill('SIGTERM');
    t.match(await serving.ended, { status: 0, stdout: '', stderr: '' }, words.join(' '));
    t.notOk(existsSync(live), 'unmounted');
    t.notOk(existsSync(stage.path('p/control.sock')));
  }
});
