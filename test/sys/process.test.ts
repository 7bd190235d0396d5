// What belongs to the process or a thread: ids, capabilities, umask, and descriptors that come over a socket.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import t from 'tap';
import { E } from '../../src/base/index.js';
import { close, pread, pwrite, receiveFd, socketpair, umask } from '../../src/sys/index.js';
import { descriptors, opened, put, runScript, scratch, stat, take } from './scratch.js';

/** A pair of sockets that the end of the test closes. */
function pair(t: Tap): [number, number] {
  const out = new Int32Array(2);
  t.equal(socketpair(out), 0);
  t.teardown(() => {
    close(out[0]!);
    close(out[1]!);
  });
  return [out[0]!, out[1]!];
}

interface Tap {
  equal(found: unknown, wanted: unknown): boolean;
  teardown(fn: () => void): void;
}

// Sends the files argv[1:] in one message over descriptor 3.
const SEND = `
import os, socket, sys
files = [os.open(name, os.O_RDWR) for name in sys.argv[1:]]
socket.send_fds(socket.socket(fileno=3), [b'x'], files)
`;

async function send(socket: number, files: readonly string[]): Promise<void> {
  const child = spawn('python3', ['-c', SEND, ...files], { stdio: ['ignore', 'inherit', 'inherit', socket] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`python3 ${code}`);
}

t.test('descriptors by SCM_RIGHTS', async t => {
  const { path, fd } = scratch(t);
  const file = opened(t, fd, 'file');
  put(file, 'text');
  const [mine, theirs] = pair(t);
  await send(theirs, [`${path}/file`]);
  const got = receiveFd(mine);
  t.equal(take(got, 9), 'text');
  t.equal(stat(got).ino, stat(file).ino);
  t.equal(close(got), 0);
  const before = descriptors();
  await send(theirs, Array(5).fill(`${path}/file`));
  const one = receiveFd(mine);
  t.equal(descriptors(), before + 1, 'those beside it are closed');
  t.equal(close(one), 0);
});

t.test('a message without a descriptor, and the end', async t => {
  const [mine, theirs] = pair(t);
  const data = Buffer.from('x');
  t.equal(pwrite(theirs, data, 0, 1, 0), -E.ESPIPE);
  t.equal(pread(mine, data, 0, 1, 0), -E.ESPIPE);
  await send(theirs, []);
  t.equal(receiveFd(mine), -E.EBADMSG);
  t.equal(receiveFd(-1), -E.EBADF);
  t.equal(socketpair(new Int32Array(1)), -E.EINVAL);
  const [alone, gone] = [new Int32Array(2), 0];
  socketpair(alone);
  t.equal(close(alone[1]!), gone);
  t.equal(receiveFd(alone[0]!), -E.ENOTCONN);
  t.equal(close(alone[0]!), 0);
});

t.test('umask', async t => {
  const before = umask(0o27);
  t.equal(umask(before), 0o27);
  t.equal(umask(before), before);
});

t.test('file system ids, with and without the capabilities', async t => {
  const { path, fd } = scratch(t);
  opened(t, fd, 'secret');
  chmodSync(path, 0o755);
  chmodSync(`${path}/secret`, 0o600);
  const answers = runScript(`
    const open = () => {
      const got = n.openat2(-100, ${JSON.stringify(path)} + '/secret', 0o2000000, 0, 0);
      if (got >= 0) n.close(got);
      return got < 0 ? got : 0;
    };
    const made = name => n.mkdirat(-100, ${JSON.stringify(path)} + '/' + name, 0o755);
    const answers = [open(), n.setfsids(1000, 1001), open(), made('denied'), n.setfsids(0, 0), open()];
    answers.push(n.keepCapabilities(), n.setfsids(1000, 1001), open(), made('theirs'), n.setfsids(0, 0));
    console.log(JSON.stringify(answers));`);
  t.strictSame(answers, [0, 0, -E.EACCES, -E.EACCES, 0, 0, 0, 0, 0, 0, 0]);
  t.strictSame([stat(fd, 'theirs').uid, stat(fd, 'theirs').gid], [1000, 1001]);
});

t.test('ids that may not be taken', async t => {
  const answers = runScript(`
    process.setgroups([]);
    process.setgid(1000);
    process.setegid(2000);
    process.setuid(1000);
    const gid = () => require('node:fs').readFileSync('/proc/thread-self/status', 'latin1').match(/Gid:(.*)/)[1].trim();
    const answers = [n.setfsids(1000, 2000), n.setfsids(0, 1000), n.setfsids(1000, 0)];
    console.log(JSON.stringify([...answers, gid()]));`);
  // Real, effective, saved and file system id: 1000 was allowed, and is taken back with the uid that was not.
  t.strictSame(answers, [0, -E.EPERM, -E.EPERM, '1000\t2000\t1000\t2000']);
});

t.test('a worker has the ids of the process, whoever the thread that started it acts for', async t => {
  const { path, fd } = scratch(t);
  opened(t, fd, 'program');
  const modes = runScript(`
    const fs = require('node:fs');
    const name = ${JSON.stringify(path)} + '/program';
    const file = n.openat2(-100, name, 2, 0, 0);
    const mode = () => {
      const now = fs.fstatSync(file).mode & 0o7777;
      n.fchmodat(file, '', 0o4755);
      return now;
    };
    mode();
    n.setfsids(1000, 1000);
    n.pwriteAsync(file, Buffer.from('x'), 0, 1, 0).then(() => {
      n.setfsids(0, 0);
      const worker = mode();
      n.setfsids(1000, 1000);
      n.pwrite(file, Buffer.from('x'), 0, 1, 0);
      n.setfsids(0, 0);
      console.log(JSON.stringify([worker, mode()]));
    });`);
  t.strictSame(modes, [0o4755, 0o755], 'only who lacks CAP_FSETID clears setuid by writing');
});
