// Sockets: listening, connecting, bytes in both directions without ever waiting, and a watch that changes what it waits for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
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
  send,
  sendDatagram,
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
