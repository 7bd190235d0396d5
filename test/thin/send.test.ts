// Sending: what is in a stream, of which moment, with how much memory, and what happens when nobody takes it.
import { cpSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { Pool } from '../../src/thin/pool.js';
import { describeStream, receiveVolume } from '../../src/thin/receive.js';
import { estimateSend, sendVolume } from '../../src/thin/send.js';
import { scratch } from '../support/cleanup.js';
import { Random } from '../support/random.js';
import {
  change,
  chunked,
  contentOf,
  freeze,
  GiB,
  KiB,
  MiB,
  makePool,
  names,
  noise,
  receive,
  streamOf,
  write,
} from './send-fixture.js';

const ignore = async (): Promise<void> => {};

t.test('a full send has the data and not the holes', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: 64 * MiB });
  await write(pool, 'v', 0, noise(new Random(1), 3 * MiB));
  await write(pool, 'v', 63 * MiB, noise(new Random(2), 100));
  await freeze(pool, 'v', 's');
  const stream = await streamOf(pool, 's');
  const header = await describeStream(chunked(stream, 10));
  t.match(header, {
    name: 's',
    base: null,
    size: 64 * MiB,
    blockSize: 64 * KiB,
    dataBytes: 3 * MiB + 64 * KiB,
  });
  t.equal(header.guid, pool.info('s').guid);
  t.ok(stream.length < header.dataBytes + 1000);
  const { dataBytes, streamBytes, guid } = await estimateSend(pool, 's');
  t.same({ dataBytes, guid }, { dataBytes: header.dataBytes, guid: header.guid });
  t.ok(Math.abs(streamBytes - stream.length) < 1000, `estimated ${streamBytes}, and it has ${stream.length}`);
});

t.test('a writable volume is sent as it was at the beginning', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: 2 * MiB });
  const before = noise(new Random(3), 2 * MiB);
  await write(pool, 'v', 0, before);
  const writer = pool.volume('v');
  t.teardown(() => writer.close());
  const chunks: Buffer[] = [];
  await sendVolume(pool, 'v', {
    output: async chunk => {
      chunks.push(Buffer.from(chunk));
      await writer.write(0, Buffer.alloc(2 * MiB, chunks.length));
      t.same(names(pool), ['v'], 'nothing else is to be seen');
    },
  });
  const after = Buffer.alloc(2 * MiB, chunks.length);
  t.ok((await contentOf(pool, 'v')).equals(after));
  await receive(pool, 'copy', Buffer.concat(chunks));
  t.ok((await contentOf(pool, 'copy')).equals(before));
  t.not(pool.info('copy').guid, pool.info('v').guid, 'the content of that moment has its own name');
  t.equal((await estimateSend(pool, 'v')).guid, null);
});

t.test('the snapshot of a send is gone afterwards, also after a failure', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: 8 * MiB });
  await write(pool, 'v', 0, noise(new Random(4), 8 * MiB));
  const failure = new Error('the pipe is gone');
  let chunks = 0;
  const output = async (): Promise<void> => {
    if (++chunks === 4) throw failure;
  };
  await t.rejects(sendVolume(pool, 'v', { output }), failure);
  t.equal(chunks, 4, 'nothing is sent after that');
  await sendVolume(pool, 'v', { output: ignore });
  await pool.reclaimed();
  const { mapped, exclusive } = await pool.usage('v');
  t.same({ mapped, exclusive }, { mapped: 128, exclusive: 128 }, 'nothing is shared with a leftover');
  t.same(names(pool), ['v']);
  t.equal(pool.status().volumes, 1);
});

t.test('a reader that stops holds the sender up', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: 8 * MiB });
  await write(pool, 'v', 0, noise(new Random(5), 8 * MiB));
  await freeze(pool, 'v', 's');
  let taken = 0;
  let give = (): void => {};
  const sending = sendVolume(pool, 's', {
    output: () => {
      taken++;
      return new Promise(resolve => {
        give = resolve;
      });
    },
  });
  for (let i = 1; i <= 10; i++) {
    while (taken < i) await new Promise(resolve => setImmediate(resolve));
    for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve));
    t.equal(taken, i, 'one chunk for each that was taken');
    give();
  }
  t.equal((await sending).dataBytes, 8 * MiB);
  t.equal(taken, 10, 'a header, eight records, an end');
});

t.test('progress goes up to the total', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: 20 * MiB });
  await pool.createVolume({ name: 'empty', size: MiB });
  await write(pool, 'v', 5 * MiB, noise(new Random(6), 3 * MiB + 1));
  for (const [name, total] of [
    ['v', 3 * MiB + 64 * KiB],
    ['empty', 0],
  ] as const) {
    const calls: [number, number][] = [];
    await sendVolume(pool, name, { output: ignore, progress: (done, of) => calls.push([done, of]) });
    t.ok(calls.every(([done, of], i) => of === total && done >= (calls[i - 1]?.[0] ?? 0)));
    t.same(calls.at(-1), [total, total]);
  }
});

t.test('memory does not grow with the volume', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: GiB });
  // Zeros over a file of zeros: mapped, and nothing to wait for.
  await change(pool, 'v', async volume => {
    const zeros = Buffer.alloc(8 * MiB);
    for (let at = 0; at < 128 * MiB; at += zeros.length) await volume.write(at, zeros);
  });
  await freeze(pool, 'v', 's');
  const before = process.memoryUsage();
  let most = 0;
  await sendVolume(pool, 's', {
    output: async () => {
      const now = process.memoryUsage();
      most = Math.max(most, now.arrayBuffers - before.arrayBuffers);
    },
  });
  t.ok(most < 16 * MiB, `at most ${most} bytes more in buffers`);
});

t.test('an incremental send is between read-only volumes', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: MiB });
  await freeze(pool, 'v', 's');
  await t.rejects(sendVolume(pool, 'v', { from: 's', output: ignore }), {
    code: 'EINVAL',
    message: /v is writable/,
  });
  await t.rejects(sendVolume(pool, 's', { from: 'v', output: ignore }), {
    code: 'EINVAL',
    message: /v is writable/,
  });
  await t.rejects(sendVolume(pool, 's', { from: 'x', output: ignore }), { code: 'ENOENT' });
  await t.rejects(sendVolume(pool, 'x', { output: ignore }), { code: 'ENOENT' });
  await t.rejects(estimateSend(pool, 'v', { from: 's' }), { code: 'EINVAL' });
});

t.test('an incremental send has what differs', async t => {
  const pool = await makePool(t);
  await pool.createVolume({ name: 'v', size: 64 * MiB });
  await write(pool, 'v', 0, noise(new Random(7), 16 * MiB));
  await freeze(pool, 'v', 's1');
  await write(pool, 'v', 5 * MiB + 1, Buffer.from('changed'));
  await change(pool, 'v', async volume => volume.discard(8 * MiB, MiB));
  await write(pool, 'v', 40 * MiB, Buffer.from('new'));
  await freeze(pool, 'v', 's2');
  const stream = await streamOf(pool, 's2', 's1');
  const header = await describeStream(chunked(stream, 1000));
  t.match(header, { base: pool.info('s1').guid, guid: pool.info('s2').guid, dataBytes: 128 * KiB });
  t.ok(stream.length < 129 * KiB);
  const estimate = await estimateSend(pool, 's2', { from: 's1' });
  t.match(estimate, { base: header.base, guid: header.guid, dataBytes: header.dataBytes });
  t.equal((await estimateSend(pool, 's1', { from: 's1' })).dataBytes, 0);
});

t.test('a volume with an external origin is sent with what it reads from there', async t => {
  const pool = await makePool(t);
  const files = scratch(t, 'external');
  const external = files.path('origin');
  const origin = noise(new Random(8), 3 * MiB);
  writeFileSync(external, origin);
  await pool.createVolume({ name: 'v', size: 4 * MiB, external });
  await write(pool, 'v', MiB, Buffer.alloc(128 * KiB, 1));
  await freeze(pool, 'v', 's1');
  await change(pool, 'v', async volume => volume.discard(MiB, 64 * KiB));
  await write(pool, 'v', 2 * MiB, Buffer.from('changed'));
  await freeze(pool, 'v', 's2');
  const target = await makePool(t, MiB);
  await receive(target, 's1', await streamOf(pool, 's1'));
  await receive(target, 's2', await streamOf(pool, 's2', 's1'), 's1');
  for (const name of ['s1', 's2'])
    t.ok((await contentOf(target, name)).equals(await contentOf(pool, name)), name);
  t.equal(target.info('s2').external, null);
  t.ok(
    (await contentOf(target, 's2'))
      .subarray(MiB, MiB + 64 * KiB)
      .equals(origin.subarray(MiB, MiB + 64 * KiB)),
  );
  await pool.createVolume({ name: 'other', size: 4 * MiB, readOnly: true });
  const different = sendVolume(pool, 'other', { from: 's1', output: ignore });
  await t.rejects(different, { code: 'EINVAL', message: /external origins/ });
});

t.test('a pool that was opened read-only is sent from, too', async t => {
  const dir = scratch(t, 'read').path('pool');
  await Pool.create(dir, { size: 64 * MiB });
  const writable = await Pool.open(dir);
  await writable.createVolume({ name: 'v', size: MiB });
  await write(writable, 'v', 0, Buffer.from('one'));
  await freeze(writable, 'v', 's1');
  await write(writable, 'v', 0, Buffer.from('two'));
  await freeze(writable, 'v', 's2');
  await writable.close();
  const pool = await Pool.open(dir, { readOnly: true });
  t.teardown(() => pool.close());
  const target = await makePool(t);
  await receive(target, 's1', await streamOf(pool, 's1'));
  await receive(target, 's2', await streamOf(pool, 's2', 's1'), 's1');
  await receive(target, 'v', await streamOf(pool, 'v'));
  for (const name of ['s1', 's2', 'v'])
    t.ok((await contentOf(target, name)).equals(await contentOf(pool, name)), name);
});

t.test('a process that dies while it sends or receives leaves nothing that can be seen', async t => {
  const pool = await makePool(t, 64 * KiB, 16 * MiB);
  await pool.createVolume({ name: 'v', size: 4 * MiB });
  await write(pool, 'v', 0, noise(new Random(9), 4 * MiB));
  const stream = await streamOf(pool, 'v');
  const files = scratch(t, 'died');
  // What is on the disk at that moment is what the next process finds.
  const die = async (name: string): Promise<void> => {
    await pool.commit();
    cpSync(pool.dir, files.path(name), { recursive: true });
  };
  let chunks = 0;
  await sendVolume(pool, 'v', {
    output: async () => {
      if (++chunks === 3) await die('sending');
    },
  });
  await receive(pool, 'copy', stream);
  async function* dying(): AsyncGenerator<Buffer> {
    yield stream.subarray(0, 3 * MiB);
    await die('receiving');
    yield stream.subarray(3 * MiB);
  }
  await receiveVolume(pool, 'again', { input: dying() });
  for (const [name, volumes] of [
    ['sending', ['v']],
    ['receiving', ['copy', 'v']],
  ] as const) {
    const next = await Pool.open(files.path(name));
    t.same(names(next), volumes, name);
    await next.reclaimed();
    t.equal(next.status().usedBlocks, 64 * volumes.length, 'and its space is free');
    t.same(await next.usage('v'), { mapped: 64, exclusive: 64, shared: 0, highest: 63 });
    await next.close();
  }
});
