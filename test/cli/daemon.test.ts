// The process behind a mount: what it holds of its caller (nothing), and how it ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readlinkSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { needs } from '../support/needs.js';
import { daemonOf, lamina, MAIN, Place, run, servedNoMore } from './run.js';

needs('mount', 'setfattr', 'fusermount3');

function mounted(t: { teardown(task: () => void): unknown }, more = ''): { place: Place; pid: number } {
  const place = new Place();
  t.teardown(() => place.remove());
  const { status, stderr } = lamina(['-o', place.options + more, place.mnt]);
  if (status !== 0) throw new Error(stderr);
  const pid = daemonOf(place.mnt);
  if (pid === null) throw new Error('no daemon');
  return { place, pid };
}

t.test('it keeps nothing of its caller', async t => {
  const { pid } = mounted(t);
  for (const fd of [0, 1, 2]) t.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), '/dev/null', `descriptor ${fd}`);
  t.equal(readlinkSync(`/proc/${pid}/cwd`), '/');
  const session = (who: number) => run('ps', ['-o', 'sess=', '-p', String(who)]).stdout.trim();
  t.equal(session(pid), String(pid), 'a session of its own');
  t.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Umask:\s*0000$/m, "modes are the caller's business");
});

t.test('it ends when the mount does', async t => {
  for (const [name, end] of [
    ['lamina umount', (p: Place) => lamina(['umount', p.mnt])],
    ['umount(8)', (p: Place) => run('umount', [p.mnt])],
    ['fusermount3 -u', (p: Place) => run('fusermount3', ['-u', p.mnt])],
    ['lazily', (p: Place) => run('umount', ['-l', p.mnt])],
  ] as const) {
    const { place } = mounted(t);
    t.same(end(place), { status: 0, stdout: '', stderr: '' }, name);
    t.equal(place.mounted(), null);
    t.ok(servedNoMore(place.mnt), `${name}: the daemon is gone`);
  }
});

t.test('signals unmount', async t => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const { place, pid } = mounted(t);
    writeFileSync(join(place.mnt, 'new'), 'kept');
    process.kill(pid, signal);
    t.ok(servedNoMore(place.mnt), `${signal}: the daemon is gone`);
    t.equal(place.mounted(), null, `${signal}: unmounted`);
    t.equal(readFileSync(join(place.upper, 'new'), 'utf8'), 'kept');
  }
});

t.test('a signal while a file is open', async t => {
  const { place, pid } = mounted(t);
  const fd = openSync(join(place.mnt, 'new'), 'w');
  process.kill(pid, 'SIGTERM');
  for (let i = 0; i < 500 && place.mounted() !== null; i++)
    await new Promise(resolve => setTimeout(resolve, 10));
  t.equal(place.mounted(), null, 'out of the tree');
  writeSync(fd, 'kept');
  t.equal(daemonOf(place.mnt), pid, 'served until the last user is gone');
  closeSync(fd);
  t.ok(servedNoMore(place.mnt), 'and no longer');
  t.equal(readFileSync(join(place.upper, 'new'), 'utf8'), 'kept');
});

t.test('in the foreground', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  for (const [flag, how] of [
    ['-f', 'signal'],
    ['-f', 'umount'],
    ['-d', 'signal'],
  ] as const) {
    const child = spawn(process.execPath, [MAIN, flag, '-o', `${place.options},noauto`, place.mnt]);
    let said = '';
    child.stderr.setEncoding('utf8').on('data', text => {
      said += text;
    });
    // The note is written once the mount is live.
    while (!said.includes('note: noauto')) await once(child.stderr, 'data');
    // Asynchronously or not: another process serves.
    t.equal(place.read('low'), 'low', `${flag}: live`);
    if (how === 'signal') child.kill('SIGINT');
    else t.equal(lamina(['umount', place.mnt]).status, 0);
    const [status] = await once(child, 'close');
    t.equal(status, 0, `${flag}, ${how}: ends with 0`);
    t.equal(place.mounted(), null);
    t.equal(/lookup|LOOKUP/.test(said), flag === '-d', `${flag}: requests are logged with -d only`);
  }
});

t.test('a log for a daemon', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const log = join(place.base, 'log');
  t.equal(
    lamina(['-o', `${place.options},debug`, place.mnt], { env: { ...process.env, LAMINA_LOG: log } }).status,
    0,
  );
  t.equal(place.read('low'), 'low');
  t.match(readFileSync(log, 'utf8'), /LOOKUP/i);
});

t.test('a daemon that cannot start says why', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const env = { ...process.env, LAMINA_ADDON: '/no/such/addon.node' };
  const { status, stderr } = lamina(['-o', place.options, place.mnt], { env });
  t.equal(status, 1);
  t.match(stderr, /lamina: cannot load the addon \/no\/such\/addon.node/);
});

t.test('a daemon that dies early is reported with its status', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const hook = join(place.base, 'die.cjs');
  writeFileSync(hook, "if (process.argv[1]?.endsWith('daemon.js')) process.kill(process.pid, 'SIGKILL');\n");
  const env = { ...process.env, NODE_OPTIONS: `--require=${hook}` };
  const { status, stderr } = lamina(['-o', place.options, place.mnt], { env });
  t.equal(status, 1);
  t.match(
    stderr,
    new RegExp(`the daemon for ${place.mnt} ended before the mount was live: killed by SIGKILL`),
  );
  t.equal(place.mounted(), null);
});

t.test('a caller that is killed before the mount is live gets none', async t => {
  const place = new Place();
  t.teardown(() => place.remove());
  const hook = join(place.base, 'wait.cjs');
  const orphan = `
    const parent = process.ppid;
    require('node:fs').writeFileSync(${JSON.stringify(join(place.base, 'started'))}, '');
    const tick = new Int32Array(new SharedArrayBuffer(4));
    while (process.ppid === parent) Atomics.wait(tick, 0, 0, 10);`;
  writeFileSync(hook, `if (process.argv[1]?.endsWith('daemon.js')) {${orphan}\n}\n`);
  const log = join(place.base, 'log');
  const env = { ...process.env, NODE_OPTIONS: `--require=${hook}`, LAMINA_LOG: log };
  const events = watch(place.base);
  const child = spawn(process.execPath, [MAIN, '-o', place.options, place.mnt], { env });
  while (!existsSync(join(place.base, 'started'))) await once(events, 'change');
  child.kill('SIGKILL');
  // The file appears before its line does.
  while (!existsSync(log) || !readFileSync(log, 'latin1').endsWith('\n')) await once(events, 'change');
  events.close();
  t.match(readFileSync(log, 'utf8'), /EPIPE/);
  t.ok(servedNoMore(place.mnt));
  t.equal(place.mounted(), null);
});
