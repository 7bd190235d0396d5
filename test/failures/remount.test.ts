// An engine unmounts and mounts the same upper again at once, while the daemon of the first mount is still ending: it has the
// upper until what was written is on disk.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import t from 'tap';
import { E, ok } from '../../src/base/index.js';
import { close, flock, LOCK, O, openPath } from '../../src/sys/index.js';
import { openUnion, parseOptions } from '../../src/union/index.js';
import { lamina, laminafs, MAIN, optionString, umount, waitUntil } from '../support/daemon.js';
import { setStage } from '../support/daemon-stage.js';

void t.test('the second mount waits for the end of the first', async t => {
  const stage = setStage(t, laminafs, { layers: 'echo 1 >l1/f' });
  const { lowers, upper, work, mnt: mountpoint } = stage;
  // Stands for a daemon whose mount is gone: it shares its lock until it has ended.
  const ending = spawn('flock', ['--shared', upper, 'sh', '-c', 'echo taken; read line'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(ending.stdout, 'data');
  const options = optionString({ lowers, upper, work, mountpoint });
  const second = spawn(process.execPath, [MAIN, '-o', options, mountpoint], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  second.stderr.setEncoding('utf8').on('data', text => {
    stderr += text;
  });
  const ended = once(second, 'close');
  // A line of who waits, see proc_locks(5).
  const waiter = new RegExp(`-> FLOCK .*:${statSync(upper).ino} `);
  waitUntil(
    () => second.exitCode !== null || waiter.test(readFileSync('/proc/locks', 'latin1')),
    'a waiting mount',
    20,
  );
  ending.stdin.end('\n');
  t.same([await ended, stderr], [[0, null], '']);
  t.equal(stage.in('cat f'), '1\n');
  umount(mountpoint);
});

void t.test('an upper of a mount that is there is refused', async t => {
  const stage = setStage(t, laminafs, { layers: 'echo 1 >l1/f' });
  const { lowers, upper, work } = stage;
  stage.mount();
  const mountpoint = stage.scratch.mkdir('other');
  const options = optionString({ lowers, upper, work, mountpoint });
  t.match(lamina(['mount', '-o', options, mountpoint], { timeout: 60_000 }), {
    status: 1,
    stderr: /upperdir .* is in use by another mount/,
  });
});

void t.test('a daemon that ends shares its lock until it has written everything', async t => {
  const stage = setStage(t, laminafs, { layers: 'echo 1 >l1/f' });
  const { lowers, upper, work, mnt: mountpoint } = stage;
  const union = openUnion(
    parseOptions(optionString({ lowers, upper, work, mountpoint, options: ['volatile'] })),
  );
  const fd = ok(openPath(upper, O.RDONLY | O.DIRECTORY), upper);
  t.equal(flock(fd, LOCK.SH | LOCK.NB), -E.EWOULDBLOCK, 'mounted');
  const ended = union.destroy();
  t.equal(flock(fd, LOCK.SH | LOCK.NB), 0, 'ending');
  t.equal(flock(fd, LOCK.EX | LOCK.NB), -E.EWOULDBLOCK, 'and not ended');
  await ended;
  t.equal(flock(fd, LOCK.EX | LOCK.NB), 0, 'ended');
  close(fd);
});
