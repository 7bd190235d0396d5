// For tests of copies in and out of pools: pools in scratch directories, volumes with known content, streams in memory.
import type { Test } from 'tap';
import type { CreateOptions } from '../../src/thin/create.js';
import { Pool } from '../../src/thin/pool.js';
import { receiveVolume } from '../../src/thin/receive.js';
import { sendVolume } from '../../src/thin/send.js';
import { scratch } from '../support/cleanup.js';
import type { Random } from '../support/random.js';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** An open pool, closed and removed with the test. */
export async function makePool(
  t: Test,
  blockSize = 64 * KiB,
  size = 256 * MiB,
  more: Partial<CreateOptions> = {},
): Promise<Pool> {
  const dir = scratch(t, 'send').path('pool');
  await Pool.create(dir, { size, blockSize, onFull: 'error', ...more });
  const pool = await Pool.open(dir);
  t.teardown(() => pool.close());
  return pool;
}

/** Changes a volume through a handle of its own. */
export async function change(
  pool: Pool,
  name: string,
  body: (volume: ReturnType<Pool['volume']>) => Promise<void>,
): Promise<void> {
  const volume = pool.volume(name);
  try {
    await body(volume);
  } finally {
    await volume.close();
  }
}

export async function write(pool: Pool, name: string, offset: number, data: Buffer): Promise<void> {
  await change(pool, name, async volume => volume.write(offset, data));
}

/** A read-only snapshot. */
export async function freeze(pool: Pool, origin: string, name: string): Promise<void> {
  await pool.snapshot([{ origin, name, readOnly: true }]);
}

/** `length` bytes that are not zeros and not the same anywhere. */
export function noise(random: Random, length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.below(2 ** 32);
  return Buffer.from(words.buffer, 0, length);
}

export async function contentOf(pool: Pool, name: string): Promise<Buffer> {
  const bytes = Buffer.alloc(pool.info(name).size);
  await change(pool, name, async volume => volume.read(0, bytes.length, bytes, 0));
  return bytes;
}

/** The stream of a volume as one buffer. */
export async function streamOf(pool: Pool, name: string, from?: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const output = async (chunk: Buffer): Promise<void> => {
    chunks.push(Buffer.from(chunk));
  };
  await sendVolume(pool, name, { output, ...(from === undefined ? {} : { from }) });
  return Buffer.concat(chunks);
}

/** Receives a stream that is there as one buffer. */
export function receive(
  pool: Pool,
  name: string,
  stream: Buffer,
  base?: string,
): ReturnType<typeof receiveVolume> {
  return receiveVolume(pool, name, {
    input: chunked(stream, 100_000),
    ...(base === undefined ? {} : { base }),
  });
}

/** `bytes` in chunks of `size`. */
export async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size));
}

export function names(pool: Pool): string[] {
  return pool
    .list()
    .map(info => info.name)
    .sort();
}
