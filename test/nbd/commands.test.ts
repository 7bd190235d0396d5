// The commands: their bytes, what they do to the device, and what is answered to wrong ones.
import t from 'tap';
import { E, SysError } from '../../src/base/index.js';
import { readErrorPayload, readExtent } from '../../src/nbd/layout.js';
import { CHUNK, COMMAND, FLAG, MAX_PAYLOAD, NBD_ERROR } from '../../src/nbd/protocol.js';
import { bufferDevice } from '../support/block-devices.js';
import { type Chunk, type Command, requestBytes } from './client.js';
import { failingDevice } from './devices.js';
import { serve } from './fixture.js';

const BLOCK = 65536;
const SIZE = 16 * BLOCK;
const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ''), 'hex');
const filled = (length: number, byte: number): Buffer => Buffer.alloc(length, byte);

/** Magic, flags, type, cookie: the beginning of every request here. */
const head = (flags: string, type: string): string => `25609513 ${flags} ${type} 1122334455667788`;
const SIMPLE_OK = '67446698 00000000 1122334455667788';
const chunkHead = (type: string, length: string): string =>
  `668e33ef 0001 ${type} 1122334455667788 ${length}`;

const GOLDEN: readonly { name: string; structured?: true; sent: string; answer: string }[] = [
  {
    name: 'READ',
    sent: `${head('0000', '0000')} 0000000000000001 00000004`,
    answer: `${SIMPLE_OK} 01020304`,
  },
  {
    name: 'READ, structured',
    structured: true,
    sent: `${head('0000', '0000')} 0000000000000001 00000004`,
    answer: `${chunkHead('0001', '0000000c')} 0000000000000001 01020304`,
  },
  {
    name: 'READ of a hole',
    structured: true,
    sent: `${head('0000', '0000')} 0000000000010000 00010000`,
    answer: `${chunkHead('0002', '0000000c')} 0000000000010000 00010000`,
  },
  {
    name: 'READ of nothing, structured',
    structured: true,
    sent: `${head('0000', '0000')} 0000000000000001 00000000`,
    answer: chunkHead('0000', '00000000'),
  },
  {
    name: 'READ that fails, structured',
    structured: true,
    sent: `${head('0000', '0000')} 0000000000100000 00000001`,
    answer: `${chunkHead('8001', '00000022')} 00000016 001c ${Buffer.from('beyond the end of the export').toString('hex')}`,
  },
  { name: 'WRITE', sent: `${head('0000', '0001')} 0000000000000002 00000002 aabb`, answer: SIMPLE_OK },
  { name: 'WRITE, FUA', sent: `${head('0001', '0001')} 0000000000000002 00000002 aabb`, answer: SIMPLE_OK },
  { name: 'FLUSH', sent: `${head('0000', '0003')} 0000000000000000 00000000`, answer: SIMPLE_OK },
  { name: 'TRIM', sent: `${head('0000', '0004')} 0000000000010000 00010000`, answer: SIMPLE_OK },
  { name: 'CACHE', sent: `${head('0000', '0005')} 0000000000000000 00100000`, answer: SIMPLE_OK },
  { name: 'WRITE_ZEROES', sent: `${head('0002', '0006')} 0000000000010000 00000200`, answer: SIMPLE_OK },
  {
    name: 'WRITE_ZEROES, FAST_ZERO, granted',
    sent: `${head('0010', '0006')} 0000000000010000 00010000`,
    answer: SIMPLE_OK,
  },
  {
    name: 'WRITE_ZEROES, FAST_ZERO, of less than a block',
    sent: `${head('0010', '0006')} 0000000000010000 0000ffff`,
    answer: '67446698 0000005f 1122334455667788',
  },
  {
    name: 'WRITE_ZEROES, FAST_ZERO and NO_HOLE',
    sent: `${head('0012', '0006')} 0000000000010000 00010000`,
    answer: '67446698 0000005f 1122334455667788',
  },
  {
    name: 'BLOCK_STATUS',
    structured: true,
    sent: `${head('0000', '0007')} 0000000000008000 00100000`.replace('00100000', '000f8000'),
    answer: `${chunkHead('0005', '00000014')} 00000001 00008000 00000000 000f0000 00000003`,
  },
  {
    name: 'BLOCK_STATUS, REQ_ONE',
    structured: true,
    sent: `${head('0008', '0007')} 0000000000008000 000f8000`,
    answer: `${chunkHead('0005', '0000000c')} 00000001 00008000 00000000`,
  },
];

for (const { name, structured, sent, answer } of GOLDEN) {
  t.test(`golden: ${name}`, async t => {
    const disk = bufferDevice(SIZE);
    disk.write(0, Buffer.from([0, 1, 2, 3, 4]));
    const client = await (await serve(t, { disk })).enter('disk', { allocation: structured === true });
    client.send(hex(sent));
    const expected = hex(answer);
    t.same((await client.take(expected.length)).toString('hex'), expected.toString('hex'));
    t.equal((await client.command({ type: COMMAND.FLUSH })).error, 0, 'and nothing behind it');
  });
}

t.test('what commands do to the device', async t => {
  const disk = bufferDevice(SIZE);
  const client = await (await serve(t, { disk })).enter('disk');
  await client.command({ type: COMMAND.WRITE, offset: 5, data: filled(3 * BLOCK, 7) });
  t.same(
    disk.content.subarray(0, 3 * BLOCK + 10),
    Buffer.concat([filled(5, 0), filled(3 * BLOCK, 7), filled(5, 0)]),
  );
  t.same([...disk.allocated.subarray(0, 5)], [1, 1, 1, 1, 0]);
  await client.command({ type: COMMAND.TRIM, offset: 100, length: 2 * BLOCK });
  t.same([...disk.allocated.subarray(0, 5)], [1, 0, 1, 1, 0]);
  await client.command({ type: COMMAND.WRITE_ZEROES, offset: BLOCK, length: 2 * BLOCK, flags: FLAG.NO_HOLE });
  t.same([...disk.allocated.subarray(0, 5)], [1, 1, 1, 1, 0]);
  t.equal(disk.content[2 * BLOCK], 0);
  await client.command({ type: COMMAND.WRITE_ZEROES, offset: BLOCK, length: 2 * BLOCK });
  t.same([...disk.allocated.subarray(0, 5)], [1, 0, 0, 1, 0]);
});

t.test('FUA makes every command durable, and only FUA and FLUSH do', async t => {
  const disk = bufferDevice(SIZE);
  const client = await (await serve(t, { disk })).enter('disk', { allocation: true });
  for (const type of [1, 4, 5, 6]) {
    const data = type === COMMAND.WRITE ? filled(512, 1) : undefined;
    const command: Command = { type, length: 512, ...(data === undefined ? {} : { data }) };
    const before = disk.flushes;
    t.equal((await client.command(command)).error, 0);
    t.equal(disk.flushes, before);
    t.equal((await client.command({ ...command, flags: FLAG.FUA })).error, 0);
    t.equal(disk.flushes, before + 1, `command ${type}`);
  }
  for (const type of [COMMAND.READ, COMMAND.BLOCK_STATUS]) {
    const before = disk.flushes;
    t.equal((await client.structured({ type, length: 512, flags: FLAG.FUA })).error, 0);
    t.equal(disk.flushes, before + 1, `command ${type}`);
  }
  const before = disk.flushes;
  t.equal((await client.command({ type: COMMAND.FLUSH, flags: FLAG.FUA })).error, 0);
  t.ok(disk.flushes > before);
});

/** Data as the chunks of a structured READ tell it. */
function assemble(chunks: readonly Chunk[], offset: number, length: number): Buffer {
  const data = filled(length, 0xee);
  for (const { type, payload } of chunks) {
    const at = Number(payload.readBigUInt64BE(0)) - offset;
    if (type === CHUNK.OFFSET_DATA) payload.copy(data, at, 8);
    else data.fill(0, at, at + payload.readUInt32BE(8));
  }
  return data;
}

t.test('structured READ: holes carry no bytes, DF keeps it in one piece', async t => {
  const disk = bufferDevice(SIZE);
  for (const block of [1, 2, 5, 15]) disk.write(block * BLOCK, filled(BLOCK, block));
  const client = await (await serve(t, { disk })).enter('disk', { structured: true });
  const read = { type: COMMAND.READ, offset: 100, length: SIZE - 100 };
  const { chunks } = await client.structured(read);
  t.same(
    chunks.map(each => each.type),
    [2, 1, 2, 1, 2, 1],
  );
  t.same(assemble(chunks, 100, SIZE - 100), disk.content.subarray(100));
  const whole = await client.structured({ ...read, flags: FLAG.DF });
  t.same(
    whole.chunks.map(each => each.type),
    [1],
  );
  t.same(assemble(whole.chunks, 100, SIZE - 100), disk.content.subarray(100));
});

t.test('a READ of very many pieces has few chunks, and all bytes', async t => {
  const disk = bufferDevice(512 * 4096, 4096);
  for (let block = 0; block < 512; block += 2) disk.write(block * 4096, filled(4096, block));
  const client = await (await serve(t, { disk })).enter('disk', { structured: true });
  const { chunks } = await client.structured({ type: COMMAND.READ, length: disk.size });
  t.ok(chunks.length > 10 && chunks.length < 100, `${chunks.length} chunks`);
  t.same(assemble(chunks, 0, disk.size), disk.content);
});

t.test('BLOCK_STATUS: neighbours are one, a long map comes in parts', async t => {
  const disk = bufferDevice(20000 * 4096, 4096);
  for (let block = 0; block < 20000; block += 2) disk.allocated[block] = 1;
  disk.allocated[1] = 1;
  const client = await (await serve(t, { disk })).enter('disk', { allocation: true });
  let at = 0;
  let extents = 0;
  let replies = 0;
  for (; at < disk.size; replies++) {
    const { chunks } = await client.structured({
      type: COMMAND.BLOCK_STATUS,
      offset: at,
      length: disk.size - at,
    });
    const { payload } = chunks[0]!;
    for (let i = 4; i < payload.length; i += 8, extents++) {
      const { length, flags } = readExtent(payload, i);
      if (at === 0) t.same({ length, flags }, { length: 3 * 4096, flags: 0 });
      else if (flags !== (disk.allocated[at / 4096] === 1 ? 0 : 3)) t.fail(`flags at ${at}`);
      at += length;
    }
  }
  t.equal(at, disk.size);
  t.equal(extents, 20000 - 2);
  t.ok(replies > 1 && replies < 10, `${replies} replies`);
});

const { EINVAL, ENOSPC, EPERM } = NBD_ERROR;
const END = { offset: SIZE - 10, length: 11 };

/** Requests that are answered with an error, after which the connection goes on. */
const WRONG: readonly { name: string; command: Command; error: number; on?: 'frozen' }[] = [
  { name: 'unknown command', command: { type: 9 }, error: EINVAL },
  { name: 'RESIZE', command: { type: 8, length: 4096 }, error: EINVAL },
  { name: 'unknown flag', command: { type: 0, flags: 0x8000, length: 1 }, error: EINVAL },
  { name: 'PAYLOAD_LEN', command: { type: 1, flags: 0x20, data: filled(100, 1) }, error: EINVAL },
  { name: 'DF on WRITE', command: { type: 1, flags: FLAG.DF, data: filled(70000, 1) }, error: EINVAL },
  { name: 'READ beyond the end', command: { type: 0, ...END }, error: EINVAL },
  { name: 'WRITE beyond the end', command: { type: 1, offset: SIZE, data: filled(1, 1) }, error: ENOSPC },
  {
    name: 'a large WRITE beyond the end',
    command: { type: 1, offset: SIZE - 5, data: filled(300000, 1) },
    error: ENOSPC,
  },
  { name: 'TRIM beyond the end', command: { type: 4, ...END }, error: EINVAL },
  { name: 'CACHE beyond the end', command: { type: 5, ...END }, error: EINVAL },
  { name: 'WRITE_ZEROES beyond the end', command: { type: 6, ...END }, error: ENOSPC },
  { name: 'BLOCK_STATUS beyond the end', command: { type: 7, ...END }, error: EINVAL },
  { name: 'BLOCK_STATUS without a context', command: { type: 7, length: 1 }, error: EINVAL },
  { name: 'an offset near 2^53', command: { type: 0, offset: 2 ** 53 - 2, length: 1 }, error: EINVAL },
  { name: 'an offset near 2^64', command: { type: 0, offset: 2 ** 64 - 4096, length: 4096 }, error: EINVAL },
  { name: 'READ of too much', command: { type: 0, length: MAX_PAYLOAD + 1 }, error: EINVAL },
  { name: 'FLUSH with an offset', command: { type: 3, offset: 4096 }, error: EINVAL },
  { name: 'FLUSH with a length', command: { type: 3, length: 4096 }, error: EINVAL },
  { name: 'WRITE of too much', command: { type: 1, data: filled(MAX_PAYLOAD + 1, 1) }, error: EINVAL },
  { name: 'WRITE on read-only', command: { type: 1, data: filled(5, 1) }, error: EPERM, on: 'frozen' },
  { name: 'TRIM on read-only', command: { type: 4, length: 5 }, error: EPERM, on: 'frozen' },
  { name: 'WRITE_ZEROES on read-only', command: { type: 6, length: 5 }, error: EPERM, on: 'frozen' },
];

for (const { name, command, error, on } of WRONG) {
  t.test(`wrong: ${name}`, async t => {
    const disk = bufferDevice(SIZE);
    const frozen = bufferDevice(SIZE, { readOnly: true });
    const client = await (await serve(t, { disk, frozen })).enter(on ?? 'disk');
    t.equal((await client.command(command)).error, error);
    t.ok(disk.content.equals(filled(SIZE, 0)), 'nothing was changed');
    t.equal((await client.command({ type: COMMAND.READ, length: 512 })).data.length, 512, 'it goes on');
  });
}

t.test('nothing asked for is nothing done, and no error', async t => {
  const client = await (await serve(t, { disk: bufferDevice(SIZE) })).enter('disk');
  for (const type of [0, 1, 4, 5, 6]) {
    t.equal((await client.command({ type, length: 0, offset: SIZE })).error, 0, `command ${type}`);
  }
});

t.test('what is no request ends the connection, and only that one', async t => {
  const served = await serve(t, { disk: bufferDevice(SIZE) });
  const other = await served.enter('disk');
  const client = await served.enter('disk');
  const wrong = requestBytes({ type: COMMAND.READ, length: 512 });
  wrong[3]! ^= 1;
  client.send(wrong);
  t.equal((await client.rest()).length, 0);
  t.equal((await other.command({ type: COMMAND.READ, length: 512 })).error, 0);
});

const ERRORS: readonly [errno: number, error: number][] = [
  [E.EPERM, 1],
  [E.EROFS, 1],
  [E.EIO, 5],
  [E.ENOMEM, 12],
  [E.EINVAL, 22],
  [E.ENOSPC, 28],
  [E.EDQUOT, 28],
  [E.EFBIG, 28],
  [E.EOVERFLOW, 75],
  [E.ENOTSUP, 95],
  [E.EUCLEAN, 5],
];

t.test('errors of the device, at once and later', async t => {
  for (const later of [false, true]) {
    let errno = 0;
    const disk = failingDevice(SIZE, () => new SysError(errno, 'test'), later);
    const client = await (await serve(t, { disk })).enter('disk', { allocation: true });
    for (const [each, error] of ERRORS) {
      errno = each;
      for (const type of [1, 3, 4, 5, 6]) {
        const data = type === COMMAND.WRITE ? { data: filled(512, 1) } : { length: type === 3 ? 0 : 512 };
        t.equal((await client.command({ type, ...data })).error, error, `errno ${each}, command ${type}`);
      }
      const read = await client.structured({ type: COMMAND.READ, length: 512 });
      const told = readErrorPayload(read.chunks[0]!.payload);
      t.same(told, { error, text: new SysError(each, 'test').message });
    }
  }
});

t.test('a defect of the device is EIO, and reported', async t => {
  const disk = failingDevice(SIZE, () => new TypeError('mistake'));
  const served = await serve(t, { disk });
  const client = await served.enter('disk');
  t.equal((await client.command({ type: COMMAND.READ, length: 512 })).error, NBD_ERROR.EIO);
  t.match(served.errors.splice(0), [{ message: 'mistake' }]);
});
