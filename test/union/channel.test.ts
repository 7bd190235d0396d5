// The option channel, with the real command: what it insists on, what it falls back to, and how a daemon that dies leaves
// a mount over io_uring.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { scratch } from '../support/cleanup.js';
import { openFiles } from '../support/daemon.js';
import { ringOn } from '../support/ring-switch.js';
import { command } from '../support/subject.js';
import { type Daemon, startDaemon } from '../support/subject-daemon.js';

ringOn(t);

/** Runs what follows without io_uring, as container engines do by default. */
const FORBID = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
SETUP, EPERM = 425, 1
step = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)
program = ctypes.create_string_buffer(
    step(0x20, 0, 0, 0) + step(0x15, 0, 1, SETUP) + step(0x06, 0, 0, 0x50000 | EPERM) + step(0x06, 0, 0, 0x7fff0000))
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxP', 4, ctypes.addressof(program)))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, filter, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
`;

interface Place {
  readonly mnt: string;
  readonly argv: (channel: string) => string[];
}

function place(t: Test): Place {
  const { write, mkdir, dir } = scratch(t, 'channel');
  write('low/f', 'low');
  const [upper, work, mnt] = [mkdir('upper'), mkdir('work'), mkdir('mnt')];
  const layers = `lowerdir=${dir}/low,upperdir=${upper},workdir=${work}`;
  return { mnt, argv: channel => [command, 'mount', '-f', '-o', `${layers},channel=${channel}`, mnt] };
}

const sh = async (text: string, ...words: string[]): Promise<string> =>
  (await promisify(execFile)('sh', ['-ec', text, ...words], { timeout: 60_000 })).stdout;

function hasRing({ pid }: Daemon): boolean {
  return openFiles(pid).includes('anon_inode:[io_uring]');
}

for (const channel of ['auto', 'io_uring', 'dev']) {
  t.test(`channel=${channel} where io_uring is there`, async t => {
    const { mnt, argv } = place(t);
    const daemon = await startDaemon(argv(channel), mnt);
    t.equal(await sh('cd "$0"; echo new > g; cat f g', mnt), 'lownew\n');
    t.equal(hasRing(daemon), channel !== 'dev');
    await sh('umount "$0"', mnt);
    await daemon.ended();
  });
}

t.test('where io_uring is forbidden', async t => {
  const { mnt, argv } = place(t);
  const words = (channel: string) => ['-c', FORBID, process.execPath, ...argv(channel)];
  const daemon = await startDaemon(words('auto'), mnt, 'python3');
  t.equal(await sh('cat "$0/f"', mnt), 'low', 'auto goes by /dev/fuse');
  t.notOk(hasRing(daemon));
  await sh('umount "$0"', mnt);
  await daemon.ended();
  const insisting = promisify(execFile)('python3', words('io_uring'), { timeout: 60_000 });
  await t.rejects(insisting, /channel: io_uring is not to be had/);
  t.equal(await sh('grep -c "$0" /proc/self/mounts || true', mnt), '0\n', 'nothing stays mounted');
});

t.test('without /sys there is no telling how many CPUs want an entry', async t => {
  const { mnt, argv } = place(t);
  const [main, verb, , ...words] = argv('auto');
  const inside = 'mount -t tmpfs none /sys; "$@"; cat "$0/f"; umount "$0"';
  const said = await promisify(execFile)(
    'unshare',
    ['-m', 'sh', '-ec', inside, mnt, process.execPath, main!, verb!, ...words],
    { timeout: 30_000 },
  );
  t.equal(said.stdout, 'low', 'auto goes by /dev/fuse');
});

t.test('a daemon that is killed while callers wait', async t => {
  const { mnt, argv } = place(t);
  const daemon = await startDaemon(argv('io_uring'), mnt);
  await sh('ls -l "$0"', mnt);
  process.kill(daemon.pid, 'SIGSTOP');
  const waiting = [1, 2, 3].map(i => end(spawn('stat', [`${mnt}/absent${i}`])));
  await Promise.all(waiting.map(({ child }) => waits(child)));
  process.kill(daemon.pid, 'SIGKILL');
  // Which of them it is depends on how far the request had got.
  for (const { said } of waiting) t.match(await said, /connection abort|not connected|Operation canceled/);
  await t.rejects(daemon.ended(), /SIGKILL/);
  // The kernel takes the ring down when the process has gone.
  await t.rejects(sh('ls "$0"', mnt), /connection abort|not connected/);
  await sh('umount "$0"', mnt);
});

function end(child: ChildProcess): { child: ChildProcess; said: Promise<string> } {
  let text = '';
  child.stderr!.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  return { child, said: once(child, 'close').then(() => text) };
}

/** Resolves when the process waits for a FUSE daemon; there is no event for that. */
async function waits({ pid }: ChildProcess): Promise<void> {
  await sh('until grep -q request_wait "/proc/$0/wchan"; do sleep 0.01; done', String(pid));
}
