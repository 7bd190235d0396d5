// Where -o puts what a command writes: a file that appears whole, and nothing else in its place when it is something else.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { toOutput } from '../../src/cli/output-file.js';
import { scratch } from '../support/cleanup.js';

const write = (path: string, text: string) => toOutput(path, null, sink => sink(text));

function run(t: Test, program: string, ...words: string[]): void {
  const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  t.equal(status, 0, `${program}: ${stderr}`);
}

t.test('a file is replaced by a whole one, with its mode, and no other file is touched', async t => {
  const { dir, path } = scratch(t, 'output');
  writeFileSync(path('x'), 'old');
  chmodSync(path('x'), 0o640);
  writeFileSync(path('x.partial'), 'somebody’s');
  await toOutput(path('x'), null, async sink => {
    await sink('ne');
    t.equal(readFileSync(path('x'), 'utf8'), 'old', 'until it is whole');
    await sink('w');
  });
  t.equal(readFileSync(path('x'), 'utf8'), 'new');
  t.equal(statSync(path('x')).mode & 0o777, 0o640);
  t.equal(readFileSync(path('x.partial'), 'utf8'), 'somebody’s');
  const failing = toOutput(path('x'), null, async sink => {
    await sink('half');
    throw new Error('in the middle');
  });
  await t.rejects(failing, /in the middle/);
  t.equal(readFileSync(path('x'), 'utf8'), 'new', 'a failure leaves it what it was');
  t.same(readdirSync(dir).sort(), ['x', 'x.partial']);
});

t.test('what a link leads to is written, and the link stays', async t => {
  const { path, mkdir } = scratch(t, 'output');
  mkdir('other');
  writeFileSync(path('other/file'), 'old');
  symlinkSync('other/file', path('link'));
  await write(path('link'), 'new');
  t.equal(readlinkSync(path('link')), 'other/file');
  t.equal(readFileSync(path('other/file'), 'utf8'), 'new');
});

t.test('devices and pipes are written to, not replaced', async t => {
  const { path } = scratch(t, 'output');
  // As /dev/null is.
  run(t, 'mknod', path('null'), 'c', '1', '3');
  await write(path('null'), 'gone');
  t.ok(lstatSync(path('null')).isCharacterDevice());
  run(t, 'mkfifo', path('pipe'));
  const reader = spawn('cat', [path('pipe')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = await Promise.all([once(reader.stdout, 'data'), write(path('pipe'), 'through')]);
  t.equal(String(said[0]), 'through');
  t.ok(lstatSync(path('pipe')).isFIFO());
});

t.test('what cannot be written is named', async t => {
  const { dir, path } = scratch(t, 'output');
  mkdirSync(path('directory'));
  await t.rejects(write(path('directory'), ''), { message: `${path('directory')}: EISDIR` });
  await t.rejects(write(path('none/x'), ''), { message: `${path('none/x')}: ENOENT` });
  t.same(readdirSync(dir), ['directory']);
});

/** Begins to write to a file, says so, and waits to be ended. */
const HALF = `
import { toOutput } from '${fileURLToPath(new URL('../../dist/cli/output-file.js', import.meta.url))}';
await toOutput(process.argv[2], null, async sink => {
  await sink('half');
  console.log('half');
  await new Promise(over => setTimeout(over, 60_000));
});`;

t.test('a signal leaves nothing half written', async t => {
  const { dir, path, write } = scratch(t, 'output');
  const script = write('half.mjs', HALF);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Without what the test runner puts into every node process, which listens for signals too.
    const words = ['-u', 'NODE_OPTIONS', process.execPath, script, path('x')];
    const child = spawn('env', words, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => child.kill('SIGKILL'));
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    child.kill(signal);
    t.same(await ended, [null, signal]);
    t.same(readdirSync(dir), ['half.mjs']);
  }
});
