// What containerd's snapshotter gives out to mount: to unpackers and containers, with limits and for user namespaces; who else
// has it when it is committed or removed; and deaths of `lamina serve`.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { chown, readFile, stat, statfs, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { status } from '@grpc/grpc-js';
import t from 'tap';
import type { Mount } from '../../src/drivers/containerd-schema.js';
import { mountsBelow } from '../support/cleanup.js';
import { startServe } from '../support/engine-serve.js';
import { needs } from '../support/needs.js';
import { fails, placeOf, site } from '../support/snapshots-site.js';

needs('mount');

t.test('an unpacker gets directories', async t => {
  const { client, s } = await site(t);
  const unpack = (name: string) => `ns/3/extract-123-AbC_ sha256:${name}`;
  const first = await client.Prepare({ key: unpack('1') });
  t.equal(first.mounts[0]?.type, 'bind', 'a layer without a parent is a directory');
  await writeFile(`${placeOf(first)}/gone`, 'one');
  await client.Commit({ key: unpack('1'), name: 'one' });
  const { mounts } = await client.Prepare({ key: unpack('2'), parent: 'one' });
  t.same(await client.Mounts({ key: unpack('2') }), { mounts });
  t.match(mounts, [{ type: 'overlay', source: 'overlay' }]);
  const options = new Map(mounts[0]!.options.map(option => option.split('=') as [string, string]));
  t.equal(options.get('lowerdir'), s.path('root/layers/1/fs'));
  t.same(mountsBelow(s.dir), [], 'and no mount');
  // What the kernel makes of it is a layer too.
  const point = s.mkdir('point');
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', mounts[0]!.options.join(','), point]);
  execFileSync('sh', ['-c', 'rm gone; echo two > new'], { cwd: point });
  await client.Commit({ key: unpack('2'), name: 'two' });
  const view = placeOf(await client.View({ key: 'v', parent: 'two' }));
  t.same(await readFile(`${view}/new`, 'utf8'), 'two\n', 'committed while it is mounted');
  await t.rejects(readFile(`${view}/gone`), { code: 'ENOENT' });
  execFileSync('umount', [point]);
  const limit = { 'containerd.io/snapshot/max-size': '1000000' };
  const limited = await client.Prepare({ key: unpack('3'), parent: 'two', labels: limit });
  t.equal(limited.mounts[0]?.type, 'bind', 'nobody would count what is written past us');
});

t.test('a size is a limit', async t => {
  const { client } = await site(t, ['--default-size', '16M']);
  const labels = { 'containerd.io/snapshot/max-size': String(8 << 20) };
  const unpack = 'ns/3/extract-123-AbC_ sha256:x';
  await client.Prepare({ key: 'a' });
  await client.Commit({ key: 'a', name: 'base' });
  const rows: [string, number, { mounts: Mount[] }][] = [
    ['its label', 8 << 20, await client.Prepare({ key: 'b', parent: 'base', labels })],
    ['its label, without a parent', 8 << 20, await client.Prepare({ key: 'c', labels })],
    ['the default', 16 << 20, await client.Prepare({ key: 'd', parent: 'base' })],
    [
      'its label, for an unpacker',
      8 << 20,
      await client.Prepare({ key: `${unpack}1`, parent: 'base', labels }),
    ],
  ];
  for (const [what, limit, answer] of rows) {
    const place = placeOf(answer);
    const { blocks, bsize } = await statfs(place);
    t.equal(blocks * bsize, limit, `${what}: statfs says so`);
    await writeFile(`${place}/half`, Buffer.alloc(limit / 2));
    await t.rejects(
      writeFile(`${place}/more`, Buffer.alloc(limit)),
      { code: 'ENOSPC' },
      `${what}: the rest is full`,
    );
  }
  const unlimited = await client.Prepare({ key: `${unpack}2`, parent: 'base' });
  t.equal(unlimited.mounts[0]?.type, 'overlay', 'layers of images are as large as they are');
});

t.test('owners as a user namespace sees them', async t => {
  const { client } = await site(t);
  const first = placeOf(await client.Prepare({ key: 'a' }));
  await writeFile(`${first}/file`, 'x');
  await chown(`${first}/file`, 5, 6);
  await client.Commit({ key: 'a', name: 'base' });
  const labels = {
    'containerd.io/snapshot/uidmapping': '0:100000:65536',
    'containerd.io/snapshot/gidmapping': '0:200000:6,6:300000:10',
  };
  const owner = async (path: string) => {
    const { uid, gid } = await stat(path);
    return [uid, gid];
  };
  for (const key of ['b', 'ns/1/extract-1-x sha256:y']) {
    const place = placeOf(await client.Prepare({ key, parent: 'base', labels }));
    t.same(await owner(place), [100_000, 200_000], key);
    t.same(await owner(`${place}/file`), [100_005, 300_000]);
    await chown(`${place}/file`, 100_007, 300_001);
    await client.Commit({ key, name: `c ${key}` });
    const view = placeOf(await client.View({ key: `v ${key}`, parent: `c ${key}` }));
    t.same(await owner(`${view}/file`), [7, 7], 'kept as what they are');
  }
  const shown = placeOf(await client.View({ key: 'w', parent: 'base', labels }));
  t.same(await owner(`${shown}/file`), [100_005, 300_000], 'a view');
  for (const text of ['', '0:1', '0:1:0', 'a:b:c', '0:1:2,', '0:4294967295:1', '-1:0:1', '0:0:99999999999']) {
    const wrong = { 'containerd.io/snapshot/gidmapping': text };
    await fails(t, status.INVALID_ARGUMENT, client.Prepare({ key: 'x', labels: wrong }), `"${text}"`);
  }
});

t.test('what is bound is not waited for', async t => {
  const { client, s, serving } = await site(t);
  await client.Prepare({ key: 'a' });
  await client.Commit({ key: 'a', name: 'base' });
  const bind = async (key: string) => {
    const point = s.mkdir(key);
    const place = placeOf(await client.Prepare({ key, parent: 'base' }));
    // Not from this process's point of view alone: as containerd does it.
    execFileSync('mount', ['--bind', place, point]);
    await writeFile(`${point}/file`, key);
    return point;
  };
  const [b, c, d] = [await bind('b'), await bind('c'), await bind('d')];
  await client.Commit({ key: 'b', name: 'top' });
  t.equal(await readFile(`${b}/file`, 'utf8'), 'b', 'committed, and still there for who has it');
  await writeFile(`${b}/late`, 'late');
  const view = placeOf(await client.View({ key: 'v', parent: 'top' }));
  t.equal(await readFile(`${view}/file`, 'utf8'), 'b');
  await client.Remove({ key: 'c' });
  t.same(await client.Cleanup({}), {});
  await t.rejects(readFile(`${c}/file`));
  await client.Prepare({ key: 'c', parent: 'base' });
  for (const point of [b, c]) execFileSync('umount', [point]);
  t.equal((await client.Usage({ key: 'top' })).inodes, 3, 'measured after the last had gone');
  t.equal(await serving.end(), 0, 'the end does not wait either');
  t.same(mountsBelow(s.dir), [d], 'only what is others’ is left');
  await t.rejects(readFile(`${d}/file`), { code: 'ENOTCONN' });
});

t.test('after kill -9', async t => {
  const all = await site(t);
  const { client, s } = all;
  await client.Prepare({ key: 'a' });
  await client.Commit({ key: 'a', name: 'base' });
  const { mounts } = await client.Prepare({ key: 'b', parent: 'base', labels: { l: 'x' } });
  await writeFile(`${placeOf({ mounts })}/file`, 'one');
  const before = await client.List({});
  await all.serving.end('SIGKILL');
  await fails(t, status.UNAVAILABLE, client.Stat({ key: 'b' }), 'nobody there');
  t.ok(existsSync(all.socket), 'its socket is still there');
  await all.start();
  t.same(await all.client.List({}), before);
  t.same(await all.client.Mounts({ key: 'b' }), { mounts });
  t.equal(await readFile(`${placeOf({ mounts })}/file`, 'utf8'), 'one');
  t.equal(statSync(all.socket).mode & 0o777, 0o600);
  const second = startServe(t, ['--root', s.path('other'), '--containerd', all.socket]);
  await t.rejects(second, /EADDRINUSE/, 'a living server keeps its socket');
  t.equal(await all.serving.end(), 0);
  t.notOk(existsSync(all.socket));
  t.same(mountsBelow(s.dir), []);
});

t.test('garbage on the socket', async t => {
  const { client, socket } = await site(t);
  await client.Prepare({ key: 'a' });
  for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff', '']) {
    const stranger = connect(socket);
    stranger.on('error', () => {});
    stranger.end(Buffer.from(bytes, 'latin1'));
    await new Promise(resolve => stranger.on('close', resolve).resume());
  }
  t.equal((await client.Stat({ key: 'a' })).info.name, 'a', 'others are served on');
});
