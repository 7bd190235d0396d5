// `lamina layer diff` and `apply` as commands: words, streams and status. What they compute is tested in test/oci.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { needs } from '../support/needs.js';
import { lamina, MAIN, Place, run } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

/** A place whose upper changes, adds and deletes a file, by a real mount. */
function changed(t: { teardown(task: () => void): unknown }): Place {
  const place = new Place();
  t.teardown(() => place.remove());
  const { status, stderr } = lamina(['-o', place.options, place.mnt]);
  if (status !== 0) throw new Error(stderr);
  writeFileSync(join(place.mnt, 'both'), 'changed');
  writeFileSync(join(place.mnt, 'new'), 'new');
  run('rm', [join(place.mnt, 'low')]);
  lamina(['umount', place.mnt]);
  return place;
}

t.test('diff', async t => {
  const p = changed(t);
  const lowers = ['--lower', 'top', '-l', 'bottom'];
  const list = lamina(['layer', 'diff', 'upper', ...lowers], { cwd: p.base });
  t.same(list, { status: 0, stdout: 'D /low\nC /both\nA /new\n', stderr: '' });
  const json = lamina(['layer', 'diff', p.upper, ...lowers, '--json'], { cwd: p.base }).stdout;
  t.match(
    json
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line)),
    [
      { kind: 'D', path: 'low', type: null },
      { kind: 'C', path: 'both', type: 'file', size: 7 },
      { kind: 'A', path: 'new', size: 3 },
    ],
  );
  t.equal(lamina(['layer', 'diff', p.bottom, '--base']).stdout, 'A /both\nA /low\n');
});

t.test('diff as a tar, and apply', async t => {
  const p = changed(t);
  const out = join(p.base, 'layer.tar');
  const words = ['layer', 'diff', p.upper, '-l', p.top, '-l', p.bottom];
  t.same(lamina([...words, '-o', out]), { status: 0, stdout: '', stderr: '' });
  t.match(run('tar', ['-tf', out]).stdout, /both\n.*new\n/s);
  const piped = spawnSync(process.execPath, [MAIN, ...words, '--tar']);
  t.ok(piped.stdout.equals(readFileSync(out)), 'stdout gets the same tar');
  const [layer, flat] = [p.dir('layer'), p.dir('flat')];
  writeFileSync(join(flat, 'low'), 'low');
  t.match(lamina(['layer', 'apply', out, layer]), { status: 0, stderr: '' });
  t.ok(statSync(join(layer, 'low')).isCharacterDevice(), 'a deletion is a whiteout');
  const fromStdin = spawnSync(process.execPath, [MAIN, 'layer', 'apply', '--flat', '-', flat], {
    input: piped.stdout,
  });
  t.equal(fromStdin.status, 0, fromStdin.stderr.toString());
  t.notOk(existsSync(join(flat, 'low')), 'with --flat it is carried out');
  t.equal(readFileSync(join(flat, 'both'), 'utf8'), 'changed');
});

t.test('what cannot be done', async t => {
  const p = changed(t);
  const rows: [words: string[], error: RegExp][] = [
    [['diff', join(p.base, 'none')], /none/],
    [['diff', p.upper, '--tar', '--json'], /one of them/],
    [['diff', p.upper, '-o', join(p.base, 'none/out.tar')], /none\/out.tar/],
    [['apply', join(p.base, 'none.tar'), p.mnt], /none\.tar/],
    [['apply', join(p.bottom, 'low'), p.mnt], /lamina: /],
    [['apply'], /missing required argument 'tar'/],
    [['frob'], /unknown command 'frob'/],
  ];
  for (const [words, error] of rows) {
    const { status, stderr } = lamina(['layer', ...words]);
    t.equal(status, 1, words.join(' '));
    t.match(stderr, error);
    t.notMatch(stderr, /\n\s+at /, 'no stack');
  }
});
