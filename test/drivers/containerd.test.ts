// containerd's snapshotter by its protocol: every call, every status, odd names, many requests at once.
import { readdirSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { KIND } from '../../src/drivers/containerd-schema.js';
import { statusOf } from '../../src/drivers/index.js';
import { mountsBelow } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { fails, placeOf, site } from '../support/snapshots-site.js';

needs('mount');

t.test('errors of the store, as gRPC has them', async t => {
  const rows: readonly (readonly [number, number])[] = [
    ...([[E.ENOENT, status.NOT_FOUND] as const, [E.EEXIST, status.ALREADY_EXISTS] as const] as const),
    ...([
      [E.EINVAL, status.INVALID_ARGUMENT] as const,
      [E.EPERM, status.FAILED_PRECONDITION] as const,
    ] as const),
    [E.ENOTEMPTY, status.FAILED_PRECONDITION],
    [E.EBUSY, status.FAILED_PRECONDITION],
    [E.ENOSPC, status.RESOURCE_EXHAUSTED],
    [E.EDQUOT, status.RESOURCE_EXHAUSTED],
    [E.EMFILE, status.RESOURCE_EXHAUSTED],
    [E.ENOTSUP, status.UNIMPLEMENTED],
    [E.EUCLEAN, status.DATA_LOSS],
    [E.EIO, status.UNKNOWN],
  ];
  for (const [errno, code] of rows) {
    const error = new SysError(errno, 'layer x');
    t.same(statusOf(error), { code, details: error.message }, error.code);
  }
  t.same(statusOf(new TypeError('a defect')), { code: status.UNKNOWN, details: 'a defect' });
});

t.test('the life of snapshots', async t => {
  const { client, s } = await site(t);
  const first = await client.Prepare({ key: 'ns/1/a', labels: { l: 'one' } });
  t.match(first.mounts, [{ type: 'bind', options: ['rbind', 'rw'] }]);
  t.equal(statSync(placeOf(first)).mode & 0o7777, 0o755);
  t.equal((await client.Usage({ key: 'ns/1/a' })).inodes, 1);
  await writeFile(`${placeOf(first)}/file`, 'one');
  t.equal((await client.Usage({ key: 'ns/1/a' })).inodes, 2);
  t.same(await client.Mounts({ key: 'ns/1/a' }), first, 'the same mounts again');
  const before = Date.now() * 1e6;
  t.same(await client.Commit({ key: 'ns/1/a', name: 'ns/2/base', labels: { m: 'two' } }), {});
  const { info } = await client.Stat({ key: 'ns/2/base' });
  t.match(info, { name: 'ns/2/base', parent: '', kind: KIND.committed, labels: { m: 'two' } });
  t.notOk('l' in info.labels, 'only the labels of the commit');
  const { seconds, nanos } = info.created_at!;
  t.ok(seconds * 1e9 + nanos >= before - 1e6 && seconds * 1e9 + nanos <= (Date.now() + 1) * 1e6);
  t.same(info.updated_at, info.created_at);

  const second = await client.Prepare({ key: 'ns/3/b', parent: 'ns/2/base' });
  t.equal(await readFile(`${placeOf(second)}/file`, 'utf8'), 'one');
  t.equal((await client.Usage({ key: 'ns/3/b' })).inodes, 1);
  await writeFile(`${placeOf(second)}/more`, Buffer.alloc(100_000));
  t.equal((await client.Usage({ key: 'ns/3/b' })).inodes, 2, 'an active one is measured as it is');
  const view = await client.View({ key: 'ns/4/v', parent: 'ns/2/base' });
  t.match(view.mounts, [{ type: 'bind', options: ['rbind', 'ro'] }]);
  t.same(await client.Usage({ key: 'ns/4/v' }), { size: 0, inodes: 0 });
  await client.Commit({ key: 'ns/3/b', name: 'top' });
  const stacked = await client.View({ key: 'ns/5/v', parent: 'top' });
  t.equal(await readFile(`${placeOf(stacked)}/file`, 'utf8'), 'one');
  await t.rejects(writeFile(`${placeOf(stacked)}/file`, 'x'), { code: 'EROFS' });
  const usage = await client.Usage({ key: 'top' });
  t.ok(usage.size >= 100_000 && usage.size < 200_000 && usage.inodes === 2, JSON.stringify(usage));

  t.match(await fails(t, status.FAILED_PRECONDITION, client.Remove({ key: 'top' }), 'a parent'), /remove/);
  for (const key of ['ns/5/v', 'top', 'ns/4/v', 'ns/2/base']) t.same(await client.Remove({ key }), {});
  t.same(await client.Cleanup({}), {});
  t.same(await client.List({}), { info: [] });
  t.same([...readdirSync(s.path('root/layers')), ...readdirSync(s.path('root/trash'))], []);
  t.same(mountsBelow(s.dir), []);
});

t.test('what is refused', async t => {
  const { client } = await site(t);
  await client.Prepare({ key: 'a' });
  await client.View({ key: 'v' });
  await client.Prepare({ key: 'c' });
  await client.Commit({ key: 'c', name: 'C' });
  const none = { key: 'none' };
  const NOT_FOUND: [string, Promise<unknown>][] = [
    ['stat', client.Stat(none)],
    ['mounts', client.Mounts(none)],
    ['commit', client.Commit({ ...none, name: 'x' })],
    ['remove', client.Remove(none)],
    ['usage', client.Usage(none)],
    ['update', client.Update({ info: { ...NO_INFO, name: 'none' } })],
    ['prepare', client.Prepare({ key: 'x', parent: 'none' })],
    ['view', client.View({ key: 'x', parent: 'none' })],
  ];
  for (const [what, call] of NOT_FOUND) await fails(t, status.NOT_FOUND, call, what);
  for (const key of ['a', 'v', 'C']) {
    await fails(t, status.ALREADY_EXISTS, client.Prepare({ key }), `prepare ${key}`);
    await fails(t, status.ALREADY_EXISTS, client.View({ key }), `view ${key}`);
    await fails(t, status.ALREADY_EXISTS, client.Commit({ key: 'a', name: key }), `commit as ${key}`);
  }
  const { FAILED_PRECONDITION, INVALID_ARGUMENT, UNIMPLEMENTED } = status;
  await fails(t, FAILED_PRECONDITION, client.Commit({ key: 'v', name: 'x' }), 'commit of a view');
  await fails(t, FAILED_PRECONDITION, client.Commit({ key: 'C', name: 'x' }), 'commit of a committed one');
  await fails(t, FAILED_PRECONDITION, client.Mounts({ key: 'C' }), 'mounts of a committed one');
  await fails(t, INVALID_ARGUMENT, client.Prepare({ key: 'x', parent: 'a' }), 'an active parent');
  await fails(t, INVALID_ARGUMENT, client.View({ key: 'x', parent: 'v' }), 'a view as parent');
  for (const key of ['', 'a\0b', 'x'.repeat(5000)])
    await fails(t, INVALID_ARGUMENT, client.Prepare({ key }), `a key ${JSON.stringify(key.slice(0, 9))}`);
  await fails(t, INVALID_ARGUMENT, client.Commit({ key: 'a', name: '' }), 'a commit without a name');
  await fails(t, INVALID_ARGUMENT, client.List({ filters: ['name=='] }), 'a filter that is none');
  await fails(t, INVALID_ARGUMENT, client.Update({}), 'an update of nothing');
  await fails(t, UNIMPLEMENTED, client.Commit({ key: 'a', name: 'x', parent: 'C' }), 'another parent');
  for (const size of ['', '0', '-1', '1G', '1e3', '99999999999999999999']) {
    const labels = { 'containerd.io/snapshot/max-size': size };
    await fails(t, INVALID_ARGUMENT, client.Prepare({ key: 'x', labels }), `a size "${size}"`);
  }
  const { info } = await client.List({});
  t.same(info.map(({ name }) => name).sort(), ['C', 'a', 'v'], 'nothing has changed');
});

const NO_INFO = { name: '', parent: '', kind: 0, created_at: null, updated_at: null, labels: {} };

t.test('labels', async t => {
  const { client } = await site(t);
  await client.Prepare({ key: 'a', labels: { one: '1', two: '2' } });
  const before = (await client.Stat({ key: 'a' })).info;
  const update = async (labels: Record<string, string>, ...paths: string[]) => {
    const info = { ...NO_INFO, name: 'a', parent: 'ignored', labels };
    const answer = await client.Update({ info, update_mask: { paths } });
    t.same(answer, await client.Stat({ key: 'a' }), 'the answer is what is there');
    return answer.info;
  };
  const after = await update({ three: '3' }, 'labels.three');
  t.same(after.labels, { one: '1', two: '2', three: '3' });
  t.same(after.created_at, before.created_at);
  const moment = ({ seconds, nanos }: { seconds: number; nanos: number }) => seconds * 1e6 + nanos / 1000;
  t.ok(moment(after.updated_at!) > moment(before.updated_at!));
  t.same((await update({ two: 'II' }, 'labels.two', 'labels.one')).labels, { two: 'II', three: '3' });
  t.same((await update({ 'a.b/c': 'x' }, 'labels.a.b/c')).labels, { two: 'II', three: '3', 'a.b/c': 'x' });
  t.same((await update({ x: 'y', empty: '' }, 'labels')).labels, { x: 'y' });
  t.same((await update({ z: 'z' })).labels, { z: 'z' }, 'no mask');
  for (const path of ['name', 'parent', 'kind', 'created_at', 'label', 'labels.x,name']) {
    const mask = path.split(',');
    await fails(t, status.INVALID_ARGUMENT, update({ q: 'q' }, ...mask), `an update of ${path}`);
  }
  t.same((await client.Stat({ key: 'a' })).info.labels, { z: 'z' });
});

t.test('lists', async t => {
  const { client } = await site(t);
  await client.Prepare({ key: 'base' });
  await client.Commit({ key: 'base', name: 'B', labels: { 'a.b/c': 'x', l: 'true' } });
  for (let i = 0; i < 250; i++) await client.View({ key: `v${i}`, parent: 'B' });
  const names = async (...filters: string[]) =>
    (await client.List({ filters })).info.map(({ name }) => name).sort();
  t.equal((await names()).length, 251, 'more than one message');
  t.same(await names('kind==committed'), ['B']);
  t.same(await names('parent==B,name~=^v24.$').then(list => list.length), 10);
  t.same(await names('labels."a.b/c"==x'), ['B']);
  t.same(await names('name==v1', 'labels.l'), ['B', 'v1']);
  t.same(await names('parent==""'), ['B']);
});

t.test('names are only names', async t => {
  const { client, s } = await site(t);
  const keys = ['../../../x', '/', '.', '..', 'a/../b', ' ', 'é\n"', 'ns/7/extract-1 x/../y', "'$(id)'"];
  const layers = readdirSync(s.dir);
  for (const key of keys) {
    await client.Prepare({ key });
    await client.Commit({ key, name: `c ${key}` });
    const made = await client.Prepare({ key, parent: `c ${key}` });
    await writeFile(`${placeOf(made)}/here`, key);
    t.equal((await client.Stat({ key })).info.name, key);
  }
  t.same(readdirSync(s.dir), layers);
  t.same(readdirSync(s.path('root/layers')).length, 2 * keys.length);
  for (const key of keys) await client.Remove({ key });
  for (const key of keys) await client.Remove({ key: `c ${key}` });
  t.same((await client.List({})).info, []);
});

t.test('two hundred requests at once', async t => {
  const { client } = await site(t);
  await client.Prepare({ key: 'a' });
  await client.Commit({ key: 'a', name: 'base' });
  const each = Array.from({ length: 200 }, (_, i) => i);
  const made = await Promise.all(
    each.map(i => client.Prepare({ key: `k${i % 100}`, parent: 'base' }).catch(error => error.code)),
  );
  t.equal(made.filter(answer => answer === status.ALREADY_EXISTS).length, 100, 'each name once');
  const places = new Set(made.filter(answer => typeof answer === 'object').map(placeOf));
  t.equal(places.size, 100);
  await Promise.all([...places].map(place => writeFile(`${place}/x`, 'x')));
  const calls = each.map(i =>
    i % 2 === 0
      ? client.Commit({ key: `k${i / 2}`, name: `c${i / 2}` })
      : client.Stat({ key: `k${(i - 1) / 2}` }).catch(error => t.equal(error.code, status.NOT_FOUND)),
  );
  await Promise.all(calls);
  await Promise.all(each.slice(0, 100).map(i => client.Remove({ key: `c${i}` })));
  t.same(
    (await client.List({})).info.map(({ name }) => name),
    ['base'],
  );
});
