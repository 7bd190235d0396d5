// Replies and notices, byte for byte, against what a C compiler makes of linux/fuse.h.
import t from 'tap';
import { type ByteString, DT, Stat } from '../../src/base/index.js';
import { type DirSink, layout, protocol } from '../../src/fuse/index.js';
import { Body, FuseWire } from '../support/fuse-wire.js';
import { Mirror } from '../support/mirror.js';
import { MirrorNode } from '../support/mirror-node.js';
import { golden } from './golden.js';

const { OP } = protocol;

function fill(out: Stat): void {
  const values = {
    ino: 0x1122334455667,
    mode: 0o100644,
    nlink: 3,
    uid: 1000,
    gid: 4294967294,
    size: 0x123456789a,
    blocks: 0x91a2b3c,
    blksize: 4096,
  };
  Object.assign(out, values);
  // rdev 259:0x12345; times, one of them before 1970 and one beyond 32 bits.
  out.slots.set([259, 0x12345], 10);
  out.slots.set([1700000001, 11, -5, 22, 4294967297, 33, 1600000000, 44], 14);
  out.slots[25] = 0xfff;
}

/** Answers the same thing to everybody. */
class Constant extends Mirror {
  private readonly only = new MirrorNode(this.root, 'only');
  override readonly timeouts = { entry: 7.5, attr: 3.25, negative: 0 };
  override lookup(_: MirrorNode, name: ByteString, out: Stat): MirrorNode | null {
    if (name === 'absent') return null;
    fill(out);
    return this.only;
  }
  override getattr(_: MirrorNode, _handle: unknown, out: Stat): void {
    fill(out);
  }
  override statfs() {
    const blocks = 0x10000000001;
    return { blocks, bfree: 2, bavail: 3, files: 4, ffree: 5, bsize: 4096, namelen: 255, frsize: 512 };
  }
  override readdir(_: unknown, offset: number, sink: DirSink<MirrorNode>): void {
    if (offset > 0) return;
    const stat = new Stat();
    fill(stat);
    sink.entry('.', 5, DT.DIR, 1);
    const name = sink.wantsNodes ? 'abc' : '\xff\xe9abcdef';
    sink.plus(name, this.only, stat, 2);
  }
}

/** A session that has been initialised, and what it sends, whole messages. */
function start(): {
  wire: FuseWire;
  fs: Constant;
  messages: Buffer[];
  raw(opcode: number, unique: number, body?: Body): string;
} {
  const fs = new Constant('/');
  const wire = new FuseWire(fs, { passthrough: false });
  const messages: Buffer[] = [];
  wire.channel.write = (buffer, ends, count) => {
    let from = 0;
    for (let i = 0; i < count; i++) {
      messages.push(Buffer.from(buffer.subarray(from, ends[i])));
      from = ends[i]!;
    }
  };
  const raw = (opcode: number, unique: number, body = new Body(0)): string => {
    wire.channel.deliver(wire.encode(opcode, 1, body.done(), unique));
    return messages.pop()!.toString('hex');
  };
  const { INIT_IN: at } = layout;
  const init = new Body(at.words).set(at.major, 7).set(at.minor, 31).set(at.maxReadahead, 131072);
  // Not NO_OPENDIR_SUPPORT: directories have handles here.
  raw(OP.INIT, 2, init.set(at.flags, 0xfeffffff).set(at.flags2, 0xffffffff));
  return { wire, fs, messages, raw };
}

t.test('replies have the bytes of linux/fuse.h', async t => {
  const { raw, wire } = start();
  const high = new Body(0).text('x');
  const request = wire.encode(OP.LOOKUP, 1, high.done(), 0);
  // A resent request has bit 63 of its unique number set: the number is copied, never calculated with.
  request.writeUInt32LE(2, 8);
  request.writeUInt32LE(0x80000005, 12);
  const messages: Buffer[] = [];
  const { write } = wire.channel;
  wire.channel.write = (buffer, ends) => messages.push(Buffer.from(buffer.subarray(0, ends[0])));
  wire.channel.deliver(request);
  wire.channel.write = write;
  t.equal(messages[0]!.toString('hex'), golden.lookup, 'LOOKUP');
  t.equal(raw(OP.GETATTR, 4, new Body(4)), golden.getattr, 'GETATTR');
  t.equal(raw(OP.STATFS, 6), golden.statfs, 'STATFS');
  t.equal(raw(OP.LOOKUP, 14, new Body(0).text('absent')), golden.error, 'an error');
  const fh = Buffer.from(raw(OP.OPENDIR, 8, new Body(2)), 'hex').readUInt32LE(16);
  const read = (size: number): Body => new Body(10).set64(0, fh).set(4, size);
  t.equal(raw(OP.READDIR, 10, read(4096)), golden.readdir, 'READDIR');
  t.equal(raw(OP.READDIRPLUS, 12, read(4096)), golden.readdirplus, 'READDIRPLUS');
});

t.test('INIT as Debian 7.38 would answer it, with passthrough', async t => {
  const backing = { open: () => 1, close: () => undefined };
  const wire = new FuseWire(new Constant('/'), { fakeBacking: backing });
  await wire.initialise(31, [0xffffffff, 0xffffffff]);
  t.equal(wire.init.toString('hex'), golden.init.slice(32));
  await wire.unmount();
});

t.test('STATX carries the birth time and every field that Stat has', async t => {
  const { raw } = start();
  const reply = Buffer.from(raw(OP.STATX, 4, new Body(6)), 'hex').subarray(16);
  const at = layout.STATX_OUT;
  const word = (w: number): number => reply.readUInt32LE(w * 4);
  t.equal(reply.length, 288);
  t.equal(word(at.mask), 0xfff);
  t.equal(reply.readBigUInt64LE(at.ino * 4), 0x1122334455667n);
  t.equal(reply.readBigInt64LE(at.mtime * 4), -5n);
  t.equal(word(at.mtime + 2), 22);
  t.equal(reply.readBigInt64LE(at.btime * 4), 1600000000n);
  t.equal(word(at.btime + 2), 44);
  t.same([word(at.rdevMajor), word(at.rdevMinor)], [259, 0x12345]);
  t.equal(word(at.mode), 0o100644);
});

t.test('notices', async t => {
  const { wire, fs, messages } = start();
  const notice = async (): Promise<string> => {
    await wire.session.notifier.idle();
    return [...messages.splice(0), ...wire.notices.splice(0)].map(message => message.toString('hex')).join();
  };
  fs.notify!.entry(fs.root, 'abc');
  t.equal(await notice(), golden.invalEntry, 'an entry');
  fs.notify!.attributes(fs.root);
  t.equal(await notice(), golden.invalInode, 'attributes');
  fs.notify!.attributes(new MirrorNode(undefined, 'x'));
  t.equal(await notice(), '', 'a node that the kernel does not know');
  const parent = new MirrorNode(undefined, 'y');
  fs.notify!.entry(parent, 'abc');
  fs.notify!.data(parent);
  t.equal(await notice(), '');
});

t.test('device numbers and 64-bit numbers survive both directions', async t => {
  for (const [major, minor] of [
    [0, 0],
    [1, 3],
    [259, 0x12345],
    [4095, 0xfffff],
  ] as const) {
    const rdev = layout.encodeDevice(major, minor);
    t.same([layout.deviceMajor(rdev), layout.deviceMinor(rdev)], [major, minor]);
  }
  const words = new Uint32Array(2);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -1, -5, -(2 ** 40) - 7]) {
    layout.put64(words, 0, value);
    t.equal(layout.getSigned64(words, 0), value);
  }
});
