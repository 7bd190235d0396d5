// One io mode per node for as long as it is open, one backing id per node: what keeps the kernel from answering EIO.
import t, { type Test } from 'tap';
import { E } from '../../src/base/index.js';
import type { Caller, Opened } from '../../src/fuse/index.js';
import { protocol } from '../../src/fuse/index.js';
import { O } from '../../src/sys/index.js';
import { Mirror } from '../support/mirror.js';
import type { MirrorHandle, MirrorNode } from '../support/mirror-node.js';
import { fixture } from './fixture.js';

const { FOPEN } = protocol;

/** A kernel's backing ids; `refuse` is the errno of the next attempts. */
class Ids {
  next = 1;
  refuse = 0;
  attempts = 0;
  readonly live = new Set<number>();
  open(): number {
    this.attempts++;
    if (this.refuse > 0) return -this.refuse;
    this.live.add(this.next);
    return this.next++;
  }
  close(id: number): void {
    if (!this.live.delete(id)) throw new Error(`backing id ${id} closed twice`);
  }
}

/** Offers a backing file when told to. */
class Choosy extends Mirror {
  offer = true;
  override open(caller: Caller, node: MirrorNode, flags: number): Opened<MirrorHandle> {
    const opened = super.open(caller, node, flags) as Opened<MirrorHandle>;
    return this.offer ? { ...opened, backing: opened.handle.fd } : { handle: opened.handle, keepCache: true };
  }
}

async function start(t: Test) {
  const ids = new Ids();
  const made = await fixture(t, {}, { fakeBacking: ids }, dir => new Choosy(dir));
  await made.client.writeFile('/f', 'abc');
  await made.client.writeFile('/g', 'abc');
  return { ids, client: made.client, fs: made.fs as Choosy };
}

t.test('all opens of a node share one backing id until the last is released', async t => {
  const { ids, client } = await start(t);
  const a = await client.open('/f', O.RDONLY);
  const b = await client.open('/f', O.RDWR);
  const other = await client.open('/g', O.RDONLY);
  t.same([a.openFlags, b.openFlags], [FOPEN.PASSTHROUGH, FOPEN.PASSTHROUGH]);
  t.equal(a.backing, b.backing);
  t.not(other.backing, a.backing);
  t.equal(ids.live.size, 2);
  await a.close();
  t.equal(ids.live.size, 2);
  await b.close();
  t.same([...ids.live], [other.backing]);
  await other.close();
  t.equal(ids.live.size, 0);
});

t.test('a cached open keeps the others cached; passthrough keeps the others in passthrough', async t => {
  const { ids, client, fs } = await start(t);
  fs.offer = false;
  const cached = await client.open('/f', O.RDONLY);
  fs.offer = true;
  const late = await client.open('/f', O.RDONLY);
  t.same([cached.openFlags, late.openFlags], [FOPEN.KEEP_CACHE, FOPEN.KEEP_CACHE]);
  t.equal(ids.live.size, 0);
  await cached.close();
  await late.close();
  const first = await client.open('/f', O.RDONLY);
  fs.offer = false;
  const second = await client.open('/f', O.RDONLY);
  t.equal(first.openFlags, FOPEN.PASSTHROUGH);
  t.equal(second.openFlags, FOPEN.PASSTHROUGH);
  t.equal(second.backing, first.backing);
  await first.close();
  await second.close();
});

t.test('pages from before passthrough are not kept', async t => {
  const { client, fs } = await start(t);
  const through = await client.open('/f', O.RDWR);
  await through.close();
  fs.offer = false;
  const first = await client.open('/f', O.RDONLY);
  t.equal(first.openFlags, 0, 'the first cached open drops them');
  const second = await client.open('/f', O.RDONLY);
  t.equal(second.openFlags, FOPEN.KEEP_CACHE);
  await first.close();
  await second.close();
});

t.test('CREATE and TMPFILE enter the same books', async t => {
  const ids = new Ids();
  const { client } = await fixture(t, { passthrough: true }, { fakeBacking: ids });
  const made = await client.create('/new', O.RDWR);
  t.equal(made.openFlags, FOPEN.PASSTHROUGH);
  const again = await client.open('/new', O.RDONLY);
  t.equal(again.backing, made.backing);
  const unnamed = await client.tmpfile('/');
  t.equal(ids.live.size, 2);
  await made.close();
  await again.close();
  await unnamed.close();
  t.equal(ids.live.size, 0);
});

t.test('a kernel that refuses: EPERM for good, other errors for this file', async t => {
  const { ids, client } = await start(t);
  ids.refuse = E.ELOOP;
  const deep = await client.open('/f', O.RDONLY);
  t.equal(deep.openFlags, FOPEN.KEEP_CACHE);
  ids.refuse = 0;
  const shallow = await client.open('/g', O.RDONLY);
  t.equal(shallow.openFlags, FOPEN.PASSTHROUGH);
  await deep.close();
  await shallow.close();
  ids.refuse = E.EPERM;
  await (await client.open('/f', O.RDONLY)).close();
  const attempts = ids.attempts;
  ids.refuse = 0;
  const never = await client.open('/f', O.RDONLY);
  t.equal(never.backing, 0);
  t.equal(ids.attempts, attempts, 'not even tried');
  await never.close();
});

t.test('what is open when the mount goes is released', async t => {
  const { client, fs } = await start(t);
  await client.open('/f', O.RDONLY);
  await client.open('/g', O.RDONLY);
  t.equal(fs.handles.size, 2);
  await client.unmount();
  t.equal(fs.handles.size, 0);
  t.ok(fs.destroyed);
});
