// Whoever is not supposed to ask the process of `lamina-mount` gets nothing from it, and whatever comes does it no harm.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { listenUnix } from '../../src/sys/index.js';
import { mountsBelow } from '../support/cleanup.js';
import { CLIENT, isRunning, run, waitGone, waitUntil } from '../support/daemon.js';
import { needs } from '../support/needs.js';
import { holds, stage } from '../support/shared-stage.js';

needs('python3', 'setpriv', 'unshare');

/** One that every user may run. */
const PYTHON = '/usr/bin/python3';

const CALLER = fileURLToPath(new URL('../support/shared-caller.py', import.meta.url));
const DAEMON = fileURLToPath(new URL('../../dist/cli/mounts-daemon.js', import.meta.url));

interface Say {
  readonly hex: string;
  readonly spaces: number;
  readonly close?: boolean;
}

function message(words: readonly string[], length?: number): string {
  const text = Buffer.from(words.map(word => `${word}\0`).join(''), 'latin1');
  const head = Buffer.alloc(4);
  head.writeUInt32LE(length ?? text.length);
  return Buffer.concat([head, text]).toString('hex');
}

/** What comes back for each of `says`, from a process of which the test has made the socket. */
function ask(socket: string, says: readonly Say[], through: readonly string[] = []): string[] {
  const input = says.map(say => `${JSON.stringify(say)}\n`).join('');
  const { status, stdout, stderr } = run([...through, PYTHON, CALLER, socket], { input });
  if (status !== 0) throw new Error(stderr);
  // What is closed before all has been read is reset, behind what was answered.
  return stdout.replaceAll(' reset', '').split('\n').slice(0, -1);
}

/** A process that listens where everybody may connect. */
function open(t: Parameters<typeof stage>[0]) {
  const s = stage(t);
  run(['chmod', '755', s.scratch.dir]);
  const socket = s.scratch.path('socket');
  const listener = listenUnix(socket, 0o777);
  run(['chmod', '777', socket]);
  const child = spawn(process.execPath, [DAEMON, s.store, socket], {
    stdio: ['ignore', 'ignore', 'inherit', listener],
    env: { PATH: process.env.PATH },
  });
  s.scratch.defer(() => {
    if (isRunning(child.pid!)) process.kill(child.pid!, 'SIGKILL');
  });
  return { ...s, socket, pid: child.pid! };
}

t.test('who asks', async t => {
  const s = open(t);
  const [a, b] = [s.mount('a'), s.mount('b')];
  const say: Say = { hex: message([s.store, b.options, b.mnt]), spaces: 2 };
  t.same(ask(s.socket, [say], ['setpriv', '--reuid', '7777', '--clear-groups']), ['ax'], 'another user');
  t.same(ask(s.socket, [say], ['unshare', '--mount']), ['ax'], 'from another mount name space');
  t.same(
    ask(s.socket, [say], ['unshare', '--user', '--map-root-user']),
    ['ax'],
    'from another user name space',
  );
  t.same(ask(s.socket, [{ ...say, spaces: 1 }]), ['ax'], 'of which one is not shown');
  t.same(ask(s.socket, [{ ...say, spaces: 3 }]), ['ax'], 'with more than is asked for');
  t.same(mountsBelow(s.scratch.dir), []);
  t.same(ask(s.socket, [{ ...say, hex: message([s.store, a.options, a.mnt]) }]), ['a0'], 'and who may');
  t.same(mountsBelow(s.scratch.dir), [a.mnt]);
});

t.test('what is said', async t => {
  const s = open(t);
  const { options, mnt } = s.mount('a');
  const rows: Record<string, Say> = {
    'nothing, and the end': { hex: '', spaces: 0, close: true },
    'half a length': { hex: '0101', spaces: 2, close: true },
    'a length and no more': { hex: '10000000', spaces: 2, close: true },
    'no bytes': { hex: '00000000', spaces: 2 },
    'four gigabytes': { hex: `ffffffff${'41'.repeat(1000)}`, spaces: 2 },
    'two words': { hex: message([s.store, options]), spaces: 2 },
    'four words': { hex: message([s.store, options, mnt, 'more']), spaces: 2 },
    'no end of a word': { hex: message([s.store, options, mnt], 20), spaces: 2 },
    'nothing for ever': { hex: '', spaces: 0 },
  };
  t.same(
    ask(s.socket, Object.values(rows)),
    Object.values(rows).map(() => 'ax'),
  );
  const more = 'and what follows is not looked at, nor are its descriptors kept';
  const before = readdirSync(`/proc/${s.pid}/fd`).length;
  t.match(
    ask(s.socket, [{ hex: `${message([s.store, 'lowerdir=/nowhere', mnt])}ffff`, spaces: 2 }]),
    [/^ax/],
    more,
  );
  waitUntil(() => readdirSync(`/proc/${s.pid}/fd`).length === before, 'descriptors are closed');
  t.same(ask(s.socket, [{ hex: message([s.store, options, mnt]), spaces: 2 }]), ['a0'], 'it is not harmed');
  t.ok(holds(s.pid, `${mnt}/../upper`.replace('/mnt/..', '')));
});

t.test('who comes and goes', async t => {
  const s = open(t);
  const { options, mnt } = s.mount('a');
  const callers = Array.from({ length: 200 }, (_, i) => ({
    hex: 'ffffff'.slice(0, (i % 4) * 2),
    spaces: 0,
    close: true,
  }));
  t.same(new Set(ask(s.socket, callers)).size, 1);
  t.same(ask(s.socket, [{ hex: message([s.store, options, mnt]), spaces: 2 }]), ['a0']);
  run(['umount', mnt]);
  waitGone(s.pid);
  t.throws(() => ask(s.socket, [{ hex: '', spaces: 0 }]), /FileNotFoundError/, 'it takes its name along');
});

t.test('a directory for sockets that is not ours alone is not used', async t => {
  const s = stage(t);
  const place = s.mount('a');
  const [open, theirs, link] = ['open', 'theirs', 'link'].map(name => s.scratch.mkdir(name)) as [
    string,
    string,
    string,
  ];
  run(['chmod', '755', s.scratch.dir]);
  for (const dir of [open, theirs]) run(['mkdir', '-m', '755', `${dir}/lamina-mounts`]);
  run(['chown', '7777', `${theirs}/lamina-mounts`]);
  run(['ln', '-s', s.store, `${link}/lamina-mounts`]);
  // Root of a name space without /run/lamina-mounts, as the rootless engines are.
  for (const dir of [open, theirs, link]) {
    const script = `mount -t tmpfs -o mode=755,ro tmpfs /run
      "${CLIENT}" -o "${place.options}" "${place.mnt}" && cat "${place.mnt}/low"; find "${dir}/lamina-mounts/" -type s
      umount "${place.mnt}"; rm -r "/tmp/lamina-mounts-0-$(stat -Lc %i /proc/self/ns/user)"`;
    const { stdout, stderr } = run(
      ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script],
      { cwd: s.store, env: { XDG_RUNTIME_DIR: dir } },
    );
    t.same(stdout, 'low', `${dir}: ${stderr}`);
  }
});
