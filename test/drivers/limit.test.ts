// An engine that asks for something whose storage does not answer is told so, on both protocols, while others are served; and
// what comes too late is taken back.
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { E, SysError } from '../../src/base/index.js';
import {
  CallLimit,
  type MethodTable,
  type SnapshotTable,
  servePlugin,
  serveSnapshots,
} from '../../src/drivers/index.js';
import { listenAtPath } from '../../src/sys/index.js';
import { scratch } from '../support/cleanup.js';
import { snapshotsClient } from '../support/snapshots-client.js';

/** Work that ends when the test says so. */
function pending<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((...both) => {
    [resolve, reject] = both;
  });
  return { promise, resolve, reject };
}

t.test('the limit', async t => {
  const limit = new CallLimit(20);
  t.equal(await limit.run('x', Promise.resolve(5)), 5);
  await t.rejects(limit.run('x', Promise.reject(new SysError(E.EIO, 'y'))), { code: 'EIO' });
  const slow = pending<number>();
  const ended = pending<unknown>();
  const undone: number[] = [];
  const call = limit.run('Get abc', slow.promise, {
    undo: async result => undone.push(result),
    ended: ended.resolve,
  });
  await t.rejects(call, { message: 'Get abc: its storage has not answered for 0.02 s: ETIMEDOUT' });
  t.same(undone, []);
  slow.resolve(7);
  t.equal(await ended.promise, null);
  t.same(undone, [7]);

  const failing = pending<number>();
  const failed = pending<unknown>();
  const second = limit.run('Get abc', failing.promise, { undo: async () => t.fail(), ended: failed.resolve });
  await t.rejects(second, { code: 'ETIMEDOUT' });
  const error = new SysError(E.EIO, 'z');
  failing.reject(error);
  t.equal(await failed.promise, error, 'work that fails late has nothing to take back');
  const free = pending<number>();
  const none = new CallLimit(0).run('x', free.promise);
  free.resolve(1);
  t.equal(await none, 1);
});

t.test("Docker's protocol", async t => {
  const s = scratch(t, 'limit');
  const hung = pending<object>();
  const undone = pending<unknown>();
  const late = pending<unknown[]>();
  const methods: MethodTable = {
    'G.Get': { run: () => hung.promise, undo: async ({ body }) => undone.resolve(body.ID) },
    'G.Exists': { run: async () => ({ Exists: true }) },
  };
  const path = s.path('p.sock');
  const observer = { late: (...args: unknown[]) => late.resolve(args) };
  const driver = await servePlugin(listenAtPath(path), methods, observer, new CallLimit(200));
  const post = (method: string): ClientRequest =>
    request({ socketPath: path, path: `/${method}`, method: 'POST' }).end('{"ID":"abc"}');
  const answerTo = async (asked: ClientRequest): Promise<unknown> => {
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return JSON.parse(await text(response));
  };
  const stuck = answerTo(post('G.Get'));
  t.same(await answerTo(post('G.Exists')), { Exists: true }, 'others are served meanwhile');
  t.same(await stuck, { Err: 'G.Get abc: its storage has not answered for 0.2 s' });
  hung.resolve({ Dir: '/x' });
  t.equal(await undone.promise, 'abc', 'nobody has what came too late');
  t.match(await late.promise, ['G.Get', Number, null]);
  await driver.close();
});

t.test("containerd's protocol", async t => {
  const s = scratch(t, 'limit');
  const hung = pending<{ mounts: [] }>();
  const removed = pending<string>();
  const table = {
    Prepare: () => hung.promise,
    Usage: async () => ({ size: 1, inodes: 2 }),
    Remove: async ({ key }: { key: string }) => {
      removed.resolve(key);
      return {};
    },
  } as unknown as SnapshotTable;
  const path = s.path('c.sock');
  const driver = await serveSnapshots(listenAtPath(path), table, {}, new CallLimit(200));
  const client = snapshotsClient(t, path);
  const stuck = client.Prepare({ key: 'k' });
  t.same(await client.Usage({ key: 'other' }), { size: 1, inodes: 2 });
  await t.rejects(stuck, {
    code: status.DEADLINE_EXCEEDED,
    details: 'Prepare k: its storage has not answered for 0.2 s: ETIMEDOUT',
  });
  hung.resolve({ mounts: [] });
  t.equal(await removed.promise, 'k', 'the snapshot that nobody knows of is removed');
  await driver.close();
});
