// Where the server listens: who may connect, what happens to socket files, how many are served.
import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { NbdServer } from '../../src/nbd/index.js';
import { COMMAND } from '../../src/nbd/protocol.js';
import { close, listenUnix } from '../../src/sys/index.js';
import { bufferDevice } from '../support/block-devices.js';
import { scratch } from '../support/cleanup.js';
import { Client } from './client.js';
import { serve, until } from './fixture.js';

const disk = bufferDevice(65_536);

function server(t: { teardown(task: () => void): void }, options = {}): NbdServer {
  const made = new NbdServer(() => [{ name: 'disk', description: '', open: () => disk }], options);
  t.teardown(() => made.close());
  return made;
}

/** The errno that listening there fails with. */
async function refused(made: NbdServer, address: Parameters<NbdServer['listen']>[0]): Promise<string> {
  try {
    await made.listen(address);
    return 'nothing';
  } catch (error) {
    for (const name of ['EADDRINUSE', 'ENAMETOOLONG', 'ENOENT', 'EADDRNOTAVAIL', 'EINVAL'] as const) {
      if (isErrno(error, E[name])) return name;
    }
    throw error;
  }
}

t.test('a socket is its owner’s alone, whatever the umask', async t => {
  const { dir } = scratch(t, 'nbd');
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const made = server(t);
  await made.listen({ path: join(dir, 'socket') });
  t.equal(statSync(join(dir, 'socket')).mode & 0o777, 0o600);
});

t.test('it goes when the server ends, but not when it is another one’s', async t => {
  const { dir } = scratch(t, 'nbd');
  const path = join(dir, 'socket');
  const made = server(t);
  await made.listen({ path });
  await made.close();
  t.notOk(existsSync(path));
  const first = server(t);
  await first.listen({ path });

  rmSync(path);
  const second = server(t);
  await second.listen({ path });
  await first.close();
  t.ok(existsSync(path));
  const client = await Client.open(path);
  await client.enter('disk');
  client.close();
});

t.test('a dead server’s socket is replaced, a living one’s is not', async t => {
  const { dir } = scratch(t, 'nbd');
  const path = join(dir, 'socket');
  close(listenUnix(path, 0o600));
  t.ok(lstatSync(path).isSocket(), 'one is left behind');
  const made = server(t);
  await made.listen({ path });
  t.equal(await refused(server(t), { path }), 'EADDRINUSE');
  const client = await Client.open(path);
  t.ok(await client.enter('disk'));
  client.close();
});

t.test('two that start at the same time', async t => {
  const { dir } = scratch(t, 'nbd');
  const path = join(dir, 'socket');
  close(listenUnix(path, 0o600));
  const results = await Promise.allSettled([server(t).listen({ path }), server(t).listen({ path })]);
  t.same(results.map(each => each.status).sort(), ['fulfilled', 'rejected']);
});

t.test('paths at which there can be no socket', async t => {
  const { dir } = scratch(t, 'nbd');
  const made = server(t);
  writeFileSync(join(dir, 'file'), 'text');
  mkdirSync(join(dir, 'directory'));
  t.equal(await refused(made, { path: join(dir, 'file') }), 'EADDRINUSE');
  t.equal(await refused(made, { path: join(dir, 'directory') }), 'EADDRINUSE');
  t.equal(await refused(made, { path: join(dir, 'none', 'socket') }), 'ENOENT');
  t.equal(await refused(made, { path: join(dir, 'x'.repeat(120)) }), 'ENAMETOOLONG');
  t.equal(statSync(join(dir, 'file')).size, 4);
});

t.test('a full queue is a living server', async t => {
  const { dir } = scratch(t, 'nbd');
  const path = join(dir, 'socket');
  const busy = createServer();
  await new Promise<void>(resolve => busy.listen({ path, backlog: 1 }, resolve));
  t.teardown(() => busy.close());
  chmodSync(path, 0o600);
  t.equal(await refused(server(t), { path }), 'EADDRINUSE');
});

t.test('TCP: loopback by default, any free port on request', async t => {
  const made = server(t);
  await made.listen({ port: 0 });
  t.ok(made.port > 0);
  const client = await Client.open(made.port);
  await client.enter('disk');
  t.equal(client.socket.remoteAddress, '127.0.0.1');
  t.equal((await client.command({ type: COMMAND.READ, length: 4096 })).data.length, 4096);
  client.close();
  t.equal(await refused(server(t), { port: made.port }), 'EADDRINUSE');
  t.equal(await refused(server(t), { port: 70_000 }), 'EINVAL');
  t.equal(await refused(server(t), { host: 'no-such-host.invalid', port: 0 }), 'EADDRNOTAVAIL');
  const six = server(t);
  await six.listen({ host: '::1', port: 0 });
  t.ok(six.port > 0);
});

t.test('a unix socket and a port at the same time', async t => {
  const { dir } = scratch(t, 'nbd');
  const made = server(t);
  await made.listen({ path: join(dir, 'socket') });
  await made.listen({ host: 'localhost', port: 0 });
  for (const where of [join(dir, 'socket'), made.port]) {
    const client = await Client.open(where);
    await client.enter('disk');
    client.close();
  }
});

t.test('clients beyond the limit wait for their turn', async t => {
  const served = await serve(t, { disk }, { maxConnections: 2 });
  const first = await served.enter('disk');
  await served.enter('disk');
  const third = await served.connect();
  let greeted = false;
  const entered = third.enter('disk').then(() => {
    greeted = true;
  });
  for (let i = 0; i < 20; i++) await first.command({ type: COMMAND.READ, length: 512 });
  t.notOk(greeted);
  first.close();
  await entered;
  await until(() => served.server.connected === 2, 'there are two');
  t.ok(greeted);
});
