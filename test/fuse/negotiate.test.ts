// INIT from every kernel minor, old and new, and what a mount can switch off.
import t from 'tap';
import { E } from '../../src/base/index.js';
import { layout, protocol } from '../../src/fuse/index.js';
import { allFlags, Body, FuseWire, type WireOptions } from '../support/fuse-wire.js';
import { Mirror } from '../support/mirror.js';
import { fails } from './fixture.js';

const { INIT_BIT, OP } = protocol;
const { INIT_OUT } = layout;
const backing = { open: () => 1, close: () => undefined };

interface Answer {
  readonly minor: number;
  readonly maxWrite: number;
  readonly maxPages: number;
  readonly depth: number;
  readonly timeout: number;
  readonly has: (bit: number) => boolean;
  readonly passthrough: boolean | undefined;
}

async function agree(
  minor: number,
  options: WireOptions = { fakeBacking: backing },
  flags = allFlags(),
): Promise<Answer> {
  const fs = new Mirror('/');
  const wire = new FuseWire(fs, options);
  try {
    const out = await wire.initialise(minor, flags);
    const word = (w: number): number => out.readUInt32LE(w * 4);
    const has = (bit: number): boolean =>
      (((bit < 32 ? word(INIT_OUT.flags) : word(INIT_OUT.flags2)) >>> (bit & 31)) & 1) === 1;
    return {
      minor: word(INIT_OUT.minor),
      maxWrite: word(INIT_OUT.maxWrite),
      maxPages: word(INIT_OUT.maxPages) & 0xffff,
      depth: word(INIT_OUT.maxStackDepth),
      timeout: word(INIT_OUT.requestTimeout) & 0xffff,
      has,
      passthrough: fs.agreed?.passthrough,
    };
  } finally {
    await wire.unmount();
  }
}

t.test('every minor from 7.31 to 7.45 and beyond', async t => {
  for (let minor = 31; minor <= 50; minor++) {
    const answer = await agree(minor);
    t.equal(answer.minor, Math.min(minor, 45), `7.${minor}`);
    t.ok(answer.has(INIT_BIT.DONT_MASK) && answer.has(INIT_BIT.HANDLE_KILLPRIV_V2));
  }
});

t.test('a kernel older than 7.31 is refused, and so is one of another major that is older', async t => {
  await fails(t, agree(30), E.EPROTO);
  const wire = new FuseWire(new Mirror('/'));
  const init = (major: number): Promise<Buffer> =>
    wire.call(OP.INIT, 0, new Body(16).set(0, major).set(1, 45).done());
  await fails(t, init(6), E.EPROTO);
  const newer = await init(8);
  t.equal(newer.readUInt32LE(0), 7, 'a newer major is told ours, and asks again');
  t.equal((await wire.initialise(40)).readUInt32LE(4), 40);
  await fails(t, wire.initialise(40), E.EIO, 'once agreed, INIT is no more');
  await wire.unmount();
});

t.test('only what was offered is asked for', async t => {
  const answer = await agree(45, { fakeBacking: backing }, [
    (1 << INIT_BIT.ASYNC_READ) | (1 << INIT_BIT.POSIX_ACL),
    0xffffffff,
  ]);
  t.ok(answer.has(INIT_BIT.ASYNC_READ));
  t.ok(answer.has(INIT_BIT.POSIX_ACL));
  t.notOk(answer.has(INIT_BIT.BIG_WRITES));
  t.notOk(answer.has(INIT_BIT.PASSTHROUGH), 'flags2 means nothing without INIT_EXT');
  t.equal(answer.passthrough, false);
});

t.test('an INIT without the extended half', async t => {
  const wire = new FuseWire(new Mirror('/'), { fakeBacking: backing });
  const body = new Body(layout.INIT_IN_SHORT_WORDS).set(0, 7).set(1, 31).set(3, allFlags()[0]);
  const out = await wire.call(OP.INIT, 0, body.done());
  t.equal(out.readUInt32LE(INIT_OUT.flags2 * 4), 0);
  await wire.unmount();
});

t.test('what is never asked for', async t => {
  const answer = await agree(45);
  for (const name of [
    'WRITEBACK_CACHE',
    'POSIX_LOCKS',
    'FLOCK_LOCKS',
    'EXPORT_SUPPORT',
    'AUTO_INVAL_DATA',
  ] as const) {
    t.notOk(answer.has(INIT_BIT[name]), name);
  }
});

t.test('what a mount switches', async t => {
  const all = await agree(45);
  t.ok(all.has(INIT_BIT.PASSTHROUGH));
  t.equal(all.depth, 1);
  t.equal(all.passthrough, true);
  t.equal((await agree(45, { fakeBacking: backing, maxStackDepth: 2 })).depth, 2);
  t.notOk(all.has(INIT_BIT.REQUEST_TIMEOUT));
  t.equal(all.timeout, 0);
  const limited = await agree(45, { fakeBacking: backing, requestTimeout: 300 });
  t.ok(limited.has(INIT_BIT.REQUEST_TIMEOUT));
  t.equal(limited.timeout, 300);
  const off = await agree(45, {
    fakeBacking: backing,
    passthrough: false,
    acl: false,
    readdirPlus: false,
    cacheSymlinks: false,
  });
  t.equal(off.depth, 0);
  t.equal(off.passthrough, false);
  for (const name of [
    'PASSTHROUGH',
    'POSIX_ACL',
    'DO_READDIRPLUS',
    'READDIRPLUS_AUTO',
    'CACHE_SYMLINKS',
  ] as const) {
    t.notOk(off.has(INIT_BIT[name]), name);
  }
  t.equal((await agree(45, {})).passthrough, false, 'a channel without backing ids');
});

t.test('io_uring is agreed where the kernel offers it and the channel can make it', async t => {
  const offer = (opens: boolean) => {
    const calls: string[] = [];
    const open = () => {
      calls.push('open');
      return opens;
    };
    return { calls, ring: { maxWrite: 65536, open, accept: () => calls.push('accept') } };
  };
  const whole = { overRing: false, maxWrite: protocol.MAX_WRITE, maxPages: protocol.MAX_PAGES };
  const terms = async (options: WireOptions, flags = allFlags()) => {
    const { has, maxWrite, maxPages } = await agree(45, options, flags);
    return { overRing: has(INIT_BIT.OVER_IO_URING), maxWrite, maxPages };
  };
  const good = offer(true);
  t.same(await terms({ ring: good.ring }), { overRing: true, maxWrite: 65536, maxPages: 16 });
  t.same(good.calls, ['open', 'accept']);
  const bad = offer(false);
  t.same(await terms({ ring: bad.ring }), whole);
  t.same(bad.calls, ['open']);
  const unasked = offer(true);
  const [low, high] = allFlags();
  const without = high & ~(1 << (INIT_BIT.OVER_IO_URING - 32));
  t.same(await terms({ ring: unasked.ring }, [low, without]), whole);
  t.same(unasked.calls, [], 'nothing is made for a kernel that does not want it');
  t.same(await terms({}), whole, 'a channel without it');
});

t.test('nothing but INIT is answered before INIT', async t => {
  const wire = new FuseWire(new Mirror('/'));
  await fails(t, wire.getattr(1), E.EIO);
  await wire.initialise();
  t.ok((await wire.getattr(1)).nlink > 0);
  await wire.unmount();
});
