// `lamina mount` in every shape it is called in, against the real command: each time the tree is there when it returns.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { needs } from '../support/needs.js';
import { lamina, Place, run, servedNoMore } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

t.test('the shapes of the command line', async t => {
  const shapes: [name: string, words: (p: Place) => string[], source: string][] = [
    ['mount -o OPTS MNT', p => ['mount', '-o', p.options, p.mnt], 'lamina'],
    ['mount MNT -o OPTS', p => ['mount', p.mnt, '-o', p.options], 'lamina'],
    ['mount SRC MNT -o OPTS', p => ['mount', 'src', p.mnt, '-o', p.options], 'src'],
    ['-o OPTS MNT', p => ['-o', p.options, p.mnt], 'lamina'],
    ['SRC MNT -o OPTS', p => ['src', p.mnt, '-o', p.options], 'src'],
    ['a source named like a command', p => ['demo', p.mnt, '-o', p.options], 'demo'],
    [
      'repeated -o',
      p => [
        '-o',
        `lowerdir=${p.top}:${p.bottom}`,
        '-o',
        `upperdir=${p.upper}`,
        p.mnt,
        '-o',
        `workdir=${p.work}`,
      ],
      'lamina',
    ],
    ['empty elements, as podman', p => ['-o', `,,${p.options},,volatile,`, p.mnt], 'lamina'],
    ['what mount(8) adds', p => ['src', p.mnt, '-o', `rw,${p.options},dev,suid`, '-s', '-n', '-v'], 'src'],
    ['fsname overrides the source', p => ['src', p.mnt, '-o', `${p.options},fsname=other`], 'other'],
    ['-w', p => ['mount', '-w', '-o', `ro,${p.options}`, p.mnt], 'lamina'],
  ];
  for (const [name, words, source] of shapes) {
    const place = new Place();
    t.teardown(() => place.remove());
    const result = lamina(words(place));
    t.same(result, { status: 0, stdout: '', stderr: '' }, name);
    t.match(place.mounted(), [source, place.mnt, 'fuse.lamina', /^rw,/], `${name}: in /proc/mounts`);
    t.same([place.read('both'), place.read('low')], ['top', 'low'], `${name}: the tree is there`);
    writeFileSync(join(place.mnt, 'new'), 'x');
    t.equal(readFileSync(join(place.upper, 'new'), 'utf8'), 'x', `${name}: changes go to the upper`);
    t.equal(lamina(['umount', place.mnt]).status, 0);
    t.equal(place.mounted(), null, `${name}: unmounted`);
  }
});

t.test('read-only', async t => {
  const words: [string, (p: Place) => string[]][] = [
    ['without an upper', p => ['-o', `lowerdir=${p.top}:${p.bottom}`, p.mnt]],
    ['ro', p => ['-o', `${p.options},ro`, p.mnt]],
    ['-r', p => ['mount', '-r', '-o', p.options, p.mnt]],
  ];
  for (const [name, args] of words) {
    const place = new Place();
    t.teardown(() => place.remove());
    t.equal(lamina(args(place)).status, 0, name);
    t.match(place.mounted()?.[3], /^ro,/, `${name}: shown`);
    t.throws(() => writeFileSync(join(place.mnt, 'new'), 'x'), { code: 'EROFS' }, name);
    t.equal(place.read('low'), 'low');
  }
});

t.test('relative paths are those of the caller', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const result = lamina(['-o', 'lowerdir=top:../bottom,upperdir=./upper,workdir=work', 'mnt'], {
    cwd: place.base,
  });
  t.match(result, { status: 1, stderr: /bottom/ }, 'one that is not there is named');
  const good = lamina(['-o', 'lowerdir=top:bottom,upperdir=./upper,workdir=work', 'mnt'], {
    cwd: place.base,
  });
  t.same(good, { status: 0, stdout: '', stderr: '' });
  t.equal(place.read('low'), 'low');
});

t.test('paths with every special character', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const odd = place.dir('a:b,c\\d e=f"g');
  writeFileSync(join(odd, 'odd'), 'odd');
  const mnt = place.dir('m n t');
  const escaped = odd.replace(/[\\:,]/g, '\\$&');
  t.same(lamina(['-o', `lowerdir=${escaped}:${place.bottom}`, mnt]), { status: 0, stdout: '', stderr: '' });
  t.equal(readFileSync(join(mnt, 'odd'), 'utf8'), 'odd');
  t.equal(lamina(['umount', mnt]).status, 0, 'a mount point with spaces');
});

t.test('names that are not UTF-8', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const layer = Buffer.from(`${place.base}/l\xff\xfe`, 'latin1');
  mkdirSync(layer);
  writeFileSync(Buffer.concat([layer, Buffer.from('/file')]), 'bytes');
  const script = `exec "$0" "$1" -o "lowerdir=$(printf '${place.base}/l\\377\\376'):${place.bottom}" "${place.mnt}"`;
  const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
  t.same(run('/bin/sh', ['-c', script, process.execPath, main]), { status: 0, stdout: '', stderr: '' });
  t.equal(place.read('file'), 'bytes');
});

t.test('long option strings', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const layers = Array.from({ length: 300 }, (_, i) => place.dir(`${'x'.repeat(180)}${i}`));
  writeFileSync(join(layers[299]!, 'deep'), 'deep');
  const options = `lowerdir=${layers.join(':')},upperdir=${place.upper},workdir=${place.work}`;
  t.ok(options.length > 60_000, `${options.length} bytes`);
  t.same(lamina(['-o', options, place.mnt]), { status: 0, stdout: '', stderr: '' });
  t.equal(place.read('deep'), 'deep');
});

t.test('notes go to stderr, and the mount is made', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const { status, stderr } = lamina(['-o', `${place.options},uuid=on,frobnicate,noauto`, place.mnt]);
  t.equal(status, 0);
  const lines = stderr.trimEnd().split('\n');
  t.match(lines, [
    /^lamina: note: uuid: /,
    /^lamina: note: frobnicate: unknown option/,
    /^lamina: note: noauto: /,
  ]);
  t.equal(lines.length, 3);
  t.equal(place.read('low'), 'low');
});

t.test('flags of the mount', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  t.equal(
    lamina(['-o', `${place.options},nosuid,nodev,noexec,noatime,nosymfollow,subtype=own`, place.mnt]).status,
    0,
  );
  t.match(place.mounted()?.[2], 'fuse.own');
  for (const flag of [
    'nosuid',
    'nodev',
    'noexec',
    'noatime',
    'nosymfollow',
    'allow_other',
    'default_permissions',
  ]) {
    t.ok(place.mounted()?.[3]?.split(',').includes(flag), flag);
  }
});

t.test('over a lower itself', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const options = `lowerdir=${place.bottom},upperdir=${place.upper},workdir=${place.work}`;
  t.same(lamina(['-o', options, place.bottom]), { status: 0, stdout: '', stderr: '' });
  t.same(readdirSync(place.bottom).sort(), ['both', 'low'], 'no hang');
  writeFileSync(join(place.bottom, 'new'), 'x');
  t.ok(statSync(join(place.upper, 'new')).isFile());
  t.equal(lamina(['umount', place.bottom]).status, 0);
  t.ok(servedNoMore(place.bottom));
  t.same(readdirSync(place.bottom).sort(), ['both', 'low'], 'the lower is as it was');
});

t.test('transports and passthrough', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const refused = lamina(['-o', `${place.options},transport=fuse-native,passthrough=on`, place.mnt]);
  t.match(refused, { status: 1, stderr: /^lamina: passthrough: it is not granted/ });
  t.equal(place.mounted(), null, 'and not mounted');
  t.ok(servedNoMore(place.mnt));
  t.same(lamina(['-o', `${place.options},transport=fuse-native`, place.mnt]), {
    status: 0,
    stdout: '',
    stderr: '',
  });
  t.equal(place.read('low'), 'low', 'through libfuse 2');
  t.equal(lamina(['umount', place.mnt]).status, 0);
  t.ok(servedNoMore(place.mnt));
});
