// `npm start`: the demo shows what it promises, and leaves nothing behind, not even when it is stopped.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { needs } from '../support/needs.js';
import { lamina, MAIN } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

function scratch(t: { teardown(task: () => void): unknown }): NodeJS.ProcessEnv & { TMPDIR: string } {
  const TMPDIR = mkdtempSync(join(tmpdir(), 'lamina-cli-demo-'));
  t.teardown(() => rmSync(TMPDIR, { recursive: true, force: true }));
  return { ...process.env, TMPDIR };
}

t.test('the story', async t => {
  const env = scratch(t);
  const { status, stdout, stderr } = lamina(['demo'], { env });
  t.same({ status, stderr }, { status: 0, stderr: '' });
  for (const shown of [
    /1\. Three layers\n\n.*layer-3-app/,
    /live after \d+ ms/,
    /Good morning, root/,
    /Good evening, root/,
    /C etc\/hello\.conf +changed: copied up/,
    /D usr\/share\/texts\/README +deleted: a whiteout +a character device 0\/0/,
    /A srv\/site +added +trusted\.overlay\.redirect=www/,
    /layer-1-system +[0-9a-f]{16} +as before/,
    /all the same as through laminafs/,
    /Unmounted and removed\.\n$/,
  ]) {
    t.match(stdout, shown);
  }
  t.same(readdirSync(env.TMPDIR), [], 'nothing is left');
});

t.test('stopped in the middle', async t => {
  const env = scratch(t);
  const child = spawn(process.execPath, [MAIN, 'demo'], { env });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', text => {
    said += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text;
  });
  while (!said.includes('Mounted as one tree')) await once(child.stdout, 'data');
  child.kill('SIGINT');
  const [status] = await once(child, 'close');
  t.equal(status, 1);
  t.match(said, /lamina: stopped by SIGINT/);
  t.same(readdirSync(env.TMPDIR), [], 'nothing is left');
  t.notMatch(readFileSync('/proc/self/mounts', 'utf8'), env.TMPDIR, 'nothing is mounted');
});

t.test('kept', async t => {
  const env = scratch(t);
  const base = /The layers are in (\S+)\.\n$/.exec(lamina(['demo', '--keep'], { env }).stdout)?.[1];
  t.ok(existsSync(join(base ?? '', 'layer-2-tools/usr/bin/hello')));
});
