// What happens between requests: pieces and orders in which bytes come, operations that take their time, clients that do not
// read, connections that drop, and the end of the server.
import t, { type Test } from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { writeOption } from '../../src/nbd/layout.js';
import { COMMAND, NBD_ERROR, OPTION } from '../../src/nbd/protocol.js';
import { bufferDevice } from '../support/block-devices.js';
import { infoData, requestBytes } from './client.js';
import { laterDevice } from './devices.js';
import { serve, until } from './fixture.js';

const MIB = 1024 * 1024;
const filled = (length: number, byte: number): Buffer => Buffer.alloc(length, byte);
/** What a connection may hold: work in flight, one request of the largest size, and what it reads and writes with. */
const BOUND = (16 + 64) * MIB;

t.test('bytes may come in any pieces', async t => {
  const disk = bufferDevice(4 * MIB);
  const served = await serve(t, { disk });
  const write = (offset: number, length: number, low: number): Buffer[] => [
    requestBytes({ type: COMMAND.WRITE, offset, length, low }),
    filled(length, low),
  ];
  const conversation = Buffer.concat([
    writeOption(OPTION.GO, infoData('disk', [])),
    ...write(0, 100, 1),
    ...write(100, 40_000, 2),
    ...write(50_000, 32_768, 3),
    requestBytes({ type: COMMAND.TRIM, offset: MIB, length: MIB, low: 4 }),
    ...write(MIB, 300_000, 5),
    ...write(2 * MIB, 1, 6),
    requestBytes({ type: COMMAND.FLUSH, low: 7 }),
    requestBytes({ type: COMMAND.DISC }),
  ]);
  const answers: string[] = [];
  for (const piece of [1, 7, 27, 4096, 65_537, conversation.length]) {
    const client = await served.connect();
    await client.greet();
    for (let at = 0; at < conversation.length; at += piece) {
      // Single bytes for the messages, larger pieces through the long payloads.
      const end = Math.min(conversation.length, at + piece);
      client.socket.write(conversation.subarray(at, end));
      if (piece < 4096 && at % 512 < piece) await new Promise(resolve => setImmediate(resolve));
    }
    answers.push((await client.rest()).toString('hex'));
    t.same(disk.content.subarray(MIB, MIB + 300_000), filled(300_000, 5), `pieces of ${piece}`);
    disk.content.fill(0);
  }
  t.same(new Set(answers).size, 1);
  t.equal(answers[0]!.length / 2, 20 + 12 + 20 + 7 * 16);
});

t.test('answers come in the order in which operations end', async t => {
  const disk = laterDevice(MIB);
  const client = await (await serve(t, { disk })).enter('disk');
  const first = client.request({ type: COMMAND.WRITE, offset: 0, data: filled(4096, 1) });
  const second = client.request({ type: COMMAND.READ, offset: 4096, length: 512 });
  const third = client.request({ type: COMMAND.FLUSH });
  await until(() => disk.waiting.length === 3, 'the device has all three');
  disk.waiting[2]!.finish();
  t.equal((await client.reply()).cookie, third);
  disk.waiting[1]!.finish();
  t.same(await client.reply(), { cookie: second, error: 0, data: filled(512, 0), chunks: [] });
  disk.waiting[0]!.fail(new SysError(E.ENOSPC, 'test'));
  t.same(await client.reply(), { cookie: first, error: NBD_ERROR.ENOSPC, data: Buffer.alloc(0), chunks: [] });
});

/** The last one fills whatever is a multiple of a page with whole requests of 4096 bytes. */
const SIZES = [[1, 4096, 20_000, 32_768, 32_769, 100_000, 4096, 300_000, 1, 65_536], [65_536], [4068]];

t.test('data of operations that go on stays what it was', async t => {
  for (const sizes of SIZES) await writeAll(t, sizes);
});

async function writeAll(t: Test, sizes: readonly number[]): Promise<void> {
  const disk = laterDevice(64 * MIB);
  const client = await (await serve(t, { disk })).enter('disk');
  let offset = 0;
  for (let i = 0; i < 100; i++) {
    const length = sizes[i % sizes.length]!;
    client.request({ type: COMMAND.WRITE, offset, data: filled(length, i + 1) });
    offset += length;
  }
  await until(() => disk.waiting.length === 100, 'the device has them all');
  disk.finishAll();
  for (let i = 0; i < 100; i++) await client.reply();
  let at = 0;
  for (let i = 0; i < 100; i++) {
    const length = sizes[i % sizes.length]!;
    const found = disk.under.content.subarray(at, at + length);
    t.ok(found.equals(filled(length, i + 1)), `write ${i} of ${length} bytes`);
    at += length;
  }
}

t.test('reads that go on come out whole, however they end', async t => {
  const disk = laterDevice(4 * MIB);
  for (let i = 0; i < 64; i += 2) disk.under.write(i * 65_536, filled(65_536, i + 1));
  const client = await (await serve(t, { disk })).enter('disk', { structured: true });
  for (let i = 0; i < 16; i++) {
    client.request({ type: COMMAND.READ, offset: i * 4 * 65_536, length: i < 8 ? 4096 : 4 * 65_536 });
  }
  await until(() => disk.waiting.length === 8 + 16, 'the device has them all');
  disk.waiting.find(each => each.offset === 15 * 4 * 65_536)!.fail(new SysError(E.EIO, 'test'));
  for (const each of [...disk.waiting].reverse()) each.finish();
  for (let i = 0; i < 16; i++) {
    const reply = await client.structuredReply();
    const index = reply.cookie - 1;
    if (index === 15) t.equal(reply.error, NBD_ERROR.EIO);
    else t.equal(reply.chunks[0]!.payload[8], index * 4 + 1);
    t.equal(reply.chunks.length, index < 8 || index === 15 ? 1 : 4);
  }
});

t.test('work in flight is bounded, and goes on when some of it is done', async t => {
  const disk = laterDevice(256 * MIB);
  const served = await serve(t, { disk });
  const client = await served.enter('disk');
  const data = filled(MIB, 1);
  for (let i = 0; i < 200; i++) client.request({ type: COMMAND.WRITE, offset: i * MIB, data });
  await until(() => disk.waiting.length >= 16, 'the device is busy');
  let answered = 0;
  let most = 0;
  const read = async (count: number): Promise<void> => {
    for (; answered < count; answered++) await client.reply();
  };
  /** Finishes what waits, round by round, until so many are answered. */
  const work = async (count: number): Promise<void> => {
    const reading = read(count);
    await until(() => {
      most = Math.max(most, disk.waiting.length);
      if (served.server.memory > BOUND) t.fail(`${served.server.memory} bytes`);
      disk.finishAll();
      return answered === count;
    }, `${count} answers`);
    await reading;
  };
  await work(200);
  t.ok(most >= 16 && most <= 17, `${most} in flight`);
  for (let i = 0; i < 2000; i++) client.request({ type: COMMAND.TRIM, offset: i * 4096, length: 4096 });
  await until(() => disk.waiting.length >= 256, 'the device is busy');
  await work(2200);
  t.equal(most, 256);
});

t.test('a client that does not read holds up nobody else, and its memory is bounded', async t => {
  const disk = bufferDevice(32 * MIB);
  for (let i = 0; i < 32; i++) disk.content.fill(i + 1, i * MIB, (i + 1) * MIB);
  disk.allocated.fill(1);
  const served = await serve(t, { disk });
  const slow = await served.enter('disk');
  const other = await served.enter('disk');
  slow.socket.pause();
  for (let i = 0; i < 300; i++) slow.request({ type: COMMAND.READ, offset: (i % 32) * MIB, length: MIB });
  let longest = 0;
  for (let i = 0; i < 500; i++) {
    const before = performance.now();
    t.equal((await other.command({ type: COMMAND.WRITE, offset: 0, data: filled(4096, 1) })).error, 0);
    longest = Math.max(longest, performance.now() - before);
    if (served.server.memory > BOUND) t.fail(`${served.server.memory} bytes`);
  }
  t.comment(`longest wait ${longest.toFixed(1)} ms, memory ${served.server.memory}`);
  t.ok(longest < 500);
  slow.socket.resume();
  for (let i = 0; i < 300; i++) {
    const { error, data } = await slow.reply();
    if (error !== 0 || data.length !== MIB || data[MIB - 1] !== (i % 32) + 1) t.fail(`read ${i}`);
  }
});

t.test('a client that asks and asks in the handshake without reading is not read from any more', async t => {
  const exports = Object.fromEntries(
    Array.from({ length: 200 }, (_, i) => [`export-${i}`, bufferDevice(4096)]),
  );
  const served = await serve(t, exports);
  const client = await served.connect();
  await client.greet();
  client.socket.pause();
  const list = writeOption(OPTION.LIST, Buffer.alloc(0));
  client.send(...Array.from({ length: 5000 }, () => list));
  const other = await served.enter('export-0');
  for (let i = 0; i < 200; i++) await other.command({ type: COMMAND.FLUSH });
  t.ok(served.server.memory < 8 * MIB, `${served.server.memory} bytes`);
});

t.test('connections that drop leave nothing behind', async t => {
  const disk = bufferDevice(4 * MIB);
  const served = await serve(t, { disk });
  const write = requestBytes({ type: COMMAND.WRITE, length: MIB });
  const cut: Buffer[] = [
    Buffer.alloc(0),
    write.subarray(0, 13),
    write,
    Buffer.concat([write, filled(1000, 9)]),
    Buffer.concat([write, filled(MIB - 1, 9)]),
    Buffer.concat([requestBytes({ type: COMMAND.WRITE, length: 4096 }), filled(4095, 9)]),
    Buffer.concat(Array.from({ length: 50 }, () => requestBytes({ type: COMMAND.READ, length: MIB }))),
  ];
  for (const bytes of cut) {
    const client = await served.enter('disk');
    if (bytes.length > 0) await new Promise(resolve => client.socket.write(bytes, resolve));
    client.close();
  }
  for (const bytes of [Buffer.alloc(2), writeOption(OPTION.GO, infoData('disk', [])).subarray(0, 20)]) {
    const client = await served.connect();
    client.send(bytes);
    client.close();
  }
  await until(() => served.server.connected === 0, 'all are gone');
  t.equal(served.server.memory, 0);
  t.equal(served.open(), 0);
  t.ok(disk.content.equals(filled(4 * MIB, 0)), 'nothing of a cut write was written');
});

t.test('a device is closed when its last operation has ended, not before', async t => {
  const disk = laterDevice(MIB);
  const served = await serve(t, { disk });
  const client = await served.enter('disk');
  client.request({ type: COMMAND.WRITE, data: filled(4096, 1) });
  client.request({ type: COMMAND.READ, length: 4096 });
  await until(() => disk.waiting.length === 2, 'the device has both');
  client.close();
  await new Promise(resolve => setTimeout(resolve, 30));
  t.equal(served.open(), 1);
  disk.finishAll();
  await until(() => served.server.connected === 0, 'it is gone');
  t.equal(served.open(), 0);
  t.equal(disk.under.content[0], 1);
});

t.test('a client that only stops sending gets its answers', async t => {
  const disk = laterDevice(MIB);
  const client = await (await serve(t, { disk })).enter('disk');
  const cookie = client.request({ type: COMMAND.READ, length: 4096 });
  client.socket.end();
  await until(() => disk.waiting.length === 1, 'the device has it');
  disk.finishAll();
  t.equal((await client.reply()).cookie, cookie);
  t.equal((await client.rest()).length, 0);
});

t.test('close() answers what is in flight, and then hangs up', async t => {
  const disk = laterDevice(MIB);
  const served = await serve(t, { disk });
  const idle = await served.enter('disk');
  const greeted = await served.connect();
  await greeted.greet();
  const client = await served.enter('disk');
  const cookie = client.request({ type: COMMAND.WRITE, data: filled(4096, 5) });
  await until(() => disk.waiting.length === 1, 'the device has it');
  const closed = served.server.close();
  t.equal(served.server.close(), closed, 'a second close is the same');
  client.request({ type: COMMAND.WRITE, offset: 4096, data: filled(4096, 6) });
  t.equal((await idle.rest()).length, 0);
  disk.finishAll();
  t.equal((await client.reply()).cookie, cookie);
  t.equal((await client.rest()).length, 0);
  await closed;
  t.equal(disk.under.content[4096], 0);
});

t.test('close() does not wait for ever for a client that does not read', async t => {
  const disk = bufferDevice(32 * MIB);
  const served = await serve(t, { disk }, { drainMilliseconds: 100 });
  const client = await served.enter('disk');
  client.socket.pause();
  for (let i = 0; i < 20; i++) client.request({ type: COMMAND.READ, length: MIB });
  await until(() => served.server.memory > 4 * MIB, 'answers wait');
  const before = performance.now();
  await served.server.close();
  t.ok(performance.now() - before > 90);
  t.equal(served.server.memory, 0);
});
