// Failure classes 1 and 16: mounts that leak into other namespaces and keep everything busy, and a daemon that dies
// under a mount in use.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import t from 'tap';
import { isRunning, killDaemon, lamina, laminafs, run, sh, umount, waitGone } from '../support/daemon.js';
import { eachKind, setStage } from '../support/daemon-stage.js';

const layers = 'echo x >l1/file; mkdir l1/dir';

void eachKind(
  t,
  'a mount that leaked into another mount namespace can be removed here',
  { layers },
  async stage => {
    const { t, mnt } = stage;
    const mounted = stage.mount();
    // The holder has a copy of the mount, with its working directory in it.
    const holder = spawn('unshare', [
      '-m',
      'sh',
      '-c',
      'cd "$1/dir"; echo in; read line; echo held >../file; cat ../file',
      'sh',
      mnt,
    ]);
    await once(holder.stdout, 'data');
    umount(mnt);
    sh('rmdir "$M"; mkdir "$M"', { env: { M: mnt } });
    t.equal(
      mounted.daemon === null || isRunning(mounted.daemon),
      true,
      'the other namespace is still served',
    );
    const answer = once(holder.stdout, 'data');
    holder.stdin.end('\n');
    t.equal(String((await answer)[0]), 'held\n');
    await once(holder, 'close');
    if (mounted.daemon !== null) waitGone(mounted.daemon);
    t.pass('and with the last user the daemon goes');
  },
);

void eachKind(t, 'a lazy unmount ends with its last open file', { layers }, async stage => {
  const { t, mnt } = stage;
  const mounted = stage.mount();
  const holder = spawn('sh', ['-c', 'exec 3>>"$1/file"; echo open; read line; echo late >&3', 'sh', mnt]);
  await once(holder.stdout, 'data');
  const busy = run(['umount', mnt]);
  t.not(busy.status, 0, 'an ordinary unmount is refused');
  t.match(busy.stderr, /busy/);
  sh('umount -l "$M"', { env: { M: mnt } });
  holder.stdin.end('\n');
  await once(holder, 'close');
  if (mounted.daemon !== null) waitGone(mounted.daemon);
  stage.mount();
  t.equal(stage.in('cat file'), 'x\nlate\n', 'what was written after it is there');
});

void t.test('lamina umount says why it cannot', async t => {
  const stage = setStage(t, laminafs, { layers });
  stage.mount();
  const holder = spawn('sh', ['-c', 'cd "$1"; echo in; read line', 'sh', stage.mnt]);
  await once(holder.stdout, 'data');
  const refused = lamina(['umount', stage.mnt]);
  t.equal(refused.status, 1);
  t.match(refused.stderr, /in use/);
  t.match(refused.stderr, stage.mnt);
  holder.stdin.end('\n');
  await once(holder, 'close');
  t.equal(lamina(['umount', stage.mnt]).status, 0);
  t.equal(lamina(['umount', stage.mnt]).status, 1, 'nothing is mounted any more');
});

void t.test('when the daemon is killed the mount says so and can be taken off', async t => {
  const stage = setStage(t, laminafs, { layers });
  const mounted = stage.mount();
  stage.in('echo synced >kept; sync kept; echo more >>file');
  process.kill(mounted.daemon!, 'SIGKILL');
  waitGone(mounted.daemon!);
  t.throws(() => statSync(stage.mnt), { code: 'ENOTCONN' }, 'Transport endpoint is not connected');
  killDaemon(mounted);
  t.strictSame(sh('ls "$M"', { env: { M: stage.mnt } }), '', 'nothing is mounted there');
  const again = laminafs.mount(mounted.view);
  t.equal(stage.in('cat kept file'), 'synced\nx\nmore\n', 'a new mount has all that was written');
  again.umount();
});

void t.test('what was fsynced before the daemon was killed is there', async t => {
  const stage = setStage(t, laminafs, { layers });
  const mounted = stage.mount();
  // Appends to a lower file and tells of each line once it is synced; the daemon dies in the middle.
  const script = 'i=0; while echo line $i >>file && sync file; do echo $i; i=$((i + 1)); done 2>/dev/null';
  const writer = spawn('bash', ['-c', script], { cwd: stage.mnt });
  let told = '';
  for await (const data of writer.stdout) {
    told += String(data);
    if (told.split('\n').length > 20 && isRunning(mounted.daemon!)) process.kill(mounted.daemon!, 'SIGKILL');
  }
  killDaemon(mounted);
  const synced = told.trim().split('\n').length;
  t.ok(synced >= 20, `${synced} lines were acknowledged`);
  const again = laminafs.mount(mounted.view);
  const lines = stage.in('cat file').trim().split('\n');
  t.strictSame(lines.slice(0, synced + 1), ['x', ...Array.from({ length: synced }, (_, i) => `line ${i}`)]);
  again.umount();
});
