// The session's books and its answers that come later: lookups and forgets, interleaving, errors, the end.
import t from 'tap';
import { type ByteString, E, S, SysError } from '../../src/base/index.js';
import { layout, protocol } from '../../src/fuse/index.js';
import { O } from '../../src/sys/index.js';
import { scratch } from '../support/cleanup.js';
import { allFlags, Body, FuseWire } from '../support/fuse-wire.js';
import { Mirror } from '../support/mirror.js';
import type { MirrorHandle } from '../support/mirror-node.js';
import { fails, fixture } from './fixture.js';

const { OP, FOPEN } = protocol;

/** Reads and writes that end when the test says so. */
class Gated extends Mirror {
  private readonly gates: (() => void)[] = [];
  /** Lets everything go on, the last that came first. */
  openGates(): void {
    for (const open of this.gates.splice(0).reverse()) open();
  }
  private gate(): Promise<void> {
    return new Promise(resolve => this.gates.push(resolve));
  }
  override async read(
    handle: MirrorHandle,
    offset: number,
    size: number,
    into: Buffer,
    at: number,
  ): Promise<number> {
    await this.gate();
    return super.read(handle, offset, size, into, at);
  }
  override async write(handle: MirrorHandle, offset: number, data: Buffer): Promise<number> {
    await this.gate();
    return super.write(handle, offset, data);
  }
}

t.test('lookups are counted, and forgetting them empties the tables', async t => {
  const { client, fs } = await fixture(t);
  const { nodes, files } = client.wire.session.context;
  await client.mkdir('/d');
  for (let i = 0; i < 300; i++) await client.writeFile(`/d/f${i}`, `${i}`);
  t.equal((await client.readdir('/d', { size: 1000 })).length, 302);
  t.equal(nodes.size, 302);
  const { nodeid } = await client.walk('/d/f7');
  t.equal((await client.walk('/d/f7')).nodeid, nodeid, 'one id for one node');
  client.forgetAll();
  t.equal(nodes.size, 1);
  t.equal(files.size, 0);
  t.equal(fs.forgotten, 301);
  const again = await client.wire.lookup(1, 'd');
  t.ok(again.generation > 0, 'an id that is given again has another generation');
  client.wire.forget(again.nodeid, 1);
  t.equal(nodes.size, 1);
});

/** Notes the order in which it is asked. */
class Noting extends Mirror {
  readonly order: string[] = [];
  /** Is there no room before a release? */
  full = false;
  override lookup(...args: Parameters<Mirror['lookup']>): ReturnType<Mirror['lookup']> {
    this.order.push('lookup');
    return super.lookup(...args);
  }
  override mkdir(...args: Parameters<Mirror['mkdir']>): ReturnType<Mirror['mkdir']> {
    this.order.push('mkdir');
    return super.mkdir(...args);
  }
  override open(...args: Parameters<Mirror['open']>): ReturnType<Mirror['open']> {
    this.order.push('open');
    return super.open(...args);
  }
  override unlink(...args: Parameters<Mirror['unlink']>): ReturnType<Mirror['unlink']> {
    this.order.push('unlink');
    if (this.full && !this.order.includes('release')) throw new SysError(E.ENOSPC, 'unlink');
    return super.unlink(...args);
  }
  override release(...args: Parameters<Mirror['release']>): void {
    this.order.push('release');
    super.release(...args);
  }
}

t.test('a release waits until what needs no room has been answered', async t => {
  const { client, fs } = await fixture(t, {}, {}, (dir, options) => new Noting(dir, options));
  const { order } = fs as Noting;
  const { wire } = client;
  await client.writeFile('/f', 'x');
  const { nodeid } = await wire.lookup(1, 'f');
  const release = async (): Promise<readonly [number, number, Buffer]> => {
    const { fh } = await wire.open(nodeid, O.RDONLY);
    order.length = 0;
    return [OP.RELEASE, nodeid, new Body(layout.RELEASE_IN.words).set64(layout.RELEASE_IN.fh, fh).done()];
  };
  const look = [OP.LOOKUP, 1, new Body(0).text('f').done()] as const;
  const make = (name: string) =>
    [
      OP.MKDIR,
      1,
      new Body(layout.MKDIR_IN.words).set(layout.MKDIR_IN.mode, 0o755).text(name).done(),
    ] as const;
  const opening = (flags: number) =>
    [OP.OPEN, nodeid, new Body(layout.OPEN_IN.words).set(layout.OPEN_IN.flags, flags).done()] as const;
  await wire.callAll(await release(), look, look);
  t.same(order, ['lookup', 'lookup', 'release'], 'done once the others are');
  await wire.callAll(await release(), make('d'));
  t.same(order, ['release', 'mkdir'], 'what needs room comes after it');
  await wire.callAll(await release(), look, make('e'), look);
  t.same(order, ['lookup', 'release', 'mkdir', 'lookup']);
  await wire.callAll(await release(), opening(O.RDONLY));
  t.same(order, ['open', 'release'], 'an open for reading may come first');
  await wire.callAll(await release(), opening(O.WRONLY));
  t.same(order, ['release', 'open'], 'one for writing may not');
  const remove = (name: string) => [OP.UNLINK, 1, new Body(0).text(name).done()] as const;
  await client.writeFile('/g', 'x');
  await client.writeFile('/h', 'x');
  await wire.callAll(await release(), remove('g'));
  t.same(order, ['unlink', 'release'], 'a name that goes may');
  (fs as Noting).full = true;
  await wire.callAll(await release(), remove('h'));
  t.same(order, ['unlink', 'release', 'unlink'], 'and finds the room that the release frees');
  const late = await release();
  await wire.callAll(late);
  t.same(order, ['release'], 'with nothing else to do it is done');
  await wire.callAll(...(await Promise.all(Array.from({ length: 300 }, release))));
  t.equal(order.filter(what => what === 'release').length, 300, 'many at once');
});

t.test('a node stays until its last lookup is taken back', async t => {
  const { client, fs } = await fixture(t);
  await client.writeFile('/f', 'x');
  client.forgetAll();
  const { wire } = client;
  const before = fs.forgotten;
  const { nodeid } = await wire.lookup(1, 'f');
  await wire.lookup(1, 'f');
  await wire.lookup(1, 'f');
  wire.forget(nodeid, 2);
  t.equal(fs.forgotten, before);
  t.ok(await wire.getattr(nodeid));
  wire.forget(nodeid, 1);
  t.equal(fs.forgotten, before + 1);
  await fails(t, wire.getattr(nodeid), E.ESTALE);
});

t.test('entries that did not fit into READDIRPLUS are not counted', async t => {
  const { client } = await fixture(t);
  await client.writeFile('/a', '');
  await client.writeFile('/b', '');
  client.forgetAll();
  const { wire } = client;
  const { nodes } = wire.session.context;
  const open = await wire.call(OP.OPENDIR, 1, new Body(2).done());
  t.equal(open.readUInt32LE(8), FOPEN.CACHE_DIR | FOPEN.KEEP_CACHE);
  const fh = open.readUInt32LE(0);
  const some = await wire.readdir(1, fh, 0, 160 * 3, true);
  t.equal(some.length, 3);
  t.equal(nodes.size, 2);
  t.same(
    some.map(({ entry }) => entry!.nodeid !== 0),
    [false, false, true],
    '"." and ".." are not looked up',
  );
  t.same(await wire.readdir(1, fh, some[2]!.next, 100, true), [], 'a buffer too small for one');
  await wire.release(1, fh, true);
  wire.forget(some[2]!.entry!.nodeid, 1);
});

t.test('directories without handles', async t => {
  const wire = new FuseWire(new Mirror(scratch(t, 'nohandle').dir));
  await wire.initialise(45, allFlags({ noOpendir: true }));
  await fails(t, wire.call(OP.OPENDIR, 1, new Body(2).done()), E.ENOSYS);
  await wire.call(OP.MKDIR, 1, new Body(2).set(0, 0o755).text('d').done());
  const { nodeid } = await wire.lookup(1, 'd');
  for (const plus of [false, true]) {
    const names = (await wire.readdir(1, 0, 0, 4096, plus)).map(({ name }) => name);
    t.same(names, ['.', '..', 'd']);
  }
  t.same(await wire.call(OP.FSYNCDIR, nodeid, new Body(4).done()), Buffer.alloc(0));
  await fails(t, wire.readdir(99, 0, 0, 4096, false), E.ESTALE, 'a node that is unknown');
  await fails(t, wire.readdir(1, 7, 0, 4096, false), E.EBADF, 'a handle that is unknown');
  t.equal(wire.session.context.files.size, 0);
  await wire.unmount();
});

t.test('nobody waits for somebody else: later answers interleave', async t => {
  const { client, fs } = await fixture(t, {}, {}, dir => new Gated(dir));
  const file = await client.open('/f', O.RDWR | O.CREAT);
  const writes = [file.write(0, Buffer.alloc(100_000, 'a')), file.write(100_000, Buffer.alloc(100_001, 'b'))];
  t.equal(client.wire.session.outstanding, 2);
  t.ok(await client.stat('/'), 'a short request overtakes them');
  (fs as Gated).openGates();
  t.same(await Promise.all(writes), [100_000, 100_001]);
  const reads = [
    file.read(0, 100_000),
    file.read(99_999, 2),
    file.read(100_000, 200_000),
    file.read(500_000, 10),
  ];
  const names = client.names('/');
  t.same(await names, ['f']);
  (fs as Gated).openGates();
  const [first, middle, last, none] = await Promise.all(reads);
  t.ok(first!.equals(Buffer.alloc(100_000, 'a')));
  t.equal(middle!.toString(), 'ab');
  t.ok(last!.equals(Buffer.alloc(100_001, 'b')));
  t.equal(none!.length, 0);
  t.equal(client.wire.session.outstanding, 0);
  await file.close();
});

t.test('many unfinished reads take no more buffers than they need', async t => {
  const { client, fs } = await fixture(t, {}, {}, dir => new Gated(dir));
  const file = await client.open('/f', O.RDWR | O.CREAT);
  for (let round = 0; round < 3; round++) {
    const reads = Array.from({ length: 20 }, () => file.read(0, 4096));
    (fs as Gated).openGates();
    t.same(
      (await Promise.all(reads)).map(bytes => bytes.length),
      new Array(20).fill(0),
    );
  }
  await file.close();
});

t.test('an unfinished answer fails like any other', async t => {
  class Failing extends Gated {
    override async read(...args: Parameters<Gated['read']>): Promise<number> {
      await super.read(...args);
      throw new SysError(E.EDQUOT, 'read');
    }
    override async write(): Promise<number> {
      throw new TypeError('a defect');
    }
  }
  const errors: [unknown, string][] = [];
  const { client, fs } = await fixture(
    t,
    {},
    { onError: (...error) => errors.push(error) },
    dir => new Failing(dir),
  );
  const file = await client.open('/f', O.RDWR | O.CREAT);
  const read = file.read(0, 10);
  (fs as Gated).openGates();
  await fails(t, read, E.EDQUOT);
  await fails(t, file.write(0, Buffer.from('x')), E.EIO);
  t.same(
    errors.map(([error, operation]) => [String(error), operation]),
    [['TypeError: a defect', 'WRITE']],
  );
  t.equal((await file.stat()).size, 0, 'the session goes on');
  await file.close();
});

t.test('CREATE of a name that exists opens it, unless O_EXCL; what is no regular file is ESTALE', async t => {
  const { client } = await fixture(t);
  await client.writeFile('/f', 'abc');
  await client.mkdir('/d');
  await client.symlink('f', '/l');
  const file = await client.create('/f', O.RDONLY | O.CREAT);
  t.equal((await file.read(0, 10)).toString(), 'abc');
  await file.close();
  const truncated = await client.create('/f', O.RDWR | O.CREAT | O.TRUNC);
  t.equal((await truncated.stat()).size, 0);
  await truncated.close();
  await fails(t, client.create('/f', O.RDWR | O.CREAT | O.EXCL), E.EEXIST);
  await fails(t, client.create('/d', O.RDWR | O.CREAT), E.ESTALE);
  await fails(t, client.create('/l', O.RDWR | O.CREAT), E.ESTALE);
});

t.test('flags that are none of the file system’s business do not reach it', async t => {
  const seen: number[] = [];
  class Watching extends Mirror {
    override open(...args: Parameters<Mirror['open']>): ReturnType<Mirror['open']> {
      seen.push(args[2]);
      return super.open(...args);
    }
  }
  const { client } = await fixture(t, {}, {}, dir => new Watching(dir));
  await client.writeFile('/f', 'abc');
  const FMODE_EXEC = 0x20;
  const file = await client.open('/f', O.RDWR | O.DIRECT | O.APPEND | O.TRUNC | O.LARGEFILE | FMODE_EXEC);
  t.equal(seen.at(-1), O.RDWR | O.APPEND | O.TRUNC);
  await file.close();
});

t.test('who asks, with which umask', async t => {
  const { client } = await fixture(t);
  client.as(1000, 1001, 0o027);
  t.match(await client.mkdir('/d', 0o777), { mode: S.IFDIR | 0o750, uid: 1000, gid: 1001 });
  t.match(await client.mknod('/n', S.IFREG | 0o666), { mode: S.IFREG | 0o640, uid: 1000, gid: 1001 });
  await client.writeFile('/f', '', 0o666);
  t.match(await client.stat('/f'), { mode: S.IFREG | 0o640, uid: 1000 });
});

t.test('the debug log has a line per request, also for failures and later answers', async t => {
  const lines: string[] = [];
  const { client } = await fixture(t, { async: true }, { trace: line => lines.push(line) });
  await client.writeFile('/f', 'abc');
  await fails(t, client.rmdir('/f'), E.ENOTDIR);
  const named = (word: string): string[] => lines.filter(line => line.startsWith(word));
  t.match(named('CREATE'), [/^CREATE node 1 ok 144 \d+us$/]);
  t.match(named('WRITE'), [/^WRITE node \d+ ok later \d+us$/]);
  t.match(named('RMDIR'), [/^RMDIR node 1 rmdir: ENOTDIR \d+us$/]);
});

t.test('an unmount waits for what is unfinished, then destroys once', async t => {
  const { client, fs } = await fixture(t, {}, {}, dir => new Gated(dir));
  const file = await client.open('/f', O.RDWR | O.CREAT);
  const write = file.write(0, Buffer.from('abc'));
  client.wire.channel.close();
  await new Promise(resolve => setImmediate(resolve));
  t.notOk(fs.destroyed);
  (fs as Gated).openGates();
  t.equal(await write, 3);
  await client.wire.ended;
  t.ok(fs.destroyed);
  t.equal(fs.handles.size, 0);
});

t.test('a notice about a node that has gone by then is not sent', async t => {
  const { client, fs } = await fixture(t);
  await client.writeFile('/f', '');
  const name: ByteString = 'f';
  const node = fs.root.children.get(name)!;
  fs.notify!.attributes(node);
  client.forgetAll();
  await Promise.resolve();
  t.equal(client.wire.notices.length, 0);
});
