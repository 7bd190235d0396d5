// Receiving: the same content under the same guid, in pools of any block size, in steps, and nothing at all of a bad stream.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import t from 'tap';
import { SysError } from '../../src/base/index.js';
import type { Pool } from '../../src/thin/pool.js';
import { describeStream, receiveVolume } from '../../src/thin/receive.js';
import { scratch } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { Random } from '../support/random.js';
import {
  change,
  chunked,
  contentOf,
  freeze,
  KiB,
  MiB,
  makePool,
  names,
  noise,
  receive,
  streamOf,
  write,
} from './send-fixture.js';

needs('mount', 'losetup');

/** A volume and two read-only snapshots of it, s1 and s2, with a little of everything. */
async function history(pool: Pool, random: Random): Promise<void> {
  await pool.createVolume({ name: 'v', size: 12 * MiB + 512 });
  await write(pool, 'v', 64 * KiB, noise(random, 3 * MiB));
  await write(pool, 'v', 12 * MiB, noise(random, 512));
  await freeze(pool, 'v', 's1');
  await write(pool, 'v', MiB + 17, noise(random, 1000));
  await change(pool, 'v', async volume => volume.discard(2 * MiB, 512 * KiB));
  await write(pool, 'v', 9 * MiB, noise(random, 100 * KiB));
  await freeze(pool, 'v', 's2');
}

async function same(
  t: { ok(value: boolean, what: string): unknown },
  from: Pool,
  to: Pool,
  name: string,
): Promise<void> {
  t.ok((await contentOf(from, name)).equals(await contentOf(to, name)), `${name} has the same content`);
}

async function usedBlocks(pool: Pool): Promise<number> {
  await pool.reclaimed();
  await pool.commit();
  return pool.status().usedBlocks;
}

t.test('full and incremental, between all block sizes', async t => {
  const random = new Random(11);
  const sizes = [64 * KiB, 192 * KiB, 4 * MiB];
  for (const from of sizes) {
    const source = await makePool(t, from);
    await history(source, random);
    const full = await streamOf(source, 's1');
    const step = await streamOf(source, 's2', 's1');
    for (const to of sizes) {
      await t.test(`${from / KiB} to ${to / KiB} KiB`, async t => {
        const target = await makePool(t, to);
        await receive(target, 's1', full);
        await same(t, source, target, 's1');
        const info = await receive(target, 's2', step, 's1');
        await same(t, source, target, 's2');
        await same(t, source, target, 's1');
        t.match(info, { name: 's2', readOnly: true, guid: source.info('s2').guid, size: 12 * MiB + 512 });
        t.equal(target.info('s1').guid, source.info('s1').guid);
        if (from === to) {
          for (const name of ['s1', 's2'])
            t.equal(target.info(name).mapped, source.info(name).mapped, 'holes');
        }
      });
    }
  }
});

t.test('a chain of steps, with a volume that grows and shrinks inside its blocks', async t => {
  const random = new Random(12);
  const source = await makePool(t);
  const target = await makePool(t, 128 * KiB);
  const sizes = [3 * MiB, MiB + 512, 5 * MiB, 100 * KiB, 100 * KiB + 512, 7 * MiB];
  await source.createVolume({ name: 'v', size: sizes[0]! });
  await write(source, 'v', 0, noise(random, 3 * MiB));
  await freeze(source, 'v', 's0');
  await receive(target, 's0', await streamOf(source, 's0'));
  for (let i = 1; i < sizes.length; i++) {
    await source.resizeVolume('v', sizes[i]!);
    if (i % 2 === 0) await write(source, 'v', sizes[i]! - 2000, noise(random, 2000));
    await freeze(source, 'v', `s${i}`);
    await receive(target, `s${i}`, await streamOf(source, `s${i}`, `s${i - 1}`), `s${i - 1}`);
    await same(t, source, target, `s${i}`);
    t.equal(target.info(`s${i}`).size, sizes[i]);
  }
  t.same(names(target), ['s0', 's1', 's2', 's3', 's4', 's5']);
});

t.test('a step between volumes that have nothing in common', async t => {
  const random = new Random(13);
  const source = await makePool(t);
  for (const name of ['a', 'b']) {
    await source.createVolume({ name, size: 4 * MiB });
    for (let i = 0; i < 20; i++)
      await write(source, name, 64 * KiB * random.below(63), noise(random, 70_000));
    await source.setReadOnly(name, true);
  }
  const target = await makePool(t);
  await receive(target, 'a', await streamOf(source, 'a'));
  await receive(target, 'b', await streamOf(source, 'b', 'a'), 'a');
  await same(t, source, target, 'b');
  t.equal(target.info('b').mapped, source.info('b').mapped, 'what is unmapped there is unmapped here');
});

t.test('a pool that does not zero new blocks receives zeros all the same', async t => {
  const files = scratch(t, 'receive');
  const file = files.path('data');
  writeFileSync(file, Buffer.alloc(16 * MiB, 0xdd));
  const data = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  const target = await makePool(t, 256 * KiB, 16 * MiB, { data, zeroing: false });
  await target.createVolume({ name: 'dirty', size: MiB });
  await write(target, 'dirty', 0, Buffer.from('x'));
  t.equal((await contentOf(target, 'dirty'))[1], 0xdd, 'it does not');
  const source = await makePool(t);
  await source.createVolume({ name: 'v', size: 4 * MiB + 512 });
  await write(source, 'v', 0, Buffer.alloc(64 * KiB, 1));
  await freeze(source, 'v', 's1');
  for (let at = 64 * KiB; at < 4 * MiB; at += 256 * KiB)
    await write(source, 'v', at, Buffer.alloc(64 * KiB, 1));
  await write(source, 'v', 4 * MiB, Buffer.alloc(100, 1));
  await freeze(source, 'v', 's2');
  await receive(target, 's1', await streamOf(source, 's1'));
  await receive(target, 's2', await streamOf(source, 's2', 's1'), 's1');
  for (const name of ['s1', 's2']) await same(t, source, target, name);
});

t.test('a stream goes onto its own base only', async t => {
  const source = await makePool(t);
  await history(source, new Random(14));
  const target = await makePool(t);
  const full = await streamOf(source, 's1');
  const step = await streamOf(source, 's2', 's1');
  await receive(target, 's1', full);
  await target.createVolume({ name: 'other', size: 12 * MiB + 512, readOnly: true });
  await target.snapshot([{ origin: 's1', name: 'writable' }]);
  const before = names(target);
  const refused: [string, Promise<unknown>, RegExp][] = [
    ['no base', receive(target, 'x', step), /incremental.*guid/],
    ['wrong base', receive(target, 'x', step, 'other'), /other has guid/],
    ['writable base', receive(target, 'x', step, 'writable'), /writable is writable/],
    ['base for a full stream', receive(target, 'x', full, 's1'), /full/],
  ];
  for (const [name, receiving, message] of refused)
    await t.rejects(receiving, { code: 'EINVAL', message }, name);
  await t.rejects(receive(target, 'x', step, 'absent'), { code: 'ENOENT' });
  await t.rejects(receive(target, 'other', full), { code: 'EEXIST' });
  t.same(names(target), before);
  await target.setReadOnly('s1', false);
  await write(target, 's1', 0, Buffer.from('changed'));
  await target.setReadOnly('s1', true);
  await t.rejects(receive(target, 'x', step, 's1'), { code: 'EINVAL' }, 'a base that was written to');
});

t.test('a damaged stream leaves nothing behind', async t => {
  const source = await makePool(t);
  const random = new Random(15);
  await history(source, random);
  const step = await streamOf(source, 's2', 's1');
  const target = await makePool(t);
  await receive(target, 's1', await streamOf(source, 's1'));
  const used = await usedBlocks(target);
  const before = await contentOf(target, 's1');
  const attempt = async (what: string, stream: Buffer): Promise<void> => {
    try {
      await receive(target, 's2', stream, 's1');
      t.fail(`${what} was received`);
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
    }
    t.same(names(target), ['s1'], what);
  };
  for (let i = 0; i < 15; i++) {
    const at = random.below(step.length);
    const flipped = Buffer.from(step);
    flipped[at]! ^= 1 << random.below(8);
    await attempt(`byte ${at} flipped`, flipped);
    const length = random.below(step.length);
    await attempt(`${length} bytes`, step.subarray(0, length));
  }
  await attempt('one byte less', step.subarray(0, -1));
  await attempt('one byte more', Buffer.concat([step, Buffer.alloc(1)]));
  await attempt('nothing', Buffer.alloc(0));
  await attempt('noise', noise(random, 4096));
  t.equal(await usedBlocks(target), used, 'all space is free again');
  t.ok((await contentOf(target, 's1')).equals(before));
  await receive(target, 's2', step, 's1');
  await same(t, source, target, 's2');
});

t.test('no flipped byte of a small stream is received', async t => {
  const source = await makePool(t);
  await source.createVolume({ name: 'v', size: MiB });
  await write(source, 'v', 0, Buffer.alloc(MiB, 1));
  await freeze(source, 'v', 's1');
  await change(source, 'v', async volume => volume.discard(0, 512 * KiB));
  await freeze(source, 'v', 's2');
  const target = await makePool(t);
  await receive(target, 's1', await streamOf(source, 's1'));
  const step = await streamOf(source, 's2', 's1');
  t.ok(step.length < 400, 'a header, an unmapped range, an end');
  for (let at = 0; at < step.length; at++) {
    const flipped = Buffer.from(step);
    flipped[at]! ^= 0x80 >> (at % 8);
    await t.rejects(receive(target, 's2', flipped, 's1'), SysError, `byte ${at}`);
    t.same(names(target), ['s1']);
  }
  await receive(target, 's2', step, 's1');
  await same(t, source, target, 's2');
});

t.test('several at once', async t => {
  const source = await makePool(t);
  const target = await makePool(t);
  await source.createVolume({ name: 'v', size: 4 * MiB });
  await write(source, 'v', 0, noise(new Random(18), 4 * MiB));
  const before = await contentOf(source, 'v');
  const streams = await Promise.all([1, 2, 3].map(() => streamOf(source, 'v')));
  const receiving = streams.map((stream, i) => receive(target, `v${i}`, stream));
  await t.rejects(receive(target, 'v1', streams[1]!), { code: 'EEXIST', message: /being received/ });
  await Promise.all(receiving);
  for (const name of ['v0', 'v1', 'v2']) t.ok((await contentOf(target, name)).equals(before));
  t.same(names(source), ['v']);
});

t.test('an input that fails, and a pool that is full', async t => {
  const source = await makePool(t);
  await source.createVolume({ name: 'v', size: 16 * MiB });
  await write(source, 'v', 0, noise(new Random(16), 16 * MiB));
  const stream = await streamOf(source, 'v');
  const target = await makePool(t, 64 * KiB, 4 * MiB);
  async function* failing(): AsyncGenerator<Buffer> {
    yield stream.subarray(0, 2 * MiB);
    throw new Error('the network is gone');
  }
  await t.rejects(receiveVolume(target, 'v', { input: failing() }), { message: 'the network is gone' });
  await t.rejects(receive(target, 'v', stream), { code: 'ENOSPC' });
  t.same(names(target), []);
  t.equal(await usedBlocks(target), 0);
});

t.test('nothing can be seen while it is received, and progress goes up to the total', async t => {
  const source = await makePool(t);
  await source.createVolume({ name: 'v', size: 8 * MiB });
  await write(source, 'v', MiB, noise(new Random(17), 5 * MiB));
  const stream = await streamOf(source, 'v');
  const target = await makePool(t);
  const calls: [number, number][] = [];
  await receiveVolume(target, 'v', {
    input: chunked(stream, 1000),
    progress: (done, total) => {
      calls.push([done, total]);
      if (calls.length <= 5) t.same(names(target), []);
    },
  });
  t.same(
    calls.map(([done]) => done / MiB),
    [1, 2, 3, 4, 5, 5],
  );
  t.ok(calls.every(([, total]) => total === 5 * MiB));
});

t.test('a description reads the header only', async t => {
  const source = await makePool(t);
  await source.createVolume({ name: 'v', size: MiB });
  const stream = await streamOf(source, 'v');
  const header = await describeStream(chunked(stream.subarray(0, 200), 1));
  t.match(header, { version: 1, name: 'v', base: null, size: MiB, blockSize: 64 * KiB, dataBytes: 0 });
  await t.rejects(describeStream(chunked(stream.subarray(0, 20), 1)), { code: 'EBADMSG' });
});
