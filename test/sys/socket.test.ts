// Sockets: listening, connecting, bytes in both directions without ever waiting, and a watch that changes what it waits for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t from 'tap';
import { E, ok } from '../../src/base/index.js';
import {
  acceptSocket,
  close,
  connectUnix,
  listenTcp,
  listenUnix,
  native,
  receive,
  receiveWithFds,
  send,
  sendDatagram,
  socketPeer,
  socketPort,
} from '../../src/sys/index.js';
import { scratch } from './scratch.js';

const READABLE = 1;
const WRITABLE = 2;

/** Two connected sockets; the server's is closed when the test ends, the client's is the test's. */
function pair(t: { teardown(task: () => void): void }, dir: string): [client: number, server: number] {
  const listener = ok(listenUnix(join(dir, 'socket'), 0o600), 'listen');
  const client = ok(connectUnix(join(dir, 'socket')), 'connect');
  const server = ok(acceptSocket(listener), 'accept');
  close(listener);
  t.teardown(() => close(server));
  return [client, server];
}

t.test('a listening socket', async t => {
  const { path } = scratch(t);
  const socket = join(path, 'socket');
  t.equal(connectUnix(socket), -E.ENOENT);
  const listener = ok(listenUnix(socket, 0o640), 'listen');
  t.equal(statSync(socket).mode & 0o777, 0o640 & ~process.umask());
  t.equal(acceptSocket(listener), -E.EAGAIN, 'nobody is there');
  t.equal(listenUnix(socket, 0o600), -E.EADDRINUSE);
  close(listener);
  t.equal(connectUnix(socket), -E.ECONNREFUSED);
  t.equal(listenUnix(join(path, 'x'.repeat(108)), 0o600), -E.ENAMETOOLONG);
  t.equal(connectUnix('x'.repeat(108)), -E.ENAMETOOLONG);
  t.equal(acceptSocket(-1), -E.EBADF);
});

t.test('TCP addresses', async t => {
  const listener = ok(listenTcp('127.0.0.1', 0), 'listen');
  t.teardown(() => close(listener));
  const port = socketPort(listener);
  t.ok(port > 0);
  t.equal(listenTcp('127.0.0.1', port), -E.EADDRINUSE);
  t.equal(listenTcp('localhost', 0), -E.EINVAL, 'names are for others to look up');
  t.equal(listenTcp('127.0.0.1', 65_536), -E.EINVAL);
  t.equal(listenTcp('127.0.0.1', -1), -E.EINVAL);
});

t.test('bytes', async t => {
  const [client, server] = pair(t, scratch(t).path);
  const buffer = Buffer.alloc(100);
  t.equal(receive(server, buffer, 0, 100, 0), -E.EAGAIN);
  const before = performance.now();
  t.equal(receive(server, buffer, 0, 100, 2000), -E.EAGAIN);
  t.ok(performance.now() - before >= 1.9, 'it looked for two milliseconds');
  t.equal(send(client, Buffer.from('a message'), 2, 7), 7);
  t.equal(receive(server, buffer, 10, 90, 2000), 7);
  t.equal(buffer.toString('latin1', 10, 17), 'message');
  t.equal(receive(server, buffer, 50, 51, 0), -E.EFAULT);
  t.equal(send(client, buffer, -1, 5), -E.EFAULT);
  t.equal(send(client, buffer, 0, 101), -E.EFAULT);
  close(client);
});

t.test('neither a full socket nor one without a reader waits, or kills', async t => {
  const [client, server] = pair(t, scratch(t).path);
  const large = Buffer.alloc(8 * 1024 * 1024);
  const sent = send(server, large, 0, large.length);
  t.ok(sent > 0 && sent < large.length);
  t.equal(send(server, large, 0, 1), -E.EAGAIN);
  t.equal(receive(client, large, 0, large.length, 0), sent);
  close(client);
  t.equal(receive(server, large, 0, 1, 0), 0, 'the end');
  t.equal(send(server, large, 0, 1), -E.EPIPE);
});

t.test('a watch changes what it waits for', async t => {
  const [client, server] = pair(t, scratch(t).path);
  let wake: (events: number) => void = () => t.fail('woken for nothing');
  const next = (): Promise<number> =>
    new Promise(resolve => {
      wake = resolve;
    });
  const watch = native.watchReadable(server, (_status, events) => wake(events));
  t.teardown(() => watch.stop());
  const first = next();
  send(client, Buffer.from('x'), 0, 1);
  t.equal(await first, READABLE);
  const second = next();
  watch.want(WRITABLE);
  t.equal(await second, WRITABLE);
  const third = next();
  watch.want(READABLE | WRITABLE);
  t.equal(await third, READABLE | WRITABLE);
  watch.want(0);
  wake = () => t.fail('woken for nothing');
  await new Promise(resolve => setTimeout(resolve, 20));
  t.throws(() => watch.want(4), TypeError);
  t.throws(() => watch.want('1' as unknown as number), TypeError);
  watch.stop();
  watch.want(READABLE);
  await new Promise(resolve => setTimeout(resolve, 20));
  close(client);
});

t.test('datagrams, by path and by abstract name', async t => {
  const { path } = scratch(t);
  const script = `import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0'))
print('bound', flush=True)
print(s.recv(100).decode())`;
  for (const name of [join(path, 'datagrams'), `@lamina-test-${process.pid}`]) {
    const receiver = spawn('python3', ['-c', script, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: receiver.stdout })[Symbol.asyncIterator]();
    t.equal((await lines.next()).value, 'bound');
    t.equal(sendDatagram(name, Buffer.from('READY=1')), 7);
    t.equal((await lines.next()).value, 'READY=1');
    await once(receiver, 'close');
  }
  t.equal(sendDatagram(join(path, 'none'), Buffer.from('x')), -E.ENOENT);
  t.equal(sendDatagram('x'.repeat(200), Buffer.from('x')), -E.ENAMETOOLONG);
});

t.test('who is at the other end', async t => {
  const [client, server] = pair(t, scratch(t).path);
  t.teardown(() => close(client));
  const ids = new Int32Array(3);
  for (const fd of [client, server]) {
    t.equal(socketPeer(fd, ids), 0);
    t.same([...ids], [process.pid, process.geteuid!(), process.getegid!()]);
  }
  t.equal(socketPeer(client, new Int32Array(2)), -E.EINVAL);
  t.equal(socketPeer(-1, ids), -E.EBADF);
});

// socket.send_fds of Python, because the addon sends none.
const SEND = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(s, [b'abc'], [os.open(name, os.O_RDONLY) for name in sys.argv[2:]])
`;

t.test('descriptors that come along', async t => {
  const { path } = scratch(t);
  const listener = ok(listenUnix(join(path, 'socket'), 0o600), 'listen');
  t.teardown(() => close(listener));
  const files = ['a', 'b', 'c'].map(name => join(path, name));
  for (const file of files) writeFileSync(file, file);
  const sent = async (...names: string[]): Promise<number> => {
    const [status] = await once(spawn('python3', ['-c', SEND, join(path, 'socket'), ...names]), 'exit');
    t.equal(status, 0);
    return ok(acceptSocket(listener), 'accept');
  };
  const buffer = Buffer.alloc(8);
  const fds = new Int32Array(2);
  const open = (): number => readdirSync('/proc/self/fd').length;

  const server = await sent(files[0]!, files[1]!);
  t.equal(receiveWithFds(server, buffer, 1, 2, fds), 2);
  t.same(
    [...fds].map(fd => readlinkSync(`/proc/self/fd/${fd}`)),
    files.slice(0, 2),
  );
  for (const fd of fds) {
    t.match(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'), /^flags:\s+02/m, 'close-on-exec');
    close(fd);
  }
  t.equal(receiveWithFds(server, buffer, 3, 5, fds), 1, 'the rest comes without');
  t.same([...fds], [-1, -1]);
  t.equal(buffer.toString('latin1', 1, 4), 'abc');
  t.equal(receiveWithFds(server, buffer, 0, 8, fds), 0, 'the end');
  t.equal(receiveWithFds(server, buffer, 4, 5, fds), -E.EFAULT);
  close(server);

  const crowded = await sent(...files);
  const before = open();
  t.equal(receiveWithFds(crowded, buffer, 0, 8, fds), 3);
  t.equal(open(), before + 2, 'those that do not fit are closed');
  for (const fd of fds) close(fd);
  close(crowded);
  t.equal(receiveWithFds(-1, buffer, 0, 8, fds), -E.EBADF);
});
