// The store's layers over the union backend: their life, what is refused, and what a new process finds.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile, rm, statfs, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { E, isErrno } from '../../src/base/index.js';
import { type Layers, Store } from '../../src/store/index.js';
import { measureTree } from '../../src/store/measure.js';
import { mountsBelow, type Scratch, scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';

needs('mount');

const REALM = { name: 'test', parentsAreCommitted: true };

interface Site {
  readonly s: Scratch;
  store: Store;
  layers: Layers;
  readonly warnings: string[];
  reopen(): Promise<void>;
}

async function site(t: Test): Promise<Site> {
  const s = scratch(t, 'store');
  const warnings: string[] = [];
  const open = () =>
    Store.open(s.path('root'), { backend: 'union', warn: message => warnings.push(message) });
  const store = await open();
  const made: Site = {
    ...{ s, store, warnings, layers: store.layers(REALM) },
    async reopen() {
      await made.store.close();
      made.store = await open();
      made.layers = made.store.layers(REALM);
    },
  };
  t.teardown(() => made.store.close());
  return made;
}

async function fails(t: Test, errno: number, call: Promise<unknown>, what: string): Promise<void> {
  const error = await call.then(
    () => null,
    (error: unknown) => error,
  );
  t.ok(isErrno(error, errno), `${what}: ${String(error)}`);
}

t.test('the life of layers', async t => {
  const { layers, s } = await site(t);
  await layers.prepare({ name: 'a', parent: null, kind: 'active' });
  const a = await layers.hold('a');
  writeFileSync(`${a}/file`, 'one');
  await layers.commit('a', 'base', { k: 'v' });
  t.match(layers.stat('base'), { name: 'base', kind: 'committed', parent: null, labels: { k: 'v' } });
  await layers.prepare({ name: 'b', parent: 'base', kind: 'active' });
  const b = await layers.acquire('b');
  t.equal(await layers.acquire('b'), b);
  t.equal(await readFile(`${b}/file`, 'utf8'), 'one');
  await writeFile(`${b}/file`, 'two');
  await layers.release('b');
  t.equal(await readFile(`${b}/file`, 'utf8'), 'two', 'still there for the other');
  await layers.release('b');
  t.notOk(existsSync(b));
  t.equal(readFileSync(`${a}/file`, 'utf8'), 'one');
  const changes = [];
  for await (const { path, kind } of layers.changes('b', 'base')) changes.push(`${kind} ${path}`);
  t.same(changes, ['C file']);
  const { bytes, inodes } = await layers.usage('b');
  t.ok(bytes >= 4096, `${bytes}`);
  t.equal(inodes, 2);
  await fails(t, E.ENOTEMPTY, layers.remove('base'), 'a parent');
  await layers.remove('b');
  await layers.remove('base');
  t.same(layers.list(), []);
  t.same(readdirSync(s.path('root/layers')), []);
});

t.test('what is refused changes nothing', async t => {
  const { layers, s } = await site(t);
  await layers.prepare({ name: 'a', parent: null, kind: 'active' });
  const before = readdirSync(s.path('root/layers'));
  const prepare = (name: string, parent: string | null) => layers.prepare({ name, parent, kind: 'active' });
  await fails(t, E.EEXIST, prepare('a', null), 'a name that is taken');
  await fails(t, E.ENOENT, prepare('b', 'none'), 'an unknown parent');
  await fails(t, E.EINVAL, prepare('b', 'a'), 'a parent that is not committed');
  await fails(t, E.EINVAL, prepare('', null), 'no name');
  await fails(t, E.EINVAL, prepare('a\0', null), 'a name with NUL');
  await fails(t, E.ENOENT, layers.remove('none'), 'nothing to remove');
  await fails(t, E.EEXIST, layers.commit('a', 'a'), 'a commit onto itself');
  t.same(readdirSync(s.path('root/layers')), before);
  await layers.prepare({ name: '../../x/ y', parent: null, kind: 'view' });
  await fails(t, E.EPERM, layers.commit('../../x/ y', 'c'), 'a view');
  await layers.commit('a', 'c');
  await fails(t, E.EPERM, layers.hold('c'), 'mounts of a committed layer');
  t.throws(() => layers.stat('a'), /^layer a: ENOENT$/);
});

t.test('a tar that breaks off', async t => {
  const { layers } = await site(t);
  const garbage = Buffer.alloc(2048, 'x');
  for (const [name, errno, chunks] of [
    ['empty', E.EBADMSG, []],
    ['garbage', E.EBADMSG, [garbage]],
  ] as const) {
    await layers.prepare({ name, parent: null, kind: 'active' });
    await fails(t, errno, layers.apply(name, chunks), name);
    await fails(t, E.EPERM, layers.acquire(name), 'it is not used');
    await layers.remove(name);
  }
});

t.test('a new process finds everything', async t => {
  const all = await site(t);
  await all.layers.prepare({ name: 'a', parent: null, kind: 'active' });
  writeFileSync(`${await all.layers.hold('a')}/file`, 'one');
  await all.layers.commit('a', 'base');
  await all.layers.prepare({ name: 'b', parent: 'base', kind: 'active' });
  const b = await all.layers.acquire('b');
  await all.layers.acquire('b');
  await writeFile(`${b}/new`, 'two');
  await all.layers.prepare({ name: 'half', parent: null, kind: 'active' });
  await fails(t, E.EBADMSG, all.layers.apply('half', [Buffer.alloc(512, 1)]), 'half');
  await all.reopen();
  t.same(
    all.layers.list().map(({ name }) => name),
    ['base', 'b'],
    'a half-made layer has gone',
  );
  t.equal(await readFile(`${b}/new`, 'utf8'), 'two', 'what was mounted is mounted');
  await all.layers.release('b');
  t.equal(await readFile(`${b}/new`, 'utf8'), 'two', 'counts are kept');
  await all.layers.release('b');
  t.notOk(existsSync(b));
  await all.layers.release('b');
  await rm(all.s.path('root/layers/7'), { recursive: true, force: true });
  t.same(mountsBelow(all.s.dir), []);
  t.same(all.warnings, []);
});

t.test('a store is one process’s, and one backend’s', async t => {
  const { s } = await site(t);
  const root = s.path('root');
  await fails(t, E.EBUSY, Store.open(root, { backend: 'union' }), 'a second process');
  s.mkdir('other');
  writeFileSync(s.path('other/file'), '');
  await fails(
    t,
    E.EINVAL,
    Store.open(s.path('other'), { backend: 'union' }),
    'a directory of something else',
  );
});

t.test('what a power cut has left: storage without a row, and rows without storage', async t => {
  const all = await site(t);
  for (const [name, parent] of [
    ['a', null],
    ['b', 'a'],
    ['c', 'b'],
    ['d', 'a'],
  ] as const) {
    await all.layers.prepare({ name: `${name}.active`, parent, kind: 'active' });
    await all.layers.commit(`${name}.active`, name);
  }
  all.s.mkdir('root/layers/77/fs');
  for (const id of [2, 3]) await rm(all.s.path(`root/layers/${id}`), { recursive: true });
  await all.reopen();
  t.same(
    all.layers.list().map(({ name }) => name),
    ['a', 'd'],
  );
  t.same(readdirSync(all.s.path('root/layers')).sort(), ['1', '4']);
});

t.test('a layer with a size', async t => {
  const { layers, s } = await site(t);
  await layers.prepare({ name: 'a', parent: null, kind: 'active' });
  writeFileSync(`${await layers.hold('a')}/file`, Buffer.alloc(1 << 20));
  await layers.commit('a', 'base');
  for (const parent of ['base', null]) {
    const name = `on ${parent}`;
    await layers.prepare({ name, parent, kind: 'active', quota: 4 << 20 });
    const path = await layers.acquire(name);
    const { bsize, blocks } = await statfs(path);
    t.equal(bsize * blocks, 4 << 20, name);
    await t.rejects(writeFile(`${path}/large`, Buffer.alloc(5 << 20)), { code: 'ENOSPC' });
    await rm(`${path}/large`);
    await writeFile(`${path}/fits`, Buffer.alloc(3 << 20));
    const mounted = await layers.usage(name);
    await layers.release(name);
    const du = await measureTree(s.path(`root/layers/${layers.ref(name).id}/fs`));
    t.same(await layers.usage(name), du, 'known without a walk');
    t.same(mounted, du);
    t.equal(await layers.acquire(name), path);
    await t.rejects(writeFile(`${path}/more`, Buffer.alloc(2 << 20)), { code: 'ENOSPC' });
    await layers.release(name);
  }
});
