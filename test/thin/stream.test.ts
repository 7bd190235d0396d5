// The stream's format without a pool: what is written is read back in chunks of any length, and no damage gets through.
import t from 'tap';
import { E, errnoName, SysError } from '../../src/base/index.js';
import { DATA, type StreamHeader, UNMAPPED } from '../../src/thin/stream.js';
import { StreamReader } from '../../src/thin/stream-read.js';
import { StreamWriter } from '../../src/thin/stream-write.js';
import { chunked } from './send-fixture.js';

const KiB = 1024;
const HEADER: StreamHeader = {
  version: 1,
  name: 'größe',
  guid: '0c5b4ee9-0000-4000-8000-000000000001',
  base: null,
  size: 2 ** 45,
  blockSize: 64 * KiB,
  dataBytes: 300,
};

interface Seen {
  readonly header: StreamHeader;
  readonly records: { type: number; offset: number; length: number; data: string }[];
}

async function write(
  header: StreamHeader,
  body: (writer: StreamWriter) => Promise<void>,
): Promise<{ stream: Buffer; ends: number[] }> {
  const chunks: Buffer[] = [];
  const writer = new StreamWriter(async chunk => {
    chunks.push(Buffer.from(chunk));
  });
  await writer.header(header);
  await body(writer);
  await writer.end();
  const ends = chunks.map((_, i) => chunks.slice(0, i + 1).reduce((sum, chunk) => sum + chunk.length, 0));
  const stream = Buffer.concat(chunks);
  t.equal(writer.bytes, stream.length);
  return { stream, ends };
}

async function sample(): Promise<{ stream: Buffer; ends: number[] }> {
  return write(HEADER, async writer => {
    await writer.data(64 * KiB, 100, (into, at) => void into.fill('a', at, at + 100));
    await writer.unmapped(128 * KiB, 2 ** 40);
    await writer.data(2 ** 44, 200, (into, at) => void into.fill('b', at, at + 200));
  });
}

async function readAll(input: AsyncIterable<Buffer>): Promise<Seen> {
  const reader = new StreamReader(input);
  try {
    const header = await reader.header();
    const records: Seen['records'] = [];
    for (let record = await reader.next(); record !== null; record = await reader.next()) {
      records.push({ ...record, data: record.data.toString() });
    }
    return { header, records };
  } finally {
    await reader.close();
  }
}

/** The errno of reading this, or 0 when nothing is wrong with it. */
async function errnoOf(stream: Buffer): Promise<number> {
  try {
    await readAll(chunked(stream, 1 << 20));
    return 0;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return error.errno;
  }
}

t.test('what is written is read, however it is cut', async t => {
  const { stream } = await sample();
  const expected: Seen = {
    header: HEADER,
    records: [
      { type: DATA, offset: 64 * KiB, length: 100, data: 'a'.repeat(100) },
      { type: UNMAPPED, offset: 128 * KiB, length: 2 ** 40, data: '' },
      { type: DATA, offset: 2 ** 44, length: 200, data: 'b'.repeat(200) },
    ],
  };
  for (const size of [1, 7, 64, 1 << 20])
    t.same(await readAll(chunked(stream, size)), expected, `by ${size}`);
});

t.test('every flipped byte is found', async t => {
  const { stream } = await sample();
  const errnos = new Map<number, number>();
  for (let at = 0; at < stream.length; at++) {
    const flipped = Buffer.from(stream);
    flipped[at]! ^= 1 << (at % 8);
    const errno = await errnoOf(flipped);
    errnos.set(errno, (errnos.get(errno) ?? 0) + 1);
  }
  t.same(
    [...errnos].sort(([a], [b]) => a - b),
    [
      [E.EPROTO, 4],
      [E.EBADMSG, stream.length - 12],
      [E.EMEDIUMTYPE, 8],
    ],
    'the magic and the version have their own errors',
  );
});

t.test('every cut is found, and bytes after the end', async t => {
  const { stream } = await sample();
  for (let length = 0; length < stream.length; length++) {
    t.equal(await errnoOf(stream.subarray(0, length)), E.EBADMSG, `${length} bytes`);
  }
  t.equal(await errnoOf(Buffer.concat([stream, Buffer.alloc(1)])), E.EBADMSG);
  t.equal(await errnoOf(Buffer.concat([stream, stream])), E.EBADMSG);
});

t.test('records that are dropped, doubled or put in another order are found', async t => {
  const { stream, ends } = await sample();
  const parts = ends.map((end, i) => stream.subarray(ends[i - 1] ?? 0, end));
  const orders = [
    [0, 1, 3, 2, 4],
    [0, 2, 1, 3, 4],
    [0, 1, 2, 4],
    [0, 1, 1, 2, 3, 4],
    [0, 4],
    [0, 0, 1, 2, 3, 4],
  ];
  t.equal(await errnoOf(Buffer.concat([0, 1, 2, 3, 4].map(i => parts[i]!))), 0);
  for (const order of orders) {
    t.equal(await errnoOf(Buffer.concat(order.map(i => parts[i]!))), E.EBADMSG, order.join());
  }
});

t.test('a stream with right checksums that makes no sense is refused', async t => {
  const refused = async (
    what: string,
    header: Partial<StreamHeader>,
    body: (writer: StreamWriter) => Promise<void>,
  ): Promise<void> => {
    const { stream } = await write({ ...HEADER, dataBytes: 0, ...header }, body);
    t.equal(await errnoOf(stream), E.EBADMSG, what);
  };
  const nothing = async (): Promise<void> => {};
  const data = (writer: StreamWriter, offset: number, length: number): Promise<void> =>
    writer.data(offset, length, () => {});
  await refused('backwards', { dataBytes: 20 }, async writer => {
    await data(writer, 4096, 10);
    await data(writer, 0, 10);
  });
  await refused('over another', { dataBytes: 20 }, async writer => {
    await data(writer, 0, 10);
    await data(writer, 9, 10);
  });
  await refused('past the end', { size: 100, dataBytes: 10 }, writer => data(writer, 95, 10));
  await refused('unmapped past the end', { size: 100 }, writer => writer.unmapped(0, 101));
  await refused('an empty record', {}, writer => data(writer, 0, 0));
  await refused('less data than announced', { dataBytes: 11 }, writer => data(writer, 0, 10));
  await refused('more data than announced', { dataBytes: 9 }, writer => data(writer, 0, 10));
  await refused('no name', { name: '' }, nothing);
  await refused('a name for a terminal', { name: '\u001b[2J' }, nothing);
  await refused('no guid', { guid: '' }, nothing);
  await refused('more data than size', { size: 10, dataBytes: 11 }, nothing);
  await refused('no block size', { blockSize: 0 }, nothing);
  await refused('a name without end', { name: 'x'.repeat(5000) }, nothing);
});

t.test('a record is never larger than its buffer, whatever its head says', async t => {
  const { stream, ends } = await sample();
  const head = ends[0]!;
  for (const length of [2 ** 20 + 1, 2 ** 31, 2 ** 32 - 1]) {
    const huge = Buffer.from(stream);
    huge.writeUInt32LE(length, head + 4);
    huge.writeUInt32LE(length, head + 16);
    t.equal(await errnoOf(huge), E.EBADMSG);
  }
});

t.test('the last digest is that of all bytes before it', async t => {
  const { createHash } = await import('node:crypto');
  const { stream } = await sample();
  const digest = createHash('sha256').update(stream.subarray(0, -32)).digest();
  t.same(stream.subarray(-32), digest);
});

t.test('an input that is given up is closed', async t => {
  let closed = false;
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.from('no stream at all, and never ending');
    } finally {
      closed = true;
    }
  }
  await t.rejects(readAll(endless()), { code: errnoName(E.EMEDIUMTYPE) });
  t.ok(closed);
});
