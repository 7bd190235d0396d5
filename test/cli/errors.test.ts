// Bad input: status 1, one line on stderr that names the thing and the rule, and nothing mounted or made.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { lamina, MAIN, Place, run } from './run.js';

t.test('what cannot be mounted', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const { top, bottom, upper, work, mnt, base } = place;
  const file = join(base, 'file');
  writeFileSync(file, '');
  const rw = place.options;
  const rows: [name: string, words: string[], error: RegExp][] = [
    ['no layers', ['-o', 'ro', mnt], /^lamina: lowerdir: missing/],
    ['no workdir', ['-o', `lowerdir=${top},upperdir=${upper}`, mnt], /^lamina: workdir: missing/],
    ['a lower that is not there', ['-o', `lowerdir=${base}/none`, mnt], /none/],
    [
      'an upper that is not there',
      ['-o', `lowerdir=${top},upperdir=${base}/none,workdir=${work}`, mnt],
      /none/,
    ],
    [
      'a work directory that is not there',
      ['-o', `lowerdir=${top},upperdir=${upper},workdir=${base}/none`, mnt],
      /none/,
    ],
    ['a lower that is a file', ['-o', `lowerdir=${file}`, mnt], /file/],
    [
      'a misspelt option',
      ['-o', `${rw},redirectdir=on`, mnt],
      /^lamina: redirectdir: unknown option; did you mean redirect_dir\?/,
    ],
    [
      'a bad value',
      ['-o', `${rw},index=maybe`, mnt],
      /^lamina: index: must be one of auto, on, off, not "maybe"/,
    ],
    ['a refused option', ['-o', `${rw},nfs_export=on`, mnt], /^lamina: nfs_export: .*NFS/],
    ['a mount point that is not there', ['-o', rw, `${base}/none`], /^lamina: mount point .*none: ENOENT/],
    ['a mount point that is a file', ['-o', rw, file], /^lamina: mount point .*file: ENOTDIR/],
    [
      'a mount point in a lower',
      ['-o', `lowerdir=${base}:${bottom}`, mnt],
      /^lamina: lowerdir: the mount point lies in the layer/,
    ],
    ['a mount point in the upper', ['-o', rw, upper], /^lamina: upperdir: the mount point lies in the layer/],
    [
      'a mount point in the work directory',
      ['-o', rw, work],
      /^lamina: workdir: the mount point lies in the layer/,
    ],
    [
      'passthrough where it is not granted',
      ['-o', `${rw},passthrough=maybe`, mnt],
      /^lamina: passthrough: must be one of/,
    ],
    ['no mount point', ['-o', rw], /missing required argument/],
    ['three words', ['-o', rw, 'a', 'b', mnt], /one source and one mount point, not: a b /],
    ['an unknown flag', ['mount', '--frob', '-o', rw, mnt], /unknown option '--frob'/],
    ['-o without a value', ['mount', mnt, '-o'], /argument missing/],
    ['an unknown command', ['mout', mnt], /unknown command 'mout'.*\n.*mount/],
  ];
  for (const [name, words, error] of rows) {
    const { status, stdout, stderr } = lamina(words);
    t.equal(status, 1, name);
    t.match(stderr, error, `${name}: says why`);
    t.equal(stdout, '', `${name}: nothing on stdout`);
    t.notMatch(stderr, /\n\s+at /, `${name}: no stack`);
    t.equal(place.mounted(), null, `${name}: nothing is mounted`);
  }
  t.same(readdirSync(base).sort(), ['bottom', 'file', 'mnt', 'top', 'upper', 'work'], 'nothing is made');
  t.same([readdirSync(upper), readdirSync(top)], [[], ['both']]);
});

t.test('a bind mount does not hide that the mount point lies in a layer', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const bound = place.dir('bound');
  place.dir('bottom/inner');
  t.equal(run('mount', ['--bind', place.bottom, bound]).status, 0);
  const { status, stderr } = lamina(['-o', place.options, `${bound}/inner`]);
  t.equal(status, 1);
  t.match(stderr, /lowerdir: the mount point lies in the layer/);
});

t.test('umount', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  t.match(lamina(['umount', place.mnt]), {
    status: 1,
    stderr: `lamina: ${place.mnt} is not a mount point\n`,
  });
  t.match(lamina(['umount', `${place.base}/none`]), { status: 1, stderr: /none does not exist/ });
  t.match(lamina(['umount']), { status: 1, stderr: /missing required argument 'mountpoint'/ });
  t.equal(lamina(['-o', place.options, place.mnt]).status, 0);
  const inside = lamina(['umount', place.mnt], { cwd: place.mnt });
  t.match(inside, { status: 1, stderr: /is in use/ }, 'busy');
  t.ok(place.mounted(), 'and still there');
  t.same(
    lamina(['umount', '-l', '.'], { cwd: place.mnt }),
    { status: 0, stdout: '', stderr: '' },
    'lazily, by a relative path',
  );
  t.equal(place.mounted(), null);
});

t.test('a mount whose daemon was killed', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  t.equal(lamina(['-o', place.options, place.mnt]).status, 0);
  t.equal(run('pkill', ['-KILL', '-f', '-x', `lamina mount ${place.mnt}`]).status, 0);
  t.match(lamina(['-o', place.options, place.mnt]), {
    status: 1,
    stderr: /a mount whose daemon has died; unmount it first/,
  });
  t.same(lamina(['umount', place.mnt]), { status: 0, stdout: '', stderr: '' });
  t.equal(lamina(['-o', place.options, place.mnt]).status, 0, 'and mounted again');
  t.equal(place.read('low'), 'low');
});

t.test('doctor', async t => {
  t.match(lamina(['doctor', '/no/such/place']), {
    status: 1,
    stderr: /^lamina: cannot try anything in \/no\/such\/place: ENOENT/,
  });
  t.match(lamina(['doctor', '/proc']), { status: 1, stderr: /^lamina: cannot try anything in \/proc/ });
});

t.test('a reader who has seen enough', async t => {
  const { status, stderr } = run('/bin/bash', [
    '-c',
    'set -o pipefail; "$0" "$1" doctor | true',
    process.execPath,
    MAIN,
  ]);
  t.equal(status, 1);
  t.match(stderr, /^lamina: write EPIPE\n$/);
});
